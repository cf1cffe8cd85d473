"""Runs of the profiles with the fast engine: seconds, decisions a second, parts, share of the arithmetic bound."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rows import Form, Row
from mna.ppo import PPOConfig
from mna.speed import FAST, generate, play, update
from mna.training import Run, from_profile, record
from mna.training import exam as exam_of

PARTS = ("generate", "play", "update")
EXAM_EVERY = 5_000  # decisions between two exams that look for the 99 %


def watched(call, name: str, spent: Counter):
    """The same function; its processor seconds are added to spent[name]."""

    def timed(*arguments, **options):
        start = time.process_time()
        result = call(*arguments, **options)
        spent[name] += time.process_time() - start
        return result

    return timed


def trained(profile: str, seed: int, decisions: int, exam=None) -> tuple[Run, float, Counter, float]:
    """The first decisions of a run, its processor seconds, those of each part, and those to 99 % on unseen mixed10.

    Judged on the way, as in a real run; exam(agent), which finds that 99 %, is not on the clock. Without: infinity.
    """
    spent, exams, reached = Counter(), 0.0, math.inf
    engine = replace(FAST, **{part: watched(getattr(FAST, part), part, spent) for part in PARTS})
    run = Run(from_profile(profile, seed=seed), engine)
    every, start = run.config.judge_every, time.process_time()
    while run.decisions < decisions:
        before = run.decisions
        run.iterate()
        if run.decisions // every > before // every or run.decisions >= run.config.decisions:
            kept = spent.copy()
            run.judge()
            spent.clear()
            spent.update(kept)  # what a judgement generates and plays is no part of an iteration
        if exam and math.isinf(reached) and run.decisions // EXAM_EVERY > before // EXAM_EVERY:
            so_far = time.process_time() - start - exams
            if exam(run.agent) >= 0.99:
                reached = so_far
            exams = time.process_time() - start - so_far
    return run, time.process_time() - start - exams, spent, reached


def mixed(agent) -> float:
    """Accuracy on 300 problems of mixed10 whose structures are held out."""
    return exam_of(agent, ["mixed10"], 300, engine=FAST)["mixed10"]


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
    budget, runs = from_profile("seed").decisions, 1 if form.short else 10
    decisions, found, parts = 6_000 if form.short else budget, [], Counter()
    for seed in range(form.seed, form.seed + runs):
        run, total, spent, reached = trained("seed", seed, decisions, None if form.short else mixed)
        found.append((total, run.decisions / total, reached))
        parts += Counter({part: spent[part] / run.decisions * 1e6 for part in PARTS})
    totals, rates, reached = map(list, zip(*found, strict=True))
    note = f"the first {decisions:,} decisions" if form.short else "with its judgements; without the record's exams"
    if not form.short:
        yield Row("seed profile", "s", totals, at_most=25, note=note)
        yield Row("the record's exams of the seed profile", "s", [seconds(lambda: record(run), 1)])
        yield Row("from nothing to 99 % on unseen mixed10", "s", reached, at_most=40, note="300 problems; – if never")
    yield Row("training, seed profile", "decisions/s", rates, at_least=8_000, note=note)
    for part in PARTS:
        yield Row(f"time: {part}", "µs a decision", [parts[part] / len(rates)])
    if not form.short:
        run, total, *_ = trained("full", form.seed, from_profile("full").decisions)
        yield Row("training, full profile", "decisions/s", [run.decisions / total], at_least=8_000, note=note)
    repeats = 2 if form.short else 5
    yield Row("the machine's matmul rate", "GFLOP/s", [matmul_rate() / 1e9], note="products as the encoder makes them")
    yield Row("share of the arithmetic bound, seed", "%", [bound(run, 180, 400, repeats)], at_least=40)
    if not form.short:
        yield Row("share of the arithmetic bound, 1,024 at once", "%", [bound(run, 1024, 4_000, repeats)], at_least=50)
