"""The record in the book's prose, and what the Makefile says."""

import copy
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
import record

ROOT = Path(__file__).parent.parent

LEVEL = {
    "accuracy": 0.9995, "low": 0.998, "high": 1.0, "problems": 2000, "random": 0.0065, "forgetting": 0.0,
    "first_mastered": 21_500,
}  # fmt: skip
RUN = {
    "profile": "seed", "seed": 3, "decisions": 200_000, "seconds": 41.4, "decisions_per_second": 4830.9,
    "device": "cpu", "commit": "abc1234", "mna": "0.1.0", "python": "3.11.7", "torch": "2.13.0",
    "numpy": "2.4.6", "machine": "2 cores", "date": "2026-01-02",
    "levels": {"add": LEVEL | {"first_mastered": None}, "seed_hard": LEVEL},
}  # fmt: skip


def written(tmp_path, run):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(run))
    return path


def substitutions(folder):
    """What pages under `folder` can name."""
    options = {"repository_url": "https://example.org/mna", "repository_branch": "v98.7.6"}
    config = SimpleNamespace(html_theme_options=options)
    record.set_substitutions(SimpleNamespace(confdir=folder), config)
    return config.myst_substitutions


def row(*cells):
    """A row of a table whose cells do not break."""
    return "| {} |".format(" | ".join(cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in cells))


@pytest.mark.parametrize(
    "fraction, text", [(0, "0 %"), (0.0065, "0.65 %"), (0.9, "90 %"), (0.9995, "99.95 %"), (1, "100 %")]
)
def test_percent(fraction, text):
    assert record.percent(fraction) == text


def test_pages_get_the_numbers_of_the_run_beside_them(tmp_path):
    written(tmp_path, RUN)
    words = substitutions(tmp_path)
    assert words["decisions"] == "200,000" and words["seconds"] == "41"
    assert words["decisions_per_second"] == "4,831"
    assert words["level"]["seed_hard"]["accuracy"] == "99.95 %"
    assert row("add", "99.95 %", "99.8 % to 100 %", "0.65 %", "0 %", "–") in words["levels_table"].splitlines()
    assert "pip install git+https://example.org/mna@v98.7.6\n" in words["install"]
    assert words["levels_table"].count("\n") == 3
    assert "200,000 decisions" in words["headline"] and "99.95 % of 2,000" in words["headline"]
    assert "pip install git+https://example.org/mna" in words["install"]


def test_without_a_run_they_get_those_of_the_first_kept_one(tmp_path):
    assert substitutions(tmp_path)["commit"] == record.kept("seed")[0]["commit"]


@pytest.mark.parametrize("field", record.FIELDS)
def test_a_missing_field_is_named(tmp_path, field):
    run = {name: value for name, value in RUN.items() if name != field}
    with pytest.raises(ValueError, match=rf"lacks {field}[;,]"):
        record.load(written(tmp_path, run))


@pytest.mark.parametrize("field", record.LEVEL_FIELDS)
def test_a_missing_field_of_a_level_is_named(tmp_path, field):
    run = copy.deepcopy(RUN)
    del run["levels"]["add"][field]
    with pytest.raises(ValueError, match=rf"lacks levels\.add\.{field};"):
        record.load(written(tmp_path, run))


def test_a_record_without_the_hardest_level_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"lacks levels\.seed_hard;"):
        record.load(written(tmp_path, RUN | {"levels": {"add": LEVEL}}))


def test_the_report_lines_its_columns_up():
    head, *rows, _, last = record.report(record.in_words(RUN)).splitlines()
    assert [row.split()[0] for row in rows] == ["add", "seed_hard"]
    assert {row.index("99.95 %") for row in rows} == {head.index("accuracy")}
    assert last == "Profile seed, seed 3: 200,000 decisions in 41 s (4,831 a second)."


def test_the_readme_quotes_the_kept_runs():
    headline = record.headline(record.in_words(record.kept("seed")[0]))
    readme, seeds = " ".join((ROOT / "README.md").read_text().split()), record.seeds_in_words(record.kept("seed"))
    for sentence in (headline, seeds):
        assert sentence in readme, f"README.md should say: {sentence}"


