"""A run: the same twice, the same after a stop, written whole; files that are trusted only when their seal fits."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import filelock
import pytest
import safetensors.torch
import torch

import mna
from mna import training
from mna.curriculum import MILESTONES, PLAIN
from mna.environments import TOOLS, Tool
from mna.evaluation import solve
from mna.language import MNAError
from mna.memory import GatedMemory
from mna.network import Agent, AgentConfig, NoMemory
from mna.ppo import PPOConfig
from mna.problems import check_levels
from mna.speed import FAST
from mna.training import (
    BY_CHANCE,
    EXAMS,
    PROFILES,
    SNAPSHOTS,
    Run,
    TrainingConfig,
    claimed,
    config_of,
    digest,
    exam,
    from_profile,
    load_agent,
    load_run,
    make_agent,
    read_tensors,
    save_agent,
    save_run,
    train,
    write_json,
    write_log,
    write_whole,
)

SMALL = AgentConfig(width=8, hidden=8, layers=(1, 0))
TINY = TrainingConfig("tiny", decisions=900, first=150, last=200, judge_every=250, judge_problems=1,
                      exam_problems=1, ladder=("add", "expr2", "bars3"), agent=SMALL)  # fmt: skip
CLOCK = {"seconds", "decisions_per_second", "date", "commit"}


def trained(out, config=TINY, resume=False, engine=FAST):
    return train(config, out, resume, engine, quiet=True)


@pytest.fixture(scope="module", autouse=True)
def few_exams():
    """Two exams in place of thirty: a run takes half the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EXAMS", ("plain3", "mixed10"))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run that nothing disturbed, only to be read, and the record that `train` returned."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return out, trained(out)


@pytest.fixture(scope="module")
def agent():
    return make_agent(SMALL, 0)


@pytest.fixture
def registry(monkeypatch):
    """The registry of tools, as it was afterwards."""
    kept = dict(TOOLS)
    yield TOOLS
    TOOLS.clear()
    TOOLS.update(kept)


def log_of(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").open()]


def timeless(values):
    return {name: value for name, value in values.items() if name not in CLOCK}


def refused(call, *words):
    """The one line that refuses `call`; it has these words."""
    with pytest.raises(MNAError) as caught:
        call()
    message = str(caught.value)
    assert message and "\n" not in message
    for word in words:
        assert word in message, message
    return message


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize("name", training.COUNTS)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 2.5, True, "7", None])
def test_a_count_is_a_whole_number(name, value):
    refused(lambda: from_profile("smoke", **{name: value}), f"{name} = {value!r}", "from 1 to")


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64, 0.5, True, "1", None])
def test_a_seed_has_32_bits(seed, agent):
    refused(lambda: from_profile("smoke", seed=seed), f"seed = {seed!r}", "0 to 4294967295")
    refused(lambda: exam(agent, ["plain3"], 1, seed=seed, engine=FAST), f"seed = {seed!r}")


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_first_and_the_last_seed_run(seed):
    run = Run(replace(TINY, seed=seed), FAST)
    run.iterate()
    assert set(run.judge()) == set(MILESTONES)


@pytest.mark.parametrize("name, value", [("tight", -0.1), ("tight", 1.1), ("tight", float("nan")), ("shaping", -1),
                                         ("shaping", float("nan")), ("shaping", float("inf"))])  # fmt: skip
def test_a_share_is_one(name, value):
    refused(lambda: from_profile("smoke", **{name: value}), f"{name} = {value}", "from 0 to")


@pytest.mark.parametrize("ladder, word", [(("tree9",), "'tree9'"), (("plain5",), "exams only"), ((), "no level")])
def test_a_ladder_that_can_not_be_practised_is_refused(ladder, word):
    refused(lambda: TrainingConfig(ladder=ladder), word)


def test_a_ladder_may_be_a_list_and_hold_levels():
    assert TrainingConfig(ladder=["add", mna.LEVELS["expr3"]]).ladder == ("add", "expr3")


