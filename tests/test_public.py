"""The public benchmark: its problems, the form of its result, its one-line errors."""

import json
from fractions import Fraction

import pytest

from benchmarks import public, public_sets
from mna.language import MNAError, parse
from mna.network import AgentConfig
from mna.training import make_agent, save_agent


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A fresh agent in a folder."""
    folder = tmp_path_factory.mktemp("agent")
    save_agent(make_agent(AgentConfig(), 0), folder, dict(decisions=0, seed=0))
    return str(folder)


def nesting(text):
    """How deep the parentheses go."""
    deep = [text[:i].count("(") - text[:i].count(")") for i in range(len(text) + 1)]
    return max(deep)


@pytest.mark.parametrize("depth", range(1, 9))
def test_router_problems_are_nested_as_deep_as_they_say(depth):
    items = public_sets.router(depth, 30, 0)
    assert items == public_sets.router(depth, 30, 0) != public_sets.router(depth, 30, 1)
    for text, gold in items:
        assert nesting(text) == depth and len(text) <= 50
        assert gold == eval(text) == parse(text).answer


def test_textbook_holds_200_different_problems_that_are_read_as_meant():
    items = public_sets.tabled(public_sets.HERE / "textbook.tsv", 0, 0)
    assert len({text for text, _ in items}) == len(items) == 200
    assert [text for text, gold in items if parse(text).answer != gold] == []
    counts = {parse(text).number_count for text, _ in items}
    assert min(counts) == 2 and max(counts) == 14


@pytest.mark.parametrize("question, text", [
    ("Divide -3 by 4.", "-3 / 4"), ("What is -0.5 less than 2?", "2 - -0.5"),
    ("Subtract 3 from -1.", "-1 - 3"), ("What is the distance between 2 and -7?", "|2 - -7|"),
    ("Total of 1.5 and -2.", "1.5 + -2"), ("-1 times 0.3", "-1 * 0.3"),
    ("Calculate 8 divided by -2.", "8 / -2"), ("What is the product of 3 and 4?", "3 * 4"),
    ("What is the value of (1 - 2)/3?", "(1 - 2)/3"), ("Calculate 1 - 2.", "Calculate 1 - 2.")])
def test_questions_in_words_are_put_into_signs(question, text):
    assert public_sets.in_signs(question) == text
    parse(text)


def test_every_deepmind_question_is_read_with_its_gold():
    pytest.importorskip("mathematics_dataset")
    sets = list(public_sets.deepmind_sets())
    assert len(sets) == 13
    for source in sets:
        items = source.items(20, 0)
        assert items == source.items(20, 0)
        assert [text for text, gold in items if parse(text).answer != gold] == []


def test_reasoning_gym_is_drawn_with_its_defaults():
    pytest.importorskip("reasoning_gym")
    source = next(iter(public_sets.gym_sets()))
    assert source.items(2, 0) == [("4 + 3", Fraction(7)), ("812 + 880", Fraction(1692))]


def test_equations_are_sorted_by_where_their_unknown_stands(tmp_path):
    path = tmp_path / "equations.txt"
    path.write_text("2x + 1 = 7\n(3 / x) = 2\nx = x\n((2x) / 3) = (x + 1)\n")
    every, simple = public_sets.conpole_sets(path)
    assert [gold for _, gold in every.items(1, 0)] == [3, Fraction(3, 2), -3]
    assert [gold for _, gold in simple.items(1, 0)] == [3, -3]


def test_result_has_every_set_with_what_it_comes_to(checkpoint, tmp_path, capsys):
    out = tmp_path / "deep/public.json"
    words = [checkpoint, "--sets", "router", "--problems", "4", "--out", str(out)]
    assert public.main(words) == 0
    result = json.loads(out.read_text())
    assert len(result["sets"]) == len(capsys.readouterr().out.splitlines()) == 8
    assert result["agent"]["decisions"] == 0 and result["packages"]["torch"] != "none"
    assert result["pooled"]["read"] == 32
    for row in result["sets"].values():
        assert row["n"] == row["read"] + row["refused"] == 4
        assert row["share"] == row["exact_share"] == row["right"] / 4
        assert row["golds_not_exact"] == 0 and 0 <= row["random"] <= 1
        assert row["ours"] == "with a calculator"
        assert 1 <= row["structures"] <= 4 and row["structures_practicable"] <= row["structures"]


def answer(confidence, right):
    return public.Answer(parse("1+2"), right, right, confidence, confidence < 0.9)


def test_auc_counts_pairs_in_order_and_ties_half():
    found = [answer(0.9, True), answer(0.5, True), answer(0.5, False), answer(0.1, False)]
    assert public.auc(found) == 0.875
    assert public.auc(found[:2]) is None
    assert public.warned(found, True) == 0.5 and public.warned(found[:2], False) is None


def test_a_gold_that_is_not_exact_is_told_apart(checkpoint):
    source = public_sets.ProblemSet("odd", lambda n, seed: [("7/2", Fraction(3)), ("x*x=4", 2)])
    agent = public.load_agent(checkpoint)
    row, found = public.measure(agent, source, 2, 0)
    assert row["golds_not_exact"] == row["refused"] == row["read"] == 1
    assert row["right"] == 0 and len(found) == 1 and "x*x" in row["refusals"][0]


@pytest.mark.parametrize("more, said", [
    (["--sets", "nowhere"], "sources: deepmind"), (["--problems", "0"], "from 1 to"),
    (["--sets", "conpole", "--equations", "/nowhere.txt"], "/nowhere.txt can't be read")])
def test_bad_input_is_told_in_one_line(checkpoint, capsys, more, said):
    assert public.main([checkpoint, *more]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_a_file_that_holds_no_equations_is_refused(checkpoint, tmp_path, capsys):
    path = tmp_path / "poem.txt"
    path.write_text("shall I compare thee\n")
    assert public.main([checkpoint, "--sets", "conpole", "--equations", str(path)]) == 2
    assert "no equation in x" in capsys.readouterr().err


def test_a_missing_package_is_named():
    with pytest.raises(MNAError, match="'no_such_package' is missing"):
        public_sets.package("no_such_package")


def test_what_was_finished_is_kept_when_stopped(checkpoint, tmp_path, monkeypatch, capsys):
    out, real, asked = tmp_path / "public.json", public.measure, []

    def stopped(*args):
        asked.append(args)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(public, "measure", stopped)
    words = [checkpoint, "--sets", "router", "--problems", "2", "--out", str(out)]
    assert public.main(words) == 130
    assert len(json.loads(out.read_text())["sets"]) == 2
