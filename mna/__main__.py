"""The command line: solve problems, train an agent, examine one. `python -m mna`."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

from mna.language import MNAError, check_number, check_seed, parse

EXIT = ("exit codes: 0 done; 1 a line of --file could not be read; 2 bad input; "
        "130 Ctrl-C; 141 whoever read the output has stopped reading")
MOST = 100_000     # problems of an exam
WIDEST = 300       # characters of a message


# ---------------------------------------------------------------- what is asked for
class Arguments(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line."""

    def error(self, message: str):
        raise MNAError(f"{message}; see `{self.prog} --help` (put -- before a problem "
                       "that begins with a minus)")

    def print_help(self, file=None):
        print(self.format_help(), end="", file=file)  # argparse hides a full disk


def folder(text: str) -> str:
    """A folder that was named; not "", as an unset variable gives."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; name a folder")
    return text


FOLDER = dict(metavar="FOLDER", type=folder)
AGENT = dict(FOLDER, help="an agent; else the shipped")
SOLVE = {
    "problem": dict(nargs="?", help="such as '(7*3+4)-(5*8)', '3x+4=19'"),
    "--file": dict(help="one problem on each line; - is standard input"),
    "--json": dict(action="store_true", help="a JSON object a problem"),
    "--checkpoint": AGENT}
TRAIN = {
    "--profile": dict(default="seed", help="smoke, seed or full"),
    "--seed": dict(type=int, default=0, help="0 to 4294967295"),
    "--decisions": dict(type=int, help="the budget; else the profile's"),
    "--resume": dict(action="store_true", help="go on with the run in --out"),
    "--out": dict(FOLDER, required=True, help="for agent, log, checkpoint and record")}
EVALUATE = {
    "checkpoint": dict(AGENT, nargs="?"),
    "--levels": dict(help="with commas between: mixed10,plain16"),
    "--problems": dict(type=int, default=1000, help=f"of each level, up to {MOST}"),
    "--seed": dict(type=int, default=0, help="of the problems"),
    "--json": dict(action="store_true", help="one JSON object")}


def arguments() -> Arguments:
    """The parser of the command line."""
    parser = Arguments(prog="python -m mna", description="Model-native agents.",
                       epilog=EXIT, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what, run, options in (
            ("solve", "solve problems and show each call", run_solve, SOLVE),
            ("train", "train an agent", run_train, TRAIN),
            ("evaluate", "accuracy on held-out structures", run_evaluate, EVALUATE)):
        made = commands.add_parser(name, help=what, description=what, epilog=EXIT,
                                   allow_abbrev=False)
        made.set_defaults(run=run)
        for option, more in options.items():
            made.add_argument(option, **more)
    return parser


# ---------------------------------------------------------------- solve
def opened(name: str) -> BinaryIO:
    """The file of a name, or standard input. Raises MNAError if there is none."""
    if name == "-":
        if sys.stdin is None:
            raise MNAError("standard input is closed; name a text file")
        return sys.stdin.buffer
    if not os.path.isfile(name):  # a pipe without a writer would never end
        raise MNAError(f"{name!r} is no file that can be read; name a text file, or - "
                       "for standard input")
    try:
        return open(name, "rb")
    except OSError as error:
        raise MNAError(f"{name!r} can't be read ({error.strerror}); name another text "
                       "file") from None


def lines_of(source: BinaryIO) -> Iterator[list[tuple[int, str]]]:
    """Lines that are not blank, with their numbers; as many at once as are there.

    So a line that somebody types is answered before the next one is read.
    """
    rest, numbers = b"", count(1)
    while rest is not None:
        try:
            data = source.read1(1024)
        except OSError as error:
            raise MNAError(f"the input can't be read ({error.strerror})") from None
        *lines, rest = (rest + data).split(b"\n") if data else (rest, None)
        found = [(n, line.decode("utf-8-sig" if n == 1 else "utf-8", "replace").strip())
                 for line, n in zip(lines, numbers)]
        yield [(n, text) for n, text in found if text]


def mistake(number: int, text: str) -> dict | None:
    """What is wrong with a line; None if nothing is."""
    try:
        parse(text)
    except MNAError as error:
        return dict(line=number, problem=text[:WIDEST], error=printable(str(error)))


def show(found: dict, as_json: bool) -> None:
    """Print one answer, or one mistake."""
    if as_json:
        print(json.dumps(found), flush=True)
    elif "error" in found:
        tell(f"line {found['line']}: {found['error']}")
    else:
        print(found["problem"])
        for call in found["calls"]:
            y = "" if call["y"] is None else f", {call['y']}"
            result = "failed" if call["result"] is None else call["result"]
            print(f"  {call['tool']}({call['x']}{y}) -> {result}")
        for warning in found["warnings"]:
            print(f"  note: {warning}")
        given = "no answer" if found["answer"] is None else found["answer"]
        verdict = "right" if found["correct"] else "wrong"
        print(f"  answer {given}, exact {found['expected']}: {verdict}", flush=True)


def run_solve(args: SimpleNamespace) -> int:
    """Solve a problem, or those of a file."""
    if (args.problem is None) == (args.file is None):
        raise MNAError("give either a problem or --file, and not both: "
                       "python -m mna solve '(7*3+4)-(5*8)'")
    if args.file is None:
        parse(args.problem)  # before torch is loaded: a mistake is told at once
    source = None if args.file is None else opened(args.file)
    from mna.training import load_agent, one_thread
    agent = load_agent(args.checkpoint)
    with one_thread():
        if source is not None:
            from mna.speed import solve
            return solve_lines(source, args.json, lambda texts: solve(texts, agent))
        from mna.evaluation import solve
        show(solve(args.problem, agent), args.json)
    return 0


def solve_lines(source: BinaryIO, as_json: bool, solve) -> int:
    """Answer the lines of a file in their order; a bad one withholds none."""
    code = 0
    for lines in lines_of(source):
        found = {number: mistake(number, text) for number, text in lines}
        good = {number: text for number, text in lines if not found[number]}
        found.update(zip(good, solve(good.values())))
        for one in found.values():
            show(one, as_json)
        code = 1 if len(good) < len(found) else code
    return code


# ---------------------------------------------------------------- train, evaluate
def table(exams: dict[str, float], chance: dict[str, float]) -> str:
    """Accuracy of each exam beside that of the random legal policy, for reading."""
    head = f"{'level':<14}{'right':>8}{'random':>9}"
    return "\n".join([head, *(f"{name:<14}{share:>8.1%}{chance[name]:>9.2%}"
                              for name, share in exams.items())])


def run_train(args: SimpleNamespace) -> int:
    """Train an agent, or go on with it."""
    from mna.speed import FAST
    from mna.training import from_profile, train
    changes = {} if args.decisions is None else dict(decisions=args.decisions)
    config = from_profile(args.profile, seed=args.seed, **changes)
    found = train(config, args.out, args.resume, FAST, quiet=sys.stderr is None)
    print(table(found["exams"], found["random"]))
    print(f"{found['decisions']:,} decisions in {found['seconds']} s; the agent is in "
          f"{args.out}")
    return 0


def run_evaluate(args: SimpleNamespace) -> int:
    """Examine an agent."""
    n, seed = check_number("--problems", args.problems, 1, MOST), check_seed(args.seed)
    from mna.problems import check_levels
    from mna.speed import FAST
    from mna.training import BY_CHANCE, EXAMS, exam, load_agent, one_thread
    names = EXAMS if args.levels is None else args.levels.split(",")
    check_levels(names, "test")
    agent = load_agent(args.checkpoint)
    with one_thread():
        found = exam(agent, names, n, seed, FAST)
        chance = exam(agent, names, min(n, BY_CHANCE), seed, FAST, greedy=False,
                      uniform=True)
    both = dict(exams=found, random=chance)
    print(json.dumps(both) if args.json else table(found, chance))
    return 0


# ---------------------------------------------------------------- how it ends
def printable(text: str) -> str:
    """A text for one line: what can't be printed is escaped, what is long is cut."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return line if len(line) <= WIDEST else f"{line[:WIDEST // 2]} … {line[-140:]}"


