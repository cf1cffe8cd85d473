"""The buffer changes where it should and nowhere else, and is as tight as told."""

import copy
import random
from collections import Counter

import pytest
from oracle import call, keep, random_play, solve

from mna.environments import Arithmetic
from mna.language import Value, parse, slots_left_to_right, slots_needed
from mna.memory import GatedMemory
from mna.network import AgentConfig, Desk, NoMemory, Stage
from mna.problems import Level, draw

DESK = Desk(AgentConfig(), GatedMemory)


def opened(text, desk=DESK, slots=None):
    problem = parse(text)
    return desk.start(problem, slots), Arithmetic(problem)


# ---- the buffer

def test_the_gate_opens_at_one_slot_and_keeps_the_others():
    memory = GatedMemory(3, 3)
    assert memory.slots == [None] * 3 and memory.free == [0, 1, 2]
    memory.write([0, 1, 0], Value.of(7))
    assert memory.slots == [None, Value.of(7), None] and memory.free == [0, 2]
    memory.write([0, 0, 1], Value.of(8))
    memory.write([0, 0, 0], Value.of(9))
    assert memory.slots == [None, Value.of(7), Value.of(8)]


def test_a_recall_gives_the_value_and_frees_that_slot_only():
    memory = GatedMemory(3, 3)
    memory.write([0, 1, 0], Value.of(7))
    memory.write([0, 0, 1], Value.of(0))
    assert memory.recall(1) == Value.of(7)
    assert memory.slots == [None, None, Value.of(0)] and memory.free == [0, 1]


def test_fewer_slots_may_be_usable_than_there_are():
    memory = GatedMemory(3, 2)
    assert memory.free == [0, 1] and len(memory.slots) == 3
    memory.write([1, 0, 0], Value.of(0))  # zero fills a slot too
    assert memory.free == [1]
    assert GatedMemory(3, 0).free == []


def test_no_memory_has_slots_that_are_never_free():
    memory = NoMemory(3, 3)
    assert memory.free == [] and memory.slots == [None] * 3


# ---- the agent's buffer in play

def test_the_buffer_changes_in_no_stage_but_STORE():
    """Bit for bit the same, but for slots whose value a call has used: these are free.

    STORE writes the last result into the named slot, and nothing else.
    """
    rng, stores, recalls = random.Random(0), 0, 0
    stage, before, waiting, left, places = Stage.CHOOSE, [], None, -1, []
    for problem in [draw(Level("mixed", n), rng) for n in (3, 5, 8, 10) * 25]:
        for state, choice, feedback in random_play(DESK, problem, rng, store=0.5):
            now = list(state.memory.slots)
            if choice is not None and stage == Stage.STORE:
                slot = choice - DESK.slot
                assert before[slot] is None and state.result is None
                assert now == [*before[:slot], waiting, *before[slot + 1:]]
                stores += 1
            elif choice is not None:
                used = [left] + [choice - DESK.first] * (stage == Stage.RIGHT)
                freed = {places[v] for v in used if feedback.result is not None}
                assert now == [None if k in freed else before[k] for k in range(3)]
                recalls += len(freed & {0, 1, 2})
            tokens = state.worksheet.tokens
            places = [tokens[i].place for i in state.worksheet.values]
            before, stage, left = now, state.stage, state.left
            waiting = state.result
    assert stores > 100 and recalls > 40


def test_a_slot_is_freed_when_a_call_uses_it_and_not_before():
    """Naming the value frees nothing, and a call that fails frees nothing."""
    state, env = opened("(4-4)*(1+2)+3/6")
    call(DESK, state, env, "SUB", 0, 1)
    keep(DESK, state, env, 2)
    assert state.memory.free == [0, 1]
    DESK.act(state, DESK.first, env)   # 0, which stands in slot 2
    DESK.act(state, 3, env)            # DIV
    assert state.memory.free == [0, 1]
    DESK.act(state, DESK.first + 1, env)
    assert env.calls[-1].result == Value.of(0) and state.memory.free == [0, 1, 2]

    state, env = opened("(4-4)*(1+2)+3/6")
    call(DESK, state, env, "SUB", 0, 1)
    keep(DESK, state, env, 2)
    assert call(DESK, state, env, "DIV", 1, 0).result is None  # by zero
    assert state.memory.free == [0, 1] and state.memory.slots[2] == Value.of(0)
    assert call(DESK, state, env, "ADD", 1, 2).result == Value.of(3)
    assert state.memory.free == [0, 1]  # a call on other values


def test_two_recalls_free_two_slots():
    state, env = opened("(1+2)*(3+4)")
    for v, slot in ((0, 2), (1, 0)):
        call(DESK, state, env, "ADD", v, v + 1)
        keep(DESK, state, env, slot)
    assert state.memory.free == [1]
    call(DESK, state, env, "MUL", 1, 0)
    assert state.memory.free == [0, 1, 2]


