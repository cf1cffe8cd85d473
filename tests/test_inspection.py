"""Rules, contests, edits, probes and lesions: each does what chapter 8 says of it."""

import random
from dataclasses import replace

import pytest
import torch
from chapter import defined

from mna.evaluation import seeing
from mna.inspection import Contest, contests, part
from mna.language import MNAError, held_out, parse, slots_left_to_right, slots_needed
from mna.network import sheet_text
from mna.problems import draw
from mna.training import make_agent

CHAPTER = defined("08_inside", "imports-own", "first", "need", "held", "wilson", "starts", "edits", "layers", "probe")
FLAT = parse("(1*2+3*4)-(5+6*7-8)")


@pytest.fixture(scope="module")
def agent():
    return make_agent(seed=0)


def test_needs_and_rules_count_slots_as_the_language_does():
    rng = random.Random(0)
    for level in ("plain10", "parens8", "signs7", "algebra9"):
        for _ in range(50):
            problem = draw(level, rng, "test")
            root = problem.tree if problem.tree[0] != "=" else ("-", *problem.tree[1:])
            best = CHAPTER.held(root, CHAPTER.RULES["heavier first"])
            assert best == CHAPTER.need(root) and max(0, best - 1) == slots_needed(problem)
            left = CHAPTER.held(root, CHAPTER.RULES["left first"])
            assert max(0, left - 1) == slots_left_to_right(problem)
            assert all(CHAPTER.held(root, rule) >= best for rule in CHAPTER.RULES.values())


def test_a_number_alone_needs_nothing():
    assert CHAPTER.need(0) == 0 and CHAPTER.numbers(0) == 1 and CHAPTER.held(0, CHAPTER.RULES["left first"]) == 0


@pytest.mark.parametrize("s, n", [(0, 1), (1, 2), (1, 7), (2, 4), (2, 9), (3, 8), (3, 12)])
def test_a_part_has_its_need_and_its_length(s, n):
    rng = random.Random(s * 100 + n)
    for _ in range(20):
        tree = part(s, n, rng)
        assert (CHAPTER.need(tree), CHAPTER.numbers(tree)) == (s, n)


@pytest.mark.parametrize("s, n", [(0, 2), (1, 1), (2, 3), (3, 7)])
def test_a_part_that_does_not_exist_is_refused(s, n):
    with pytest.raises(MNAError, match=f"no tree of {n} numbers needs {s}"):
        part(s, n, random.Random(0))


def test_contests_are_what_was_asked_for():
    found = contests((2, 1), (4, 6), 60, random.Random(1))
    assert len({one.problem.kinds for one in found}) == 60
    assert {one.heavier for one in found} == {0, 1}
    for one in found:
        sides = one.problem.tree[1:]
        assert held_out(one.problem.kinds) and CHAPTER.numbers(sides[0]) == one.left
        assert CHAPTER.need(sides[one.heavier]) == 2 and CHAPTER.need(sides[1 - one.heavier]) == 1
        assert CHAPTER.numbers(sides[one.heavier]) == 4 and CHAPTER.numbers(sides[1 - one.heavier]) == 6


def test_more_contests_than_there_are_is_refused():
    with pytest.raises(MNAError, match=r"only \d+ structures were found: .* than 40"):
        contests((1, 0), (2, 1), 40, random.Random(0))


def test_edits_of_the_worksheet_do_to_needs_what_they_should(agent):
    contest = Contest(FLAT, 4, 0)
    for edit, needs in ((CHAPTER.exchange_operators, [1, 2]), (CHAPTER.turn_operators, [2, 1])):
        state = agent.desk.start(FLAT, 1)
        edit(state, contest)
        assert [CHAPTER.need(side) for side in parse(sheet_text(state)).tree[1:]] == needs
        edit(state, contest)
        assert sheet_text(state) == FLAT.text


def test_where_it_starts_is_read_from_the_policy(agent):
    states = [agent.desk.start(parse(text), 1) for text in ("1+2", "1+2-3*4")]
    p = CHAPTER.first_choice(agent, states)
    assert p.shape == (2, 4) and torch.allclose(p.sum(1), torch.ones(2))
    assert p[0, 2:].tolist() == [0, 0]
    asked = contests((2, 1), (4, 4), 8, random.Random(2))
    sides = CHAPTER.starts(agent, asked, 1)
    for contest, side in zip(asked, sides.tolist(), strict=True):
        alone = CHAPTER.first_choice(agent, [agent.desk.start(contest.problem, 1)])[0]
        assert side == int(alone.argmax() >= contest.left)


def test_the_last_layer_is_what_the_encoder_says(agent):
    kinds = torch.tensor([FLAT.kinds, FLAT.kinds[:3] + (0,) * (len(FLAT.kinds) - 3)])
    seen = CHAPTER.layers(agent.encoder, kinds)
    assert len(seen) == len(agent.config.layers) + 1
    assert torch.equal(seen[-1], agent.encoder(kinds))
    assert torch.equal(seen[0], agent.encoder.token(kinds))


def test_a_probe_reads_what_is_there_and_nothing_else():
    rng = torch.Generator().manual_seed(0)
    x, noise = torch.randn(400, 20, generator=rng), torch.randint(2, (400,), generator=rng)
    assert CHAPTER.probe(x, (x[:, 3] > 0).long()).double().mean() > 0.9
    assert 0.4 < CHAPTER.probe(x, noise).double().mean() < 0.6


def test_a_probe_is_judged_on_rows_that_it_was_not_fitted_on():
    x, y = torch.eye(50), torch.randint(2, (50,), generator=torch.Generator().manual_seed(1))
    assert CHAPTER.probe(x, y).double().mean() < 0.7  # each row has a column of its own


def test_an_interval_of_a_share():
    low, high = CHAPTER.wilson(90, 100)
    assert round(low, 3) == 0.826 and round(high, 3) == 0.945
    assert CHAPTER.wilson(0, 20)[0] == pytest.approx(0) and CHAPTER.wilson(20, 20)[1] == pytest.approx(1)
    assert CHAPTER.told([True] * 9 + [False]) == " 90% [60, 98] of 10"


def test_a_lesion_changes_what_is_seen_and_not_what_is_legal(agent):
    lesion = seeing(agent, lambda view: replace(view, stage=2)).desk
    state = lesion.start(FLAT, 1)
    seen, true = lesion.view(state), agent.desk.view(state)
    assert seen.stage == 2 and seen == replace(true, stage=2) and state.stage == 0
