"""How much of the machine's arithmetic training uses.

Counted are the matrix products of forward and backward passes, play included, as torch counts them; element-wise
work is not, so the share is a lower bound.
"""

import time
from collections.abc import Callable, Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rows import Form, Row
from benchmarks.training import advance
from mna.training import Run, from_profile


def operations(call: Callable[[], object]) -> int:
    """Floating point operations of the matrix products in a call; a multiply and an add count two."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def matmul_rate(side: int = 1024, repeats: int = 10) -> float:
    """Floating point operations a second of a large square float32 product: the best of some, the machine's bound."""
    a, b = torch.rand(2, side, side)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        torch.mm(a, b)
        seconds.append(time.process_time() - start)
    return 2 * side**3 / min(seconds)


def training_rate(run: Run, iterations: int) -> tuple[float, float]:
    """(operations a decision, operations a second) of a run's next iterations; half of them are counted, half timed.

    Counting is slow, so it is not done while the clock runs.
    """
    counted, timed, before = 0, 0.0, run.decisions
    for _ in range(iterations // 2):
        counted += operations(run.iterate)
    decisions, middle = run.decisions - before, run.decisions
    for _ in range(iterations // 2):
        start = time.process_time()
        run.iterate()
        timed += time.process_time() - start
    each = counted / decisions
    return each, each * (run.decisions - middle) / timed


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    run = Run(from_profile("seed", seed=form.seed))
    advance(run, 10_000)  # past the first clumsy episodes
    each, reached, bounds = [], [], []
    for _ in range(1 if form.short else 3):
        before, (operations_each, rate) = matmul_rate(), training_rate(run, 6 if form.short else 20)
        each.append(operations_each)
        reached.append(rate)
        bounds.append(max(before, matmul_rate()))
    yield Row("arithmetic of a decision", "kFLOP", [value / 1e3 for value in each], note="play and update together")
    yield Row("arithmetic of training", "GFLOP/s", [value / 1e9 for value in reached])
    yield Row("the machine's matmul rate, one thread", "GFLOP/s", [value / 1e9 for value in bounds])
    yield Row("share of the arithmetic bound", "%", [100 * r / b for r, b in zip(reached, bounds, strict=True)],
              at_least=25)
