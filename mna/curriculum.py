"""What to practise next, what counts as mastered, and what was forgotten."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mna.environments import LEVELS, MNAError, check_levels, generate
from mna.network import Agent
from mna.ppo import play

# ---- cell: accuracy


def accuracy(agent: Agent, ladder, problems: int, rng: torch.Generator, split: str = "test", **options) -> Tensor:
    """Share of right answers on each level, (levels,): greedy, on fresh problems; options go to `play`.

    problems: how many of each level. Raises MNAError for a level that is not on the ladder, or no problems.
    """
    ladder, device = check_levels(ladder), agent.fixed.device
    if problems < 1:
        raise MNAError(f"{problems} problems were asked for, at least 1 is needed: ask for a positive number")
    levels = torch.arange(len(ladder), device=device).repeat_interleave(problems)
    right = [play(agent, generate(part, ladder, rng, split), rng, **({"greedy": True} | options)).correct
             for part in levels.split(4096)]
    return torch.cat(right).view(len(ladder), problems).double().mean(1)


def wilson_interval(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share of n trials (Wilson 1927); unlike share ± z·sd it holds near 0 and 1."""
    centre, spread = share + z * z / (2 * n), z * ((share * (1 - share) + z * z / (4 * n)) / n) ** 0.5
    return max(0.0, (centre - spread) / (1 + z * z / n)), min(1.0, (centre + spread) / (1 + z * z / n))


def evaluate(agent: Agent, ladder, problems: int = 2000, seed: int = 0) -> dict[str, dict]:
    """Greedy accuracy on held-out problems with its 95 % interval, beside the random legal policy's.

    Returns {level: {accuracy, low, high, problems, random}}, shares all but `problems`.
    """
    def rng():
        return torch.Generator(agent.fixed.device).manual_seed(seed)

    greedy = accuracy(agent, ladder, problems, rng()).tolist()
    chance = accuracy(agent, ladder, problems, rng(), greedy=False, floor=1.0).tolist()
    return {level: dict(zip(("accuracy", "low", "high"), (p, *wilson_interval(p, problems))), problems=problems, random=q)
            for level, p, q in zip(check_levels(ladder), greedy, chance)}

# ---- cell: curriculum


@dataclass(frozen=True)
class CurriculumConfig:
    """How practice is shared out between levels."""
    preview: float = 1.0
    "Weight of a level whose easier ones are not all mastered, as a share of a joined level's: 0 is the strict ladder."
    review: float = 0.2
    "Weight of a level that always succeeds in practice; one that always fails has 1 + review."
    mastery: float = 0.99
    "Greedy accuracy on fresh problems from which on a level counts as mastered."
    smoothing: float = 0.9
    "How much of the old success rate stays with each iteration."


class Curriculum:
    """Shares practice out over a ladder of levels, and keeps the book on each.

    A level joins when all easier ones are mastered; before, it is practised at the preview weight. Mastery is judged
    on fresh greedy episodes: practice itself explores and never looks mastered.
    """

    def __init__(self, ladder, config: CurriculumConfig = CurriculumConfig()):
        self.ladder, self.config = check_levels(ladder), config
        self.success = torch.zeros(len(self.ladder))           # in practice, smoothed
        self.history: list[tuple[int, list[float]]] = []       # (decisions, greedy accuracy of each level)
        self.first_mastered: dict[str, int] = {}               # level -> decisions

    def joined(self) -> list[bool]:
        """Which levels have all easier ones mastered?"""
        mastered = [level in self.first_mastered for level in self.ladder]
        return [all(mastered[:i]) for i in range(len(mastered))]

    def weights(self) -> Tensor:
        """The probability of each level in practice, (levels,): more where success is rare, none is dropped."""
        weight = self.config.review + 1 - self.success
        weight = torch.where(torch.tensor(self.joined()), weight, weight * self.config.preview)
        return weight / weight.sum()

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """Levels to practise, (n,) indices into the ladder."""
        return torch.multinomial(self.weights().to(rng.device), n, replacement=True, generator=rng)

    def practised(self, level: Tensor, correct: Tensor) -> None:
        """Take in an iteration of practice: level (B,), correct (B,)."""
        n = torch.bincount(level, minlength=len(self.ladder)).cpu()
        right = torch.bincount(level, weights=correct.double(), minlength=len(self.ladder)).cpu()
        now = (right / n.clamp(min=1)).float()
        smooth = self.config.smoothing
        self.success = torch.where(n > 0, smooth * self.success + (1 - smooth) * now, self.success)

    def judged(self, decisions: int, accuracies: Tensor) -> None:
        """Take in greedy accuracies (levels,) on fresh problems, after so many decisions."""
        self.history.append((decisions, accuracies.tolist()))
        for level, share in zip(self.ladder, accuracies.tolist()):
            if share >= self.config.mastery:
                self.first_mastered.setdefault(level, decisions)

    def state_dict(self) -> dict:
        """All of it, for JSON."""
        return dict(success=self.success.tolist(), history=self.history, first_mastered=self.first_mastered)

    def load_state_dict(self, state: dict) -> None:
        self.success = torch.tensor(state["success"])
        self.history = [(decisions, shares) for decisions, shares in state["history"]]
        self.first_mastered = dict(state["first_mastered"])

# ---- cell: forgetting


def forgetting(history, ladder, first_mastered: dict[str, int]) -> dict[str, dict[str, float]]:
    """What each mastered level lost again, as shares (Wołczyk et al. 2021).

    history: [(decisions, accuracies of the ladder's levels)]. With p(t) a level's accuracy, t_i when it was first
    mastered, T the end: forgetting p(t_i) - p(T), worst dip max over t > t_i of p(t_i) - p(t). Levels that were never
    mastered are left out: there is nothing to forget.
    """
    out = {}
    for i, level in enumerate(ladder):
        curve = [shares[i] for decisions, shares in history if decisions >= first_mastered.get(level, float("inf"))]
        if curve:
            out[level] = dict(forgetting=curve[0] - curve[-1], worst_dip=curve[0] - min(curve))
    return out
