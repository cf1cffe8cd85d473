"""The evidence: rivals are fair, statistics are right, and no finished run is lost."""

import ast
import copy
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from fnmatch import fnmatch
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from mna import evaluation
from mna.baselines import (
    ABLATIONS,
    AGENTS,
    COMPARED,
    Planner,
    Replanner,
    Strict,
    VariedRun,
    Withheld,
    make_planner,
    parameters,
    run_exact_plans,
    spelled,
    variation,
    withheld_pair,
    withheld_shape,
)
from mna.curriculum import CurriculumConfig
from mna.environments import CALL, KINDS, PAD, SEED_LADDER, THINK, Environment, MNAError, Problems, generate
from mna.evaluation import Experiment, append, key_of, read_records, table, unfinished
from mna.memory import make_agent
from mna.network import ANSWER, FIRST_SLOT, STORE, NetworkConfig, Stage, legal
from mna.ppo import play

ROOT = Path(__file__).parent.parent
LINE = {"kind": "headline", "name": "native", "seed": 0, "budget": 10, "problems": 5, "seconds": 1.0}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", [Planner, Replanner])
def test_a_planner_has_as_many_parameters_as_the_agent(kind):
    ours = parameters(make_agent())
    assert abs(parameters(make_planner(kind, NetworkConfig(), 0)) / ours - 1) <= 0.05


def choose(planner, state, env, *choices):
    """Make these choices one after the other, for one problem."""
    for choice in choices:
        planner.decide(state)
        verb, tool, x, y = planner.act(state, torch.tensor([choice]))
        feedback = env.step(verb, tool, x, y, rng())
        planner.observe(state, feedback)
    return verb, feedback


def test_a_plan_keeps_results_in_the_entry_of_the_first_operand():
    planner, problems = make_planner(Planner, NetworkConfig(), 0), Problems.from_text(["(3+4)*(9-2)"])
    env, state = Environment.start(problems), planner.start(problems)
    number = FIRST_SLOT
    choose(planner, state, env, 0, number, number + 1)  # ADD
    choose(planner, state, env, 1, number + 2, number + 3)  # SUB: the first result is neither used nor stored
    assert state.numbers[0, :, 0].tolist() == [7, 4, 7, 2]
    assert state.available[0, 1:].tolist() == [True, False, True, False]
    choose(planner, state, env, 2, number, number + 2)  # MUL
    _, feedback = choose(planner, state, env, 6)  # ANSWER
    assert bool(feedback.correct) and Fraction(*state.numbers[0, 0].tolist()) == 49


@pytest.mark.parametrize("kind, sees", [(Planner, False), (Replanner, True)])
def test_only_the_one_that_replans_is_told_of_results_and_failures(kind, sees):
    planner, problems = make_planner(kind, NetworkConfig(), 0), Problems.from_text(["5-3"])
    env, state = Environment.start(problems, flaky=1.0), planner.start(problems)
    verb, feedback = choose(planner, state, env, 1, FIRST_SLOT, FIRST_SLOT + 1)
    assert int(verb) == CALL and bool(feedback.failed)
    assert int(state.seen) == (1 if sees else 0)
    assert state.available[0, 1:].tolist() == ([True, True] if sees else [True, False])


def test_what_comes_back_changes_nothing_in_a_plan_made_in_advance():
    planner, problems = make_planner(Planner, NetworkConfig(), 0), Problems.from_text(["(3+4)*(9-2)"] * 50)
    calm = play(planner, problems, greedy=True)
    failing = play(planner, problems, rng(), greedy=True, flaky=0.9)
    assert torch.equal(calm.choice * calm.live, failing.choice * failing.live)
    assert (calm.stage != Stage.STORE).all()


def test_the_exact_plan_is_the_ceiling_and_fails_with_each_call():
    problems = generate(torch.zeros(500, dtype=torch.long), ("seed_hard",), rng())
    assert run_exact_plans(problems).all()
    share = run_exact_plans(problems, rng(), flaky=0.2).double().mean()
    assert abs(float(share) - 0.8**4) < 0.07  # four calls


def test_no_exact_plan_made_in_advance_solves_abs_diff():
    problems = generate(torch.zeros(1000, dtype=torch.long), ("abs_diff",), rng())
    right, negative = run_exact_plans(problems), (problems.sub_tool == 4).any(1)
    assert torch.equal(right, ~negative) and 0.3 < float(right.double().mean()) < 0.7


