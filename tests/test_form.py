"""The form of the book: what should never slip, chapter by chapter. `make measure` shows the rest."""

import json
import re
from numbers import Real

import measure
import pytest

from mna.checks import CHECKS

CHAPTERS = sorted(map(measure.Chapter, (measure.ROOT / "notebooks").glob("*.ipynb")), key=lambda found: found.path)
FIRST = [chapter for chapter in CHAPTERS if chapter.number == "0"]

each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda found: found.path.stem)


# Each rule is a function that says what breaks it, so that a test below can see it say so.


def long_cells(chapter):
    cells = zip(chapter.code, chapter.lengths, strict=True)
    return [f"{cell['id']} has {length} lines" for cell, length in cells if length > measure.CELL]


def without_alt_text(chapter):
    return [cell for cell, alt in chapter.pictures if not alt.strip()]


def deep_classes(code):
    return [name for name, depth in measure.depths(code, measure.package_bases()).items() if depth > 1]


def code_of(chapter):
    return "\n".join(map(measure.text, chapter.code))


def wrong_title(chapter):
    start = f"# {chapter.number} · "
    right = re.fullmatch(rf"{start}\S.*", chapter.title)
    return "" if right else f"{chapter.title!r} should start with {start!r}"


def wrong_exercises(chapter, checks):
    """What is missing or wrong in the exercises, each as a sentence."""
    wrong = []
    for name, parts in chapter.exercises.items():
        wrong += [f"{name}: {len(cells)} cells tagged {part}" for part, cells in parts.items() if len(cells) != 1]
        if not re.fullmatch(rf"{chapter.number}\.\d+", name):
            wrong.append(f"{name}: an id of this chapter is {chapter.number}.1, {chapter.number}.2, …")
        if name not in checks:
            wrong.append(f"{name}: no check in mna/checks.py")
        for cell in parts["exercise"]:
            told = cell["metadata"].get("exercise", {})
            wrong += [f"{name}: no {field}" for field in ("minutes", "marks")
                      if not isinstance(told.get(field), Real) or told[field] <= 0]
        for part, kind in (("exercise", "markdown"), ("starter", "code"), ("solution", "code")):
            wrong += [f"{name}: the {part} is no {kind} cell" for cell in parts[part] if cell["cell_type"] != kind]
        for part in ("starter", "solution"):
            wrong += [f"{name}: the {part} does not call its check" for cell in parts[part]
                      if f'check("{name}", ' not in measure.text(cell)]
        wrong += [f"{name}: the solution is not folded" for cell in parts["solution"]
                  if "hide-cell" not in measure.tags(cell)]
    return wrong


def late_learning(chapter):
    if chapter.before_learning is None:
        return "no cell is tagged first-learning"
    words, lines = chapter.before_learning
    told = f"{words} words and {lines} lines until something learns"
    return told if words > measure.WORDS or lines > measure.LINES else ""


@each_chapter
def test_no_line_of_code_is_wider_than_a_box(chapter):
    assert not chapter.wide, f"over {measure.COLUMNS} columns: {chapter.wide}"


@each_chapter
def test_a_cell_of_code_is_one_idea(chapter):
    assert not long_cells(chapter), f"over {measure.CELL} lines: {long_cells(chapter)}"


@each_chapter
def test_every_figure_has_alt_text(chapter):
    assert not without_alt_text(chapter)


@each_chapter
def test_a_chapter_is_called_by_its_number(chapter):
    assert not wrong_title(chapter)


@each_chapter
def test_an_exercise_is_whole(chapter):
    assert not wrong_exercises(chapter, CHECKS)


@each_chapter
def test_no_class_of_a_chapter_descends_from_another_of_ours(chapter):
    assert not deep_classes(code_of(chapter))


@pytest.mark.parametrize("module", measure.modules(), ids=lambda path: path.stem)
def test_no_class_of_a_module_descends_from_another_of_ours(module):
    assert not deep_classes(module.read_text())


def test_chapters_are_numbered_in_the_order_of_the_contents():
    listed = [chapter.path for chapter in measure.in_order()]
    assert listed == [chapter.path for chapter in CHAPTERS], "_toc.yml has another order, or other chapters"
    assert len({chapter.number for chapter in CHAPTERS}) == len(CHAPTERS)


def test_every_check_has_its_exercise():
    there = {name for chapter in CHAPTERS for name in chapter.exercises}
    assert set(CHECKS) <= there, f"no chapter has {sorted(set(CHECKS) - there)}"


@pytest.mark.parametrize("chapter", FIRST, ids=lambda found: found.path.stem)
def test_something_learns_on_the_first_pages(chapter):
    assert not late_learning(chapter)


# ---------------------------------------------------------------- each rule finds what it looks for


def cell(source, kind="code", outputs=(), name="here", **metadata):
    return {"cell_type": kind, "id": name, "metadata": metadata, "source": source.splitlines(keepends=True)} | (
        {"outputs": list(outputs)} if kind == "code" else {})


def prose(source, **metadata):
    return cell(source, "markdown", **metadata)


@pytest.fixture
def written(tmp_path):
    """A chapter of these cells."""

    def write(*cells, name="02_try"):
        path = tmp_path / f"{name}.ipynb"
        path.write_text(json.dumps({"cells": list(cells)}))
        return measure.Chapter(path)

    return write


def test_a_wide_line_is_found(written):
    fits, wide = "x" * measure.COLUMNS, "y" * (measure.COLUMNS + 1)
    assert written(cell(f"{fits}\n{wide}")).wide == [("here", wide)]


