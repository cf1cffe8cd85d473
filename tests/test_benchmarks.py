"""The benchmark measures what it says it does: its way in for peers, its counts, its table. Nothing is timed."""

import json
import math
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from benchmarks import compare, growth, parts, report
from benchmarks.arithmetic import matmul_rate, operations, training_rate
from benchmarks.environment import rate
from benchmarks.process import BenchmarkError
from benchmarks.rows import Row, number
from benchmarks.training import advance
from mna.baselines import COMPARED
from mna.curriculum import CurriculumConfig
from mna.environments import SEED_LADDER, MNAError, Registers, generate, legal_actions, take_action
from mna.evaluation import TRIALS, Experiment, summary
from mna.training import Run, TrainingConfig

ROOT = Path(__file__).parent.parent
TINY = TrainingConfig("tiny", ladder=("add",), problems=16, judge_every=100, judge_problems=10)


@pytest.fixture
def peer_env():
    pytest.importorskip("sb3_contrib", reason="`make bench` installs the peers")
    from benchmarks import peer_env

    return peer_env


# ---------------------------------------------------------------- the peers' way in


def test_peers_see_what_the_environment_shows(peer_env):
    peers, plain = peer_env.PeerEnv(12, seed=3), gym.make_vec(peer_env.NAME, 12, levels=SEED_LADDER)
    (wanted, info), rng, ends = plain.reset(seed=3), np.random.default_rng(0), 0
    seen = peers.reset()
    for _ in range(60):
        masks = np.stack(peers.env_method("action_masks"))
        assert (seen == wanted).all() and (masks == info["action_mask"]).all()
        actions = (rng.random(masks.shape) * masks).argmax(1)
        seen, rewards, done, infos = peers.step(actions)
        wanted, plain_rewards, plain_done, _, info = plain.step(actions)
        assert (rewards == plain_rewards.astype(np.float32)).all() and (done == plain_done).all()
        assert done.tolist() == ["terminal_observation" in its for its in infos]
        for i in done.nonzero()[0]:  # the end of one problem, and the start of the next
            assert (infos[i]["terminal_observation"] == info["final_obs"][i]).all()
            assert not infos[i]["TimeLimit.truncated"] and infos[i]["correct"] == info["correct"][i]
            ends += 1
    assert ends > 24


def test_an_agent_without_masks_gets_a_random_legal_action_and_keeps_its_legal_ones(peer_env):
    masks = np.array([[True, False, True, True], [False, True, False, True]]).repeat(200, 0)
    chosen = peer_env.legal_choices(np.ones(400, dtype=int), masks, np.random.default_rng(0))
    assert (chosen[200:] == 1).all()
    assert sorted(set(chosen[:200])) == [0, 2, 3]


def test_peers_learn_on_it_and_are_judged_on_the_hardest_level(peer_env):
    from benchmarks import peers, race

    for make, masks in ((peers.masked, True), (peers.recurrent, False)):
        model = make(0, num_envs=8, n_steps=8, batch_size=32)
        model.learn(64)
        assert model.num_timesteps == 64
        env = peer_env.PeerEnv(20, levels=(race.HARDEST,), any_action=not masks)
        assert 0 <= peers.right_answers(model, env, masks).mean() < 1


