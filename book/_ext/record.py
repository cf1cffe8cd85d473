"""The measured numbers in the book's prose, read from the record of a training run.

As a Sphinx extension it offers them to Markdown pages as substitutions: {{ headline }}, {{ decisions }},
{{ level.seed_hard.accuracy }}, {{ levels_table }} and so on. The record is the one beside _config.yml, which
`make book` puts there, else the first one in results/seed_profile.jsonl.

{{ seeds }} says how other seeds fared, from results/seed_profile.jsonl beside book/. {{ full }} holds the words of the
first run in results/full_profile.jsonl, that of the agent that ships, {{ full_levels_table }} its table,
{{ full_seeds_table }} all seeds, and {{ full_seeds_took }} their seconds.
{{ evidence }} and {{ evidence_table }} tell of the runs of chapter 7; {{ speed }} and {{ speed_table }} of
`make bench`, whose record is results/bench.json; {{ gpu }} of `make bench GPU=1` and results/gpu.json.

As a command, `python book/_ext/record.py RECORD`, it prints what was reached.
"""

import json
import sys
from pathlib import Path

FIELDS = (
    "profile", "seed", "decisions", "seconds", "decisions_per_second", "device", "commit",
    "mna", "python", "torch", "numpy", "machine", "date", "levels",
)  # fmt: skip
LEVEL_FIELDS = ("accuracy", "low", "high", "problems", "random", "forgetting", "first_mastered")
COLUMNS = ("level", "accuracy", "95 % interval", "random legal policy", "forgetting", "mastered after")
HARDEST = "seed_hard"
BENCH, GPU = (Path(__file__).parents[2] / "results" / name for name in ("bench.json", "gpu.json"))
SIDES = ("ours", "MaskablePPO", "RecurrentPPO")


def load(path):
    """The record at `path`, as a dictionary. Raises ValueError, naming the field, when one is missing."""
    record = json.loads(Path(path).read_text())
    missing = [field for field in FIELDS if field not in record]
    for name, level in record.get("levels", {HARDEST: {}}).items():
        missing += [f"levels.{name}.{field}" for field in LEVEL_FIELDS if field not in level]
    if HARDEST not in record.get("levels", {HARDEST: {}}):
        missing.append(f"levels.{HARDEST}")
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; run the training chapter again to write them")
    return record


def percent(fraction):
    """A fraction as people read it, to a hundredth of a per cent: 0.9995 is '99.95 %', 1 is '100 %'."""
    return f"{100 * fraction:.2f}".rstrip("0").rstrip(".") + " %"


def level_in_words(level):
    """The record's numbers for one level, each as text."""
    mastered = level["first_mastered"]
    return {
        "accuracy": percent(level["accuracy"]),
        "interval": f"{percent(level['low'])} to {percent(level['high'])}",
        "problems": f"{level['problems']:,}",
        "random": percent(level["random"]),
        "forgetting": "–" if level["forgetting"] is None else percent(level["forgetting"]),
        "mastered": "–" if mastered is None else f"{mastered:,} decisions",
    }


def in_words(record):
    """The record's numbers, each as text; those of the levels under `level`."""
    return {
        **{field: str(record[field]) for field in FIELDS if field != "levels"},
        "decisions": f"{record['decisions']:,}",
        "seconds": f"{record['seconds']:,.0f}",
        "decisions_per_second": f"{record['decisions_per_second']:,.0f}",
        "level": {name: level_in_words(level) for name, level in record["levels"].items()},
    }


def headline(words):
    """The main result in one sentence, for the intro and the README."""
    hardest = words["level"][HARDEST]
    return (
        f"After {words['decisions']} decisions, in {words['seconds']} seconds of training, the agent answers "
        f"{hardest['accuracy']} of {hardest['problems']} held-out problems of the hardest level right; "
        f"a random legal policy answers {hardest['random']}."
    )


