"""The Gymnasium environments: their checker, our rules, and single against vector."""

import math
import random
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space
from hypothesis import given, settings
from hypothesis import strategies as st

import mna.gym as g
from mna.language import MNAError, parse, slots_needed
from mna.network import Stage, names
from mna.problems import draw

ID = "mna/Arithmetic-v0"
examples = settings(deadline=None, derandomize=True, max_examples=40)
FEW_LEVELS = ["add", "expr5", "signs4", "bars6", "linear3", "algebra5", "mixed10"]


def make(num_envs=None, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if num_envs is None:
            return gymnasium.make(ID, **more).unwrapped
        return gymnasium.make_vec(ID, num_envs=num_envs, **more)


def legal_choice(mask, dice):
    return dice.choice(np.flatnonzero(mask).tolist())


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return np.array_equal(a, b)


# ---------------------------------------------------------------- an oracle that knows the tree

SIGNS = {"+": "ADD", "-": "SUB", "*": "MUL", "/": "DIV", "=": "SUB"}


class Oracle:
    """Solves a problem by its tree, the heavier side first; plays through `step` alone."""

    def __init__(self, env, problem):
        self.env, self.problem, self.total = env, problem, 0.0
        self.K = env.game.settings.slots
        _, self.info = env.reset(options={"problem": problem.text})
        # where the value of each part that is worked out is: as the tokens say it
        self.place, self.last = {}, None

    def do(self, action):
        assert self.info["action_mask"][action]
        *_, reward, self.done, self.cut, self.info = self.env.step(action)
        self.total += reward

    def name(self, part):
        """The action that names a part's value."""
        place = self.place.get(id(part), None)
        if isinstance(part, int):
            place = self.K + 1 + part
        tokens = self.env.game.state.worksheet.tokens
        there = [token.place for token in tokens if token.place is not None]
        self.do(self.env.game.desk.first + there.index(place))

    def call(self, tool, part, *operands):
        desk = self.env.game.desk
        if self.last is not None and self.last not in map(id, operands):
            self.do(desk.store)
            slot = self.env.game.state.memory.free[0]
            self.do(desk.slot + slot)
            self.place[self.last] = slot
        self.name(operands[0])
        self.do(desk.config.tools.index(tool))
        if len(operands) == 2:
            self.name(operands[1])
        self.last, self.place[id(part)] = id(part), self.K

    def value_of(self, part):
        state = self.env.game.state
        place = self.K + 1 + part if isinstance(part, int) else self.place[id(part)]
        return state.value(place)

    def solve(self, part):
        if isinstance(part, int):
            return
        symbol, *sides = part
        for side in sorted(sides, key=self.need, reverse=True):
            self.solve(side)
        if symbol == "abs":
            if self.value_of(sides[0]).sign >= 0:
                self.move(sides[0], part)
            else:
                self.call("NEG", part, *sides)
        elif symbol == "neg":
            self.call("NEG", part, *sides)
        else:
            self.call(SIGNS[symbol], part, *sides)
            if symbol == "=":
                self.call("ROOT", part, part)

    def move(self, side, part):
        """|a| of an a >= 0 is a."""
        self.place[id(part)] = self.K + 1 + side if isinstance(side, int) else self.place[id(side)]
        if self.last == id(side):
            self.last = id(part)

    def need(self, part):
        if isinstance(part, int):
            return 0
        held = [self.need(side) for side in part[1:]]
        if len(held) == 2 and held[0] == held[1] != 0:
            return held[0] + 1
        return max(1, *held)

    def play(self):
        self.solve(self.problem.tree)
        if not self.done_already():
            self.do(self.env.game.desk.answer)
        return self.info["correct"]

    def done_already(self):
        return self.env.game.over


@pytest.mark.parametrize("level", FEW_LEVELS)
def test_who_knows_the_tree_is_right_and_earns_it_all(level):
    env, dice = make(shaping=0.5), random.Random(1)
    solved = 0
    for _ in range(40):
        problem = draw(level, dice)
        if slots_needed(problem) > 3:
            continue
        oracle = Oracle(env, problem)
        assert oracle.play(), problem.text
        assert oracle.done and not oracle.cut
        assert oracle.total == pytest.approx(1 + 0.5 * bool(problem.tasks))
        solved += 1
    assert solved > 30


# ---------------------------------------------------------------- the interface


@pytest.mark.parametrize("more", [{}, dict(levels=["mixed10", "add"], flaky=0.2, practice=True,
                                           slots=0, shaping=0)], ids=["plain", "odd"])
def test_the_single_environment_passes_the_checker(more):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(ID, **more).unwrapped)


