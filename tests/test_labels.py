"""A calculator without labels: the game of many episodes against the plain one, what is shown, and the command."""

import json
import random

import numpy as np
import pytest
import torch

from benchmarks import labels
from benchmarks.evidence import known
from benchmarks.labels import Agent, Config, Look, Player, Written, play, update
from benchmarks.labels_game import (
    ANSWER,
    CLEAR,
    ERROR,
    NEXT,
    NUMBER,
    PERMUTATIONS,
    SHOWN,
    Game,
    Identify,
    at_random,
    by_labels,
    is_held_out,
    likelihoods,
    pool,
    ready,
    shown,
    tally,
    text_of,
)
from mna.labels import TOOLS, Unlabelled, shown_of
from mna.language import MNAError, parse

OTHERS = {"C": CLEAR, "ANSWER": ANSWER}
NAMES = [*TOOLS]  # in the order of the numbers behind the fast game's buttons


def code_of(told):
    """What the plain game shows of a press, as a code of the fast one."""
    if told == "error":
        return ERROR
    *order, far, whole = told
    return sum("<=>".index(part) * 3**k for k, part in enumerate(order)) + 27 * far + 54 * whole


# ---------------------------------------------------------------- problems
def test_texts_say_what_the_tokens_say():
    drawn = pool(300, "train", 1)
    for tokens, values, answer in zip(drawn.tokens, drawn.values, drawn.answers, strict=True):
        assert float(parse(text_of(tokens, values)).answer) == pytest.approx(answer)


def test_structures_of_four_numbers_are_kept_apart():
    train, test = (pool(6000, split, 2) for split in ("train", "test"))
    four = [{tuple(row) for row in part.tokens[part.counts == 4].tolist()} for part in (train, test)]
    assert not four[0] & four[1] and min(map(len, four)) > 30
    assert not any(is_held_out([t for t in row if t]) for row in four[0])
    for part in (train, test):  # of fewer numbers, all structures are in both
        assert np.bincount(part.counts).tolist() == [0, 0, 2000, 2000, 2000]
    share = len(four[1]) / len(four[0] | four[1])
    assert 0.1 < share < 0.3


def test_only_structures_of_four_numbers_are_held_out():
    assert not any(is_held_out([NUMBER, sign, NUMBER]) for sign in range(3, 7))


# ---------------------------------------------------------------- the game
@pytest.mark.parametrize("seed", [0, 1])
def test_many_games_are_the_plain_game(seed):
    """Random legal play: what is legal, shown, paid, and how problems end is the same in both."""
    B, rng = 40, np.random.default_rng(seed)
    game, ended, met = Game(pool(2000, "test", seed), B, rng), 0, set()

    def plain(i):
        text = text_of(game.tokens[i], game.values[i])
        return Unlabelled([text], [NAMES[t] for t in game.buttons[i]])

    games = [plain(i) for i in range(B)]
    for _ in range(60):
        seen = game.see()
        for i, one in enumerate(games):
            legal = [OTHERS.get(a) or 4 * a[0] + a[1] for a in one.legal()]
            assert np.flatnonzero(seen.legal[i]).tolist() == sorted(legal)
            assert seen.left[i] == one.left and seen.pending[i] == (one.before is not None)
        actions = at_random(game, seen)
        reward, done, told = game.step(actions)
        over = dict(zip(told["rows"].tolist(), told["right"].tolist(), strict=True))
        for i, a in enumerate(actions.tolist()):
            what = divmod(a, 4) if a < CLEAR else "C" if a == CLEAR else "ANSWER"
            paid, right = games[i].step(what)
            assert reward[i] == pytest.approx(paid)
            assert (right is not None) == (i in over)
            if a < CLEAR:
                assert code_of(games[i].shown) == game.code[i] and games[i].last == game.last[i] == a % 4
                met.add(int(game.code[i]))
            if right is not None:
                assert right == over[i] and games[i].presses == told["presses"][told["rows"] == i][0]
                ended, games[i] = ended + 1, plain(i)
        assert (game.round[done] == 0).all()
    assert ended > 100 and len(met) > 15 and ERROR in met


def test_buttons_stay_for_an_episode_and_are_mixed_for_the_next():
    game, fresh = Game(pool(300, "train", 1), 200, np.random.default_rng(0)), 0
    for _ in range(60):
        before = game.buttons.copy()
        _, done, _ = game.step(at_random(game, game.see()))
        assert (game.buttons[~done] == before[~done]).all()
        fresh += (game.buttons[done] != before[done]).any(1).sum()
    assert fresh > 100


