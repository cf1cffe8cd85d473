"""The training run: one configuration, a log, checkpoints, and a record of what was reached."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from pathlib import Path

import filelock
import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

import mna
from mna.curriculum import (
    LADDER, MILESTONES, PLAIN, Curriculum, Engine, accuracy, forgetting, tight,
)
from mna.environments import TOOLS
from mna.language import MNAError
from mna.memory import GatedMemory
from mna.network import N_KINDS, Agent, AgentConfig, NoMemory, Stage
from mna.ppo import PPOConfig
from mna.problems import PRACTISED, check_levels


# ---------------------------------------------------------------- configuration
@dataclass(frozen=True)
class TrainingConfig:
    """Everything that a run depends on. Raises MNAError for what can't be."""
    profile: str = "seed"
    "The name of the run's settings."
    decisions: int = 200_000
    "Budget: training stops at the end of the iteration that reaches it."
    seed: int = 0
    "Of weights, problems and play; 0 to 2**32 - 1."
    ladder: tuple[str, ...] = LADDER
    "Levels to practise."
    first: int = 800
    "Decisions of the first iterations ..."
    last: int = 4_000
    "... and of the last ones; in between they grow with what is spent."
    tight: float = 0.5
    "Share of practice that gets only as many memory slots as its problem needs."
    early_end: bool = True
    "Does practice end at the first call that finishes no sub-task?"
    shaping: float = 1.0
    "What is paid for all sub-tasks of a problem together."
    judge_every: int = 20_000
    "Decisions between two judgements; the run is logged and saved with each."
    judge_problems: int = 50
    "Fresh problems of each milestone in a judgement."
    exam_problems: int = 1_000
    "Held-out problems of each exam in the record."
    agent: AgentConfig = field(default_factory=AgentConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)

    def __post_init__(self):
        check_levels(self.ladder)
        for name in ("decisions", "first", "last", "judge_every", "judge_problems",
                     "exam_problems"):
            if getattr(self, name) < 1:
                raise MNAError(f"{name} = {getattr(self, name)}: give a number of at least 1")
        if not 0 <= self.seed < 2 ** 32:
            raise MNAError(f"seed {self.seed} is outside 0 to 4294967295: take another one")


PROFILES = {
    "smoke": TrainingConfig("smoke", decisions=20_000, judge_every=10_000, exam_problems=100),
    "seed": TrainingConfig("seed"),
    "full": TrainingConfig("full", decisions=2_000_000, last=8_000, judge_every=100_000),
}


def from_profile(name: str, **changes) -> TrainingConfig:
    """A profile's settings, some of them changed. Raises MNAError for an unknown profile."""
    if name not in PROFILES:
        raise MNAError(f"profile {name!r} is unknown; profiles: {', '.join(PROFILES)}")
    return replace(PROFILES[name], **changes)


# ---------------------------------------------------------------- files
FORMAT = 3  # of the files; raised when older ones can't be read any more
HERE = Path(mna.__file__).parent


