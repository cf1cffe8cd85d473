"""Accuracy, the shares of practice, and forgetting, each against a second and simpler way to work it out."""

import json
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mna import curriculum as c
from mna.environments import MNAError
from mna.memory import make_agent

LADDER = ("add", "one_op", "mul_add", "chain")
SHARES = st.floats(0, 1, width=32)
quick = settings(deadline=None, max_examples=60, derandomize=True)


@pytest.fixture(scope="module")
def agent():
    return make_agent(seed=0)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def made(success=None, mastered=0, ladder=LADDER, **config):
    """A curriculum with these success rates in practice and the first so many levels mastered."""
    curriculum = c.Curriculum(ladder, c.CurriculumConfig(**config))
    if success is not None:
        curriculum.success = torch.tensor(success)
    judge(curriculum, 1000, [float(i < mastered) for i in range(len(ladder))])
    return curriculum


def judge(curriculum, decisions, shares):
    curriculum.judged(decisions, torch.tensor(shares, dtype=torch.double))


# ---- weights


@quick
@given(st.lists(SHARES, min_size=4, max_size=4), st.integers(0, 4), st.floats(0.01, 2), st.floats(0.01, 1))
def test_weights_are_a_distribution_that_drops_no_level(success, mastered, review, preview):
    weights = made(success, mastered, review=review, preview=preview).weights()
    assert weights.shape == (4,) and float(weights.sum()) == pytest.approx(1, abs=1e-5)
    assert (weights > 0).all()


def test_weights_are_those_of_the_formula():
    weights = made([0.9, 0.5, 0.1, 0.0], mastered=1, review=0.2, preview=0.5).weights()
    expected = torch.tensor([0.3, 0.7, 1.1 * 0.5, 1.2 * 0.5])
    torch.testing.assert_close(weights, expected / expected.sum())


def test_rarer_success_gets_more_and_the_always_right_keep_the_review_share():
    weights = made([1.0, 0.7, 0.4, 0.0], preview=1.0, review=0.2).weights()
    assert (weights.diff() > 0).all()
    assert float(weights[0] / weights[3]) == pytest.approx(0.2 / 1.2)


@pytest.mark.parametrize("mastered", range(5))
def test_the_strict_ladder_gives_nothing_to_a_level_that_has_not_joined(mastered):
    curriculum = made([0.3] * 4, mastered, preview=0.0)
    assert [w > 0 for w in curriculum.weights().tolist()] == curriculum.joined()
    assert curriculum.joined() == [i <= mastered for i in range(4)]


def test_with_full_preview_joining_makes_no_difference():
    before, after = (made([0.9, 0.5, 0.1, 0.0], mastered, preview=1.0).weights() for mastered in (0, 4))
    torch.testing.assert_close(before, after)


def test_draws_follow_the_weights_and_the_seed():
    curriculum = made([0.9, 0.5, 0.1, 0.0], mastered=1, preview=0.3)
    drawn = curriculum.draw(20_000, rng())
    torch.testing.assert_close(drawn.bincount(minlength=4) / 20_000, curriculum.weights(), atol=0.015, rtol=0)
    assert torch.equal(drawn, curriculum.draw(20_000, rng()))
    strict = made(mastered=1, preview=0.0).draw(1000, rng())
    assert set(strict.tolist()) == {0, 1}


# ---- joining, mastery, promotion


def test_levels_join_in_the_order_of_the_ladder():
    curriculum = c.Curriculum(LADDER)
    assert curriculum.joined() == [True, False, False, False]
    judge(curriculum, 100, [0.5, 0.5, 1.0, 0.5])  # a harder one first: none joins behind a gap
    assert curriculum.joined() == [True, False, False, False]
    judge(curriculum, 200, [1.0, 0.5, 0.5, 0.5])
    assert curriculum.joined() == [True, True, False, False]
    judge(curriculum, 300, [1.0, 1.0, 0.5, 0.5])  # closes the gap: `mul_add` was mastered before
    assert curriculum.joined() == [True, True, True, True]
    assert curriculum.first_mastered == {"mul_add": 100, "add": 200, "one_op": 300}


def test_practice_alone_never_promotes():
    curriculum = c.Curriculum(LADDER, c.CurriculumConfig(preview=0.0))
    for _ in range(200):
        curriculum.practised(torch.zeros(32, dtype=torch.long), torch.ones(32, dtype=torch.bool))
    assert curriculum.success[0] == pytest.approx(1)
    assert curriculum.first_mastered == {} and curriculum.history == []
    assert curriculum.weights().tolist() == [1, 0, 0, 0]
    judge(curriculum, 7, [1.0, 0, 0, 0])
    assert curriculum.joined() == [True, True, False, False]


