"""What is read out of the network, and what changes when one thing in it is changed."""

from xml.etree import ElementTree

import pytest
import torch

from mna.environments import FULL_LADDER, LEVELS, TOOLS, MNAError, Problems, generate, parse
from mna.inspection import (
    balanced,
    departure,
    due,
    exchange_slots,
    exchange_values,
    fit,
    flip_sign,
    graft,
    joins,
    last_choice,
    one_of_each,
    operands_exchanged,
    plan,
    probe,
    recalled_by,
    replay_html,
    second_store,
    trace,
    turned,
    wipe,
)
from mna.memory import make_agent
from mna.network import FIRST_SLOT
from mna.ppo import play
from mna.training import HERE, load_agent, read_json

LADDER = tuple(read_json(HERE / "checkpoints" / "full" / "record.json")["levels"])


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


def test_a_number_is_due_in_the_call_that_names_it_first():
    calls = torch.tensor([[[0, 4, 5]], [[1, 6, 4]], [[-1, -1, -1]]]) + torch.tensor([0, FIRST_SLOT - 2, FIRST_SLOT - 2])
    assert due(calls, slots=2, numbers=4).tolist() == [[0, 0, 1, -1]]
    assert due(calls[2:], slots=2, numbers=4).tolist() == [[-1] * 4]


def test_a_solved_problem_uses_each_number_in_one_of_its_calls():
    agent, some = load_agent(), problems(300)
    seen = trace(agent, some)
    some = some.select(seen.right)
    when = due(plan(trace(agent, some), 10), agent.memory.slots, some.values.shape[1])
    there = torch.arange(some.values.shape[1]) < some.n_numbers[:, None]
    assert ((when >= 0) == there).all()


def test_one_of_each_keeps_every_structure_once():
    some = problems(500, FULL_LADDER)
    kept = one_of_each(some)
    rows = [tuple(row) for row in kept.kinds.tolist()]
    assert len(set(rows)) == len(rows) and set(rows) == {tuple(row) for row in some.kinds.tolist()}
    assert set(kept.texts()) <= set(some.texts())


def test_a_probe_finds_what_is_there_and_nothing_else():
    rng = torch.Generator().manual_seed(0)
    x, fold = torch.randn(600, 8, generator=rng), torch.arange(600) % 5
    assert probe(x, x[:, :3].argmax(1), fold) > 0.8
    assert probe(x, torch.randint(3, (600,), generator=rng), fold) < 0.45
    with pytest.raises(MNAError, match="2 part"):
        probe(x, torch.zeros(600, dtype=torch.long), fold % 2)


def test_a_probe_is_judged_on_rows_that_it_was_not_fitted_on():
    """More columns than rows can learn any label by heart; on other rows that is worth nothing."""
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(100, 300, generator=rng), torch.randint(2, (100,), generator=rng)
    assert ((x.double() @ fit(x.double(), y, 1e-6)).argmax(1) == y).all()
    assert probe(x, y, torch.arange(100) % 5) < 0.65


def test_rare_classes_count_as_much_as_frequent_ones():
    rng = torch.Generator().manual_seed(0)
    rare = (torch.arange(1000) % 20 == 0).long()
    fold, x = torch.randint(5, (1000,), generator=rng), torch.randn(1000, 3, generator=rng)
    assert probe(x, rare, fold) < 0.65
    x[:, 0] += 4 * rare
    assert probe(x, rare, fold) > 0.9
    assert balanced(torch.tensor([True, True, True, False]), torch.tensor([0, 0, 0, 2])) == 0.5


@pytest.fixture(scope="module")
def solved():
    agent, some = load_agent(), problems(300, ("two_products", "seed_hard"))
    some = some.select(trace(agent, some).right)
    assert len(some) > 250
    return agent, some, trace(agent, some)


