"""A GPU beside one thread of the processor in its machine: training at growing sizes, and seconds to 99 %.

Seconds are of the wall clock, and end when the GPU has done all that it was given.
"""

import math
import time
from collections.abc import Iterator

import torch

from benchmarks.rows import PROBLEMS, Form, Row
from benchmarks.training import HARDEST, advance
from mna.training import Run, TrainingConfig, from_profile

SIZES = (96, 1024, 4096, 16_384, 65_536)  # problems at once
LARGEST = 16_384  # of one thread: with more, an iteration takes it ten seconds
TURNS, ITERATIONS = 3, 4  # of a rate; an iteration that comes later has longer episodes, so all sides have as many


def sides() -> dict[str, str]:
    """What is compared, and torch's names for it."""
    return {"one thread": "cpu", torch.cuda.get_device_name(): "cuda"}


def now() -> float:
    """The wall clock, once the GPU has nothing left to do."""
    torch.cuda.synchronize()
    return time.perf_counter()


def rates(device: str, problems: int) -> list[float]:
    """Decisions/s of a fresh agent's iterations, one rate a turn."""
    run, found = Run(TrainingConfig(ladder=(HARDEST,), problems=problems, decisions=10**9), device), []
    run.iterate()  # to warm up
    for _ in range(TURNS):
        start, before = now(), run.decisions
        for _ in range(ITERATIONS):
            run.iterate()
        found.append((run.decisions - before) / (now() - start))
    return found


def growth(form: Form) -> Iterator[Row]:
    for problems in SIZES:
        for side, device in sides().items():
            if device == "cpu" and problems > LARGEST:
                continue
            torch.cuda.reset_peak_memory_stats()
            found, megabytes = rates(device, problems), torch.cuda.max_memory_allocated() / 1e6
            yield Row(f"training, {problems:,} problems, {side}", "decisions/s", found,
                      note=f"{megabytes:,.0f} MB" if device == "cuda" else "", data=dict(problems=problems, side=side))


def to_mastery(device: str, problems: int, seed: int) -> float:
    """Seconds from nothing to 99 % on the hardest level of the seed ladder, judgements counted; infinity: not reached.

    problems: of the first iterations; everything else is the seed profile's.
    """
    start, run = now(), Run(from_profile("seed", seed=seed, problems=problems), device)
    advance(run, run.config.decisions, until=HARDEST)
    return now() - start if HARDEST in run.curriculum.first_mastered else math.inf


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    yield from growth(form)
    for problems in (from_profile("seed").problems, PROBLEMS):
        for side, device in sides().items():
            values = [to_mastery(device, problems, form.seed + i) for i in range(1 if form.short else TURNS)]
            yield Row(f"nothing to 99 % on {HARDEST}, {problems:,} problems, {side}", "s", values)