def write_whole(path: Path, write) -> None:
    """Write a file so that it is there whole or not at all: `write(part)`, then a rename."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        os.replace(part, path)
    except OSError as error:
        raise MNAError(f"{path} can't be written ({error.strerror}); name another folder "
                       "with --out") from None
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, values: dict) -> None:
    """Write a dictionary as JSON, whole or not at all."""
    write_whole(path, lambda part: part.write_text(json.dumps(values, indent=1) + "\n"))


def read_json(path: Path) -> dict:
    """The dictionary in a JSON file. Raises MNAError if it is missing or damaged."""
    try:
        return dict(json.loads(path.read_bytes()))
    except OSError:
        raise MNAError(f"there is no checkpoint at {path.parent}: {path.name} is missing; name "
                       "a folder that `python -m mna train --out` wrote") from None
    except (ValueError, TypeError):
        raise MNAError(f"{path} is damaged: copy it again") from None


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of named tensors: names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        t = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {t.dtype} {tuple(t.shape)};".encode())
        found.update(t.numpy().tobytes())
    return found.hexdigest()


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict) -> None:
    """Tensors and what they are about in one file, with the SHA-256 of both."""
    text = json.dumps(about)
    seal = hashlib.sha256((digest(tensors) + text).encode()).hexdigest()
    whole = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    write_whole(path, lambda part: safetensors.torch.save_file(
        whole, part, metadata={"about": text, "sha256": seal}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """What `write_tensors` wrote. Raises MNAError for a file missing, damaged or changed."""
    if not path.is_file():
        raise MNAError(f"there is no checkpoint at {path.parent}: {path.name} is missing; name "
                       "a folder that `python -m mna train --out` wrote")
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        seal = hashlib.sha256((digest(tensors) + said["about"]).encode()).hexdigest()
        if seal != said["sha256"]:
            raise ValueError
        return tensors, json.loads(said["about"])
    except KeyError:
        raise MNAError(f"{path} is of another version of the package, or no file of it: train "
                       "again with `python -m mna train`") from None
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError):
        raise MNAError(f"{path} is damaged: its SHA-256 is not that of its content; copy it "
                       "again") from None


# ---------------------------------------------------------------- agents in files
MEMORIES = {"GatedMemory": GatedMemory, "NoMemory": NoMemory}


def make_agent(config: AgentConfig, seed: int | None = None) -> Agent:
    """A fresh agent: gated memory if it has slots. seed: of its weights."""
    if seed is not None:
        torch.manual_seed(seed)
    return Agent(config, GatedMemory if config.slots else NoMemory)


def save_agent(agent: Agent, folder, about: dict | None = None) -> None:
    """Write an agent into a folder: `agent.safetensors`, and `agent.json` to read.

    Raises MNAError for an agent whose memory is not one of the package's, or with a tool
    that is not in the registry: it could not be loaded again.
    """
    memory = getattr(agent.desk.memory, "__name__", "?")
    if MEMORIES.get(memory) is not agent.desk.memory:
        raise MNAError(f"memory {memory!r} can't be restored from a file; memories that can: "
                       f"{', '.join(MEMORIES)}: save this agent's state_dict yourself")
    told = dict(format=FORMAT, mna=mna.__version__, memory=memory, **asdict(agent.config),
                stages=[stage.name for stage in Stage], token_kinds=N_KINDS,
                practised=PRACTISED, **(about or {}))
    folder = Path(folder)
    write_tensors(folder / "agent.safetensors", agent.state_dict(), told)
    write_json(folder / "agent.json", told)


def check_agent(told: dict, path: Path) -> AgentConfig:
    """The sizes in an agent's file. Raises MNAError for what this package can't build."""
    if told.get("format") != FORMAT:
        raise MNAError(f"{path} has format {told.get('format')}, this package reads {FORMAT}: "
                       "train again, or install the version that wrote it")
    if told["stages"] != [stage.name for stage in Stage] or told["token_kinds"] != N_KINDS:
        raise MNAError(f"{path} has other stages or tokens than this package: train again")
    missing = [name for name in told["tools"] if name not in TOOLS]
    if missing:
        raise MNAError(f"{path} calls {', '.join(missing)}, which the registry lacks: add the "
                       "tool to TOOLS before loading")
    known = {f.name: told[f.name] for f in fields(AgentConfig)}
    return AgentConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in known.items()})


def load_agent(folder=None, device="cpu") -> Agent:
    """The agent in a folder, or the one that ships with the package.

    Raises MNAError if there is none, or if it is damaged, of another format, or of an
    architecture that this package does not build.
    """
    path = Path(folder or HERE / "checkpoints/full") / "agent.safetensors"
    tensors, told = read_tensors(path)
    agent = Agent(check_agent(told, path), MEMORIES[told["memory"]])
    wanted = {name: (t.shape, t.dtype) for name, t in agent.state_dict().items()}
    if {name: (t.shape, t.dtype) for name, t in tensors.items()} != wanted:
        raise MNAError(f"{path} holds weights of other shapes than it says: copy it again")
    if not all(bool(t.isfinite().all()) for t in tensors.values()):
        raise MNAError(f"{path} holds weights that are no numbers: train again")
    agent.load_state_dict(tensors)
    return agent.to(device)


# ---------------------------------------------------------------- the run
class Run:
    """A run under way: all that goes on from one iteration to the next."""

    def __init__(self, config: TrainingConfig, engine: Engine = PLAIN):
        self.config, self.engine = config, engine
        self.levels = check_levels(config.ladder)
        self.milestones = check_levels(MILESTONES)
        self.agent = make_agent(config.agent, config.seed)
        self.optimizer = torch.optim.Adam(self.agent.parameters(), config.ppo.learning_rate,
                                          eps=1e-5, fused=True)
        self.rng = torch.Generator().manual_seed(config.seed)
        self.curriculum = Curriculum(self.levels)
        self.decisions, self.seconds, self.length = 0, 0.0, 4.0
        self.history: list[tuple[int, list[float]]] = []

    @property
    def spent(self) -> float:
        """Share of the budget that is spent."""
        return self.decisions / self.config.decisions

    @property
    def share(self) -> float:
        """What learning rate and bonuses have fallen to."""
        return max(self.config.ppo.final_share, 1 - self.spent)

    def iterate(self) -> dict[str, float]:
        """Generate, play, learn. Returns what to log."""
        c, begin = self.config, time.perf_counter()
        size = min(c.first + (c.last - c.first) * self.spent, c.decisions - self.decisions)
        place = self.curriculum.draw(max(8, round(size / self.length)), self.rng)
        problems = self.engine.generate(place, self.levels, self.rng, "train")
        slots = tight(self.engine.need(problems), c.agent.slots, c.tight, self.rng)
        played = self.engine.play(self.agent, problems, self.rng, practice=c.early_end,
                                  shaping=c.shaping, slots=slots)
        right, decisions = self.engine.outcome(played)
        self.curriculum.note(place, right)
        for group in self.optimizer.param_groups:
            group["lr"] = c.ppo.learning_rate * self.share
        metrics = self.engine.update(self.agent, self.optimizer, played, c.ppo, self.share,
                                     self.rng)
        self.decisions += decisions
        self.length = 0.8 * self.length + 0.2 * decisions / len(place)
        self.seconds += time.perf_counter() - begin
        return metrics | dict(right=float(right.float().mean()), length=self.length)

    def judge(self) -> dict[str, float]:
        """Judge the milestones on fresh greedy episodes of the practised split."""
        begin = time.perf_counter()
        shares = accuracy(self.agent, self.milestones, self.config.judge_problems, self.rng,
                          engine=self.engine)
        self.history.append((self.decisions, shares))
        self.seconds += time.perf_counter() - begin
        return dict(zip(MILESTONES, shares))


# ---------------------------------------------------------------- stop and go on
def save_run(run: Run, path: Path) -> None:
    """All that a run needs to go on as if it had not stopped."""
    tensors = {f"agent.{name}": t for name, t in run.agent.state_dict().items()}
    for i, moments in run.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{name}": t for name, t in moments.items()}
    tensors |= {"rng": run.rng.get_state(), "success": run.curriculum.success}
    about = dict(format=FORMAT, config=asdict(run.config), decisions=run.decisions,
                 seconds=run.seconds, length=run.length, history=run.history)
    write_tensors(path, tensors, about)


def config_of(told: dict) -> TrainingConfig:
    """A configuration from what `asdict` made of it and JSON kept."""
    def tuples(values):
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

    parts = dict(agent=AgentConfig(**tuples(told["agent"])), ppo=PPOConfig(**told["ppo"]))
    return TrainingConfig(**tuples(told) | parts)


def load_run(path: Path, engine: Engine = PLAIN) -> Run:
    """The run in a file, ready to go on. Raises MNAError for one missing or damaged."""
    tensors, told = read_tensors(path)
    if told.get("format") != FORMAT:
        raise MNAError(f"{path} has format {told.get('format')}, this package reads {FORMAT}: "
                       "train again from the start")
    run = Run(config_of(told["config"]), engine)
    run.agent.load_state_dict({name.removeprefix("agent."): t for name, t in tensors.items()
                               if name.startswith("agent.")})
    adam = run.optimizer.state_dict()
    for name, t in tensors.items():
        if name.startswith("adam."):
            _, i, moment = name.split(".")
            adam["state"].setdefault(int(i), {})[moment] = t
    run.optimizer.load_state_dict(adam)
    run.rng.set_state(tensors["rng"])
    run.curriculum.success = tensors["success"]
    run.decisions, run.seconds, run.length = (told[k] for k in ("decisions", "seconds", "length"))
    run.history = [(t, shares) for t, shares in told["history"]]
    return run


class Log:
    """metrics.jsonl: a line a judgement. Lines after the checkpoint to go on from are cut."""

    def __init__(self, folder: Path, decisions: int):
        self.path = folder / "metrics.jsonl"
        kept = [line for line in read_log(self.path) if line["decisions"] <= decisions]
        if decisions:
            write_whole(self.path, lambda part: part.write_text(
                "".join(json.dumps(line) + "\n" for line in kept)))
        else:
            self.path.unlink(missing_ok=True)

    def write(self, decisions: int, values: dict[str, float]) -> None:
        """One line: what was measured after so many decisions."""
        with self.path.open("a") as file:
            file.write(json.dumps(dict(decisions=decisions, **values)) + "\n")


def read_log(path: Path) -> list[dict]:
    """The lines of a log that can be read; a damaged one is left out."""
    lines = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            values = json.loads(line)
            values["decisions"] + 0
            lines.append(values)
        except (ValueError, TypeError, KeyError):
            continue
    return lines


@contextmanager
def claimed(folder: Path):
    """Hold an output folder for this run alone. Raises MNAError while another holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / "lock", timeout=0):
            yield
    except filelock.Timeout:
        raise MNAError(f"{folder} is in use by another run; wait for its end, or name another "
                       "folder with --out") from None
    except (OSError, ValueError) as error:
        if isinstance(error, MNAError):
            raise
        raise MNAError(f"{folder} can't be written to ({error}); name another folder with "
                       "--out") from None