def test_an_unknown_profile_is_refused():
    refused(lambda: from_profile("huge"), "'huge'", "smoke, seed, full")


def test_the_profiles_are_what_they_say():
    assert {name: c.decisions for name, c in PROFILES.items()} == {
        "smoke": 20_000, "seed": 200_000, "full": 2_000_000}  # fmt: skip
    assert len({c.ladder for c in PROFILES.values()}) == 1 and all(name == c.profile for name, c in PROFILES.items())
    assert from_profile("seed", seed=5) == replace(PROFILES["seed"], seed=5)


def test_a_configuration_survives_json():
    config = replace(TINY, ppo=PPOConfig(clip_coef=0.1))
    assert config_of(json.loads(json.dumps(asdict(config)))) == config


# ---------------------------------------------------------------- files


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep/note.json"
    write_json(path, {"says": "old"})
    for broken in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        monkeypatch.setattr(os, "fsync", lambda file, broken=broken: (_ for _ in ()).throw(broken))
        with pytest.raises((MNAError, KeyboardInterrupt)):
            write_json(path, {"says": "new"})
    assert json.loads(path.read_text()) == {"says": "old"} and [p.name for p in path.parent.iterdir()] == ["note.json"]


@pytest.mark.parametrize("where", ["a file/x", "nul\0", "/proc/nowhere/x", "x" * 300])
def test_a_file_that_can_not_be_written_is_refused_in_one_line(where, tmp_path):
    (tmp_path / "a file").write_text("")
    refused(lambda: write_whole(tmp_path / where, b"1"), "can't be written")


def test_files_can_be_read_by_others(finished):
    umask = os.umask(0)
    os.umask(umask)
    for name in ("agent.safetensors", "run.safetensors"):
        assert (finished[0] / name).stat().st_mode & 0o777 == 0o666 & ~umask


def damaged(content, n, seed):
    """So many damaged copies: with a bit flipped, cut short, with bytes behind, with a block of zeros."""
    dice = random.Random(seed)
    for i in range(n):
        at, bad = dice.randrange(len(content)), bytearray(content)
        if i % 8 < 5:
            bad[at if i % 2 else dice.randrange(2_000)] ^= 1 << dice.randrange(8)
        elif i % 8 == 5:
            bad = bad[:at]
        elif i % 8 == 6:
            bad += b"\0"
        else:
            bad[at:at + 64] = bytes(len(bad[at:at + 64]))
        if bad != content:
            yield bytes(bad)


@pytest.mark.parametrize("name, load", [
    ("agent.safetensors", load_agent), ("run.safetensors", lambda folder: load_run(folder / "run.safetensors"))])
def test_no_damage_is_taken(name, load, finished, tmp_path):
    content = (finished[0] / name).read_bytes()
    for bad in damaged(content, 240, 1):
        (tmp_path / name).write_bytes(bad)
        refused(lambda: load(tmp_path), str(tmp_path))
    (tmp_path / name).write_bytes(content)
    load(tmp_path)


def test_agent_json_is_for_reading_only(finished, tmp_path):
    about = json.loads((finished[0] / "agent.json").read_text())
    assert about["tools"] == list(TOOLS) and about["stages"][0] == "CHOOSE" and about["decisions"] >= 900
    assert about["ladder"] == list(TINY.ladder)
    (tmp_path / "agent.safetensors").write_bytes((finished[0] / "agent.safetensors").read_bytes())
    for text in ("", '{"format": 99, "slots": 0, "width": 10000}'):
        (tmp_path / "agent.json").write_text(text)
        assert digest(load_agent(tmp_path).state_dict()) == digest(load_agent(finished[0]).state_dict())


