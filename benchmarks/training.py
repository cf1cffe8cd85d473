"""Training as `python -m mna train` does it: problems, play, update and judgements, all on one thread.

Seconds are processor time of the process, so that other programs on the machine disturb it less; on one thread that is
the time which a reader waits.
"""

import math
import time
from collections.abc import Iterator

import torch

from benchmarks.rows import Form, Row
from mna.training import Run, from_profile

HARDEST = "seed_hard"


def advance(run: Run, decisions: float, until: str | None = None) -> float:
    """Train until the run has made so many decisions, or has mastered the level `until`. Returns processor seconds.

    Judged as often as the run's profile says.
    """
    every, began = run.config.judge_every, time.process_time()
    while run.decisions < decisions and not run.finished and until not in run.curriculum.first_mastered:
        before = run.decisions
        run.iterate()
        if run.decisions // every > before // every:
            run.judge()
    return time.process_time() - began


def from_nothing(seed: int, whole: bool) -> tuple[float, float, float]:
    """One run of the seed profile: (decisions/s, seconds to mastery, decisions to mastery), infinite if it failed.

    whole: go on after mastery, to the end of the budget?
    """
    began = time.process_time()
    run = Run(from_profile("seed", seed=seed))
    advance(run, run.config.decisions, until=HARDEST)
    seconds = time.process_time() - began
    decisions, training = run.decisions, seconds
    if whole:
        training += advance(run, run.config.decisions)
    if HARDEST not in run.curriculum.first_mastered:
        seconds, decisions = math.inf, math.inf
    return run.decisions / training, seconds, decisions


def seed_ladder(form: Form) -> Iterator[Row]:
    seeds = range(form.seed, form.seed + (2 if form.short else 5))
    rates, seconds, decisions = zip(*(from_nothing(seed, not form.short) for seed in seeds), strict=True)
    reached = f"{sum(map(math.isfinite, seconds))} of {len(seeds)} seeds reached it"
    yield Row("training, seed ladder", "decisions/s", rates, at_least=10_000,
              note="to mastery" if form.short else "whole budget")
    yield Row(f"nothing to 99 % on {HARDEST}", "s", seconds, at_most=15, note=reached)
    yield Row(f"nothing to 99 % on {HARDEST}, budget", "decisions", decisions, note=reached)


def full_profile(form: Form) -> Iterator[Row]:
    """A whole run, some minutes long; of the short form only its start, where iterations are small."""
    run, budget = Run(from_profile("full", seed=form.seed)), 40_000 if form.short else from_profile("full").decisions
    seconds = advance(run, budget)
    yield Row("training, full profile", "decisions/s", [run.decisions / seconds],
              note=f"the first {budget:,} decisions" if form.short else "whole budget")
    if not form.short:
        yield Row("full profile, 2 M decisions", "min", [seconds / 60], at_most=5, note="whole run, judgements counted")


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    yield from seed_ladder(form)
    yield from full_profile(form)