def test_an_answer_leaves_the_buffer_as_it_is():
    state, env = opened("1+2")
    call(DESK, state, env, "ADD", 0, 1)
    keep(DESK, state, env)
    assert DESK.act(state, DESK.answer, env).correct
    assert state.memory.slots[0] == Value.of(3)


@pytest.mark.parametrize("vs", [(0, 1), (1, 0)])
def test_the_value_that_a_recall_sends_comes_from_the_buffer(vs):
    """Another value put into the slot is what the calculator gets."""
    state, env = opened("(1+2)*5+1")
    call(DESK, state, env, "ADD", 0, 1)
    keep(DESK, state, env, 1)
    state.memory.slots[1] = Value.of(100)
    env.live = Counter([Value.of(100), Value.of(5), Value.of(1)])
    assert call(DESK, state, env, "MUL", *vs).result == Value.of(500)
    assert set(env.calls[-1].operands) == {Value.of(100), Value.of(5)}


def test_an_answer_from_a_slot_comes_from_the_buffer():
    state, env = opened("1+2")
    call(DESK, state, env, "ADD", 0, 1)
    keep(DESK, state, env)
    state.memory.slots[0] = Value.of(8)
    assert not DESK.act(state, DESK.answer, env).correct and env.given == Value.of(8)


def test_only_usable_slots_are_written():
    rng = random.Random(1)
    for usable in (0, 1, 2):
        stored = 0
        for _ in range(20):
            problem = draw(Level("expr", 8), rng)
            for state, _, _ in random_play(DESK, problem, rng, usable, store=0.5):
                assert state.memory.slots[usable:] == [None] * (3 - usable)
                stored += state.memory.slots.count(None) < 3
                if state.stage == Stage.STORE:
                    assert not any(DESK.legal(state)[DESK.slot + usable:DESK.first])
        assert (stored > 0) == (usable > 0)


def test_no_memory_never_makes_STORE_legal():
    desk = Desk(AgentConfig(), NoMemory)
    state, env = opened("(1+2)*(3+4)", desk)
    call(desk, state, env, "ADD", 0, 1)
    assert state.result == Value.of(3) and not desk.legal(state)[desk.store]
    none = Desk(AgentConfig(slots=0), NoMemory)
    state, env = opened("1+2*3", none)
    call(none, state, env, "MUL", 1, 2)
    call(none, state, env, "ADD", 0, 1)
    assert none.act(state, none.answer, env).correct


# ---- how many slots a problem takes

def solutions(text, slots):
    """Can any order of work on the tree solve it? All are tried."""
    problem = parse(text)
    desk = Desk(AgentConfig(slots=max(1, slots), tools=("ADD", "MUL")), GatedMemory)
    todo, seen = [(desk.start(problem, slots),
             Arithmetic(problem, True, rng=random.Random(0)))], set()
    while todo:
        state, env = todo.pop()
        mask = desk.legal(state)
        for choice in (a for a, legal in enumerate(mask) if legal):
            now, then = copy.deepcopy((state, env))
            feedback = desk.act(now, choice, then)
            if feedback.correct:
                return True
            key = (desk.view(now), now.tool, tuple(now.memory.slots))
            if not feedback.done and key not in seen:
                seen.add(key)
                todo.append((now, then))
    return False


@pytest.mark.parametrize("text, need", [
    ("1+2*8", 0), ("(1+2)*7+4", 0), ("(1+2)*(8+9)", 1), ("5+(1+2)*(8+9)", 1)])
def test_its_slots_do_and_one_less_does_in_no_order(text, need):
    assert slots_needed(parse(text)) == need
    assert solutions(text, need)
    assert need == 0 or not solutions(text, need - 1)


def test_two_slots_are_needed_by_four_pairs():
    text = "(1+2)*(8+9)+(20+30)*(70+80)"
    assert slots_needed(parse(text)) == 2 == slots_left_to_right(parse(text))
    assert solve(parse(text), 2).correct
    assert solve(parse(text), 1).stuck


def test_the_order_of_work_decides_whether_the_slots_do():
    """The lighter side first takes a slot more, where the sides differ."""
    problem = parse("(1+2)*((3+4)*(5+6))")
    assert slots_needed(problem) == 1 and slots_left_to_right(problem) == 2
    assert solve(problem, 1).correct
    assert solve(problem, 1, heavy_first=False).stuck
    assert solve(problem, 2, heavy_first=False).correct


def test_one_slot_less_than_needed_stops_the_best_order():
    rng, tried = random.Random(4), 0
    while tried < 40:
        problem = draw(Level("mixed", 10), rng)
        if need := slots_needed(problem):
            assert solve(problem, need).correct and solve(problem, need - 1).stuck
            tried += 1
