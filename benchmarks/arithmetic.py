"""How much of the machine's arithmetic training uses.

Counted are the matrix products of forward and backward passes, play included, as torch counts them; element-wise
work is not, so the share is a lower bound.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rows import PROBLEMS, Form, Row
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
    """(operations a decision, operations a second) of a run, up to so many decisions.

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
    seeds = range(form.seed, form.seed + (1 if form.short else 3))
    for how in ("", ", for throughput"):
        each, reached, bounds = [], [], []
        for seed in seeds:
            config = from_profile("seed", seed=seed)
            run = Run(replace(config, problems=PROBLEMS) if how else config)
            before, (operations_each, rate) = matmul_rate(), training_rate(run, 40_000 if form.short else 190_000)
            each.append(operations_each)
            reached.append(rate)
            bounds.append(max(before, matmul_rate()))
        yield Row(f"arithmetic of a decision{how}", "kFLOP", [n / 1e3 for n in each], note="play and update together")
        yield Row(f"arithmetic of training{how}", "GFLOP/s", [n / 1e9 for n in reached])
        yield Row(f"the machine's matmul rate{how}", "GFLOP/s", [n / 1e9 for n in bounds], note="measured around it")
        yield Row(f"share of the arithmetic bound{how}", "%",
                  [100 * r / b for r, b in zip(reached, bounds, strict=True)], at_least=25)
