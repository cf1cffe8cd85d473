"""When each chapter last ran, how long, and with which versions: {{ status_table }} for Markdown pages.

`make notebooks` writes the runs to results/status.json, with a digest of the code that ran, so that the page can say
where a chapter has changed since. The training chapter is run again by `make book`; papermill leaves the times in its
metadata, and the record beside _config.yml has its versions.
"""

import hashlib
import json
from pathlib import Path

COLUMNS = ("chapter", "last ran", "took", "Python", "mna", "PyTorch", "NumPy", "machine", "note")


def code_of(chapter):
    """A digest of a chapter's code cells, but for the set-up cell, which each release rewrites."""
    code = [cell for cell in chapter["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in code if "setup" not in cell["metadata"].get("tags", [])]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:12]


def by_papermill(chapter, record):
    """The run that papermill's metadata and the training record tell of, as results/status.json has it."""
    times = chapter["metadata"]["papermill"]
    same = {name: record[name] for name in ("machine", "python", "mna", "torch", "numpy")}
    return same | {"date": times["end_time"][:10], "seconds": times["duration"], "note": f"profile {record['profile']}"}


def note(run, chapter):
    """What a reader should know about a run, mostly nothing."""
    if "note" in run:
        return run["note"]
    return "" if run["code"] == code_of(chapter) else "its code has changed since"


def row(stem, chapter, run):
    title = "".join(chapter["cells"][0]["source"]).splitlines()[0].removeprefix("# ")
    link = f"[{title}](../notebooks/{stem}.ipynb)"
    if run is None:
        return [link, *["–"] * (len(COLUMNS) - 2), "no run is recorded yet"]
    versions = [run[name] for name in ("python", "mna", "torch", "numpy", "machine")]
    return [link, run["date"], f"{run['seconds']:.0f} s", *versions, note(run, chapter)]


def table(folder):
    """The table, in Markdown, for the chapters and records under `folder`."""
    runs = json.loads((folder / "results/status.json").read_text())
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    for path in sorted((folder / "notebooks").glob("*.ipynb")):
        chapter, run = json.loads(path.read_text()), runs.get(path.stem)
        if "papermill" in chapter["metadata"]:
            run = by_papermill(chapter, json.loads((folder / "record.json").read_text()))
        rows.append(row(path.stem, chapter, run))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def add_table(app, config):
    config.myst_substitutions["status_table"] = table(Path(app.confdir))


def setup(app):
    app.connect("config-inited", add_table, priority=600)  # after the record's substitutions
    return {"parallel_read_safe": True}
