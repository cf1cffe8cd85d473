"""How cost grows: the environment alone, problems at once, numbers of a problem."""

import time
from collections.abc import Iterator

import torch

from benchmarks.rows import Form, Row
from mna.curriculum import LADDER
from mna.network import AgentConfig
from mna.ppo import PPOConfig
from mna.problems import check_levels
from mna.speed import Desks, generate, play, update
from mna.training import make_agent

AT_ONCE = (64, 256, 1_024, 4_096, 16_384, 65_536)
SLOTS, WIDTHS = (0, 1, 3, 8), (32, 64, 128)
NUMBERS = (5, 8, 10, 16, 24, 32)


def drawn(names, B: int, rng: torch.Generator, split: str = "train"):
    """B problems of these levels, in turns."""
    levels = check_levels(names, split)
    return generate(torch.arange(B) % len(levels), levels, rng, split)


def alone(agent, B: int, rng: torch.Generator) -> int:
    """Decisions of B problems that are drawn and played at random, without a network; what is over leaves in tenths."""
    problems, desk, made = drawn(LADDER, B, rng), agent.desk, 0
    desks = Desks.start(problems, desk, torch.full((B,), 3))
    while len(desks.done):
        legal, live = desks.legal(desk), ~desks.done
        desks.step(desk, (torch.rand(legal.shape, generator=rng) * legal).argmax(1), practice=False)
        made += int(live.sum())
        live = (~desks.done).nonzero()[:, 0]
        if len(live) < 0.9 * len(desks.done) or len(live) == 0:
            desks = desks.select(live)
    return made


def rate(call, repeats: int) -> float:
    """The most decisions a processor second. call() returns how many it made."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        made = call()
        found.append(made / (time.process_time() - start))
    return max(found)


def learned(agent, optimizer, B: int, rng: torch.Generator) -> int:
    """Decisions of an iteration with B problems at once, one pass, ten minibatches or more."""
    played = play(agent, drawn(LADDER, B, rng), rng)
    minibatch = max(400, played.decisions // 10)
    update(agent, optimizer, played, PPOConfig(epochs=1, minibatch=minibatch), rng=rng)
    return played.decisions


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    rng, agent = torch.Generator().manual_seed(form.seed), make_agent(AgentConfig(), form.seed)
    repeats = 2 if form.short else 3
    B = 4_096 if form.short else 16_384
    yield Row("environment and generator alone", "decisions/s", [rate(lambda: alone(agent, B, rng), repeats)],
              at_least=500_000, note=f"all kinds, {B:,} problems at once, random legal choices")  # fmt: skip
    optimizer = torch.optim.Adam(agent.parameters(), 1e-6, fused=True)
    for B in AT_ONCE[:3] if form.short else AT_ONCE:
        found = rate(lambda B=B: learned(agent, optimizer, B, rng), repeats)
        yield Row(f"growth: {B:,} problems at once", "decisions/s", [found], data=dict(axis="problems", problems=B))
    for axis, values in (("slots", SLOTS), ("width", WIDTHS)):
        for n in values[1:2] if form.short else values:
            other = make_agent(AgentConfig(**{axis: n}), form.seed)
            fresh = torch.optim.Adam(other.parameters(), 1e-6, fused=True)
            found = rate(lambda other=other, fresh=fresh: learned(other, fresh, 1_024, rng), repeats)
            yield Row(f"growth: {axis} {n}", "decisions/s", [found], data={"axis": axis, axis: n},
                      note="1,024 problems at once" * (n == values[0]))  # fmt: skip
    for n in NUMBERS[::2] if form.short else NUMBERS:
        asked = drawn([f"mixed{n}"], 100 if form.short else 500, rng, "test")
        found = rate(lambda asked=asked: play(agent, asked, rng).decisions, repeats)
        yield Row(f"growth: {n} numbers", "µs a decision", [1e6 / found], note="play alone" * (n == NUMBERS[0]),
                  data=dict(axis="numbers", numbers=n))  # fmt: skip
