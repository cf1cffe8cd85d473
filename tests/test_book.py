"""The chapters keep their conventions; every internal link, anchor and image of the built book resolves."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import address
import links
import measure
import papermill
import pytest
from bs4 import BeautifulSoup
from docutils import nodes

import mna

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TRAINING = ROOT / "notebooks/06_training.ipynb"

each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
with_training = pytest.mark.skipif(not TRAINING.exists(), reason="the training chapter is not written yet")


def cells(chapter):
    return [(cell, "".join(cell["source"])) for cell in json.loads(chapter.read_text())["cells"]]


@each_chapter
def test_a_chapter_opens_with_its_badge_and_the_set_up_cell(chapter):
    (first, opening), (second, setup), *_ = cells(chapter)
    release = address.release()
    assert first["cell_type"] == "markdown" and opening.startswith("# ")
    assert address.badge(release, chapter.name) in opening.splitlines()
    assert {**second, "id": "setup"} == address.setup_cell(release) and len(setup.splitlines()) <= 12


@each_chapter
def test_a_chapter_names_its_language_and_its_module(chapter):
    metadata = json.loads(chapter.read_text())["metadata"]
    assert metadata["kernelspec"] == {"display_name": "python3", "language": "python", "name": "python3"}
    exports = any(source.startswith("#| export") for _, source in cells(chapter))
    module = metadata.get("nbdev", {}).get("default_exp")
    assert (ROOT / f"mna/{module}.py").exists() if exports else not module


def test_no_two_chapters_export_to_one_module():
    metadata = [json.loads(chapter.read_text())["metadata"] for chapter in CHAPTERS]
    modules = [one["nbdev"]["default_exp"] for one in metadata if "nbdev" in one]
    assert len(set(modules)) == len(modules)


WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


def shows(cell):
    """Does a cell show a picture or a replay without a kernel?"""
    return any({"image/png", "text/html"} & output.get("data", {}).keys() for output in cell.get("outputs", []))


@each_chapter
def test_a_widget_is_never_the_only_way_to_see_something(chapter):
    found = cells(chapter)
    widgets = [i for i, (cell, source) in enumerate(found) if cell["cell_type"] == "code" and "interactive(" in source]
    alone = [found[i][0]["id"] for i in widgets if not any(shows(cell) for cell, _ in found[max(0, i - 3):i + 4])]
    assert not alone, f"no picture stands near {alone}"


@each_chapter
def test_every_picture_has_a_caption_with_its_number(chapter):
    """Two pictures in a row share the caption under the second one. A solution's picture has none."""
    number = measure.Chapter(chapter).number
    found = [pair for pair in cells(chapter) if "solution" not in pair[0]["metadata"].get("tags", [])]
    under = [found[i + 1] for i, (cell, _) in enumerate(found) if shows(cell)]
    captions = [text for cell, text in under if not shows(cell)]
    assert [text.partition(". ")[0] for text in captions] == [
        f"*Figure {number}.{i + 1}" for i in range(len(captions))]


@each_chapter
def test_no_widget_shows_its_picture_through_an_output_widget(chapter):
    """nbclient answers each of its messages on the socket on which it awaits the cell's reply, and may miss that reply
    (https://github.com/jupyter/nbclient/issues/312): `make book` would hang."""
    models = json.loads(chapter.read_text())["metadata"].get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    outputs = [model["state"].get("outputs") for model in models.values() if model["model_name"] == "OutputModel"]
    pictures = [model["state"].get("value") for model in models.values() if model["model_name"] == "HTMLModel"]
    assert not any(outputs) and len(pictures) == len(outputs) and all(pictures)


@each_chapter
def test_progress_bars_are_not_saved(chapter):
    saved = [cell["id"] for cell, _ in cells(chapter) if "%|" in json.dumps(cell.get("outputs", []))]
    assert not saved, f"progress bars in {saved}: run it with TQDM_DISABLE=1, as make notebooks does"


@each_chapter
def test_a_test_that_a_chapter_names_exists(chapter):
    named = re.findall(r"`(test_\w+)`", "\n".join(source for _, source in cells(chapter)))
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    tests += "\n".join(source for cell, source in cells(chapter) if cell["cell_type"] == "code")
    assert not [name for name in named if f"def {name}(" not in tests]