def test_an_intervention_that_does_nothing_changes_nothing(solved):
    agent, some, seen = solved
    again = trace(agent, some, change=lambda state: None, tell=lambda state: state.stage)
    assert torch.equal(again.choice, seen.choice) and torch.allclose(again.h, seen.h, atol=1e-5)


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
    T = page.count('type="radio"')
    assert T == page.count('class="mna-frame') > 0 and page.count(' checked="checked"') == 1
    assert "http" not in page and "<script" not in page
    ids = [part.split()[0] for part in page.split(" id=")[1:]]
    assert len(set(ids)) == T
    ElementTree.fromstring(f"<div>{page}</div>")  # an EPUB is XML


def test_a_replay_names_what_it_cannot_read():
    with pytest.raises(MNAError, match="unknown character"):
        replay_html(load_agent(), "4?9")


def test_a_graft_of_all_that_was_read_makes_it_the_donors_problem():
    agent, here, there = load_agent(), Problems.from_text("(5+2)*3"), Problems.from_text("(5-2)*3")
    own, donor = agent.start(here), agent.start(there)
    assert torch.equal(trace(agent, here, change=graft("keys", own)).p, trace(agent, here).p)
    both = trace(agent, here, change=lambda state: [graft(part, donor)(state) for part in ("h", "keys")])
    assert torch.equal(both.p, trace(agent, there).p) and both.answer.tolist() == [[9, 1]]


def test_foreign_keys_make_the_agent_solve_a_foreign_problem_and_a_foreign_draft_does_not():
    agent, here = load_agent(), Problems.from_text(["(5+2)*3", "7-2*3"])
    donor = agent.start(Problems.from_text(["(5-2)*3", "7*2-3"]))
    assert trace(agent, here, change=graft("h", donor)).answer[:, 0].tolist() == [21, 1]
    assert trace(agent, here, change=graft("keys", donor)).answer[:, 0].tolist() == [9, 11]


@pytest.fixture(scope="module")
def crowded():
    """Solved problems on which two slots are full at once, and their trace."""
    agent = load_agent()
    large = sorted((name for name in LADDER if LEVELS[name].needs_memory), key=lambda name: LEVELS[name].numbers)[-2:]
    some, yes = problems(800, tuple(large)), torch.zeros(800, dtype=torch.bool)
    right = trace(agent, some, change=lambda state: yes.logical_or_(second_store(state))).right
    some = some.select(right & yes)
    assert len(some) > 10
    return agent, some, trace(agent, some)


def test_slots_exchanged_whole_change_nothing_and_by_half_the_answer(crowded):
    agent, some, seen = crowded
    other = trace(agent, some, change=exchange_slots("values"), choices=seen.choice).answer
    differ = (other != seen.answer).any(1)
    assert differ.any()
    for parts, answer in ((("values",), other), (("keys",), other), (("keys", "values"), seen.answer)):
        changed = trace(agent, some, change=exchange_slots(*parts)).answer
        assert (changed == answer).all(1)[differ].float().mean() > 0.9


def test_an_exchange_of_slots_leaves_a_single_slot_alone(solved):
    agent, some, seen = solved
    assert torch.allclose(trace(agent, some, change=exchange_slots("keys", "values")).p, seen.p, atol=1e-5)


def test_what_was_stored_is_recalled_by_the_call_that_names_its_slot(solved):
    _, some, seen = solved
    by = recalled_by(seen)
    assert ((by >= 0).sum(0) == 1).all() and (seen.stage[by >= 0] == 4).all()
    last = {"two_products": "MUL", "seed_hard": "SUB"}
    for i, name in enumerate(last):
        assert {TOOLS[k].name for k in by.amax(0)[some.level == i].tolist()} == {last[name]}


@pytest.mark.parametrize("text, n", [("4*2+7", 0), ("(4*2+7)-(6*3)", 1), ("1-(2-3*(4+5))", 0), ("|4*9-7*8|", 1),
                                     ("(1+2)*(3+4)-(5-6)*(7+8)", 3)])
def test_joins_take_two_results(text, n):
    assert joins(parse(text).tree) == n
