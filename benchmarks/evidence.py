"""The runs behind chapter 7 and the headline: `make evidence`.

Each run is a pure function of an arm and a seed. A finished one is a line of
results/evidence.jsonl and is not made again; remove the line and the agent's folder to
make it anew. Agents are kept in _build/agents. A run that was stopped goes on.
"""

import argparse
import json
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from benchmarks.close_up import look_closer
from mna import speed
from mna.batched import pack_problems
from mna.evaluation import paper
from mna.language import MNAError, slots_left_to_right, slots_needed
from mna.speed import FAST, play
from mna.training import PROFILES, load_agent, train, write_whole

ROOT = Path(__file__).parent.parent
RESULTS, BUILD = ROOT / "results", ROOT / "_build"
FAMILIES = ("plain", "parens", "signs", "bars", "equations", "mixed")
COUNTS = (3, 5, 8, 10, 12, 16, 24, 32)
TUNING = (3, 4, 5, 6, 100)   # settings were chosen on these seeds: never reported
SEEDS = tuple(range(10, 20))  # reported, fixed beforehand
SMOKE = 2_000                 # decisions of a run that only checks the pipeline
KEPT = ("profile", "seed", "budget", "decisions", "seconds", "commit", "machine",
        "date", "torch", "parameters", "milestones")


@contextmanager
def worksheet_kept():
    """A world in which results are not written where their operands stood: a call of
    two takes the first one's place, the second is crossed out, brackets stay."""
    spans, tidied = speed.spans, speed.tidied
    speed.spans = lambda kinds, i, j, neg: (i, i, i != j)
    speed.tidied = lambda kinds, first, last, kind: (first, last)
    try:
        yield
    finally:
        speed.spans, speed.tidied = spans, tidied


def arm(profile: str, seeds: int, why: str, world=nullcontext, **changes) -> dict:
    """Runs of a profile, some of its settings changed; changed ones get fewer exams."""
    config = replace(PROFILES[profile], **changes)
    return dict(config=config, seeds=SEEDS[:seeds], why=why, world=world,
                whole=not changes and world is nullcontext)


ARMS = {
    "full": arm("full", 5, "the agent that ships is the first of these"),
    "seed": arm("seed", 10, "the headline"),
    "answer_only_full": arm("full", 5, "nothing is paid but the right answer",
                            shaping=0.0),
    "no_early_end_full": arm("full", 2, "the same, and practice goes on after a call "
                             "off the tree", shaping=0.0, early_end=False),
    "worksheet_kept": arm("seed", 10, "the worksheet is not rewritten", worksheet_kept),
    "hardest_only": arm("seed", 10, "no curriculum: one level from the start",
                        ladder=("mixed10",)),
    "answer_only": arm("seed", 10, "nothing is paid but the right answer", shaping=0.0),
    "answer_only_hardest": arm("seed", 10, "the same without a curriculum",
                               shaping=0.0, ladder=("mixed10",)),
    "no_early_end": arm("seed", 10, "practice goes on after a call off the tree",
                        early_end=False),
}


# ---------------------------------------------------------------- measuring
@cache
def drawn(level: str, problems: int):
    """The exam of a level, as it is and packed; drawn once in a process."""
    asked = paper(level, problems)
    return asked, pack_problems(asked)


def exam(agent, level: str, problems: int) -> dict:
    """Greedy marks on different held-out structures: how many, right, which are not."""
    asked, packed = drawn(level, problems)
    right = play(agent, packed, greedy=True, keep=False)
    return dict(structures=len(asked), right=int(right.sum()),
                wrong=(~right).nonzero()[:, 0].tolist())


def tight(agent, slots: int, problems: int) -> dict:
    """Plain trees of 16 numbers with few slots; some only a planned order can solve."""
    asked, packed = drawn("plain16", 2 * problems)
    needs = torch.tensor([slots_needed(p) for p in asked])
    simple = torch.tensor([slots_left_to_right(p) for p in asked])
    right = play(agent, packed, greedy=True, keep=False,
                 slots=torch.full((len(asked),), slots))
    planned = (needs <= slots) & (simple > slots)
    return dict(slots=slots, structures=len(asked), right=int(right.sum()),
                solvable=int((needs <= slots).sum()),
                left_to_right=int((simple <= slots).sum()),
                only_planned=int(planned.sum()),
                only_planned_right=int(right[planned].sum()))


def measure(agent, problems: int, whole: bool) -> dict:
    """Exams of one agent: all, or those that an ablation is judged by."""
    names = [f"{family}{n}" for family in FAMILIES for n in COUNTS
             if whole or n == 10 or family == "mixed"]
    exams = {name: exam(agent, name, problems) for name in names}
    return dict(exams=exams) | (memory(agent, exams, problems) if whole else {})


