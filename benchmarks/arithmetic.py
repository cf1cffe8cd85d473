"""How much of the machine's arithmetic training uses.

Counted are the matrix products of forward and backward passes, play included, as torch counts them; element-wise
work is not, so the share is a lower bound.
"""

import time
from collections.abc import Callable, Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rows import Form, Row
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


def training_rate(run: Run, decisions: int) -> tuple[float, float]:
    """(operations a decision, operations a second) of a run up to so many decisions.

    Every other iteration is counted, the ones between are timed: counting is slow.
    """
    counted, timed, made = 0, 0.0, {"counted": 0, "timed": 0}
    while run.decisions < decisions:
        before = run.decisions
        counted += operations(run.iterate)
        middle, start = run.decisions, time.process_time()
        run.iterate()
        timed += time.process_time() - start
        made["counted"] += middle - before
        made["timed"] += run.decisions - middle
    each = counted / made["counted"]
    return each, each * made["timed"] / timed


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    each, reached, bounds = [], [], []
    for i in range(1 if form.short else 3):
        run = Run(from_profile("seed", seed=form.seed + i))
        before, (operations_each, rate) = matmul_rate(), training_rate(run, 40_000 if form.short else 190_000)
        each.append(operations_each)
        reached.append(rate)
        bounds.append(max(before, matmul_rate()))
    yield Row("arithmetic of a decision", "kFLOP", [value / 1e3 for value in each], note="play and update together")
    yield Row("arithmetic of training", "GFLOP/s", [value / 1e9 for value in reached], note="the seed profile")
    yield Row("the machine's matmul rate, one thread", "GFLOP/s", [value / 1e9 for value in bounds])
    yield Row("share of the arithmetic bound", "%", [100 * r / b for r, b in zip(reached, bounds, strict=True)],
              at_least=25)
