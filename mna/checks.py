"""Checks of the exercises: `check("2.1", answer)` says whether an answer is right."""

# A check is a function of the answer. It returns None where the answer is right, else
# one sentence that says what is wrong. It may raise: `check` tells that in a sentence
# too. Each chapter has a section of its own below, in the order of the chapters.
# (A longer docstring above would be copied into mna/__init__.py by nbdev-export.)

from collections.abc import Callable

from mna.language import MNAError

CHECKS: dict[str, Callable[[object], str | None]] = {}


class Verdict(str):
    """What a check says. It is printed, so that a notebook need not show it again."""

    def _ipython_display_(self) -> None:
        pass


def check_for(exercise: str) -> Callable:
    """A decorator for the function that checks this exercise, such as "2.1"."""

    def register(judge: Callable[[object], str | None]) -> Callable:
        if exercise in CHECKS:
            raise MNAError(f"exercise {exercise!r} has a check; give this another id")
        CHECKS[exercise] = judge
        return judge

    return register


def check(exercise: str, answer: object) -> Verdict:
    """Print and return "passed", or a sentence that says why not.

    Raises MNAError for an exercise that does not exist; nothing that the answer raises.
    """
    if exercise not in CHECKS:
        known = ", ".join(CHECKS) or "none yet"
        raise MNAError(f"there is no exercise {exercise!r}; exercises: {known}")
    try:
        said = CHECKS[exercise](answer) or "passed"
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or "without a message"
        said = f"checking the answer raised {type(error).__name__}: {reason}"
    print(said)
    return Verdict(said)


# ---------------------------------------------------------------- 0 First contact


# ---------------------------------------------------------------- 1 Environments


@check_for("1.1")
def pay_by_value(pay):
    if len(pay) != 3:
        return f"{len(pay)} payments were given; two calls and an answer make three"
    if [float(part) for part in pay] != [0.5, 0.5, 1.0]:
        return f"{pay} is not what is paid; play it, and look at each reward"


@check_for("1.2")
def looks_at_the_result(play_bars):
    from mna.environments import Arithmetic
    from mna.language import parse

    for text in ("|5-3|*2", "|3-5|*2", "|4-4|*7", "|1-9|*1"):
        env = Arithmetic(parse(text))
        if not play_bars(env).correct:
            return f"{text} is {env.problem.answer}, and {env.given} was answered"


@check_for("1.3")
def each_value_as_often_as_it_is_there(legal_calls):
    from mna.environments import Arithmetic
    from mna.language import parse

    for text, count in (("2+3", 12), ("3*3", 12), ("7", 2), ("2*(3+4)", 30)):
        if len(found := legal_calls(Arithmetic(parse(text)))) != count:
            return f"{len(found)} calls were listed for {text}, and there are {count}"


@check_for("1.4")
def multiplies_and_adds(tool):
    from mna.language import Value

    if tool.arity != 3:
        return f"the tool takes {tool.arity} values; x*y + z needs three"
    for x, y, z in ((2, 3, 4), (-1, 5, 5), (7, 0, 2)):
        if (found := tool.apply(*map(Value.of, (x, y, z)))) != Value.of(x * y + z):
            return f"of {x}, {y} and {z} it makes {found}; it should be {x * y + z}"


@check_for("1.5")
def a_plot_of_luck(ax):
    if not ax.lines or len(ax.lines[0].get_xdata()) < 4:
        return "the axes have no line of four points or more"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    x, y = ax.lines[0].get_xdata(), ax.lines[0].get_ydata()
    if not (min(x) >= 0 and 0.4 <= max(x) <= 0.8):
        return "take values of flaky from 0 to between 0.4 and 0.8"
    if not all(5 <= share <= 30 for share in y):
        return "one share is far from what luck reaches on expr2; are they percent?"


@check_for("1.6")
def plans_by_hand(planner):
    import random
    from itertools import permutations

    from mna.environments import TOOLS, Arithmetic
    from mna.problems import draw

    right, rng = 0, random.Random(16)
    for _ in range(40):
        env = Arithmetic(draw("expr4", rng))
        for _ in range(env.bound):
            choices = [(tool.name, *values) for tool in TOOLS.values()
                       for values in permutations(env.live.elements(), tool.arity)]
            if env.live.total() == 1:
                choices.append(("ANSWER", *env.live))
            name, *values = planner(env, choices)
            if name == "ANSWER":
                right += env.answer(*values).correct
                break
            env.call(name, *values)
    if right < 20:
        return f"{right} of 40 problems of expr4 are right; half of them are wanted"


# ---------------------------------------------------------------- A The language


@check_for("A.1")
def predicts(answers):
    from mna.language import parse

    texts = ("-2^2", "6/2(1+2)", "1/2x=5", "|1|-2|3|")
    if len(answers) != len(texts):
        return f"{len(answers)} answers for {len(texts)} texts"
    wrong = [text for text, answer in zip(texts, answers, strict=True)
             if answer != parse(text).answer]
    if wrong:
        return f"not yet right: {', '.join(wrong)}"


