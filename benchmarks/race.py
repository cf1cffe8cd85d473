"""Time from nothing to 99 % on the hardest level of the seed ladder, beside the peers, on one thread.

All practise on the seed ladder. Greedy accuracy is judged now and then on fresh problems of the hardest level, by the
same rule, and the judging is on the clock. Each side has the same number of trials, with settings that its users would
try first; the best counts, and none goes on beyond the limit.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.peer_env import PeerEnv
from benchmarks.peers import masked, recurrent
from benchmarks.rows import MASTERY, Form, Row
from benchmarks.training import HARDEST
from mna.training import Run, from_profile

LIMIT = 80.0    # processor seconds of a trial
JUDGED = 1000   # problems in a judgement
EVERY = 10_000  # decisions between two judgements, at least


@dataclass(frozen=True)
class Trial:
    """How far one trial came."""

    seconds: float
    "To 99 %; infinity: not within the limit."
    decisions: int
    best: float
    "The best greedy accuracy that was judged."


def trial(practise: Callable[[], int], judge: Callable[[], float]) -> Trial:
    """Practise until mastery or the limit. practise() returns all decisions so far, judge() an accuracy."""
    start, judged, best = time.process_time(), 0, 0.0
    while time.process_time() - start < LIMIT:
        decisions = practise()
        if decisions - judged >= EVERY:
            judged, share = decisions, judge()
            best = max(best, share)
            if share >= MASTERY:
                return Trial(time.process_time() - start, decisions, best)
    return Trial(math.inf, decisions, best)


def ours(seed: int, **ppo) -> Trial:
    """The seed profile, some settings of its PPO changed."""
    config = from_profile("seed", seed=seed, judge_problems=JUDGED)
    run = Run(replace(config, ppo=replace(config.ppo, **ppo)))

    def practise() -> int:
        run.iterate()
        return run.decisions

    def judge() -> float:
        run.judge()  # all levels, since the curriculum asks for them
        return run.curriculum.history[-1][1][run.config.ladder.index(HARDEST)]

    return trial(practise, judge)


def greedy_accuracy(model: BaseAlgorithm, env: VecEnv, masks: bool) -> float:
    """The share of right answers when a peer plays one problem of each row of the environment greedily."""
    seen, state, first = env.reset(), None, np.ones(env.num_envs, dtype=bool)
    correct, playing = np.zeros(env.num_envs, dtype=bool), np.ones(env.num_envs, dtype=bool)
    while playing.any():
        options = dict(action_masks=np.stack(env.env_method("action_masks"))) if masks else {}
        actions, state = model.predict(seen, state, first, deterministic=True, **options)
        seen, _, first, infos = env.step(actions)
        for i in (first & playing).nonzero()[0]:
            correct[i] = infos[i]["correct"]
        playing &= ~first
    return float(correct.mean())


def peer(make: Callable[..., BaseAlgorithm], masks: bool, seed: int, **settings) -> Trial:
    """A peer with the settings of one trial."""
    model = make(seed, **settings)
    env = PeerEnv(JUDGED, levels=(HARDEST,), any_action=not masks, seed=seed + 1)
    size = model.n_steps * model.n_envs

    def practise() -> int:
        model.learn(max(size, EVERY // 4), reset_num_timesteps=model.num_timesteps == 0)
        return model.num_timesteps

    return trial(practise, lambda: greedy_accuracy(model, env, masks))


OURS = [dict(), dict(learning_rate=1e-3), dict(learning_rate=2.5e-3)]
PEERS = [dict(num_envs=64, learning_rate=1e-3, ent_coef=0.01),
         dict(num_envs=256, learning_rate=2.5e-3, ent_coef=0.01),
         dict(num_envs=256, learning_rate=1e-3, ent_coef=0.03, gamma=1.0)]  # fmt: skip


def best_of(trials: list[Trial]) -> Trial:
    """The quickest trial, or the one that came furthest."""
    return min(trials, key=lambda found: (found.seconds, -found.best))


def told(found: Trial, n: int) -> str:
    """A trial in words."""
    if math.isfinite(found.seconds):
        return f"best of {n} trials, {found.decisions:,} decisions"
    return f"not reached in {LIMIT:.0f} s and {found.decisions:,} decisions, best accuracy {found.best:.1%}, {n} trials"


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # what the first optimiser loads is on nobody's clock
    mine = best_of([ours(form.seed, **settings) for settings in OURS])
    yield Row(f"race to 99 % on {HARDEST}, ours", "s", [mine.seconds], note=told(mine, len(OURS)))
    for name, make, masks in (("MaskablePPO", masked, True), ("RecurrentPPO", recurrent, False)):
        found = best_of([peer(make, masks, form.seed, **settings) for settings in PEERS])
        yield Row(f"race to 99 % on {HARDEST}, {name}", "s", [found.seconds], note=told(found, len(PEERS)))
        reached = math.isfinite(found.seconds)
        yield Row(f"race, {name} over ours", "times", [min(found.seconds, LIMIT) / mine.seconds], at_least=20,
                  note="" if reached else "at least: it did not get there")
