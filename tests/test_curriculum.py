"""Accuracy, the shares of practice, and forgetting, each against a second and simpler way to work it out."""

import json
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mna import curriculum as c
from mna.environments import PAD, MNAError, Problems, generate
from mna.memory import make_agent
from mna.ppo import floors, play

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


# ---- problems that were failed


def practice(**config):
    return c.Practice(LADDER, c.CurriculumConfig(**config))


def same_problems(one, other):
    return all(torch.equal(part, getattr(other, name)) for name, part in vars(one).items())


def failing(practice, n, which, seed=0):
    """An iteration of n problems of which these, (n,) yes or no, are failed; returns the problems."""
    problems = practice.problems(n, rng(seed))
    practice.learned(problems, ~which)
    return problems


def test_without_failed_problems_all_are_fresh():
    mine = practice()
    problems = mine.problems(50, rng(1))
    chance = rng(1)
    assert same_problems(problems, generate(mine.draw(50, chance), LADDER, chance, trim=False))
    assert len(problems) == mine.fresh == 50
    mine.learned(problems, torch.ones(50, dtype=torch.bool))  # and all are solved
    assert len(mine.failed) == 0
    again = mine.problems(50, rng(2))
    assert len(again) == mine.fresh == 50 and not set(again.texts()) >= set(problems.texts())


def test_problems_keep_their_padding_so_that_they_can_be_joined():
    mine = c.Practice(("add", "chain"))
    for seed in range(5):
        problems = failing(mine, 10, torch.arange(10) < 6, seed)
        full = generate(torch.tensor([0, 1]), ("add", "chain"), rng(), trim=False)
        assert problems.kinds.shape[1:] == full.kinds.shape[1:] and problems.values.shape[1:] == full.values.shape[1:]
        assert problems.trimmed().kinds.shape[1] == (problems.kinds != PAD).sum(1).max()


@quick
@given(st.integers(1, 60), st.integers(0, 60), st.sampled_from([0.0, 0.1, 0.3, 0.9]), st.integers(0, 99))
def test_failed_problems_come_back_last_and_solved_ones_do_not(n, n_failed, retry, seed):
    mine = practice(retry=retry)
    which = torch.zeros(60, dtype=torch.bool)
    which[torch.randperm(60, generator=rng(seed))[:n_failed]] = True
    problems = failing(mine, 60, which, seed)
    failed, shown = problems.select(which), problems.texts()
    assert same_problems(mine.failed, failed)
    again = min(int(retry * n), n_failed)
    following = mine.problems(n, rng(seed + 1))
    assert len(following) == n and mine.fresh == n - again
    assert mine.failed is not None and same_problems(mine.failed, failed)  # until the outcome is known

    tried = following.select(torch.arange(mine.fresh, n))
    places = [row(problems, i) for i in which.nonzero()[:, 0].tolist()]
    back = [row(tried, i) for i in range(again)]
    assert all(back.count(one) <= places.count(one) for one in back), "each once, with its level and sub-tasks"
    fresh = generate(mine.draw(mine.fresh, chance := rng(seed + 1)), LADDER, chance, trim=False)
    assert same_problems(following.select(torch.arange(mine.fresh)), fresh)
    solved_only = {text for text, bad in zip(shown, which.tolist(), strict=True) if not bad} - set(failed.texts())
    assert not solved_only & set(tried.texts())


def row(problems, i):
    return [part[i].tolist() for part in vars(problems).values()]


def test_a_problem_comes_back_until_it_is_solved():
    mine = practice(retry=0.5)
    hard = failing(mine, 20, torch.arange(20) == 3).texts()[3]
    for attempt in range(3):
        problems = mine.problems(20, rng(attempt + 1))
        assert mine.fresh == 19 and problems.texts()[19] == hard
        solved = torch.arange(20) < (19 if attempt < 2 else 20)  # all of the others, and it in the last attempt
        mine.learned(problems, solved)
    assert len(mine.failed) == 0 and mine.problems(20, rng(9)) is not None and mine.fresh == 20


def test_which_failed_problems_are_tried_again_is_left_to_chance():
    mine = practice(retry=0.2)
    failing(mine, 60, torch.ones(60, dtype=torch.bool))
    tried = {tuple(mine.problems(60, rng(seed)).texts()[48:]) for seed in range(5)}
    assert len(tried) == 5
    assert mine.problems(60, rng(1)).texts() == mine.problems(60, rng(1)).texts()


def test_all_of_practice_may_go_to_failed_problems():
    mine = practice(retry=1.0)
    first = failing(mine, 10, torch.arange(10) < 10)
    again = mine.problems(10, rng(1))
    assert mine.fresh == 0 and sorted(again.texts()) == sorted(first.texts())
    mine.learned(again, torch.ones(10, dtype=torch.bool))
    assert len(mine.problems(10, rng(2))) == mine.fresh == 10


