"""The built book in a real browser: it loads nothing from another address, and everybody can use it.

These tests need npm (the vendored scripts and axe-core) and Debian's chromium; `.ci/run` installs the latter.
"""

import io
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pdf
import pypdf
import pytest
import vendor
from PIL import Image

ROOT = Path(__file__).parent.parent
AXE = ROOT / "node_modules/axe-core/axe.min.js"
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
FORMS = [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light"), (PHONE, "dark")]
RESIZED = 500  # milliseconds until the theme has made what scrolls now reachable by keyboard

# Findings of axe-core that stand: (rule, part of the element), each with the reason why we cannot mend it.
STANDING = {}

SAVED, DRAWN = 'script[type="application/vnd.jupyter.widget-view+json"]', ".widget-subarea > .jupyter-widgets"

# A chapter has some ten thousand coloured words of code; one of each kind stays, and the others become plain text.
THIN_OUT = """() => {
  const seen = new Set();
  for (const word of document.querySelectorAll("pre span")) {
    const around = [word, word.parentElement, word.closest("pre").parentElement.parentElement];
    const kind = around.map(element => element.className).join();
    if (seen.has(kind)) word.replaceWith(...word.childNodes);
    seen.add(kind);
  }
}"""
# Only the contrast depends on the colours.
LOOK = """async dark => {
  const found = await axe.run(document, {resultTypes: ["violations"], ...dark && {runOnly: ["color-contrast"]}});
  return found.violations
    .filter(({impact}) => ["serious", "critical"].includes(impact))
    .flatMap(({id, nodes}) => nodes.map(({html}) => [id, html.slice(0, 200)]));
}"""
# The first line of each code cell that is wider than its box, folded cells opened for the moment.
TOO_WIDE = """() => {
  const folded = [...document.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
  const boxes = [...document.querySelectorAll(".cell_input pre")].filter(box => box.scrollWidth > box.clientWidth);
  for (const details of folded) details.open = false;
  return boxes.map(box => box.textContent.trim().split("\\n")[0]);
}"""


@dataclass
class Visit:
    """What happened when one page was opened and looked at."""

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    typeset: int = 0  # formulas that MathJax has set
    formulas: int = 0
    widgets: int = 0  # widgets that show their saved state
    too_wide: list[str] = field(default_factory=list)  # code cells that scroll sideways in a wide window
    findings: set = field(default_factory=set)  # (form, rule, element)
    sideways: list[str] = field(default_factory=list)  # forms in which the page is wider than the window


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def html(built):
    folder, _ = built
    if not AXE.exists():
        pytest.skip("the vendored packages are not installed: npm is missing or has no registry")
    return folder


@pytest.fixture(scope="module")
def site(html):
    """The address of the book on 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=html))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """One tab of a browser with a fresh profile."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        profile = tmp_path_factory.mktemp("profile")
        context = playwright.chromium.launch_persistent_context(profile, executable_path=CHROMIUM, args=FLAGS)
        yield context.new_page()
        context.close()


def pages(html):
    """Every page but the one that only leads to the first."""
    found = {page for page in html.rglob("*.html") if "_static" not in page.parts}
    return sorted(found - {html / "index.html"})


def follow(tab, visit):
    """Write the tab's requests and errors into `visit`, until the function that comes back is called."""

    def answered(response):
        if response.status >= 400:
            visit.errors.append(f"{response.status} {response.url}")

    def said(message):
        if message.type == "error":
            visit.errors.append(message.text)

    listeners = {
        "request": lambda request: visit.requests.append(request.url),
        "requestfailed": lambda request: visit.errors.append(f"{request.failure} {request.url}"),
        "response": answered,
        "console": said,
        "pageerror": lambda error: visit.errors.append(str(error)),
    }
    for event, listener in listeners.items():
        tab.on(event, listener)
    return lambda: [tab.remove_listener(event, listener) for event, listener in listeners.items()]


def opened(tab, address):
    """Open a page in a wide window, wait until it is at rest, and return what was seen."""
    tab.set_viewport_size(WIDE)
    visit = Visit()
    stop = follow(tab, visit)
    tab.goto(address)
    tab.evaluate("() => window.MathJax?.startup?.promise")
    visit.formulas, visit.typeset = tab.locator(".math").count(), tab.locator("mjx-container").count()
    visit.too_wide = tab.evaluate(TOO_WIDE)
    visit.widgets = tab.locator(SAVED).count()
    if visit.widgets:
        tab.locator(DRAWN).nth(visit.widgets - 1).wait_for()
    stop()
    return visit


def look(tab, visit):
    """Look at the open page in its four forms."""
    tab.evaluate(AXE.read_text())
    tab.evaluate(THIN_OUT)
    for size, colours in FORMS:
        if tab.viewport_size != size:
            tab.set_viewport_size(size)
            tab.wait_for_timeout(RESIZED)
        tab.emulate_media(color_scheme=colours, reduced_motion="reduce")  # no colour on its way to another
        form = f"{size['width']} {colours}"
        tab.wait_for_function("colours => document.documentElement.dataset.theme === colours", arg=colours)
        if tab.evaluate("document.documentElement.scrollWidth > innerWidth"):
            visit.sideways.append(form)
        visit.findings |= {(form, *finding) for finding in tab.evaluate(LOOK, colours == "dark")}


@pytest.fixture(scope="module")
def visits(tab, site, html):
    """A visit of every page, by its path in the book."""
    seen = {}
    for page in pages(html):
        name = str(page.relative_to(html))
        seen[name] = opened(tab, f"{site}/{name}")
        look(tab, seen[name])
    return seen


def test_no_page_loads_anything_from_another_address(visits, site):
    away = {url for visit in visits.values() for url in visit.requests if not url.startswith((site, "data:", "blob:"))}
    assert len(visits) > 5 and not away


def test_no_page_has_an_error(visits):
    assert not {name: visit.errors for name, visit in visits.items() if visit.errors}


def test_every_formula_is_typeset(visits):
    assert not [name for name, visit in visits.items() if visit.typeset < visit.formulas]


def test_every_widget_shows_its_saved_state(visits):
    """opened() waits for each of them."""
    saved = [path for path in (ROOT / "notebooks").glob("*.ipynb") if "widget-view+json" in path.read_text()]
    assert {Path(name).stem for name, visit in visits.items() if visit.widgets} == {path.stem for path in saved}


def stands(rule, element):
    return any(rule == known and part in element for known, part in STANDING)


def test_axe_finds_nothing_serious(visits):
    found = [(name, *finding) for name, visit in visits.items() for finding in sorted(visit.findings)]
    new = [finding for finding in found if not stands(*finding[2:])]
    assert not new, "\n".join(map(str, new[:30]))


def test_no_page_scrolls_sideways(visits):
    assert not {name: visit.sideways for name, visit in visits.items() if visit.sideways}


def test_no_code_scrolls_sideways_in_a_wide_window(visits):
    assert not {name: visit.too_wide for name, visit in visits.items() if visit.too_wide}


def test_every_page_says_what_it_is_and_what_it_may_load(html):
    for page in pages(html):
        head = page.read_text().partition("</head>")[0]
        assert head.count("Content-Security-Policy") == 1 and "unsafe-eval" not in head, page
        assert head.index("Content-Security-Policy") < head.index("<script"), page
        assert 'property="og:title"' in head and "/_static/card.png" in head, page
        if page.parent.name in ("book", "notebooks"):
            assert re.search(r'<meta name="description" content="[^"]{30,210}" />', head), page
    assert (html / "_static/card.png").is_file()


def test_every_board_of_the_book_begins_to_play(tab, html):
    boards = {page: page.read_text().count(" data-problem=") for page in pages(html)}
    assert sum(boards.values()) > 1
    for page in (page for page, count in boards.items() if count):
        tab.goto(page.as_uri())
        tab.wait_for_function("count => document.querySelectorAll('[data-ready]').length === count", arg=boards[page])
        assert tab.locator(".mna-sheet .mna-token").count() >= 3, page


def test_the_playground_uses_a_wide_screen_and_its_controls_stand_above_the_fold(tab, html):
    tab.set_viewport_size(WIDE)
    tab.goto((html / "book/playground.html").as_uri())
    tab.wait_for_selector("[data-ready]")
    assert tab.locator(".mna-board").bounding_box()["width"] > 1000
    for part in (".mna-sheet", ".mna-slots", ".mna-wipe", "input[aria-label='Decision']", ".mna-training output"):
        box = tab.locator(part).bounding_box()
        assert box["y"] + box["height"] <= WIDE["height"], part


def test_in_the_dark_no_figure_stands_on_a_light_slab(tab, html):
    tab.set_viewport_size(WIDE)
    tab.emulate_media(color_scheme="dark")
    looked = 0
    for page in sorted((html / "notebooks").glob("0*.html")):
        tab.goto(page.as_uri())
        for figure in tab.locator(".cell_output > img").all()[:3]:
            picture = Image.open(io.BytesIO(figure.screenshot())).convert("L")
            assert picture.getpixel((1, 1)) < 60 and picture.getextrema()[1] > 100, page
            looked += 1
    assert looked > 5


def test_the_pages_open_from_the_disk(tab, html):
    for page in pages(html):
        visit = opened(tab, page.as_uri())
        assert not visit.errors and visit.typeset == visit.formulas, page
        assert all(url.startswith(("file:", "data:", "blob:")) for url in visit.requests), page


def test_the_address_of_the_book_leads_to_its_first_page(tab, site):
    tab.goto(site)
    tab.wait_for_url("**/book/intro.html")
    assert tab.locator("h1").first.inner_text().startswith("Model-Native Agents")


def test_the_index_stands_in_the_table_of_contents_and_leads_to_the_glossary(tab, site):
    tab.goto(f"{site}/book/intro.html")
    tab.locator("nav.bd-links a", has_text="Index").click()
    tab.locator(".genindextable a", has_text="random legal policy").click()
    tab.wait_for_url("**/glossary.html#term-random-legal-policy")
    assert tab.locator("#term-random-legal-policy").is_visible()


@pytest.mark.parametrize("where", ["disk", "server"])
def test_a_word_is_found_by_the_search_page(where, tab, html, site):
    start = site if where == "server" else html.as_uri()
    tab.set_viewport_size(WIDE)
    tab.goto(f"{start}/search.html")
    tab.locator("main input[name=q], .bd-article input[name=q]").first.fill("worksheet")
    tab.keyboard.press("Enter")
    tab.locator("ul.search li a").first.wait_for()
    assert any("glossary" in link.get_attribute("href") for link in tab.locator("ul.search li a").all())


def test_without_the_packages_the_build_says_so_and_copies_nothing(tmp_path, capsys):
    vendor.main(tmp_path / "node_modules", tmp_path / "vendor")
    assert capsys.readouterr().out.strip() == vendor.MISSING and not (tmp_path / "vendor").exists()


def test_a_second_build_installs_and_builds_nothing(html):
    made = [html / "index.html", ROOT / "node_modules/.stamp"]
    before = [path.stat().st_mtime for path in made]
    command = ["make", "book", "PROFILE=smoke", "BUILD=_build/smoke"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert [path.stat().st_mtime for path in made] == before


def test_the_npm_packages_are_pinned_and_the_lock_names_no_registry():
    package, lock = (ROOT / "package.json").read_text(), (ROOT / "package-lock.json").read_text()
    versions = re.findall(r'"[@\w/-]+": "([^"]+)"', package.partition("dependencies")[2])
    assert len(versions) == 4 and all(re.fullmatch(r"[\d.]+", version) for version in versions)
    assert '"resolved"' not in lock and lock.count('"integrity"') > 4


def test_the_command_copies_what_the_pages_load(html, tmp_path):
    command = [sys.executable, "scripts/vendor.py", "node_modules", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True)
    copied = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert Path("mathjax/tex-mml-chtml.js") in copied and len(copied) > 20
    assert all((html / "_static" / path).is_file() for path in copied)


PAGE = """<h1>{title}</h1><details>inside</details><a class="right-next" href="{next}.html">on</a>"""


def test_the_pdf_has_every_page_in_order_and_names_no_file(tmp_path):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    (tmp_path / "book").mkdir()
    (tmp_path / "book/intro.html").write_text(PAGE.format(title="First", next="second"))
    (tmp_path / "book/second.html").write_text("<h1>Second</h1>")
    command = [sys.executable, ROOT / "scripts/pdf.py", tmp_path, tmp_path / "book.pdf"]
    subprocess.run(command, check=True, capture_output=True)  # by itself: one process drives one browser
    made = pypdf.PdfReader(tmp_path / "book.pdf")
    assert [item.title for item in made.outline] == ["First", "Second"] and len(made.pages) == 2
    assert "inside" in made.pages[0].extract_text()
    assert b"file:" not in (tmp_path / "book.pdf").read_bytes()


def test_without_chromium_the_pdf_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="apt-get install chromium"):
        pdf.main(tmp_path, tmp_path / "book.pdf")
