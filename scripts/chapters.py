"""Run every chapter with its defaults, save its outputs, and record the run in results/status.json.

    python scripts/chapters.py        (make notebooks)
"""

import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "book/_ext"))
from status import code_of  # noqa: E402


def run(path):
    """Execute one chapter. Returns it with its outputs, and what the status page says about the run."""
    chapter = nbformat.read(path, as_version=4)
    os.environ["TQDM_DISABLE"] = "1"  # progress bars are for whoever runs a chapter, not for its saved outputs
    start = time.perf_counter()
    resources = {"metadata": {"path": path.parent}}
    NotebookClient(chapter, timeout=600, coalesce_streams=True, resources=resources).execute()
    seconds = time.perf_counter() - start
    return chapter, {
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(seconds, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        **{name: version(name) for name in ("mna", "torch", "numpy")},
        "code": code_of(chapter),
    }


def main():
    runs = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        chapter, runs[path.stem] = run(path)
        nbformat.write(chapter, path)
        print(f"{path.stem}: {runs[path.stem]['seconds']} s", flush=True)
    (ROOT / "results/status.json").write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
