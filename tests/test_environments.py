"""The task, the calculator and the verifier, each against a second and simpler way to work the same thing out."""

import ast
import operator
import random
import re
import warnings
from fractions import Fraction

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from mna import environments as e

examples = settings(deadline=None, derandomize=True, max_examples=60)
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def fractions(pairs):
    return [Fraction(*pair) for pair in pairs.tolist()]


def pairs(values):
    return torch.tensor([Fraction(value).as_integer_ratio() for value in values])


def draw(name, n=300, seed=0, **more):
    return e.generate(torch.zeros(n, dtype=torch.long), (name,), rng(seed), **more)


# ---------------------------------------------------------------- a second evaluator: Python's own syntax tree


def evaluate(text, x=None):
    """The exact value of an expression with nothing between bars but a whole side of it."""
    bars = re.fullmatch(r"\|(.*)\|", text)

    def value(node):
        match node:
            case ast.Constant():
                return Fraction(node.value)
            case ast.Name():
                return x
            case ast.UnaryOp():
                return -value(node.operand)
        return OPERATORS[type(node.op)](value(node.left), value(node.right))

    result = value(ast.parse(bars[1] if bars else text, mode="eval").body)
    return abs(result) if bars else result


def solve(text):
    """The answer of an expression or of a linear equation, from its two sides at x = 0 and x = 1."""
    if "=" not in text:
        return evaluate(text)
    at_0, at_1 = (operator.sub(*(evaluate(side, Fraction(x)) for side in text.split("="))) for x in (0, 1))
    return at_0 / (at_0 - at_1)


# ---------------------------------------------------------------- the calculator

numbers = st.fractions(max_denominator=10**6).filter(lambda value: abs(value.numerator) < 10**9)
exact = {"ADD": operator.add, "SUB": operator.sub, "MUL": operator.mul, "DIV": operator.truediv}
exact["NEG"] = lambda x, y: -x


@examples
@given(st.lists(st.tuples(st.sampled_from(range(5)), numbers, numbers), min_size=1, max_size=20))
def test_each_tool_is_exact(calls):
    tools, xs, ys = zip(*calls, strict=True)
    results, ok = e.calculate(torch.tensor(tools), pairs(xs), pairs(ys))
    for (tool, x, y), result, works in zip(calls, results.tolist(), ok.tolist(), strict=True):
        name = e.TOOLS[tool].name
        assert works == (name != "DIV" or y != 0)
        wanted = exact[name](x, y) if works else Fraction(0)
        assert tuple(result) == wanted.as_integer_ratio()  # in lowest terms, the denominator above 0


@pytest.mark.parametrize("tool", range(5))
@examples
@given(st.integers(-(2**62), 2**62), st.integers(1, 2**62), st.integers(-(2**62), 2**62), st.integers(1, 2**62))
def test_a_call_beyond_64_bits_fails_and_never_wraps_around(tool, xn, xd, yn, yd):
    x, y = Fraction(xn, xd), Fraction(yn, yd)
    (result,), ok = e.calculate(torch.tensor([tool]), pairs([x]), pairs([y]))
    again = e.ScalarWorkspace.calculate(e.TOOLS[tool], *[x, y][: e.TOOLS[tool].arity])
    assert ok.item() == (again is not None)
    if ok:
        assert Fraction(*result.tolist()) == again == exact[e.TOOLS[tool].name](x, y)
    else:
        assert result.tolist() == [0, 1]


# ---------------------------------------------------------------- the parser


@st.composite
def expressions(draw, depth=4):
    """(text, value) of a random expression; the value is None where it divides by zero."""
    kinds = ["number"] * 2 + ["operator"] * 3 + ["minus", "bars", "parentheses"] if depth else ["number"]
    kind = draw(st.sampled_from(kinds))
    space = draw(st.sampled_from(["", "", " "]))
    if kind == "number":
        number = draw(st.integers(0, 99))
        return f"{space}{number}", Fraction(number)
    text, value = draw(expressions(depth - 1))
    match kind:
        case "minus":
            return f"-({text})", None if value is None else -value
        case "bars":
            return f"|{text}|", None if value is None else abs(value)
        case "parentheses":
            return f"({text}{space})", value
    other, right = draw(expressions(depth - 1))
    sign = draw(st.sampled_from("+-*/"))
    known = value is not None and right is not None and not (sign == "/" and right == 0)
    result = OPERATORS[type(ast.parse(f"1{sign}1", mode="eval").body.op)](value, right) if known else None
    right_text = other if re.fullmatch(r" ?-?\(?[\d ]+\)?|\|[^|]*\|", other) else f"({other})"
    return f"({text}){space}{sign}{right_text}", result


@examples
@given(expressions())
def test_the_parser_agrees_with_python_and_so_does_the_problem_it_shows(case):
    text, value = case
    if text.count("(") + text.count("|") > 20 or len(re.findall(r"\d+|-\(", text)) > e.MAX_NUMBERS:
        return
    if value is None:
        with pytest.raises(e.MNAError, match="zero"):
            e.parse(text)
        return
    assert e.parse(text).answer == value
    (shown,) = e.Problems.from_text([text]).texts()
    assert e.parse(shown).answer == value
    (again,) = e.Problems.from_text([shown]).texts()
    assert again == shown


