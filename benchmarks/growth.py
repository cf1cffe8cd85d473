"""How speed and memory grow: problems at once, problem length, slots, width and threads.

Each point is measured in fresh processes, all points in turns, so that no disturbance of the machine hits one alone.

`python -m benchmarks.growth POINT` prints a point's decisions/s and its process's peak memory in MB.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from benchmarks.footprint import MB, said
from benchmarks.rows import Form, Row

TURNS = 3
ITERATIONS = 12  # of a turn, after one to warm up; fewer of those that take ten seconds each

AXES = {
    "environment": "environment alone, {problems:,} problems",
    "problems": "{problems:,} problems",
    "level": "level {level}",
    "slots": "slots {slots}",
    "width": "width {width}",
    "threads": "threads {threads}, wall clock",
}


@dataclass(frozen=True)
class Point:
    """One training run, or the environment alone, at a size."""

    axis: str
    "What is varied, one of AXES."
    problems: int = 96
    "At once."
    level: str = "seed_hard"
    slots: int = 3
    width: int = 64
    threads: int = 1

    def __str__(self) -> str:
        return AXES[self.axis].format(**asdict(self))


POINTS = [
    *(Point("environment", problems=n) for n in (64, 1024, 4096, 16_384, 65_536)),
    *(Point("problems", problems=n) for n in (64, 256, 1024, 4096, 16_384, 65_536)),
    *(Point("level", level=level) for level in ("add", "chain", "tree5", "tree7")),
    *(Point("slots", slots=n) for n in (1, 3, 8)),
    *(Point("width", width=n) for n in (32, 64, 128, 256)),
    *(Point("threads", problems=1024, threads=n) for n in (1, 2)),
]


def training_rate(point: Point) -> float:
    """Decisions/s of the first iterations of a fresh agent; of the wall clock, where there may be several threads."""
    from mna.network import NetworkConfig
    from mna.training import Run, TrainingConfig

    network = replace(NetworkConfig(), width=point.width, slots=point.slots)
    run = Run(TrainingConfig(ladder=(point.level,), problems=point.problems, network=network, decisions=10**9))
    run.iterate()
    clock = time.perf_counter if point.axis == "threads" else time.process_time
    start, before = clock(), run.decisions
    for _ in range(min(ITERATIONS, 200_000 // point.problems)):
        run.iterate()
    return (run.decisions - before) / (clock() - start)


def environment_rate(point: Point) -> float:
    """Decisions/s of the environment with its generator."""
    from benchmarks.environment import rate

    return rate((point.level,), max(200_000, 10 * point.problems), n=point.problems)[0]


def measure(form: Form) -> Iterator[Row]:
    found = {point: [] for point in POINTS}
    for point in POINTS * TURNS:
        found[point].append(json.loads(said("-m", "benchmarks.growth", json.dumps(asdict(point))).stdout))
    for point, turns in found.items():
        rates, peaks = zip(*turns, strict=True)
        yield Row(f"growth: {point}", "decisions/s", list(rates), note=f"{max(peaks):,.0f} MB the whole process",
                  data=asdict(point) | dict(megabytes=max(peaks)))


def main(text: str) -> None:
    import resource

    import torch

    point = Point(**json.loads(text))
    torch.set_num_threads(point.threads)
    rate = environment_rate(point) if point.axis == "environment" else training_rate(point)
    print(json.dumps([rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MB]))


if __name__ == "__main__":
    main(*sys.argv[1:])
