"""The buffer: written at STORE alone, read at a recall alone, and a part that can be taken out."""

from fractions import Fraction

import pytest
import torch

from mna import environments as e
from mna import network as n
from mna.memory import GatedMemory, make_agent
from mna.ppo import play

SOLUTION = "ADD 3 4 STORE {slot} SUB 9 2 MUL {slot} result ANSWER"


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def mixed(count=240, seed=0):
    return e.generate(torch.arange(count) % len(e.FULL_LADDER), e.FULL_LADDER, rng(seed))


def bits(memory):
    return [part.clone() for part in vars(memory).values()]


def follow(agent, text, script, between=lambda t, state: None):
    """Play a script of candidates' names; `between` may tamper with the state after each decision."""
    problems = e.Problems.from_text(text)
    names = n.candidate_names(agent, problems)
    env, state, told = e.Environment.start(problems), agent.start(problems), []
    todo = [names.index(word.replace("_", " ")) for word in script.split()]
    for t, choice in enumerate(todo):
        mask = n.legal(state)
        agent.decide(state)
        feedback = env.step(*agent.act(state, torch.tensor([choice])))
        agent.observe(state, feedback)
        told.append((bool(mask[0, choice]), feedback))
        between(t, state)
    return told, state


# ---------------------------------------------------------------- writing


@torch.no_grad()
@pytest.mark.parametrize("slots", [1, 3])
def test_the_buffer_is_bit_for_bit_unchanged_outside_store(slots):
    agent, problems, draw = make_agent(n.NetworkConfig(slots=slots), seed=0), mixed(), rng()
    env, state, writes = e.Environment.start(problems, flaky=0.2), agent.start(problems), 0
    while not env.done.all():
        choice = torch.multinomial(n.legal(state).float(), 1, generator=draw)[:, 0]
        before, stage, h = bits(state.memory), state.stage, state.h
        agent.decide(state)
        result = state.result
        feedback = env.step(*agent.act(state, choice), draw)
        agent.observe(state, feedback)
        opened = (stage == n.Stage.STORE)[:, None] & (choice[:, None] - n.FIRST_SLOT == torch.arange(slots))
        for old, new in zip(before, bits(state.memory), strict=True):
            assert torch.equal(old[~opened], new[~opened])
        row = opened.nonzero()[:, 0]
        assert torch.equal(state.memory.values[opened], result[row]) and state.memory.filled[opened].all()
        assert not (h[row] == state.h[row]).all(1).any(), "the working state moves at STORE as it always does"
        writes += int(opened.sum())
    assert writes > 100


def test_a_write_leaves_the_old_buffer_as_it_was():
    torch.manual_seed(0)
    buffer = GatedMemory(8, 3)
    old = buffer.start(2, "cpu")
    before = bits(old)
    gate = torch.tensor([[True, False, False], [False, False, True]])
    new = buffer.write(old, gate, torch.randn(2, 8), torch.tensor([[7, 1], [-1, 3]]))
    assert all(torch.equal(a, b) for a, b in zip(before, bits(old), strict=True))
    assert new.values[0, 0].tolist() == [7, 1] and new.values[1, 2].tolist() == [-1, 3]
    assert torch.equal(new.filled, gate) and new.keys[gate].abs().sum() > 0 and (new.keys[~gate] == 0).all()


def test_a_filled_slot_is_not_overwritten_before_it_is_used():
    agent = make_agent(seed=0)
    _, state = follow(agent, "(3+4)*(9-2)", "ADD 3 4 STORE slot_1 SUB 9 2 STORE")
    names = n.candidate_names(agent, e.Problems.from_text("(3+4)*(9-2)"))
    assert [name for name, fine in zip(names, n.legal(state)[0], strict=True) if fine] == ["slot 0", "slot 2"]


def test_a_used_slot_is_free_again():
    text = "((3+4)*(9-2))*(5+6)"
    script = "ADD 3 4 STORE slot_0 SUB 9 2 MUL slot_0 result STORE slot_0 ADD 5 6 MUL slot_0 result ANSWER"
    told, _ = follow(make_agent(n.NetworkConfig(slots=1)), text, script)
    assert all(legal for legal, _ in told) and told[-1][1].correct


# ---------------------------------------------------------------- recall


@pytest.mark.parametrize("slot", ["slot_0", "slot_2"])
def test_store_compute_recall(slot):
    told, _ = follow(make_agent(seed=0), "(3+4)*(9-2)", SOLUTION.format(slot=slot))
    assert all(legal for legal, _ in told) and told[-1][1].correct


