"""Decisions/s beside sb3-contrib's MaskablePPO and RecurrentPPO, on the same problems, at the same time, on one thread.

Each at its defaults, with one environment, as most people start; and tuned for throughput: many problems at once, and
our width, epochs and size of minibatch. RecurrentPPO knows no masks: see `peer_env.AnyAction`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gymnasium as gym
import torch
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3.common.base_class import BaseAlgorithm

from benchmarks.peer_env import NAME, AnyAction, PeerEnv
from benchmarks.rows import Form, Row
from benchmarks.training import rate
from mna.environments import SEED_LADDER
from mna.training import Run, from_profile

WIDTH = from_profile("seed").network.width
MINIBATCH = 512  # decisions; ours: about ten of each of the problems in a minibatch
THROUGHPUT = dict(n_steps=16, batch_size=MINIBATCH, n_epochs=from_profile("seed").ppo.epochs, device="cpu")
ONE_LSTM = dict(lstm_hidden_size=WIDTH, shared_lstm=True, enable_critic_lstm=False)  # the fastest that it offers


def masked(seed: int, num_envs: int, **options) -> MaskablePPO:
    """MaskablePPO on many problems at once, with networks of our width."""
    settings = THROUGHPUT | dict(policy_kwargs=dict(net_arch=[WIDTH, WIDTH]), seed=seed) | options
    return MaskablePPO("MlpPolicy", PeerEnv(num_envs, seed=seed), **settings)


def recurrent(seed: int, num_envs: int, **options) -> RecurrentPPO:
    """RecurrentPPO on many problems at once, with one LSTM of our width that actor and critic share."""
    policy = dict(net_arch=[WIDTH], **ONE_LSTM)
    settings = THROUGHPUT | dict(policy_kwargs=policy, seed=seed) | options
    return RecurrentPPO("MlpLstmPolicy", PeerEnv(num_envs, any_action=True, seed=seed), **settings)


def masked_by_default(seed: int) -> MaskablePPO:
    return MaskablePPO("MlpPolicy", gym.make(NAME, levels=SEED_LADDER), seed=seed, device="cpu")


def recurrent_by_default(seed: int) -> RecurrentPPO:
    return RecurrentPPO("MlpLstmPolicy", AnyAction(gym.make(NAME, levels=SEED_LADDER)), seed=seed, device="cpu")


@dataclass(frozen=True)
class Peer:
    """An agent to measure beside ours."""

    name: str
    make: Callable[[int], BaseAlgorithm]
    bar: float
    "How many times faster ours should be."
    rollouts: int
    "How many roll-outs, and updates, the clock sees."


PEERS = [
    Peer("MaskablePPO, defaults", masked_by_default, 30, 1),
    Peer("RecurrentPPO, defaults", recurrent_by_default, 30, 4),
    Peer("MaskablePPO, for throughput", lambda seed: masked(seed, 256), 3, 4),
    Peer("RecurrentPPO, for throughput", lambda seed: recurrent(seed, 256), 3, 4),
]


def learning_rate_of(model: BaseAlgorithm, rollouts: int) -> float:
    """Decisions/s of a peer over some roll-outs with their updates, after one to warm up."""
    size = model.n_steps * model.n_envs
    model.learn(size)
    start, before = time.process_time(), model.num_timesteps
    model.learn(rollouts * size, reset_num_timesteps=False)
    return (model.num_timesteps - before) / (time.process_time() - start)


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    repeats, decisions = (1 if form.short else 2), 20_000
    rates = {peer: [] for peer in PEERS}
    ours = []
    for seed in range(form.seed, form.seed + repeats):
        ours.append(rate(Run(from_profile("seed", seed=seed)), decisions))
        for peer in PEERS:
            rates[peer].append(learning_rate_of(peer.make(seed), peer.rollouts))
    yield Row("ours, beside the peers", "decisions/s", ours, note=f"the first {decisions:,} decisions")
    for peer, found in rates.items():
        yield Row(peer.name, "decisions/s", found)
        yield Row(f"ours over {peer.name}", "times", [mine / its for mine, its in zip(ours, found, strict=True)],
                  at_least=peer.bar)