@pytest.mark.parametrize(
    "text, answer",
    [
        ("(7*3+4)-(5*8)", -15), ("7", 7), ("-7", -7), ("007", 7), ("2--3", 5), ("2-3-4", -5), ("8/4/2", 1),
        ("1/3", Fraction(1, 3)), ("6/-(2)", -3), ("6/-|2|", -3), ("6/--(2)", 3), ("-(3)*4", -12), ("12/-(2)/3", -2),
        ("||3||", 3), ("|2-|3-5||", 0), ("|3|-|4|", -1), ("|" * 20 + "3" + "|" * 20, 3), ("-" * 15 + "(3)", -3),
        ("3*x+4=19", 5), ("3x+4=19", 5), ("3 x = 9", 3), ("19=3x+4", 5), ("x=2", 2), ("x/2=3", 6), ("-x=4", -4),
        ("2x=x", 0), ("3*(x-4)=19", Fraction(31, 3)), ("(x+1)/2=x-3", 7), ("x*(2-2)+x=1", 1), ("6/2x=9", 3),
        ("|3-5|*x=4", 2),
        ("1000000000000*1000000*x=1", Fraction(1, 10**18)),
    ],
)  # fmt: skip
def test_problems_that_are_read(text, answer):
    problem = e.parse(text)
    assert problem.answer == answer
    (shown,) = e.Problems.from_text(text).texts()
    assert e.parse(shown).answer == answer


BAD = {  # what is refused, and by which words, where the test does not make it up
    "empty": ["", "  "],
    "the end": ["7*", "((", "(", "x=", "|3", "|", "||", "|" * 63 + "1", "3+"],
    "expected ')'": ["(7", "(7=8", "(3|)", "(" * 31 + "1"],
    "expected a number": ["()", "*7", "+7", "7//2", "2**3", "=", "=3", "(*3)", "|*|"],
    "did not expect": ["7)", "7 8", "1=x=2", "(1))", "7(", "2|3|", "x|3|=1"],
    "in every product": ["2(x+1)=4", "3(4)", "(2)(3)", "x(3)=1", "xx=1", "x2=4", "x 3=1", "(x)3=1"],
    "unknown character": [
        "7,5", "1.5", "1e5", "٣+1", "²", "１+1", "½", "7−3", "7\n", "\t7", "X+1=2", "a+b", "__import__('os')"],
    "zero": ["7/0", "7/(3-3)", "1/(x-x)=2", "0/0", "1/|0|"],
    "write an equation": ["x+1", "x-x", "2*x", "x"],
    "no x": ["3=3", "3=4"],
    "endless": ["x=x", "0*x=0", "2x+1=1+2x"],
    "no solution": ["x=x+1", "0*x=3"],
    "linear": ["x*x=4", "1/x=2", "|x|=2", "x*(x+1)=x*x", "1/(x+1)=0"],
    "a number over": ["9" * 13, "9" * 10_000, "1000000000001"],
    "is too long": [
        "+".join("1" * 17), "(" * 10_000 + "1" + ")" * 10_000, "-" * 10_000 + "1", "1+" * 100_000, "-" * 40 + "(1)"],
    "64 bits": ["*".join(["1000000000000"] * 2), "1000000000000*1000000000000*x=1", "1/1000000000000/1000000000000"],
}  # fmt: skip
BAD = [(text, words) for words, texts in BAD.items() for text in texts]


@pytest.mark.parametrize("text, words", BAD, ids=lambda text: repr(text[:20]))
def test_a_bad_problem_is_refused_in_one_clear_line(text, words):
    for read in (e.parse, lambda text: e.Problems.from_text([text])):
        with pytest.raises(e.MNAError) as error:
            read(text)
        message = str(error.value)
        assert words in message and "\n" not in message and len(message) < 300
        assert repr(text[:20])[1:-1] in message  # the value
        assert error.value.__cause__ is None and error.value.__context__ is None