def test_no_position_tells_a_button():
    """The same game with its buttons in another order, pressed in that order, looks the same but for the order."""
    for p in PERMUTATIONS[[5, 13, 22]]:
        one, two = (Game(pool(300, "train", 1), 100, np.random.default_rng(0)) for _ in range(2))
        two.buttons[:, p] = one.buttons
        dice = np.random.default_rng(1)
        for _ in range(25):
            a, b = one.see(), two.see()
            assert (a.event == b.event).all() and (a.windows == b.windows).all() and (a.button == b.button[:, p]).all()
            actions = (dice.random(a.legal.shape) * a.legal).argmax(1)
            moved = np.where(actions < CLEAR, actions // 4 * 4 + p[actions % 4], actions)
            rewards = one.step(actions)[0], two.step(moved)[0]
            assert (rewards[0] == rewards[1]).all()
            two.buttons[:, p] = one.buttons  # new episodes mix alike


def test_a_first_press_says_nothing_that_depends_on_the_place_of_a_button():
    """Over all permutations each button shows the same codes as often."""
    game = Game(pool(2000, "train", 1), 24 * 500, np.random.default_rng(0))
    game.buttons[:] = np.tile(PERMUTATIONS, (500, 1))
    counts = []
    for b in range(4):
        other = Game(game.problems, game.B, np.random.default_rng(0))
        other.buttons[:] = game.buttons
        first = other.see().legal[:, ::4].argmax(1)
        other.step(4 * first + b)
        counts.append(np.bincount(other.code, minlength=SHOWN) / game.B)
    assert max(np.abs(c - counts[0]).max() for c in counts) < 0.02


def test_the_reference_shows_what_the_codes_say():
    dice = random.Random(0)
    for _ in range(300):
        x, y = (parse(str(dice.randint(0, 9))).answer / dice.randint(1, 4) for _ in range(2))
        for tool in TOOLS.values():
            if tool is not TOOLS["DIV"] or y:
                r = tool(x, y)
                fast = shown(*(np.array([float(v)]) for v in (x, y, r)))
                assert code_of(shown_of(x, y, r)) == fast[0]


def test_an_illegal_action_is_one_line():
    game = Unlabelled(["3+4"], NAMES)
    with pytest.raises(MNAError, match="is not legal; legal: "):
        game.step("ANSWER")
    assert game.step((0, 0))[1] is None and game.shown == (">", ">", ">", False, True)
    assert game.step("ANSWER")[1] is True


# ---------------------------------------------------------------- policies
def share(policy, observe=None, episodes=400):
    game = Game(pool(3000, "test", 3), 100, np.random.default_rng(0))
    found = tally(game, policy, episodes, observe)
    assert len(found["right"]) == 3 * episodes
    return found["right"].mean()


def test_policies_by_hand_are_in_order():
    chances = likelihoods(pool(2000, "train", 1), steps=300)
    knows, forgets = Identify(100, chances), Identify(100, chances, forget=True)
    found = [share(at_random), share(by_labels), share(forgets.act, forgets.observe), share(knows.act, knows.observe)]
    assert found == sorted(found) and found[1] < 0.25 < 0.9 < found[3]


def test_fixed_labels_are_right_where_the_buttons_happen_to_be_so():
    game = Game(pool(3000, "test", 3), 100, np.random.default_rng(0))

    def act(game, seen):
        game.buttons[:] = np.arange(4)
        return by_labels(game, seen)

    assert tally(game, act, 200)["right"].all()


def test_what_is_next_leads_to_the_answer():
    assert ready(Game(pool(3000, "test", 3), 500, np.random.default_rng(0)).see()).any(1).all()


# ---------------------------------------------------------------- the agent
def test_the_gradient_by_hand_is_that_of_autograd():
    torch.manual_seed(0)
    T, B, D = 7, 5, 6
    agent = Agent(Config(width=D)).double()
    h, gates = (torch.randn(*s, D * k, dtype=torch.double, requires_grad=True) for s, k in (((B, 4), 1), ((T, B), 3)))
    button, writes, new = torch.randint(4, (T, B)), torch.rand(T, B) < 0.7, torch.rand(T, B) < 0.2
    flags = torch.nn.functional.one_hot(button, 4) * writes[:, :, None]
    steps, kept = [], h
    for t in range(T):
        look = Look(None, None, flags[t].double(), None, None)
        kept = agent.write(gates[t], kept, look, new[t])
        steps.append(kept)
    plain, fast = torch.stack(steps), Written.apply(gates, h, agent.keep.weight, agent.keep.bias, button, writes, new)
    assert torch.allclose(plain, fast)
    weights, wanted = torch.randn_like(plain), (gates, h, agent.keep.weight, agent.keep.bias)
    for a, b in zip(*(torch.autograd.grad((m * weights).sum(), wanted) for m in (plain, fast)), strict=True):
        assert torch.allclose(a, b)


@pytest.mark.parametrize("memory", ["buttons", "none"])
def test_an_update_sees_what_play_saw(memory):
    torch.manual_seed(0)
    agent = Agent(Config(width=16, memory=memory))
    game = Game(pool(300, "train", 1), 20, np.random.default_rng(0))
    h, new = agent.empty(20), torch.ones(20, dtype=torch.bool)
    for _ in range(2):  # the second time with a memory that is not empty
        start, (h, new, played) = h, play(agent, game, h, new, 30)
        looks, actions, old, values, _, news, _, _ = played
        logp, again = agent.follow(looks, start, news)
        assert torch.allclose(logp.gather(1, actions.reshape(-1, 1))[:, 0], old.flatten(), atol=1e-5)
        assert torch.allclose(again, values.flatten(), atol=1e-5)


def test_an_agent_treats_all_buttons_alike():
    torch.manual_seed(0)
    agent, p = Agent(Config(width=16)), torch.tensor([2, 0, 3, 1])
    game = Game(pool(300, "train", 1), 50, np.random.default_rng(0))
    for _ in range(3):
        game.step(at_random(game, game.see()))
    look, h, new = Look.at(game.see()), torch.randn(50, 4, 16), torch.zeros(50, dtype=torch.bool)
    kept, logp, value = agent.decide(look, h, new)
    look.button = look.button[:, p]
    other, moved, same = agent.decide(look, h[:, p], new)
    assert torch.allclose(kept[:, p], other) and torch.allclose(value, same, atol=1e-5)
    presses = logp[:, :12].view(50, 3, 4)
    assert torch.allclose(presses[:, :, p], moved[:, :12].view(50, 3, 4), atol=1e-5)


def test_lesions_clear_what_they_say():
    agent = Agent(Config(width=8))
    for lesion in ("", "problem", "clear", "mix"):
        game = Game(pool(300, "train", 1), 60, np.random.default_rng(0))
        player, times = Player(agent, 60, greedy=False, lesion=lesion), 0
        for _ in range(40):
            before = game.buttons.copy()
            _, done, _ = game.step(player.act(game, game.see()))
            happened = game.happened.copy()
            player.observe(game, done)
            cleared = {"": [], "mix": [], "problem": [NEXT], "clear": [NEXT, labels.CLEARED]}[lesion]
            assert (player.new.numpy() == (done | np.isin(happened, cleared))).all()
            mixed = (game.buttons != before).any(1) & ~done
            assert not mixed.any() or lesion == "mix" and (game.round[mixed] == 2).all()
            times += mixed.sum()
        assert (times > 0) == (lesion == "mix")


def test_what_is_paid_becomes_likelier():
    torch.manual_seed(0)
    config, new = Config(width=16, minibatches=2), torch.ones(40, dtype=torch.bool)
    agent, game = Agent(config), Game(pool(300, "train", 1), 40, np.random.default_rng(0))
    optimizer, h, shares = torch.optim.Adam(agent.parameters(), 3e-3), agent.empty(40), []
    for _ in range(8):
        start, (h, new, played) = h, play(agent, game, h, new, 20)
        looks, actions, old, values, _, *rest = played
        free = looks.legal[:, :, CLEAR]
        shares.append((actions[free] == CLEAR).float().mean())
        update(agent, optimizer, config, start, looks, actions, old, values, (actions == CLEAR).float(), *rest, 0.0)
    assert shares[-1] > shares[0] + 0.2


# ---------------------------------------------------------------- the command
def test_the_command_makes_what_is_missing_and_only_that(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(labels, "SMOKE", 1000)
    command = ["--smoke", "--out", str(tmp_path), "--arms", "random,fixed-labels,identify,learned"]
    assert labels.main(command) == 0
    path = tmp_path / "labels.jsonl"
    made = {line["arm"]: line for line in map(json.loads, path.read_text().splitlines())}
    line = made["learned"]
    assert line["seed"] == labels.SEEDS[0] and line["problems"] == 60 and line["curve"] and line["commit"]
    assert line["lesions"]["eight problems"]["problems"] == 80
    assert sum(row[1] for row in line["structures"]) == 60
    assert sum(row[2] for row in line["structures"]) == round(60 * line["right"])
    steps = line["episode"]["steps"]
    assert [step["problem"] for step in steps][-1] == 2 and sorted(line["episode"]["buttons"]) == [0, 1, 2, 3]
    with path.open("a") as file:
        file.write('{"arm": "learned", "se')  # cut off
    assert labels.main(command) == 0
    said = capsys.readouterr()
    assert "0 runs are there, 4 to make" in said.out and "4 runs are there, 0 to make" in said.out
    assert "a damaged line of labels.jsonl is left out" in said.err


def test_an_unknown_arm_is_one_line(tmp_path, capsys):
    assert labels.main(["--arms", "fast", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("labels: arm 'fast' does not exist; arms: learned,") and said.count("\n") == 1


def test_a_run_is_a_function_of_its_arm_and_seed():
    def tried():
        line = labels.trained("annealed", 10, 1000, 20)
        return {k: v for k, v in line.items() if k != "cpu_seconds"}

    assert tried() == tried()


def test_reported_seeds_are_not_those_of_tuning():
    assert not set(labels.TUNING) & set(labels.SEEDS) and len(labels.SEEDS) == 5
    assert {line["seed"] for line in known(labels.RESULTS / "labels.jsonl")} <= set(labels.SEEDS)