class AnyLegal:
    """An agent of sb3-contrib's kind that takes a legal action by chance."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def predict(self, seen, state, first, deterministic, action_masks):
        return (self.rng.random(action_masks.shape) * action_masks).argmax(1), None


def test_an_exam_holds_its_split_level_by_level_and_counts_the_first_problem_of_each_row(peer_env):
    from benchmarks.peers import right_answers

    levels = ("add", "one_op")
    exam = peer_env.Exam(30, levels, "test", seed=1)
    level, rng = torch.arange(2).repeat_interleave(30), torch.Generator().manual_seed(1)
    problems = generate(level, levels, rng, "test", trim=False)
    registers, right, over = Registers.start(problems), torch.zeros(60, dtype=bool), torch.zeros(60, dtype=bool)
    agent = AnyLegal()
    while not over.all():
        actions, _ = agent.predict(None, None, None, True, legal_actions(registers).numpy())
        feedback = take_action(registers, torch.from_numpy(actions))
        right |= feedback.correct & feedback.done & ~over
        over |= feedback.done
    assert 0 < right.sum() < 60
    for _ in range(2):  # the same problems again
        assert right_answers(AnyLegal(), exam, masks=True).tolist() == right.tolist()


# ---------------------------------------------------------------- the peers among the evidence


def test_a_peer_leaves_what_the_other_agents_leave(peer_env):
    from benchmarks import agents

    runs = agents.table(smoke=True)
    assert all(list(learner.trials) == list(TRIALS) for learner in agents.LEARNERS.values())
    done = [asdict(run) | agents.perform(replace(run, problems=5), []) for run in runs if "Maskable" in run.name
            and run.kind == "trial"]  # fmt: skip
    found = agents.perform(Experiment("agent", "MaskablePPO", 0, 4_096, 5), done)
    assert found["trial"] in TRIALS and found["decisions"] == 4_096
    assert found["history"][-1][0] == 4_096 and len(found["history"][-1][1]) == len(found["levels"]) == len(COMPARED)
    assert np.isfinite(summary([found] * 2, COMPARED)["iqm"])


def test_a_peer_without_trials_is_refused(peer_env):
    from benchmarks import agents

    with pytest.raises(MNAError, match="no trial of 'MaskablePPO'"):
        agents.perform(Experiment("agent", "MaskablePPO", 0, 4_096, 5), [])


# ---------------------------------------------------------------- the race


@pytest.fixture
def race(peer_env):
    from benchmarks import race

    return race


def test_a_trial_keeps_every_judgement_and_ends_at_mastery(race):
    step = 2 * race.EVERY // 5  # the third is the first that may be judged
    decisions, shares = iter(range(step, 99 * step, step)), iter([0.2, 0.995, 1.0])
    found = race.trial(lambda: next(decisions), lambda: next(shares), limit=math.inf)
    assert [(n, share) for _, n, share in found.curve] == [(3 * step, 0.2), (6 * step, 0.995)]
    assert 0 < found.curve[0][0] < found.curve[1][0] == found.seconds and found.best == 0.995


def test_a_trial_ends_at_the_limit_and_has_not_got_there(race):
    found = race.trial(lambda: race.EVERY, lambda: 0.9, limit=0.0)
    assert found.curve == [] and math.isinf(found.seconds) and found.best == 0
    assert "not reached" in race.raced("ours", [found], 3).note


def test_the_best_setting_is_chosen_on_one_seed_and_counted_on_others(race):
    given = []

    def run(seed, limit, seconds, share):
        given.append((seed, limit, seconds))
        return race.Trial([(seconds, 10_000, share)])

    settings = [dict(seconds=9, share=0.5), dict(seconds=7, share=0.99), dict(seconds=5, share=0.8)]
    trials = race.counted(run, 4, settings)
    assert given[:3] == [(4, race.TRIED, 9), (4, race.TRIED, 7), (4, 7, 5)]  # none goes on beyond the quickest
    assert given[3:] == [(4 + i, race.LIMIT, 7) for i in range(1, race.SEEDS + 1)]
    row = race.raced("ours", trials, 3)
    assert row.value == 7 and json.loads(json.dumps(row.data))["curves"] == race.SEEDS * [[[7, 10_000, 0.99]]]


def test_a_side_that_gets_nowhere_has_one_long_trial_of_the_setting_that_came_furthest(race):
    def run(seed, limit, share):
        return race.Trial([(limit, 10_000, share)])

    (furthest,) = race.counted(run, 0, [dict(share=0.5), dict(share=0.8), dict(share=0.0)])
    assert furthest.best == 0.8 and math.isinf(race.raced("a peer", [furthest], 3).value)
    (nowhere,) = race.counted(run, 0, [dict(share=0.0)])
    assert nowhere.curve == [(race.LIMIT, 10_000, 0.0)]


def test_each_side_has_the_same_number_of_settings(race):
    assert len(race.OURS) == len(race.PEERS)


# ---------------------------------------------------------------- counts


def test_points_of_growth_are_told_apart_and_each_is_varied_along_its_axis():
    assert len({str(point) for point in growth.POINTS}) == len(growth.POINTS)
    assert {point.axis for point in growth.POINTS} == set(growth.AXES)
    assert str(growth.Point("threads", threads=2)) == "threads 2, wall clock"


def test_operations_of_a_linear_layer_are_those_counted_by_hand():
    layer, x = torch.nn.Linear(8, 16), torch.rand(4, 8)
    assert operations(lambda: layer(x)) == 2 * 4 * 8 * 16
    assert operations(lambda: layer(x).sum().backward()) == 2 * (2 * 4 * 8 * 16)  # and the weights' gradient


def test_the_share_of_the_arithmetic_bound_is_a_share():
    each, reached = training_rate(Run(TINY), 200)
    assert each > 0 and 0 < reached / matmul_rate(512, 3) < 1


def test_training_stops_at_the_decisions_or_the_mastery_asked_for():
    run = Run(replace(TINY, curriculum=CurriculumConfig(mastery=2)))  # never reached: mastery makes iterations larger
    advance(run, 250)
    assert 250 <= run.decisions < 250 + 16 * 20 and run.curriculum.history
    run.curriculum.first_mastered["add"], before = 1, run.decisions
    advance(run, math.inf, until="add")
    assert run.decisions == before


def test_the_parts_of_training_fill_its_time():
    config = replace(TINY, decisions=1_000)
    start = time.process_time()
    spent = parts.spent_on(Run(config))
    assert sum(spent.values()) <= time.process_time() - start
    assert set(spent) == {"play", "update", "judge", "the rest"} and min(spent.values()) > 0


def test_the_environment_alone_plays_and_its_parts_fit_into_the_whole():
    environment, generator, with_player = rate(("add",), 2_000, n=64)
    assert 0 < generator < 1 and 0 < with_player < environment


# ---------------------------------------------------------------- the table and the record

ROWS = [
    Row("fast", "decisions/s", [9e3, 12_345.6, 2e4], at_least=10_000, note="of three"),
    Row("slow", "s", [math.inf, 3.0, math.inf], at_most=15),
    Row("free", "MB", [1.234]),
]


def test_the_table_shows_medians_bars_and_what_was_not_reached():
    head, _, fast, note, slow, free = report.table(ROWS).splitlines()
    assert fast.split() == ["fast", "12,346", "decisions/s", "9,000", "…", "20,000", "≥", "10,000", "met"]
    assert note.strip() == "(of three)"
    assert slow.split() == ["slow", "–", "s", "3", "…", "–", "≤", "15", "missed"]
    assert free.split() == ["free", "1.23", "MB"]
    assert head.index("unit") == fast.index("decisions/s")


def test_an_empty_table_is_a_head():
    assert len(report.table([]).splitlines()) == 2


@pytest.mark.parametrize("value, text", [(0, "0"), (99.94, "99.9"), (1e6, "1,000,000"), (math.inf, "–")])
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_the_record_is_plain_json_with_its_circumstances(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PACKAGES", ("torch", "not-installed"))
    report.write(tmp_path / "new" / "bench.json", ROWS, report.circumstances(form="short"))
    record = json.loads((tmp_path / "new" / "bench.json").read_text(), parse_constant=pytest.fail)
    assert {"commit", "date", "machine", "python", "torch"} <= set(record) and record["form"] == "short"
    assert "not-installed" not in record
    assert [row["value"] for row in record["rows"]] == [12_345.6, None, 1.234]
    assert [row["met"] for row in record["rows"]] == [True, False, None]


def test_a_copy_without_its_history_is_told_its_commit(monkeypatch):
    monkeypatch.delenv("MNA_COMMIT", raising=False)
    assert report.commit() != "abc1234"
    monkeypatch.setenv("MNA_COMMIT", "abc1234")
    assert report.commit() == "abc1234"


def test_a_gpu_is_not_compared_with_a_revision():
    words = [sys.executable, "-m", "benchmarks", "--gpu", "--base", "HEAD"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "--base: not allowed with argument --gpu" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_one_clear_line():
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--gpu"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == ("benchmarks: GPU=1 needs a GPU and a torch that can use it; there is none here: "
                           "leave it out\n")  # fmt: skip


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_rates_and_seconds_to_mastery_are_found_on_both_sides(monkeypatch):
    from benchmarks import gpu

    monkeypatch.setattr(gpu, "ITERATIONS", 1)
    for device in gpu.sides().values():
        assert len(gpu.rates(device, 16)) == gpu.TURNS and min(gpu.rates(device, 16)) > 0
        assert 0 < gpu.to_mastery(device, 96, seed=0) < math.inf


# ---------------------------------------------------------------- another revision


def test_a_wrong_revision_is_told_in_one_line():
    words = [sys.executable, "-m", "benchmarks", "--base", "no-such-revision"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == ("benchmarks: BASE=no-such-revision is no revision of this repository: name a commit, "
                           "a branch or a tag, for example BASE=HEAD~1\n")  # fmt: skip


def test_an_option_is_no_revision(tmp_path):
    with pytest.raises(BenchmarkError, match="no revision"):
        compare.check_out("--all", tmp_path)


def test_ratios_are_of_medians_new_over_old():
    comparison = compare.Comparison()
    for side, values in (("new", [2, 4, 90]), ("old", [2, 2, 2])):
        comparison.add(side, Row("speed", "decisions/s", values))
    comparison.add("new", Row("not yet measured", "s", [1]))
    comparison.add("new", Row("not reached", "s", [math.inf]))
    comparison.add("old", Row("not reached", "s", [3]))
    head, speed, unreached = comparison.table().splitlines()
    assert speed.split() == ["speed", "2", "4", "2", "decisions/s"]
    assert unreached.split() == ["not", "reached", "–", "–", "3", "s"]
