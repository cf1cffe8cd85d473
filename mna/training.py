"""The training run: one configuration, a log, checkpoints, and a record of what was reached."""

import fcntl
import importlib.util
import json
import os
import platform
import subprocess
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from tqdm.auto import tqdm

import mna
from mna.curriculum import Curriculum, CurriculumConfig, accuracy, evaluate, forgetting
from mna.environments import FULL_LADDER, SEED_LADDER, MNAError, check_levels, generate
from mna.memory import make_agent
from mna.network import Agent, NetworkConfig, Stage
from mna.ppo import PPOConfig, play, update

# ---- cell: config


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that a run depends on."""
    profile: str = "seed"
    "The name of the run's settings."
    ladder: tuple[str, ...] = SEED_LADDER
    "Levels to learn, easiest first."
    decisions: int = 200_000
    "Budget: training stops after the iteration that reaches it."
    seed: int = 0
    "Of weights, problems and play."
    problems: int = 96
    "Problems an iteration."
    judge_every: int = 5_000
    "Decisions between two judgements on fresh greedy episodes; a checkpoint is written with each."
    judge_problems: int = 200
    "Problems of each level in a judgement."
    network: NetworkConfig = field(default_factory=NetworkConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)

    def __post_init__(self):
        check_levels(self.ladder)
        for name in ("decisions", "problems", "judge_every", "judge_problems"):
            if getattr(self, name) < 1:
                raise MNAError(f"{name} is {getattr(self, name)}, at least 1 is needed: give a positive number")


PROFILES = {
    "smoke": TrainingConfig("smoke", decisions=6_000, judge_every=2_000, judge_problems=50),
    "seed": TrainingConfig("seed"),
    "full": TrainingConfig("full", ladder=FULL_LADDER, decisions=2_000_000, judge_every=50_000, problems=192),
}


def profile(name: str, **changes) -> TrainingConfig:
    """A profile's settings, some of them changed. Raises MNAError for an unknown profile."""
    if name not in PROFILES:
        raise MNAError(f"profile {name!r} is unknown; profiles: {', '.join(PROFILES)}")
    return replace(PROFILES[name], **changes)

# ---- cell: save and load


FORMAT = 1  # of the files; raised when older ones can't be read any more


def write_whole(path: Path, write) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    write(temporary)
    os.replace(temporary, path)


