"""The environment alone on one core: random legal play, 4096 problems at once, generator included.

The random player and its registers are no part of the environment; their time is given in the note.
Seconds are processor time of the one thread, so that other programs on the machine disturb it less.
"""

import time
from collections.abc import Callable, Iterator
from functools import wraps
from unittest.mock import patch

import torch

from benchmarks.rows import Form, Row
from mna.environments import FULL_LADDER, SEED_LADDER, Environment, Registers, generate, legal_actions, take_action

B = 4096


class Watch:
    """Adds up the processor seconds that functions take."""

    def __init__(self):
        self.seconds = 0.0

    def timed(self, function: Callable) -> Callable:
        """The function, its time counted."""

        @wraps(function)
        def call(*arguments, **options):
            start = time.process_time()
            result = function(*arguments, **options)
            self.seconds += time.process_time() - start
            return result

        return call


def random_legal(registers: Registers, rng: torch.Generator) -> torch.Tensor:
    """(B,) one legal action of each problem."""
    legal = legal_actions(registers).T
    chance = torch.rand(legal.shape, generator=rng) * legal
    return (chance == chance.amax(0)).byte().T.contiguous().argmax(1)


def play(ladder, rng: torch.Generator, decisions: int, n: int, draw: Callable = generate) -> int:
    """Play n problems at once, a new one in the place of each finished one. Returns decisions, at least so many."""

    def fresh():
        level = torch.randint(len(ladder), (n,), generator=rng)
        return Registers.start(draw(level, ladder, rng, trim=False))

    playing, waiting, left = fresh(), fresh(), decisions
    while left > 0:
        left -= int((~playing.env.done).sum())
        done = take_action(playing, random_legal(playing, rng), rng).done.nonzero()[:, 0]
        if len(done) > n // 8:
            if len(waiting) < len(done):
                waiting = fresh()
            rows = torch.arange(len(waiting))
            playing.put(done, waiting.select(rows[: len(done)]))
            waiting = waiting.select(rows[len(done) :])
    return decisions - left


def rate(ladder, decisions: int, n: int = B, seed: int = 0) -> tuple[float, float, float]:
    """(decisions/s of the environment, the generator's share of that time, decisions/s with the player's time)."""
    rng, generator, steps = torch.Generator().manual_seed(seed), Watch(), Watch()
    play(ladder, rng, decisions // 20, n)  # warm up
    with patch.object(Environment, "step", steps.timed(Environment.step)):
        start = time.process_time()
        made = play(ladder, rng, decisions, n, generator.timed(generate))
        total = time.process_time() - start
    environment = generator.seconds + steps.seconds
    return made / environment, generator.seconds / environment, made / total


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    repeats, decisions = (2, 1_000_000) if form.short else (3, 3_000_000)
    for name, ladder, bar in (("seed", SEED_LADDER, 1e6), ("full", FULL_LADDER, None)):
        rates, shares, slower = zip(
            *(rate(ladder, decisions, seed=form.seed + i) for i in range(repeats)), strict=True)
        yield Row(f"environment, {name} ladder", "decisions/s", rates, at_least=bar,
                  note=f"{shares[0]:.0%} of it in the generator; {slower[0]:,.0f} with the random player's time")
