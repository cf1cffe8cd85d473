"""Run chapters with their defaults, save their outputs, and record the runs in results/status.json.

    python scripts/chapters.py              (make notebooks)
    python scripts/chapters.py 03_memory    (make notebooks CHAPTER=03_memory)
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


def main(names):
    """Run the chapters of these names, or all. The runs of chapters that are gone leave the record."""
    record, chapters = ROOT / "results/status.json", sorted((ROOT / "notebooks").glob("*.ipynb"))
    known = [path.stem for path in chapters]
    if unknown := set(names) - set(known):
        sys.exit(f"no chapter {', '.join(sorted(unknown))}; chapters: {', '.join(known)}")
    fresh = {}
    for path in chapters:
        if not names or path.stem in names:
            chapter, fresh[path.stem] = run(path)
            nbformat.write(chapter, path)
            print(f"{path.stem}: {fresh[path.stem]['seconds']} s", flush=True)
    runs = json.loads(record.read_text()) | fresh  # read late: others may have run chapters meanwhile
    kept = {name: runs[name] for name in known if name in runs}
    record.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
