"""Batched values and problems against the plain ones."""

import math
import random
import zlib
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mna import problems
from mna.batched import (
    SAFE,
    Problems,
    Values,
    calculate,
    crc32,
    form,
    generate,
    pack_problems,
    to_problem,
)
from mna.language import (
    EQUALS,
    MAX_TOKENS,
    SYMBOLS,
    MNAError,
    Undefined,
    Value,
    X,
    held_out,
    parse,
    slots_needed,
)
from mna.problems import LEVELS, RECIPES, Level, draw

EXAMS = [Level(kind, n) for kind in RECIPES if kind != "add" for n in (3, 7, 16, 32)]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def tuples(forms):
    return [tuple(form) for form in forms.tolist()]


def check_row(problems, row, level, split):
    """A batched problem is what parsing its text gives."""
    problem = to_problem(problems, row)  # parsed
    assert [kind for kind in problems.kinds[row].tolist() if kind] == list(
        problem.kinds
    )
    n = int(problems.numbers[row])
    assert n == level.numbers == problem.number_count
    assert tuples(problems.values[row, :n]) == [form(v) for v in problem.values]
    m = int(problems.n_tasks[row])
    assert tuples(problems.tasks[row, :m]) == [form(v) for v in problem.tasks]
    assert tuple(problems.answer[row].tolist()) == form(Value.of(problem.answer))
    assert int(problems.need[row]) == slots_needed(problem)
    assert held_out(problem.kinds) == (split == "test")
    assert set(tuples(problems.values[row, n:]) + tuples(problems.tasks[row, m:])) <= {
        (0, 0, 1)
    }
    return problem


@pytest.mark.parametrize(
    "levels, split, each",
    [(list(LEVELS.values()), "train", 20), (EXAMS, "test", 8)],
    ids=["practice", "exams"],
)
def test_every_problem_is_what_its_text_says(levels, split, each):
    level = torch.arange(len(levels)).repeat(each)
    problems = generate(level, levels, rng(), split)
    assert problems.level.tolist() == level.tolist()
    for row, index in enumerate(level.tolist()):
        problem = check_row(problems, row, levels[index], split)
        recipe = levels[index].recipe
        assert recipe.needs is None or recipe.needs in problem.kinds
        assert EQUALS not in problem.kinds or recipe.equations
        assert problem.kinds.count(X) in {
            0 if recipe.equations < 1 else 1,
            *(
                min(k, levels[index].numbers - 1)
                for k in recipe.unknowns
                if recipe.equations
            ),
        }


@pytest.mark.parametrize("name", ["mixed1", "add", "mixed10", "bars2"])
def test_one_problem_alone(name):
    problems = generate(torch.tensor([0]), [name], rng())
    check_row(problems, 0, LEVELS[name], "train")


# ---- the same distribution


def features(problem):
    """What is compared: each a name that a problem has or has not."""

    def depth(tree):
        return 0 if isinstance(tree, int) else 1 + max(map(depth, tree[1:]))

    def leaves(tree):
        return 1 if isinstance(tree, int) else sum(map(leaves, tree[1:]))

    tree = problem.tree
    while not isinstance(tree, int) and len(tree) == 2:
        tree = tree[1]
    yield from (
        f"kind {kind} x{count}" for kind, count in Counter(problem.kinds).items()
    )
    yield from (f"pair {pair}" for pair in pairwise(problem.kinds))
    yield f"depth {depth(tree)}"
    yield f"tasks {len(problem.tasks)}"
    yield f"slots {slots_needed(problem)}"
    if not isinstance(tree, int):
        yield f"root {tree[0]} {leaves(tree[1])}"
    if EQUALS in problem.kinds:
        yield f"unknowns left {problem.kinds[: problem.kinds.index(EQUALS)].count(X)}"
    high = max(v.q for v in problem.values)
    yield "high" if high > 9 else "low"
    yield f"first {problem.values[0]}"
    yield f"negative {problem.answer < 0}"
    yield f"whole {problem.answer.denominator == 1}"


def structures(problem):
    """The structure itself, as the only feature."""
    return [problem.kinds]


