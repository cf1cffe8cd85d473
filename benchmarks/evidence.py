"""The runs behind chapter 7 and the headline: `python -m benchmarks.evidence`.

Each run is a pure function of an arm and a seed; finished ones are kept in
results/evidence.jsonl and not made again, unless the code changed (--again).
"""

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from mna.batched import pack_problems
from mna.evaluation import paper
from mna.language import MNAError, slots_left_to_right, slots_needed
from mna.speed import FAST, play
from mna.training import PROFILES, Run, circumstances, load_agent, train

ROOT = Path(__file__).parent.parent
RESULTS, AGENTS = ROOT / "results/evidence.jsonl", ROOT / "_build/agents"
FAMILIES = ("plain", "parens", "signs", "bars", "equations", "mixed")
COUNTS = (3, 5, 8, 10, 12, 16, 24, 32)
TUNING = (3, 4, 5, 6, 100)        # settings were chosen on these seeds: never reported
SEEDS = tuple(range(10, 20))      # reported, fixed beforehand


def arm(profile: str, seeds: int, why: str, **changes) -> dict:
    return dict(config=replace(PROFILES[profile], profile=profile, **changes),
                seeds=SEEDS[:seeds], why=why)


ARMS = {
    "full": arm("full", 5, "the agent that ships is the first of these"),
    "seed": arm("seed", 10, "the headline"),
    "answer_only": arm("seed", 3, "nothing is paid but the right answer", shaping=0.0),
    "no_early_end": arm("seed", 3, "practice goes on after a call off the tree",
                        early_end=False),
    "answer_only_full": arm("full", 1, "the same, with the whole budget", shaping=0.0),
}


@cache
def drawn(level: str, problems: int):
    """The exam of a level, as it is and packed; drawn once in a process."""
    asked = paper(level, problems)
    return asked, pack_problems(asked)


def exam(agent, level: str, problems: int, **options) -> dict:
    """Greedy marks on different held-out structures: how many, how many right, which wrong."""
    asked, packed = drawn(level, problems)
    right = play(agent, packed, keep=False, **({"greedy": True} | options))
    return dict(structures=len(asked), right=int(right.sum()),
                wrong=(~right).nonzero()[:, 0].tolist())


def tight(agent, slots: int, problems: int) -> dict:
    """Plain trees of 16 numbers with few slots: what a planned order alone can solve, and all."""
    asked, packed = drawn("plain16", 2 * problems)
    needs = torch.tensor([slots_needed(p) for p in asked])
    simple = torch.tensor([slots_left_to_right(p) for p in asked])
    right = play(agent, packed, greedy=True, keep=False,
                 slots=torch.full((len(asked),), slots))
    planned = (needs <= slots) & (simple > slots)
    return dict(slots=slots, structures=len(asked), right=int(right.sum()),
                solvable=int((needs <= slots).sum()), left_to_right=int((simple <= slots).sum()),
                only_planned=int(planned.sum()), only_planned_right=int(right[planned].sum()))


def measure(agent, problems: int) -> dict:
    """All exams of one agent."""
    exams = {f"{family}{n}": exam(agent, f"{family}{n}", problems)
             for family in FAMILIES for n in COUNTS}
    needs = [slots_needed(p) for p in drawn("mixed32", problems)[0]]
    return dict(exams=exams, mixed32_solvable=sum(k <= 3 for k in needs),
                mixed32_solvable_right=sum(
                    k <= 3 and i not in set(exams["mixed32"]["wrong"])
                    for i, k in enumerate(needs)),
                tight=[tight(agent, k, problems) for k in (1, 2, 3)])


def work(name: str, seed: int, problems: int, decisions: int | None) -> dict:
    """One run: train, keep the agent, measure it."""
    torch.set_num_threads(1)
    config = replace(ARMS[name]["config"], seed=seed, exam_problems=1)
    if decisions:
        config = replace(config, decisions=decisions)
    out = AGENTS / f"{name}{seed}"
    begin = time.process_time()
    if not (out / "record.json").exists():
        train(config, out, (out / "run.safetensors").exists(), FAST, quiet=True)
    record = json.loads((out / "record.json").read_text())
    kept = {k: record[k] for k in ("profile", "seed", "budget", "decisions", "seconds", "commit",
                                   "machine", "date", "torch", "parameters", "milestones")}
    found = measure(load_agent(out), problems)
    return dict(arm=name, **kept, **found, cpu_seconds=round(time.process_time() - begin, 1))


def known(path: Path) -> list[dict]:
    """Finished runs. A line cut off by a stop is left out."""
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            print(f"a damaged line of {path.name} is left out", file=sys.stderr)
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the runs behind chapter 7.")
    parser.add_argument("--arms", default=",".join(ARMS), help="with commas between")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="a check of the pipeline")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    names = args.arms.split(",")
    if wrong := [name for name in names if name not in ARMS]:
        raise MNAError(f"arm {wrong[0]!r} does not exist; arms: {', '.join(ARMS)}")
    done = {(line["arm"], line["seed"]) for line in known(args.out)}
    todo = [(name, seed) for name in names for seed in ARMS[name]["seeds"][:1 if args.smoke else 99]
            if (name, seed) not in done]
    print(f"{len(done)} runs are there, {len(todo)} to make", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.jobs) as pool:
        jobs = {pool.submit(work, name, seed, 20 if args.smoke else 1000,
                            2_000 if args.smoke else None): (name, seed) for name, seed in todo}
        for job in as_completed(jobs):
            with args.out.open("a") as file:
                file.write(json.dumps(job.result()) + "\n")
            line = job.result()
            print(*jobs[job], f"mixed10 {line['exams']['mixed10']['right']}", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MNAError as error:
        sys.exit(f"evidence: {error}")
    except KeyboardInterrupt:
        sys.exit("evidence: stopped; the same command goes on")
