"""What to practise next, what counts as mastered, and what was forgotten."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mna import ppo
from mna.language import slots_needed
from mna.network import Agent
from mna.problems import LEVELS, Level, draw


# ---------------------------------------------------------------- engine
@dataclass(frozen=True)
class Engine:
    """How to generate, play and update: the plain way here, a fast one in chapter 10.

    generate(place (B,), levels, rng, split) -> problems; need(problems) -> (B,) slots;
    play(agent, problems, rng, ...) -> rollout; outcome(rollout) -> (right (B,), decisions);
    update(agent, optimizer, rollout, config, share, rng).
    """
    name: str
    generate: Callable
    need: Callable
    play: Callable
    outcome: Callable
    update: Callable


def generate(place: Tensor, levels: list[Level], rng: torch.Generator, split: str = "train"):
    """A problem for each place (B,) on the ladder, one after the other."""
    dice = random.Random(int(torch.randint(2 ** 62, (1,), generator=rng)))
    return [draw(levels[i], dice, split) for i in place.tolist()]


def outcome(episodes: list[ppo.Episode]) -> tuple[Tensor, int]:
    """Which episodes ended in the right answer, (B,), and their decisions in all."""
    right = torch.tensor([episode.correct for episode in episodes])
    return right, sum(len(episode.steps) for episode in episodes)


PLAIN = Engine("plain", generate, lambda ps: torch.tensor([slots_needed(p) for p in ps]),
               ppo.play, outcome, ppo.update)


# ---------------------------------------------------------------- judge
def accuracy(agent: Agent, levels: list[Level], problems: int, rng: torch.Generator,
             split: str = "train", engine: Engine = PLAIN, **options) -> list[float]:
    """Share of right answers on each level, greedy, on fresh problems.

    problems: how many of each level. options: of `play`.
    """
    place = torch.arange(len(levels)).repeat_interleave(problems)
    right = []
    for part in place.split(2048):
        asked = engine.generate(part, levels, rng, split)
        played = engine.play(agent, asked, rng, **({"greedy": True} | options))
        right.append(engine.outcome(played)[0])
    return torch.cat(right).view(len(levels), problems).double().mean(1).tolist()


# ---------------------------------------------------------------- curriculum
LADDER = tuple(LEVELS)  # every kind at every number count that is practised
MILESTONES = ("add", "expr2", "expr3", "expr5", "expr10", "signs10", "bars10", "linear10",
              "algebra10", "mixed10")  # judged on the way


class Curriculum:
    """Levels are practised most where success is neither rare nor sure.

    success: (levels,) a running mean s of how often practice ended in the right answer.
    A level's weight is least + 4 s (1 - s).
    """

    def __init__(self, levels: list[Level], least: float = 0.2):
        self.levels, self.least = levels, least
        self.success = torch.zeros(len(levels))

    def weights(self) -> Tensor:
        """(levels,) shares of practice."""
        weight = self.least + 4 * self.success * (1 - self.success)
        return weight / weight.sum()

    def draw(self, B: int, rng: torch.Generator) -> Tensor:
        """(B,) places on the ladder of what is practised next."""
        return torch.multinomial(self.weights(), B, replacement=True, generator=rng)

    def note(self, place: Tensor, right: Tensor) -> None:
        """Book the outcome of practice. place, right: (B,). Few problems move it little."""
        n = torch.bincount(place, minlength=len(self.levels))
        hits = torch.bincount(place, right.float(), minlength=len(self.levels))
        rate = 0.1 * (n / 4).clamp(max=1)
        self.success += rate * (hits / n.clamp(min=1) - self.success)


def tight(need: Tensor, slots: int, share: float, rng: torch.Generator) -> Tensor:
    """How many slots each problem may use, (B,): a share of them no more than they need.

    need: (B,) least slots in the best order. The others get between that and all of them.
    """
    least = need.clamp(max=slots)
    more = (torch.rand(len(need), generator=rng) * (slots - least + 1)).long()
    exact = torch.rand(len(need), generator=rng) < share
    return torch.where(exact, least, least + more)


# ---------------------------------------------------------------- forgetting
MASTERED = 0.95  # accuracy in a judgement on fresh greedy episodes


def mastered_at(history: list[tuple[int, list[float]]], i: int) -> int | None:
    """The first judgement in which level i was mastered; None if there is none.

    history: (decisions, accuracy of each level) of each judgement.
    """
    return next((t for t, (_, shares) in enumerate(history) if shares[i] >= MASTERED), None)


def forgetting(history: list[tuple[int, list[float]]]) -> list[dict]:
    """What became of each level after it was mastered.

    first_mastered: in decisions. forgetting: accuracy then less accuracy at the end (as in
    Continual World). worst_dip: accuracy then less the lowest one since. None: never mastered.
    """
    out = []
    for i in range(len(history[0][1])):
        t = mastered_at(history, i)
        if t is None:
            out.append(dict(first_mastered=None, forgetting=None, worst_dip=None))
            continue
        then, since = history[t][1][i], [shares[i] for _, shares in history[t:]]
        out.append(dict(first_mastered=history[t][0], forgetting=then - since[-1],
                        worst_dip=then - min(since)))
    return out
