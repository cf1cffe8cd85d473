"""Levels, and the plain generator."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from mna.language import (
    BAR,
    EQUALS,
    MINUS,
    NEGATIVE,
    NUMBER,
    OPEN,
    PLUS,
    MNAError,
    X,
    held_out,
    parse,
)
from mna.problems import (
    LEVELS,
    LIMIT,
    RECIPES,
    Level,
    check_levels,
    draw,
    every_structure,
    find_level,
)

EXAMS = [Level(kind, n) for kind in RECIPES if kind != "add" for n in (3, 10, 32)]


def problems(level, split="train", count=25, seed=0):
    rng = random.Random(seed)
    return [draw(level, rng, split) for _ in range(count)]


@pytest.mark.parametrize("name", LEVELS)
def test_parsing_what_practice_draws_gives_the_same_problem(name):
    for problem in problems(name):
        assert parse(problem.text) == problem
        assert problem.number_count == LEVELS[name].numbers
        assert not held_out(problem.kinds)


@pytest.mark.parametrize("level", EXAMS, ids=lambda level: level.name)
def test_parsing_what_exams_draw_gives_the_same_problem(level):
    for problem in problems(level, "test", 5):
        assert parse(problem.text) == problem
        assert problem.number_count == level.numbers
        assert held_out(problem.kinds)
        assert all(abs(n) < LIMIT for v in problem.tasks for n in (v.p, v.q, v.s))


def test_each_kind_has_what_it_is_there_for():
    assert {p.kinds for p in problems("add")} == {(NUMBER, PLUS, NUMBER)}
    assert all(NEGATIVE in p.kinds for p in problems("signs1") + problems("signs6"))
    assert all(BAR in p.kinds for p in problems("bars2") + problems("bars6"))
    assert {p.kinds.count(X) for p in problems("linear6")} == {1}
    assert {p.kinds.count(X) for p in problems("algebra6")} == {2, 3, 4}
    assert {p.kinds.count(X) for p in problems("algebra3")} == {2}
    assert {p.kinds.count(EQUALS) for p in problems("mixed7")} == {0, 1}
    assert any(OPEN in p.kinds for p in problems("expr3"))
    assert not any({NEGATIVE, BAR, EQUALS} & set(p.kinds) for p in problems("expr6"))


def test_parens_have_more_than_needed_and_plain_the_fewest():
    def spare(problem):
        """Can a pair of parentheses be left out, and the tree is still the same?"""
        text = problem.text
        for start in [i for i, sign in enumerate(text) if sign == "("]:
            depth = 0
            for end in range(start, len(text)):
                depth += (text[end] == "(") - (text[end] == ")")
                if depth == 0:
                    break
            shorter = text[:start] + text[start + 1 : end] + text[end + 1 :]
            if reads_as(shorter) == problem.tree:
                return True
        return False

    def reads_as(text):
        try:
            return parse(text).tree
        except MNAError:
            return None

    assert all(spare(p) for p in problems(Level("parens", 6), "test"))
    assert not any(spare(p) for p in problems(Level("plain", 6), "test"))


def triples(kinds):
    return zip(kinds, kinds[1:], kinds[2:], strict=False)


def test_what_people_type_with_two_signs_is_drawn():
    """A minus in bars, a minus before one, with parentheses and without."""
    drawn = {p.text for p in problems("signs1", count=4000)}
    assert {"-5", "--5", "-(-5)"} <= drawn
    for name in ("mixed1", "mixed2", "bars2", "signs2"):
        kinds = [p.kinds for p in problems(name, count=6000)]
        assert any((BAR, NEGATIVE, NUMBER) in triples(k) for k in kinds) == (
            name != "signs2"
        )
        if name != "bars2":
            assert any((NEGATIVE, OPEN, NEGATIVE) in triples(k) for k in kinds)
    drawn = problems("bars4", count=3000)
    assert any((BAR, NEGATIVE, OPEN) in triples(p.kinds) for p in drawn)


def test_small_problems_are_among_all_structures():
    left_out = {(OPEN, OPEN), (BAR, NEGATIVE), (NEGATIVE, NEGATIVE)}
    for n in (1, 2):
        every = every_structure(n)
        drawn = {p.kinds for p in problems(f"mixed{n}", count=3000)}
        drawn = {k for k in drawn if not left_out & set(pairwise(k))}
        drawn = {k for k in drawn if (NEGATIVE, OPEN, NEGATIVE) not in triples(k)}
        assert drawn <= every
        assert len(drawn & every) >= min(len(every), 40)
    assert len(every_structure(1)) == 3 and len(every_structure(2)) == 306


def test_most_structures_of_three_numbers_are_in_practice_and_a_fifth_is_not():
    every = every_structure(3)
    assert 0.19 < sum(map(held_out, every)) / len(every) < 0.21


def test_the_same_seed_draws_the_same_problems():
    assert problems("mixed10") == problems("mixed10") != problems("mixed10", seed=1)


def test_operators_come_in_their_shares():
    kinds = Counter(k for p in problems("expr10", count=300) for k in p.kinds)
    assert 0.85 < kinds[PLUS] / kinds[MINUS] < 1.15


def test_levels_are_found_by_name():
    assert find_level("add") == Level("add", 2)
    assert find_level("plain16") == Level("plain", 16)
    assert all(
        find_level(name) == level and level.name == name
        for name, level in LEVELS.items()
    )
    assert check_levels(["add", Level("mixed", 4)]) == [
        Level("add", 2),
        Level("mixed", 4),
    ]


@pytest.mark.parametrize(
    "name", ["tree9", "add2", "add3", "mixed03", "plain", "", "mixed", "mixed3x", 7, None]
)
def test_a_level_that_does_not_exist_is_refused_with_those_that_do(name):
    with pytest.raises(
        MNAError, match=r"^level .* does not exist; levels: add, expr2 … expr32, "
    ):
        find_level(name)


@pytest.mark.parametrize(
    "levels, split, says",
    [
        ([], "train", "name one at least"),
        (["add"], "test", "never held out"),
        (["mixed2"], "test", "never held out"),
        (["mixed11"], "train", "exams only"),
        (["parens5"], "train", "exams only"),
        (["mixed5"], "dev", "neither"),
        (["mixed33"], "test", "mixed1 … mixed32"),
        (["mixed0"], "train", "mixed1 … mixed32"),
        (["expr1"], "train", "expr2 … expr32"),
    ],
)
def test_a_split_that_a_level_lacks_is_refused(levels, split, says):
    with pytest.raises(MNAError, match=says) as error:
        check_levels(levels, split)
    assert "\n" not in str(error.value)
    if levels:
        with pytest.raises(MNAError, match=says):
            draw(levels[0], random.Random(0), split)


@pytest.mark.parametrize("kind, numbers", [("tree", 3), ("mixed", 0), ("mixed", 33), ("add", 3), ("expr", 1)])
def test_a_level_that_can_not_be_is_refused(kind, numbers):
    with pytest.raises(MNAError, match=f"'{kind}' of {numbers} numbers is no level; kinds: add, expr"):
        Level(kind, numbers)
