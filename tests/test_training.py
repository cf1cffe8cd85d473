"""A run: the same twice, the same after an interruption, written whole; and the agent that ships."""

import copy
import fcntl
import importlib.util
import json
import platform
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import record as book
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mna import training
from mna.curriculum import CurriculumConfig, Practice, accuracy, evaluate
from mna.environments import FULL_LADDER, SEED_LADDER, MNAError
from mna.memory import make_agent
from mna.network import NetworkConfig
from mna.training import (
    PROFILES,
    Run,
    TrainingConfig,
    from_profile,
    iteration_size,
    load_agent,
    load_run,
    read_metrics,
    remaining_share,
    save_agent,
    save_run,
    train,
)

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "mna/checkpoints/full"
TINY = TrainingConfig("tiny", ladder=("add", "two_products"), decisions=1500, problems=24, judge_every=250,
                      judge_problems=5, test_problems=20)  # fmt: skip
WALL_CLOCK = {"seconds", "decisions_per_second", "date", "commit"}


def trained(out, config=TINY, **options):
    return train(config, out, quiet=True, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run that nothing disturbed, only to be read, and the record that `train` returned."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return out, trained(out)


def weights(out):
    return load_agent(out).state_dict()


def equal(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def timeless(values):
    return {name: value for name, value in values.items() if name not in WALL_CLOCK}


def refused(call, *words):
    """The one line that refuses `call`; it has these words."""
    with pytest.raises(MNAError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and message
    for word in words:
        assert word in message, message
    return message


# ---------------------------------------------------------------- configuration


def test_an_unknown_profile_is_refused():
    refused(lambda: from_profile("huge"), "'huge'", "smoke, seed, full")


@pytest.mark.parametrize("name", ["decisions", "problems", "judge_every", "judge_problems", "test_problems"])
def test_numbers_below_one_are_refused(name):
    refused(lambda: from_profile("smoke", **{name: 0}), f"{name} is 0", "at least 1")


def test_an_unknown_level_is_refused():
    refused(lambda: TrainingConfig(ladder=("add", "tree99")), "'tree99'")


def test_the_profiles_are_what_they_say():
    smoke, seed, full = (from_profile(name) for name in ("smoke", "seed", "full"))
    assert [c.profile for c in (smoke, seed, full)] == ["smoke", "seed", "full"]
    assert seed.decisions == 200_000 and seed.ladder == smoke.ladder == SEED_LADDER
    assert seed.test_problems == 2_000 and full.ladder == FULL_LADDER
    assert seed.judge_problems == full.judge_problems == 100
    assert from_profile("seed", seed=5) == replace(seed, seed=5)


def test_a_configuration_survives_json():
    config = from_profile("full", seed=3)
    assert training.config_from_dict(json.loads(json.dumps(asdict(config)))) == config


# ---------------------------------------------------------------- the budget


def unspent(config, decisions):
    """What is left over is at least 0, and could not pay for another iteration."""
    return 0 <= config.decisions - decisions < config.problems * config.bound


def test_the_bound_is_that_of_the_longest_problem():
    assert from_profile("seed").bound == 25 and from_profile("full").bound == 35
    assert TINY.bound == 20 and replace(TINY, ladder=("add",)).bound == 10


def test_what_the_budget_can_pay_for():
    config = replace(TINY, decisions=1000)
    assert [config.affordable(decisions) for decisions in (0, 1, 500, 980, 981, 1000)] == [50, 49, 25, 1, 0, 0]


def test_iterations_grow_as_steps_shrink_and_never_beyond_the_budget():
    seed = from_profile("seed")
    assert iteration_size(seed, 0, False) == 96 and remaining_share(seed, 0) == 1
    assert iteration_size(seed, 100_000, False) == int(96 / 0.55)
    assert remaining_share(seed, 100_000) == pytest.approx(0.55)
    sizes = [iteration_size(seed, decisions, False) for decisions in range(0, 175_000, 5_000)]
    assert sizes == sorted(sizes) and len(set(sizes)) > 20
    for decisions in range(0, 200_000, 777):
        asked = int(96 / remaining_share(seed, decisions))
        assert iteration_size(seed, decisions, False) == min(asked, (200_000 - decisions) // 25)
    assert iteration_size(seed, 197_600, False) == 96  # the last one: what the budget can pay for


def test_iterations_are_as_large_as_at_the_end_once_every_level_is_mastered():
    seed = from_profile("seed")
    assert [iteration_size(seed, decisions, True) for decisions in (0, 50_000)] == [960, 960]
    assert iteration_size(seed, 190_000, True) == 400  # what the budget can pay for
    run = Run(seed)
    for i, level in enumerate(seed.ladder):
        assert run.size == 96
        run.curriculum.first_mastered[level] = i
    assert run.size == 960


@pytest.mark.parametrize("profile", PROFILES)
@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 60_000), st.floats(0, 1), st.floats(0.01, 1), st.booleans())
def test_the_budget_is_never_passed_however_long_problems_take(profile, more, cost, final_share, mastered):
    """cost: how much of its bound a problem takes; at 1 all of it."""
    config = from_profile(profile)
    config = replace(config, decisions=config.problems * config.bound + more,
                     ppo=replace(config.ppo, final_share=final_share))  # fmt: skip
    decisions, run = 0, Run.__new__(Run)
    run.config = config
    while True:
        run.decisions = decisions
        if run.finished:
            break
        size = iteration_size(config, decisions, mastered)
        assert config.problems <= size and decisions + size * config.bound <= config.decisions
        decisions += max(size, int(cost * size * config.bound))
    assert unspent(config, decisions)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("decisions", [480, 481, 1001, 2000])
def test_a_run_stays_within_its_budget_and_uses_it_up(decisions, seed):
    config = replace(TINY, decisions=decisions, seed=seed)
    run, sizes = Run(config), []
    assert not run.finished
    while not run.finished:
        sizes.append(run.size)
        run.iterate()
        assert run.decisions <= decisions
    assert sizes[0] == 24 == min(sizes) and unspent(config, run.decisions)
    assert decisions < 2000 or max(sizes) > 24


@pytest.mark.parametrize("budget", [1, 100, 479])
def test_a_budget_too_small_for_one_iteration_is_refused(budget):
    refused(lambda: replace(TINY, decisions=budget), f"decisions = {budget} can't pay for one iteration: 24 problems",
            "up to 20", "at least 480")  # fmt: skip
    assert replace(TINY, decisions=480).affordable(0) == 24
    refused(lambda: from_profile("smoke", decisions=2399), "at least 2400")


def test_a_run_practises_what_it_failed(monkeypatch):
    """With floors for those tried again, on problems without padding; all that is asked for is played."""
    seen, play = [], training.play

    def spied(agent, problems, rng, floor, **more):
        seen.append((problems, floor))
        return play(agent, problems, rng, floor, **more)

    monkeypatch.setattr(training, "play", spied)
    run = Run(TINY)
    assert isinstance(run.curriculum, Practice)
    size = run.size
    metrics = run.iterate()
    (problems, floor), failed = seen[-1], run.curriculum.failed.texts()
    assert len(problems) == size == run.curriculum.fresh and 0 < len(failed) <= size
    assert set(failed) <= set(problems.texts()) and metrics["length"] == pytest.approx(run.decisions / size)
    share, size = remaining_share(TINY, run.decisions), run.size
    run.iterate()
    (problems, floor), again = seen[-1], min(int(0.3 * size), len(failed))
    assert len(problems) == size and run.curriculum.fresh == size - again and again > 3
    assert set(problems.texts()[-again:]) <= set(failed)
    plain = 3 / problems.n_numbers * TINY.ppo.floor * share
    plain[-again:] *= TINY.curriculum.boost
    torch.testing.assert_close(floor[:, 0], plain)
    assert problems.kinds.shape[1] == problems.trimmed().kinds.shape[1]


# ---------------------------------------------------------------- the same twice


def test_the_same_seed_gives_the_same_run(finished, tmp_path):
    out, result = finished
    again = trained(tmp_path / "again")
    assert equal(weights(out), weights(tmp_path / "again"))
    assert timeless(result) == timeless(again)


def test_another_seed_gives_another_run(finished, tmp_path):
    trained(tmp_path / "other", replace(TINY, seed=1))
    assert not equal(weights(finished[0]), weights(tmp_path / "other"))


def test_judging_more_often_changes_no_weight():
    often, never = Run(TINY), Run(TINY)
    for _ in range(2):
        often.judge()
        often.iterate()
        never.iterate()
    assert equal(often.agent.state_dict(), never.agent.state_dict())
    assert torch.equal(often.rng.get_state(), never.rng.get_state())


def test_the_callers_random_numbers_and_threads_stay_untouched(tmp_path):
    torch.set_num_threads(2)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    trained(tmp_path, replace(TINY, decisions=500))
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == 2


# ---------------------------------------------------------------- interrupted and resumed


def interrupt(monkeypatch, after):
    """Ctrl-C in iteration `after`, when it has drawn its problems and moved the weights already."""
    whole, calls = Run.iterate, []

    def iterate(run):
        calls.append(run)
        metrics = whole(run)
        if len(calls) == after:
            raise KeyboardInterrupt
        return metrics

    monkeypatch.setattr(Run, "iterate", iterate)


def saved_iteration(finished):
    """Iterations of the undisturbed run until its first checkpoint."""
    run, first = Run(TINY), read_metrics(finished[0])[0]["decisions"]
    n = 0
    while run.decisions < first:
        run.iterate()
        n += 1
    return n


def assert_same_run(one, other):
    assert equal(weights(one), weights(other))
    a, b = (load_run(out / "run.safetensors") for out in (one, other))
    assert a.curriculum.state_dict() == b.curriculum.state_dict() and a.decisions == b.decisions
    assert a.at_mastery == b.at_mastery
    assert torch.equal(a.rng.get_state(), b.rng.get_state())
    lines = [[timeless(line) for line in read_metrics(out)] for out in (one, other)]
    assert lines[0] == lines[1]
    decisions = [line["decisions"] for line in lines[0]]
    assert decisions == sorted(set(decisions))


def test_interrupted_and_resumed_equals_uninterrupted(finished, tmp_path, monkeypatch):
    after = saved_iteration(finished) + 1
    with monkeypatch.context() as patch:
        interrupt(patch, after)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path)
    assert not (tmp_path / "record.json").exists() and not (tmp_path / "agent.json").exists()
    result = trained(tmp_path, resume=True)
    assert_same_run(finished[0], tmp_path)
    assert timeless(result) == timeless(finished[1])


def test_a_line_logged_but_not_saved_comes_once(finished, tmp_path, monkeypatch):
    whole, calls = training.save_run, []

    def save(run, path):
        calls.append(run)
        if len(calls) == 2:
            raise KeyboardInterrupt
        whole(run, path)

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_run", save)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path)
    assert len(read_metrics(tmp_path)) == 2
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"decisions": 999')  # and a line cut off by a crash
    trained(tmp_path, resume=True)
    assert_same_run(finished[0], tmp_path)


def test_a_finished_run_is_resumed_to_the_same_end(finished, tmp_path):
    trained(tmp_path)
    trained(tmp_path, resume=True)
    assert_same_run(finished[0], tmp_path)


def test_a_resumed_run_may_have_a_larger_budget(tmp_path):
    small, large = replace(TINY, decisions=600), replace(TINY, decisions=1200)
    before = trained(tmp_path, small)["decisions"]
    result = trained(tmp_path, large, resume=True)
    assert unspent(small, before) and unspent(large, result["decisions"]) and result["budget"] == 1200
    assert result["decisions"] > before


def test_a_run_does_not_load_the_compiler():
    """It would take more than a second, and memory, of every run."""
    code = ("import sys\nfrom mna.training import Run, from_profile\nRun(from_profile('smoke')).iterate()\n"
            "print('torch._dynamo' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("on_plan", [True, False])
def test_a_run_practises_on_the_plan_if_its_settings_say_so(on_plan):
    run = Run(replace(TINY, ladder=FULL_LADDER, decisions=20_000, ppo=replace(TINY.ppo, on_plan=on_plan)))
    rollout = run.play(run.curriculum.problems(200, run.rng), torch.ones(200, 1))
    goes_on = (rollout.seen[1:] >= 2) & rollout.live[1:]  # a result came back, and another decision follows
    assert (goes_on & (rollout.reward[:-1] == 0)).any() != on_plan
    assert PROFILES["seed"].ppo.on_plan and PROFILES["full"].ppo.on_plan


def test_what_was_forgotten_is_told_from_the_held_out_problems_of_the_record():
    """Against weights that were kept: the agent as it was when a level was first mastered, examined at the end."""
    early = CurriculumConfig(mastery=0.2)  # there is much to learn still
    config = replace(TINY, ladder=("add", "one_op"), curriculum=early, judge_problems=20, test_problems=200)
    run, kept = Run(config), {}
    while not run.finished:
        run.iterate()
        run.judge()
        training.examine(run)
        for level in run.curriculum.first_mastered.keys() - kept:
            kept[level] = copy.deepcopy(run.agent)
    levels = training.record(run)["levels"]
    assert list(kept) and run.at_mastery.keys() == kept.keys() == run.curriculum.first_mastered.keys()
    for level, agent in kept.items():
        then = evaluate(agent, config.ladder, config.test_problems, config.seed)[level]["accuracy"]
        assert levels[level]["forgetting"] == then - levels[level]["accuracy"]
        assert levels[level]["worst_dip"] >= 0
    assert any(level["forgetting"] for level in levels.values())


def test_a_resumed_run_does_not_examine_again(tmp_path, monkeypatch):
    run = Run(TINY)
    run.curriculum.first_mastered, run.at_mastery = {"add": 5}, {"add": 0.7}
    save_run(run, tmp_path / "run.safetensors")
    loaded = load_run(tmp_path / "run.safetensors")
    monkeypatch.setattr(training, "held_out", None)
    training.examine(loaded)
    assert loaded.at_mastery == {"add": 0.7}


def test_a_saved_run_is_the_run(tmp_path):
    run = Run(TINY)
    run.iterate()
    run.judge()
    save_run(run, tmp_path / "run.safetensors")
    loaded = load_run(tmp_path / "run.safetensors")
    assert loaded.config == run.config and loaded.decisions == run.decisions and loaded.finished == run.finished
    assert loaded.curriculum.failed.texts() == run.curriculum.failed.texts() != []
    for one in (run, loaded):
        one.iterate()
        (vector,) = one.optimizer.param_groups[0]["params"]  # still the agent's weights, after loading too
        assert torch.equal(vector, torch.nn.utils.parameters_to_vector(one.agent.parameters()))
    assert equal(run.agent.state_dict(), loaded.agent.state_dict())
    assert run.curriculum.state_dict() == loaded.curriculum.state_dict()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_a_gpu_is_resumed_there(tmp_path):
    run = Run(TINY, "cuda")
    run.iterate()
    save_run(run, tmp_path / "run.safetensors")
    loaded = load_run(tmp_path / "run.safetensors", "cuda")
    assert len(loaded.curriculum.failed) > 0
    for one in (run, loaded):
        one.iterate()
    assert run.decisions == loaded.decisions and run.curriculum.state_dict() == loaded.curriculum.state_dict()


FAULTS = """
import resource, torch
from mna.training import keep_memory
if {kept}:
    keep_memory()
for turn in range(30):
    if turn == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [torch.zeros(1 << 20) for _ in range(4)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library gives no memory back")
def test_the_memory_of_arrays_that_are_gone_is_kept():
    without, kept = (int(subprocess.run([sys.executable, "-c", FAULTS.format(kept=kept)], capture_output=True,
                                        text=True, check=True).stdout) for kept in (False, True))
    assert kept < without / 10, (kept, without)


# ---------------------------------------------------------------- folders


def test_a_run_is_not_resumed_with_less_than_it_has_spent(tmp_path):
    spent = train(TINY, tmp_path / "run", quiet=True)["decisions"]
    before = (tmp_path / "run" / "run.safetensors").read_bytes()
    less = replace(TINY, decisions=spent - 1)
    with pytest.raises(MNAError, match=f"has spent {spent} decisions"):
        train(less, tmp_path / "run", resume=True, quiet=True)
    assert (tmp_path / "run" / "run.safetensors").read_bytes() == before


def test_nothing_to_resume(tmp_path):
    refused(lambda: trained(tmp_path / "new", resume=True), "no run to resume", "--resume")


@pytest.mark.parametrize("other", [replace(TINY, seed=9), from_profile("smoke")], ids=["seed", "profile"])
def test_another_run_is_not_resumed(finished, other):
    refused(lambda: trained(finished[0], other, resume=True), "'tiny' run with seed 0", "same profile")


def test_a_folder_with_a_run_is_not_overwritten(finished):
    before = {path.name: path.read_bytes() for path in finished[0].iterdir() if path.is_file()}
    refused(lambda: trained(finished[0]), "holds a run already", "--resume", "--out")
    assert before == {path.name: path.read_bytes() for path in finished[0].iterdir() if path.is_file()}


def test_a_folder_in_use_is_refused(tmp_path):
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(lambda: trained(tmp_path), "in use", "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_file_is_no_output_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    refused(lambda: trained(tmp_path / "file"), "can't be written to", "--out")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: data[:100], lambda data: data[:-100], lambda data: b"\xff" * 1000,
    lambda data: data.replace(b'"format', b'"farmot', 1).replace(b'\\"format', b'\\"farmot', 1),
    lambda data: data.replace(b"__metadata__", b"__metapony__", 1),
], ids=["empty", "head", "truncated", "garbage", "no format", "no metadata"])  # fmt: skip
def test_a_damaged_run_is_refused(finished, tmp_path, damage):
    path = tmp_path / "run.safetensors"
    path.write_bytes(damage((finished[0] / "run.safetensors").read_bytes()))
    refused(lambda: trained(tmp_path, resume=True), str(path), "another folder")


# ---------------------------------------------------------------- whole or not there


def test_a_crash_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    training.write_whole(path, lambda part: part.write_text("old"))

    def crash(part):
        part.write_text("ne")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        training.write_whole(path, crash)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_crash_in_a_checkpoint_leaves_the_last_one(finished, tmp_path, monkeypatch):
    whole, calls = training.safetensors.torch.save_file, []

    def save_file(tensors, path, *more):
        calls.append(Path(path).name)
        if calls.count("run.safetensors.part") == 2:
            Path(path).write_bytes(b"half")
            raise OSError("no space left on device")
        whole(tensors, path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(training.safetensors.torch, "save_file", save_file)
        with pytest.raises(OSError, match="no space"):
            trained(tmp_path)
    assert load_run(tmp_path / "run.safetensors").decisions == read_metrics(finished[0])[0]["decisions"]
    trained(tmp_path, resume=True)
    assert_same_run(finished[0], tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_a_finished_folder_holds_these_files(finished):
    expected = {"agent.safetensors", "agent.json", "run.safetensors", "metrics.jsonl", "record.json", "lock"}
    expected.add("snapshots")
    if importlib.util.find_spec("tensorboard"):
        expected.add("tensorboard")
        assert list((finished[0] / "tensorboard").glob("events.out.tfevents.*"))
    assert {path.name for path in finished[0].iterdir()} == expected


def test_a_run_keeps_the_agent_as_it_was_when_it_passed_each_mark(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SNAPSHOTS", (500, 1000, 10_000))
    trained(tmp_path)
    first, *later = sorted(int(path.name) for path in (tmp_path / "snapshots").iterdir())
    assert first == 0 and [mark <= n for mark, n in zip((500, 1000), later, strict=True)] == [True, True]
    assert equal(weights(tmp_path / "snapshots/0"), make_agent(TINY.network, TINY.seed).state_dict())
    assert not equal(weights(tmp_path / f"snapshots/{later[0]}"), weights(tmp_path))


# ---------------------------------------------------------------- agents


def test_an_agent_comes_back_bit_for_bit(tmp_path):
    agent = make_agent(NetworkConfig(width=32, slots=2), seed=3)
    save_agent(agent, tmp_path / "new/folder")
    loaded = load_agent(tmp_path / "new/folder")
    assert loaded.config == agent.config and not loaded.training
    assert equal(loaded.state_dict(), agent.state_dict())


def test_a_missing_checkpoint_is_named(tmp_path):
    refused(lambda: load_agent(tmp_path / "none"), str(tmp_path / "none"), "there is no checkpoint", "--out")


def rewrite(name, change):
    def damage(folder):
        (folder / name).write_bytes(change((folder / name).read_bytes()))
    return damage  # fmt: skip


@pytest.mark.parametrize("damage, words", [
    (lambda folder: (folder / "agent.safetensors").unlink(), ["agent.safetensors", "missing or damaged"]),
    (rewrite("agent.safetensors", lambda data: data[:-10]), ["agent.safetensors", "missing or damaged"]),
    (rewrite("agent.safetensors", lambda data: data[:40]), ["agent.safetensors", "missing or damaged"]),
    (rewrite("agent.safetensors", lambda data: b""), ["agent.safetensors", "missing or damaged"]),
    (rewrite("agent.safetensors", lambda data: b"\x80\x04pickle" * 99), ["agent.safetensors", "damaged"]),
    (rewrite("agent.json", lambda data: data[:20]), ["agent.json is damaged"]),
    (rewrite("agent.json", lambda data: b"[1, 2]"), ["agent.json is damaged"]),
    (rewrite("agent.json", lambda data: b"\xff\xfe\x00"), ["agent.json is damaged"]),
    (rewrite("agent.json", lambda data: data.replace(b'"width": 64', b'"width": 32')), ["fit together"]),
    (rewrite("agent.json", lambda data: data.replace(b'"slots"', b'"slits"')), ["fit together"]),
    (rewrite("agent.json", lambda data: data.replace(b'"network"', b'"nutwork"')), ["fit together"]),
    (rewrite("agent.json", lambda data: data.replace(b'"format": 2', b'"format": 99')), ["is 99", "reads 2"]),
])  # fmt: skip
def test_a_checkpoint_that_can_not_be_used_is_refused(tmp_path, damage, words):
    save_agent(make_agent(seed=0), tmp_path)
    damage(tmp_path)
    refused(lambda: load_agent(tmp_path), str(tmp_path), *words)


def test_an_agent_can_be_loaded_with_another_number_of_slots(tmp_path):
    """Slots are interchangeable: no weight belongs to one of them."""
    save_agent(make_agent(seed=0), tmp_path)
    rewrite("agent.json", lambda data: data.replace(b'"slots": 3', b'"slots": 5'))(tmp_path)
    loaded = load_agent(tmp_path)
    assert loaded.memory.slots == 5 and equal(loaded.state_dict(), make_agent(seed=0).state_dict())
    assert 0 <= greedy(loaded, ("seed_hard",), 20)["seed_hard"] <= 1


def test_no_pickle_is_loaded_and_no_text_evaluated():
    for path in (ROOT / "mna").rglob("*.py"):
        unsafe = r"torch\.load\(|\bimport pickle|pickle\.load|(?<![.\w])(?:eval|exec)\("
        found = re.findall(unsafe, path.read_text())
        assert not found, f"{path.name}: {found}"


# ---------------------------------------------------------------- log and record


def test_the_log_has_a_line_of_json_for_each_judgement(finished):
    text = (finished[0] / "metrics.jsonl").read_text()
    lines = [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
    assert text.endswith("\n") and len(lines) >= 3
    for line in lines:
        assert all(0 <= line[f"accuracy/{level}"] <= 1 for level in TINY.ladder)
        assert sum(line[f"practice/{level}"] for level in TINY.ladder) == pytest.approx(1)
        assert sum(share for name, share in line.items() if name.startswith("stage_")) == pytest.approx(1)
        assert {"entropy", "approx_kl", "clipfrac", "length", "value_loss", "seconds"} <= set(line)
    assert lines[-1]["decisions"] == finished[1]["decisions"]


def test_the_history_is_that_of_the_log(finished):
    run = load_run(finished[0] / "run.safetensors")
    logged = [(line["decisions"], [line[f"accuracy/{level}"] for level in TINY.ladder])
              for line in read_metrics(finished[0])]  # fmt: skip
    assert run.curriculum.history == logged


def test_the_record_says_what_the_book_quotes(finished):
    out, result = finished
    assert json.loads((out / "record.json").read_text(), parse_constant=pytest.fail) == result
    assert set(book.FIELDS) <= set(result)
    assert list(result["levels"]) == list(TINY.ladder)
    assert unspent(TINY, result["decisions"]) and result["budget"] == TINY.decisions
    for level in result["levels"].values():
        assert set(book.LEVEL_FIELDS) <= set(level) and level["problems"] == TINY.test_problems
        assert 0 <= level["low"] <= level["accuracy"] + 1e-9 and level["accuracy"] - 1e-9 <= level["high"] <= 1
        assert 0 <= level["random"] <= 1
        assert (level["forgetting"] is None) == (level["first_mastered"] is None)


def test_the_commit_is_unknown_outside_of_a_repository(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "HERE", tmp_path)
    assert training.commit() == "unknown"
    monkeypatch.setenv("PATH", "")
    assert training.commit() == "unknown"


# ---------------------------------------------------------------- the agent that ships


@pytest.fixture(scope="module")
def shipped():
    return load_agent()


def greedy(agent, ladder, problems=500, seed=12, **options):
    shares = accuracy(agent, ladder, problems, torch.Generator().manual_seed(seed), **options)
    return dict(zip(ladder, shares.tolist(), strict=True))


def test_the_shipped_agent_is_small_and_the_one_of_its_record(shipped):
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 1_000_000
    saved = json.loads((SHIPPED / "record.json").read_text())
    assert saved["profile"] == "full" and saved["budget"] == 2_000_000
    assert unspent(from_profile("full"), saved["decisions"])
    assert saved["parameters"] == sum(weight.numel() for weight in shipped.parameters())
    hardest = saved["levels"]["seed_hard"]
    assert hardest["accuracy"] >= 0.99 and hardest["problems"] == 2000


def test_the_shipped_agent_is_as_good_as_its_record_says(shipped):
    saved = json.loads((SHIPPED / "record.json").read_text())["levels"]
    found = greedy(shipped, FULL_LADDER)
    assert min(found[level] for level in SEED_LADDER) >= 0.99
    for level, share in found.items():
        assert share >= saved[level]["low"] - 0.04, level  # other problems, and only 500 of them


def test_a_wiped_memory_breaks_the_levels_that_need_it_and_no_other(shipped):
    whole, wiped = greedy(shipped, SEED_LADDER), greedy(shipped, SEED_LADDER, wiped=True)
    for level in ("two_products", "seed_hard"):
        assert wiped[level] < 0.20, (level, wiped[level])
    for level in ("add", "one_op", "mul_add", "chain"):
        assert wiped[level] == whole[level], level


def test_random_legal_play_does_not_solve_the_hardest_level():
    agent = make_agent(seed=0)
    assert greedy(agent, ("seed_hard",), 2_000, greedy=False, floor=1.0)["seed_hard"] <= 0.02