@contextmanager
def one_thread():
    """Small operations run faster on one thread than on several that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------- learn
SNAPSHOTS = (1_000, *(n * 10 ** k for k in range(3, 7) for n in (2, 5, 10)))  # decisions


def checkpoint(run: Run, log: Log, metrics: list[dict], out: Path) -> dict[str, float]:
    """Judge, log the means of the latest metrics, save. Returns each milestone's accuracy."""
    shares = run.judge()
    means = {name: float(np.mean([m[name] for m in metrics])) for name in metrics[0]}
    log.write(run.decisions, means | {f"accuracy/{k}": v for k, v in shares.items()} | dict(
        seconds=run.seconds, success=run.curriculum.success.tolist()))
    save_run(run, out / "run.safetensors")
    return shares


def learn(run: Run, log: Log, out: Path, quiet: bool = False) -> None:
    """Iterate until the budget is spent, with a checkpoint now and then and one at the end.

    The agent as it was at each of SNAPSHOTS is kept in `out / "snapshots"`.
    """
    budget, every, metrics = run.config.decisions, run.config.judge_every, []
    if not run.decisions:
        shutil.rmtree(out / "snapshots", ignore_errors=True)
        save_agent(run.agent, out / "snapshots/0")
    hidden = quiet or "TQDM_DISABLE" in os.environ
    with tqdm(total=budget, initial=run.decisions, unit=" decisions", disable=hidden,
              mininterval=0.5) as bar:
        while run.decisions < budget:
            before = run.decisions
            metrics.append(run.iterate())
            bar.update(run.decisions - before)
            if any(before < mark <= run.decisions for mark in SNAPSHOTS):
                save_agent(run.agent, out / f"snapshots/{run.decisions}")
            if run.decisions >= budget or run.decisions // every > before // every:
                shares = checkpoint(run, log, metrics, out)
                bar.set_postfix_str(f"mixed10 {shares['mixed10']:.0%}")
                metrics = []


