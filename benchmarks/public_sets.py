"""Problems of other hands, with the answers that their sources give."""

import ast
import importlib
import random
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy

from mna.language import MNAError

HERE = Path(__file__).parent
Item = tuple[str, Fraction]  # a problem's text and its gold, the answer that its set gives


@dataclass(frozen=True)
class ProblemSet:
    """Problems of one source. items: makes so many of them, from a seed."""
    name: str
    items: Callable[[int, int], list[Item]]
    published: str = "none"
    note: str = ""
    pooled: bool = True  # False: another set holds these problems too


def package(name: str):
    """Import a module of a package that only this benchmark needs."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MNAError(f"package {error.name!r} is missing: `pip install -r benchmarks/"
                       "requirements.txt`, or leave its sets out with --sets") from None


def lines(path: Path) -> list[str]:
    """The lines of a file that are neither blank nor a comment."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise MNAError(f"{path} can't be read ({reason}); name a text file") from None
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


# ---------------------------------------------------------------- DeepMind mathematics
SAXTON = ("TP-Transformer 0.82 over all modules together (Schlag et al. 2019); "
          "2,000,000 examples a module")
A = r"(-?\d+(?:\.\d+)?)"
B = A + "[.?]?"
WORDS = [(re.compile(pattern), signs) for pattern, signs in (  # told in words -> in signs
    (rf"(?:Add|Put together|Sum|Total of|Add together) {A} and {B}", r"\1 + \2"),
    (rf".*?{A} plus {B}", r"\1 + \2"), (rf".*?{A} (?:minus|take away) {B}", r"\1 - \2"),
    (rf".*?{A} less than {B}", r"\2 - \1"), (rf"Subtract {A} from {B}", r"\2 - \1"),
    (rf".*?(?:distance|difference) between {A} and {B}", r"|\1 - \2|"),
    (rf"(?:Multiply|Product of|What is the product of) {A} and {B}", r"\1 * \2"),
    (rf".*?{A} times {B}", r"\1 * \2"), (rf"(?:.* )?{A} divided by {B}", r"\1 / \2"),
    (rf"Divide {A} by {B}", r"\1 / \2"), (r"What is the value of (.*)\?", r"\1"))]


def in_signs(question: str) -> str:
    """A question that is told in words, in signs: Divide 3 by 4. -> 3 / 4"""
    for pattern, signs in WORDS:
        if found := pattern.fullmatch(question):
            return found.expand(signs)
    return question


def deepmind_modules() -> dict[str, Callable]:
    """{name: makes one problem}. Two names that the package needs are gone from newer ones."""
    moved = package("sympy.solvers.diophantine.diophantine").base_solution_linear
    package("sympy.solvers.diophantine").base_solution_linear = moved
    numpy.asscalar = lambda array: array.item()
    algebra = package("mathematics_dataset.modules.algebra")
    arithmetic = package("mathematics_dataset.modules.arithmetic")
    found = {"algebra__linear_1d": algebra.test()["linear_1d"]}
    for part in (arithmetic.test(), arithmetic.test_extra()):
        found |= {f"arithmetic__{name}": make for name, make in part.items()
                  if not re.search("in_base|root|surd", name)}
    return found


def deepmind(name: str, n: int, seed: int) -> list[Item]:
    """Problems of one module, at most as long as the package's own."""
    limits, items = package("mathematics_dataset.generate_settings"), []
    random.seed(zlib.crc32(f"{name} {seed}".encode()))
    numpy.random.seed(random.getrandbits(32))
    make = deepmind_modules()[name]
    while len(items) < n:
        drawn = make()
        question, answer = str(drawn.question), str(drawn.answer)
        if len(question) <= limits.MAX_QUESTION_LENGTH and len(
                answer) <= limits.MAX_ANSWER_LENGTH:
            items.append((in_signs(question), Fraction(answer)))
    return items


def deepmind_sets() -> Iterator[ProblemSet]:
    for name in deepmind_modules():
        split = "extrapolation" if re.search("_big|_longer", name) else "interpolation"
        yield ProblemSet(f"DeepMind {name}", partial(deepmind, name),
                         SAXTON, f"{split}; what is told in words is put into signs")


# ---------------------------------------------------------------- reasoning-gym
def gym(name: str, n: int, seed: int) -> list[Item]:
    """The package's default problems, always of its seed 42."""
    drawn = package("reasoning_gym").create_dataset(name, size=n, seed=42)
    return [(task["metadata"].get("expression") or task["metadata"]["equation"],
             Fraction(task["answer"])) for task in drawn]


