// Names and roles that the theme and docutils leave wrong for a screen reader. The first change of state comes
// when the page is read and before the theme's scripts draw their icons.
document.addEventListener("readystatechange", () => {
  // What is written on a button is its name; the theme switch has its name already, and its icons need none.
  for (const button of document.querySelectorAll(".search-button-field, details.hide > summary")) {
    button.removeAttribute("aria-label");
  }
  for (const icon of document.querySelectorAll(".theme-switch")) {
    icon.removeAttribute("title");
  }
  // A list has items.
  for (const entry of document.querySelectorAll(".citation-list > .citation")) {
    entry.setAttribute("role", "listitem");
  }
}, { once: true });

// A figure that scrolls on a phone scrolls by the keyboard too.
const reachable = () => {
  for (const output of document.querySelectorAll(":is(.cell_output, .widget-html-content):has(> img)")) {
    output.toggleAttribute("tabindex", false);
    if (output.scrollWidth > output.clientWidth) output.tabIndex = 0;
  }
};
addEventListener("load", reachable, true); // of the page, and of each picture that a widget draws later
addEventListener("resize", reachable);