def rewritten(finished, tmp_path, change, name="agent.safetensors"):
    """An honest-looking file: sealed, with something changed in it."""
    what = name.partition(".")[0]
    tensors, about = read_tensors(finished[0] / name, what)
    change(tensors, about)
    text = json.dumps(about)
    sealed = {"about": f"{training.sealed(tensors, text)} {text}"}
    safetensors.torch.save_file(tensors, tmp_path / name, metadata=sealed)


def one_weight(value):
    return lambda tensors, about: tensors["encoder.token.weight"].view(-1).__setitem__(3, value)


def cast(dtype):
    return lambda tensors, about: tensors.update({n: t.to(dtype) for n, t in tensors.items()})


def without(name):
    return lambda tensors, about: tensors.pop(name)


def told(**more):
    return lambda tensors, about: about.update(more)


def reshaped(tensors, about):
    tensors["encoder.token.weight"] = tensors["encoder.token.weight"].T.contiguous()


CHANGES = {
    "nan": (one_weight(float("nan")), "no finite numbers"), "inf": (one_weight(float("inf")), "no finite numbers"),
    "-inf": (one_weight(-float("inf")), "no finite numbers"), "float16": (cast(torch.float16), "types"),
    "float64": (cast(torch.float64), "types"), "int": (cast(torch.int64), "types"),
    "a weight less": (without("encoder.token.weight"), "names"), "another shape": (reshaped, "shapes"),
    "another width": (told(width=16), "shapes"), "other slots": (told(slots=2), "shapes"),
    "another format": (told(format=2), "format 2; this mna"), "a newer format": (told(format=9), "format 9; this mna"),
    "no format": (told(format=None), "format None; this mna"),
    "a memory of one's own": (told(memory="Mine"), "memory is Mine"),
    "a tool that is not there": (told(tools=["ADD", "POW"]), "POW"),
}  # fmt: skip


@pytest.mark.parametrize("change, word", CHANGES.values(), ids=CHANGES)
def test_a_sealed_file_that_can_not_be_an_agent_is_refused(change, word, finished, tmp_path):
    rewritten(finished, tmp_path, change)
    refused(lambda: load_agent(tmp_path), str(tmp_path), word)


RUN_CHANGES = {
    "decisions nan": (told(decisions=float("nan")), "decisions = nan"), "decisions -1": (told(decisions=-1), "-1"),
    "decisions 1.5": (told(decisions=1.5), "1.5"), "another format": (told(format=1), "format"),
    "weights nan": (lambda t, a: t["agent.encoder.token.weight"].fill_(float("nan")), "no finite numbers"),
}  # fmt: skip


@pytest.mark.parametrize("change, word", RUN_CHANGES.values(), ids=RUN_CHANGES)
def test_a_sealed_run_that_can_not_go_on_is_refused(change, word, finished, tmp_path):
    rewritten(finished, tmp_path, change, "run.safetensors")
    refused(lambda: load_run(tmp_path / "run.safetensors"), str(tmp_path), word)


def test_a_file_of_the_first_edition_is_refused_clearly(tmp_path, agent):
    safetensors.torch.save_file(agent.state_dict(), tmp_path / "agent.safetensors")
    write_json(tmp_path / "agent.json", {"format": 2, "network": {"width": 64, "slots": 3}})
    refused(lambda: load_agent(tmp_path), "of format unknown", "train again")


def test_a_run_is_no_agent_and_an_agent_no_run(finished, tmp_path):
    (tmp_path / "agent.safetensors").write_bytes((finished[0] / "run.safetensors").read_bytes())
    (tmp_path / "run.safetensors").write_bytes((finished[0] / "agent.safetensors").read_bytes())
    refused(lambda: load_agent(tmp_path), "holds run of format 4", "reads agent of format 3")
    refused(lambda: load_run(tmp_path / "run.safetensors"), "holds agent of format 3", "reads run of format 4")


@pytest.mark.parametrize("folder", ["", "missing", "nul\0", "x" * 5000])
def test_a_folder_without_agent_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(lambda: load_agent(folder), "there is no checkpoint at")