def test_mastery_begins_at_its_threshold():
    curriculum = c.Curriculum(LADDER, c.CurriculumConfig(mastery=0.75))
    judge(curriculum, 1, [0.75, 0.7499, 0.0, 1.0])
    assert curriculum.first_mastered == {"add": 1, "chain": 1}


def test_first_mastered_is_sticky():
    curriculum = c.Curriculum(LADDER)
    for decisions, share in ((100, 1.0), (200, 0.2), (300, 1.0)):
        judge(curriculum, decisions, [share, 0, 0, 0])
    assert curriculum.first_mastered == {"add": 100}
    assert curriculum.joined()[1]
    assert [decisions for decisions, _ in curriculum.history] == [100, 200, 300]


@quick
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12), max_size=8),
       st.sampled_from([0.0, 0.5, 0.9]))
def test_smoothing_agrees_with_a_slow_loop(iterations, smoothing):
    curriculum, slow = c.Curriculum(LADDER, c.CurriculumConfig(smoothing=smoothing)), [0.0] * 4
    for plays in iterations:
        level, correct = (torch.tensor(column) for column in zip(*plays, strict=True))
        curriculum.practised(level, correct)
        for i in range(4):
            right = [good for which, good in plays if which == i]
            if right:
                slow[i] = smoothing * slow[i] + (1 - smoothing) * sum(right) / len(right)
    assert curriculum.success.tolist() == pytest.approx(slow, abs=1e-5)


def test_state_goes_through_json():
    curriculum = made([0.9, 0.5, 0.1, 0.0], mastered=2)
    curriculum.practised(torch.tensor([0, 1, 1, 3]), torch.tensor([True, False, True, False]))
    judge(curriculum, 2000, [0.4, 1 / 3, 0.0, 0.99])
    other = c.Curriculum(LADDER)
    other.load_state_dict(json.loads(json.dumps(curriculum.state_dict())))
    assert torch.equal(other.success, curriculum.success)
    assert other.history == curriculum.history and other.first_mastered == curriculum.first_mastered
    assert torch.equal(other.weights(), curriculum.weights())
    assert torch.equal(other.draw(50, rng()), curriculum.draw(50, rng()))
    judge(other, 3000, [1.0] * 4)
    assert "chain" in other.first_mastered and len(curriculum.history) == 2  # nothing is shared


def test_an_unknown_level_is_refused():
    with pytest.raises(MNAError, match="'tree99'.*levels:"):
        c.Curriculum(("add", "tree99"))


# ---- forgetting


HISTORY = [(100, [0.2, 0.0]), (200, [1.0, 0.1]), (300, [0.6, 0.5]), (400, [0.9, 0.7])]


def test_forgetting_by_hand():
    lost = c.forgetting(HISTORY, LADDER[:2], {"add": 200})
    assert list(lost) == ["add"]
    assert lost["add"] == pytest.approx(dict(forgetting=0.1, worst_dip=0.4))


@pytest.mark.parametrize("curve, forgotten, dip", [
    ([1.0], 0, 0),
    ([1.0, 1.0, 1.0], 0, 0),
    ([0.99, 1.0], -0.01, 0),  # it went on improving
    ([1.0, 0.0, 1.0], 0, 1),  # lost and won back
    ([1.0, 0.8, 0.3], 0.7, 0.7),
])  # fmt: skip
def test_forgetting_of_a_curve(curve, forgotten, dip):
    history = [(i, [share]) for i, share in enumerate(curve)]
    lost = c.forgetting(history, ("add",), {"add": 0})["add"]
    assert lost == pytest.approx(dict(forgetting=forgotten, worst_dip=dip))


def test_nothing_is_forgotten_that_was_never_mastered():
    assert c.forgetting(HISTORY, LADDER[:2], {}) == {} == c.forgetting([], LADDER, {})


