"""What the test files share: one thread, one book, built once, and the wheel."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def one_thread():
    """Small operations are faster on one thread, and their last digits do not depend on the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def built():
    """The folder of a book built with the smoke profile, and what `make book` printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    (ROOT / "_build").mkdir(exist_ok=True)
    with open(ROOT / "_build/smoke.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests run in two processes
        command = ["make", "book", "PROFILE=smoke", "BUILD=_build/smoke"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return ROOT / "_build/smoke/html", done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The package as a wheel, built from a copy so that nothing is left in the repository."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ["pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(ROOT / name, source)
    for folder in ("mna", "results"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", built, source], check=True)
    (wheel,) = built.glob("*.whl")
    return wheel
