"""The command line: solve problems, train an agent, examine one. `python -m mna --help`."""

import argparse
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from mna.language import MNAError, parse

EXIT = "exit codes: 0 done, 1 a line of --file could not be read, 2 bad input, 130 Ctrl-C"
CHUNK = 64  # lines of a file that are answered together


class Arguments(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line."""

    def error(self, message: str):
        raise MNAError(f"{' '.join(message.split())}; see `{self.prog} --help` (put -- before "
                       "a problem that begins with a minus)")


def arguments() -> Arguments:
    parser = Arguments(prog="python -m mna", description="Model-native agents.", epilog=EXIT)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Arguments)

    solve = commands.add_parser("solve", help="solve problems and show each call", epilog=EXIT)
    solve.add_argument("problem", nargs="?", help="for example '(7*3+4)-(5*8)' or '3x+4=19'")
    solve.add_argument("--file", help="a file with one problem on each line; - reads from stdin")
    solve.add_argument("--json", action="store_true", help="one JSON object for each problem")
    solve.add_argument("--checkpoint", help="a folder with an agent; else the one that ships")

    learn = commands.add_parser("train", help="train an agent", epilog=EXIT)
    learn.add_argument("--profile", default="seed", help="smoke, seed or full")
    learn.add_argument("--seed", type=int, default=0, help="0 to 4294967295")
    learn.add_argument("--decisions", type=int, help="the budget; else the profile's")
    learn.add_argument("--resume", action="store_true", help="continue the run in --out")
    learn.add_argument("--out", required=True, help="the folder for agent, log and record")

    judge = commands.add_parser("evaluate", help="accuracy on held-out structures", epilog=EXIT)
    judge.add_argument("checkpoint", nargs="?", help="a folder with an agent; else the shipped")
    judge.add_argument("--levels", help="levels with commas between, such as mixed10,plain16")
    judge.add_argument("--problems", type=int, default=1000, help="of each level, up to 100000")
    judge.add_argument("--seed", type=int, default=0)
    judge.add_argument("--json", action="store_true")
    return parser


# ---------------------------------------------------------------- solve
def lines_of(name: str) -> Iterator[tuple[int, str]]:
    """The lines of a file, or of standard input, that are not blank, with their numbers."""
    try:
        if name != "-" and not stat.S_ISREG(os.stat(name).st_mode):
            raise MNAError(f"{name!r} is no file; name a text file, or - for standard input")
        source = sys.stdin.buffer if name == "-" else open(name, "rb")
        for number, line in enumerate(source, 1):
            text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace").strip()
            if text:
                yield number, text
    except (OSError, ValueError) as error:
        if isinstance(error, MNAError):
            raise
        raise MNAError(f"{name!r} can't be read ({error}); name a text file") from None


def readable(numbered: list[tuple[int, str]]) -> list[dict | None]:
    """For each line None, or what is wrong with it."""
    wrong = []
    for number, text in numbered:
        try:
            parse(text)
            wrong.append(None)
        except MNAError as error:
            wrong.append(dict(line=number, problem=text[:200], error=str(error)))
    return wrong


def show(found: dict, as_json: bool) -> None:
    """Print one answer, or one mistake."""
    if as_json:
        print(json.dumps(found), flush=True)
    elif "error" in found:
        print(f"mna: line {found['line']}: {found['error']}", file=sys.stderr)
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


def run_solve(args) -> int:
    if (args.problem is None) == (args.file is None):
        raise MNAError("give either a problem or --file, and not both: "
                       "python -m mna solve '(7*3+4)-(5*8)'")
    if args.problem is not None:
        parse(args.problem)  # before torch is loaded: a mistake is told at once
    from mna.evaluation import solve
    from mna.training import load_agent
    agent = load_agent(args.checkpoint)
    if args.problem is not None:
        show(solve(args.problem, agent), args.json)
        return 0
    numbered, code = lines_of(args.file), 0
    while chunk := list(islice(numbered, CHUNK)):
        wrong = readable(chunk)
        answers = iter(solve([text for (_, text), bad in zip(chunk, wrong) if not bad], agent))
        for bad in wrong:
            show(bad or next(answers), args.json)
            code = 1 if bad else code
    return code


# ---------------------------------------------------------------- train, evaluate
def table(exams: dict[str, float], chance: dict[str, float]) -> str:
    """Accuracy of each exam, for reading."""
    return "\n".join([f"{'level':<14}{'right':>8}{'random':>9}"] + [
        f"{name:<14}{share:>8.1%}{chance[name]:>9.2%}" for name, share in exams.items()])


def run_train(args) -> int:
    from mna.speed import FAST
    from mna.training import from_profile, train
    changes = dict(seed=args.seed)
    if args.decisions is not None:
        changes["decisions"] = args.decisions
    record = train(from_profile(args.profile, **changes), args.out, args.resume, FAST)
    print(table(record["exams"], record["random"]))
    print(f"{record['decisions']:,} decisions in {record['seconds']} s; the agent is in {args.out}")
    return 0


def run_evaluate(args) -> int:
    if not 1 <= args.problems <= 100_000:
        raise MNAError(f"--problems {args.problems}: give a number from 1 to 100000")
    from mna.problems import check_levels
    from mna.speed import FAST
    from mna.training import EXAMS, exam, load_agent
    names = EXAMS if args.levels is None else args.levels.split(",")
    check_levels(names, "test")
    agent = load_agent(args.checkpoint)
    found = exam(agent, names, args.problems, args.seed, FAST)
    chance = exam(agent, names, min(args.problems, 300), args.seed, FAST, greedy=False, uniform=True)
    print(json.dumps(dict(exams=found, random=chance)) if args.json else table(found, chance))
    return 0


def run(argv: list[str] | None) -> int:
    args = arguments().parse_args(argv)
    return {"solve": run_solve, "train": run_train, "evaluate": run_evaluate}[args.command](args)


def interrupted(argv: list[str]) -> str:
    """What to say after Ctrl-C; whether a checkpoint is there is looked up."""
    if "train" not in argv[:1] or "--out" not in argv:
        return "interrupted"
    out = Path(argv[argv.index("--out") + 1])
    if (out / "run.safetensors").exists():
        return f"interrupted; go on from the last checkpoint in {out} with --resume"
    return "interrupted before the first checkpoint: nothing is kept, start again"


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    try:
        code = run(argv)
        sys.stdout.flush()
        return code
    except MNAError as error:
        with suppress(OSError):
            print(f"mna: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nmna: {interrupted(words)}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            print(f"mna: the output can't be written ({error.strerror})", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
