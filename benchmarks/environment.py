"""Decisions a second of the environment on one core: random legal play, 4096 problems at once, generator included.

    python benchmarks/environment.py [seed] [full]        (which ladders; both by default)

The random player and its registers are no part of the environment; the second line counts their time too.
Seconds are processor time of the one thread, so that other programs on the machine disturb it less.
"""

import sys
import time
from functools import wraps

import torch

from mna.environments import FULL_LADDER, SEED_LADDER, Environment, Registers, generate, legal_actions, take_action

B, DECISIONS = 4096, 3_000_000
spent = {}


def timed(function):
    """The function, adding up the seconds that it takes."""
    spent[function.__name__] = 0.0

    @wraps(function)
    def call(*arguments):
        start = time.process_time()
        result = function(*arguments)
        spent[function.__name__] += time.process_time() - start
        return result

    return call


def random_legal(registers, rng):
    """(B,) one legal action of each problem."""
    legal = legal_actions(registers).T
    chance = torch.rand(legal.shape, generator=rng) * legal
    return (chance == chance.amax(0)).byte().T.contiguous().argmax(1)


def play(ladder, rng, decisions):
    """Play for so many decisions, with a new problem in the place of each finished one."""

    def fresh():
        level = torch.randint(len(ladder), (B,), generator=rng)
        return Registers.start(draw(level, ladder, rng, "train", None, False))

    playing, waiting, left = fresh(), fresh(), decisions
    while left > 0:
        left -= int((~playing.env.done).sum())
        done = take_action(playing, random_legal(playing, rng), rng).done.nonzero()[:, 0]
        if len(done) > B // 8:
            if len(waiting) < len(done):
                waiting = fresh()
            rows = torch.arange(len(waiting))
            playing.put(done, waiting.select(rows[: len(done)]))
            waiting = waiting.select(rows[len(done) :])
    return decisions - left


if __name__ == "__main__":
    torch.set_num_threads(1)
    draw, Environment.step = timed(generate), timed(Environment.step)
    for name in sys.argv[1:] or ["seed", "full"]:
        ladder, rng = {"seed": SEED_LADDER, "full": FULL_LADDER}[name], torch.Generator().manual_seed(0)
        play(ladder, rng, 50_000)
        spent.update(generate=0.0, step=0.0)
        start = time.process_time()
        decisions = play(ladder, rng, DECISIONS)
        total, environment = time.process_time() - start, spent["generate"] + spent["step"]
        print(f"{name} ladder, {B} problems at once, one thread:")
        print(f"{decisions / environment:12,.0f} decisions/s in the environment, {spent['generate'] / environment:.0%} "
              "of that time in the generator")
        print(f"{decisions / total:12,.0f} decisions/s with the random player's time")