# ---------------------------------------------------------------- record
EXAMS = tuple(f"{kind}{n}" for kind in ("plain", "parens", "signs", "bars", "equations", "mixed")
              for n in (5, 8, 10, 12, 16))


def commit() -> str:
    """The commit of the source that runs, + if it was changed since; or "unknown"."""
    def git(*words):
        return subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True)

    if not shutil.which("git") or git("ls-files", "--error-unmatch", "__init__.py").returncode:
        return os.environ.get("MNA_COMMIT", "unknown")
    head = git("rev-parse", "--short", "HEAD").stdout.strip()
    return head + ("+" if git("status", "--porcelain", "--", ".").stdout.strip() else "")


def circumstances(run: Run) -> dict:
    """How a run was made."""
    c = run.config
    return dict(
        profile=c.profile, seed=c.seed, budget=c.decisions, decisions=run.decisions,
        engine=run.engine.name, seconds=round(run.seconds, 1),
        decisions_per_second=round(run.decisions / run.seconds),
        parameters=sum(w.numel() for w in run.agent.parameters()),
        commit=commit(), mna=mna.__version__, python=platform.python_version(),
        torch=torch.__version__, numpy=np.__version__,
        machine=f"{platform.machine()}, {os.cpu_count()} cores", date=date.today().isoformat())