def tell(message: str) -> None:
    """Say something in a line of standard error, if anybody can hear it."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"mna: {printable(message)}", file=sys.stderr, flush=True)


def interrupted(args: SimpleNamespace) -> str:
    """What is true after Ctrl-C; whether there is a checkpoint is looked up."""
    if args.command != "train":
        return "interrupted"
    if (Path(args.out) / "run.safetensors").exists():
        return (f"interrupted; go on from the last checkpoint in {args.out} with "
                "--resume")
    return ("interrupted before the first checkpoint: there is nothing to go on from; "
            "start again, in the same folder if you like")


def forget_output() -> None:
    """Let what is left to print go nowhere; Python would try, and fail, at its end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command(argv: list[str] | None, args: SimpleNamespace) -> int:
    """Run one command. args: filled in, so that the caller knows what was asked for."""
    code = 0
    with suppress(SystemExit):  # of --help, when it has printed
        code = arguments().parse_args(argv, args).run(args)
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without ×
    args = SimpleNamespace(command="")
    try:
        return command(argv, args)
    except MNAError as error:
        tell(str(error))
        return 2
    except KeyboardInterrupt:
        tell(interrupted(args))
        return 130
    except BrokenPipeError:  # who read the output has seen enough
        forget_output()
        return 141
    except OSError as error:
        forget_output()
        tell(f"the output can't be written ({error.strerror})")
        return 2


if __name__ == "__main__":
    sys.exit(main())
