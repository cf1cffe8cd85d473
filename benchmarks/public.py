"""An agent on problems of other hands, each set beside its published number.

    make public CHECKPOINT=folder EQUATIONS=file

runs `python -m benchmarks.public folder --equations file --out results/public.json`. The
agent has a calculator; the published ones had none. benchmarks/requirements.txt names the
two packages that draw problems.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from benchmarks.public_sets import SOURCES, Item, ProblemSet
from mna import evaluation
from mna.evaluation import UNSURE, confidence, unlike_practice
from mna.language import MNAError, Problem, Value, held_out, parse
from mna.network import Agent
from mna.ppo import play
from mna.training import commit, load_agent, one_thread, write_json

CHUNK = 256  # problems that are played side by side
PACKAGES = ("mathematics_dataset", "reasoning-gym", "sympy", "torch", "numpy")


@dataclass(frozen=True)
class Answer:
    """A problem that was read, and what the agent made of it."""
    problem: Problem
    gold: bool         # it gave what the set calls right
    right: bool        # it gave the exact value
    confidence: float
    warned: bool


# ---------------------------------------------------------------- measuring
def read(items: list[Item]) -> tuple[list[tuple], list[str]]:
    """Each problem that can be read beside its gold; and why the others are refused."""
    found, refused = [], []
    for text, gold in items:
        try:
            found.append((parse(text), gold))
        except MNAError as error:
            refused.append(str(error))
    return found, refused


def answers(agent: Agent, asked: list[tuple], size: int = CHUNK) -> list[Answer]:
    """Let the agent play, the likeliest action each time; those of one length together."""
    asked, found = sorted(asked, key=lambda pair: len(pair[0].kinds)), []
    for start in range(0, len(asked), size):
        part = asked[start:start + size]
        episodes = play(agent, [problem for problem, _ in part], greedy=True)
        for (problem, gold), episode in zip(part, episodes, strict=True):
            sure = confidence(episode)
            found.append(Answer(
                problem, episode.env.given == Value.of(gold), episode.correct, sure,
                sure < UNSURE or bool(unlike_practice(problem))))
    return found


def chance(agent: Agent, asked: list[tuple], seed: int) -> float | None:
    """The share that uniformly random legal actions get right, of the first so many."""
    rng, problems = torch.Generator().manual_seed(seed), [p for p, _ in asked[:CHUNK]]
    played = play(agent, problems, rng, uniform=True)
    return share(sum(episode.correct for episode in played), len(played))


def share(part: int, whole: int) -> float | None:
    """A share, to four places; None of nothing."""
    return round(part / whole, 4) if whole else None


def warned(found: list[Answer], right: bool) -> float | None:
    """How often the agent warned, among its right or its wrong answers."""
    those = [answer.warned for answer in found if answer.right == right]
    return share(sum(those), len(those))


def auc(found: list[Answer]) -> float | None:
    """The chance that a right answer was given with more confidence than a wrong one."""
    area = evaluation.auc(np.array([answer.confidence for answer in found]),
                          np.array([answer.right for answer in found]))
    return None if area is None else round(area, 4)


def practicable(problem: Problem) -> bool:
    """Could practice draw its structure? No if it is held out, too long or of another kind."""
    return not held_out(problem.kinds) and not unlike_practice(problem)


def measured(source: ProblemSet, n: int, refused: list[str], asked: list[tuple],
             found: list[Answer]) -> dict:
    """What one set comes to. share: of all n problems, those refused count as wrong."""
    right = sum(answer.gold for answer in found)
    kinds = {answer.problem.kinds for answer in found}
    could = {answer.problem.kinds for answer in found if practicable(answer.problem)}
    numbers = sum(answer.problem.number_count for answer in found)
    return dict(
        n=n, read=len(found), refused=len(refused), right=right, share=share(right, n),
        published=source.published, ours="with a calculator", note=source.note,
        golds_not_exact=sum(gold != problem.answer for problem, gold in asked),
        exact_share=share(sum(answer.right for answer in found), n),
        mean_numbers=share(numbers, len(found)), structures=len(kinds),
        structures_practicable=len(could), warned_right=warned(found, True),
        warned_wrong=warned(found, False), refusals=refused[:3],
        wrong=[answer.problem.text for answer in found if not answer.right][:5])


def measure(agent: Agent, source: ProblemSet, problems: int,
            seed: int) -> tuple[dict, list[Answer]]:
    """Ask one set. Returns what it comes to, and the answers."""
    begin, items = time.process_time(), source.items(problems, seed)
    asked, refused = read(items)
    found = answers(agent, asked)
    row = measured(source, len(items), refused, asked, found)
    row["random"] = chance(agent, asked, seed)
    row["cpu_seconds"] = round(time.process_time() - begin, 1)
    return row, found


# ---------------------------------------------------------------- circumstances
def installed(name: str) -> str:
    """A package's version, or "none"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def circumstances(checkpoint: str, problems: int, seed: int) -> dict:
    """How the numbers were made: of which agent, with what."""
    told = json.loads((Path(checkpoint) / "agent.json").read_text())
    return dict(
        agent={name: told.get(name) for name in ("decisions", "seed", "mna", "practised")},
        problems=problems, seed=seed, commit=commit(), python=platform.python_version(),
        date=date.today().isoformat(), packages={name: installed(name) for name in PACKAGES})


