"""What a chapter defines and does not export, for the pages and the tests that need it."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


def defined(stem: str, *cells: str) -> ModuleType:
    """A module of what a chapter exports and what these cells of it, named by their ids, define besides."""
    chapter = json.loads((NOTEBOOKS / f"{stem}.ipynb").read_text())
    source = {cell["id"]: "".join(cell["source"]) for cell in chapter["cells"]}
    made = ModuleType(stem)
    exported = import_module(f"mna.{chapter['metadata']['nbdev']['default_exp']}")
    vars(made).update((name, value) for name, value in vars(exported).items() if not name.startswith("__"))
    for cell in cells:
        exec(compile(source[cell], f"{stem}, cell {cell}", "exec"), vars(made))
    return made