@check_for("A.2")
def is_postfix(postfix):
    from mna.language import number_text, parse

    cases = {"5": "5", "3*(4+5)": "3 4 5 + *", "2*x-7=0.5": "2 x * 7 - 0.5 =",
             "-|3-8|/2": "3 8 - abs neg 2 /", "9-3-4": "9 3 - 4 -"}
    for text, right in cases.items():
        problem = parse(text)
        words = list(map(number_text, problem.values))
        if (said := postfix(problem.tree, words)) != right:
            return f"{text} became {said!r:.60}, and should be {right!r}"


@check_for("A.3")
def calculates(calculate):
    cases = {"2+3+4": 9, "9-3-4": 2, "9-3+4": 10, "9-(3-4)": 10, "2*3-4*(5-1)-1": -11}
    for text, right in cases.items():
        if (said := calculate(text)) != right:
            return f"{text} is {said!r:.60} here, and should be {right}"


@check_for("A.4")
def shows_both_counts(ax):
    if not hasattr(ax, "get_lines"):
        return "the answer is axes that hold two lines: fig, ax = plt.subplots()"
    lines = sorted(list(map(float, line.get_ydata())) for line in ax.get_lines())
    if lines != [[0.0] + [1.0] * 9, [float(n) for n in range(10)]]:
        return f"the {len(lines)} lines are not the two counts for 1 to 10 products"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "the axes have no labels"


@check_for("A.5")
def reads_more(answer):
    from mna.language import parse

    tidy, cases = answer
    if len(cases) < 3:
        return f"{len(cases)} cases; find at least three"
    for text in ("3*(4+5)", "2x+1=7", "15%*80", "|3-8|"):
        if tidy(text) != text:
            return f"tidy changes {text}, which parse reads as it is"
    for text, right in cases:
        try:
            parse(text)
        except MNAError:
            pass
        else:
            return f"parse reads {text!r:.60} without help"
        if (said := parse(tidy(text)).answer) != right:
            return f"{text!r:.60} is {said!s:.60} when tidied, and should be {right}"


# ---------------------------------------------------------------- B Problems


@check_for("B.1")
def requests_refused(letters):
    wrong = set(letters) ^ set("abdf")
    if wrong:
        return f"{len(wrong)} letters are wrong; read what check_levels refuses"


@check_for("B.2")
def needs_three_slots(text):
    from mna.language import parse, slots_needed

    problem = parse(text)
    if problem.number_count != 16:
        return f"{text} has {problem.number_count} numbers; use 16"
    if (slots := slots_needed(problem)) < 3:
        return f"its best order needs {slots} slots; make both halves equally needy"


@check_for("B.3")
def loses_no_parentheses(write):
    import random

    from mna.language import parse

    def tree(n):
        left = rng.randint(1, max(1, n - 1))
        return n if n == 1 else (rng.choice("+-*/"), tree(left), tree(n - left))

    def read(tree, bare=str):
        return bare(tree) if isinstance(tree, int) else (
            "(" + read(tree[1]) + tree[0] + read(tree[2]) + ")")

    rng = random.Random(3)
    for _ in range(60):
        planted = tree(rng.randint(2, 5))
        try:
            wanted = parse(read(planted)).tree
        except ValueError:  # a division by zero
            continue
        if parse(text := write(planted)).tree != wanted:
            return f"{planted} is written {text}, which reads as another tree"
        if text.startswith("("):
            try:
                if parse(text[1:].replace(")", "", 1)).tree == wanted:
                    return f"{text} has a pair that is not needed"
            except ValueError:
                pass


@check_for("B.4")
def long_sums(recipe):
    if (recipe.fewest, recipe.signs, recipe.bars, recipe.equations) != (3, 1, 0, 0):
        return "look at fewest, signs, bars and equations: what must each be?"
    if set(recipe.operators) != {"+", "-"}:
        return f"its operators are {recipe.operators!r}; plus and minus only"
    if recipe.needs != 7:
        return "a problem without a unary minus can be drawn; which token does it need?"


@check_for("B.5")
def a_plot_of_the_split(ax):
    if not ax.lines or list(ax.lines[0].get_xdata()) != list(range(3, 11)):
        return "draw one line, at 3, 4, … 10 numbers"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    if not all(12 <= share <= 28 for share in ax.lines[0].get_ydata()):
        return "one share is far from a fifth; is it percent, of different structures?"


@check_for("B.6")
def another_split(held):
    from mna.problems import every_structure

    if any(map(held, every_structure(1))):
        return "it holds out a structure of one number"
    every = sorted(every_structure(3))[::9]
    share = 100 * sum(map(held, every)) / len(every)
    if not 2 <= share <= 40:
        return f"it holds out {share:.0f} % of the structures of three numbers"
