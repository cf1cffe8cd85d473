"""What the test files share: one thread, and one book, built once."""

import fcntl
import os
import subprocess
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
