"""What an agent is asked besides its exams: small structures, all; its own doubts."""

import random
import time

import numpy as np
import torch

from mna.batched import pack_problems
from mna.evaluation import auc, paper, unlike_practice
from mna.language import NUMBER, MNAError, Problem, Value, X, parse, written
from mna.network import Agent
from mna.problems import PRACTISED, every_structure, find_level
from mna.speed import play
from mna.training import EXAMS, commit

LONGER = tuple(f"{kind}{n}" for kind in ("plain", "signs", "mixed") for n in (24, 32))
TRIES = 100  # for numbers that give a structure one answer; few structures have none
CHUNK = 2_000  # problems that are played side by side


# ---------------------------------------------------------------- every small structure
def with_numbers(kinds: tuple[int, ...], dice: random.Random) -> Problem | None:
    """A problem of a structure; None where no numbers give it one answer."""
    for _ in range(TRIES):
        values = [Value.of(dice.randint(1, 9)) if kind == NUMBER else Value.UNKNOWN
                  for kind in kinds if kind in (NUMBER, X)]
        try:
            problem = parse(written(kinds, values))
        except MNAError:
            continue
        assert problem.kinds == kinds, written(kinds, values)
        return problem
    return None


def enumeration(agent: Agent, numbers: int, most: int | None = None) -> dict:
    """Every structure of so many numbers, asked once. most: only the first so many."""
    dice = random.Random(numbers)
    structures = sorted(every_structure(numbers))[:most]
    problems = [p for kinds in structures if (p := with_numbers(kinds, dice))]
    right = np.concatenate([
        play(agent, pack_problems(problems[i:i + CHUNK]), greedy=True, keep=False).cpu()
        for i in range(0, len(problems), CHUNK)])
    wrong = [p.text for p, good in zip(problems, right, strict=True) if not good]
    return dict(structures=len(structures), asked=len(problems), right=int(right.sum()),
                wrong=wrong[:20])


# ---------------------------------------------------------------- doubts
def doubts(agent: Agent, level: str, problems: int) -> dict[str, list]:
    """Of each problem of an exam: was it answered right, the critic's least value, was
    its length or kind warned of beforehand."""
    asked = paper(level, problems)
    r = play(agent, pack_problems(asked), greedy=True)
    least = torch.full((len(asked),), torch.inf)
    least = least.scatter_reduce(0, r.problem, r.value, "amin")
    return dict(right=r.correct.tolist(), least=least.tolist(),
                unlike=[bool(unlike_practice(p)) for p in asked])


def self_knowledge(found: dict[str, dict]) -> dict:
    """How well doubts tell wrong answers from right ones. found: {level: doubts}.

    rows: (threshold, right answers below it, wrong ones below it).
    """
    right, least, unlike = (np.array(sum((one[k] for one in found.values()), []))
                            for k in ("right", "least", "unlike"))
    rows = [(round(t, 2), int((least[right] < t).sum()), int((least[~right] < t).sum()))
            for t in np.arange(0, 1.51, 0.05)]
    return dict(asked=len(right), right=int(right.sum()), auc=auc(least, right),
                auc_of_length=auc(-unlike.astype(float), right), rows=rows,
                unlike_right=int(unlike[right].sum()),
                unlike_wrong=int(unlike[~right].sum()))


def look_closer(agent: Agent, smoke: bool = False) -> dict:
    """Everything of this file, of one agent."""
    begin, size = time.process_time(), 20 if smoke else 500
    small = {str(n): enumeration(agent, n, 50 if smoke else None) for n in (1, 2, 3)}
    found = {level: doubts(agent, level, size) for level in (*EXAMS, *LONGER)}
    short = [level for level in found if find_level(level).numbers <= PRACTISED]
    groups = {f"up to {PRACTISED} numbers": short,
              f"more than {PRACTISED}": [name for name in found if name not in short],
              "all together": list(found)}
    return dict(enumeration=small, commit=commit(), doubts={
        name: self_knowledge({level: found[level] for level in levels})
        for name, levels in groups.items()},
        cpu_seconds=round(time.process_time() - begin, 1))