def test_the_id_can_be_made_with_its_module_and_its_spec_is_text():
    env = gymnasium.make("mna.gym:" + ID, levels="add")
    assert "mna.gym:ArithmeticEnv" in env.spec.to_json()
    seen, _ = env.reset(seed=0)
    assert env.unwrapped.game.env.problem.number_count == 2
    flat = gymnasium.wrappers.FlattenObservation(env)
    assert flat.reset(seed=0)[0].shape == flat.observation_space.shape


def test_the_first_decisions_by_hand():
    env = make(render_mode="ansi", tokens=7, numbers=3)
    seen, info = env.reset(options={"problem": "3*(4+5)"})
    assert seen["kinds"].tolist() == list(parse("3*(4+5)").kinds)
    assert seen["holds"].tolist() == [1, 0, 0, 1, 0, 1, 0] and seen["left"] == 0
    first = env.game.desk.first
    assert np.flatnonzero(info["action_mask"]).tolist() == [first, first + 1, first + 2]
    seen, *_ = env.step(first + 1)
    assert (seen["left"], seen["stage"]) == (2, Stage.TOOL)
    assert env.render().splitlines() == [
        "worksheet  3*(4+5)", "stage      TOOL 4", "memory     [ ] [ ] [ ]"]
    env.step(0)
    assert "RIGHT 4 ADD" in env.render()
    seen, reward, *_, info = env.step(first + 2)
    assert seen["holds"].tolist() == [1, 0, 1, 0, 0, 0, 0] and reward == 0.5
    env.step(env.game.desk.store)
    env.step(env.game.desk.slot + 2)
    assert env.render().endswith("[ ] [ ] [9]") and "3*9" in env.render()
    assert make().render() is None


@examples
@given(st.integers(0, 2**32 - 1), st.sampled_from(FEW_LEVELS), st.booleans(),
       st.sampled_from([0.0, 0.3]), st.sampled_from([0, 1, 3]))
def test_random_legal_play_never_errs_and_earns_at_most_all(seed, level, practice, flaky, slots):
    env = make(levels=[level], practice=practice, flaky=flaky, slots=slots, shaping=0.7)
    seen, info = env.reset(seed=seed)
    dice, total, over, n = random.Random(seed), 0.0, False, 0
    while not over:
        assert env.observation_space.contains(seen)
        legal = env.game.desk.legal(env.game.state)
        mask = info["action_mask"]
        assert mask[:len(legal)].tolist() == legal and not mask[len(legal):].any()
        assert np.array_equal(mask, env.action_masks()) and mask.dtype == bool
        named = names(env.game.desk, env.game.state)
        assert len(named) == len(legal)
        action = env.action_space.sample() if n % 2 else legal_choice(mask, dice)
        assert mask[action]
        seen, reward, done, cut, info = env.step(action)
        assert not (done and cut)
        total, over, n = total + reward, done or cut, n + 1
    assert -1e-9 <= total <= 1.7 + 1e-9 and n <= env.game.env.bound
    assert cut == (n == env.game.env.bound and not done)
    assert info["correct"] == (reward == 1)
    assert env.observation_space.contains(seen) and info["action_mask"].any()