@pytest.mark.parametrize(
    "level, split, feature_of",
    [
        ("mixed8", "train", features),
        ("mixed3", "train", features),
        ("algebra6", "train", features),
        ("bars4", "train", features),
        (Level("parens", 5), "test", features),
        ("signs1", "train", structures),
        ("bars2", "train", structures),
        ("mixed2", "train", structures),
        ("expr3", "train", structures),
        ("linear3", "test", structures),
    ],
    ids=lambda part: getattr(part, "__name__", str(part)),
)
def test_plain_and_batched_draw_alike(level, split, feature_of):
    """No share differs by 4.5 standard errors, and their squares are 1 on average."""
    size = 2500
    plain, source = Counter(), random.Random(5)
    for _ in range(size):
        plain.update(set(feature_of(draw(level, source, split))))
    problems = generate(torch.zeros(size, dtype=torch.int64), [level], rng(5), split)
    batched = Counter(
        f for row in range(size) for f in set(feature_of(to_problem(problems, row)))
    )
    scores = []
    for feature in plain | batched:
        a, b = plain[feature], batched[feature]
        share = (a + b) / (2 * size)
        if a + b >= 20 and share < 1:
            scores.append((a - b) / math.sqrt(2 * size * share * (1 - share)))
            assert abs(scores[-1]) < 4.5, (feature, a, b)
    assert len(scores) > 3 and sum(z * z for z in scores) / len(scores) < 1.8
    seen = sum((plain & batched).values()) / sum(plain.values())
    assert seen > 0.85, "the two draw different structures"


def test_seeds_and_order():
    level = torch.tensor([3, 0, 3, 1, 2, 2, 0])
    names = ["mixed4", "linear5", "expr6", "add"]
    a, b, c = (generate(level, names, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(a.kinds, b.kinds) and torch.equal(a.values, b.values)
    assert [to_problem(a, row).text for row in (0, 4)] != [
        to_problem(c, row).text for row in (0, 4)
    ]
    assert a.numbers.tolist() == [2, 4, 2, 5, 6, 6, 4]


# ---- the split


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.integers(1, 12), min_size=1, max_size=MAX_TOKENS),
        min_size=1,
        max_size=5,
    )
)
def test_crc32_is_zlibs(rows):
    width = max(map(len, rows))
    kinds = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    assert crc32(kinds).tolist() == [zlib.crc32(bytes(row)) for row in rows]


# ---- bad input


@pytest.mark.parametrize(
    "level, levels, split, says",
    [
        ([], ["add"], "train", "0 problems"),
        ([0, 2], ["add", "expr3"], "train", "indices from 0 to 2"),
        ([-1], ["add"], "train", "indices from -1"),
        ([0], ["tree9"], "train", "does not exist"),
        ([0], ["add"], "test", "never held out"),
        ([0], ["mixed16"], "train", "exams only"),
        ([0], ["mixed4"], "dev", "neither"),
        ([0], [], "train", "name one"),
    ],
)
def test_bad_requests_are_refused(level, levels, split, says):
    with pytest.raises(MNAError, match=says):
        generate(torch.tensor(level, dtype=torch.int64), levels, rng(), split)


def test_what_does_not_fit_is_refused_when_packed():
    with pytest.raises(MNAError, match="62 bits"):
        pack_problems([parse(f"{2**62}-1")])
    with pytest.raises(MNAError, match="62 bits"):
        pack_problems([parse("6/x=2")])
    with pytest.raises(MNAError, match="0 problems"):
        pack_problems([])


# ---- packing


def test_packing_gives_the_batch_back():
    problems = generate(
        torch.arange(60) % 10, [f"mixed{n}" for n in range(1, 11)], rng()
    )
    packed = pack_problems([to_problem(problems, row) for row in range(60)])
    packed.level = problems.level
    for name in Problems.__dataclass_fields__:
        assert torch.equal(getattr(problems, name), getattr(packed, name)), name


def test_rows_are_selected():
    problems = generate(torch.arange(9) % 3, ["add", "expr4", "linear3"], rng())
    some = problems.select(problems.level == 1)
    assert len(some) == 3 and to_problem(some, 0) == to_problem(problems, 1)
    assert len(problems.to("cpu").select(torch.tensor([8, 0]))) == 2


# ---- values

SMALL = st.integers(-12, 12)
BIG = st.integers(-SAFE + 1, SAFE - 1)
ANY = st.one_of(
    SMALL, BIG, st.sampled_from([2**31, -(2**31) + 1, 3**20, 2**61, -(2**61)])
)


@st.composite
def values(draw):
    """A Value that a batch can hold."""
    p = draw(st.one_of(st.just(0), ANY))
    q, d = (
        draw(ANY),
        draw(st.one_of(st.just(1), st.integers(1, 12), st.integers(1, SAFE - 1))),
    )
    factor = math.gcd(p, q, d)
    return Value(p // factor, q // factor, 0, d // factor)


OPERATIONS = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "neg": lambda x, y: -x,
    "root": lambda x, y: x.root(),
}


def exact(operation, x, y):
    """The plain result; None where there is none, or it is no linear form.

    A batch takes no divisor that holds the unknown, even if the quotient is a number.
    """
    if operation == "/" and y.has_unknown:
        return None
    try:
        result = OPERATIONS[operation](x, y)
    except Undefined:
        return None
    return result if result.r == 0 else None


