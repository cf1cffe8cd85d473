"""`make evidence` and what pages quote of it: the pipeline with runs that take no time, and the README."""

import json

import evidence as page
import pytest
import torch
from test_evaluation import CHAPTER, line

from benchmarks import close_up, evidence
from mna.batched import pack_problems
from mna.evaluation import confidence, paper
from mna.language import PAD
from mna.network import AgentConfig
from mna.ppo import play
from mna.problems import every_structure
from mna.training import make_agent


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Runs that learn nothing; finished, they are whole lines."""
    monkeypatch.setattr(evidence, "SMOKE", 200)
    monkeypatch.setattr(evidence, "FAMILIES", ("mixed",))
    monkeypatch.setattr(evidence, "COUNTS", (3, 10, 32))
    monkeypatch.setattr(evidence, "tight", lambda agent, slots, n: dict(slots=slots))
    monkeypatch.setattr(evidence, "look_closer", lambda agent, smoke: dict(asked=1))
    return tmp_path


def test_the_pipeline_makes_what_is_missing_and_only_that(quick, capsys):
    command = ["--smoke", "--arms", "seed", "--jobs", "1", "--out", str(quick)]
    assert evidence.main(command) == 0
    (made,) = evidence.known(quick / "evidence.jsonl")
    assert made["arm"] == "seed" and made["seed"] == evidence.SEEDS[0]
    assert made["exams"]["mixed3"]["structures"] == 20 and len(made["tight"]) == 3
    right, wrong = made["exams"]["mixed3"]["right"], made["exams"]["mixed3"]["wrong"]
    assert right + len(wrong) == 20
    assert json.loads((quick / "close_up.json").read_text()) == {"seed": {"asked": 1}}
    with (quick / "evidence.jsonl").open("a") as file:
        file.write('{"arm": "seed", "se')  # cut off
    assert evidence.main(command) == 0
    said = capsys.readouterr()
    assert "0 runs are there, 1 to make" in said.out and "1 runs are there, 0 to make" in said.out
    assert "a damaged line of evidence.jsonl is left out" in said.err


def test_an_unknown_arm_is_one_line(tmp_path, capsys):
    assert evidence.main(["--arms", "fast", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("evidence: arm 'fast' does not exist; arms: full, seed") and said.count("\n") == 1


def test_reported_seeds_are_not_those_of_tuning():
    reported = {seed for arm in evidence.ARMS.values() for seed in arm["seeds"]}
    assert not reported & set(evidence.TUNING)
    assert {line["seed"] for line in page.CHAPTER.records("evidence.jsonl")} <= reported


def test_a_worksheet_that_is_kept_is_that_of_chapter_7():
    """The world of the arm, for many at once, beside the lesion that the chapter makes of one desk."""
    agent, problems = make_agent(AgentConfig(width=16, layers=(1, 0)), 0), paper("bars5", 40)
    plain = play(CHAPTER.unwritten(agent), problems, greedy=True)
    packed = pack_problems(problems)
    with evidence.worksheet_kept():
        fast = evidence.play(agent, packed, greedy=True)
    usual = evidence.play(agent, packed, greedy=True)
    steps = [[fast.choice[i] for i in ((fast.problem == k).nonzero()[:, 0])] for k in range(len(problems))]
    assert [[int(c) for c in row] for row in steps] == [[s.choice for s in e.steps] for e in plain]
    assert len(usual.choice) != len(fast.choice)  # and it is another world than the usual one


@pytest.mark.parametrize("numbers", [1, 2])
def test_every_small_structure_gets_numbers(numbers):
    agent = make_agent(AgentConfig(width=8, layers=(1,)), 0)
    found = close_up.enumeration(agent, numbers)
    assert found["structures"] == len(every_structure(numbers))
    assert found["right"] <= found["asked"] <= found["structures"]


def test_doubts_are_the_least_of_the_critic():
    agent, rng = make_agent(AgentConfig(width=8, layers=(1,)), 0), torch.Generator().manual_seed(0)
    for weights in agent.parameters():  # far apart, so that no two choices are nearly alike
        torch.nn.init.normal_(weights, std=0.7, generator=rng)
    torch.nn.init.zeros_(agent.encoder.token.weight[PAD])  # as it always is
    fast, plain = close_up.doubts(agent, "mixed3", 30), play(agent, paper("mixed3", 30), greedy=True)
    assert fast["right"] == [e.correct for e in plain]
    assert fast["least"] == pytest.approx([confidence(e) for e in plain], abs=1e-4)
    told = close_up.self_knowledge({"mixed3": fast})
    below = [sum(x < 0.5 and r == right for x, r in zip(fast["least"], fast["right"], strict=True))
             for right in (True, False)]
    assert told["asked"] == 30 and (0.5, *below) in told["rows"]


# ---------------------------------------------------------------- pages
def test_the_headline_names_budgets_intervals_and_losses():
    told = page.headline([line("seed"), line("full")], page.CHAPTER.claims())
    assert "99.9 % (99.7 % to 100 %) at ten numbers" in told and "1 decisions, 1 run)" in told
    assert "not yet measured" in told
    assert page.headline([], []).startswith("Not measured yet")


def test_a_headline_takes_the_place_of_the_last_one():
    text = f"# A\n\n{page.MARK}\n\nRest.\n"
    once = page.with_headline(text, "New.")
    assert once == f"# A\n\n{page.MARK}\nNew.\n\nRest.\n"
    assert page.with_headline(once, "Newer.") == once.replace("New.", "Newer.")


def test_the_readme_quotes_the_record():
    text, chapter = page.README.read_text(), page.CHAPTER
    assert text == page.with_headline(text, page.headline(chapter.records("evidence.jsonl"), chapter.claims()))
    assert page.MARK in text
