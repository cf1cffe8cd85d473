"""The command line: what it prints, its exit codes, and one clear line for every kind of bad input."""

import json
import subprocess
import sys

import pytest

from mna.__main__ import main
from mna.memory import make_agent
from mna.training import save_agent

FOREIGN_DIGIT = "3+\N{ARABIC-INDIC DIGIT THREE}"
BAD = {
    "empty": ["solve", ""],
    "unbalanced": ["solve", "(3+4"],
    "closed too often": ["solve", "3+4)"],
    "unknown character": ["solve", "3^4"],
    "code": ["solve", "__import__('os')"],
    "digits of another script": ["solve", FOREIGN_DIGIT],
    "superscript": ["solve", "3\N{SUPERSCRIPT TWO}"],
    "division by zero": ["solve", "3/(4-4)"],
    "no solution": ["solve", "3*x=3*x+1"],
    "endless solutions": ["solve", "3*x=3*x"],
    "not linear": ["solve", "x*x=4"],
    "x without equation": ["solve", "x+3"],
    "no number": ["solve", "x=x+x"],
    "too long": ["solve", "+".join("1" * 100)],
    "deeply nested": ["solve", "(" * 5000 + "1" + ")" * 5000],
    "huge number": ["solve", "9" * 5000 + "+1"],
    "no problem": ["solve"],
    "problem and file": ["solve", "3+4", "--file", "x"],
    "missing file": ["solve", "--file", "/nowhere/problems.txt"],
    "missing checkpoint": ["solve", "3+4", "--checkpoint", "/nowhere"],
    "minus without --": ["solve", "-3+4"],
    "unknown option": ["solve", "3+4", "--loud"],
    "unknown command": ["dance"],
    "no command": [],
    "unknown level": ["evaluate", "--levels", "add,tree9"],
    "no problems": ["evaluate", "--problems", "0"],
    "evaluate a missing folder": ["evaluate", "/nowhere"],
    "unknown profile": ["train", "--profile", "huge", "--out", "{out}"],
    "no decisions": ["train", "--decisions", "0", "--out", "{out}"],
    "too few decisions": ["train", "--profile", "smoke", "--decisions", "2399", "--out", "{out}"],
    "unknown device": ["train", "--device", "abacus", "--out", "{out}"],
    "nothing to resume": ["train", "--profile", "smoke", "--resume", "--out", "{out}"],
    "no out": ["train"],
}