@settings(examples, max_examples=400)
@given(st.text(alphabet="0123456789+-*/()|=x ²٣\n", max_size=80))
def test_any_text_is_read_or_refused(text):
    try:
        problem = e.parse(text)
    except e.MNAError:
        return
    assert len(problem.kinds) <= e.MAX_TOKENS and isinstance(problem.answer, Fraction)
    assert e.parse(*e.Problems.from_text(text).texts()).answer == problem.answer


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: e.parse(7), "is no text"),
        (lambda: e.Problems.from_text([]), "0 problems"),
        (lambda: e.generate(torch.zeros(0, dtype=torch.long)), "0 problems"),
        (lambda: e.generate(torch.tensor([0, 3]), ("add",)), "0 to 0"),
        (lambda: e.generate(torch.tensor([-1])), "-1"),
        (lambda: e.generate(torch.tensor([0]), ("add", "tree9")), "'tree9'"),
        (lambda: e.generate(torch.tensor([0]), ()), "level ''"),
        (lambda: e.check_levels("tree9"), "levels: add, one_op"),
        (lambda: draw("add", split="validation"), "'validation'"),
        (lambda: draw("add", high=0), "high = 0"),
        (lambda: draw("add", high=10**13), "high = 10000000000000"),
        (lambda: [draw("add", high=1, split=split) for split in ("train", "test")], "another high"),
        (lambda: draw("tree7", high=10**12), "another high"),
        (lambda: e.Environment.start(draw("add"), flaky=-0.1), "flaky = -0.1"),
        (lambda: e.Environment.start(draw("add"), flaky=1.5), "flaky = 1.5"),
        (lambda: e.Environment.start(draw("add"), flaky=float("nan")), "flaky = nan"),
        (lambda: e.Environment.start(draw("add").select(torch.tensor([], dtype=torch.long))), "0 problems"),
        (lambda: e.Level("empty", "nothing"), "'empty'"),
        (lambda: e.Level("both", "", (("a+b", "a+b"),), operands=3), "'both'"),
        (lambda: e.Level("huge", "", operands=20), "2 to 8"),
        (lambda: e.Level("order", "", (("b+a", "a+b"),)), "letters go a, b, c"),
        (lambda: e.Level("twice", "", (("a*b", "a*a"),)), "each once"),
        (lambda: e.Level("wrong", "", (("a-b", "b-a"),)), "not solved"),
        (lambda: e.ArithmeticVectorEnv(0), "num_envs = 0"),
        (lambda: gymnasium.make("mna/Arithmetic-v0", levels=("tree9",)), "'tree9'"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_clear_line(call, words):
    with pytest.raises(e.MNAError) as error:
        call()
    assert words in str(error.value) and "\n" not in str(error.value)
    assert isinstance(error.value, ValueError)


# ---------------------------------------------------------------- the generator


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", e.FULL_LADDER)
def test_generated_problems_have_the_answer_that_python_gives(name, split):
    problems = draw(name, split=split)
    for text, answer, kinds, n_numbers in zip(
        problems.texts(), fractions(problems.answer), problems.kinds.tolist(), problems.n_numbers.tolist(), strict=True
    ):
        assert solve(text) == answer == e.parse(text).answer
        assert "=" in text or answer.denominator == 1
        assert kinds.count(e.NUMBER) == n_numbers and e.PAD not in kinds[: len(e.parse(text).kinds)]


@pytest.mark.parametrize("name", e.FULL_LADDER)
def test_a_problem_read_from_its_own_text_is_the_same_problem(name):
    drawn = draw(name)
    read = e.Problems.from_text(drawn.texts())
    for field in ("kinds", "values", "n_numbers", "answer"):
        assert torch.equal(getattr(drawn, field), getattr(read, field)), field
    assert (read.sub_tool == -1).all() and (read.level == -1).all()


@pytest.mark.parametrize("name", [name for name in e.FULL_LADDER if name.startswith("tree")])
def test_trees_have_the_fewest_parentheses(name):
    """Taking away any pair changes the syntax tree."""
    for text in draw(name, 60).texts():
        tree = ast.dump(ast.parse(text))
        for opening in [i for i, c in enumerate(text) if c == "("]:
            depth = 0
            for closing in range(opening, len(text)):
                depth += {"(": 1, ")": -1}.get(text[closing], 0)
                if depth == 0:
                    break
            bare = text[:opening] + text[opening + 1 : closing] + text[closing + 1 :]
            assert ast.dump(ast.parse(bare)) != tree


def canonical(text):
    """One text for all orders of the operands of + and *."""

    def write(node):
        if isinstance(node, ast.Constant | ast.Name):
            return ast.unparse(node)
        sides = [write(node.left), write(node.right)]
        if isinstance(node.op, ast.Add | ast.Mult):
            sides.sort()
        return f"({sides[0]}{type(node.op).__name__}{sides[1]})"

    return write(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize("name", e.FULL_LADDER)
def test_no_test_problem_is_ever_practised(name):
    seen = {}
    for split in ("train", "test"):
        texts = [text.strip("|") for text in draw(name, 1500, split=split).texts()]
        seen[split] = {tuple(canonical(side) for side in text.split("=")) for text in texts}
    assert len(seen["train"]) > 20 and len(seen["test"]) > 5
    assert not seen["train"] & seen["test"]


def test_one_problem_in_five_is_held_out():
    seen = {split: {tuple(sorted(map(int, t.split("+")))) for t in draw("add", 16_000, high=40, split=split).texts()}
            for split in ("train", "test")}  # fmt: skip
    assert len(seen["train"] | seen["test"]) == 820  # all of them
    assert 0.15 < len(seen["test"]) / 820 < 0.25


def test_levels_mix_and_the_same_seed_draws_the_same():
    level = torch.arange(len(e.FULL_LADDER)).repeat(20)
    first, second, third = (e.generate(level, e.FULL_LADDER, rng(seed)) for seed in (1, 1, 2))
    assert first.texts() == second.texts() != third.texts()
    assert torch.equal(first.level, level)
    assert first.kinds.shape[1] == max(len(e.parse(text).kinds) for text in first.texts())
    assert first.values.shape[1] == 7 == first.n_numbers.max()


def test_levels_are_drawn_evenly_and_numbers_from_1_to_high():
    problems = draw("one_op", 8000)
    tools = torch.bincount(problems.sub_tool[:, 0], minlength=5)
    assert tools[e.NEG] == 0 and (tools[: e.DIV] > 1500).all() and tools[e.DIV] > 300  # only exact divisions
    assert problems.values[:, :2, 0].unique().tolist() == list(range(1, 10))
    large = draw("mul_add", 2000, high=10**6).values[:, :, 0]
    assert large.min() >= 1 and 9 * 10**5 < large.max() <= 10**6


@pytest.mark.parametrize("name", e.FULL_LADDER)
def test_a_level_knows_the_numbers_of_its_longest_problem(name):
    assert e.LEVELS[name].numbers == draw(name, 200).n_numbers.max()


def test_the_longest_template_counts():
    assert e.Level("mixed", "", (("a+b", "a+b"), ("a*b+c-d", "a*b+c-d"), ("a-b", "a-b"))).numbers == 4
    assert e.Level("trees", "", operands=6).numbers == 6


def chains(numbers):
    """All values, up to their sign, of using each number once where no result ever waits."""
    found = {(frozenset(numbers) - {n}, Fraction(n)) for n in numbers}
    for _ in range(len(numbers) - 1):
        found = {(left - {n}, abs(value)) for left, v in found for n in left
                 for value in (v + n, v - n, v * n, n and v / n, v and n / v)}  # fmt: skip
    return {value for _, value in found}


@pytest.mark.parametrize("name", [name for name in e.FULL_LADDER if e.LEVELS[name].templates])
def test_a_level_needs_memory_just_where_each_of_its_templates_does(name):
    """Whatever is called in whatever order, the answer is not to be had without a result that waits."""
    level, numbers = e.LEVELS[name], (1009, 2131, 3253, 4397, 5501)  # without a relation between them
    for template, _ in level.templates:
        text = template.translate(str.maketrans(dict(zip("abcde", map(str, numbers), strict=True))))
        problem = e.parse(text)
        assert (abs(problem.answer) not in chains(problem.numbers)) == level.needs_memory, template


def test_two_products_multiplies_sums_and_differences():
    tools = draw("two_products", 1000).sub_tool
    assert {tuple(row) for row in tools.tolist()} == {(a, b, e.MUL) for a in (e.ADD, e.SUB) for b in (e.ADD, e.SUB)}


def test_a_constant_is_made_once():
    one, two, other = (e.constant(values, torch.long, torch.device("cpu")) for values in ((1, 2), (1, 2), (2, 1)))
    assert one is two and one.tolist() == [1, 2] and other.tolist() == [2, 1] and one.dtype == torch.long


# ---------------------------------------------------------------- the environment


def step(env, verb, tool=0, x=0, y=0, generator=None):
    """One decision of the same kind for every problem."""
    B = len(env)
    tool = e.TOOLS.index(next(t for t in e.TOOLS if t.name == tool)) if isinstance(tool, str) else tool
    full = torch.full((B,), verb), torch.full((B,), tool), pairs([x] * B), pairs([y] * B)
    return env.step(*full, generator)


def start(text, **more):
    return e.Environment.start(e.Problems.from_text([text]), **more)


@pytest.mark.parametrize("name", e.FULL_LADDER)
def test_the_sub_tasks_in_order_earn_all_the_reward(name):
    problems = draw(name, 200)
    env, total = e.Environment.start(problems, shaping=0.75), torch.zeros(200)
    for m in range(problems.sub_tool.shape[1]):
        tool, x, y = problems.sub_tool[:, m], problems.sub_x[:, m], problems.sub_y[:, m]
        feedback = env.step(torch.where(tool >= 0, e.CALL, e.THINK), tool.clamp(min=0), x, y)
        assert torch.equal(feedback.present, tool >= 0) and not feedback.failed.any()
        total += feedback.reward
        total += step(env, e.KEEP).reward
    torch.testing.assert_close(total, torch.full((200,), 0.75))
    feedback = env.step(torch.full((200,), e.SAY), torch.zeros(200, dtype=torch.long), problems.answer, problems.answer)
    assert feedback.correct.all() and feedback.done.all() and (feedback.reward == 1).all()


def test_operands_of_sums_and_products_earn_the_sub_task_in_any_order_and_once():
    problems = draw("mul_add", 1)
    (_, x, y), _ = e.sub_tasks(problems, 0)
    env = e.Environment.start(problems)
    assert step(env, e.CALL, "MUL", y, x).reward == 0.5
    assert step(env, e.CALL, "MUL", y, x).failed  # each value is used once


def test_two_sub_tasks_that_are_alike_are_rewarded_one_by_one():
    twins = draw("two_products", 400, high=2)
    row = next(i for i, text in enumerate(twins.texts()) if text in ("(1-2)*(1-2)", "(2-1)*(2-1)"))
    (tool, x, y), *_ = e.sub_tasks(twins, row)
    twins = twins.select(torch.tensor([row]))
    env = e.Environment.start(twins)
    assert step(env, e.CALL, tool, y, x).reward == 0  # a difference has one order
    env = e.Environment.start(twins)
    again = (e.CALL, tool, x, y), (e.KEEP,), (e.CALL, tool, x, y)
    rewards = [step(env, *decision).reward.item() for decision in again]
    assert rewards == pytest.approx([1 / 3, 0, 1 / 3])


def test_a_sub_task_that_was_done_is_not_rewarded_again():
    problems = draw("abs_diff", 50)
    row = next(row for row in range(50) if len(e.sub_tasks(problems, row)) == 4)
    env = e.Environment.start(problems.select(torch.tensor([row])))
    rewards = []
    for tool, x, y in e.sub_tasks(problems, row):
        rewards += [step(env, e.CALL, tool, x, y or 0).reward.item(), step(env, e.KEEP).reward.item()]
    assert rewards == [0.25, 0] * 4
    assert step(env, e.CALL, "NEG", -x).reward == 0 and step(env, e.CALL, "NEG", x).reward == 0


def test_a_result_neither_used_nor_kept_is_lost():
    env = start("(2+3)*(4+6)")
    assert step(env, e.CALL, "ADD", 2, 3).value.tolist() == [[5, 1]]
    feedback = step(env, e.CALL, "ADD", 4, 6)
    assert feedback.done and feedback.reward == 0 and not feedback.correct

    env = start("(2+3)*(4+6)")
    step(env, e.CALL, "ADD", 2, 3)
    step(env, e.KEEP)
    assert not step(env, e.CALL, "ADD", 4, 6).done
    assert step(env, e.CALL, "MUL", 5, 10).value.tolist() == [[50, 1]]
    feedback = step(env, e.SAY, x=50)
    assert feedback.correct and feedback.reward == 1


@pytest.mark.parametrize("call", [("ADD", 2, 2), ("ADD", 5, 2), ("NEG", 7), ("DIV", 2, 0), ("MUL", Fraction(1, 2), 2)])
def test_a_value_that_is_not_live_is_refused_and_nothing_changes(call):
    env = start("2+3-0")
    cells, live = env.cells.clone(), env.live.clone()
    feedback = step(env, e.CALL, *call)
    assert feedback.failed and not feedback.present and not feedback.done and feedback.reward == 0
    assert torch.equal(env.cells, cells) and torch.equal(env.live, live) and env.decisions == 1


def test_each_copy_of_a_value_can_be_used_once():
    env = start("2*2+2")
    assert step(env, e.CALL, "MUL", 2, 2).present
    assert step(env, e.CALL, "ADD", 4, 2).present
    assert step(env, e.SAY, x=6).correct


def test_an_answer_counts_only_when_one_value_is_left():
    for answer, calls, correct in ((5, 0, False), (5, 1, True), (4, 1, False), (Fraction(10, 2), 1, True)):
        env = start("2+3")
        if calls:
            step(env, e.CALL, "ADD", 2, 3)
        feedback = step(env, e.SAY, x=answer)
        assert feedback.done and feedback.correct == correct and feedback.reward == (1 if correct else 0)
        after = step(env, e.SAY, x=5)
        assert after.done and not after.correct and after.reward == 0


def test_an_episode_ends_at_its_bound():
    env = start("2+3")
    told = [step(env, e.THINK) for _ in range(env.bound.item())]
    assert [f.done.item() for f in told] == [False] * 9 + [True] and env.decisions == 10
    assert not any(f.reward or f.correct for f in told)
    late = step(env, e.CALL, "ADD", 2, 3)
    assert late.done and not late.present and late.reward == 0 and env.decisions == 10


def test_a_negative_denominator_counts_by_its_size():
    x, y = torch.tensor([[1, -(2**40)]]), torch.tensor([[1, 2**21]])
    result, ok = e.calculate(torch.tensor([e.MUL]), x, y)
    assert not ok.any() and result.tolist() == [[0, 1]]


def test_a_call_that_overflows_fails():
    env = start("1000000000000*1000000000000/1000000000000")
    assert step(env, e.CALL, "MUL", 10**12, 10**12).failed and not env.done
    assert step(env, e.CALL, "NEG", 10**12, 10**12).present  # a unary tool does not look at y


def test_a_flaky_tool_says_so_and_can_be_called_again():
    env = start("2+3", flaky=1.0)
    assert step(env, e.CALL, "ADD", 2, 3).failed
    env.flaky.zero_()
    assert step(env, e.CALL, "ADD", 2, 3).present
    env = e.Environment.start(draw("add", 4000), flaky=0.3)
    x, y = env.problems.values.unbind(1)
    feedback = env.step(torch.full((4000,), e.CALL), torch.zeros(4000, dtype=torch.long), x, y, rng())
    assert 0.27 < feedback.failed.float().mean() < 0.33 and (feedback.failed ^ feedback.present).all()


def a_decision(chance, scalar):
    """A random decision (verb, tool, x, y), most often one that makes sense."""
    if scalar.due and chance.random() < 0.4:
        name, x, y = scalar.due[0]
        return e.CALL, [tool.name for tool in e.TOOLS].index(name), x, x if y is None else y
    verb = chance.choices([e.THINK, e.KEEP, e.CALL, e.SAY], [2, 4, 8, 1 if len(scalar.live) > 1 else 6])[0]
    sensible = scalar.live + [scalar.result or Fraction(0)]
    pool = sensible if chance.random() < 0.9 else [Fraction(chance.randint(-9, 9), 3)]
    distinct = len(scalar.live) > 1 and chance.random() < 0.8
    x, y = chance.sample(scalar.live, 2) if distinct else chance.choices(pool, k=2)
    return verb, chance.randrange(len(e.TOOLS)), x, y


def in_the_scalar_one(scalar, verb, tool, x, y, broken):
    """The same decision there."""
    if verb == e.CALL:
        return scalar.call(e.TOOLS[tool].name, x, y, broken)
    return scalar.answer(x) if verb == e.SAY else scalar.keep() if verb == e.KEEP else scalar.think()


def test_on_plan_an_episode_ends_at_the_first_call_that_does_no_sub_task():
    problems = draw("mul_add", 1)
    (product, *_), (x, y, *_) = problems.sub_tool[0].tolist(), problems.values[0]
    typed = e.Problems.from_text(problems.texts())  # has no sub-tasks, so no plan to stay on
    for which, on_plan in ((problems, False), (problems, True), (typed, True)):
        for first, second in ((x, y), (y, problems.values[0, 2])):
            env = e.Environment.start(which, on_plan=on_plan)
            feedback = env.step(torch.tensor([e.CALL]), torch.tensor([product]), first[None], second[None])
            assert feedback.present.item()
            assert feedback.done.item() == (on_plan and which is problems and feedback.reward.item() == 0)
    assert env.unsaved.item()
    env = e.Environment.start(problems, flaky=1.0, on_plan=True)  # a call that failed is not off the plan
    feedback = env.step(torch.tensor([e.CALL]), torch.tensor([product]), y[None], x[None], rng())
    assert feedback.failed.item() and not feedback.done.item()


TEXTS = ["2+3", "(2+2)*(2+2)", "1000000000000*1000000000000*0-1", "7", "|1-9|*3", "x/3=4", "5-5-5-5", "-(3)*-2"]


@pytest.mark.parametrize("seed", range(12))
def test_the_batched_environment_agrees_with_the_scalar_one_on_random_play(seed):
    B, chance, shaping = 48, random.Random(seed), 1.0 + seed % 2
    if seed % 3 == 2:
        problems = e.Problems.from_text(chance.choices(TEXTS, k=B))
    else:
        level = torch.randint(len(e.FULL_LADDER), (B,), generator=rng(seed))
        problems = e.generate(level, e.FULL_LADDER, rng(seed), high=3 if seed % 3 else None)
    on_plan = seed % 6 == 1
    env = e.Environment.start(problems, shaping=shaping, on_plan=on_plan)
    scalars = [e.ScalarEnvironment(text, e.sub_tasks(problems, b), shaping, on_plan)
               for b, text in enumerate(problems.texts())]  # fmt: skip
    assert env.bound.tolist() == [scalar.bound for scalar in scalars]
    seen, total = set(), torch.zeros(B)
    for t in range(int(env.bound.max()) + 2):
        if t % 7 == 6 and len(scalars) > 8:  # some problems leave the batch
            keep = sorted(chance.sample(range(len(scalars)), len(scalars) - 5))
            env, scalars, total = env.select(torch.tensor(keep)), [scalars[b] for b in keep], total[keep]
        decisions = [a_decision(chance, scalar) for scalar in scalars]
        broken = [chance.random() < 0.2 for _ in scalars]
        env.flaky = torch.tensor(broken).float()
        verb, tool, x, y = zip(*decisions, strict=True)
        feedback = env.step(torch.tensor(verb), torch.tensor(tool), pairs(x), pairs(y), rng(t))
        total += feedback.reward
        assert (feedback.reward >= 0).all() and (total <= 1 + shaping + 1e-5).all()
        for b, scalar in enumerate(scalars):
            wanted = in_the_scalar_one(scalar, *decisions[b], broken[b])
            for name in ("present", "sign", "failed", "done", "correct"):
                assert getattr(feedback, name)[b].item() == getattr(wanted, name), (name, t, b, decisions[b])
            assert feedback.reward[b].item() == pytest.approx(wanted.reward)
            assert not wanted.present or Fraction(*feedback.value[b].tolist()) == wanted.value
            live = [Fraction(*value) for value in env.cells[:, env.live[:, b], b].T.tolist()]
            assert sorted(live) == sorted(scalar.live) and env.decisions[b].item() == scalar.decisions
            seen |= {(verb[b], name) for name in ("present", "failed", "correct", "done") if getattr(wanted, name)}
    assert env.done.all()
    assert {(e.CALL, "present"), (e.CALL, "failed"), (e.CALL, "done"), (e.SAY, "correct")} <= seen


def assert_same_rows(one, other):
    for name, part in vars(one).items():
        new = getattr(other, name)
        assert_same_rows(part, new) if isinstance(part, e.Rows) else torch.testing.assert_close(part, new)


def test_joined_problems_are_the_first_ones_and_then_the_others():
    problems = draw("seed_hard", 10)
    whole = e.Environment.start(problems, flaky=0.25)
    step(whole, e.CALL, "MUL", 0, 0)
    one, two = (whole.select(torch.arange(10) >= 6), whole.select(torch.arange(10) < 6))
    step(two, e.SAY, x=0)
    both = one.joined(two)
    assert len(one) == 4 and len(two) == 6 and len(both) == 10 and type(both) is e.Environment
    assert both.problems.texts() == problems.texts()[6:] + problems.texts()[:6]
    assert both.done.tolist() == [False] * 4 + [True] * 6 and both.decisions.tolist() == [1] * 4 + [2] * 6
    assert_same_rows(both.select(torch.arange(4)), one)  # nested problems, and arrays whose last dimension counts
    assert_same_rows(both.select(torch.arange(4, 10)), two)
    step(both, e.SAY, x=0)
    assert both.done.all() and not one.done.any() and two.decisions.tolist() == [2] * 6  # nothing is shared


def test_problems_drawn_untrimmed_can_be_joined_with_those_of_another_draw():
    ladder = ("add", "abs_diff", "tree5")
    few, more = (e.generate(torch.tensor(level), ladder, rng(3), trim=False) for level in ([0, 0], [2, 1, 0]))
    both = few.joined(more)
    assert both.texts() == few.texts() + more.texts() and both.level.tolist() == [0, 0, 2, 1, 0]
    assert both.trimmed().texts() == both.texts() and len(both.trimmed()) == 5


def test_select_and_put_move_whole_problems():
    problems = draw("seed_hard", 10)
    env = e.Environment.start(problems)
    step(env, e.THINK)
    rows = torch.tensor([7, 2])
    two = env.select(rows)
    assert len(two) == 2 and two.problems.texts() == [problems.texts()[7], problems.texts()[2]]
    assert env.select(torch.arange(10) == 7).problems.texts() == problems.texts()[7:8]
    step(two, e.SAY, x=0)
    assert not env.done.any() and two.done.all()
    env.put(rows, two)
    assert env.done.nonzero()[:, 0].tolist() == [2, 7] and env.problems.texts() == problems.texts()


# ---------------------------------------------------------------- more tools, more levels


@pytest.fixture
def registry():
    """Tools and levels that a test adds are gone after it."""
    tools, levels = list(e.TOOLS), dict(e.LEVELS)
    yield
    e.TOOLS[:] = tools
    e.LEVELS.clear()
    e.LEVELS.update(levels)


def test_a_tool_takes_a_few_lines(registry):
    e.TOOLS.append(e.Tool("MAX", 2, lambda xn, xd, yn, yd: (
        xn * yd + yn * xd + abs(xn * yd - yn * xd), 2 * xd * yd), commutes=True))  # fmt: skip
    x, y = [Fraction(1, 2), 3, -4], [Fraction(2, 3), -3, Fraction(-9, 2)]
    results, ok = e.calculate(torch.full((3,), 5), pairs(x), pairs(y))
    assert fractions(results) == [max(pair) for pair in zip(x, y, strict=True)] and ok.all()
    env = start("2+3")
    assert step(env, e.CALL, "MAX", 2, 3).value.tolist() == [[3, 1]]
    assert e.ScalarEnvironment("2+3").call("MAX", 2, 3).value == 3
    single = gymnasium.make("mna/Arithmetic-v0", levels=("add",)).unwrapped
    single.reset(seed=0)
    *_, info = single.step(5)
    assert single.action_space.n == 6 + 1 + 2 and info["action_mask"][-2:].all()


def test_a_level_takes_a_few_lines(registry):
    e.LEVELS["average"] = e.Level("average", "undo a division", (("(a+x)/b=c", "c*b-a"),), high=12)
    problems = draw("average", 50)
    assert all(solve(text) == answer for text, answer in zip(problems.texts(), fractions(problems.answer), strict=True))
    assert [tool for tool, _, _ in e.sub_tasks(problems, 0)] == ["MUL", "SUB"]
    e.LEVELS["tree8"] = e.Level("tree8", "deeper still", operands=8)
    problems = draw("tree8", 20)
    assert all(solve(text) == answer for text, answer in zip(problems.texts(), fractions(problems.answer), strict=True))


# ---------------------------------------------------------------- gymnasium


def random_legal(mask, chance):
    """One legal action a row."""
    return (chance.random(mask.shape) * mask).argmax(-1)


def make(num_envs=None, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if num_envs is None:
            return gymnasium.make("mna/Arithmetic-v0", **more)
        return gymnasium.make_vec("mna/Arithmetic-v0", num_envs=num_envs, **more)


@pytest.mark.parametrize("more", [{}, {"levels": e.FULL_LADDER, "flaky": 0.2}], ids=["seed", "full, flaky"])
def test_the_single_environment_passes_the_checker(more):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(**more).unwrapped)


def test_the_vector_environment_follows_the_interface():
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(make(7, levels=("chain", "add")))
    observations, info = envs.reset(seed=3)
    again, _ = make(7, levels=("chain", "add")).reset(seed=3)
    other, _ = make(7, levels=("chain", "add")).reset(seed=4)
    assert np.array_equal(observations, again) and not np.array_equal(observations, other)
    chance, episodes = np.random.default_rng(0), 0
    for _ in range(200):
        assert observations.shape == (7, *envs.single_observation_space.shape) and observations.dtype == np.float32
        assert envs.observation_space.contains(observations)
        assert info["action_mask"].shape == (7, envs.single_action_space.n)
        before = observations.copy(), info["action_mask"].copy()
        earlier, mask = observations, info["action_mask"]
        observations, rewards, terminated, truncated, info = envs.step(random_legal(mask, chance))
        assert np.array_equal(earlier, before[0]) and np.array_equal(mask, before[1])  # what was given stays
        assert rewards.shape == terminated.shape == (7,) and terminated.dtype == bool and not truncated.any()
        assert not info["correct"][~terminated].any()
        if terminated.any():
            episodes += int(terminated.sum())
            assert np.array_equal(info["_final_obs"], terminated)
            assert envs.observation_space.contains(info["final_obs"])
            assert (info["episode"]["l"][terminated] <= 20).all()
    assert episodes > 50


def test_single_and_vector_environments_play_the_same_game():
    """Gymnasium's own vector of single environments, and ours, on the same problems."""
    ours = make(5, levels=("two_products",)).unwrapped
    single = [make(levels=("two_products",)).unwrapped for _ in range(5)]
    seen, info = ours.reset(seed=0)
    for i, env in enumerate(single):
        env.reset(seed=i)
        env.registers = ours.registers.select(torch.tensor([i]))
        env.mask = e.legal_actions(env.registers)
    chance, over = np.random.default_rng(1), np.zeros(5, dtype=bool)
    for _ in range(12):
        actions = random_legal(info["action_mask"], chance)
        seen, rewards, terminated, _, info = ours.step(actions)
        for i in np.flatnonzero(~over):
            alone, reward, done, truncated, alone_info = single[i].step(actions[i])
            assert (reward, done, truncated) == (rewards[i], terminated[i], False)
            assert np.array_equal(alone, info["final_obs"][i] if done else seen[i])
            assert done or np.array_equal(alone_info["action_mask"], info["action_mask"][i])
        over |= terminated


def test_random_legal_play_never_errs_and_ends_within_the_bound():
    names, chance = ("add", "chain", "tree5", "abs_diff", "linear2"), np.random.default_rng(0)
    env = make(levels=names, flaky=0.1).unwrapped
    for episode in range(40):
        _, info = env.reset(seed=episode)
        bound, done, decisions = env.registers.env.bound.item(), False, 0
        while not done:
            mask = info["action_mask"]
            assert mask.any()
            _, _, done, truncated, info = env.step(random_legal(mask, chance))
            decisions += 1
            assert not truncated and decisions <= bound
    assert re.search(r"R\d=-?\d+", env.render())


def read_observation(row, L, N):
    """What an observation says, taken apart by hand."""
    parts, at = {}, 0
    sizes = {"kinds": L * 10, "live": N, "phase": 3, "tool": 6, "left": N, "last": N, "sign": 1, "failed": 1}
    for name, size in sizes.items():
        parts[name], at = row[at : at + size].tolist(), at + size
    assert at == len(row)
    parts["kinds"] = [parts["kinds"][i : i + 10] for i in range(0, 10 * L, 10)]
    parts["kinds"] = [token.index(1) + 1 if 1 in token else e.PAD for token in parts["kinds"]]
    for name in ("phase", "tool", "left", "last"):
        assert sum(parts[name]) <= 1
        parts[name] = parts[name].index(1) if 1 in parts[name] else None
    return parts


def test_an_observation_says_what_happened_and_no_value():
    text, names = "2-3-(4-4)", e.action_names(4)
    registers = e.Registers.start(e.Problems.from_text(text))
    SUB, DIV, NEG = e.SUB, e.DIV, e.NEG
    expected = [  # action, then phase, tool, left, live registers, the last result's register, its sign, failed
        ("SUB", 1, SUB, None, [1, 1, 1, 1], None, 0, 0), ("R0", 2, SUB, 0, [1, 1, 1, 1], None, 0, 0),
        ("R1", 0, SUB, 0, [1, 0, 1, 1], 0, -1, 0),
        ("SUB", 1, SUB, None, [1, 0, 1, 1], 0, -1, 0), ("R2", 2, SUB, 2, [1, 0, 1, 1], 0, -1, 0),
        ("R3", 0, SUB, 2, [1, 0, 1, 0], 2, 0, 0),
        ("DIV", 1, DIV, None, [1, 0, 1, 0], 2, 0, 0), ("R0", 2, DIV, 0, [1, 0, 1, 0], 2, 0, 0),
        ("R2", 0, DIV, 0, [1, 0, 1, 0], 2, 0, 1),  # -1 divided by 0
        ("SUB", 1, SUB, None, [1, 0, 1, 0], 2, 0, 1), ("R0", 2, SUB, 0, [1, 0, 1, 0], 2, 0, 1),
        ("R2", 0, SUB, 0, [1, 0, 0, 0], 0, -1, 0),
        ("NEG", 1, NEG, None, [1, 0, 0, 0], 0, -1, 0), ("R0", 0, NEG, 0, [1, 0, 0, 0], 0, 1, 0),
    ]  # fmt: skip
    for action, phase, tool, left, live, last, sign, failed in expected:
        e.take_action(registers, torch.tensor([names.index(action)]))
        seen = read_observation(e.observation(registers)[0], 9, 4)
        assert seen == {"kinds": list(e.parse(text).kinds), "live": live, "phase": phase, "tool": tool, "left": left,
                        "last": last, "sign": [sign], "failed": [failed]}, action  # fmt: skip


def test_what_the_mask_allows_the_calculator_does():
    """Only a division by zero fails, and a register that was pointed at is not on offer again."""
    registers, chance, n_fixed = e.Registers.start(draw("tree5", 400)), rng(), len(e.TOOLS) + 1
    for _ in range(30):
        mask, right = e.legal_actions(registers), registers.phase == e.RIGHT
        assert mask.any(1).all() and mask.shape == (400, n_fixed + 5)
        assert not mask[right].gather(1, registers.left[right, None] + n_fixed).any()
        action = torch.multinomial(mask.float(), 1, generator=chance)[:, 0]
        divisor = registers.values[0].gather(0, (action - n_fixed).clamp(min=0)[None])[0]
        going = ~registers.env.done
        feedback = e.take_action(registers, action, chance)
        assert torch.equal(feedback.failed, going & right & (registers.tool == e.DIV) & (divisor == 0))
    assert registers.env.done.all()


def test_actions_that_the_mask_forbids_are_refused_and_change_nothing():
    env = make(levels=("mul_add",)).unwrapped
    _, info = env.reset(seed=0)
    text = env.render()
    for action in [i for i, legal in enumerate(info["action_mask"]) if not legal] + [-1, 99]:
        with pytest.raises(e.MNAError, match=f"action {action} is not legal .* 0 ADD, 1 SUB, 2 MUL, 3 DIV, 4 NEG"):
            env.step(action)
    assert env.render() == text and env.registers.env.decisions == 0
    with pytest.raises(e.MNAError, match="one action a problem"):
        make(3).step(np.zeros(2, dtype=int))


@pytest.mark.parametrize("name", ["two_products", "seed_hard", "abs_diff", "tree6", "linear2"])
def test_registers_keep_every_result(name):
    """The solution's calls, each operand named by its register, earn all the reward; nothing is stored by hand."""
    env, ANSWER = make(levels=(name,)).unwrapped, len(e.TOOLS)
    for seed in range(10):
        env.reset(seed=seed)
        total, problems = 0.0, env.registers.env.problems
        for tool, x, y in e.sub_tasks(problems, 0):
            total += env.step(next(i for i, t in enumerate(e.TOOLS) if t.name == tool))[1]
            used = None
            for value in (x, y) if y is not None else (x,):
                live = env.registers.live[:, 0].tolist()
                values = [Fraction(*v) for v in env.registers.values[..., 0].T.tolist()]
                used = next(i for i in range(len(live)) if live[i] and i != used and values[i] == value)
                total += env.step(ANSWER + 1 + used)[1]
        seen, reward, done, _, info = env.step(ANSWER)
        assert done and info["correct"] and total + reward == pytest.approx(2)


def test_random_legal_play_hardly_ever_solves_the_hardest_problem():
    envs, chance = make(512, levels=("seed_hard",)), np.random.default_rng(0)
    _, info = envs.reset(seed=0)
    solved = over = 0
    while over < 3000:
        _, _, terminated, _, info = envs.step(random_legal(info["action_mask"], chance))
        over, solved = over + terminated.sum(), solved + info["correct"].sum()
    assert 0 < solved / over < 0.02


def test_a_call_that_would_lose_a_result_is_not_made_and_earns_nothing():
    """Made, it would be paid as a sub-task: agents learned to collect that and end the episode."""
    problems = draw("two_products", 300)
    env, chance = e.Environment.start(problems), rng()
    first, second = (tuple(part[:, i] for part in (problems.sub_tool, problems.sub_x, problems.sub_y)) for i in (0, 1))
    call = torch.full((300,), e.CALL)
    assert (env.step(call, *first, chance).reward > 0).all()
    uses = (second[1] == env.result.T).all(1) | (second[2] == env.result.T).all(1)
    feedback = env.step(call, *second, chance)
    assert (~uses).any() and (feedback.reward[~uses] == 0).all()
    assert feedback.failed[~uses].all() and feedback.done[~uses].all() and not feedback.present[~uses].any()


def test_every_template_of_a_level_is_drawn_as_often_and_nothing_is_divided_by_one():
    problems = draw("one_op", 4000)
    share = torch.bincount(problems.sub_tool[:, 0], minlength=4)[:4] / 4000
    assert ((share - 0.25).abs() < 0.04).all()
    divided = problems.sub_tool[:, 0] == e.DIV
    assert (problems.sub_y[divided, 0, 0] > 1).all()
