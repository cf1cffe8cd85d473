"""Each chapter, alone in an empty folder, runs from its first cell to its last with what Colab brings.

`make colab` builds the environment and runs this; `make colab OLDEST=1` takes the oldest versions that pyproject.toml
allows. The set-up cell installs the wheel of this repository, into an environment of the chapter's own.
"""

import os
import shutil
import sysconfig
import tomllib
import venv
from pathlib import Path

import colab
import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FOLDER = os.environ.get("MNA_COLAB")


def site_packages(folder):
    return Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))


@pytest.fixture
def python(tmp_path):
    """A Python that sees all that Colab brings, and has room of its own for what the set-up cell installs."""
    if not FOLDER:
        pytest.skip("needs an environment that has only what Colab brings: make colab builds it, and runs this")
    venv.create(tmp_path / "own")
    (site_packages(tmp_path / "own") / "colab.pth").write_text(str(site_packages(Path(FOLDER).resolve())) + "\n")
    return tmp_path / "own/bin/python"


@pytest.fixture
def bare(wheel, python, monkeypatch, tmp_path):
    """The kernel's environment: the wheel in place of the repository, and no network."""
    colab_folder = Path(FOLDER).resolve()
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "MNA_INSTALL": wheel,
        "PIP_NO_INDEX": 1,
        "PIP_FIND_LINKS": colab_folder / "wheels",
        "PIP_CONSTRAINT": colab_folder / "constraints.txt",
        "IPYTHONDIR": tmp_path / "ipython",
    }.items():
        monkeypatch.setenv(name, str(value))


CHECK = """
import sys
from importlib.metadata import version
assert mna.__file__.startswith(sys.prefix), mna.__file__
for name in NAMES:
    print(f"{name}=={version(name)}")
"""


class KernelOf(AsyncKernelManager):
    """A kernel of the Python at `python`, whatever kernels this machine has."""

    python = ""

    @property
    def kernel_spec(self):
        spec = KernelSpecManager().get_kernel_spec("python3")
        spec.argv[0] = self.python
        return spec


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs_alone_with_what_colab_brings(chapter, python, bare, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    shutil.copy(chapter, folder)
    notebook = nbformat.read(folder / chapter.name, as_version=4)
    asked = (Path(FOLDER) / "constraints.txt").read_text().split()
    names = [colab.name_of(line) for line in asked]
    notebook.cells.append(nbformat.v4.new_code_cell(f"NAMES = {names}\n{CHECK}"))
    kernel = type("Kernel", (KernelOf,), {"python": str(python)})
    place = {"metadata": {"path": folder}}
    options = dict(timeout=300, coalesce_streams=True, kernel_manager_class=kernel, resources=place)
    NotebookClient(notebook, **options).execute()
    found = notebook.cells[-1].outputs[0].text.split()
    assert all(have.startswith(want) for have, want in zip(found, asked, strict=True)), f"{found}, not {asked}"


def test_the_oldest_versions_are_the_lower_bounds_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = [*project["dependencies"], *project["optional-dependencies"]["tensorboard"]]
    assert all(bound.count(">=") == 1 for bound in bounds)
    assert [line.split("==") for line in colab.oldest()] == [bound.split(">=") for bound in bounds]


def test_colab_has_the_pinned_versions_of_what_it_brings_and_mna_needs():
    names = {colab.name_of(line) for line in colab.pinned()}
    assert names == {*colab.BRINGS, *map(colab.name_of, colab.needs())}