def test_an_episode_that_never_ends_is_cut_off_at_its_bound():
    env = make(flaky=0.5)
    env.reset(seed=0, options={"problem": "1+2"})
    first, n, cut = env.game.desk.first, 0, False
    env.game.env.rng = type("Unlucky", (), {"random": lambda self: 0.0})()  # all calls fail
    while not cut:
        _, _, done, cut, _ = env.step([first, 0, first + 1][n % 3])
        n += 1
        assert not done
    assert n == env.game.env.bound
    with pytest.raises(MNAError, match="reset"):
        env.step(first)


def test_a_lost_result_ends_the_episode():
    env = make()
    env.reset(options={"problem": "(1+2)*(3+4)"})
    first = env.game.desk.first
    for action in (first, 0, first + 1, first + 1, 0):
        _, _, done, cut, _ = env.step(action)
        assert not done
    _, reward, done, cut, info = env.step(first + 2)
    assert (reward, done, cut, info["correct"]) == (0, True, False, False)


# ---------------------------------------------------------------- options and seeds


def test_options_name_a_problem():
    env = make(levels=["add"])
    env.reset(options={"problem": "2x+1=7"})
    assert env.game.env.problem.answer == 3
    env.reset(options={})
    assert env.game.env.problem.number_count == 2
    assert make(levels="plain16", split="test").reset(seed=1)


@pytest.mark.parametrize("options, words", [
    ({"problems": "1+2"}, "give a 'problem'"), (["problem"], "give a 'problem'"),
    ({"problem": "1+2", "level": "add"}, "give a 'problem'"), ("1+2", "give a 'problem'"),
    ({"problem": "1+"}, "1+"), ({"problem": None}, "NoneType"), ({"problem": 3}, "int"),
    ({"level": "add"}, "give a 'problem'"), ({"problem": "+".join("1" * 17)}, "numbers=16")])
def test_bad_options_are_refused_and_change_nothing(options, words):
    env = make()
    seen, _ = env.reset(seed=5)
    problem = env.game.env.problem
    with pytest.raises(MNAError) as error:
        env.reset(seed=6, options=options)
    one_line(error, words if words != "numbers=16" else "16 numbers")
    assert env.game.env.problem is problem
    env.step(env.action_space.sample())
    with pytest.raises(MNAError):
        make(3).reset(options=options)


def one_line(error, words=""):
    message = str(error.value)
    assert words in message and "\n" not in message and len(message) < 600, message


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "1", math.nan, np.array([1]), [1]])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(MNAError) as error:
        make().reset(seed=seed)
    one_line(error, "seed = ")
    if not isinstance(seed, list):
        with pytest.raises(MNAError) as error:
            make(2).reset(seed=seed)
        one_line(error, "seed = ")


@pytest.mark.parametrize("seed", [0, 2**32 - 1, np.int64(7), np.uint32(7)])
def test_a_seed_makes_the_same_episodes_again(seed):
    env, other = make(flaky=0.5), make(3, flaky=0.5)
    runs = []
    for _ in range(2):
        env.action_space.seed(1)
        env.reset(seed=seed)
        run = []
        for _ in range(60):
            action = env.action_space.sample()
            seen, *rest, info = env.step(action)
            run.append((action, env.game.env.problem.text, *rest))
            if env.game.over:
                env.reset()
        runs.append(run)
    assert runs[0] == runs[1]
    assert equal(other.reset(seed=seed)[0], other.reset(seed=seed)[0])
    env.reset(seed=seed)
    assert other.envs[0].game.env.problem == env.game.env.problem
    assert len({e.game.env.problem.text for e in other.envs}) > 1


@pytest.mark.parametrize("more, words", [
    (dict(shaping=math.nan), "shaping = nan"), (dict(shaping=-1), "shaping = -1"),
    (dict(shaping=math.inf), "shaping = inf"), (dict(shaping="1"), "shaping = "),
    (dict(flaky=1.0), "flaky = 1.0"), (dict(flaky=math.nan), "flaky = nan"),
    (dict(flaky=True), "flaky = True"), (dict(slots=-1), "slots = -1"),
    (dict(slots=1.5), "slots = 1.5"), (dict(tokens=0), "0"), (dict(tokens=10**6), "tokens"),
    (dict(numbers="all"), "numbers = 'all'"), (dict(levels=["tree9"]), "tree9"),
    (dict(levels="tree9"), "'tree9'"), (dict(levels=[]), "no level"),
    (dict(split="dev"), "dev"), (dict(levels="plain16"), "exams only"),
    (dict(levels="add", split="test"), "add")])
