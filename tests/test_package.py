"""The package is what the chapters export, and the repository is in style and pinned."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mna

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
BY_HAND = {"__init__.py", "__main__.py", "checks.py"}
EXPORTED = sorted(path for path in (ROOT / "mna").glob("[!_]*.py") if path.name not in BY_HAND)


@pytest.fixture
def copy(tmp_path):
    """A copy of the chapters and of what is written by hand, without the exported modules."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    (tmp_path / "mna").mkdir()
    for name in BY_HAND:
        if (ROOT / "mna" / name).exists():
            shutil.copy(ROOT / "mna" / name, tmp_path / "mna")
    return tmp_path


def texts(folder, pattern):
    return {path.name: path.read_text() for path in folder.glob(pattern) if path.name != "_modidx.py"}


def test_the_package_is_what_the_chapters_export(copy):
    subprocess.run([BIN / "nbdev-export"], cwd=copy, check=True)
    exported, package = texts(copy / "mna", "*.py"), texts(ROOT / "mna", "*.py")
    differ = sorted(name for name in exported | package if exported.get(name) != package.get(name))
    assert not differ, f"{differ} differ: nbdev-export carries a chapter's edit over, nbdev-update a module's"


def test_the_chapters_are_clean(copy):
    subprocess.run([BIN / "nbdev-clean"], cwd=copy, check=True)
    assert texts(copy / "notebooks", "*.ipynb") == texts(ROOT / "notebooks", "*.ipynb"), "run nbdev-clean"


PLACES = {"a_language": "0", "b_problems": "00", "c_batched": "10"}  # before 00_…, and between 09_… and 10_…


def chapter_of(module):
    """The chapter that exports a module, by a name that sorts; PLACES is where appendices stand among the chapters."""
    chapter = re.search(r"File to edit: \.\./notebooks/(\w+)\.ipynb", module.read_text())[1]
    return PLACES.get(chapter, chapter)


def imports(module):
    """What a module imports, by the names that modules of the package have."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield from [node.module] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("mna.") for alias in node.names)


@pytest.mark.parametrize("module", EXPORTED, ids=lambda path: path.stem)
def test_a_module_imports_only_from_earlier_chapters(module):
    chapters = {path.stem: chapter_of(path) for path in EXPORTED}
    late = [name for name in imports(module) if chapters.get(name, "") > chapters[module.stem]]
    assert not late, f"{module.stem} imports {late}, which a later chapter exports"


ONE_LINE_MORE = [("environments", "TOOLS: dict[str, Tool] = {tool.name: tool for tool in [\n",
                  '    Tool("FROM", 2, lambda x, y: y - x),\n'),
                 ("problems", "RECIPES = {\n", '    "sums": Recipe("plus and minus only", 2, operators="+-"),\n')]
WITH_BOTH = """
import sys
import mna
from mna.training import Run

shipped = mna.load_agent()
asked = ["3+4", "2*(3+4)-9", "7-2x=1", "|3-7|*2"]
assert "FROM" not in shipped.config.tools and all(told["correct"] for told in mna.solve(asked, shipped))
assert all([*mna.watch(shipped, mna.parse(text))][-1].correct for text in asked)
config = mna.TrainingConfig(ladder=("sums2", "sums9", "mixed3"), decisions=300, first=100, last=100)
assert {"sums2", "sums10"} < set(mna.TrainingConfig().ladder) and config.agent.tools[0] == "FROM"
for engine in (mna.PLAIN, mna.FAST):
    run = Run(config, engine)
    run.iterate()
    mna.save_agent(run.agent, sys.argv[1])
    assert mna.load_agent(sys.argv[1]).config.tools[0] == "FROM"
    told = mna.exam(run.agent, ["sums5"], 20, engine=engine, greedy=False, uniform=True)
    assert 0 <= told["sums5"] <= 1
print("done")
"""


def test_a_tool_and_a_kind_of_level_are_one_line_each_and_the_shipped_agent_does_not_mind(tmp_path):
    shutil.copytree(ROOT / "mna", tmp_path / "mna", ignore=shutil.ignore_patterns("__pycache__"))
    for module, start, line in ONE_LINE_MORE:
        path = tmp_path / f"mna/{module}.py"
        assert path.read_text().count(start) == 1
        path.write_text(path.read_text().replace(start, start + line))
    alone = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WITH_BOTH, tmp_path / "agent"]
    done = subprocess.run(command, cwd=tmp_path, env=alone, text=True, capture_output=True)
    assert done.stdout == "done\n", done.stderr


def test_every_name_that_the_package_offers_is_there():
    assert sorted(set(dir(mna)) - {"__version__"}) == sorted(mna.__all__)
    assert all(hasattr(mna, name) for name in mna.__all__) and not hasattr(mna, "no_such_name")


def test_importing_the_package_loads_no_torch():
    code = "import sys, mna; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_wheel_says_that_it_has_types(wheel):
    assert "mna/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_the_api_page_has_every_module():
    shown = re.findall(r"automodule:: mna\.(\w+)", (ROOT / "book/api.md").read_text())
    assert sorted(shown) == sorted(path.stem for path in (ROOT / "mna").glob("[!_]*.py"))


def test_every_requirement_is_pinned():
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    loose = [line for line in lines if line and not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert not loose


def test_what_the_package_needs_is_among_the_requirements():
    from importlib.metadata import requires

    names = {re.match(r"[\w-]+", line)[0] for line in requires("mna")}
    pinned = {line.partition("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines()}
    assert names and names <= pinned


def test_the_code_is_in_style():
    done = subprocess.run([BIN / "ruff", "check", "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
