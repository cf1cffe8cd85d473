"""The workflows call commands that exist; what is said about the project in several places agrees."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
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
    unknown = [line for line in commands if line != ".ci/run" and line.removeprefix("make ") not in TARGETS]
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
    assert "tests/test_environments.py" in files and all((ROOT / name).exists() for name in files)
    assert set(re.findall(r"`make ([a-z]+)`", text)) <= TARGETS