def test_bad_settings_are_refused_in_one_line(more, words):
    for num_envs in (None, 2):
        with pytest.raises(MNAError) as error:
            make(num_envs, **more)
        one_line(error, words)


@pytest.mark.parametrize("num_envs", [0, -1, 1.0, True])
def test_bad_numbers_of_games_are_refused(num_envs):
    with pytest.raises(MNAError, match="num_envs"):
        g.ArithmeticVectorEnv(num_envs=num_envs)


def test_what_never_fits_is_told():
    with pytest.raises(MNAError, match="4 tokens"):
        make(levels="expr5", tokens=4).reset(seed=0)


# ---------------------------------------------------------------- actions


def test_actions_that_are_not_legal_are_refused_by_name_and_change_nothing():
    env = make()
    seen, info = env.reset(seed=0, options={"problem": "3*(4+5)"})
    first = env.game.desk.first
    for action in [i for i, ok in enumerate(info["action_mask"]) if not ok] + [-1, 99, 10**30]:
        with pytest.raises(MNAError) as error:
            env.step(action)
        one_line(error, f"action {action} is not legal; CHOOSE allows {first} 3, {first + 1} 4")
    assert env.game.decisions == 0 and equal(seen, g.seen_of(env.game))
    env.step(first)
    with pytest.raises(MNAError, match="TOOL allows 0 ADD, 1 SUB"):
        env.step(first)


@pytest.mark.parametrize("action", [
    11.0, True, None, "11", [11], (11,), np.array([11]), np.float32(11), np.True_,
    np.array(11.0), np.arange(300).reshape(3, 100), {}], ids=lambda a: type(a).__name__)
def test_what_is_no_whole_number_is_refused_in_one_line(action):
    env = make()
    env.reset(options={"problem": "1+2"})
    with pytest.raises(MNAError) as error:
        env.step(action)
    one_line(error, "no whole number")
    with pytest.raises(MNAError) as error:
        make(1).step([action])
    one_line(error)


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8, np.array])
def test_whole_numbers_of_any_kind_are_taken(kind):
    env = make()
    env.reset(options={"problem": "1+2"})
    env.step(kind(env.game.desk.first))
    assert env.game.state.stage == Stage.TOOL


def test_a_step_needs_an_episode():
    env = make()
    env.action_space.sample()
    for _ in range(2):
        with pytest.raises(MNAError, match="reset"):
            env.step(env.game.desk.first)
        env.reset(options={"problem": "7"})
        *_, done, _, info = env.step(env.game.desk.answer)
        assert done and info["correct"]


def test_sample_draws_what_is_legal_and_takes_masks_of_any_dtype():
    env = make()
    _, info = env.reset(seed=0)
    for _ in range(200):
        mask = info["action_mask"]
        for told in (mask, mask.astype(np.int8), mask.astype(float)):
            assert mask[env.action_space.sample(told)]
        *_, done, cut, info = env.step(env.action_space.sample())
        if done or cut:
            _, info = env.reset()
    env.action_space.seed(3)
    assert info["action_mask"][env.action_space.sample()] or env.game.decisions


# ---------------------------------------------------------------- vector