def gym_sets() -> Iterator[ProblemSet]:
    package("reasoning_gym")
    for name in ("chain_sum", "products", "basic_arithmetic", "simple_equations"):
        yield ProblemSet(f"reasoning-gym {name}", partial(gym, name),
                         note="defaults, seed 42")


# ---------------------------------------------------------------- ConPoLe
def solved_apart(text: str) -> tuple[Fraction | None, bool]:
    """Its only solution, found by sympy, and whether the unknown is in a denominator."""
    plain = re.sub(r"(?<=\d)x", "*x", text.replace(" ", ""))
    if not re.fullmatch(r"[-+*/()\dx]+=[-+*/()\dx]+", plain) or "**" in plain:
        raise MNAError(f"{text[:60]!r} is no equation in x; take a file with one on each line")
    left, right = plain.split("=")
    below = any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
                and "x" in ast.unparse(node.right) for node in ast.walk(ast.parse(
                    f"({left}) - ({right})")))
    found = package("sympy").solve(f"({left}) - ({right})", "x")
    alone = len(found) == 1 and found[0].is_Rational
    return Fraction(str(found[0])) if alone else None, below


def as_they_are(items: list[Item], n: int, seed: int) -> list[Item]:
    """All of them, however many are asked for."""
    return items


def conpole_sets(path: Path) -> Iterator[ProblemSet]:
    known = [(text, *solved_apart(text)) for text in lines(path)]
    solvable = [(text, gold, below) for text, gold, below in known if gold is not None]
    table = "ConPoLe 92.5, CVI 89.0, MathSteps 76.0, DAVI 8.0 % (Poesia et al. 2021, table 2)"
    note = (f"{len(solvable)} of the file's {len(known)} have one solution; table 2 draws new "
            "constants for the 290 of the tutor and asks 200 held out")
    simple = [(text, gold) for text, gold, below in solvable if not below]
    yield ProblemSet("ConPoLe, all with one solution", partial(
        as_they_are, [(text, gold) for text, gold, _ in solvable]), table, note)
    yield ProblemSet("ConPoLe, no unknown in a denominator", partial(as_they_are, simple),
                     table, note, pooled=False)


# ---------------------------------------------------------------- Neural Data Router
def nested(depth: int, rng: random.Random) -> Item:
    """A random + and * expression of digits, nested so deep, of at most 50 characters.

    As in Csordas et al. 2021: an operand is an operation with probability 0.3; what is not
    deep enough becomes the left operand of one more.
    """
    def join(left, right):
        sign, value = rng.choice((("+", left[1] + right[1]), ("*", left[1] * right[1])))
        return f"({left[0]}{sign}{right[0]})", value, max(left[2], right[2]) + 1

    def grow(room):
        if room and rng.random() < 0.3:
            return join(grow(room - 1), grow(room - 1))
        return str(digit := rng.randrange(10)), digit, 0

    while True:
        text, value, deep = grown = grow(depth)
        while deep < depth:
            text, value, deep = grown = join(grown, grow(depth - 1))
        if deep == depth and len(text) <= 50:
            return text, Fraction(value)


def router(depth: int, n: int, seed: int) -> list[Item]:
    """Problems of one depth."""
    rng = random.Random(f"{depth} {seed}")
    return [nested(depth, rng) for _ in range(n)]


def router_sets() -> Iterator[ProblemSet]:
    table = ("LSTM .74, Transformer .47, relative .77, theirs .98 at depth 7 and 8, trained to 5 "
             "(Csordas et al. 2021, draft's table 2)")
    for depth in range(1, 9):
        yield ProblemSet(f"Neural Data Router, depth {depth}", partial(router, depth),
                         table if depth > 6 else "none", "exact values here, modulo 10 there")


# ---------------------------------------------------------------- problems in files
def tabled(path: Path, n: int, seed: int) -> list[Item]:
    """Of a table: kind, text, exact answer (- for none), and what is expected (N: refused)."""
    rows = [line.split("\t") for line in lines(path)]
    return [(text, Fraction(answer)) for _, text, answer, *expected in rows
            if answer != "-" and expected != ["N"]]


def file_sets() -> Iterator[ProblemSet]:
    yield ProblemSet("typed", partial(tabled, HERE.parent / "tests/typed.tsv"),
                     note="by kind of source, those that are to be read and have an answer")
    yield ProblemSet("textbook", partial(tabled, HERE / "textbook.tsv"),
                     note="written for this benchmark, never used to choose anything")


SOURCES = {"deepmind": deepmind_sets, "gym": gym_sets, "conpole": conpole_sets,
           "router": router_sets, "files": file_sets}