@pytest.mark.parametrize("name", ABLATIONS | AGENTS)
def test_a_variation_replays_what_it_played(name):
    config = evaluation.configured(Experiment("ablation", name, 0, 4_000, 20), learning_rate=0.0)
    run = VariedRun(config, (ABLATIONS | AGENTS)[name])
    assert run.iterate()["approx_kl"] < 1e-6


def test_an_unknown_variation_is_named_with_those_that_exist():
    with pytest.raises(MNAError, match="'no_luck' is unknown; there are: no_buffer, .*stage_blind"):
        variation("no_luck", ABLATIONS)


def test_the_strict_ladder_practises_one_level():
    curriculum = Strict(("add", "one_op"), CurriculumConfig())
    assert curriculum.weights().tolist() == [1, 0]
    curriculum.judged(100, torch.tensor([1.0, 0.0]))
    assert curriculum.weights().tolist() == [0, 1]
    curriculum.judged(200, torch.tensor([1.0, 1.0]))
    assert curriculum.weights().tolist() == [0, 1]


@pytest.mark.parametrize("withheld", [withheld_shape, withheld_pair])
def test_what_is_withheld_is_never_practised(withheld):
    everything = generate(torch.zeros(500, dtype=torch.long), ("tree4",), rng(), trim=False)
    assert 0.05 < float(withheld(everything).double().mean()) < 0.4
    practice = Withheld(("tree3", "tree4"), CurriculumConfig(), withheld)
    assert not withheld(practice.problems(500, rng())).any()


def test_the_held_out_pair_is_a_minus_before_a_product():
    texts = ["9-2*3", "9-(2+3)", "2*3-9", "(9-2)*3", "9+2*3"]
    assert withheld_pair(Problems.from_text(texts)).tolist() == [True, False, False, True, False]


def test_intervals_hold_the_mean_about_as_often_as_they_say():
    draw, hits = np.random.default_rng(1), 0
    for i in range(60):
        scores = draw.normal(0.5, 0.1, (15, 3))
        low, high = evaluation.bootstrap_interval(scores, np.mean, resamples=400, seed=i)
        hits += low <= 0.5 <= high
    assert 49 <= hits


def test_the_band_holds_the_profile_and_is_drawn_within_each_level():
    scores, thresholds = np.array([[0.0, 1.0]] * 4 + [[0.9, 1.0]]), [0.5, 0.95]
    low, high = evaluation.profile_band(scores, thresholds, resamples=500)
    profile = evaluation.performance_profile(scores, thresholds)
    assert profile.tolist() == [0.6, 0.5] and (low <= profile).all() and (profile <= high).all()
    assert low[0] == 0.5 < high[0] < 1  # the second level is right in every draw
    assert low[1] == high[1] == 0.5


def test_what_was_forgotten_counts_every_level_but_the_last_one_in_bwt_only():
    run = VariedRun(evaluation.configured(Experiment("ablation", "x", 0, 4_000, 20)), AGENTS["native"])
    run.config = replace(run.config, ladder=("add", "one_op"))
    run.curriculum.history = [(1, [1.0, 0.0]), (2, [0.9, 1.0]), (3, [0.8, 0.5]), (4, [0.9, 1.0])]
    run.curriculum.first_mastered = {"add": 1, "one_op": 2}
    run.at_mastery = {"add": 0.9, "one_op": 0.3}  # held-out: a judgement had been lucky
    told = evaluation.reached(run)
    now = {level: told["levels"][level]["accuracy"] for level in run.config.ladder}
    assert told["bwt"] == pytest.approx(now["add"] - 0.9) and told["worst_dip"] == pytest.approx(0.5)
    assert told["forgetting"]["one_op"] == pytest.approx(dict(forgetting=0.3 - now["one_op"], worst_dip=0.5))


def test_an_interval_needs_two_runs():
    with pytest.raises(MNAError, match="at least 2 runs"):
        evaluation.bootstrap_interval([[0.5, 0.6]])


def test_improvement_counts_ties_half():
    assert evaluation.improvement([[1.0], [1.0]], [[1.0], [0.0]]) == 0.75