def test_problems_tried_again_get_a_larger_floor():
    mine = practice(retry=0.5, boost=2.5)
    failing(mine, 40, torch.arange(40) % 2 == 0)
    problems = mine.problems(40, rng(1))
    assert mine.fresh == 20
    for floor in (0.0, 0.02, 0.1, 0.35, 1.0):
        plain, share = floors(problems, floor), mine.floors(problems, floor)
        assert share.shape == (40, 1) and torch.equal(share[:20], plain[:20])
        assert torch.equal(share[20:], (2.5 * plain[20:]).clamp(max=1))
        assert (share <= 1).all() and ((share[20:] > plain[20:]).all() or floor in (0, 1))
    assert (mine.floors(problems, 0.35) == 1).any()  # the limit is reached
    with pytest.raises(MNAError, match="floor = 1.5"):
        mine.floors(problems, 1.5)


def test_fresh_problems_alone_have_the_plain_floor():
    mine = practice()
    problems = mine.problems(30, rng())
    assert torch.equal(mine.floors(problems, 0.1), floors(problems, 0.1))


@quick
@given(st.lists(st.booleans(), min_size=40, max_size=40), st.integers(0, 99))
def test_success_is_counted_on_fresh_problems_alone(solved, seed):
    mine, book = practice(retry=0.5), c.Curriculum(LADDER)
    first = failing(mine, 40, torch.arange(40) < 30, seed)
    book.practised(first.level, torch.arange(40) >= 30)
    assert torch.equal(mine.success, book.success)
    problems, solved = mine.problems(40, rng(seed + 1)), torch.tensor(solved)
    assert mine.fresh == 20
    mine.learned(problems, solved)
    book.practised(problems.level[:20], solved[:20])
    assert torch.equal(mine.success, book.success)
    assert same_problems(mine.failed, problems.select(~solved))  # those that failed again among them


def same_future(one, other):
    """Do both go on alike, whatever happens?"""
    for seed in range(3):
        a, b = one.problems(30, rng(seed)), other.problems(30, rng(seed))
        assert same_problems(a, b) and one.fresh == other.fresh
        assert torch.equal(one.floors(a, 0.1), other.floors(b, 0.1))
        for mine, problems in ((one, a), (other, b)):
            mine.learned(problems, torch.arange(30) % (seed + 2) == 0)
    assert one.state_dict() == other.state_dict()


@pytest.mark.parametrize("n_failed", [None, 0, 1, 25])
def test_failed_problems_go_through_json(n_failed):
    mine, other = practice(), practice()
    if n_failed is not None:
        failing(mine, 40, torch.arange(40) < n_failed)
        failing(other, 40, torch.arange(40) < 7, seed=5)  # what it held is replaced
    judge(mine, 100, [1.0, 0.5, 0.0, 0.0])
    state = json.loads(json.dumps(mine.state_dict()))
    assert set(state) == {*c.Curriculum(LADDER).state_dict(), "failed"}
    other.load_state_dict(state)
    assert torch.equal(other.success, mine.success) and other.first_mastered == mine.first_mastered
    if n_failed:
        assert isinstance(other.failed, Problems) and same_problems(mine.failed, other.failed)
        assert all(part.dtype == getattr(mine.failed, name).dtype for name, part in vars(other.failed).items())
    assert bool(other.failed) == bool(n_failed)
    same_future(mine, other)


def test_problems_tried_again_can_be_played_with_their_floors(agent):
    mine = practice(retry=0.5)
    for seed in range(3):
        problems = mine.problems(40, rng(seed))
        floor = mine.floors(problems, 0.1)
        rollout = play(agent, problems.trimmed(), rng(seed), floor)
        assert torch.equal(rollout.floor, floor)
        mine.learned(problems, rollout.right)
        assert len(mine.failed) == int((~rollout.right).sum()) > 20 and (seed == 0 or mine.fresh == 20)


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
        return SimpleNamespace(right=calls[-1].level == 1)

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


def test_held_out_problems_are_the_same_on_every_ladder(agent):
    alone = c.evaluate(agent, ("one_op",), problems=40, seed=3)["one_op"]
    assert alone == c.evaluate(agent, ("add", "one_op"), problems=40, seed=3)["one_op"]
    assert alone["accuracy"] == c.held_out(agent, "one_op", 40, 3)


def test_chance_hardly_ever_solves_the_hardest_problem(agent):
    assert 0 <= c.evaluate(agent, ("seed_hard",), problems=1000)["seed_hard"]["random"] <= 0.02
