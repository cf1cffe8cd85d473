"""What is practised next, what counts as mastered, and what it is judged on."""

import random

import pytest
import torch

from mna import curriculum, ppo
from mna.curriculum import (
    LADDER,
    MASTERED,
    MILESTONES,
    PLAIN,
    Curriculum,
    Engine,
    accuracy,
    forgetting,
    generate,
    mastered_at,
    outcome,
    tight,
)
from mna.language import held_out, parse, slots_needed
from mna.memory import GatedMemory
from mna.network import Agent, AgentConfig
from mna.problems import LEVELS, draw
from mna.training import Run, TrainingConfig, exam


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small():
    torch.manual_seed(0)
    return Agent(AgentConfig(width=8, hidden=8, layers=(1,)), GatedMemory)


def levels(*names):
    return [LEVELS[name] for name in names]


# ---- what to practise next

def test_levels_are_practised_most_where_success_is_neither_rare_nor_sure():
    """Weight: least + 4 s (1 - s), as a share of all."""
    one = Curriculum(levels("add", "expr2", "expr3"), least=0.2)
    assert one.weights().tolist() == pytest.approx([1 / 3] * 3)
    one.success = torch.tensor([1.0, 0.5, 0.1])
    expected = [0.2 / 1.96, 1.2 / 1.96, 0.56 / 1.96]
    assert one.weights().tolist() == pytest.approx(expected)
    rare = Curriculum(levels("add", "expr2"), least=0.0)
    rare.success = torch.tensor([1.0, 0.3])
    assert rare.weights().tolist() == [0, 1]


def test_places_are_drawn_as_often_as_they_weigh():
    one = Curriculum(levels("add", "expr2", "expr3"))
    one.success = torch.tensor([1.0, 0.5, 0.0])
    place = one.draw(20_000, seeded())
    counts = torch.bincount(place, minlength=3) / 20_000
    assert (counts - one.weights()).abs().max() < 0.015
    assert torch.equal(place, one.draw(20_000, seeded()))
    assert len(set(one.draw(20_000, seeded(1)).tolist())) == 3


def test_what_is_noted_moves_the_mean_by_hand():
    """A tenth of the way to the share of right ones; less for fewer than 4 played."""
    one = Curriculum(levels("add", "expr2", "expr3", "expr4"))
    one.success = torch.tensor([0.5, 0.5, 0.5, 0.5])
    place = torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2])
    right = torch.tensor([1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0]).bool()
    one.note(place, right)
    expected = [0.5 + 0.1 * (0.75 - 0.5), 0.5 + 0.025 * 0.5, 0.5 - 0.05 * 0.5, 0.5]
    assert one.success.tolist() == pytest.approx(expected)