def test_an_agent_comes_back_and_chance_stays_as_it_was(agent, tmp_path):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    save_agent(agent, tmp_path)
    again = load_agent(tmp_path)
    assert digest(again.state_dict()) == digest(agent.state_dict()) and again.config == agent.config
    assert again.desk.memory is GatedMemory and torch.equal(torch.get_rng_state(), before)
    blind = make_agent(replace(SMALL, slots=0), 1)
    save_agent(blind, tmp_path)
    assert load_agent(tmp_path).desk.memory is NoMemory
    assert digest(make_agent(SMALL, 3).state_dict()) == digest(make_agent(SMALL, 3).state_dict())


# ---------------------------------------------------------------- what can't be restored is not saved


def own_memory():
    return Agent(SMALL, type("Mine", (), {"__init__": lambda self, size, usable: None}))


def renamed_memory():
    """A class of another's name is not the package's."""
    return Agent(SMALL, type("GatedMemory", (), {}))


def another_layer():
    agent = make_agent(SMALL, 0)
    agent.encoder.layers.append(torch.nn.Linear(8, 8))
    return agent


def another_core():
    """The same weights under the same names, and another computation."""
    agent = make_agent(SMALL, 0)
    agent.encoder.__class__ = type("Encoder", (type(agent.encoder),), {})
    return agent


def run_off():
    agent = make_agent(SMALL, 0)
    torch.nn.init.constant_(agent.encoder.token.weight, float("inf"))
    return agent


def halved():
    return make_agent(SMALL, 0).half()


@pytest.mark.parametrize("make", [own_memory, renamed_memory, another_layer, another_core, run_off, halved])
def test_an_agent_that_could_not_be_loaded_again_is_not_saved(make, tmp_path):
    refused(lambda: save_agent(make(), tmp_path), "could not be loaded again")
    assert not list(tmp_path.iterdir())


def test_an_agent_with_a_tool_that_is_gone_is_not_saved_and_not_loaded(registry, tmp_path):
    registry["MAX"] = Tool("MAX", 2, max)
    agent = make_agent(replace(SMALL, tools=(*TOOLS,)), 0)
    save_agent(agent, tmp_path)
    assert load_agent(tmp_path).config.tools[-1] == "MAX"
    del registry["MAX"]
    refused(lambda: load_agent(tmp_path), "'MAX'", "to TOOLS first")
    refused(lambda: save_agent(agent, tmp_path / "again"), "'MAX'", "could not be loaded again")


def test_an_agent_with_fewer_tools_than_the_registry_works(registry, tmp_path):
    save_agent(make_agent(replace(SMALL, tools=("ADD", "SUB", "NEG", "ROOT")), 0), tmp_path)
    registry["MAX"] = Tool("MAX", 2, max)
    found = solve(["3+4", "2*(3+4)", "2x=4", "-5"], load_agent(tmp_path))
    assert {call["tool"] for one in found for call in one["calls"]} <= {"ADD", "SUB", "NEG", "ROOT"}
    shipped = load_agent()
    assert "MAX" not in shipped.config.tools
    assert all(one["correct"] for one in solve(["3+4", "2*(3+4)", "2x=4", "|3-7|/2"], shipped))


# ---------------------------------------------------------------- a folder holds one run


def test_a_run_leaves_what_it_says(finished):
    out, result = finished
    assert {path.name for path in out.iterdir()} >= {
        "agent.safetensors", "agent.json", "run.safetensors", "metrics.jsonl", "record.json", "snapshots"}
    assert result == json.loads((out / "record.json").read_text()) and list(result["exams"]) == ["plain3", "mixed10"]
    assert list(result["random"]) == list(result["exams"]) and list(result["milestones"]) == list(MILESTONES)
    assert result["decisions"] >= result["budget"] == 900 and result["engine"] == "fast"
    assert result["exam_problems"] == result["random_problems"] == 1 and BY_CHANCE == 300
    assert not list(out.rglob("*.part")) and SNAPSHOTS[:5] == (1_000, 2_000, 5_000, 10_000, 20_000)
    assert (out / "snapshots/0/agent.safetensors").exists()
    log = log_of(out)
    assert len(log) >= 3 and log[-1]["decisions"] == result["decisions"]
    assert all(len(line["success"]) == 3 and f"accuracy/{MILESTONES[-1]}" in line for line in log)