def test_a_recall_sends_the_value_in_the_buffer():
    """Two stored results; swap their values in the buffer, and the difference changes its sign."""
    text, script = "(8*3)-(4*2)", "MUL 8 3 STORE slot_0 MUL 4 2 STORE slot_1 SUB slot_0 slot_1"

    def swap(t, state):
        if t == 9:
            state.memory.values = state.memory.values[:, [1, 0, 2]]

    told, state = follow(make_agent(seed=0), text, script)
    assert n.fraction(state.result[0]) == Fraction(16)
    told, state = follow(make_agent(seed=0), text, script, between=swap)
    assert n.fraction(state.result[0]) == Fraction(-16)


def test_a_value_that_was_tampered_with_is_refused():
    def tamper(t, state):
        state.memory.values[state.memory.filled] = torch.tensor([5, 1])

    told, _ = follow(make_agent(seed=0), "(3+4)*(9-2)", SOLUTION.format(slot="slot_0")[:-7], between=tamper)
    assert told[-1][1].failed and not told[-1][1].present


def test_a_wiped_slot_can_not_be_recalled():
    agent = make_agent(seed=0)

    def wipe(t, state):
        state.memory = agent.memory.start(1, "cpu")

    told, _ = follow(agent, "(3+4)*(9-2)", SOLUTION.format(slot="slot_0"), between=wipe)
    legal = [fine for fine, _ in told]
    assert legal[:8] == [True] * 8 and not legal[8], "one value is left, as far as the agent knows: no MUL"
    assert not legal[9], "and no recall"
    assert told[10][1].failed and not any(feedback.correct for _, feedback in told)


def test_a_wiped_buffer_changes_nothing_where_none_is_needed():
    agent = make_agent(seed=0)

    def wipe(t, state):
        state.memory = agent.memory.start(1, "cpu")

    told, _ = follow(agent, "4*2+7", "MUL 4 2 ADD result 7 ANSWER", between=wipe)
    assert all(legal for legal, _ in told) and told[-1][1].correct


def test_without_slots_a_result_that_waits_is_lost():
    told, _ = follow(n.Agent(), "(3+4)*(9-2)", "ADD 3 4 SUB 9 2")
    assert told[-1][0] and told[-1][1].done and not told[-1][1].correct
    assert told[-1][1].failed and not told[-1][1].present and told[-1][1].reward == 0
    told, _ = follow(n.Agent(), "(4*2+7)-5", "MUL 4 2 ADD result 7 SUB result 5 ANSWER")
    assert told[-1][1].correct


# ---------------------------------------------------------------- keys and gradients


@pytest.mark.parametrize("waits", [True, False])
def test_a_written_key_moves_the_pointer_until_its_value_is_used(waits):
    agent = make_agent(seed=0)
    _, state = follow(agent, "(3+4)*(9-2)", "ADD 3 4 STORE slot_0")
    torch.nn.init.orthogonal_(agent.query.weight)  # a fresh actor is a hundred times smaller
    with torch.no_grad():
        other = n.Memory(-state.memory.keys, state.memory.values, state.memory.filled)
        state.available[0, 1] = waits
        twin = n.State(**{**vars(state), "memory": other})
        a, b = agent.decide(state)[0][0], agent.decide(twin)[0][0]
    assert ((a - b)[n.FIRST_SLOT].abs() > 1e-3) == waits and torch.equal(a, b) != waits


def test_a_recall_teaches_the_write():
    agent = make_agent(seed=0)
    _, state = follow(agent, "(3+4)*(9-2)", "ADD 3 4 STORE slot_0 SUB 9 2 MUL")
    agent.decide(state)[0][0, n.FIRST_SLOT].backward()
    for weight in (agent.memory.content.weight, agent.encoder.token.weight):
        assert weight.grad.abs().sum() > 0


# ---------------------------------------------------------------- make_agent


def test_a_seed_fixes_the_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b, c = make_agent(seed=1), make_agent(seed=1), make_agent(seed=2)
    assert torch.equal(torch.rand(3), expected)
    a, b, c = (agent.state_dict() for agent in (a, b, c))
    assert list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["fixed"], c["fixed"])


def test_the_names_of_the_weights():
    """Checkpoints are stored under these names."""
    parts = {name.split(".")[0] for name in make_agent().state_dict()}
    assert parts == set("fixed memory encoder number draft told core look hidden query value".split())


def test_wiped_play_and_play_agree_until_something_was_stored():
    agent = make_agent(seed=0)
    whole, wiped = (play(agent, mixed(), rng(3), floor=1.0, wiped=wipe) for wipe in (False, True))
    stored = (whole.stage == n.Stage.STORE).cumsum(0) > 0
    assert torch.equal(whole.legal[0], wiped.legal[0]) and stored.any()
    assert (wiped.written >= 0).any(), "a wiped agent still writes; it has nothing left to read"