def test_the_vector_environment_is_gymnasiums_of_single_ones():
    """Same seeds and choices, the same of all that comes back."""
    more = dict(levels=["expr3", "bars4"], flaky=0.1)
    ours = make(5, **more)
    theirs = SyncVectorEnv([lambda: g.ArithmeticEnv(**more)] * 5,
                           autoreset_mode=AutoresetMode.SAME_STEP)
    alone = [make(**more) for _ in range(5)]
    assert ours.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    seen, info = ours.reset(seed=9)
    assert equal((seen, info)[0], theirs.reset(seed=9)[0])
    for i, env in enumerate(alone):
        env.reset(seed=9 + i)
    dice, ended = random.Random(0), 0
    for _ in range(150):
        assert ours.observation_space.contains(seen)
        assert info["action_mask"].shape == (5, ours.single_action_space.n)
        choices = np.array([legal_choice(mask, dice) for mask in info["action_mask"]])
        seen, rewards, done, cut, info = ours.step(choices)
        their_seen, *their_parts, their_info = theirs.step(choices)
        assert equal(seen, their_seen) and equal([rewards, done, cut], their_parts)
        for i, env in enumerate(alone):
            one, reward, over, late, told = env.step(choices[i])
            assert (reward, over, late) == (rewards[i], done[i], cut[i])
            if over or late:
                ended += 1
                assert equal(one, info["final_obs"][i]) and info["_final_obs"][i]
                assert info["final_info"]["correct"][i] == told["correct"]
                one, told = env.reset()
            assert equal(one, {key: part[i] for key, part in seen.items()})
            assert np.array_equal(told["action_mask"], info["action_mask"][i])
    assert ended > 30


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasiums_vectors_take_the_single_environment(mode):
    envs = gymnasium.make_vec(ID, num_envs=2, vectorization_mode=mode, levels="add")
    _, info = envs.reset(seed=0)
    dice, ended = random.Random(0), 0
    for _ in range(40):  # AutoresetMode.NEXT_STEP: a finished game is asked once more
        assert info["action_mask"].any(1).all()
        _, _, done, cut, info = envs.step(
            np.array([legal_choice(mask, dice) for mask in info["action_mask"]]))
        ended += (done | cut).sum()
    assert ended > 3
    envs.close()


def test_what_was_given_out_stays_as_it_was():
    envs = make(3)
    seen, info = envs.reset(seed=0)
    kept = {key: part.copy() for key, part in seen.items()}, info["action_mask"].copy()
    envs.step(envs.action_space.sample())
    assert equal(seen, kept[0]) and np.array_equal(info["action_mask"], kept[1])


def test_plain_samples_of_many_games_are_legal():
    envs = make(4, levels="mixed5")
    envs.action_space.seed(0)
    _, info = envs.reset(seed=0)
    for n in range(100):
        choices = envs.action_space.sample(info["action_mask"] if n % 2 else None)
        assert envs.action_space.contains(choices)
        *_, info = envs.step(choices)
    unmasked = batch_space(gymnasium.spaces.Discrete(27), 4).sample()
    try:
        envs.step(unmasked)
    except MNAError as error:
        assert str(error).startswith("game ")


def test_one_bad_action_stops_all_games_before_they_move():
    envs = make(3)
    envs.reset(seed=0)
    first = envs.envs[0].game.desk.first
    for actions, words in (([first, first, 0], "game 2: action 0"), ([first] * 2, "(2,)"),
                           (first, "()"), ([[first]] * 3, "(3, 1)"), ([first, 1.0, first], "game 1"),
                           ([first, [1, 2], first], "game 1"), ([[1], [1, 2], 3], "game 0"),
                           (None, "()"), (np.array([first] * 3, float), "game 0")):
        with pytest.raises(MNAError) as error:
            envs.step(actions)
        one_line(error, words)
    assert [env.game.decisions for env in envs.envs] == [0, 0, 0]


def test_the_vector_environment_renders_and_takes_options():
    envs = make(2, render_mode="ansi")
    envs.reset(options={"problem": "3+4"})
    assert all("3+4" in text for text in envs.render()) and len(envs.render()) == 2


def test_statistics_of_gymnasium_count_episodes():
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(make(4, levels="add"))
    _, info = envs.reset(seed=0)
    lengths = []
    for _ in range(60):
        *_, done, cut, info = envs.step(envs.action_space.sample())
        lengths += info["episode"]["l"][done | cut].tolist() if (done | cut).any() else []
    assert len(lengths) > 10 and max(lengths) <= 12
