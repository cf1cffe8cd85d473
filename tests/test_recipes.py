"""The recipes run as they are written, page by page, and each checks what it says."""

import ast
import re
from pathlib import Path

import pytest

from mna import environments, problems, training

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "book/recipes").glob("*.md"))


def blocks(page: Path) -> list[str]:
    """The Python that a page says to run; what is only shown is fenced as `py`."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.S | re.M)


@pytest.fixture
def registries():
    """What a recipe adds to a registry is gone afterwards."""
    kept = [(registry, dict(registry)) for registry in (environments.TOOLS, problems.RECIPES, training.MEMORIES)]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)


def test_there_are_recipes():
    assert len(PAGES) == 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_recipe_runs_as_it_stands(page, registries, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    asserts = [node for block in found for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Assert)]
    assert asserts, "a recipe checks what it says"
    names = {"__name__": page.stem}
    for i, block in enumerate(found, 1):
        exec(compile(block, f"{page.name}, block {i}", "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_recipe_is_short_and_fits_its_box(page):
    found = blocks(page)
    assert 1 <= len(found) <= 2
    assert all(len(line) <= 88 for block in found for line in block.splitlines())
    assert all(len(block.splitlines()) <= 18 for block in found)
    words = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M).split()
    assert 80 <= len(words) <= 250