@with_training
def test_the_training_chapter_takes_a_profile_and_a_folder():
    assert {"profile", "out"} <= set(papermill.inspect_notebook(TRAINING))


@pytest.mark.parametrize("path", address.places(), ids=lambda path: path.name)
def test_every_place_shows_the_address_and_the_release_of_pyproject(path):
    text = path.read_text()
    new = address.with_release(text, path.name, address.release())
    assert new == text, f"{path} shows another address or release, or in another form: make address"


@pytest.mark.parametrize("path", address.places(), ids=lambda path: path.name)
def test_a_new_address_and_a_new_release_reach_every_place(path):
    old, new = address.release(), address.Release("https://github.com/someone/else", "98.7.6")
    moved = address.with_release(path.read_text(), path.name, new)
    assert new.version in moved and old.tag not in moved
    assert old.url.removeprefix("https://github.com/") not in moved
    assert new.url in moved or path.name == "__init__.py"
    assert address.with_release(moved, path.name, old) == path.read_text()


@each_chapter
def test_badge_set_up_cell_and_package_name_the_same_release(chapter):
    """Read from the chapter as a reader has it, and not by the functions that write it."""
    (_, opening), (_, setup), *_ = cells(chapter)
    (opened,) = re.findall(rf"/blob/v([\d.]+)/notebooks/{chapter.name}\)", opening)
    (installed,) = re.findall(r'^release, url = "([\d.]+)"', setup)
    assert opened == installed == mna.__version__


@pytest.fixture(scope="module")
def book(built):
    """The pages of the built book, by path, and what `make book` printed."""
    html, printed = built
    pages = [page for page in html.rglob("*.html") if "_static" not in page.parts]
    return {page: BeautifulSoup(page.read_bytes(), "html.parser") for page in pages}, printed


def test_make_book_says_what_was_reached_and_where_to_look(book):
    _, printed = book
    assert "make serve" in printed and ("Profile smoke" in printed) == TRAINING.exists()
    assert str(ROOT / "_build/smoke/html/index.html") in printed


def test_the_book_has_a_page_for_every_chapter(book):
    pages, _ = book
    missing = {chapter.stem for chapter in CHAPTERS} - {page.stem for page in pages}
    assert not missing, f"not in _toc.yml: {missing}"


@with_training
def test_the_book_shows_the_run_and_its_numbers(book):
    pages, _ = book
    text = {page.stem: soup.get_text() for page, soup in pages.items()}
    record = json.loads((ROOT / "_build/smoke/run/smoke/record.json").read_text())
    assert f"After {record['decisions']:,} decisions" in text["intro"]
    assert record["date"] in text["results"]
    assert "_build/smoke/run/smoke" in text["06_training"]


def internal_targets(page, soup):
    """Every address on a page that points into the book, as (file, anchor)."""
    for element in soup.find_all(["a", "link", "img", "script"]):
        target = urlsplit(urljoin(page.as_uri(), element.get("href") or element.get("src") or ""))
        if target.scheme == "file":
            yield Path(unquote(target.path)), unquote(target.fragment)


def test_every_internal_link_anchor_and_image_resolves(book):
    pages, _ = book
    anchors = {page: {tag["id"] for tag in soup.find_all(id=True)} for page, soup in pages.items()}
    broken, seen = set(), 0
    for page, soup in pages.items():
        for file, anchor in internal_targets(page, soup):
            seen += 1
            if not file.is_file() or (anchor and file in anchors and anchor not in anchors[file]):
                broken.add(f"{page.name} -> {file.name}#{anchor}")
    assert seen > 100 and not broken, sorted(broken)


def test_every_image_has_alt_text(book):
    pages, _ = book
    # Sphinx writes the file's own name where an image has no alt text.
    bare = [
        f"{page.name}: {image['src']}"
        for page, soup in pages.items()
        for image in soup.find_all("img")
        if not image.get("alt", "").strip() or image["alt"].endswith((".png", ".svg", ".jpg"))
    ]
    assert not bare


