"""The command line: solve a problem, train an agent, evaluate one. `python -m mna --help` tells more."""

import argparse
import json
import sys
from fractions import Fraction
from pathlib import Path

import torch

import mna.evaluation
from mna.curriculum import evaluate
from mna.environments import SEED_LADDER, MNAError, check_levels, parse
from mna.network import Agent, watch
from mna.training import PROFILES, from_profile, load_agent, train


class Arguments(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line."""

    def error(self, message: str):
        raise MNAError(f"{message}; see `{self.prog} --help` (put -- before a problem that begins with a minus)")


def arguments() -> Arguments:
    parser = Arguments(prog="python -m mna", description="Model-native agents.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Arguments)

    solve = commands.add_parser("solve", help="solve a problem and show each call")
    solve.add_argument("problem", nargs="?", help="an expression or a linear equation in x, e.g. '(7*3+4)-(5*8)'")
    solve.add_argument("--file", type=Path, help="a file with one problem on each line")
    solve.add_argument("--json", action="store_true", help="print one JSON object for each problem")
    solve.add_argument("--checkpoint", type=Path, help="a folder with an agent; else the one that ships")

    learn = commands.add_parser("train", help="train an agent")
    learn.add_argument("--profile", default="seed", help=", ".join(PROFILES))
    learn.add_argument("--seed", type=int, default=0)
    learn.add_argument("--decisions", type=int, help="the budget; else the profile's")
    learn.add_argument("--device", default="cpu", help="cpu or cuda")
    learn.add_argument("--resume", action="store_true", help="continue the run in --out")
    learn.add_argument("--out", type=Path, required=True, help="the folder for the agent, its log and its record")

    judge = commands.add_parser("evaluate", help="greedy accuracy per level on held-out problems")
    judge.add_argument("checkpoint", type=Path, nargs="?", help="a folder with an agent; else the one that ships")
    judge.add_argument("--levels", default=",".join(SEED_LADDER), help="levels, with commas between")
    judge.add_argument("--problems", type=int, default=2000, help="problems of each level")
    judge.add_argument("--seed", type=int, default=0)
    judge.add_argument("--json", action="store_true")

    commands.add_parser("evidence", help="make all runs that the book's evidence rests on; see evidence --help")
    return parser


def exact(value: Fraction | None) -> int | str | None:
    """A number for JSON: an int, or a fraction as text."""
    return value if value is None else int(value) if value.denominator == 1 else str(value)


def solution(agent: Agent, text: str) -> dict:
    """What the agent does with a problem, beside the exact answer."""
    steps = list(watch(agent, text))
    calls = [{name: value if name == "tool" else exact(value) for name, value in step["call"].items()}
             for step in steps if step["call"]]
    answer, expected = steps[-1]["answer"], parse(text).answer
    return dict(problem=text, answer=exact(answer), expected=exact(expected), correct=answer == expected, calls=calls,
                decisions=len(steps))


def problems_in(path: Path) -> list[str]:
    """The lines of a file, each checked, so that nothing is printed before a mistake is found."""
    try:
        lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise MNAError(f"{path} can't be read ({error}); name a text file with one problem on each line") from None
    for number, line in enumerate(lines, 1):
        try:
            parse(line)
        except MNAError as error:
            raise MNAError(f"{path}, problem {number}: {error}") from None
    return lines


def run_solve(args) -> None:
    if (args.problem is None) == (args.file is None):
        raise MNAError("give either a problem or --file, and not both: python -m mna solve '(7*3+4)-(5*8)'")
    problems = problems_in(args.file) if args.file else [args.problem]
    agent = load_agent(args.checkpoint)
    for text in problems:
        found = solution(agent, text)
        if args.json:
            print(json.dumps(found))
            continue
        print(text)
        for call in found["calls"]:
            y = "" if call["y"] is None else f", {call['y']}"
            print(f"  {call['tool']}({call['x']}{y}) -> {'failed' if call['result'] is None else call['result']}")
        given = "no answer" if found["answer"] is None else found["answer"]
        print(f"  answer {given}, exact {found['expected']}: {'right' if found['correct'] else 'wrong'}")


def table(levels: dict[str, dict]) -> str:
    """Accuracy per level, for reading."""
    lines = [f"{'level':<14}{'accuracy':>9}   95 % interval    random"]
    lines += [f"{name:<14}{v['accuracy']:>9.2%}   {v['low']:.2%}-{v['high']:.2%}   {v['random']:7.2%}"
              for name, v in levels.items()]
    return "\n".join(lines)


def run_train(args) -> None:
    changes = {"seed": args.seed} | ({} if args.decisions is None else {"decisions": args.decisions})
    try:
        torch.zeros(1, device=args.device)
    except (RuntimeError, AssertionError) as error:
        raise MNAError(f"device {args.device!r} can't be used ({str(error).splitlines()[0]}); use cpu") from None
    record = train(from_profile(args.profile, **changes), args.out, args.resume, args.device)
    print(table(record["levels"]))
    print(f"{record['decisions']:,} decisions in {record['seconds']} s; the agent is in {args.out}")


def run_evaluate(args) -> None:
    agent, ladder = load_agent(args.checkpoint), check_levels(args.levels.split(","))
    levels = evaluate(agent, ladder, args.problems, args.seed, bar=True)
    print(json.dumps(levels) if args.json else table(levels))


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["evidence"]:
        return mna.evaluation.main(words[1:])
    try:
        args = arguments().parse_args(argv)
        {"solve": run_solve, "train": run_train, "evaluate": run_evaluate}[args.command](args)
    except MNAError as error:
        print(f"mna: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        resume = " train: the last checkpoint is kept; go on with --resume" if "train" in sys.argv[1:2] else ""
        print(f"\nmna: interrupted.{resume}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
