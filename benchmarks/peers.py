"""Decisions/s beside sb3-contrib's MaskablePPO and RecurrentPPO, on the same problems, at the same time, on one thread.

Each at its defaults, as most people start: ours the seed profile, theirs one environment. And each for throughput: as
many problems at once, and many of them, as many epochs, minibatches of about the same size, and our width. RecurrentPPO
knows no masks: see `peer_env.AnyAction`. On the clock are roll-outs and updates; ours is judged besides, off the clock,
as its curriculum asks. Each side runs in a process of its own, as its users run it: ours has the C library keep memory.

`python -m benchmarks.peers SIDE HOW SEED` prints a side's decisions/s.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import gymnasium as gym
import numpy as np
import torch
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.arithmetic import operations
from benchmarks.footprint import said
from benchmarks.parts import timed
from benchmarks.peer_env import NAME, AnyAction, PeerEnv
from benchmarks.rows import PROBLEMS, Form, Row
from benchmarks.training import advance
from mna.environments import SEED_LADDER
from mna.training import Run, from_profile

WIDTH = from_profile("seed").network.width
MINIBATCH = 4096  # decisions, for throughput; one of ours holds half of the problems, with some eight decisions each
SETTINGS = dict(n_steps=16, batch_size=512, n_epochs=from_profile("seed").ppo.epochs, device="cpu")
ONE_LSTM = dict(lstm_hidden_size=WIDTH, shared_lstm=True, enable_critic_lstm=False)  # the fastest that it offers


def masked(seed: int, num_envs: int, levels=SEED_LADDER, width: int = WIDTH, **options) -> MaskablePPO:
    """MaskablePPO on many problems at once, with networks of our width."""
    settings = SETTINGS | dict(policy_kwargs=dict(net_arch=[width, width]), seed=seed) | options
    return MaskablePPO("MlpPolicy", PeerEnv(num_envs, levels, seed=seed), **settings)


def recurrent(seed: int, num_envs: int, levels=SEED_LADDER, **options) -> RecurrentPPO:
    """RecurrentPPO on many problems at once, with one LSTM of our width that actor and critic share."""
    policy = dict(net_arch=[WIDTH], **ONE_LSTM)
    settings = SETTINGS | dict(policy_kwargs=policy, seed=seed) | options
    return RecurrentPPO("MlpLstmPolicy", PeerEnv(num_envs, levels, any_action=True, seed=seed), **settings)


def masked_by_default(seed: int) -> MaskablePPO:
    return MaskablePPO("MlpPolicy", gym.make(NAME, levels=SEED_LADDER), seed=seed, device="cpu")


def recurrent_by_default(seed: int) -> RecurrentPPO:
    return RecurrentPPO("MlpLstmPolicy", AnyAction(gym.make(NAME, levels=SEED_LADDER)), seed=seed, device="cpu")


def right_answers(model: BaseAlgorithm, env: VecEnv, masks: bool) -> np.ndarray:
    """(num_envs,) is its answer right, when a peer plays one problem of each row of the environment greedily?"""
    seen, state, first = env.reset(), None, np.ones(env.num_envs, dtype=bool)
    correct, playing = np.zeros(env.num_envs, dtype=bool), np.ones(env.num_envs, dtype=bool)
    while playing.any():
        options = dict(action_masks=np.stack(env.env_method("action_masks"))) if masks else {}
        actions, state = model.predict(seen, state, first, deterministic=True, **options)
        seen, _, first, infos = env.step(actions)
        for i in (first & playing).nonzero()[0]:
            correct[i] = infos[i]["correct"]
        playing &= ~first
    return correct


@dataclass(frozen=True)
class Peer:
    """An agent to measure beside ours."""

    make: Callable[[int], BaseAlgorithm]
    rollouts: int
    "How many roll-outs, and updates, the clock sees."


BARS = {"defaults": 30, "for throughput": 3}  # how many times faster ours should be
PEERS = {
    "defaults": {"MaskablePPO": Peer(masked_by_default, 1), "RecurrentPPO": Peer(recurrent_by_default, 4)},
    "for throughput": {
        "MaskablePPO": Peer(lambda seed: masked(seed, PROBLEMS, batch_size=MINIBATCH), 4),
        "RecurrentPPO": Peer(lambda seed: recurrent(seed, PROBLEMS, batch_size=MINIBATCH), 2)},
}  # fmt: skip


def learning_rate_of(model: BaseAlgorithm, rollouts: int) -> float:
    """Decisions/s of a peer over some roll-outs with their updates, after one to warm up."""
    size = model.n_steps * model.n_envs
    model.learn(size)
    start, before = time.process_time(), model.num_timesteps
    model.learn(rollouts * size, reset_num_timesteps=False)
    return (model.num_timesteps - before) / (time.process_time() - start)


def arithmetic(model: BaseAlgorithm) -> float:
    """Floating point operations a decision of a peer's matrix products, over one roll-out with its update."""
    size = model.n_steps * model.n_envs
    return operations(lambda: model.learn(size)) / size


def ours(seed: int, how: str) -> float:
    """Decisions/s of the seed profile over its whole budget; for throughput with many problems from the start."""
    config, judging = from_profile("seed", seed=seed), Counter()
    run = Run(config if how == "defaults" else replace(config, problems=PROBLEMS))
    run.judge = timed(run.judge, "seconds", judging)
    seconds = advance(run, config.decisions) - judging["seconds"]
    return run.decisions / seconds


def rate(side: str, how: str, seed: int) -> float:
    """Decisions/s of ours or of a peer."""
    if side == "ours":
        return ours(seed, how)
    peer = PEERS[how][side]
    return learning_rate_of(peer.make(seed), peer.rollouts)


def measure(form: Form) -> Iterator[Row]:
    seeds = range(form.seed, form.seed + (1 if form.short else 3))
    for how, peers in PEERS.items():
        rates = {side: [] for side in ("ours", *peers)}
        for seed in seeds:  # in turns
            for side, found in rates.items():
                found.append(float(said("-m", "benchmarks.peers", side, how, str(seed)).stdout))
        mine = rates.pop("ours")
        yield Row(f"ours, {how}", "decisions/s", mine, note="whole budget of the seed profile")
        for name, found in rates.items():
            yield Row(f"{name}, {how}", "decisions/s", found)
            ratios = [one / other for one, other in zip(mine, found, strict=True)]
            yield Row(f"ours over {name}, {how}", "times", ratios, at_least=BARS[how])
    model = PEERS["for throughput"]["MaskablePPO"].make(form.seed)
    yield Row("arithmetic of a decision, MaskablePPO, for throughput", "kFLOP", [arithmetic(model) / 1e3])


def main(side: str, how: str, seed: str) -> None:
    torch.set_num_threads(1)
    print(rate(side, how, int(seed)))


if __name__ == "__main__":
    main(*sys.argv[1:])