def test_levels_that_always_and_never_succeed_end_with_the_least_weight():
    one = Curriculum(levels("add", "expr2"))
    for _ in range(200):
        one.note(torch.arange(8) // 4, torch.arange(8) < 4)
    assert one.success.tolist() == pytest.approx([1, 0], abs=1e-3)
    weight = 0.2 / (0.2 + 0.2 + 1.2)
    one.levels, one.success = [*one.levels, None], torch.cat(
        (one.success, torch.tensor([0.5])))
    expected = [weight, weight, 6 * weight]
    assert one.weights().tolist() == pytest.approx(expected, abs=1e-3)


# ---- tight memory

NEED = torch.tensor([0, 1, 2, 3, 5] * 4000)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_slots_are_never_fewer_than_needed_nor_more_than_there_are(share):
    slots = tight(NEED, 3, share, seeded())
    assert (slots >= NEED.clamp(max=3)).all() and (slots <= 3).all()
    exact = (slots == NEED.clamp(max=3)).float()
    for need in range(4):
        chance = share + (1 - share) / (4 - need)  # the others: uniform from need to 3
        assert exact[NEED == need].mean().item() == pytest.approx(chance, abs=0.03)
    assert (exact[NEED >= 3] == 1).all()


def test_what_is_not_tight_gets_each_number_of_slots_alike():
    slots = tight(NEED, 3, 0.0, seeded())
    for need in range(3):
        counts = torch.bincount(slots[NEED == need], minlength=4) / 4000
        assert counts[need:].tolist() == pytest.approx([1 / (4 - need)] * (4 - need),
                                                       abs=0.03)


# ---- forgetting

HISTORY = [(100, [0.2, 0.95, 0.0]), (200, [0.96, 0.5, 0.9]), (300, [0.7, 1.0, 0.9]),
           (400, [0.9, 0.97, 0.94])]


def test_mastered_is_the_first_judgement_that_says_so():
    assert MASTERED == 0.95
    assert [mastered_at(HISTORY, i) for i in range(3)] == [1, 0, None]
    assert mastered_at([], 0) is None


def test_what_was_forgotten_by_hand():
    """Accuracy when mastered, less that at the end, and less the lowest one since."""
    first, second, third = forgetting(HISTORY)
    assert first == pytest.approx(
        dict(first_mastered=200, forgetting=0.06, worst_dip=0.26))
    assert second == pytest.approx(
        dict(first_mastered=100, forgetting=-0.02, worst_dip=0.45))
    assert third == dict(first_mastered=None, forgetting=None, worst_dip=None)


def test_a_level_that_only_improves_has_no_dip():
    only, = forgetting([(1, [0.99]), (2, [1.0])])
    assert only["worst_dip"] == 0 and only["forgetting"] == pytest.approx(-0.01)


# ---- the plain engine

def test_each_place_gets_a_problem_of_its_level_and_split():
    ladder = levels("expr3", "linear4", "add")
    place = torch.tensor([2, 0, 1, 0, 1, 2])
    problems = generate(place, ladder, seeded())
    assert [p.number_count for p in problems] == [2, 3, 4, 3, 4, 2]
    assert [i for i, p in enumerate(problems) if p.unknown] == [2, 4]
    assert not any(held_out(p.kinds) for p in problems)
    exam = generate(torch.tensor([0, 1] * 10), ladder, seeded(), "test")
    assert all(held_out(p.kinds) for p in exam)
    again = generate(place, ladder, seeded())
    assert [p.text for p in again] == [p.text for p in problems]
    assert [p.text for p in generate(place, ladder, seeded(1))] != [
        p.text for p in problems]


def test_an_outcome_is_who_was_right_and_how_many_decisions():
    played = ppo.play(small(), [parse("7"), parse("1+2")], seeded(), uniform=True)
    played[0].correct, played[1].correct = True, False
    right, decisions = outcome(played)
    assert right.tolist() == [True, False] and right.dtype == torch.bool
    assert decisions == len(played[0].steps) + len(played[1].steps)


def test_the_plain_engine_knows_what_problems_need():
    rng = random.Random(0)
    problems = [draw(LEVELS["mixed10"], rng) for _ in range(20)]
    assert PLAIN.need(problems).tolist() == [slots_needed(p) for p in problems]
    assert PLAIN.name == "plain"


def test_the_plain_engine_trains():
    """An iteration of a run with it, from drawing to the update."""
    config = TrainingConfig(first=60, last=60, decisions=100, ladder=("add", "expr3"),
                            agent=AgentConfig(width=8, hidden=8, layers=(1,)))
    run = Run(config)
    before = [p.detach().clone() for p in run.agent.parameters()]
    run.iterate()
    assert run.decisions > 0
    assert any(not torch.equal(a, b) for a, b in zip(before, run.agent.parameters()))


# ---- judging

def recorder():
    """An engine that plays nothing: it records what was asked.

    All on the level in place 1 are right, half in place 2, none elsewhere.
    """
    asked = []

    def generate(place, ladder, rng, split="train"):
        asked.append((place.tolist(), split))
        return place

    def play(agent, problems, rng, **options):
        asked[-1] += (options,)
        return problems

    def outcome(place):
        even = torch.arange(len(place)) % 2 == 0
        return (place == 1) | (place == 2) & even, 0
    return Engine("recorder", generate, lambda p: p, play, outcome, None), asked


def test_accuracy_is_the_share_of_right_answers_on_each_level():
    engine, asked = recorder()
    ladder = levels("add", "expr2", "expr3")
    shares = accuracy(None, ladder, 1000, seeded(), engine=engine)
    assert shares == [0, 1, 0.5]
    places = sum((place for place, _, _ in asked), [])
    assert places == [0] * 1000 + [1] * 1000 + [2] * 1000
    assert len(asked) == 2 and len(asked[0][0]) == 2048  # in parts
    assert all(options == {"greedy": True} for _, _, options in asked)


@pytest.mark.parametrize("split", ["train", "test"])
def test_accuracy_is_judged_on_the_split_that_was_asked_for(split):
    engine, asked = recorder()
    options = dict(greedy=False, uniform=True)
    accuracy(None, levels("expr3"), 5, seeded(), split, engine, **options)
    assert asked == [([0] * 5, split, options)]


def test_judging_in_training_never_sees_the_exams_split():
    """Judgements and practice ask for "train"; exams for "test"."""
    engine, asked = recorder()
    run = Run(TrainingConfig(), engine)
    told = run.judge()
    assert list(told) == list(MILESTONES)
    assert {split for _, split, *_ in asked} == {"train"}
    assert run.history == [(0, list(told.values()))]
    asked.clear()
    exam(None, ("expr3", "plain5"), 5, engine=engine)
    assert {split for _, split, *_ in asked} == {"test"} and len(asked) == 2


def test_plain_judging_draws_no_held_out_structure(monkeypatch):
    drawn, true = [], curriculum.draw

    def spy(level, rng, split="train"):
        drawn.append((split, true(level, rng, split)))
        return drawn[-1][1]
    monkeypatch.setattr(curriculum, "draw", spy)
    accuracy(small(), levels("expr3", "mixed4"), 10, seeded())
    assert [split for split, _ in drawn] == ["train"] * 20
    assert not any(held_out(p.kinds) for _, p in drawn)


def test_accuracy_of_a_wise_and_of_a_foolish_agent():
    """A random policy is right rarely; on problems of one number, answering is all."""
    agent = small()
    with torch.no_grad():
        agent.pointer.heads[0].fixed.bias[7] = 99.0
    shares = accuracy(agent, levels("mixed1", "expr2"), 20, seeded())
    assert shares[0] > 0.2 and shares[1] < 0.3


def test_the_ladder_is_all_that_is_practised():
    assert LADDER == tuple(LEVELS) and set(MILESTONES) <= set(LADDER)
