"""Time from nothing to 99 % on the hardest level of the seed ladder, beside the peers, on one thread.

All practise on the seed ladder. Greedy accuracy is judged now and then on as many fresh problems of the hardest level,
by the same rule, and the judging is on the clock; so is what our curriculum asks for, a small judgement of every level.
Each side has the same number of settings, those that its users would try first. The best is chosen in short trials on
one seed, and counted in long ones on others; a side that gets nowhere on the first of these is not run on the rest. In
choosing, no trial goes on beyond the quickest of its side. Kept are the curves of what is counted: (processor seconds,
decisions, accuracy) of every judgement.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from benchmarks.peer_env import PeerEnv
from benchmarks.peers import masked, recurrent, right_answers
from benchmarks.rows import MASTERY, Form, Row
from benchmarks.training import HARDEST
from mna.curriculum import accuracy
from mna.training import Run, from_profile

TRIED = 30.0   # processor seconds of a trial that helps to choose a setting, at most
LIMIT = 90.0   # processor seconds of a trial that counts, at most: some twenty times ours
SEEDS = 3      # on which the best setting is counted
JUDGED = 1000  # problems in a judgement
EVERY = from_profile("seed").judge_every  # decisions between two judgements, at least


@dataclass(frozen=True)
class Trial:
    """How far one trial came, judgement by judgement."""

    curve: list[tuple[float, int, float]]
    "(processor seconds, decisions, greedy accuracy) of each judgement, in order."

    @property
    def best(self) -> float:
        """The best accuracy that was judged."""
        return max((share for _, _, share in self.curve), default=0.0)

    @property
    def seconds(self) -> float:
        """To 99 %; infinity: not reached."""
        return self.curve[-1][0] if self.best >= MASTERY else math.inf


def trial(practise: Callable[[], int], judge: Callable[[], float], limit: float) -> Trial:
    """Practise until mastery or the limit. practise() returns all decisions so far, judge() an accuracy."""
    start, judged, found = time.process_time(), 0, Trial([])
    while found.best < MASTERY and time.process_time() - start < limit:
        decisions = practise()
        if decisions - judged >= EVERY:
            judged, share = decisions, judge()
            found.curve.append((time.process_time() - start, decisions, share))
    return found


def ours(seed: int, limit: float, **ppo) -> Trial:
    """The seed profile, some settings of its PPO changed."""
    config = from_profile("seed", seed=seed)
    run, fresh = Run(replace(config, ppo=replace(config.ppo, **ppo))), torch.Generator().manual_seed(seed + 1)

    def practise() -> int:
        run.iterate()
        return run.decisions

    def judge() -> float:
        run.judge()
        return float(accuracy(run.agent, (HARDEST,), JUDGED, fresh, split="train")[0])

    return trial(practise, judge, limit)


def peer(make: Callable[..., BaseAlgorithm], masks: bool, seed: int, limit: float, **settings) -> Trial:
    """A peer with the settings of one trial."""
    model = make(seed, **settings)
    env = PeerEnv(JUDGED, levels=(HARDEST,), any_action=not masks, seed=seed + 1)
    size = model.n_steps * model.n_envs

    def practise() -> int:
        model.learn(max(size, EVERY // 4), reset_num_timesteps=model.num_timesteps == 0)
        return model.num_timesteps

    return trial(practise, lambda: float(right_answers(model, env, masks).mean()), limit)


OURS = [dict(), dict(learning_rate=1e-3), dict(learning_rate=2.5e-3)]
PEERS = [dict(num_envs=256, learning_rate=2.5e-3, ent_coef=0.01),  # the quickest first, so that the others end sooner
         dict(num_envs=64, learning_rate=1e-3, ent_coef=0.01),
         dict(num_envs=256, learning_rate=1e-3, ent_coef=0.03, gamma=1.0)]  # fmt: skip


def counted(run: Callable[..., Trial], seed: int, settings: list[dict]) -> list[Trial]:
    """The trials of a side's best setting on further seeds; one alone, where that did not get there."""
    best, chosen = Trial([]), {}
    for setting in settings:
        found = run(seed, min(TRIED, best.seconds), **setting)
        best, chosen = min((found, setting), (best, chosen), key=lambda pair: (pair[0].seconds, -pair[0].best))
    first = run(seed + 1, LIMIT, **chosen)
    if math.isinf(first.seconds):
        return [first]
    return [first, *(run(seed + i, LIMIT, **chosen) for i in range(2, SEEDS + 1))]


def raced(name: str, trials: list[Trial], n: int) -> Row:
    """The times of a side's trials, and their curves; the best of n settings was chosen."""
    decisions = median(found.curve[-1][1] if found.curve else 0 for found in trials)
    there, best = sum(math.isfinite(found.seconds) for found in trials), max(found.best for found in trials)
    note = f"best of {n} settings, {there} of {len(trials)} seeds reached it, {decisions:,.0f} decisions"
    return Row(f"race to 99 % on {HARDEST}, {name}", "s", [found.seconds for found in trials],
               note=note if there else f"not reached in {LIMIT:.0f} s by {n} settings, best accuracy {best:.1%}",
               data=dict(curves=[found.curve for found in trials], limit=LIMIT))


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # what the first optimiser loads is on nobody's clock
    sides = (("MaskablePPO", masked, True), ("RecurrentPPO", recurrent, False))
    peers = {name: raced(name, counted(partial(peer, make, masks), form.seed, PEERS), len(PEERS))
             for name, make, masks in sides}  # fmt: skip
    mine = raced("ours", counted(ours, form.seed, OURS), len(OURS))  # last, for it has this process keep memory
    yield mine
    for name, theirs in peers.items():
        yield theirs
        yield Row(f"race, {name} over ours", "times", [min(theirs.value, LIMIT) / mine.value], at_least=20,
                  note="" if math.isfinite(theirs.value) else "at least: it did not get there")
