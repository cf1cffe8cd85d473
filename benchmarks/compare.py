"""This tree and another revision: our own measurements of both, in turns, as ratios new/old.

Only the package `mna` is taken from the revision, so both are measured by the same benchmark, and nothing is left
behind in the repository.
"""

import io
import math
import subprocess
import tarfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from benchmarks.process import ROOT, BenchmarkError, measured
from benchmarks.report import columns
from benchmarks.rows import Form, Row, number

OWN = ("footprint", "learning", "growth")
HEAD = ("what", "new/old", "new", "old", "unit")


def git(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True)


def check_out(revision: str, folder: Path) -> None:
    """Put the package as it was at a revision into a folder. Raises BenchmarkError if there is no such revision."""
    if git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}").returncode:
        raise BenchmarkError(f"BASE={revision} is no revision of this repository: name a commit, a branch or a tag, "
                             "for example BASE=HEAD~1")
    archive = git("archive", "--format=tar", revision, "mna")
    if archive.returncode:
        raise BenchmarkError(f"BASE={revision} has no package mna: name a later revision")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")


class Comparison:
    """What was measured of both trees so far."""

    def __init__(self):
        self.units: dict[str, str] = {}
        self.values: dict[str, dict[str, list[float]]] = defaultdict(lambda: {"new": [], "old": []})

    def add(self, side: str, row: Row) -> None:
        self.units[row.name] = row.unit
        self.values[row.name][side] += row.values

    def line(self, name: str) -> tuple[str, ...]:
        """The cells of one row: – where a tree did not reach what is timed."""
        new, old = (median(self.values[name][side]) for side in ("new", "old"))
        ratio = new / old if math.isfinite(new) and math.isfinite(old) and old else math.inf
        return name, number(ratio), number(new), number(old), self.units[name]

    def table(self) -> str:
        """The ratios of medians, of all that was measured on both sides."""
        both = [name for name, sides in self.values.items() if sides["new"] and sides["old"]]
        return "\n".join(columns([HEAD, *map(self.line, both)]))


def run(comparison: Comparison, folder: Path, rounds: int) -> None:
    """Measure both trees, in turns: new, old, new, old, ... Each round has seeds of its own."""
    for i in range(rounds):
        for name in OWN:
            for side, tree in (("new", ROOT), ("old", folder)):
                print(f"round {i + 1} of {rounds}: {name}, {side}", flush=True)
                for row in measured(name, Form(short=True, seed=10 * i), tree):
                    comparison.add(side, row)
