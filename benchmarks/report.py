"""The table that a reader sees, and the record with the circumstances of its making."""

import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.process import ROOT
from benchmarks.rows import Row, number

PACKAGES = ("torch", "numpy", "gymnasium")
HEAD = ("what", "median", "unit", "low … high", "bar", "")


def columns(lines: list[tuple[str, ...]]) -> list[str]:
    """The cells of each line, set below each other; numbers, in the second column, to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(cell.rjust(w) if i == 1 else cell.ljust(w)
                      for i, (cell, w) in enumerate(zip(line, widths, strict=True))).rstrip()
            for line in lines]  # fmt: skip


def cells(row: Row) -> tuple[str, ...]:
    """A row as the table shows it."""
    spread = f"{number(min(row.values))} … {number(max(row.values))}" if len(row.values) > 1 else ""
    bar = f"≥ {number(row.at_least)}" if row.at_least is not None else ""
    bar = f"≤ {number(row.at_most)}" if row.at_most is not None else bar
    met = {True: "met", False: "missed", None: ""}[row.met]
    return row.name, number(row.value), row.unit, spread, bar, met


def table(rows: Iterable[Row]) -> str:
    """All rows below each other, a note under each that has one."""
    rows = list(rows)
    head, *body = columns([HEAD, *map(cells, rows)])
    lines = [head, "-" * max(map(len, (head, *body)))]
    for row, line in zip(rows, body, strict=True):
        lines += [line] + [f"    ({row.note})"] * bool(row.note)
    return "\n".join(lines)


def commit() -> str:
    """The commit that is measured, + if files were changed since; "unknown" outside of a repository.

    Where the files are a copy without their history, the environment variable MNA_COMMIT says it.
    """
    if "MNA_COMMIT" in os.environ:
        return os.environ["MNA_COMMIT"]
    words = ["git", "describe", "--always", "--dirty=+", "--exclude", "*"]
    done = subprocess.run(words, cwd=ROOT, text=True, capture_output=True)
    return "unknown" if done.returncode else done.stdout.strip()


def processor() -> str:
    """The processor's name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def circumstances(**others) -> dict:
    """Where and with what the rows were measured, and what else there is to say."""
    installed = {name: version(name) for name in PACKAGES if find_spec(name.replace("-", "_"))}
    return dict(commit=commit(), date=date.today().isoformat(), machine=f"{processor()}, {os.cpu_count()} cores",
                **others, python=platform.python_version()) | installed  # fmt: skip


def as_json(row: Row) -> dict:
    """A row for the record; what was not reached is null, for JSON knows no infinity."""

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return asdict(row) | dict(value=finite(row.value), values=[finite(v) for v in row.values], met=row.met)


def write(path: Path, rows: Iterable[Row], about: dict) -> None:
    """Write the record, in place of the one before. about: its circumstances."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = about | dict(rows=[as_json(row) for row in rows])
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