def kept(profile):
    """The records of a profile that are kept in results/, one for each seed."""
    path = Path(__file__).parents[2] / f"results/{profile}_profile.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def seeds_in_words(records):
    """How many seeds got there, and when, in one sentence."""

    def moment(decisions):
        return "never" if decisions == float("inf") else f"{decisions:,.0f}"

    good = [r for r in records if min(level["accuracy"] for level in r["levels"].values()) >= 0.99]
    when = sorted(r["levels"][HARDEST]["first_mastered"] or float("inf") for r in records)
    median = (when[(len(when) - 1) // 2] + when[len(when) // 2]) / 2
    return (
        f"{len(good)} of {len(records)} seeds end at 99 % or more on every level; the hardest one is first mastered "
        f"after {moment(when[0])} to {moment(when[-1])} decisions, {moment(median)} in the median."
    )


def evidence_lines():
    """The runs of chapter 7 that are kept in results/; none before they were made."""
    path = Path(__file__).parents[2] / "results/evidence.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def evidence_in_words(lines):
    """How many runs there are, how long they took, and by which code."""
    if not lines:
        return "No runs are kept yet; `make evidence` makes them."
    versions = len({line["code"] for line in lines})
    return (
        f"{len(lines)} runs, {sum(line['seconds'] for line in lines) / 60:.0f} minutes of one core, "
        f"by {versions} version{'s' * (versions > 1)} of the code."
    )


def table_row(cells):
    """A row of a Markdown table; no cell breaks inside a number, a unit or an interval."""
    return f"| {' | '.join(cell.replace(' ', chr(0xA0)) for cell in cells)} |"


def evidence_table(lines):
    """One row for each kind and name of run: how it does on the hardest arithmetic."""
    from mna.evaluation import summary

    groups = {}
    for line in lines:
        if HARDEST in line.get("levels", {}):
            groups.setdefault((line["kind"], line["name"]), []).append(line)
    table = ["| kind | name | runs | decisions | seed_hard | 95 % interval |", "|---|---|---|---|---|---|"]
    for (kind, name), runs in groups.items():
        told = summary(runs, [HARDEST])
        low_high = told["hardest_interval"]
        interval = " to ".join(map(percent, low_high)) if low_high else "–"
        budget = " or ".join(f"{spent:,}" for spent in sorted({line["budget"] for line in runs}))
        table.append(table_row([kind, f"`{name}`", str(told["runs"]), budget, percent(told["hardest"]), interval]))
    return "\n".join(table)


def seeds_table(runs):
    """One row a level, hardest last: mean accuracy with its bootstrap interval, and the most that was lost."""
    import numpy as np

    from mna.evaluation import bootstrap_interval

    table = ["| level | mean | 95 % interval | lowest | forgotten, at most |", "|---|---|---|---|---|"]
    for name in runs[0]["levels"]:
        found, lost = ([run["levels"][name][field] for run in runs] for field in ("accuracy", "forgetting"))
        low, high = bootstrap_interval([[share] for share in found], np.mean)
        lost = [share for share in lost if share is not None]
        told = [percent(np.mean(found)), f"{percent(low)} to {percent(high)}", percent(min(found)),
                percent(max(lost)) if lost else "–"]
        table.append(table_row([name, *told]))
    return "\n".join(table)


def benchmark(path=BENCH):
    """What `make bench` measured, with its rows by name; None before it was made."""
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    return found | {"rows": {row["name"]: row for row in found["rows"]}}


def quantity(value):
    """A number to three digits or more: 12345.6 is '12,346', 1.234 is '1.23'."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def speed_table(bench):
    """Ours beside the agents of sb3-contrib; nothing before `make bench`."""
    if bench is None:
        return ""
    rows = bench["rows"]

    def rate(how):
        return lambda side: quantity(rows[f"{side}, {how}"]["value"])

    def seconds(side):
        value, data = (rows[f"race to 99 % on {HARDEST}, {side}"][part] for part in ("value", "data"))
        best = max(share for curve in data["curves"] for _, _, share in curve)
        return quantity(value) if value else f"not in {data['limit']:.0f}; best {percent(best)}"

    lines = [("decisions a second, training, at the defaults", rate("defaults")),
             ("the same, 1,024 problems at once", rate("for throughput")),
             (f"from nothing to 99 % on `{HARDEST}`, seconds", seconds)]
    table = [("one core", *SIDES), ("---",) * 4, *((what, *map(cell, SIDES)) for what, cell in lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def speed_in_words(bench):
    """How fast training is, what it needs, and where that was measured."""
    if bench is None:
        return "Nothing is measured yet; `make bench` does it."
    whole, full, memory, share, alone = (quantity(bench["rows"][name]["value"]) for name in (
        "training, seed ladder", "full profile, 2 M decisions",
        "memory of training over an idle import torch, seed profile",
        "share of the arithmetic bound", "environment, seed ladder"))
    return (
        f"Over its whole budget the seed profile makes {whole} decisions a second, judgements included; the full one "
        f"takes {full} minutes. "
        f"Training takes {memory} MB more than an idle `import torch`, and does {share} % of the arithmetic that the "
        f"core could; problems, calculator and verifier alone make {alone} decisions a second. "
        f"({bench['machine']}, {bench['date']}, commit {bench['commit']}; processor seconds of one thread)"
    )


def gpu_in_words(bench):
    """How fast training is on a GPU and on one thread beside it, at both ends, and where that was measured."""
    if bench is None:
        return "No GPU is measured yet; `make bench GPU=1` does it."
    sides = {}
    for row in bench["rows"].values():
        if row["data"]:
            sides.setdefault(row["data"]["side"], {})[row["data"]["problems"]] = row["value"]
    told = [f"{name} makes {quantity(rates[min(rates)])} decisions a second with {min(rates):,} problems at once and "
            f"{quantity(rates[max(rates)])} with {max(rates):,}" for name, rates in sides.items()]
    return (
        f"In training {'; '.join(told)}. ({bench['machine']}, {bench['date']}, commit {bench['commit']}; wall clock)"
    )


def rows(words):
    """The table of levels: COLUMNS, then one row of text per level."""
    cells = ("accuracy", "interval", "random", "forgetting", "mastered")
    return [COLUMNS, *((name, *(level[cell] for cell in cells)) for name, level in words["level"].items())]


def markdown_table(words):
    head, *body = rows(words)
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(COLUMNS) + "|", *map(table_row, body)])


def report(words):
    """What was reached, as plain text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows(words), strict=True)]
    table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows(words)]
    speed = "{decisions} decisions in {seconds} s ({decisions_per_second} a second)".format(**words)
    return "\n".join([*table, "", f"Profile {words['profile']}, seed {words['seed']}: {speed}."])


def set_substitutions(app, config):
    beside = Path(app.confdir) / "record.json"
    words = in_words(load(beside) if beside.exists() else kept("seed")[0])
    repository, release = (config.html_theme_options[f"repository_{name}"] for name in ("url", "branch"))
    config.myst_substitutions = words | {
        "headline": headline(words),
        "levels_table": markdown_table(words),
        "seeds": seeds_in_words(kept("seed")),
        "full": in_words(kept("full")[0]),
        "full_levels_table": markdown_table(in_words(kept("full")[0])),
        "full_seeds": f"{len(kept('full'))}",
        "full_seeds_took": " to ".join(f"{end(run['seconds'] for run in kept('full')):.0f}" for end in (min, max)),
        "full_seeds_table": seeds_table(kept("full")),
        "evidence": evidence_in_words(evidence_lines()),
        "evidence_table": evidence_table(evidence_lines()),
        "speed": speed_in_words(benchmark()),
        "speed_table": speed_table(benchmark()),
        "gpu": gpu_in_words(benchmark(GPU)),
        "install": f"```sh\npip install git+{repository}@{release}\n```",
    }


def setup(app):
    app.connect("config-inited", set_substitutions)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    print(report(in_words(load(sys.argv[1]))))