@pytest.mark.parametrize("name", ["run.safetensors", "agent.safetensors", "agent.json", "record.json"])
def test_a_folder_that_holds_something_is_refused_and_left_alone(name, tmp_path):
    (tmp_path / name).write_text("precious")
    refused(lambda: trained(tmp_path), str(tmp_path), "another folder")
    assert (tmp_path / name).read_text() == "precious" and not (tmp_path / "snapshots").exists()


def test_what_a_stopped_run_left_before_its_first_checkpoint_is_cleared(tmp_path):
    save_agent(make_agent(SMALL, 5), tmp_path / "snapshots/777")
    (tmp_path / "snapshots/notes").mkdir()
    (tmp_path / "metrics.jsonl").write_text('{"decisions": 777}\n')
    trained(tmp_path)
    assert {folder.name for folder in (tmp_path / "snapshots").iterdir()} == {"0"}
    assert 777 not in [line["decisions"] for line in log_of(tmp_path)]


def test_snapshots_beyond_the_checkpoint_go_when_it_goes_on(tmp_path):
    trained(tmp_path)
    save_agent(make_agent(SMALL, 5), tmp_path / "snapshots/1234")
    trained(tmp_path, replace(TINY, decisions=1_100), resume=True)
    kept = sorted(int(folder.name) for folder in (tmp_path / "snapshots").iterdir())
    assert kept[0] == 0 and 1234 not in kept and len(kept) == 2 and kept[1] >= 1_000


def test_a_folder_in_use_is_refused(tmp_path):
    with filelock.FileLock(tmp_path / "lock"):
        refused(lambda: trained(tmp_path), "in use by another run")
    assert not (tmp_path / "snapshots").exists()


def test_a_claim_hides_no_mistake_and_ends_with_it(tmp_path):
    for broken in (ValueError("mine"), OSError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(broken)), claimed(tmp_path):
            raise broken
    with claimed(tmp_path):
        pass


@pytest.mark.parametrize("out", ["a file", "a file/x", "nul\0", "/proc/nowhere"])
def test_a_folder_that_can_not_be_made_is_refused(out, tmp_path):
    (tmp_path / "a file").write_text("")
    refused(lambda: trained(tmp_path / out), "can't be written to", "--out")


# ---------------------------------------------------------------- the same twice


