"""The benchmark's table, its record, and how it compares revisions. Nothing is timed."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import compare, report
from benchmarks.process import BenchmarkError
from benchmarks.rows import Row, number

ROOT = Path(__file__).parent.parent

# ---------------------------------------------------------------- the table and the record

ROWS = [
    Row("fast", "decisions/s", [9e3, 12_345.6, 2e4], at_least=10_000, note="of three"),
    Row("slow", "s", [math.inf, 3.0, math.inf], at_most=15),
    Row("free", "MB", [1.234]),
]


def test_the_table_shows_medians_bars_and_what_was_not_reached():
    head, _, fast, note, slow, free = report.table(ROWS).splitlines()
    assert fast.split() == ["fast", "12,346", "decisions/s", "9,000", "…", "20,000", "≥", "10,000", "met"]
    assert note.strip() == "(of three)"
    assert slow.split() == ["slow", "–", "s", "3", "…", "–", "≤", "15", "missed"]
    assert free.split() == ["free", "1.23", "MB"]
    assert head.index("unit") == fast.index("decisions/s")


def test_an_empty_table_is_a_head():
    assert len(report.table([]).splitlines()) == 2


@pytest.mark.parametrize("value, text", [(0, "0"), (99.94, "99.9"), (1e6, "1,000,000"), (math.inf, "–")])
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_the_record_is_plain_json_with_its_circumstances(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PACKAGES", ("torch", "not-installed"))
    report.write(tmp_path / "new" / "bench.json", ROWS, report.circumstances(form="short"))
    record = json.loads((tmp_path / "new" / "bench.json").read_text(), parse_constant=pytest.fail)
    assert {"commit", "date", "machine", "python", "torch"} <= set(record) and record["form"] == "short"
    assert "not-installed" not in record
    assert [row["value"] for row in record["rows"]] == [12_345.6, None, 1.234]
    assert [row["met"] for row in record["rows"]] == [True, False, None]


def test_a_copy_without_its_history_is_told_its_commit(monkeypatch):
    monkeypatch.delenv("MNA_COMMIT", raising=False)
    assert report.commit() != "abc1234"
    monkeypatch.setenv("MNA_COMMIT", "abc1234")
    assert report.commit() == "abc1234"


# ---------------------------------------------------------------- another revision


def test_a_wrong_revision_is_told_in_one_line():
    words = [sys.executable, "-m", "benchmarks", "--base", "no-such-revision"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == ("benchmarks: BASE=no-such-revision is no revision of this repository: name a commit, "
                           "a branch or a tag, for example BASE=HEAD~1\n")  # fmt: skip


def test_an_option_is_no_revision(tmp_path):
    with pytest.raises(BenchmarkError, match="no revision"):
        compare.check_out("--all", tmp_path)


def test_ratios_are_of_medians_new_over_old():
    comparison = compare.Comparison()
    for side, values in (("new", [2, 4, 90]), ("old", [2, 2, 2])):
        comparison.add(side, Row("speed", "decisions/s", values))
    comparison.add("new", Row("not yet measured", "s", [1]))
    comparison.add("new", Row("not reached", "s", [math.inf]))
    comparison.add("old", Row("not reached", "s", [3]))
    head, speed, unreached = comparison.table().splitlines()
    assert speed.split() == ["speed", "2", "4", "2", "decisions/s"]
    assert unreached.split() == ["not", "reached", "–", "–", "3", "s"]