def test_the_set_up_cell_is_not_counted(written):
    chapter = written(prose("# 2 · Try"), cell("z" * 99, tags=["setup"]), cell("1\n\n2"))
    assert chapter.size(chapter.cells) == (2, 2) and not chapter.wide and chapter.lengths == [3]


def test_a_long_cell_is_found(written):
    lines = ["pass"] * measure.CELL
    assert not long_cells(written(cell("\n".join(lines))))
    assert long_cells(written(cell("\n".join([*lines, "pass"])))) == ["here has 26 lines"]


def test_a_figure_without_alt_text_is_found(written):
    drawn = [{"output_type": "display_data", "data": {"image/png": "…"}}]
    described = {"mystnb": {"image": {"alt": "A line that falls."}}}
    assert not without_alt_text(written(cell("plot()", outputs=drawn, **described), prose("![A map.](a.png)")))
    assert without_alt_text(written(cell("plot()", outputs=drawn), prose("![](a.png)", name="there"))) == [
        "there", "here"]


@pytest.mark.parametrize("code, found", [
    ("class A(nn.Module): pass", []),
    ("class A:\n pass\nclass B(A): pass", ["B"]),
    ("class A:\n pass\nclass B:\n def f(self):\n  class C(A): pass", ["C"]),
    ("class A(Generic[T]): pass\nclass B(A[int]): pass", ["B"]),
    ("class A(ValueError): pass\nclass B(A): pass", []),
    ("class A(enum.Enum): pass\nclass B(A): pass", []),
    ("class F(torch.autograd.Function): pass\nclass G(F): pass", []),
    ("%matplotlib inline\nclass A: pass\nclass A(A): pass", []),
    ("from mna.language import MNAError\nclass B(MNAError): pass", []),
])  # fmt: skip
def test_a_class_below_another_is_found(code, found):
    assert deep_classes(code) == found


@pytest.mark.parametrize("name, title, right", [
    ("02_try", "# 2 · Try", True), ("10_speed", "# 10 · Speed", True), ("a_language", "# A · Language", True),
    ("00_first", "# 0 · First", True), ("02_try", "# 3 · Try", False), ("02_try", "# Try", False)])  # fmt: skip
def test_a_wrong_title_is_found(written, name, title, right):
    assert (wrong_title(written(prose(title), name=name)) == "") == right


def exercise(task=True, starter=True, solution=True, **told):
    """The cells of exercise 2.1."""
    mine, call = {"exercise": {"id": "2.1"}}, 'check("2.1", 1);'
    told = {"id": "2.1", "minutes": 5, "marks": 1} | told
    return [prose("Double it.", tags=["exercise"], exercise=told)] * task + [
        cell(call, tags=["starter"], **mine)] * starter + [
        cell(call, tags=["solution", "hide-cell"], **mine)] * solution  # fmt: skip


def test_a_whole_exercise_is_left_alone(written):
    assert not wrong_exercises(written(*exercise()), {"2.1"})


@pytest.mark.parametrize("cells, said", [
    (exercise(task=False), "0 cells tagged exercise"), (exercise(starter=False), "0 cells tagged starter"),
    (exercise(solution=False), "0 cells tagged solution"), (exercise() * 2, "2 cells tagged starter"),
    (exercise(minutes=None), "no minutes"), (exercise(marks=0), "no marks"), (exercise(id="2.2"), "2.2: no check"),
    ([cell("pass", tags=["starter"])], "without an id"),
    ([*exercise(solution=False), cell("pass", tags=["solution"], exercise={"id": "2.1"})], "does not call its check"),
    ([*exercise(solution=False), cell("pass", tags=["solution"], exercise={"id": "2.1"})], "not folded"),
])  # fmt: skip
def test_a_fault_of_an_exercise_is_named(written, cells, said):
    assert any(said in sentence for sentence in wrong_exercises(written(*cells), {"2.1"}))


def test_an_exercise_of_another_chapter_is_named(written):
    assert "an id of this chapter is 3.1" in " ".join(wrong_exercises(written(*exercise(), name="03_try"), {"2.1"}))


def test_late_learning_is_told(written):
    learns = cell("train()\n\nshow()", tags=["first-learning"])
    assert late_learning(written(prose("word " * measure.WORDS), cell("pass\n" * (measure.LINES - 2)), learns)) == ""
    assert "701 words" in late_learning(written(prose("word " * 701), learns))
    assert "121 lines" in late_learning(written(cell("pass\n" * 119), learns))
    assert "no cell" in late_learning(written(cell("train()")))


def test_words_are_those_of_the_prose():
    text = "# Two words\n[![Open in Colab](a b)](c d)\n[one link](https://a.b) – `code` $x$\n"
    text += "```\nno no\n```\n$$\ny z\n$$"
    assert measure.words_in(text) == 6


def test_minutes_are_stated_and_worked_out(written):
    folded = cell("pass\n" * 99, tags=["hide-input"])
    chapter = written(prose("**It takes** 20 minutes to read."), prose("word " * 394), cell("pass\n" * 15), folded,
                      prose("## Late\n5 minutes to read"))
    assert chapter.stated == 20 and chapter.minutes == pytest.approx(405 / 200 + 1)


def test_the_table_shows_every_chapter_and_module(capsys):
    measure.main()
    shown = capsys.readouterr().out
    assert all(f"\n{chapter.path.stem} " in shown for chapter in CHAPTERS)
    assert all(f"\n{path.stem} " in shown for path in measure.modules())
