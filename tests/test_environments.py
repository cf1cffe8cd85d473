"""Environments: the calculator is right, values are used once, and pay is as told."""

import operator
import random
from collections import Counter
from fractions import Fraction as F

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mna.environments import TOOLS, Arithmetic, Call, Feedback, find_tool
from mna.language import MNAError, Value, parse

FRACTIONS = st.fractions(min_value=-50, max_value=50, max_denominator=12)
ARITHMETIC = {"ADD": operator.add, "SUB": operator.sub, "MUL": operator.mul,
              "DIV": operator.truediv}


def holding(*numbers, **options):
    """An environment whose live values are these."""
    env = Arithmetic(parse("1+2"), **options)
    env.live = Counter(map(value_of, numbers))
    return env


def value_of(number):
    return number if isinstance(number, Value) else Value.of(F(number))


def linear(p, q):
    """p*x + q."""
    return Value.UNKNOWN * Value.of(F(p)) + Value.of(F(q))


def at(form, x):
    """A form's number where the unknown is x."""
    return (form.p * x + form.q) / F(form.s)


# ---- tools

@settings(max_examples=60, deadline=None)
@given(FRACTIONS, FRACTIONS)
def test_tools_of_two_are_the_four_operations(a, b):
    for name, operation in ARITHMETIC.items():
        env = holding(a, b)
        feedback = env.call(name, value_of(a), value_of(b))
        if name == "DIV" and b == 0:
            assert feedback.result is None
        else:
            assert feedback.result.fraction == operation(a, b)
            assert env.live == Counter([feedback.result])


@settings(max_examples=60, deadline=None)
@given(FRACTIONS, FRACTIONS, FRACTIONS)
def test_tools_on_forms_hold_wherever_the_unknown_is(p, q, x):
    form, two = linear(p, q), value_of(F(2, 3))
    for name, operation in ARITHMETIC.items():
        result = holding(form, two).call(name, form, two).result
        assert at(result, x) == operation(p * x + q, F(2, 3))
    assert at(holding(form).call("NEG", form).result, x) == -(p * x + q)
    root = holding(form).call("ROOT", form).result
    assert root is None if p == 0 else p * root.fraction + q == 0


def test_the_registry_says_how_many_values_each_tool_takes():
    arity = {name: tool.arity for name, tool in TOOLS.items()}
    assert arity == dict(ADD=2, SUB=2, MUL=2, DIV=2, NEG=1, ROOT=1)
    assert all(find_tool(name).name == name for name in arity)


@pytest.mark.parametrize("name, values", [
    ("DIV", (3, 0)), ("ROOT", (5,)), ("ROOT", (0,)),
    ("MUL", (Value.UNKNOWN, Value.UNKNOWN))])
def test_an_undefined_call_changes_nothing_but_is_noted(name, values):
    values = tuple(map(value_of, values))
    env = holding(*values)
    before = env.live.copy(), env.unpaid.copy()
    assert env.call(name, *values) == Feedback()
    assert (env.live, env.unpaid) == before
    assert env.calls == [Call(name, values, None)]
    assert str(env.calls[0]).endswith("-> failed")


def test_numbers_of_a_thousand_digits_do_not_overflow():
    a, b = 10 ** 999 + 7, 10 ** 1000 + 9
    problem = parse(f"{a}*{b}+{a}")
    env = Arithmetic(problem)
    product = env.call("MUL", Value.of(a), Value.of(b)).result
    total = env.call("ADD", product, Value.of(a)).result
    assert total.fraction == a * b + a
    assert env.answer(total).correct


# ---- values are used once

def test_a_value_is_used_once():
    env = Arithmetic(parse("3+4*5"))
    assert env.call("ADD", Value.of(3), Value.of(4)).result == Value.of(7)
    assert env.live == Counter([Value.of(7), Value.of(5)])
    for gone in (3, 4):
        with pytest.raises(MNAError):
            env.call("MUL", Value.of(gone), Value.of(5))
    assert env.live == Counter([Value.of(7), Value.of(5)])


def test_equal_values_are_two_and_no_more():
    env = Arithmetic(parse("3*3+5"))
    with pytest.raises(MNAError):
        Arithmetic(parse("3+4")).call("ADD", Value.of(3), Value.of(3))
    assert env.call("MUL", Value.of(3), Value.of(3)).result == Value.of(9)
    assert env.live == Counter([Value.of(9), Value.of(5)])
    one = Arithmetic(parse("3*3+5"))
    one.call("NEG", Value.of(3))
    assert one.live == Counter(map(Value.of, (-3, 3, 5)))


# ---- pay

def test_a_sub_task_is_paid_once_and_equal_ones_once_each():
    """(1+2)*(4-1) has the sub-tasks 3, 3 and 9."""
    env = Arithmetic(parse("(1+2)*(4-1)"), shaping=0.6)
    pay = [env.call("ADD", Value.of(1), Value.of(2)).reward,
           env.call("SUB", Value.of(4), Value.of(1)).reward,
           env.call("MUL", Value.of(3), Value.of(3)).reward]
    assert pay == pytest.approx([0.2, 0.2, 0.2])
    again = Arithmetic(parse("1*3+5*7"))  # sub-tasks 3, 35, 38
    assert again.call("MUL", Value.of(1), Value.of(3)).reward == pytest.approx(1 / 3)
    assert again.call("NEG", Value.of(3)).reward == 0
    assert again.call("NEG", Value.of(-3)).reward == 0  # 3, which was paid already