def test_rewritten_problems_hold_the_numbers_asked_for_and_can_be_solved():
    problems = evaluation.rewritten("tree5", 40, (0, 1), rng())
    assert len(problems) == 40 and set(problems.values[..., 0].flatten().tolist()) == {0, 1}
    assert all("0" in text for text in problems.texts())  # training has none


def test_larger_numbers_fit_the_calculator():
    for level in SEED_LADDER:
        if level != "one_op":
            assert run_exact_plans(evaluation.drawn(level, 100, rng(), evaluation.larger(level))).all()


def unmasked(*texts):
    agent, problems = ABLATIONS["no_mask"].agent(NetworkConfig(), 0), Problems.from_text(texts)
    return agent, agent.start(problems), Environment.start(problems)


def test_without_a_mask_every_candidate_that_is_there_may_be_named():
    agent, state, _ = unmasked("4+9", "4*2+7")
    everything = FIRST_SLOT + NetworkConfig().slots
    assert agent.mask(state).sum(1).tolist() == [everything + 2, everything + 3]
    assert not agent.mask(state)[0, -1]  # the other problem's third number


@pytest.mark.parametrize("first", [[], [0]])
@torch.no_grad()
def test_a_choice_that_means_nothing_has_no_effect_and_costs_a_decision(first):
    """Each of them, in the first decision and after ADD."""
    for wrong in range(FIRST_SLOT + NetworkConfig().slots + 2):
        agent, state, env = unmasked("4+9")
        if first:
            choose(agent, state, env, *first)
        if legal(state)[0, wrong]:
            continue
        told = copy.deepcopy((state, env))
        verb, feedback = choose(agent, state, env, wrong)
        assert int(verb) == THINK and int(state.previous) == wrong
        assert not feedback.done and not feedback.present and not feedback.failed
        state.previous, state.h = told[0].previous, told[0].h
        assert same(state, told[0])
        assert env.decisions.tolist() == [len(first) + 1] and torch.equal(env.live, told[1].live)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))


def test_without_a_mask_a_full_slot_may_be_overwritten_and_the_problem_is_lost():
    agent, state, env = unmasked("(3+4)*(9-2)")
    number, slot = FIRST_SLOT + NetworkConfig().slots, FIRST_SLOT
    choose(agent, state, env, 0, number, number + 1, STORE, slot, 1, number + 2, number + 3, STORE)
    assert not legal(state)[0, slot] and int(state.stage) == Stage.STORE
    choose(agent, state, env, slot)
    assert int(state.stage) == Stage.CHOOSE and state.memory.values[0, 0].tolist() == [7, 1]
    _, feedback = choose(agent, state, env, ANSWER)  # the only value that the agent knows of
    assert feedback.done and not feedback.correct


def test_the_mask_in_practice_is_gone_in_an_exam():
    run = VariedRun(evaluation.configured(Experiment("ablation", "x", 0, 4_000, 20)), ABLATIONS["mask_in_practice"])
    problems = Problems.from_text(["4+9"])
    practised = run.play(problems, torch.ones(1, 1))
    assert practised.legal[0].sum() < run.agent.mask(run.agent.start(problems)).sum()
    exam = play(run.agent, problems, greedy=True)
    assert (exam.legal[exam.live] == run.agent.mask(run.agent.start(problems))).all()


def test_spelled_problems_hold_the_digits_and_the_rest_as_it_was():
    texts = ["4*12+7", "0+105", "(3+4)*(9-2)"]
    problems = Problems.from_text(texts)
    shown = spelled(problems)
    for text, row in zip(texts, shown.kinds.tolist(), strict=True):
        told = "".join(str(kind - len(KINDS)) if kind >= len(KINDS) else KINDS[kind] for kind in row if kind != PAD)
        assert told == re.sub(r"(\d+)", r"number\1", text)
        assert row == sorted(row, key=lambda kind: kind == PAD)  # padding comes last
    assert torch.equal(shown.values, problems.values) and spelled(shown) is shown


def test_only_the_one_that_is_told_can_tell_numbers_apart():
    problems = Problems.from_text(["4+9", "5+9", "4+9"])
    for agent, apart in ((make_agent(seed=0), False), (ABLATIONS["numbers_seen"].agent(NetworkConfig(), 0), True)):
        logits, _ = agent.decide(agent.start(problems))
        assert torch.allclose(logits[0], logits[2], atol=1e-6)
        assert torch.allclose(logits[0, :FIRST_SLOT], logits[1, :FIRST_SLOT], atol=1e-6) != apart


