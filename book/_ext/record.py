"""The measured numbers in the book's prose, read from the record of a training run.

As a Sphinx extension it offers them to Markdown pages as substitutions: {{ headline }}, {{ decisions }},
{{ level.mixed10.accuracy }}, {{ levels_table }} and so on, where the record of a run stands beside _config.yml:
`make book` puts it there once there is a training chapter. {{ install }} is there always.

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


def load(path):
    """The record at `path`, as a dictionary; its levels end with the hardest.

    Raises ValueError, naming the field, when one is missing.
    """
    record = json.loads(Path(path).read_text())
    missing = [field for field in FIELDS if field not in record]
    for name, level in record.get("levels", {}).items():
        missing += [f"levels.{name}.{field}" for field in LEVEL_FIELDS if field not in level]
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
    *_, hardest = words["level"].values()
    return (
        f"After {words['decisions']} decisions, in {words['seconds']} seconds of training, the agent answers "
        f"{hardest['accuracy']} of {hardest['problems']} held-out problems of the hardest level right; "
        f"a random legal policy answers {hardest['random']}."
    )


def table_row(cells):
    """A row of a Markdown table; no cell breaks inside a number, a unit or an interval."""
    return f"| {' | '.join(cell.replace(' ', chr(0xA0)) for cell in cells)} |"


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
    repository, release = (config.html_theme_options[f"repository_{name}"] for name in ("url", "branch"))
    config.myst_substitutions = {"install": f"```sh\npip install git+{repository}@{release}\n```"}
    if beside.exists():
        words = in_words(load(beside))
        config.myst_substitutions |= words | {"headline": headline(words), "levels_table": markdown_table(words)}


def setup(app):
    app.connect("config-inited", set_substitutions)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    print(report(in_words(load(sys.argv[1]))))