@pytest.mark.parametrize("argv", BAD.values(), ids=BAD)
def test_bad_input_is_one_clear_line(argv, capsys, tmp_path):
    out = tmp_path / "run"
    assert main([word.replace("{out}", str(out)) for word in argv]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("mna: ") and printed.err.count("\n") == 1 and len(printed.err) < 400
    assert not (out / "record.json").exists() and not list(tmp_path.rglob("*.part"))


def test_solve_prints_calls_and_the_exact_answer_beside_the_agents_own(capsys):
    assert main(["solve", "(7*3+4)-(5*8)"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "(7*3+4)-(5*8)" and lines[-1] == "  answer -15, exact -15: right"
    assert any(line.startswith("  MUL(") for line in lines)


def test_json_object(capsys):
    assert main(["solve", "--json", "--", "-3+4"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["problem", "answer", "expected", "correct", "calls", "decisions"]
    assert found["expected"] == 1 and found["correct"] == (found["answer"] == 1)
    assert all(list(call) == ["tool", "x", "y", "result"] for call in found["calls"])


def test_what_the_agent_gets_wrong_is_shown_as_wrong(capsys, tmp_path):
    """An agent that never learned anything, on problems whose answers are hardly ever hit by chance."""
    save_agent(make_agent(seed=0), tmp_path)
    problems = {f"({a}*7+4)-(5*{a + 2})": a * 7 + 4 - 5 * (a + 2) for a in range(11, 21)}
    (tmp_path / "problems.txt").write_text("\n".join(problems))
    words = ["solve", "--checkpoint", str(tmp_path), "--file", str(tmp_path / "problems.txt")]
    assert main([*words, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["problem"]: one["expected"] for one in found} == problems
    assert all(one["correct"] == (one["answer"] == one["expected"]) for one in found)
    wrong = [one for one in found if not one["correct"]]
    assert len(wrong) > 5 and any(one["calls"] for one in wrong)
    assert main(words) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  answer ")]
    for line, one in zip(told, found, strict=True):
        given = "no answer" if one["answer"] is None else one["answer"]
        assert line == f"  answer {given}, exact {one['expected']}: {'right' if one['correct'] else 'wrong'}"


def test_a_problem_far_beyond_the_ladder_is_judged_by_its_answer(capsys):
    assert main(["solve", "--json", "1+2+3+4+5+6+7-8*(9-1)"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["expected"] == -36 and found["correct"] == (found["answer"] == -36)


@pytest.mark.parametrize("text, expected", [
    ("3x+4=19", 5), ("3*x + 4 = 19", 5), ("3*(x-4)=19", "31/3"), ("|4*9-7*8|", 20), ("-(3+4)", -7), ("7", 7),
    ("x=7", 7)])
def test_every_notation_is_read(text, expected, capsys):
    assert main(["solve", "--json", "--", text]) == 0
    assert json.loads(capsys.readouterr().out)["expected"] == expected


def test_file_gives_one_object_a_line(capsys, tmp_path):
    problems = ["4+9", "(4*2+7)-(6*3)", "7-9"]
    (tmp_path / "problems.txt").write_text("\n".join(problems) + "\n")
    assert main(["solve", "--json", "--file", str(tmp_path / "problems.txt")]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["problem"] for one in found] == problems and all(one["correct"] for one in found)


def test_a_mistake_in_a_file_names_its_line_and_prints_nothing_else(capsys, tmp_path):
    (tmp_path / "problems.txt").write_text("4+9\n4+\n")
    assert main(["solve", "--file", str(tmp_path / "problems.txt")]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "problem 2" in printed.err


def test_evaluate_says_how_sure_it_is_and_what_chance_does(capsys):
    assert main(["evaluate", "--levels", "mul_add,seed_hard", "--problems", "200", "--json"]) == 0
    levels = json.loads(capsys.readouterr().out)
    assert list(levels) == ["mul_add", "seed_hard"]
    for values in levels.values():
        assert values["low"] <= values["accuracy"] <= values["high"] and values["problems"] == 200
    assert levels["seed_hard"]["random"] <= 0.02 < levels["seed_hard"]["accuracy"]
    assert main(["evaluate", "--levels", "add", "--problems", "50"]) == 0
    printed = capsys.readouterr()
    assert "95 % interval" in printed.out and not printed.err


def test_evaluate_shows_its_progress_on_a_terminal_and_beside_the_result(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["evaluate", "--levels", "add,chain", "--problems", "50", "--json"]) == 0
    printed = capsys.readouterr()
    assert "/2 [" in printed.err and list(json.loads(printed.out)) == ["add", "chain"]


def test_train_in_its_own_process_then_in_use_then_evaluate(tmp_path, capsys):
    out = tmp_path / "run"
    words = ["train", "--profile", "smoke", "--decisions", "3000", "--seed", "3", "--out", str(out)]
    done = subprocess.run([sys.executable, "-m", "mna", *words], capture_output=True, text=True)
    assert done.returncode == 0 and "seed_hard" in done.stdout, done.stderr
    record = json.loads((out / "record.json").read_text())
    assert record["seed"] == 3 and record["budget"] == 3000
    assert 3000 - 96 * 25 < record["decisions"] <= 3000  # what is left could not pay for another iteration
    assert main(words) == 2 and "holds a run already" in capsys.readouterr().err
    assert main(["evaluate", str(out), "--levels", "add", "--problems", "20"]) == 0