def test_the_same_seed_gives_the_same_run_and_another_one_another(finished, tmp_path):
    again = trained(tmp_path / "again")
    assert timeless(again) == timeless(finished[1])
    for name in ("agent.safetensors", "agent.json", "snapshots/0/agent.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (finished[0] / name).read_bytes()
    other = Run(replace(TINY, seed=1), FAST)
    assert digest(other.agent.state_dict()) != digest(Run(TINY, FAST).agent.state_dict())


def test_judging_more_often_changes_no_weight():
    often, never = Run(TINY, FAST), Run(TINY, FAST)
    for _ in range(2):
        often.judge()
        often.iterate()
        never.iterate()
    assert digest(often.agent.state_dict()) == digest(never.agent.state_dict())
    assert torch.equal(often.rng.get_state(), never.rng.get_state())


def test_the_callers_random_numbers_and_threads_stay_untouched(tmp_path):
    torch.set_num_threads(2)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    trained(tmp_path, replace(TINY, decisions=200))
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == 2


def test_the_plain_engine_trains_too():
    run = Run(replace(TINY, ladder=("add", "expr2")), PLAIN)
    metrics = run.iterate()
    assert run.decisions > 50 and {"right", "length", "entropy", "value_loss", "approx_kl"} <= set(metrics)


def test_iterations_grow_and_steps_shrink_with_the_budget():
    run = Run(from_profile("seed"), FAST)
    rows = []
    for run.decisions in (0, 50_000, 100_000, 195_000, 199_999):
        rows.append((round(run.size() * run.length), round(run.share, 3)))
    assert rows == [(800, 1), (1_600, 0.75), (2_400, 0.5), (3_920, 0.05), (32, 0.05)]


def test_the_budget_is_passed_by_less_than_an_iteration():
    run = Run(TINY, FAST)
    while run.decisions < TINY.decisions:
        before = run.decisions
        run.iterate()
    assert before < TINY.decisions <= run.decisions < before + 2 * TINY.last


# ---------------------------------------------------------------- stopped and resumed


def assert_same_run(one, other):
    a, b = (load_run(out / "run.safetensors") for out in (one, other))
    assert digest(load_agent(one).state_dict()) == digest(load_agent(other).state_dict())
    assert a.decisions == b.decisions and a.history == b.history and a.length == b.length
    assert torch.equal(a.rng.get_state(), b.rng.get_state())
    assert torch.equal(a.curriculum.success, b.curriculum.success)
    logs = [[timeless(line) for line in log_of(out)] for out in (one, other)]
    assert logs[0] == logs[1]
    names = [sorted(path.name for path in (out / "snapshots").iterdir()) for out in (one, other)]
    assert names[0] == names[1]


@pytest.mark.parametrize("after", [4, 5])
def test_stopped_and_resumed_equals_undisturbed(after, finished, tmp_path, monkeypatch):
    """Ctrl-C when an iteration has drawn its problems and moved the weights already."""
    whole, calls = Run.iterate, []

    def iterate(run):
        calls.append(whole(run))
        if len(calls) == after:
            raise KeyboardInterrupt
        return calls[-1]

    with monkeypatch.context() as patch:
        patch.setattr(Run, "iterate", iterate)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path)
    assert (tmp_path / "run.safetensors").exists() and not (tmp_path / "agent.json").exists()
    result = trained(tmp_path, resume=True)
    assert_same_run(finished[0], tmp_path)
    assert timeless(result) == timeless(finished[1])


@pytest.mark.parametrize("broken", ["save_run", "write_log", "write_json"])
def test_a_stop_within_a_checkpoint_or_at_the_very_end_is_no_matter(broken, finished, tmp_path, monkeypatch):
    """Before the checkpoint; between it and the copy of the log; between the agent and the record."""
    whole, calls = getattr(training, broken), []

    def stopped(*args):
        calls.append(args)
        if len(calls) == 2 or "record.json" in str(args[0]):
            raise KeyboardInterrupt
        whole(*args)

    with monkeypatch.context() as patch:
        patch.setattr(training, broken, stopped)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path)
    if not (tmp_path / "run.safetensors").exists():
        return trained(tmp_path)
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"decisions": 999\xff')  # and a line cut off by a crash
    trained(tmp_path, resume=True)
    assert_same_run(finished[0], tmp_path)


KILLED = """
import sys
sys.path.insert(0, "tests")
from test_training import trained, training
training.EXAMS = ("plain3", "mixed10")
trained(sys.argv[1])
"""


def test_a_killed_run_goes_on_to_the_same_end(finished, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], cwd=Path(__file__).parent.parent)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run.safetensors").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "run.safetensors").exists()
    trained(tmp_path, resume=True)  # the lock went with its owner
    assert_same_run(finished[0], tmp_path)


def test_a_finished_run_is_resumed_to_the_same_end(finished, tmp_path):
    first = trained(tmp_path)
    assert timeless(trained(tmp_path, resume=True)) == timeless(first)
    assert_same_run(finished[0], tmp_path)