def bench_record(tmp_path):
    """A record of `make bench` in which one peer gets there and the other does not."""
    values = {
        "ours, defaults": 12_345.6, "MaskablePPO, defaults": 4_000, "RecurrentPPO, defaults": 987.6,
        "ours, for throughput": 2e4, "MaskablePPO, for throughput": 3e4, "RecurrentPPO, for throughput": 5e3,
        "full profile, 2 M decisions": 3.456,
        "memory of training over an idle import torch, seed profile": 99.9, "share of the arithmetic bound": 31.44,
        "environment, seed ladder": 1.5e6, "training, seed ladder": 23_456.7,
    }  # fmt: skip
    rows = [{"name": name, "value": value} for name, value in values.items()]
    for side, seconds, share in (("ours", 3.04, 1.0), ("MaskablePPO", 44, 0.99), ("RecurrentPPO", None, 0.125)):
        data = {"curves": [[[1.0, 10_000, 0.0], [3.0, 20_000, share]]], "limit": 60.0}
        rows.append({"name": f"race to 99 % on seed_hard, {side}", "value": seconds, "data": data})
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({"rows": rows, "machine": "a core", "date": "2026-01-02", "commit": "abc"}))
    return record.benchmark(path)


def test_the_table_of_speed_says_who_got_there_and_who_did_not(tmp_path):
    head, _, rates, many, seconds = record.speed_table(bench_record(tmp_path)).splitlines()
    assert head == "| one core | ours | MaskablePPO | RecurrentPPO |"
    assert rates.endswith("| 12,346 | 4,000 | 988 |") and many.endswith("| 20,000 | 30,000 | 5,000 |")
    assert seconds.endswith("| 3.04 | 44 | not in 60; best 12.5 % |")
    said = record.speed_in_words(bench_record(tmp_path))
    for part in ("99.9 MB", "31.4 %", "1,500,000 decisions", "23,457 decisions", "3.46 minutes", "(a core, 2026-01-02"):
        assert part in said


def test_without_a_record_of_speed_the_pages_say_how_to_make_one(tmp_path):
    nothing = record.benchmark(tmp_path / "bench.json")
    assert "make bench" in record.speed_in_words(nothing) and record.speed_table(nothing) == ""
    assert "make bench GPU=1" in record.gpu_in_words(nothing)


def test_the_words_about_a_gpu_tell_both_ends_of_both_sides():
    rates = {("one thread", 8): 900, ("a chip", 8): 500, ("one thread", 64): 1_000, ("a chip", 64): 4_000,
             ("a chip", 512): 1e6}  # fmt: skip
    rows = {str(key): dict(data=dict(zip(("side", "problems"), key, strict=True)), value=rate)
            for key, rate in rates.items()}  # fmt: skip
    said = record.gpu_in_words(dict(rows=rows | {"to 99 %": dict(data={}, value=None)}, machine="a host",
                                    date="2026-01-02", commit="abc"))  # fmt: skip
    assert "one thread makes 900 decisions a second with 8 problems at once and 1,000 with 64" in said
    assert "a chip makes 500 decisions a second with 8 problems at once and 1,000,000 with 512" in said


def test_the_readme_quotes_what_make_bench_measured():
    bench = record.benchmark()
    readme = " ".join((ROOT / "README.md").read_text().split())
    gpu = record.gpu_in_words(record.benchmark(record.GPU))
    for part in (record.speed_table(bench), record.speed_in_words(bench), gpu):
        assert " ".join(part.split()) in readme, f"README.md should say:\n{part}"


def test_the_sentence_about_seeds_counts_and_takes_the_median():
    def run(accuracy, when):
        return {"levels": {"add": {"accuracy": 1.0}, "seed_hard": {"accuracy": accuracy, "first_mastered": when}}}

    said = record.seeds_in_words([run(1.0, 30_000), run(0.98, 10_000), run(0.99, 50_000), run(1.0, 40_000)])
    assert said.startswith("3 of 4 seeds") and "10,000 to 50,000" in said and "35,000 in the median" in said
    assert record.seeds_in_words([run(0.0, None)]).startswith("0 of 1 seeds")


