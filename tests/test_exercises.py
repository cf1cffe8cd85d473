"""Each exercise, as saved with its chapter: the stub is told what it lacks, the solution passes.

nbval runs the same cells again and compares, so what is saved is what happens.
"""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from measure import ROOT, Chapter, printed

from mna import MNAError, checks
from mna.checks import CHECKS, check, check_for

EXERCISES = {name: parts for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
             for name, parts in Chapter(path).exercises.items()}  # fmt: skip
WRONG = [None, 0, "x", lambda *given, **named: None, lambda: 1 / 0, object()]

each_exercise = pytest.mark.parametrize("parts", EXERCISES.values(), ids=EXERCISES)


@each_exercise
def test_the_starter_is_told_what_it_lacks(parts):
    (starter,) = parts["starter"]
    said = printed(starter).strip().splitlines()
    assert said and "passed" not in said and len(said[-1].split()) > 2
    assert not [out for out in starter["outputs"] if out["output_type"] == "error"]


@each_exercise
def test_the_solution_passes(parts):
    (solution,) = parts["solution"]
    assert printed(solution).strip().splitlines()[-1:] == ["passed"]


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("answer", WRONG, ids=["None", "0", "text", "returns None", "raises", "object"])
def test_a_check_takes_any_answer_and_says_one_line(name, answer, capsys):
    said = check(name, answer)
    assert capsys.readouterr().out.endswith(said + "\n")
    assert isinstance(said, str) and said and "\n" not in said
    assert answer is not None or said != "passed"


# ---------------------------------------------------------------- the mechanism


@pytest.fixture
def doubles(monkeypatch):
    """The check of an exercise that no chapter has."""
    monkeypatch.setattr(checks, "CHECKS", {})

    @check_for("99.1")
    def doubles(double):
        if double(4) != 8:
            return f"double(4) is {double(4)!r}, and twice 4 is 8"

    return doubles


def test_an_answer_passes_or_is_told_why_not(doubles, capsys):
    assert check("99.1", lambda n: 2 * n) == "passed"
    assert check("99.1", lambda n: n) == "double(4) is 4, and twice 4 is 8"
    assert capsys.readouterr().out == "passed\ndouble(4) is 4, and twice 4 is 8\n"


@pytest.mark.parametrize("answer, said", [
    (lambda n: 1 / 0, "checking the answer raised ZeroDivisionError: division by zero"),
    (None, "checking the answer raised TypeError: 'NoneType' object is not callable"),
    (lambda n: [].pop("a\nb"), "checking the answer raised TypeError"),
])
def test_what_an_answer_raises_is_told_in_one_line(doubles, answer, said):
    told = check("99.1", answer)
    assert told.startswith(said) and "\n" not in told


def test_a_notebook_shows_the_verdict_once(doubles, capsys):
    shell = InteractiveShell()
    shell.display_formatter.active_types = ["text/plain"]
    assert shell.display_formatter.format(check("99.1", lambda n: 2 * n)) == ({}, {})
    assert capsys.readouterr().out == "passed\n"


def test_an_unknown_exercise_is_refused_with_those_that_exist(doubles):
    with pytest.raises(MNAError, match=r"no exercise '99\.2'; exercises: 99\.1$"):
        check("99.2", None)


def test_an_id_is_given_once(doubles):
    with pytest.raises(MNAError, match="'99.1' has a check;"):
        check_for("99.1")(doubles)
