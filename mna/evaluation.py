"""Does it hold up? Exams with intervals, lesions, and what the agent knows of itself."""

import copy
import random
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from mna.language import X, Problem, Value, parse, slots_left_to_right, slots_needed
from mna.network import Agent, Stage, State, View
from mna.ppo import Episode, play
from mna.problems import PRACTISED, draw, find_level
from mna.training import load_agent

UNSURE = 0.5  # below this confidence an answer comes with a warning


# ---------------------------------------------------------------- solve
def exact(value: Value | Fraction | None) -> int | str | None:
    """A value for JSON: an int, or a fraction, a form or a very long number as text."""
    if value is None:
        return None
    text = str(value)
    return int(text) if text.lstrip("-").isdigit() and len(text) < 16 else text


def confidence(episode: Episode) -> float:
    """The critic's least value on the way: what it expects to be paid, at its gloomiest."""
    return min(step.value for step in episode.steps)


def unlike_practice(problem: Problem) -> list[str]:
    """In which ways a problem is longer or of another kind than any that was practised."""
    found, unknowns = [], problem.kinds.count(X)
    if problem.number_count > PRACTISED:
        found.append(f"{problem.number_count} numbers, practised were up to {PRACTISED}")
    if unknowns > 4:
        found.append(f"the unknown {unknowns} times, practised were up to 4")
    if any(value.r for value in problem.tasks):
        found.append("an unknown in a denominator, which was never practised")
    return found


def told(problem: Problem, episode: Episode) -> dict:
    """What the agent did with a problem, beside the exact answer."""
    env, sure = episode.env, confidence(episode)
    warnings = unlike_practice(problem)
    if sure < UNSURE:
        warnings.append(f"unsure: its critic fell to {sure:.2f} on the way")
    calls = [dict(tool=call.tool, x=exact(call.operands[0]),
                  y=exact(call.operands[1]) if len(call.operands) > 1 else None,
                  result=exact(call.result)) for call in env.calls]
    return dict(problem=problem.text, answer=exact(env.given), expected=exact(problem.answer),
                correct=episode.correct, calls=calls, decisions=len(episode.steps),
                confidence=round(sure, 4), warnings=warnings)


def solve(problems: str | Iterable[str], agent: Agent | None = None) -> dict | list[dict]:
    """Let an agent solve a problem, or several at once.

    agent: the one that ships, if none is given. Returns for each problem a dictionary:
    problem, answer, expected (the exact one), correct, calls, decisions, confidence (see
    `confidence`) and warnings. Raises MNAError for a text that can't be read.
    """
    agent, one = agent or load_agent(), isinstance(problems, str)
    read = [parse(text) for text in ([problems] if one else problems)]
    found = [told(p, e) for p, e in zip(read, play(agent, read, greedy=True))]
    return found[0] if one else found


# ---------------------------------------------------------------- exams
def paper(level: str, problems: int = 1000, seed: int = 0) -> list[Problem]:
    """The exam of a level: problems of as many different held-out structures.

    Fewer where the level has fewer; the same ones for every agent.
    """
    dice, found = random.Random(f"{level} {seed}"), {}
    for _ in range(10 * problems):
        problem = draw(find_level(level), dice, "test")
        found.setdefault(problem.kinds, problem)
        if len(found) == problems:
            break
    return list(found.values())


def marks(agent: Agent, problems: list[Problem], **options) -> np.ndarray:
    """(problems,) 1 where the agent answers right, 0 elsewhere. options: of `play`."""
    played = play(agent, problems, **({"greedy": True} | options))
    return np.array([float(episode.correct) for episode in played])


def interval(runs: list[np.ndarray], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over runs: seeds drawn anew, structures within them.

    runs: for each training seed its marks (structures,), one problem of each structure.
    """
    dice, means = np.random.default_rng(seed), []
    for _ in range(draws):
        chosen = [runs[i] for i in dice.integers(len(runs), size=len(runs))]
        means.append(np.mean([r[dice.integers(len(r), size=len(r))].mean() for r in chosen]))
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def auc(score: np.ndarray, right: np.ndarray) -> float | None:
    """Chance that a right answer has a higher score than a wrong one; None without either."""
    good, bad = score[right > 0], score[right == 0]
    if not len(good) or not len(bad):
        return None
    above = (good[:, None] > bad).mean() + 0.5 * (good[:, None] == bad).mean()
    return float(above)


# ---------------------------------------------------------------- lesions
class Wiped:
    """A desk whose memory is emptied after every decision: each slot that holds a value holds 0."""

    def __init__(self, desk):
        self.desk, self.start, self.view = desk, desk.start, desk.view

    def act(self, state: State, choice: int, env):
        feedback = self.desk.act(state, choice, env)
        state.memory.slots = [v if v is None else Value.of(0) for v in state.memory.slots]
        return feedback


class Deceived:
    """A desk that tells the network another stage than the one that it is in."""

    def __init__(self, desk, shift: int):
        self.desk, self.start, self.act, self.shift = desk, desk.start, desk.act, shift

    def view(self, state: State) -> View:
        seen = self.desk.view(state)
        return replace(seen, stage=(seen.stage + self.shift) % Stage.ANSWER)


def with_desk(agent: Agent, desk) -> Agent:
    """The same network at another desk."""
    other = copy.copy(agent)
    other.desk = desk
    return other


# ---------------------------------------------------------------- tight memory
def only_planned(problems: list[Problem], slots: int) -> list[Problem]:
    """Those that a planned order can solve with so many slots, and left to right can't."""
    return [p for p in problems if slots_needed(p) <= slots < slots_left_to_right(p)]