def test_the_readme_points_at_files_that_exist():
    targets = re.findall(r"\]\(([^):]+)\)", (ROOT / "README.md").read_text())
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert "book/figures/cover.svg" in targets and not missing


def make(*arguments, cwd=ROOT):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


def test_help_lists_the_targets():
    printed = make("help").stdout
    for target in ["book", "test", "serve", "notebooks", "lint", "clean"]:
        assert f"make {target} " in printed


def test_an_old_python_is_refused_before_anything_is_made(tmp_path):
    for name in ["Makefile", "requirements.txt", "pyproject.toml"]:
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "python3.10"
    pretend = "import sys; sys.version_info = (3, 10, 4); exec(sys.argv[2])"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{pretend}" "$@"\n')
    old.chmod(0o755)
    done = make(".venv/.stamp", f"PYTHON={old}", cwd=tmp_path)
    assert done.returncode != 0 and not (tmp_path / ".venv").exists()
    assert "is Python 3.10 and the book needs 3.11 or newer" in done.stderr


def test_serve_without_a_book_says_how_to_build_one(tmp_path):
    done = make("serve", f"BUILD={tmp_path}")
    assert done.returncode != 0 and "make book" in done.stderr


def test_serve_answers_on_the_loopback_address_until_it_is_interrupted(tmp_path):
    (tmp_path / "index.html").write_text("the book")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, ROOT / "scripts/serve.py", tmp_path]
    environment = os.environ | {"PORT": str(port)}
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # a job in the background ignores Ctrl-C
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=heed)
    try:
        assert f"http://127.0.0.1:{port}/" in server.stdout.readline()
        with urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert answer.read() == b"the book"
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 0
    finally:
        server.kill()


def test_the_table_of_the_evidence_has_an_interval_where_there_are_seeds():
    def run(name, seed, share, budget=200_000):
        return {"kind": "ablation", "name": name, "seed": seed, "budget": budget, "seconds": 60, "code": "x",
                "levels": {"seed_hard": {"accuracy": share}}}  # fmt: skip

    lines = [run("alone", 0, 0.5), run("twice", 0, 0.9), run("twice", 1, 1.0)]
    rows = record.evidence_table(lines).splitlines()[2:]
    assert rows[0] == row("ablation", "`alone`", "1", "200,000", "50 %", "–")
    assert rows[1] == row("ablation", "`twice`", "2", "200,000", "95 %", "90 % to 100 %")
    assert record.evidence_in_words(lines).startswith("3 runs, 3 minutes")
    assert "make evidence" in record.evidence_in_words([])


def test_the_table_of_the_full_seeds_has_mean_interval_lowest_and_what_was_lost():
    def run(share, lost):
        return {"levels": {"tree7": {"accuracy": share, "forgetting": lost}}}

    head, _, found = record.seeds_table([run(0.5, -0.01), run(1.0, 0.002)]).splitlines()
    assert head.count("|") == found.count("|") == 6
    assert found == row("tree7", "75 %", "50 % to 100 %", "50 %", "0.2 %")
    assert record.seeds_table([run(0.5, None), run(0.5, None)]).splitlines()[2] == row(
        "tree7", "50 %", "50 % to 50 %", "50 %", "–")  # fmt: skip


def test_the_records_of_the_seeds_hold_what_is_claimed():
    runs = record.kept("seed")
    assert len({run["seed"] for run in runs}) == len(runs) >= 5
    for run in runs:
        assert run["decisions"] <= run["budget"] == 200_000
        for level in run["levels"].values():
            assert level["accuracy"] >= 0.99 and level["forgetting"] <= 0.005 and level["problems"] >= 2000
        assert run["levels"]["seed_hard"]["random"] <= 0.02