def memory(agent, exams: dict, problems: int) -> dict:
    """Where slots bind: 32 numbers, with all slots and with three; tight ones at 16."""
    asked, packed = drawn("mixed32", problems)
    solvable = torch.tensor([slots_needed(p) <= 3 for p in asked])
    wrong = set(exams["mixed32"]["wrong"])
    with_all = [ok for i, ok in enumerate(solvable.tolist()) if i not in wrong]
    three = play(agent, packed, greedy=True, keep=False,
                 slots=torch.full((len(asked),), 3))
    return dict(mixed32_solvable=int(solvable.sum()),
                mixed32_solvable_right=sum(with_all),
                mixed32_solvable_right_with_3=int(three[solvable].sum()),
                tight=[tight(agent, k, problems) for k in (1, 2, 3)])


def work(name: str, seed: int, problems: int, decisions: int | None,
         agents: Path) -> dict:
    """One run: train, keep the agent, measure it."""
    torch.set_num_threads(1)
    config = replace(ARMS[name]["config"], seed=seed, exam_problems=1)
    if decisions:
        config = replace(config, decisions=decisions)
    out, begin = agents / f"{name}{seed}", time.process_time()
    with ARMS[name]["world"]():
        if not (out / "record.json").exists():
            train(config, out, (out / "run.safetensors").exists(), FAST, quiet=True)
        record = json.loads((out / "record.json").read_text())
        found = measure(load_agent(out), problems, ARMS[name]["whole"])
    return dict(arm=name, **{k: record[k] for k in KEPT}, **found,
                cpu_seconds=round(time.process_time() - begin, 1))


# ---------------------------------------------------------------- the table of runs
def known(path: Path) -> list[dict]:
    """Finished runs. A line cut off by a stop is left out."""
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            print(f"a damaged line of {path.name} is left out", file=sys.stderr)
    return lines


def missing(arms: list[str], lines: list[dict], smoke: bool) -> list[tuple[str, int]]:
    """The runs that are not there yet, as (arm, seed); smoke: one seed of each arm."""
    if wrong := [name for name in arms if name not in ARMS]:
        raise MNAError(f"arm {wrong[0]!r} does not exist; arms: {', '.join(ARMS)}")
    done = {(line["arm"], line["seed"]) for line in lines}
    return [(name, seed) for name in arms
            for seed in ARMS[name]["seeds"][:1 if smoke else None]
            if (name, seed) not in done]


def hours(todo: list[tuple[str, int]], lines: list[dict]) -> str:
    """What the missing runs will take, by those that are there; "" without any."""
    spent = {line["arm"]: line["cpu_seconds"] for line in lines}
    costs = [spent[name] for name, _ in todo if name in spent]
    if not costs:
        return ""
    return f", about {sum(costs) / 3600:.1f} hours of one core for {len(costs)} of them"


def make(todo: list[tuple[str, int]], path: Path, agents: Path, jobs: int,
         smoke: bool) -> None:
    """Make runs side by side; each is a line of the file as soon as it is finished."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (20, SMOKE) if smoke else (1000, None)
    # workers end at once with Ctrl-C; their runs go on from the last checkpoint
    with ProcessPoolExecutor(jobs, initializer=signal.signal,
                             initargs=(signal.SIGINT, signal.SIG_DFL)) as pool:
        running = {pool.submit(work, *run, *size, agents): run for run in todo}
        for job in as_completed(running):
            line = job.result()
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            mixed = line["exams"]["mixed10"]
            print(*running[job], f"{mixed['right']} of {mixed['structures']} right,",
                  "everything mixed at 10 numbers", flush=True)


def close_ups(agents: Path, path: Path, smoke: bool) -> None:
    """What the first agent of each main arm is asked besides; those there stay."""
    found = json.loads(path.read_text()) if path.exists() else {}
    for name in ("full", "seed"):
        folder = agents / f"{name}{SEEDS[0]}"
        if name not in found and (folder / "record.json").exists():
            found[name] = look_closer(load_agent(folder), smoke)
            write_whole(path, (json.dumps(found) + "\n").encode())
            print(f"{name}: looked closer at {folder.name}", flush=True)


def main(argv: list[str] | None = None) -> int:
    """0 done, 2 bad input, 130 Ctrl-C: what was finished is kept."""
    parser = argparse.ArgumentParser("python -m benchmarks.evidence")
    parser.add_argument("--arms", default="full,seed", help="with commas between")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--smoke", action="store_true",
                        help="one short run an arm, into _build/evidence_smoke")
    parser.add_argument("--out", type=Path, help="folder of the results")
    args = parser.parse_args(argv)
    smoke = BUILD / "evidence_smoke"
    out = args.out or (smoke if args.smoke else RESULTS)
    agents = (out if args.smoke else BUILD) / "agents"
    try:
        lines = known(out / "evidence.jsonl")
        todo = missing(args.arms.split(","), lines, args.smoke)
        print(f"{len(lines)} runs are there, {len(todo)} to make{hours(todo, lines)}",
              flush=True)
        make(todo, out / "evidence.jsonl", agents, args.jobs, args.smoke)
        close_ups(agents, out / "close_up.json", args.smoke)
    except MNAError as error:
        print(f"evidence: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("evidence: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
