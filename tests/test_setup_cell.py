"""A chapter alone in an empty folder installs the package by its set-up cell, as it does in Colab."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import address
import pytest

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def bare(tmp_path):
    """An environment's folder with all that Colab has, and no `mna`."""
    venv.create(tmp_path / "bare")
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "bare")}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("mna", "__editable__")) and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    return tmp_path / "bare"


def with_setup_cell(chapter, folder):
    """The chapter's copy in an empty folder, as a script: its set-up cell, and where `mna` comes from."""
    folder.mkdir()
    shutil.copy(chapter, folder)
    cells = json.loads((folder / chapter.name).read_text())["cells"]
    (setup,) = (cell for cell in cells if "setup" in cell["metadata"].get("tags", []))
    script = folder / "setup.ipy"
    script.write_text("".join(setup["source"]) + "\nprint(mna.__file__)\n")
    return script


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_the_set_up_cell_installs_the_package(chapter, wheel, bare, tmp_path):
    script = with_setup_cell(chapter, tmp_path / "empty")
    environment = os.environ | {"MNA_INSTALL": str(wheel), "IPYTHONDIR": str(tmp_path)}
    environment |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
    environment.pop("PYTHONPATH", None)
    python = [bare / "bin/python", "-m", "IPython", script]
    done = subprocess.run(python, cwd=script.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(bare)
    assert "This chapter is for" not in done.stdout


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_the_set_up_cell_says_how_to_mend_another_release(chapter, tmp_path):
    script, release = with_setup_cell(chapter, tmp_path / "empty"), address.release()
    (script.parent / "mna").mkdir()
    (script.parent / "mna/__init__.py").write_text('__version__ = "98.7.6"\n')
    environment = os.environ | {"IPYTHONDIR": str(tmp_path)}
    python = [sys.executable, "-m", "IPython", script]
    done = subprocess.run(python, cwd=script.parent, env=environment, capture_output=True, text=True)
    message, where = done.stdout.splitlines()
    assert done.returncode == 0 and Path(where).is_relative_to(tmp_path)
    assert f"This chapter is for mna {release.version}; this is mna 98.7.6." in message
    assert f"%pip install {release.pip} and restart" in message and f"{release.url}/tree/v98.7.6/notebooks" in message


def test_without_the_set_up_cell_the_package_is_missing(bare, tmp_path):
    python = [bare / "bin/python", "-c", "import torch, gymnasium, IPython, mna"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(python, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "No module named 'mna'" in done.stderr