@each_chapter
def test_the_first_use_of_a_term_leads_to_the_glossary_and_that_of_a_name_to_the_api_page(chapter, book):
    pages, _ = book
    (soup,) = (soup for page, soup in pages.items() if page.stem == chapter.stem)
    for page in ("glossary", "api"):
        links = [link["href"] for link in soup.select("a.term") if f"/{page}.html#" in link["href"]]
        assert len(links) == len(set(links)), f"{page}: {links}"


def test_links_to_the_glossary_and_to_the_api_page_are_made(book):
    """Somewhere: a short chapter may use no term, and none but those that call for one name of the package."""
    found = {link["href"].partition("#")[0].rpartition("/")[2]
             for page, soup in book[0].items() if page.parent.name == "notebooks" for link in soup.select("a.term")}
    assert {"glossary.html", "api.html"} <= found


def test_a_link_takes_the_first_use_of_the_longest_term_and_no_verb():
    terms = {"memory": 1, "memory buffer": 2, "answer": 3}
    paragraph = nodes.paragraph("", "", nodes.Text("We answer to answer; memory buffers, memory and Answers, answer."))
    links.link_terms(paragraph[0], terms, lambda child, place: nodes.strong("", "", child, classes=[str(place)]))
    assert [(node.astext(), node["classes"]) for node in paragraph.findall(nodes.strong)] == [
        ("memory buffers", ["2"]), ("memory", ["1"]), ("Answers", ["3"])]
    assert paragraph.astext() == "We answer to answer; memory buffers, memory and Answers, answer." and not terms


def test_a_formula_or_picture_that_is_cited_is_a_link_and_one_that_is_missing_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(links.logger, "warning", lambda message, *parts, **where: told.append(message % parts))
    text = "Figure 2.3 draws eq. (A.1), and eq. (9.9) is in figure 2.4."
    paragraph = nodes.paragraph("", "", nodes.Text(text))
    labels = {"eq. (A.1)": 1, "figure 2.3": 2}
    links.link_numbered(paragraph[0], labels, lambda child, place: nodes.strong("", "", child, classes=[str(place)]))
    assert [(node.astext(), node["classes"]) for node in paragraph.findall(nodes.strong)] == [
        ("Figure 2.3", ["2"]), ("eq. (A.1)", ["1"])]
    assert paragraph.astext() == text and told == [
        f"{name} is cited, and nothing has that number" for name in ("eq. (9.9)", "figure 2.4")]


@each_chapter
def test_every_number_of_a_formula_or_picture_is_a_place_that_its_citations_lead_to(chapter, book):
    pages, _ = book
    soups = {page.name: soup for page, soup in pages.items()}
    here = soups[f"{chapter.stem}.html"]
    cited = [link for link in here.select("a.term") if links.NUMBERED.fullmatch(link.get_text())]
    for link in cited:
        page, _, anchor = link["href"].partition("#")
        place = (soups[Path(page).name] if page else here).find(id=anchor)
        number = re.search(r"(\d+|[A-Z])\.\d+", link.get_text())[0]
        assert number in place.get_text(), f"{link}: {place}"
    prose = BeautifulSoup(str(here.article), "html.parser")
    for code in prose.select("div.cell"):  # code, and what it prints, holds no links
        code.decompose()
    plain = re.findall(links.NUMBERED, re.sub(r"Figure \w+\.\d+\. ", "", prose.get_text()))
    assert len(cited) == len(plain)


def test_the_signatures_on_the_api_page_are_those_that_a_reader_would_write(book):
    """An enumeration is not called, and a default that is made afresh has no name."""
    (page,) = (soup for path, soup in book[0].items() if path.name == "api.html")
    signatures = {dt["id"]: dt.get_text() for dt in page.select("dt.sig[id]")}
    assert not [name for name, text in signatures.items() if "<factory>" in text]
    assert "(exercise" in signatures["mna.checks.check"]


@pytest.mark.parametrize("code, linked", [("play", True), ("play(agent)", True), ("play.x", False), ("agent", False)])
def test_code_that_is_a_name_of_the_package_is_a_link(code, linked):
    paragraph = nodes.paragraph("", "", nodes.literal("", code))
    links.link_names(paragraph[0], {"play": 1}, lambda child, place: nodes.strong("", "", child))
    assert bool(list(paragraph.findall(nodes.strong))) == linked and paragraph.astext() == code
