"""`python -m benchmarks [--short] [--base REVISION]`: measure, print a table, write the record."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import compare, report
from benchmarks.process import ROOT, BenchmarkError, measured
from benchmarks.rows import Form, Row

MEASUREMENTS = ("footprint", "learning", "growth", "peers")  # each a module of this package
ONE_THREAD = "processor seconds of one thread but where a row says"
INTERRUPTED = 130  # the exit code of a command that Ctrl-C ended


def bench(short: bool) -> int:
    """Every measurement of this tree. Returns an exit code; Ctrl-C leaves the record as it was.

    The record of a short form is not kept with the results.
    """
    rows: list[Row] = []
    try:
        for name in MEASUREMENTS:
            print(f"measuring {name} ...", end=" ", flush=True)
            start = time.perf_counter()
            for row in measured(name, Form(short)):
                rows.append(row)
            print(f"{time.perf_counter() - start:.0f} s", flush=True)
    except KeyboardInterrupt:
        print(f"\nInterrupted; nothing is written. Measured so far:\n\n{report.table(rows)}")
        return INTERRUPTED
    path = ROOT / ("_build/bench_short.json" if short else "results/bench.json")
    report.write(path, rows, report.circumstances(form="short" if short else "full", clock=ONE_THREAD))
    print(f"\n{report.table(rows)}\n\nWritten to {path.relative_to(ROOT)}")
    return 0


def against(base: str, short: bool) -> int:
    """This tree and another revision. Returns an exit code."""
    comparison, code = compare.Comparison(), 0
    with tempfile.TemporaryDirectory() as folder:
        compare.check_out(base, Path(folder))
        try:
            compare.run(comparison, Path(folder), rounds=1 if short else 3)
        except KeyboardInterrupt:
            print("\nInterrupted; measured so far:")
            code = INTERRUPTED
    print(f"\n{comparison.table()}\n\nnew: this tree, {report.commit()}; old: {base}; medians")
    return code


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure what the package costs.")
    parser.add_argument("--short", action="store_true", help="fewer repeats")
    parser.add_argument("--base", metavar="REVISION", help="compare with this revision instead")
    options = parser.parse_args(words)
    try:
        if options.base:
            return against(options.base, options.short)
        return bench(options.short)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
