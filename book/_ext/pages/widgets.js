// The widgets' icons lie beside the script, not beside the page.
require.config({ baseUrl: new URL("widgets/", document.currentScript.src).href });

// The widgets typeset their labels by MathJax 2's queue; here MathJax is 3, or absent on a page without formulas.
addEventListener("DOMContentLoaded", () => {
  if (window.MathJax) MathJax.Hub = { Queue: ([, , element]) => MathJax.typesetPromise([element]) };
});

// A screen reader hears the name of a slider.
new MutationObserver(() => {
  for (const handle of document.querySelectorAll(".noUi-handle:not([aria-label])")) {
    const label = handle.closest(".jupyter-widgets").querySelector(".widget-label").textContent;
    if (label) handle.setAttribute("aria-label", label);
  }
}).observe(document, { childList: true, subtree: true });
