"""The command line: what it prints, its exit codes, and one clear line for every kind of bad input."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import mna.__main__ as cli
from mna import training
from mna.__main__ import main
from mna.environments import TOOLS, Tool
from mna.network import AgentConfig
from mna.speed import FAST
from mna.training import Run, TrainingConfig, load_run, make_agent, save_agent

ROOT = Path(__file__).parent.parent
SMALL = AgentConfig(width=8, hidden=8, layers=(1,))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What command lines name in braces; {agent} can add and knows nothing else."""
    home = tmp_path_factory.mktemp("home")
    run = Run(TrainingConfig(ladder=("add",), decisions=2_500, first=250, last=250), FAST)
    while run.decisions < run.config.decisions:
        run.iterate()
    save_agent(run.agent, home / "agent")
    save_agent(make_agent(SMALL, 0), home / "small")
    TOOLS["POW"] = Tool("POW", 2, pow)
    save_agent(make_agent(AgentConfig(width=8, hidden=8, layers=(1,), tools=tuple(TOOLS)), 0), home / "pow")
    del TOOLS["POW"]
    for name in ("flipped", "cut", "empty", "taken", "a dir"):
        (home / name).mkdir()
    content = bytearray((home / "small/agent.safetensors").read_bytes())
    (home / "cut/agent.safetensors").write_bytes(content[:-9])
    content[-5] ^= 4
    (home / "flipped/agent.safetensors").write_bytes(content)
    (home / "taken/run.safetensors").write_text("a run")
    (home / "file").write_text("3+4\n")
    os.mkfifo(home / "fifo")
    return home


def words(argv, folders, out):
    return [word.replace("{home}", str(folders)).replace("{out}", str(out)) for word in argv]


SOLVE = {
    "empty": ("", "nothing"), "blank": ("  \t ", "nothing"), "unbalanced": ("(3+4", ""),
    "closed too often": ("3+4)", ""),
    "bars left open": ("|3-7", ""), "unknown character": ("3&4", "&"), "code": ("__import__('os')", ""),
    "digits of another script": ("3+\N{ARABIC-INDIC DIGIT THREE}", ""),
    "division by zero": ("3/(4-4)", ""), "no solution": ("3*x=3*x+1", ""), "endless solutions": ("3*x=3*x", ""),
    "not linear": ("x*x=4", ""), "unknown without equation": ("x+3", ""), "two unknowns": ("x+y=3", ""),
    "two equals": ("1=1=1", ""), "equation without unknown": ("3+4=8", ""), "no operator": ("3 4", ""),
    "ends in an operator": ("3+", ""), "begins with one": ("*3", ""), "two operators": ("3*/4", ""),
    "too long": ("+".join("1" * 300), ""), "deeply nested": ("(" * 5000 + "1" + ")" * 5000, ""),
    "huge number": ("9" * 5000 + "+1", ""), "percent after plus": ("100+15%", ""), "nul": ("3\0+4", ""),
    "line break": ("3+\n4^2", ""), "escape": ("\x1b[31m3+", ""), "emoji": ("3+\N{PILE OF POO}", ""),
    "lone surrogate": ("3+\udcff", ""), "power of an unknown": ("2**x=8", ""), "comma": ("3,5+1", ""),
    "exponent": ("1e5+1", ""),
}  # fmt: skip

