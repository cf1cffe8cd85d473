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
