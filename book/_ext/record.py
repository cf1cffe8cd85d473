"""The measured numbers in the book's prose, read from the record of a training run.

As a Sphinx extension it offers them to Markdown pages as substitutions: {{ headline }}, {{ decisions }},
{{ exam.mixed10 }}, {{ chance.mixed10 }}, {{ exams_table }}, {{ milestones_table }} and so on, where the record of a run
stands beside _config.yml: `make book` puts it there. {{ install }} is there always.

As a command, `python book/_ext/record.py RECORD`, it prints what was reached.
"""

import json
import re
import sys
from pathlib import Path

FIELDS = (
    "profile", "seed", "budget", "decisions", "engine", "seconds", "decisions_per_second", "parameters", "commit",
    "mna", "python", "torch", "numpy", "machine", "date", "exam_problems", "random_problems", "exams", "random",
    "milestones",
)  # fmt: skip
MILESTONE_FIELDS = ("first_mastered", "forgetting", "worst_dip")
HARDEST = "mixed10"  # everything, as long as the longest that is practised
NUMBERS = ("decisions", "budget", "parameters", "exam_problems", "random_problems")


def load(path):
    """The record at `path`, as a dictionary. Raises ValueError, naming the field, when one is missing."""
    record = json.loads(Path(path).read_text())
    missing = [field for field in FIELDS if field not in record]
    for table in ("exams", "random"):
        missing += [f"{table}.{HARDEST}"] if HARDEST not in record.get(table, {HARDEST: 0}) else []
    for name, values in record.get("milestones", {}).items():
        missing += [f"milestones.{name}.{field}" for field in MILESTONE_FIELDS if field not in values]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; run the training chapter again to write them")
    return record


def percent(fraction):
    """A fraction as people read it, to a hundredth of a per cent: 0.9995 is '99.95 %', 1 is '100 %', None is '–'."""
    return "–" if fraction is None else f"{100 * fraction:.2f}".rstrip("0").rstrip(".") + " %"


def milestone_in_words(values):
    """When a level was mastered, and what was lost of it since, as text."""
    mastered = values["first_mastered"]
    return {
        "mastered": "–" if mastered is None else f"{mastered:,} decisions",
        "forgetting": percent(values["forgetting"]),
        "worst_dip": percent(values["worst_dip"]),
    }


def in_words(record):
    """The record's numbers, each as text: exams under `exam` and `chance`, milestones under `milestone`."""
    tables = ("exams", "random", "milestones")
    return {
        **{field: str(record[field]) for field in FIELDS if field not in tables},
        **{field: f"{record[field]:,}" for field in NUMBERS},
        "seconds": f"{record['seconds']:,.0f}",
        "decisions_per_second": f"{record['decisions_per_second']:,.0f}",
        "exam": {name: percent(share) for name, share in record["exams"].items()},
        "chance": {name: percent(share) for name, share in record["random"].items()},
        "milestone": {name: milestone_in_words(values) for name, values in record["milestones"].items()},
    }


def headline(words):
    """The main result in one sentence, for the intro and the README."""
    return (
        f"After {words['decisions']} decisions, in {words['seconds']} seconds of training, the agent answers "
        f"{words['exam'][HARDEST]} of {words['exam_problems']} problems right that mix everything at ten numbers, and "
        f"whose structures practice can't draw; a random legal policy answers {words['chance'][HARDEST]} of "
        f"{words['random_problems']}."
    )


def exam_rows(words):
    """Families by number counts: the head, then a row of the agent and one of the random legal policy each."""
    parts = [re.fullmatch(r"([a-z]+)(\d+)", name).groups() for name in words["exam"]]
    families, counts = (list(dict.fromkeys(column)) for column in zip(*parts, strict=True))
    rows = [("exam", "policy", *(f"{n} numbers" for n in counts))]
    for family in families:
        for policy, table in (("agent", "exam"), ("random legal", "chance")):
            rows.append((family if policy == "agent" else "", policy,
                         *(words[table].get(f"{family}{n}", "–") for n in counts)))  # fmt: skip
    return rows


def milestone_rows(words):
    """Each milestone: when it was mastered, and what was lost of it."""
    head = ("level", "mastered after", "forgetting", "worst dip")
    return [head, *((name, *told.values()) for name, told in words["milestone"].items())]


def markdown_row(cells):
    """A row of a Markdown table; no cell breaks inside a number or a unit."""
    return f"| {' | '.join(cell.replace(' ', chr(0xA0)) for cell in cells)} |"


def markdown_table(rows):
    head, *body = rows
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *map(markdown_row, body)])


def report(words):
    """What was reached, as plain text with aligned columns."""
    rows = exam_rows(words)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    speed = "{decisions} decisions in {seconds} s ({decisions_per_second} a second)".format(**words)
    return "\n".join([*table, "", f"Profile {words['profile']}, seed {words['seed']}: {speed}."])


def set_substitutions(app, config):
    beside = Path(app.confdir) / "record.json"
    repository, release = (config.html_theme_options[f"repository_{name}"] for name in ("url", "branch"))
    config.myst_substitutions = {"install": f"```sh\npip install git+{repository}@{release}\n```"}
    if beside.exists():
        words = in_words(load(beside))
        tables = {"exams_table": exam_rows, "milestones_table": milestone_rows}
        config.myst_substitutions |= words | {"headline": headline(words)} | {
            name: markdown_table(rows(words)) for name, rows in tables.items()}


def setup(app):
    app.connect("config-inited", set_substitutions)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    print(report(in_words(load(sys.argv[1]))))