BAD = {
    "no command": ([], "required"), "unknown command": (["dance"], "dance"), "no problem": (["solve"], "either"),
    "problem and file": (["solve", "3+4", "--file", "{home}/file"], "not both"),
    "two problems": (["solve", "3+4", "4+5"], "4+5"), "minus without --": (["solve", "-3+4"], "put --"),
    "unknown option": (["solve", "3+4", "--loud"], "--loud"), "short of a value": (["solve", "--file"], "--file"),
    "abbreviated": (["solve", "3+4", "--check", "{home}/agent"], "--check"),
    "missing file": (["solve", "--file", "/nowhere/x.txt"], "/nowhere/x.txt"),
    "a folder as file": (["solve", "--file", "{home}/a dir"], "is no file"),
    "a fifo": (["solve", "--file", "{home}/fifo"], "is no file"),
    "a device": (["solve", "--file", "/dev/zero"], "is no file"),
    "nul in file": (["solve", "--file", "a\0b"], "is no file"),
    "a file as folder": (["solve", "--file", "{home}/file/x"], "is no file"),
    "a long name": (["solve", "--file", "x" * 5000], "name a text file"),
    "empty file name": (["solve", "--file", ""], ""),
    "line break in file": (["solve", "--file", "a\nb"], "is no file"),
    "missing checkpoint": (["solve", "3+4", "--checkpoint", "/nowhere"], "/nowhere"),
    "empty checkpoint": (["solve", "3+4", "--checkpoint", ""], "--checkpoint: is empty"),
    "empty folder": (["solve", "3+4", "--checkpoint", "{home}/empty"], "agent.safetensors is missing"),
    "checkpoint is a file": (["solve", "3+4", "--checkpoint", "{home}/file"], "no checkpoint"),
    "nul in checkpoint": (["solve", "3+4", "--checkpoint", "a\0b"], "no checkpoint"),
    "line break in checkpoint": (["solve", "3+4", "--checkpoint", "a\nb"], "a\\nb"),
    "one bit flipped": (["solve", "3+4", "--checkpoint", "{home}/flipped"], "SHA-256"),
    "cut short": (["solve", "3+4", "--checkpoint", "{home}/cut"], "damaged"),
    "a tool that is not there": (["solve", "3+4", "--checkpoint", "{home}/pow"], "POW"),
    "missing checkpoint with a file": (["solve", "--file", "{home}/file", "--checkpoint", "/nowhere"], "/nowhere"),
    "train without out": (["train"], "--out"), "train into nothing": (["train", "--out", ""], "--out: is empty"),
    "train into blanks": (["train", "--out", "  "], "--out: is empty"),
    "unknown profile": (["train", "--profile", "huge", "--out", "{out}"], "smoke, seed, full"),
    "empty profile": (["train", "--profile", "", "--out", "{out}"], "profile ''"),
    "no decisions": (["train", "--decisions", "0", "--out", "{out}"], "decisions = 0"),
    "fewer than none": (["train", "--decisions=-5", "--out", "{out}"], "decisions = -5"),
    "decisions nan": (["train", "--decisions", "nan", "--out", "{out}"], "nan"),
    "half a decision": (["train", "--decisions", "0.5", "--out", "{out}"], "0.5"),
    "decisions in words": (["train", "--decisions", "many", "--out", "{out}"], "many"),
    "decisions of 5000 digits": (["train", "--decisions", "9" * 5000, "--out", "{out}"], "--decisions"),
    "seed below zero": (["train", "--seed=-1", "--out", "{out}"], "seed = -1"),
    "seed of 33 bits": (["train", "--seed", str(2**32), "--out", "{out}"], "4294967295"),
    "seed of 64 bits": (["train", "--seed", str(2**64), "--out", "{out}"], "4294967295"),
    "seed in words": (["train", "--seed", "lucky", "--out", "{out}"], "lucky"),
    "nothing to resume": (["train", "--profile", "smoke", "--resume", "--out", "{out}"], "run.safetensors is missing"),
    "a run is there": (["train", "--profile", "smoke", "--out", "{home}/taken"], "--resume"),
    "an agent is there": (["train", "--profile", "smoke", "--out", "{home}/agent"], "agent.safetensors"),
    "a damaged run": (["train", "--profile", "smoke", "--resume", "--out", "{home}/taken"], "damaged"),
    "out is a file": (["train", "--profile", "smoke", "--out", "{home}/file"], "--out"),
    "out below a file": (["train", "--profile", "smoke", "--out", "{home}/file/x"], "--out"),
    "nul in out": (["train", "--profile", "smoke", "--out", "a\0b"], "can't be written to"),
    "out where nobody can write": (["train", "--profile", "smoke", "--out", "/proc/x"], "can't be written to"),
    "a problem for train": (["train", "3+4", "--out", "{out}"], "3+4"),
    "train on a device": (["train", "--device", "cpu", "--out", "{out}"], "--device"),
    "evaluate a missing folder": (["evaluate", "/nowhere"], "/nowhere"),
    "evaluate nothing": (["evaluate", ""], "is empty"),
    "evaluate a flipped bit": (["evaluate", "{home}/flipped"], "SHA"),
    "two folders": (["evaluate", "{home}/small", "{home}/agent"], "agent"),
    "unknown level": (["evaluate", "{home}/small", "--levels", "mixed5,tree9"], "'tree9'"),
    "no level": (["evaluate", "{home}/small", "--levels", ""], "level ''"),
    "a comma too much": (["evaluate", "{home}/small", "--levels", "mixed5,"], "level ''"),
    "a level of its own name": (["evaluate", "{home}/small", "--levels", "average"], "'average'"),
    "a level without exam": (["evaluate", "{home}/small", "--levels", "add"], "no split 'test'"),
    "a level too long": (["evaluate", "{home}/small", "--levels", "mixed99"], "mixed"),
    "a level of nothing": (["evaluate", "{home}/small", "--levels", "mixed0"], "mixed"),
    "nul in a level": (["evaluate", "{home}/small", "--levels", "mixed5\0"], "level"),
    "no problems": (["evaluate", "{home}/small", "--problems", "0"], "1 to 100000"),
    "less than none": (["evaluate", "{home}/small", "--problems=-1"], "1 to 100000"),
    "too many": (["evaluate", "{home}/small", "--problems", "100001"], "1 to 100000"),
    "far too many": (["evaluate", "{home}/small", "--problems", "1000000000000"], "1 to 100000"),
    "problems in words": (["evaluate", "{home}/small", "--problems", "all"], "all"),
    "examined with a seed of 64 bits": (["evaluate", "{home}/small", "--seed", str(2**64)], "4294967295"),
    "examined with a seed below zero": (["evaluate", "{home}/small", "--seed=-1"], "seed = -1"),
}  # fmt: skip
BAD |= {f"solve: {name}": (["solve", "--checkpoint", "{home}/agent", "--", text], word)
        for name, (text, word) in SOLVE.items()}  # fmt: skip