@pytest.mark.parametrize("change, word", [({"seed": 1}, "with seed 0"), ({"decisions": 300}, "larger budget"),
                                          ({"tight": 0.1}, "another one"), ({"profile": "x"}, "'tiny'")])  # fmt: skip
def test_another_run_than_the_one_in_the_folder_is_not_resumed(change, word, finished):
    before = {path: path.stat().st_mtime_ns for path in finished[0].rglob("*")}
    refused(lambda: trained(finished[0], replace(TINY, **change), resume=True), word)
    assert {path: path.stat().st_mtime_ns for path in finished[0].rglob("*")} == before


def test_where_nothing_is_nothing_is_resumed_and_nothing_made(tmp_path):
    refused(lambda: trained(tmp_path / "nowhere", resume=True), "there is no checkpoint at")
    assert not list(tmp_path.iterdir())


def test_a_run_whose_tool_is_gone_is_not_resumed(registry, tmp_path):
    registry["MAX"] = Tool("MAX", 2, max)
    save_run(Run(replace(TINY, agent=replace(SMALL, tools=(*TOOLS,)))), tmp_path / "run.safetensors")
    del registry["MAX"]
    refused(lambda: load_run(tmp_path / "run.safetensors"), "MAX")


# ---------------------------------------------------------------- the log


@pytest.mark.parametrize("left", [b"", b"{", b"null", b"\xff\xfe", b"\0" * 64, b'{"decisions": NaN}\n', None])
def test_the_log_is_a_copy_so_no_damage_of_it_lasts(left, finished, tmp_path):
    run = load_run(finished[0] / "run.safetensors")
    if left is not None:
        (tmp_path / "metrics.jsonl").write_bytes(left)
    write_log(run, tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (finished[0] / "metrics.jsonl").read_bytes()
    assert [line["decisions"] for line in log_of(tmp_path)] == [decisions for decisions, _ in run.history]


def test_a_new_run_begins_a_new_log(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("of another run")
    write_log(Run(TINY), tmp_path)
    assert log_of(tmp_path) == []


# ---------------------------------------------------------------- the record


def test_there_are_six_families_of_exams_at_five_lengths():
    assert len(EXAMS) == 30 and {"plain5", "equations12", "mixed10", "mixed16"} < set(EXAMS)
    assert all(level.numbers > 2 for level in check_levels(EXAMS, "test"))


def test_an_exam_puts_the_same_problems_to_everyone(agent):
    a, b = (exam(agent, ["plain3", "mixed4"], 20, 3, FAST, greedy=False, uniform=True) for _ in range(2))
    assert list(a) == ["plain3", "mixed4"] and all(0 <= share <= 1 for share in a.values()) and a == b
    only = exam(agent, ["mixed4"], 20, 3, FAST, greedy=False, uniform=True)
    assert only["mixed4"] == a["mixed4"]


@pytest.mark.parametrize("names", [["add"], ["mixed2"], ["tree9"], [], ["plain99"]])
def test_a_level_without_exam_is_refused(names, agent):
    refused(lambda: exam(agent, names, 1, engine=FAST))


def test_the_commit_comes_from_git_or_from_outside_or_is_unknown(monkeypatch):
    assert re.fullmatch(r"[0-9a-f]{7,}\+?|unknown", training.commit())
    monkeypatch.setattr(training.shutil, "which", lambda name: None)
    assert training.commit() == "unknown"
    monkeypatch.setenv("MNA_COMMIT", "1234567")
    assert training.commit() == "1234567"


def test_training_imports_no_fast_form_and_nothing_of_unix():
    code = ("import sys\nsys.modules['fcntl'] = None\nimport mna.training\n"
            "print([name for name in ('mna.speed', 'mna.batched') if name in sys.modules])")
    hidden = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert hidden.stdout == "[]\n", hidden.stderr
