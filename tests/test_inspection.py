"""What is read out of the network, and what changes when one thing in it is changed."""

import json

import pytest
import torch

from mna.environments import FULL_LADDER, MNAError, Problems, generate
from mna.inspection import (
    departure,
    exchange_values,
    flip_sign,
    folds,
    last_choice,
    operands_exchanged,
    plan,
    probe,
    replay_html,
    trace,
    turned,
    wipe,
)
from mna.memory import make_agent
from mna.ppo import play
from mna.training import HERE, load_agent

LADDER = tuple(json.loads((HERE / "checkpoints/full/record.json").read_text())["levels"])


def problems(n=200, levels=LADDER):
    return generate(torch.arange(n) % len(levels), levels, torch.Generator().manual_seed(1), "test")


def test_a_trace_plays_as_the_evaluation_does():
    agent, some = load_agent(), problems()
    seen, played = trace(agent, some), play(load_agent(), some, greedy=True)
    T = len(seen.live)
    assert torch.equal(seen.right, played.right)
    assert torch.equal(seen.live, played.live[:T]) and not played.live[T:].any()
    assert torch.equal(seen.choice[seen.live], played.choice[:T][seen.live])
    assert torch.allclose(seen.p.sum(-1), torch.ones(T, len(some))) and (seen.p[~seen.legal] == 0).all()


def test_a_trace_follows_the_choices_it_is_given():
    agent, some = load_agent(), problems(60)
    seen = trace(agent, some)
    again = trace(make_agent(agent.config, seed=3), some, choices=seen.choice)
    assert torch.equal(again.answer, seen.answer) and torch.equal(again.right, seen.right)


def test_the_plan_names_the_calls_in_order():
    agent = load_agent()
    one = Problems.from_text("(4*2+7)-(6*3)")
    tools, lefts, rights = plan(trace(agent, one), 5)[:, 0].T.tolist()
    assert sorted(tools[:4]) == [0, 1, 2, 2] and tools[3] == 1 and tools[4] == lefts[4] == rights[4] == -1


def test_problems_that_look_alike_share_a_fold():
    some = problems(500, FULL_LADDER)
    fold = folds(some.kinds, 4, torch.Generator().manual_seed(0))
    by_kind = {}
    for kinds, part in zip(some.kinds.tolist(), fold.tolist(), strict=True):
        assert by_kind.setdefault(tuple(kinds), part) == part
    assert set(fold.tolist()) == {0, 1, 2, 3}


def test_a_probe_finds_what_is_there_and_nothing_else():
    rng = torch.Generator().manual_seed(0)
    x, fold = torch.randn(600, 8, generator=rng), torch.arange(600) % 5
    assert probe(x, x[:, :3].argmax(1), fold) > 0.8
    assert probe(x, torch.randint(3, (600,), generator=rng), fold) < 0.45
    with pytest.raises(MNAError, match="1 part"):
        probe(x, torch.zeros(600, dtype=torch.long), torch.zeros(600))


@pytest.fixture(scope="module")
def solved():
    agent, some = load_agent(), problems(300, ("two_products", "seed_hard"))
    some = some.select(trace(agent, some).right)
    assert len(some) > 250
    return agent, some, trace(agent, some)


def test_an_intervention_that_does_nothing_changes_nothing(solved):
    agent, some, seen = solved
    again = trace(agent, some, change=lambda state: None, tell=lambda state: state.stage)
    assert torch.equal(again.answer, seen.answer) and torch.equal(again.h, seen.h)


def test_exchanged_values_give_the_answer_of_exchanged_operands(solved):
    agent, some, seen = solved
    changed = trace(agent, some, change=exchange_values)
    assert (changed.answer == turned(seen)).all(1).float().mean() > 0.95
    assert (changed.answer != seen.answer).any(1).float().mean() > 0.3  # SUB is among the last calls


def test_without_its_memory_the_answer_is_never_right(solved):
    agent, some, _ = solved
    assert trace(agent, some, change=wipe).right.float().mean() < 0.05


def test_interventions_leave_levels_without_memory_alone():
    agent, some = load_agent(), problems(60, ("add", "mul_add"))
    seen = trace(agent, some)
    for change in (wipe, exchange_values):
        assert torch.equal(trace(agent, some, change=change).answer, seen.answer)


def test_the_moment_comes_once_in_an_episode(solved):
    agent, some, _ = solved
    times = torch.zeros(len(some), dtype=torch.long)

    def count(state):
        times.add_(last_choice(state))

    trace(agent, some, change=count)
    assert (times == 1).all()


def test_stage_and_sign_are_told_and_not_kept(solved):
    agent, some, seen = solved
    told = trace(agent, some, tell=operands_exchanged)
    assert set(told.stage[told.live].tolist()) <= {1, 2, 3, 4}
    assert not torch.equal(told.h[0], told.h[-1])
    assert trace(agent, some, change=flip_sign).answer.shape == seen.answer.shape


def test_every_failure_has_one_departure():
    agent, some = make_agent(seed=0), problems(400, FULL_LADDER)
    seen = trace(agent, some)
    found = departure(seen, some)
    assert torch.equal(torch.stack(list(found.values())).sum(0), (~seen.right).long())


@pytest.mark.parametrize("text", ["4+9", "(4*2+7)-(6*3)", "3*x+4=19", "|4*9-7*8|"])
def test_a_replay_has_a_button_for_each_frame_and_no_address(text):
    page = replay_html(load_agent(), text)
    T = page.count("type=radio")
    assert T == page.count('class="mna-frame') > 0 and page.count(" checked") == 1
    assert "http" not in page and "<script" not in page
    ids = [part.split()[0] for part in page.split(" id=")[1:]]
    assert len(set(ids)) == T


def test_a_replay_names_what_it_cannot_read():
    with pytest.raises(MNAError, match="unknown character"):
        replay_html(load_agent(), "4?9")