@pytest.mark.parametrize("argv, word", BAD.values(), ids=BAD)
def test_bad_input_is_one_clear_line(argv, word, folders, capsys, tmp_path):
    out = tmp_path / "run"
    assert main(words(argv, folders, out)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("mna: ") and printed.err.count("\n") == 1 and len(printed.err) < 400
    assert printed.err.strip().isprintable() and word in printed.err
    assert not (out / "record.json").exists() and not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("argv", [["--help"], ["solve", "-h"], ["train", "--help"], ["evaluate", "--help"]])
def test_help_is_no_mistake_and_tells_the_exit_codes(argv, capsys):
    assert main(argv) == 0
    printed = capsys.readouterr()
    assert "130 Ctrl-C" in " ".join(printed.out.split()) and not printed.err


# ---------------------------------------------------------------- solve


def solved(capsys, folders, *argv, code=0, agent="agent"):
    """What solve prints as JSON."""
    assert main(["solve", "--json", "--checkpoint", str(folders / agent), *argv]) == code
    printed = capsys.readouterr()
    assert not printed.err
    return [json.loads(line) for line in printed.out.splitlines()]


def test_solve_prints_calls_and_the_exact_answer_beside_the_agents_own(folders, capsys):
    assert main(["solve", "14+9", "--checkpoint", str(folders / "agent")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "14+9" and lines[1] in ("  ADD(14, 9) -> 23", "  ADD(9, 14) -> 23")
    assert lines[-1] == "  answer 23, exact 23: right"


def test_json_object(folders, capsys):
    (found,) = solved(capsys, folders, "--", "4+9")
    assert list(found)[:6] == ["problem", "answer", "expected", "correct", "calls", "decisions"]
    assert found["answer"] == found["expected"] == 13 and found["correct"] is True
    assert [list(call) for call in found["calls"]] == [["tool", "x", "y", "result"]]


TYPED = {"3x+4=19": 5, "3*(x-4)=19": "31/3", "|4*9-7*8|": 20, "-(3+4)": -7, "7": 7, "x=7": 7, "2(x+3)=14": 4,
         "6\N{MULTIPLICATION SIGN}7": 42, "8\N{DIVISION SIGN}2": 4, "5\N{MINUS SIGN}3": 2, "15%*80": 12, "3.5+1": "9/2",
         "1,200*3": 3600, "[(3+2)*4]-1": 19, "2+3=": 5, "1234567890+1234567890": 2469135780,
         "9" * 30 + "+1": "1" + "0" * 30}  # fmt: skip


@pytest.mark.parametrize("text, expected", TYPED.items(), ids=TYPED)
def test_what_people_type_is_read_and_judged_by_its_exact_answer(text, expected, folders, capsys):
    (found,) = solved(capsys, folders, "--", text)
    assert found["expected"] == expected and found["correct"] == (found["answer"] == expected)


def test_what_the_agent_gets_wrong_is_shown_as_wrong(folders, capsys, tmp_path):
    """An agent that never learned anything, on problems whose answers are hardly ever hit by chance."""
    problems = {f"({a}*7+4)-(5*{a + 2})": a * 7 + 4 - 5 * (a + 2) for a in range(11, 21)}
    (tmp_path / "problems.txt").write_text("\n".join(problems))
    found = solved(capsys, folders, "--file", str(tmp_path / "problems.txt"), agent="small")
    assert {one["problem"]: one["expected"] for one in found} == problems
    assert sum(not one["correct"] for one in found) > 5
    argv = ["solve", "--checkpoint", str(folders / "small"), "--file", str(tmp_path / "problems.txt")]
    assert main(argv) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  answer ")]
    assert told == [
        f"  answer {'no answer' if one['answer'] is None else one['answer']}, exact {one['expected']}: "
        f"{'right' if one['correct'] else 'wrong'}" for one in found]  # fmt: skip


CONTENTS = {
    "nothing": (b"", []), "blank lines": (b"\n\n  \n", []), "no line break at the end": (b"4+9\n3+4", [13, 7]),
    "windows": (b"4+9\r\n3+4\r\n", [13, 7]), "a BOM": (b"\xef\xbb\xbf4+9\n3+4\n", [13, 7]),
    "blank lines between": (b"\n4+9\n\n\n3+4\n\n", [13, 7]), "tabs around": (b"\t4+9\t\n", [13]),
    "a minus": (b"-3+4\n", [1]), "an option": (b"--help\n", [(1, "--help")]),
    "a bad line": (b"4+9\n4+\n3+4\n", [13, (2, "4+"), 7]), "only bad lines": (b"4+\n\n)\n", [(1, "4+"), (3, ")")]),
    "not UTF-8": (b"4+9\n\xff\xfe\n3+4\n", [13, (2, "\ufffd\ufffd"), 7]),
    "UTF-16": ("4+9\n".encode("utf-16"), [(1, "\ufffd"), (2, "\0")]), "nul": (b"4\0+9\n3+4\n", [(1, "4\0"), 7]),
    "the sign of times": ("6\N{MULTIPLICATION SIGN}7\n".encode(), [42]),
    "a BOM within": (b"4+9\n\xef\xbb\xbf3+4\n", [13, 7]),
    "a line of 100 kB": (b"1" * 100_000 + b"\n3+4\n", [(1, "1"), 7]),
    "more than are answered together": (b"4+9\n" * 150, [13] * 150),
}  # fmt: skip


@pytest.mark.parametrize("content, expected", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("name", ["file", "-"])
def test_each_line_of_a_file_gets_its_own(content, expected, name, folders, capsys, tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    bad = [one for one in expected if isinstance(one, tuple)]
    path = "-" if name == "-" else str(tmp_path / "x")
    found = solved(capsys, folders, "--file", path, code=int(bool(bad)))
    assert len(found) == len(expected)
    for one, wanted in zip(found, expected, strict=True):
        if isinstance(wanted, tuple):
            assert list(one) == ["line", "problem", "error"] and one["line"] == wanted[0]
            assert one["problem"].startswith(wanted[1]) and "\n" not in one["error"] and len(one["error"]) < 400
        else:
            assert one["expected"] == wanted and "error" not in one


def test_without_json_a_bad_line_is_told_on_the_error_output(folders, capsys, tmp_path):
    (tmp_path / "x").write_text("4+9\n4+\n3+4\n")
    assert main(["solve", "--checkpoint", str(folders / "agent"), "--file", str(tmp_path / "x")]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("exact") == 2 and printed.err.startswith("mna: line 2: ") and printed.err.count("\n") == 1


def test_a_line_is_answered_before_the_next_one_is_read(folders, capsys, monkeypatch):
    """As where another program writes one, reads the answer, and writes the next one."""
    said, seen = [b"4+", b"9\n", b"3+4\n5", b""], []

    def read1(size):
        seen.append(capsys.readouterr().out.count('"expected"'))
        return said.pop(0)

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=SimpleNamespace(read1=read1)))
    assert main(["solve", "--json", "--checkpoint", str(folders / "agent"), "--file", "-"]) == 0
    assert seen == [0, 0, 1, 1] and capsys.readouterr().out.count('"expected"') == 1


@pytest.mark.parametrize("stdin, word", [
    (None, "closed"), (SimpleNamespace(buffer=SimpleNamespace(read1=lambda n: os.read(-1, n))), "can't be read")])
def test_a_standard_input_that_can_not_be_read_is_told(stdin, word, folders, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["solve", "--checkpoint", str(folders / "agent"), "--file", "-"]) == 2
    assert word in capsys.readouterr().err


def test_a_mistake_is_told_before_torch_is_loaded():
    code = ("import sys\nfrom mna.__main__ import main\n"
            "codes = [main(['solve', '3+']), main(['solve']), main(['solve', '--file', '/nowhere'])]\n"
            "print(codes, 'torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[2, 2, 2] False\n"


# ---------------------------------------------------------------- evaluate and train


def test_evaluate_shows_what_chance_does_beside(folders, capsys):
    argv = ["evaluate", str(folders / "small"), "--levels", "plain3,mixed4", "--problems", "20"]
    assert main([*argv, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["exams", "random"] and list(found["exams"]) == list(found["random"]) == ["plain3", "mixed4"]
    assert all(0 <= share <= 1 for shares in found.values() for share in shares.values())
    assert main(argv) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["level", "right", "random"] and [row.split()[0] for row in rows] == ["plain3", "mixed4"]
    assert main([*argv, "--seed", str(2**32 - 1)]) == 0


@pytest.fixture
def tiny(monkeypatch):
    """A profile that takes a second."""
    config = TrainingConfig("tiny", ladder=("add",), decisions=500, first=150, last=150, judge_every=200,
                            judge_problems=1, exam_problems=1, agent=SMALL)  # fmt: skip
    monkeypatch.setitem(training.PROFILES, "tiny", config)
    monkeypatch.setattr(training, "EXAMS", ("plain3", "mixed10"))


def test_train_then_resume_then_use(tiny, tmp_path, capsys):
    argv = ["train", "--profile", "tiny", "--seed", "3", "--out", str(tmp_path / "run")]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split() == ["level", "right", "random"] and f"is in {tmp_path / 'run'}" in printed
    record = json.loads((tmp_path / "run/record.json").read_text())
    assert record["seed"] == 3 and record["profile"] == "tiny" and record["engine"] == "fast"
    assert main(argv) == 2 and "--resume" in capsys.readouterr().err
    assert main([*argv, "--resume", "--decisions", "600"]) == 0
    assert json.loads((tmp_path / "run/record.json").read_text())["budget"] == 600
    assert main(["train", "--resume", "--profile", "tiny", "--out", str(tmp_path / "run")]) == 2
    assert "with seed 3" in capsys.readouterr().err
    assert main(["solve", "4+9", "--checkpoint", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--levels", "plain3", "--problems", "5"]) == 0


def interrupt(monkeypatch, after):
    """Ctrl-C in the iteration after so many."""
    whole, calls = Run.iterate, []

    def iterate(run):
        calls.append(run)
        if len(calls) > after:
            raise KeyboardInterrupt
        return whole(run)

    monkeypatch.setattr(Run, "iterate", iterate)


@pytest.mark.parametrize("form", [["--out", "{out}"], ["--out={out}"]], ids=["two words", "one word"])
@pytest.mark.parametrize("after, kept", [(0, False), (1, False), (3, True)])
def test_ctrl_c_tells_the_truth(after, kept, form, tiny, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    argv = ["train", "--profile", "tiny", *words(form, "", out)]
    with monkeypatch.context() as patch:
        interrupt(patch, after)
        assert main(argv) == 130
    said = capsys.readouterr().err
    assert said.startswith("mna: interrupted") and said.count("\n") == 1
    assert (out / "run.safetensors").exists() == kept == ("--resume" in said)
    assert ("nothing to go on from" in said) != kept
    assert main([*argv, "--resume"] if kept else argv) == 0  # as it was told
    decisions = [line["decisions"] for line in load_run(out / "run.safetensors").log]
    assert decisions == sorted(set(decisions)) and decisions[-1] >= 500


def test_ctrl_c_elsewhere_is_one_line(folders, capsys, monkeypatch):
    monkeypatch.setattr(cli, "parse", lambda text: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(["solve", "3+4", "--checkpoint", str(folders / "agent")]) == 130
    assert capsys.readouterr().err == "mna: interrupted\n"


def test_a_full_disk_in_training_is_one_line(tiny, tmp_path, capsys, monkeypatch):
    whole = os.fsync

    def full(file):
        if (tmp_path / "run/metrics.jsonl").exists():
            raise OSError(28, "No space left on device")
        whole(file)

    monkeypatch.setattr(os, "fsync", full)
    assert main(["train", "--profile", "tiny", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("mna: ") and "No space left" in said and not list(tmp_path.rglob("*.part"))


# ---------------------------------------------------------------- pipes, each in its own process


def shell(line, **more):
    line = line.replace("MNA", f"{sys.executable} -m mna")
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=120,
                          env=os.environ | {"OMP_NUM_THREADS": "1"} | more)  # fmt: skip
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    return done


def test_a_reader_that_has_seen_enough_is_no_mistake(folders, tmp_path):
    (tmp_path / "many").write_text("4+9\n" * 2_000)
    done = shell(f"MNA solve --json --checkpoint {folders}/agent --file {tmp_path}/many | head -1")
    assert json.loads(done.stdout)["expected"] == 13 and done.stderr == "" and done.returncode == 141


def test_an_output_that_is_full_is_one_line(folders):
    for words in (f"solve 4+9 --checkpoint {folders}/agent", "--help"):
        done = shell(f"MNA {words} > /dev/full")
        assert done.returncode == 2 and done.stderr == "mna: the output can't be written (No space left on device)\n"


def test_outputs_that_are_closed_are_no_mistake():
    assert shell("MNA --help >&-").returncode == 0
    assert shell("MNA solve 3+ 2>&-").returncode == 2
    assert shell("MNA --help | true").returncode in (0, 141)
    assert shell("MNA solve 3+ 2> /dev/full").returncode == 2


def test_a_terminal_that_knows_ascii_only_gets_escapes(folders):
    done = shell(f"MNA solve '6\N{MULTIPLICATION SIGN}7' --checkpoint {folders}/small", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and done.stdout.startswith("6\\xd77\n")


def test_bytes_that_are_no_text_are_refused_in_one_line():
    done = shell("MNA solve $'3+\\xff'")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