@pytest.fixture
def path(tmp_path):
    return tmp_path / "evidence.jsonl"


def test_a_line_that_was_cut_off_costs_that_run_alone(path, capsys):
    append(path, LINE | {"code": "x"})
    with path.open("a") as file:
        file.write('{"kind": "head')
    assert [line["seed"] for line in read_records(path)] == [0]
    assert "cut off" in capsys.readouterr().err
    append(path, LINE | {"seed": 1, "code": "x"})
    assert [line["seed"] for line in read_records(path)] == [0, 1]


def test_a_damaged_line_is_named_and_nothing_is_touched(path):
    path.write_text(json.dumps(LINE) + "\nrubbish\n" + json.dumps(LINE) + "\n")
    before = path.read_bytes()
    with pytest.raises(MNAError, match="line 2 is damaged; delete that line"):
        read_records(path)
    assert path.read_bytes() == before


def test_runs_of_other_code_are_not_mixed_in_silently(path):
    append(path, LINE | {"code": "old"})
    run = Experiment(*(LINE[name] for name in ("kind", "name", "seed", "budget", "problems")))
    with pytest.raises(MNAError, match="made by other code .old; .*--keep"):
        unfinished([run], path)
    assert unfinished([run], path, keep=True) == []
    assert key_of(LINE) == run.key


def version_of(tmp_path, monkeypatch, text):
    """The version of the code if each module were this text."""
    for name in evaluation.MODULES:
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(evaluation.mna, "__file__", str(tmp_path / "__init__.py"))
    return evaluation.code_version.__wrapped__()


CODE = '''@dataclass
class A:
    """What it is."""
    x: int = 1
    "What x is."

    def f(self):
        return (self.x, "two")  # why
'''


@pytest.mark.parametrize(
    "old, new, same",
    [
        ("What it is.", "What it is not.", True),
        ('    "What x is."\n', "", True),
        ("  # why", "", True),
        ('(self.x, "two")', 'self.x, \\\n            "two"', True),
        ("\n    def", "\n\n    def", True),
        ("int = 1", "int = 2", False),
        ("int = 1", "int = 1.0", False),
        ('"two"', '"2"', False),
        ("return (", "return A(", False),
        ("@dataclass\n", "", False),
        ("x: int", "y: int", False),
    ],
)
def test_the_version_of_the_code_is_that_of_what_it_does(tmp_path, monkeypatch, old, new, same):
    assert CODE.count(old) == 1
    before = version_of(tmp_path, monkeypatch, CODE)
    assert (version_of(tmp_path, monkeypatch, CODE.replace(old, new)) == before) == same


def test_the_version_of_the_code_is_that_of_every_python():
    """The text by hand; a newer Python that adds a field to the tree, or renames one, shows here."""
    tree = ast.parse("def f(x, *, k=None):\n    return x[0] or f'{k}a', ...")
    args = "args=arguments(args=[arg(arg='x')], kwonlyargs=[arg(arg='k')], kw_defaults=[Constant()])"
    item = "Subscript(value=Name(id='x', ctx=Load()), slice=Constant(value=0), ctx=Load())"
    text = "JoinedStr(values=[FormattedValue(value=Name(id='k', ctx=Load()), conversion=-1), Constant(value='a')])"
    pair = f"Tuple(elts=[BoolOp(op=Or(), values=[{item}, {text}]), Constant(value=Ellipsis)], ctx=Load())"
    assert evaluation.essence(tree) == f"Module(body=[FunctionDef(name='f', {args}, body=[Return(value={pair})])])"


@pytest.mark.parametrize(
    "words, said",
    [
        (["--profile", "huge"], "profile 'huge' is unknown; profiles: smoke, full"),
        (["--only", "ablation/no_luck"], "no run is named 'ablation/no_luck'; there are: "),
        (["--workers", "0"], "workers = 0, at least 1 is needed"),
    ],
)
def test_bad_input_is_one_line_with_a_way_out(words, said, capsys, path):
    assert evaluation.main([*words, "--out", str(path)]) == 2
    assert said in capsys.readouterr().err