@quick
@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=8), st.floats(0.1, 1))
def test_forgetting_agrees_with_the_definition(rows, mastery):
    curriculum = c.Curriculum(LADDER[:3], c.CurriculumConfig(mastery=mastery))
    for t, row in enumerate(rows):
        judge(curriculum, 10 * t, row)
    lost = c.forgetting(curriculum.history, LADDER[:3], curriculum.first_mastered)
    for i, level in enumerate(LADDER[:3]):
        above = [t for t in range(len(rows)) if rows[t][i] >= mastery]
        assert (level in lost) == bool(above)
        if above:
            worst = 0.0
            for t in range(above[0], len(rows)):
                worst = max(worst, rows[above[0]][i] - rows[t][i])
            assert lost[level]["forgetting"] == rows[above[0]][i] - rows[-1][i]
            assert lost[level]["worst_dip"] == worst >= lost[level]["forgetting"]


# ---- accuracy


@pytest.mark.parametrize("right, n, low, high", [
    (0, 10, 0, 0.27753), (10, 10, 0.72247, 1),
    # Newcombe (1998), table I, method 3
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718),
])  # fmt: skip
def test_wilson_interval_against_published_values(right, n, low, high):
    assert c.wilson_interval(right / n, n) == pytest.approx((low, high), abs=6e-5)


@quick
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_is_where_the_share_becomes_implausible(trial):
    right, n = trial
    share = right / n
    low, high = c.wilson_interval(share, n)
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1 and low < high
    for end in (low, high):  # |share - p| = z sqrt(p (1 - p) / n)
        assert (share - end) ** 2 == pytest.approx(1.96**2 * end * (1 - end) / n, abs=1e-9)


@pytest.fixture
def spied(monkeypatch):
    """Calls of `generate` and `play` while play is replaced: it is right on level 1 alone."""
    calls, generate = [], c.generate

    def fake_generate(level, ladder, rng, split):
        calls.append(SimpleNamespace(level=level, split=split))
        return generate(level[:1], ladder, rng, split)

    def fake_play(agent, problems, rng, **options):
        calls[-1].options = options
        return SimpleNamespace(correct=calls[-1].level == 1)

    monkeypatch.setattr(c, "generate", fake_generate)
    monkeypatch.setattr(c, "play", fake_play)
    return calls


def test_accuracy_is_greedy_and_on_held_out_problems(agent, spied):
    shares = c.accuracy(agent, LADDER, 5, rng())
    assert shares.tolist() == [0, 1, 0, 0] and shares.dtype == torch.double
    assert [(call.split, call.options) for call in spied] == [("test", {"greedy": True})]
    c.accuracy(agent, LADDER, 5, rng(), split="train", greedy=False, floor=0.1)
    assert (spied[-1].split, spied[-1].options) == ("train", {"greedy": False, "floor": 0.1})


def test_accuracy_plays_parts_of_4096(agent, spied):
    shares = c.accuracy(agent, LADDER, 2500, rng())
    assert [len(call.level) for call in spied] == [4096, 4096, 1808]
    assert shares.tolist() == [0, 1, 0, 0]


def test_accuracy_plays_for_real(agent):
    shares = c.accuracy(agent, LADDER[:2], 8, rng())
    assert shares.shape == (2,) and (0 <= shares).all() and (shares <= 1).all()
    assert torch.equal(shares * 8, (shares * 8).round())
    assert torch.equal(shares, c.accuracy(agent, LADDER[:2], 8, rng()))


@pytest.mark.parametrize("problems", [0, -3])
def test_accuracy_of_no_problems_is_refused(agent, problems):
    with pytest.raises(MNAError, match=f"{problems} problems .* at least 1"):
        c.accuracy(agent, LADDER, problems, rng())


def test_accuracy_on_an_unknown_level_is_refused(agent):
    with pytest.raises(MNAError, match="'tree99' is not on the ladder; levels: add"):
        c.accuracy(agent, ("add", "tree99"), 4, rng())


def test_evaluate_repeats_for_a_seed(agent):
    ladder = ("add", "one_op")
    found = c.evaluate(agent, ladder, problems=40, seed=3)
    assert found == c.evaluate(agent, ladder, problems=40, seed=3)
    assert any(found != c.evaluate(agent, ladder, problems=40, seed=seed) for seed in (4, 5, 6))
    assert tuple(found) == ladder
    for level in found.values():
        assert set(level) == {"accuracy", "low", "high", "problems", "random"} and level["problems"] == 40
        assert (level["low"], level["high"]) == c.wilson_interval(level["accuracy"], 40)
        assert 0 <= level["random"] <= 1 and level["low"] <= level["accuracy"] <= level["high"]
    assert 0 < found["add"]["random"] < 1


def test_chance_hardly_ever_solves_the_hardest_problem(agent):
    assert 0 <= c.evaluate(agent, ("seed_hard",), problems=1000)["seed_hard"]["random"] <= 0.02
