"""A run of the seed profile with the fast engine: seconds, decisions a second, parts, share of the arithmetic bound."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rows import Form, Row
from mna.ppo import PPOConfig
from mna.speed import FAST, generate, play, update
from mna.training import Run, from_profile

PARTS = ("generate", "play", "update")


def watched(call, name: str, spent: Counter):
    """The same function; its processor seconds are added to spent[name]."""

    def timed(*arguments, **options):
        start = time.process_time()
        result = call(*arguments, **options)
        spent[name] += time.process_time() - start
        return result

    return timed


def trained(seed: int, decisions: int, budget: int) -> tuple[Run, float, Counter]:
    """The first decisions of a run, its processor seconds, and those of each part; not judged on the way."""
    spent = Counter()
    engine = replace(FAST, **{part: watched(getattr(FAST, part), part, spent) for part in PARTS})
    run = Run(from_profile("seed", seed=seed, decisions=budget), engine)
    start = time.process_time()
    while run.decisions < decisions:
        run.iterate()
    return run, time.process_time() - start, spent


def flops(call) -> int:
    """Floating point operations of the matrix products in a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def seconds(call, repeats: int) -> float:
    """The least processor time of a call."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def matmul_rate(rows: int = 2_000, width: int = 64) -> float:
    """FLOP a second of products as the encoder makes them, the best of many."""
    x, w = torch.randn(rows, 3 * width), torch.randn(3 * width, width)
    return 2 * x.numel() * width / seconds(lambda: x @ w, 100)


def bound(run: Run, problems: int, minibatch: int, repeats: int) -> float:
    """Time that the products of an iteration need at the machine's rate, over what the iteration takes, in percent.

    Each different worksheet of a minibatch, and of a turn, is counted once.
    """
    asked = generate(torch.arange(problems) % len(run.levels), run.levels, run.rng)
    config = PPOConfig(epochs=1, minibatch=minibatch)

    def iteration():
        update(run.agent, run.optimizer, play(run.agent, asked, run.rng), config)

    return 100 * flops(iteration) / matmul_rate() / seconds(iteration, repeats)


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    budget = from_profile("seed").decisions
    decisions, rates, totals, parts = 6_000 if form.short else budget, [], [], Counter()
    for seed in range(form.seed, form.seed + (1 if form.short else 3)):
        run, total, spent = trained(seed, decisions, budget)
        rates.append(run.decisions / total)
        totals.append(total)
        parts += Counter({part: spent[part] / run.decisions * 1e6 for part in PARTS})
    note = f"the first {decisions:,} decisions" if form.short else "judgements not counted"
    if not form.short:
        yield Row("seed profile", "s", totals, at_most=25, note=note)
    yield Row("training, seed profile", "decisions/s", rates, at_least=8_000, note=note)
    for part in PARTS:
        yield Row(f"time: {part}", "µs a decision", [parts[part] / len(rates)])
    repeats = 2 if form.short else 5
    yield Row("the machine's matmul rate", "GFLOP/s", [matmul_rate() / 1e9], note="products as the encoder makes them")
    yield Row("share of the arithmetic bound, seed", "%", [bound(run, 180, 400, repeats)], at_least=40)
    if not form.short:
        yield Row("share of the arithmetic bound, 1,024 at once", "%", [bound(run, 1024, 4_000, repeats)], at_least=50)