def save_agent(agent: Agent, folder) -> None:
    """Write an agent as `agent.safetensors` and `agent.json` into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    about = dict(format=FORMAT, mna=mna.__version__, network=asdict(agent.config))
    weights = {name: tensor.contiguous() for name, tensor in agent.state_dict().items()}
    write_whole(folder / "agent.safetensors", lambda path: safetensors.torch.save_file(weights, path))
    write_whole(folder / "agent.json", lambda path: path.write_text(json.dumps(about, indent=1) + "\n"))


def load_agent(folder=None, device="cpu") -> Agent:
    """The agent in a folder, or the one that ships with the package.

    Raises MNAError if it is missing, damaged, or of another shape or format.
    """
    folder = Path(folder) if folder else Path(__file__).parent / "checkpoints" / "seed"
    about = _read_json(folder / "agent.json")
    if about.get("format") != FORMAT:
        raise MNAError(f"{folder}: its format is {about.get('format')!r}, this mna {mna.__version__} reads {FORMAT}; "
                       "train it again or use the version that wrote it")
    try:
        agent = make_agent(NetworkConfig(**about["network"]))
        agent.load_state_dict(safetensors.torch.load_file(folder / "agent.safetensors"))
    except (OSError, SafetensorError) as error:
        raise MNAError(f"{folder / 'agent.safetensors'} is missing or damaged ({error}); copy it again") from None
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise MNAError(f"{folder}: weights and agent.json do not fit together ({reason}); copy both again") from None
    return agent.to(device).eval()


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except OSError:
        raise MNAError(f"there is no checkpoint at {path.parent}: {path.name} is missing; "
                       "name a folder that `python -m mna train --out` wrote") from None
    except ValueError as error:
        raise MNAError(f"{path} is damaged ({error}); copy it again") from None

# ---- cell: run


class Run:
    """One training run: agent, optimiser, curriculum and random numbers; can be saved and continued exactly."""

    def __init__(self, config: TrainingConfig, device="cpu"):
        self.config, self.device = config, torch.device(device)
        self.agent = make_agent(config.network, config.seed).to(self.device)
        self.optimizer = torch.optim.Adam(self.agent.parameters(), config.ppo.learning_rate, eps=1e-5, fused=True)
        self.curriculum = Curriculum(config.ladder, config.curriculum)
        self.rng = torch.Generator(self.device).manual_seed(config.seed)
        self.decisions, self.seconds = 0, 0.0

    def iterate(self) -> dict[str, float]:
        """One iteration: draw problems, play them, learn. Returns its metrics."""
        config, began = self.config.ppo, time.perf_counter()
        left = max(0.0, 1 - self.decisions / self.config.decisions)
        share = config.final_share + (1 - config.final_share) * left
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * share
        level = self.curriculum.draw(self.config.problems, self.rng)
        problems = generate(level, self.config.ladder, self.rng)
        rollout = play(self.agent, problems, self.rng, floor=config.floor * share, shaping=config.shaping)
        metrics = update(self.agent, self.optimizer, rollout, config, share, self.rng)
        self.curriculum.practised(level, rollout.correct)
        self.decisions += rollout.decisions
        self.seconds += time.perf_counter() - began
        length = rollout.decisions / len(level)
        return metrics | dict(length=length, **stage_use(rollout))

    def judge(self) -> None:
        """Judge every level on fresh greedy episodes of the training split; draws nothing from the run's own numbers."""
        rng = torch.Generator(self.device).manual_seed(self.decisions)
        shares = accuracy(self.agent, self.config.ladder, self.config.judge_problems, rng, split="train")
        self.curriculum.judged(self.decisions, shares)

    def save(self, path: Path) -> None:
        """Write all that is needed to go on, as one file."""
        tensors = {f"agent.{name}": tensor for name, tensor in self.agent.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": tensor for name, tensor in state.items()}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()} | {"rng": self.rng.get_state()}
        about = dict(format=FORMAT, config=asdict(self.config), decisions=self.decisions, seconds=self.seconds,
                     curriculum=self.curriculum.state_dict())
        write_whole(path, lambda part: safetensors.torch.save_file(tensors, part, {"run": json.dumps(about)}))

    @classmethod
    def load(cls, path: Path, device="cpu") -> "Run":
        """A saved run, to go on with exactly as if it had not stopped. Raises MNAError if it can't be read."""
        try:
            with safe_open(path, "pt") as file:
                about = json.loads(file.metadata()["run"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except FileNotFoundError:
            raise MNAError(f"there is no run to resume at {path.parent}; leave out --resume to start one") from None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise MNAError(f"{path} is damaged ({error}); start again in another folder") from None
        run = cls(config_from_dict(about["config"]), device)
        run.agent.load_state_dict({name[6:]: t for name, t in tensors.items() if name.startswith("agent.")})
        state: dict[int, dict] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, i, key = name.split(".")
                state.setdefault(int(i), {})[key] = tensor
        run.optimizer.load_state_dict(run.optimizer.state_dict() | {"state": state})
        run.rng.set_state(tensors["rng"])
        run.curriculum.load_state_dict(about["curriculum"])
        run.decisions, run.seconds = about["decisions"], about["seconds"]
        return run


def config_from_dict(values: dict) -> TrainingConfig:
    """The configuration that `asdict` wrote."""
    parts = dict(network=NetworkConfig, ppo=PPOConfig, curriculum=CurriculumConfig)
    return TrainingConfig(**values | {name: kind(**values[name]) for name, kind in parts.items()}
                          | {"ladder": tuple(values["ladder"])})


def stage_use(rollout) -> dict[str, float]:
    """The share of decisions made in each stage."""
    stages = torch.bincount(rollout.stage[rollout.live], minlength=len(Stage)).double()
    return {f"stage_{Stage(i).name}": share for i, share in enumerate((stages / stages.sum()).tolist()) if share}

# ---- cell: log


class Log:
    """Metrics as JSON lines, and for TensorBoard where it is installed."""

    def __init__(self, folder: Path, decisions: int):
        """Open the log of a run that has made so many decisions; lines behind that point are dropped."""
        self.path = folder / "metrics.jsonl"
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["decisions"] <= decisions]
        write_whole(self.path, lambda path: path.write_text("".join(kept)))
        self.board = None
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter
            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=decisions)

    def write(self, decisions: int, metrics: dict[str, float]) -> None:
        """One line: the decisions so far and the metrics."""
        with self.path.open("a") as file:
            file.write(json.dumps(dict(decisions=decisions) | metrics) + "\n")
        if self.board:
            for name, value in metrics.items():
                self.board.add_scalar(name, value, decisions)

    def close(self) -> None:
        if self.board:
            self.board.close()

# ---- cell: folder


@contextmanager
def claimed(folder: Path):
    """Hold an output folder for this run alone. Raises MNAError while another run holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MNAError(f"{folder} is in use by another run; name another folder with --out") from None
        yield


@contextmanager
def one_thread(device: torch.device):
    """Small operations run faster on one thread of the CPU than on several that wait for each other."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

# ---- cell: train


def train(config: TrainingConfig, out, resume: bool = False, device="cpu", quiet: bool = False) -> dict:
    """Train an agent; returns its record, which is also written to `record.json` in the folder `out`.

    The folder holds agent.safetensors and agent.json (the agent), run.safetensors (to resume from), metrics.jsonl,
    tensorboard/ and record.json. resume: go on with the run in `out`; it ends with the weights that it would have had
    without the stop. Raises MNAError if `out` is in use, holds a run already, or has none to resume.
    """
    out = Path(out)
    with claimed(out), one_thread(torch.device(device)):
        saved = out / "run.safetensors"
        if saved.exists() and not resume:
            raise MNAError(f"{out} holds a run already; continue it with --resume or name another folder with --out")
        run = Run.load(saved, device) if resume else Run(config, device)
        if resume and replace(run.config, decisions=config.decisions) != config:
            raise MNAError(f"{out} holds a {run.config.profile!r} run with seed {run.config.seed}, another one than asked for; "
                           "resume with the same profile and seed")
        if resume:
            run.config = config
        log = Log(out, run.decisions)
        try:
            _train(run, log, out, quiet)
        finally:
            log.close()
        result = record(run)
        write_whole(out / "record.json", lambda path: path.write_text(json.dumps(result, indent=1) + "\n"))
        return result


def _train(run: Run, log: Log, out: Path, quiet: bool) -> None:
    config, metrics = run.config, []
    with tqdm(total=config.decisions, initial=run.decisions, unit=" decisions", disable=quiet, mininterval=0.5) as bar:
        while run.decisions < config.decisions:
            before = run.decisions
            metrics.append(run.iterate())
            bar.update(min(run.decisions, config.decisions) - min(before, config.decisions))
            ended = run.decisions >= config.decisions
            if ended or run.decisions // config.judge_every > before // config.judge_every:
                run.judge()
                shares = dict(zip(config.ladder, run.curriculum.history[-1][1]))
                bar.set_postfix_str(f"{config.ladder[-1]} {shares[config.ladder[-1]]:.0%}")
                means = {name: float(np.mean([m[name] for m in metrics if name in m])) for name in sorted(set().union(*metrics))}
                log.write(run.decisions, means | {f"accuracy/{level}": p for level, p in shares.items()}
                          | {f"practice/{level}": w for level, w in zip(config.ladder, run.curriculum.weights().tolist())}
                          | {"seconds": run.seconds})
                metrics = []
                run.save(out / "run.safetensors")
    save_agent(run.agent, out)

# ---- cell: record


def record(run: Run, problems: int = 2000) -> dict:
    """What a run reached and how: the numbers of the book come from here. Levels are judged on held-out problems."""
    config = run.config
    levels = evaluate(run.agent, config.ladder, problems, seed=config.seed)
    lost = forgetting(run.curriculum.history, config.ladder, run.curriculum.first_mastered)
    for level, values in levels.items():
        values["forgetting"] = lost.get(level, {}).get("forgetting")
        values["worst_dip"] = lost.get(level, {}).get("worst_dip")
        values["first_mastered"] = run.curriculum.first_mastered.get(level)
    return dict(
        profile=config.profile, seed=config.seed, budget=config.decisions, decisions=run.decisions,
        seconds=round(run.seconds, 1), decisions_per_second=round(run.decisions / run.seconds),
        parameters=sum(p.numel() for p in run.agent.parameters()),
        device=device_name(run.device), commit=commit(), mna=mna.__version__, python=platform.python_version(),
        torch=torch.__version__, numpy=np.__version__, machine=f"{platform.machine()}, {os.cpu_count()} cores",
        date=date.today().isoformat(), levels=levels)


def device_name(device: torch.device) -> str:
    """cpu, or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def commit() -> str:
    """The commit of the source that runs, with + if it was changed since; "unknown" outside of a repository."""
    here = Path(__file__).parent

    def git(*words):
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True)

    head = git("rev-parse", "--short", "HEAD")
    if head.returncode:
        return "unknown"
    return head.stdout.strip() + ("+" if git("status", "--porcelain", "--", ".").stdout.strip() else "")