def test_shaping_is_split_evenly_and_the_answer_pays_one():
    for shaping in (1.0, 0.5, 0.0):
        env = Arithmetic(parse("2*x+1=7"), shaping=shaping)
        x, (one, two, seven) = Value.UNKNOWN, map(Value.of, (1, 2, 7))
        left = env.call("MUL", two, x)
        total = env.call("ADD", left.result, one)
        moved = env.call("SUB", total.result, seven)
        root = env.call("ROOT", moved.result)
        assert [f.reward for f in (left, total, moved, root)] == [shaping / 4] * 4
        assert not any(f.done for f in (left, total, moved, root))
        assert env.answer(root.result) == Feedback(None, 1.0, True, True)


def test_what_is_no_sub_task_pays_nothing():
    env = Arithmetic(parse("3+4*5"))
    assert env.call("ADD", Value.of(3), Value.of(4)) == Feedback(Value.of(7))


# ---- ends

def test_practice_ends_at_a_call_off_the_tree_and_at_one_that_fails():
    problem = parse("3/(2-2+1)+4")
    for practice in (True, False):
        def env(practice=practice):
            return Arithmetic(problem, practice)
        three, two = Value.of(3), Value.of(2)
        assert env().call("ADD", three, two).done == practice
        good = env()
        zero = good.call("SUB", two, two)
        assert zero.result == Value.of(0) and not zero.done
        failed = good.call("DIV", three, Value.of(0))
        assert failed.result is None and failed.done == practice


def test_a_sub_task_that_was_paid_is_off_the_tree():
    env = Arithmetic(parse("2+2-(4-4)*2"), practice=True)  # 4, 0, 0, 4
    assert not env.call("ADD", Value.of(2), Value.of(2)).done
    env.live[Value.of(0)] += 2
    assert not env.call("ADD", Value.of(4), Value.of(0)).done  # 4 for the second time
    assert env.call("ADD", Value.of(4), Value.of(0)).done      # for the third time


@pytest.mark.parametrize("text, first, answer, correct", [
    ("2+3-3", None, 2, False),           # right, but other values are left
    ("2+3", ("ADD", 2, 3), 5, True),
    ("2+3", ("SUB", 2, 3), 5, False),    # right, but not what is left
    ("2+3", ("SUB", 2, 3), -1, False),   # left, but not right
    ("7", None, 7, True)])
def test_an_answer_is_right_if_it_is_and_stands_alone(text, first, answer, correct):
    env = Arithmetic(parse(text))
    if first:
        env.call(first[0], *map(Value.of, first[1:]))
    assert env.answer(Value.of(answer)) == Feedback(None, float(correct), True, correct)
    assert env.given == Value.of(answer)


def test_an_episode_has_room_for_six_decisions_a_task():
    assert Arithmetic(parse("7")).bound == 6
    assert Arithmetic(parse("3+4*5")).bound == 18
    assert Arithmetic(parse("3+4*5"), flaky=0.5).bound == 36
    assert Arithmetic(parse("3+4*5"), flaky=0.1).bound == 20


# ---- flaky

def test_a_flaky_calculator_fails_as_often_as_told_and_changes_nothing():
    env = holding(3, 4, practice=True, flaky=0.3, rng=random.Random(0))
    failed, three, four = 0, Value.of(3), Value.of(4)
    for _ in range(2000):
        feedback = env.call("SUB", three, four)
        if feedback.result is None:
            failed += 1
            assert feedback == Feedback()  # practice goes on
            assert env.live == Counter([three, four])
        env.live = Counter([three, four])
    assert 0.27 < failed / 2000 < 0.33
    assert len(env.calls) == 2000
    assert sum(call.result is None for call in env.calls) == failed


def test_flaky_calls_follow_the_dice_they_are_given():
    def play(seed):
        env = holding(3, 4, flaky=0.5, rng=random.Random(seed))
        found = []
        for _ in range(20):
            found.append(env.call("NEG", next(iter(env.live))).result is None)
        return found
    assert play(1) == play(1) != play(2)


def test_a_calculator_that_is_not_flaky_never_fails():
    class Lowest(random.Random):
        def random(self):
            return 0.0
    assert holding(3, 4, rng=Lowest()).call("ADD", Value.of(3), Value.of(4)).result


# ---- errors

@pytest.mark.parametrize("do, says", [
    (lambda: find_tool("POW"), ["'POW'", "registry", "ADD, SUB, MUL, DIV, NEG, ROOT"]),
    (lambda: holding(3, 4).call("POW", Value.of(3)), ["'POW'", "registry", "ADD"]),
    (lambda: holding(3, 4).call("ADD", Value.of(3)), ["ADD takes 2 values, 1 were"]),
    (lambda: holding(3, 4).call("NEG", Value.of(3), Value.of(4)), ["NEG takes 1"]),
    (lambda: holding(3, 4).call("ADD", Value.of(3), Value.of(9)),
     ["9 can't be used", "values left are 3, 4"]),
    (lambda: holding(3, flaky=1.0), ["flaky = 1.0", "below 1", "0.1"]),
    (lambda: holding(3, flaky=-0.1), ["flaky = -0.1"]),
    (lambda: holding(3, flaky=float("nan")), ["flaky = nan"])])
def test_errors_name_the_value_the_rule_and_the_way_out(do, says):
    with pytest.raises(MNAError) as error:
        do()
    assert "\n" not in str(error.value)
    for part in says:
        assert part in str(error.value)


def test_a_call_of_values_that_are_not_there_is_refused_before_it_is_tried():
    for env in (holding(3, 4), holding(3, 4, flaky=0.99, rng=random.Random(0))):
        with pytest.raises(MNAError, match="9 can't be used"):
            env.call("DIV", Value.of(9), Value.of(0))
        assert env.calls == [] and env.live == Counter([Value.of(3), Value.of(4)])
