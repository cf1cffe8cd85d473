"""The record in the book's prose, and what the Makefile says."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import record
from nbval.plugin import get_sanitize_patterns

ROOT = Path(__file__).parent.parent

MASTERED = {"first_mastered": 21_500, "forgetting": 0.0, "worst_dip": 0.04}
NEVER = {"first_mastered": None, "forgetting": None, "worst_dip": None}
RUN = {
    "profile": "seed", "seed": 3, "budget": 200_000, "decisions": 200_123, "seconds": 41.4,
    "decisions_per_second": 4830.9, "engine": "fast", "parameters": 123_456, "commit": "abc1234", "mna": "0.1.0",
    "python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6", "machine": "2 cores", "date": "2026-01-02",
    "exam_problems": 1000, "random_problems": 300,
    "exams": {"plain5": 1, "plain10": 0.5, "mixed5": 0.993, "mixed10": 0.9995},
    "random": {"plain5": 0.01, "plain10": 0, "mixed5": 0.0065, "mixed10": 0.0001},
    "milestones": {"add": MASTERED, "mixed10": NEVER},
}  # fmt: skip


def written(tmp_path, run):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(run))
    return path


def substitutions(folder):
    """What pages under `folder` can name."""
    options = {"repository_url": "https://example.org/mna", "repository_branch": "v98.7.6"}
    config = SimpleNamespace(html_theme_options=options)
    record.set_substitutions(SimpleNamespace(confdir=folder), config)
    return config.myst_substitutions


def row(*cells):
    """A row of a table whose cells do not break."""
    return "| {} |".format(" | ".join(cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in cells))


@pytest.mark.parametrize(
    "fraction, text", [(None, "–"), (0, "0 %"), (0.0065, "0.65 %"), (0.9, "90 %"), (0.9995, "99.95 %"), (1, "100 %")]
)
def test_percent(fraction, text):
    assert record.percent(fraction) == text


def test_pages_get_the_numbers_of_the_run_beside_them(tmp_path):
    written(tmp_path, RUN)
    words = substitutions(tmp_path)
    assert words["decisions"] == "200,123" and words["seconds"] == "41"
    assert words["decisions_per_second"] == "4,831"
    assert words["exam"]["mixed10"] == "99.95 %" and words["chance"]["mixed5"] == "0.65 %"
    assert "pip install git+https://example.org/mna@v98.7.6\n" in words["install"]
    assert words["exams_table"].splitlines() == [
        "| exam | policy | 5 numbers | 10 numbers |", "|---|---|---|---|",
        row("plain", "agent", "100 %", "50 %"), row("", "random legal", "1 %", "0 %"),
        row("mixed", "agent", "99.3 %", "99.95 %"), row("", "random legal", "0.65 %", "0.01 %")]
    assert words["milestones_table"].splitlines()[2:] == [
        row("add", "21,500 decisions", "0 %", "4 %"), row("mixed10", "–", "–", "–")]


def test_the_headline_says_after_what_how_much_and_what_chance_does(tmp_path):
    written(tmp_path, RUN)
    said = substitutions(tmp_path)["headline"]
    assert said.startswith("After 200,123 decisions, in 41 seconds of training, the agent answers 99.95 % of 1,000")
    assert said.endswith("a random legal policy answers 0.01 % of 300.")


def test_without_a_run_they_get_no_numbers(tmp_path):
    assert list(substitutions(tmp_path)) == ["install"]


@pytest.mark.parametrize("field", record.FIELDS)
def test_a_missing_field_is_named(tmp_path, field):
    run = {name: value for name, value in RUN.items() if name != field}
    with pytest.raises(ValueError, match=rf"lacks {field}[;,]"):
        record.load(written(tmp_path, run))


@pytest.mark.parametrize("field", record.MILESTONE_FIELDS)
def test_a_missing_field_of_a_milestone_is_named(tmp_path, field):
    run = copy.deepcopy(RUN)
    del run["milestones"]["add"][field]
    with pytest.raises(ValueError, match=rf"lacks milestones\.add\.{field};"):
        record.load(written(tmp_path, run))


@pytest.mark.parametrize("table", ["exams", "random"])
def test_a_record_without_the_exam_of_the_headline_is_refused(tmp_path, table):
    run = copy.deepcopy(RUN)
    del run[table]["mixed10"]
    with pytest.raises(ValueError, match=rf"lacks {table}\.mixed10;"):
        record.load(written(tmp_path, run))


def test_the_report_lines_its_columns_up():
    head, *rows, _, last = record.report(record.in_words(RUN)).splitlines()
    assert [row.split()[0] for row in rows[::2]] == ["plain", "mixed"]
    assert rows[2].index("99.95 %") == rows[0].index("50 %") == head.index("10 numbers")
    assert last == "Profile seed, seed 3: 200,123 decisions in 41 s (4,831 a second)."


def test_the_readme_points_at_files_that_exist():
    targets = re.findall(r"\]\(([^):]+)\)", (ROOT / "README.md").read_text())
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert "notebooks" in targets and not missing


def make(*arguments, cwd=ROOT):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


def test_help_lists_the_targets():
    printed = make("help").stdout
    for target in ["book", "test", "serve", "notebooks", "measure", "lint", "clean"]:
        assert f"make {target} " in printed


def test_an_old_python_is_refused_before_anything_is_made(tmp_path):
    for name in ["Makefile", "requirements.txt", "pyproject.toml"]:
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "python3.10"
    pretend = "import sys; sys.version_info = (3, 10, 4); exec(sys.argv[2])"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{pretend}" "$@"\n')
    old.chmod(0o755)
    done = make(".venv/.stamp", f"PYTHON={old}", cwd=tmp_path)
    assert done.returncode != 0 and not (tmp_path / ".venv").exists()
    assert "is Python 3.10 and the book needs 3.11 or newer" in done.stderr


def sanitized(text):
    """What nbval compares of an output."""
    for regex, replacement in get_sanitize_patterns((ROOT / "tests/nbval_sanitize.cfg").read_text()):
        text = re.sub(regex, replacement, text)
    return text


def test_the_line_of_a_figure_is_not_compared():
    """Its size in dots follows from settings that a chapter does not show."""
    lines = ["<Figure size 640x480 with 1 Axes>", "<Figure size 576x432 with 2 Axes>"]
    assert {sanitized(f"a {line} b") for line in lines} == {"a FIGURE b"}


def test_an_address_is_not_compared_and_a_size_is():
    assert sanitized("at 0x7f0c2a1b3d90>") == sanitized("at 0x55d0c0ffee10>") == "at ADDRESS>"
    assert sanitized("a board of 900x300 and 0xff") == "a board of 900x300 and 0xff"
