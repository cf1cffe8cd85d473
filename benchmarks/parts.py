"""Where the time of training goes: processor time a decision of each part, over a run of the seed profile."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from unittest.mock import patch

import torch

from benchmarks.rows import Form, Row
from mna import training
from mna.training import Run, from_profile


def timed(call: Callable, name: str, spent: Counter) -> Callable:
    """The same call; its processor seconds are added to spent[name]."""

    def call_and_count(*arguments, **options):
        start = time.process_time()
        result = call(*arguments, **options)
        spent[name] += time.process_time() - start
        return result

    return call_and_count


def spent_on(run: Run) -> Counter:
    """Processor seconds of each part of a run, up to the last decisions of its budget."""
    spent, every, start = Counter(), run.config.judge_every, time.process_time()
    with (patch.object(training, "play", timed(training.play, "play", spent)),
          patch.object(training, "update", timed(training.update, "update", spent))):  # fmt: skip
        while run.decisions < run.config.decisions - every:
            before = run.decisions
            run.iterate()
            if run.decisions // every > before // every:
                timed(run.judge, "judge", spent)()
    spent["the rest"] = time.process_time() - start - spent.total()
    return spent


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    runs = [Run(from_profile("seed", seed=form.seed + i)) for i in range(2)]
    spent = [spent_on(run) for run in runs]
    for name, _ in spent[0].most_common():
        values = [1e6 * seconds[name] / run.decisions for seconds, run in zip(spent, runs, strict=True)]
        yield Row(f"time: {name}", "µs/decision", values)