def exam(agent: Agent, names=EXAMS, problems: int = 1_000, seed: int = 0,
         engine: Engine = PLAIN, **options) -> dict[str, float]:
    """Greedy accuracy on held-out structures, the same problems for every agent: {level: share}.

    options: of `play`; uniform=True with greedy=False is the random legal policy.
    """
    rng, found = torch.Generator(), {}
    for level in check_levels(names, "test"):
        rng.manual_seed(seed)
        found[level.name], = accuracy(agent, [level], problems, rng, "test", engine, **options)
    return found


def record(run: Run) -> dict:
    """What a run reached and how: the numbers of the book come from here."""
    n = run.config.exam_problems
    chance = exam(run.agent, EXAMS, min(n, 300), engine=run.engine, greedy=False, uniform=True)
    return circumstances(run) | dict(
        exam_problems=n, exams=exam(run.agent, EXAMS, n, engine=run.engine), random=chance,
        milestones=dict(zip(MILESTONES, forgetting(run.history))))


def open_run(config: TrainingConfig, out: Path, resume: bool, engine: Engine) -> Run:
    """A new run, or the one in `out` to go on with. Raises MNAError if that can't be."""
    saved = out / "run.safetensors"
    if saved.exists() and not resume:
        raise MNAError(f"{out} holds a run already; continue it with --resume, or name another "
                       "folder with --out")
    if not resume:
        return Run(config, engine)
    run = load_run(saved, engine)
    if replace(run.config, decisions=config.decisions) != config:
        raise MNAError(f"{out} holds a {run.config.profile!r} run with seed {run.config.seed}, "
                       "another one than asked for; resume with its profile and seed")
    if config.decisions < run.decisions:
        raise MNAError(f"{out} has spent {run.decisions} decisions, more than the "
                       f"{config.decisions} asked for; resume with a larger budget")
    run.config = config
    return run


def train(config: TrainingConfig, out, resume: bool = False, engine: Engine = PLAIN,
          quiet: bool = False) -> dict:
    """Train an agent; returns its record, which is also written to `record.json` in `out`.

    The folder holds agent.safetensors and agent.json, run.safetensors (to resume from),
    metrics.jsonl, snapshots/ and record.json. resume: go on with the run in `out`; it ends
    with the weights that it would have had without the stop. Raises MNAError if `out` is in
    use, holds a run already, or has none to resume.
    """
    out = Path(out)
    with claimed(out), one_thread():
        run = open_run(config, out, resume, engine)
        learn(run, Log(out, run.decisions), out, quiet)
        save_agent(run.agent, out, dict(decisions=run.decisions, seed=config.seed))
        result = record(run)
        write_json(out / "record.json", result)
        return result