# ---------------------------------------------------------------- command
def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.public", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a folder with an agent")
    parser.add_argument("--equations", help="a file of equations in x, for the conpole sets")
    parser.add_argument("--problems", type=int, default=1000, help="of each drawn set")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn sets")
    parser.add_argument("--sets", default=",".join(SOURCES), help="%(default)s")
    parser.add_argument("--out", default="results/public.json")
    return parser.parse_args(argv)


def chosen(names: str, equations: str | None) -> list[ProblemSet]:
    """The sets of the sources that are named; without a file of equations none of ConPoLe."""
    found = []
    for name in names.split(","):
        if name not in SOURCES:
            raise MNAError(f"--sets {name!r} is no source; sources: {', '.join(SOURCES)}")
        if name != "conpole":
            found += SOURCES[name]()
        elif equations:
            found += SOURCES[name](Path(equations))
    return found


def line(name: str, row: dict) -> str:
    """One set, for reading."""
    reached = "-" if row["share"] is None else f"{row['share']:.1%}"
    return (f"{name:<44}{row['n']:>6} asked{row['read']:>6} read{reached:>8} right,"
            f" with a calculator; published: {row['published'][:40]}")


def run(argv: list[str] | None) -> Iterator[str]:
    """Measure set after set; the file holds those that are finished, whenever it stops."""
    args = arguments(argv)
    if not 1 <= args.problems <= 100_000:
        raise MNAError(f"--problems {args.problems}: give a number from 1 to 100000")
    agent, sources = load_agent(args.checkpoint), chosen(args.sets, args.equations)
    result = circumstances(args.checkpoint, args.problems, args.seed) | dict(sets={})
    everything: list[Answer] = []
    for source in sources:
        row, found = measure(agent, source, args.problems, args.seed)
        everything += found if source.pooled else []
        result["sets"][source.name] = row
        result["pooled"] = dict(
            read=len(everything), right=sum(answer.right for answer in everything),
            structures=len({answer.problem.kinds for answer in everything}),
            auc=auc(everything), warned_right=warned(everything, True),
            warned_wrong=warned(everything, False))
        write_json(Path(args.out), result)
        yield line(source.name, row)


def main(argv: list[str] | None = None) -> int:
    """0 done, 2 bad input, 130 Ctrl-C: what was finished is in --out."""
    try:
        with one_thread():
            for text in run(argv):
                print(text, flush=True)
        return 0
    except MNAError as error:
        print(f"mna: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nmna: interrupted; the sets that were finished are in --out", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
