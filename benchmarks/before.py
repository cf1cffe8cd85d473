"""Where the time of training went before it was made fast: the measurement `parts`, of an old revision of `mna`.

A clone without the whole history does not have that revision; there it is left out.
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.compare import check_out
from benchmarks.process import BenchmarkError, measured
from benchmarks.rows import Form, Row

REVISION = "d9cecad"  # the first one with an agent that ships


def measure(form: Form) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            check_out(REVISION, Path(folder))
        except BenchmarkError as error:
            print(f"not measured: {error}", file=sys.stderr)
            return
        for row in measured("parts", form, Path(folder)):
            yield replace(row, name=f"before, {row.name}", note=f"commit {REVISION}")