def must_work(operation, x, y):
    """Is all that has to be multiplied below 2**62?"""
    (p, q, d), (r, s, e) = (x.p, x.q, x.s), (y.p, y.q, y.s)
    lcm = math.lcm(d, e)
    return {
        "+": max(abs(p), abs(q), d) * (lcm // d) < SAFE - 4096
        and max(abs(r), abs(s)) * (lcm // e) < SAFE - 4096,
        "*": max(abs(p), abs(q)) * max(abs(r), abs(s)) < SAFE - 4096
        and d * e < SAFE - 4096,
        "/": max(abs(p), abs(q)) * e < SAFE - 4096 and d * abs(s) < SAFE - 4096,
    }.get("+" if operation == "-" else operation, True)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(values(), values()), min_size=1, max_size=8))
@example(
    [(Value(0, SAFE - 1), Value(0, SAFE - 1)), (Value(0, 1 - SAFE), Value(0, 1 - SAFE))]
)
@example([(Value(0, 2**61), Value(0, 2**61)), (Value(0, 2**31), Value(0, 2**31))])
@example(
    [(Value(1, 0), Value(1, 0)), (Value(1, 2), Value(0, 0)), (Value(0, 0), Value(0, 0))]
)
def test_a_batch_computes_what_values_compute(pairs):
    """Right where ok; ok where all products fit; never ok without a result."""
    x, y = (
        Values(torch.tensor([form(v) for v in side]))
        for side in zip(*pairs, strict=True)
    )
    for operation, operate in OPERATIONS.items():
        result = operate(x, y)
        for row, pair in enumerate(pairs):
            wanted = exact(operation, *pair)
            got = tuple(result.forms[row].tolist())
            if result.ok[row]:
                assert wanted is not None and got == (wanted.p, wanted.q, wanted.s)
            else:
                assert got == (0, 0, 1)
                assert wanted is None or not must_work(operation, *pair), (
                    operation,
                    pair,
                )


@settings(deadline=None)
@given(values(), values())
def test_an_operator_in_each_row(x, y):
    x, y = (Values(torch.tensor([form(v)] * 5)) for v in (x, y))
    ops = torch.tensor([3, 4, 5, 6, EQUALS])  # + - * / =
    got = calculate(ops, x, y)
    for row, operation in enumerate("+-*/-"):
        wanted = OPERATIONS[operation](x, y)
        assert torch.equal(got.ok[row], wanted.ok[row])
        assert torch.equal(got.forms[row], wanted.forms[row])


def test_what_failed_stays_failed():
    one, zero = (Values(torch.tensor([[0, n, 1]])) for n in (1, 0))
    failed = one / zero
    for result in (failed + one, one - failed, failed * zero, -failed, failed.root()):
        assert not result.ok.any() and result.forms.tolist() == [[0, 0, 1]]


def test_random_large_sums_against_python():
    """Half a million sums of numbers of up to 62 bits: none wraps."""
    g = rng(3)
    p, q = (torch.randint(-SAFE + 1, SAFE, (2, 500_000), generator=g) for _ in range(2))
    one = torch.ones_like(p[0])
    x, y = (Values(torch.stack((p[i], q[i], one), -1)) for i in (0, 1))
    total = x + y
    for got, (a, b) in zip(
        total.forms[:2000].tolist(),
        zip(x.forms[:2000].tolist(), y.forms[:2000].tolist(), strict=True),
        strict=True,
    ):
        wanted = Value(a[0], a[1]) + Value(b[0], b[1])
        assert tuple(got) == (wanted.p, wanted.q, 1)
    assert total.ok.all()
    assert (
        total.forms[:, 0].double() - p[0].double() - p[1].double()
    ).abs().max() < 4096


def test_a_fraction_reads_the_same():
    x = Values(torch.tensor([[0, 1, 3], [2, 0, 3]]))
    total = x + Values(torch.tensor([[0, 1, 6], [1, 1, 6]]))
    assert tuples(total.forms) == [(0, 1, 2), (5, 1, 6)]
    assert Fraction(*total.forms[0, 1:].tolist()) == Fraction(1, 3) + Fraction(1, 6)


def test_a_kind_with_another_recipe_is_drawn_by_it(monkeypatch):
    """Tables are kept by recipe, not by the level's name."""
    level = Level("expr", 3)
    place = torch.zeros(40, dtype=torch.long)
    generate(place, [level], torch.Generator().manual_seed(0))
    only_plus = replace(problems.RECIPES["expr"], operators="+", parens=0)
    monkeypatch.setitem(problems.RECIPES, "expr", only_plus)
    found = generate(place, [level], torch.Generator().manual_seed(0)).kinds
    assert set(found.unique().tolist()) <= {0, 1, SYMBOLS.index("+"), SYMBOLS.index("("), SYMBOLS.index(")")}