def test_the_table_puts_the_headline_first_and_each_agent_has_as_many_trials():
    runs = table()
    assert [run.kind for run in runs[:10]] == ["headline"] * 10
    assert len({run.seed for run in runs[:10]}) == 10
    trials = [run.name.split(".")[0] for run in runs if run.kind == "trial"]
    assert {trials.count(name) for name in AGENTS} == {len(evaluation.TRIALS)}


def test_an_agent_waits_for_its_trials():
    runs = table("smoke")
    agent = next(run for run in runs if run.kind == "agent" and run.name == "replan")
    trials = {run.key for run in runs if run.name.startswith("replan.")}
    assert not evaluation.ready(agent, runs, set()) and evaluation.ready(agent, runs, trials)
    with pytest.raises(MNAError, match="no trial of 'replan'"):
        evaluation.best_trial("replan", [])


def test_trials_are_chosen_by_judgements_and_not_by_held_out_problems():
    def trial(name, judged, held_out):
        levels = {"add": {"accuracy": held_out}}
        return {"kind": "trial", "name": f"replan.{name}", "history": [[5, [1.0]], [9, [judged]]], "levels": levels}

    done = [trial("slow", 0.8, 0.1), trial("as_is", 0.8, 0.1), trial("fast", 0.7, 1.0)]
    assert evaluation.best_trial("replan", done) == "as_is"  # the first of the table on a tie


def command(path, *words):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start = [sys.executable, "-m", "mna", "evidence", "--out", str(path), *words]
    heed = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    return subprocess.Popen(start, env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            preexec_fn=heed, start_new_session=True)  # fmt: skip


def test_interrupted_runs_go_on_and_finished_ones_stay(path):
    only = ["--profile", "smoke", "--workers", "1", "--only", "headline"]
    first = command(path, *only)
    began = time.time()
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.time() - began < 100 and first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGINT)
    _, said = first.communicate(timeout=60)
    kept = path.read_text().splitlines()
    assert first.returncode == 130 and "the same command goes on" in said and len(kept) == 1
    second = command(path, *only)
    printed, _ = second.communicate(timeout=100)
    assert second.returncode == 0 and "1 of 2 runs are finished" in printed
    assert path.read_text().splitlines()[:1] == kept and len(read_records(path)) == 2


def test_two_at_once_are_kept_from_each_other(path):
    only = ["--profile", "smoke", "--workers", "1", "--only", "headline"]
    first = command(path, *only)
    assert "0 of 2 runs are finished" in first.stdout.readline()  # it holds the file now
    _, said = (second := command(path, *only)).communicate(timeout=60)
    assert second.returncode == 2 and said == (
        f"evidence: {path} is in use by another run; wait for its end, or name another file with --out\n")
    elsewhere = command(path.with_name("other.jsonl"), *only[:-1], "tutorial")
    assert elsewhere.communicate(timeout=60) and elsewhere.returncode == 0
    first.communicate(timeout=100)
    assert first.returncode == 0 and len(read_records(path)) == 2
    (lock,) = {file.name for file in path.parent.iterdir()} & {f".{path.name}.lock"}
    assert any(fnmatch(lock, line) for line in (ROOT / ".gitignore").read_text().split())


def test_a_run_that_fails_does_not_stop_the_others(path, monkeypatch):
    good = table("smoke")[0]
    failed = evaluation.run_all([replace(good, kind="ablation", name="no_luck"), good], path, workers=1)
    assert failed == ["ablation/no_luck seed 0"] and [line["kind"] for line in read_records(path)] == ["headline"]


def test_make_evidence_checks_the_pipeline(tmp_path):
    """Every kind of run at smoke size, with provenance."""
    path = tmp_path / "all.jsonl"
    run = command(path, "--profile", "smoke")
    printed, errors = run.communicate(timeout=400)
    assert run.returncode == 0, errors[-3000:]
    assert "minutes on" in printed.splitlines()[0]
    lines = read_records(path)
    assert {key_of(line) for line in lines} == {run.key for run in table("smoke")}
    for line in lines:
        assert line["code"] == evaluation.code_version() and line["command"].startswith("python -m mna evidence")
        assert line["budget"] == 0 or line["decisions"] <= line["budget"]
    told = evaluation.summary(evaluation.select(lines, "headline"), SEED_LADDER)
    assert told["runs"] == 2 and 0 <= told["hardest"] <= 1
    assert set(evaluation.select(lines, "agent", "native")[0]["flaky"]["0.1"]) == set(COMPARED)
