"""sb3-contrib's agents on the levels of chapter 7, from the same budget: `python -m benchmarks.agents`.

They play the registered `mna/Arithmetic-v0`, whose wrapper keeps results in registers for them, and practise all levels
alike. As each agent of that chapter they have four trials on a seed of their own; the best is run on five others, by
the same rule. The lines stand with the chapter's, in results/evidence.jsonl; runs that are finished are not made again.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.peer_env import Exam
from benchmarks.peers import masked, recurrent, right_answers
from benchmarks.report import PACKAGES, version
from benchmarks.rows import MASTERY
from mna.baselines import COMPARED
from mna.curriculum import wilson_interval
from mna.environments import MNAError
from mna.evaluation import RECORDS, TUNING_SEED, Experiment, append, best_trial, provenance, read_records, unfinished
from mna.training import claimed, one_thread

JUDGED = 100  # problems of each level in a judgement, as ours
JUDGEMENTS = 40  # over the budget, as ours


@dataclass(frozen=True)
class Learner:
    """An agent, and the settings of its trials."""

    make: Callable[..., BaseAlgorithm]
    masks: bool
    base: dict
    "Settings of all trials, found with about ten runs on the seed of the trials."
    trials: dict[str, dict]
    "What each changes, by the names that our trials have."


ROLLOUT = dict(num_envs=64, n_steps=32, batch_size=256)
LEARNERS = {
    "MaskablePPO": Learner(
        masked, True, ROLLOUT | dict(width=128, n_epochs=10, learning_rate=2e-3, ent_coef=0.06),
        dict(as_is={}, slow=dict(learning_rate=1e-3), fast=dict(learning_rate=4e-3), curious=dict(ent_coef=0.1))),
    "RecurrentPPO": Learner(
        recurrent, False, ROLLOUT | dict(n_epochs=8, learning_rate=2e-3, ent_coef=0.02),
        dict(as_is={}, slow=dict(learning_rate=1e-3), fast=dict(learning_rate=4e-3), curious=dict(ent_coef=0.05))),
}  # fmt: skip


def falling(first: float) -> Callable[[float], float]:
    """A learning rate that falls to a tenth of its first value, as ours does; of the share of training that is left."""
    return lambda left: first * (0.1 + 0.9 * left)


def table(smoke: bool) -> list[Experiment]:
    """All runs, trials first."""
    budget, problems, seeds = (4_096, 50, 1) if smoke else (200_000, 2000, 5)
    trials = [f"{name}.{trial}" for name, learner in LEARNERS.items()
              for trial in (list(learner.trials)[:2] if smoke else learner.trials)]
    return ([Experiment("trial", name, TUNING_SEED, budget, problems) for name in trials]
            + [Experiment("agent", name, seed, budget, problems) for name in LEARNERS for seed in range(seeds)])


def examined(model: BaseAlgorithm, masks: bool, n: int, seed: int, split: str) -> list[float]:
    """Greedy accuracy on each level, n problems each."""
    exam = Exam(n, COMPARED, split, any_action=not masks, seed=seed)
    return right_answers(model, exam, masks).reshape(len(COMPARED), n).mean(1).tolist()


class Judge(BaseCallback):
    """Judges a peer between its roll-outs, about as often as ours is; `history` has (decisions, accuracies)."""

    def __init__(self, masks: bool, every: int):
        super().__init__()
        self.masks, self.every, self.history, self.judged = masks, every, [], 0

    def judge(self) -> None:
        shares = examined(self.model, self.masks, JUDGED, self.model.num_timesteps, "train")
        self.judged = self.model.num_timesteps
        self.history.append((self.judged, shares))

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps - self.judged >= self.every:
            self.judge()

    def _on_training_end(self) -> None:
        self.judge()

    def _on_step(self) -> bool:
        return True


def perform(run: Experiment, done: list[dict]) -> dict:
    """Carry out one run; `done` are the finished ones. Returns what it found, as the chapter's runs do."""
    name, _, trial = run.name.partition(".")
    learner, trial = LEARNERS[name], trial or best_trial(name, done)
    settings = learner.base | learner.trials[trial]
    model = learner.make(run.seed, levels=COMPARED, **settings | dict(learning_rate=falling(settings["learning_rate"])))
    judge, size = Judge(learner.masks, run.budget // JUDGEMENTS), model.n_steps * model.n_envs
    model.learn(run.budget // size * size, judge)  # whole roll-outs, so that the budget is not passed
    shares = examined(model, learner.masks, run.problems, run.seed, "test")
    levels = {}
    for level, share in zip(COMPARED, shares, strict=True):
        low, high = wilson_interval(share, run.problems)
        levels[level] = dict(accuracy=share, low=low, high=high, problems=run.problems)
    moments = {level: [n for n, judged in judge.history if judged[i] >= MASTERY] for i, level in enumerate(COMPARED)}
    return dict(ladder=list(COMPARED), decisions=model.num_timesteps, trial=trial, levels=levels, history=judge.history,
                parameters=sum(weight.numel() for weight in model.policy.parameters()),
                first_mastered={level: found[0] for level, found in moments.items() if found})


def work(run: Experiment, path: Path) -> None:
    """Carry out one run and write its line."""
    with one_thread(torch.device("cpu")):
        began = time.perf_counter()
        found = perform(run, read_records(path))
        line = provenance(run, time.perf_counter() - began) | found
        append(path, line | dict(command="python -m benchmarks.agents") | {name: version(name) for name in PACKAGES})
    print(f"{run}: {line['seconds']:.0f} s", flush=True)


def run_all(runs: list[Experiment], path: Path) -> None:
    """Carry out the runs, one on each core at a time, all trials before what has to choose from them."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for kind in ("trial", "agent"):
            of_kind = [run for run in runs if run.kind == kind]
            list(pool.map(work, of_kind, [path] * len(of_kind)))


def main(words: list[str] | None = None) -> int:
    """0 when all is done, 2 for bad input, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser("python -m benchmarks.agents", description="Make the peers' runs of the evidence.")
    parser.add_argument("--smoke", action="store_true", help="a check of the pipeline, in a file of its own")
    parser.add_argument("--keep", action="store_true", help="runs of other code count as finished")
    options = parser.parse_args(words)
    path = Path("_build/agents_smoke.jsonl") if options.smoke else RECORDS
    try:
        with claimed(path.parent, path.name):
            if options.smoke:
                path.unlink(missing_ok=True)
            runs = table(options.smoke)
            todo = unfinished(runs, path, options.keep)
            print(f"{len(runs) - len(todo)} of {len(runs)} runs of the peers are finished; each of the others takes a "
                  "minute or two of a core. Ctrl-C stops; the same command goes on.", flush=True)
            run_all(todo, path)
    except MNAError as error:
        print(f"agents: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nagents: interrupted; finished runs are in {path}, the same command goes on", file=sys.stderr)
        return 130
    print(f"All runs are in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
