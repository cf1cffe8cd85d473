"""The workflows call commands that exist; what is said about the project in several places agrees."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import address
import chapters
import nbformat
import pytest
import status
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))

each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)


def steps(workflow):
    return [step for job in yaml.safe_load(workflow.read_text())["jobs"].values() for step in job["steps"]]


@each_workflow
def test_a_workflow_calls_the_same_commands_as_we_do(workflow):
    commands = [line for step in steps(workflow) for line in step.get("run", "").splitlines()]
    unknown = [line for line in commands if line != ".ci/run" and line.removeprefix("make ").split()[0] not in TARGETS]
    assert commands and not unknown


@each_workflow
def test_a_workflow_names_the_version_of_each_action_and_may_write_only_where_it_publishes(workflow):
    jobs = yaml.safe_load(workflow.read_text())
    actions = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert actions and all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in actions)
    assert jobs["permissions"] == {"contents": "read"}
    assert {name for name, job in jobs["jobs"].items() if "permissions" in job} <= {"publish"}


def test_the_book_is_published_only_when_its_tests_pass():
    jobs = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text())["jobs"]
    assert set(jobs["publish"]["needs"]) == {"test", "build"} and "main" in jobs["publish"]["if"]


def test_one_workflow_runs_by_the_clock_with_the_newest_versions():
    workflow = yaml.safe_load((ROOT / ".github/workflows/newest.yml").read_text())
    (at,) = workflow[True]["schedule"]  # YAML reads the key `on` as true
    assert len(at["cron"].split()) == 5


def test_newest_lets_every_version_go_and_keeps_jupyter_book_1():
    command = re.search(r"(?m)^\t(sed .*requirements\.txt) >", (ROOT / "Makefile").read_text())[1]
    loose = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [line.partition("#")[0].strip() for line in loose.splitlines()]
    assert "torch" in names and [name for name in names if "=" in name] == ["jupyter-book>=1.0.4.post1,<2"]


def test_the_citation_and_the_changelog_name_the_version_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["version"] and citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    assert re.search(r"(?m)^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text())[1] == project["version"]


def test_contributing_names_files_and_commands_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    files = re.findall(r"`((?:book|tests|mna)/[\w/.]+)`|\]\(([^):]+)\)|pytest (tests/\w+\.py)", text)
    files = [name for names in files for name in names if name and name != "mna/name.py"]
    assert "mna/checks.py" in files and all((ROOT / name).exists() for name in files)
    assert set(re.findall(r"`make ([a-z]+)`", text)) <= TARGETS


CODE = {"cell_type": "code", "metadata": {}, "source": ["1 + 1"]}
RAN = {"date": "2026-01-02", "seconds": 12.6, "python": "3.11.7", "mna": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"}
RAN |= {"machine": "2 cores"}


def status_rows(folder, chapter, runs, record=RAN):
    """The status page's rows for one chapter, each a list of cells."""
    for place, text in {"results/status.json": runs, "notebooks/01_try.ipynb": chapter, "record.json": record}.items():
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_text(json.dumps(text))
    return [line.strip("| ").split(" | ") for line in status.table(folder).splitlines()[2:]]


def chapter(*cells, **metadata):
    return {"cells": [{"cell_type": "markdown", "source": ["# 1 · Try\n", "more"]}, *cells], "metadata": metadata}


def test_the_status_page_says_when_a_chapter_ran_and_with_what(tmp_path):
    runs = {"01_try": RAN | {"code": status.code_of(chapter(CODE))}}
    ((title, *cells),) = status_rows(tmp_path, chapter(CODE), runs)
    assert title == "[1 · Try](../notebooks/01_try.ipynb)"
    assert cells == ["2026-01-02", "13 s", "3.11.7", "0.1.0", "2.13.0", "2.4.6", "2 cores"]


def test_the_status_page_says_when_the_code_has_changed_since(tmp_path):
    runs = {"01_try": RAN | {"code": status.code_of(chapter(CODE))}}
    (cells,) = status_rows(tmp_path, chapter(CODE, CODE), runs)
    assert cells[-1] == "its code has changed since"


def test_a_new_release_leaves_a_run_as_recent_as_it_is(tmp_path):
    first, second = (address.setup_cell(address.Release("https://a.org", version)) for version in ("1.2", "1.3"))
    runs = {"01_try": RAN | {"code": status.code_of(chapter(first, CODE))}}
    (cells,) = status_rows(tmp_path, chapter(second, CODE), runs)
    assert first != second and cells[-1] == "2 cores"


def test_the_status_page_admits_that_a_chapter_has_no_record(tmp_path):
    (cells,) = status_rows(tmp_path, chapter(CODE), {})
    assert cells[1:] == ["–"] * 7 + ["no run is recorded yet"]


def test_the_training_chapter_tells_of_its_own_run(tmp_path):
    times = {"end_time": "2026-03-04T05:06:07+00:00", "duration": 61.2}
    (cells,) = status_rows(tmp_path, chapter(CODE, papermill=times), {}, RAN | {"profile": "seed"})
    assert cells[1:3] == ["2026-03-04", "61 s"] and cells[-1] == "profile seed"


def test_the_repository_records_a_run_of_every_chapter_and_of_no_other():
    runs = json.loads((ROOT / "results/status.json").read_text())
    written = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(runs) == written, "make notebooks"


@pytest.mark.parametrize("names, said", [
    (["a_language"], "a_language: "), ([], "a_language: "), (["z"], "no chapter z")])
def test_one_chapter_or_all_are_run_and_recorded(names, said, tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "results/status.json").write_text(json.dumps({"gone": {}, "b_other": {}}))
    for name in ("a_language", "b_other"):
        shutil.copy(ROOT / "notebooks/a_language.ipynb", tmp_path / f"notebooks/{name}.ipynb")
    monkeypatch.setattr(chapters, "ROOT", tmp_path)
    monkeypatch.setattr(chapters, "run", lambda path: (nbformat.read(path, as_version=4), {"seconds": 1}))
    try:
        chapters.main(names)
        told = capsys.readouterr().out
    except SystemExit as refused:
        told = str(refused)
    assert told.startswith(said) and told.count("b_other: ") == (names == [])
    runs = json.loads((tmp_path / "results/status.json").read_text())
    assert list(runs) == (["gone", "b_other"] if names == ["z"] else ["a_language", "b_other"])


@pytest.mark.parametrize("page", ["intro", "results", "how_to_use"])
def test_the_prose_links_to_the_glossary(page):
    assert (ROOT / f"book/{page}.md").read_text().count("{term}`") > 0
