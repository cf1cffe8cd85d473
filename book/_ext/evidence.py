"""The headline and the table of claims, from results/evidence.jsonl and what stands beside it (chapter 7).

As a Sphinx extension it offers them to Markdown pages: {{ evidence_headline }}, {{ claims_table }}.
As a command, `python book/_ext/evidence.py`, it writes the headline into README.md, below the line <!-- EVIDENCE -->.
"""

import re
from pathlib import Path

import numpy as np
from chapter import defined

from mna.evaluation import interval

CHAPTER = defined("07_evaluation", "records", "claim", "claims-exams", "claims-general", "claims-memory",
                  "claims-others", "claims-without", "claims-kept", "claims-rest")
README = Path(__file__).parent.parent.parent / "README.md"
MARK = "<!-- EVIDENCE -->"


def percent(share):
    """A share as people read it, to a tenth of a per cent."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def reached(lines: list[dict], arm: str, level: str) -> str:
    """What an arm reaches on an exam, with its interval."""
    runs = CHAPTER.exam_runs(lines, arm, level)
    low, high = interval(runs)
    if low == 1:  # an interval of no width would say too much
        return f"100 % (none of {sum(map(len, runs)):,} wrong)"
    return f"{percent(np.mean([run.mean() for run in runs]))} ({percent(low)} to {percent(high)})"


def budget(lines: list[dict], arm: str) -> str:
    """How many runs an arm has, of how many decisions each."""
    mine = [line for line in lines if line["arm"] == arm]
    return f"{mine[0]['budget']:,} decisions, {len(mine)} run{'s' * (len(mine) > 1)}"


def dip(lines: list[dict]) -> str:
    """The worst dip of a level that was mastered, in all runs."""
    worst = max((told["worst_dip"], name, line["arm"], line["seed"]) for line in lines
                for name, told in line["milestones"].items() if told["worst_dip"] is not None)
    return "Worst dip of a level on the way: {:.0f} points ({}, {} with seed {}).".format(100 * worst[0], *worst[1:])


def counted(stated: list) -> str:
    """How many claims held, and which did not."""
    told = {verdict: [claim.says for claim in stated if claim.verdict == verdict]
            for verdict in ("held", "tied", "failed", "not yet measured")}
    text = f"Of {len(stated)} claims that chapter 7 tests, {len(told['held'])} held"
    for verdict in ("tied", "failed"):
        names = f" ({'; '.join(told[verdict])})" if told[verdict] else ""
        text += f", {len(told[verdict])} {verdict}{names}"
    return (f"{text}, and {len(told['not yet measured'])} are not yet measured, "
            "all comparisons with planners and other libraries among them.")


def headline(lines: list[dict], stated: list) -> str:
    """The main result, for README and pages."""
    lines = [line for line in lines if line["arm"] in ("seed", "full")]
    arms = [arm for arm in ("seed", "full") if any(line["arm"] == arm for line in lines)]
    if not arms:
        return "Not measured yet: `make evidence` does it."
    parts = [f"{arm} profile ({budget(lines, arm)}): {reached(lines, arm, 'mixed10')} at ten numbers, "
             f"{reached(lines, arm, 'mixed16')} at sixteen, {reached(lines, arm, 'mixed24')} at twenty-four"
             for arm in arms]
    return ("Right on problems whose structure practice can't draw, everything mixed, with 95 % intervals over seeds "
            f"and structures. {'; '.join(parts).capitalize()}. Ten numbers are the most that is practised. "
            f"{dip(lines)} {counted(stated)}")


def claims_table(stated: list) -> str:
    """Each claim, its bar, what was measured, and the verdict, in Markdown."""
    rows = ["| claim | bar | measured | 95 % interval | verdict |", "|---|---|---|---|---|"]
    for claim in stated:
        cells = ["–"] * 3
        if claim.runs:
            low, high = interval(claim.runs)
            bar = "more than 0" if claim.bar is None else percent(claim.bar)
            cells = [bar, percent(claim.mean), f"{percent(low)} to {percent(high)}"]
        rows.append(f"| {claim.says} | {' | '.join(cells)} | {claim.verdict} |")
    return "\n".join(rows)


def with_headline(text: str, told: str) -> str:
    """The README with this headline below its mark, in the place of the last one."""
    return re.sub(rf"{MARK}\n(?:[^\n#!|<-][^\n]*\n)*", lambda _: f"{MARK}\n{told}\n", text)


def set_substitutions(app, config):
    lines, stated = CHAPTER.records("evidence.jsonl"), CHAPTER.claims()
    config.myst_substitutions |= {"evidence_headline": headline(lines, stated),
                                  "claims_table": claims_table(stated)}


def setup(app):
    app.connect("config-inited", set_substitutions, priority=600)  # after record, which begins the dictionary
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    told = headline(CHAPTER.records("evidence.jsonl"), CHAPTER.claims())
    README.write_text(with_headline(README.read_text(), told))
