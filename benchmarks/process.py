"""Run a measurement in a process of its own: `python -m benchmarks.process NAME FORM` prints its rows as JSON.

So that no measurement warms up, fills or slows another's process, and so that it can be given another tree's `mna`.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.rows import Form, Row

ROOT = Path(__file__).parent.parent


class BenchmarkError(Exception):
    """The benchmark cannot go on: the message names the value, the rule and the way out."""


def python(*words: str) -> list[str]:
    """A command of this Python that leaves the current folder out of the search for modules."""
    return [sys.executable, "-P", *words]


def measured(name: str, form: Form, tree: Path = ROOT) -> Iterator[Row]:
    """The rows of one measurement, as they come, with the `mna` of that tree. Raises BenchmarkError if it fails."""
    paths = os.pathsep.join([str(tree), str(ROOT)])
    command = python("-m", "benchmarks.process", name, json.dumps(asdict(form)))
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            yield Row(**json.loads(line))
    if child.returncode:
        raise BenchmarkError(f"measurement {name!r} ended with exit code {child.returncode} on the mna in {tree}; "
                             "what it said stands above: correct that first")


def main(name: str, form: str) -> None:
    for row in importlib.import_module(f"benchmarks.{name}").measure(Form(**json.loads(form))):
        print(json.dumps(asdict(row)), flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:  # the parent tells what was measured
        sys.exit(130)
