"""PPO where it fails silently: masks, ends, padding, resets, whole episodes; and a run that learns."""

import copy
import math
from collections import defaultdict
from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mna import ppo
from mna.environments import FULL_LADDER, PAD, Environment, MNAError, Problems, generate
from mna.memory import make_agent
from mna.network import ANSWER, FIRST_SLOT, Agent, Stage, legal, situation
from mna.training import load_agent

settings.register_profile("mna", deadline=None, max_examples=100, derandomize=True)
settings.load_profile("mna")
CONFIG = ppo.PPOConfig()
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(levels=FULL_LADDER, n=10, seed=0):
    return generate(torch.arange(len(levels)).repeat(n), levels, rng(seed))


def adam(agent):
    return ppo.FlatAdam(agent, CONFIG.learning_rate)


def everyone(rollout):
    return torch.arange(len(rollout.kinds), device=rollout.kinds.device)


def packed(rollout, episodes=None):
    """(time, row, batch): where each packed decision stands in the roll-out, told by marks that go along."""
    mark = torch.arange(rollout.live.numel(), device=rollout.live.device).view_as(rollout.live)
    batch = ppo.pack(rollout, everyone(rollout) if episodes is None else episodes, mark.float(), -mark.float())
    place = batch.advantage.long()
    assert torch.equal(batch.returns, -batch.advantage)
    return place // len(rollout.kinds), place % len(rollout.kinds), batch


def policies(logits, may, floor):
    return ppo.policy(ppo.log_softmax(logits, may), may, floor)


def replayed(agent, rollout, mask=None, episodes=None):
    """(new log-probabilities, old ones, new values, old ones) of the packed decisions."""
    time, row, batch = packed(rollout, episodes)
    with torch.no_grad():
        logits, value = agent.replay(batch.steps)
    p = policies(logits, rollout.legal[time, row] if mask is None else mask, rollout.floor[row])
    new = p.gather(1, rollout.choice[time, row][:, None])[:, 0].log()
    return new, rollout.log_prob[time, row], value, rollout.value[time, row]


def lost(agent, rollout, config=CONFIG, advantage=None, returns=None):
    """The losses of a whole roll-out."""
    zero = torch.zeros_like(rollout.reward)
    advantage, returns = zero if advantage is None else advantage, zero if returns is None else returns
    return ppo.losses(agent, ppo.pack(rollout, everyone(rollout), advantage, returns), config)


def flat(agent):
    return torch.cat([weight.detach().flatten() for weight in agent.parameters()])


def spoiled(rollout, seed=7):
    """The same roll-out with garbage wherever no decision was made."""
    parts = {}
    for field in fields(rollout):
        part = getattr(rollout, field.name)
        if field.name in ("kinds", "floor", "live", "correct"):
            continue
        noise = torch.randint(0, 1000, part.shape, generator=rng(seed))
        noise = noise % 2 == 0 if part.dtype == torch.bool else noise.to(part.dtype)
        noise = torch.where(noise > 500, torch.nan, noise) if part.is_floating_point() else noise
        live = rollout.live.view(*rollout.live.shape, *[1] * (part.ndim - 2))
        parts[field.name] = torch.where(live, part, noise)
    return replace(rollout, **parts)


@pytest.fixture(scope="module")
def agent():
    return make_agent(seed=0)


@pytest.fixture(scope="module")
def rollout(agent):
    return ppo.play(agent, draw(), rng(), floor=0.1)


# ---------------------------------------------------------------- the policy

rows = st.integers(1, 12).flatmap(
    lambda A: st.tuples(
        st.lists(st.floats(-30, 30), min_size=A, max_size=A),
        st.lists(st.booleans(), min_size=A, max_size=A).filter(any),
        st.floats(0, 1),
    )
)


@given(rows)
def test_the_softmax_is_over_legal_choices_alone(row):
    logits, may = torch.tensor([row[0]], requires_grad=True), torch.tensor([row[1]])
    log_q = ppo.log_softmax(logits, may)
    allowed = [logit for logit, yes in zip(row[0], row[1], strict=True) if yes]
    whole = max(allowed) + math.log(sum(math.exp(logit - max(allowed)) for logit in allowed))
    assert log_q[may].tolist() == pytest.approx([logit - whole for logit in allowed], abs=1e-4)
    assert (log_q[~may] < -9e8).all() and (log_q[~may].exp() == 0).all() and log_q.isfinite().all()
    (gradient,) = torch.autograd.grad(log_q[may].square().sum(), logits)
    assert gradient.isfinite().all() and (gradient[~may] == 0).all()


def test_at_takes_each_rows_value_at_its_choice():
    assert ppo.at(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([1, 0, 1])).tolist() == [2, 3, 6]


@given(rows)
def test_a_policy_sums_to_one_and_is_zero_where_not_legal(row):
    logits, may, floor = torch.tensor([row[0]]), torch.tensor([row[1]]), torch.tensor([[row[2]]])
    p = policies(logits, may, floor)
    assert math.isclose(p.sum().item(), 1, abs_tol=1e-5)
    assert (p[~may] == 0).all() and (p[may] >= row[2] / may.sum() - 1e-6).all()
    uniform = policies(logits, may, torch.ones(1, 1))
    assert torch.allclose(uniform, may / may.sum())
    exact = ppo.log_softmax(logits.double(), may).exp().float()
    torch.testing.assert_close(policies(logits, may, torch.zeros(1, 1)), exact, rtol=1e-5, atol=1e-30)


@given(rows)
def test_entropy_counts_legal_choices_only(row):
    logits = torch.tensor([row[0]], requires_grad=True)
    may, floor = torch.tensor([row[1]]), torch.tensor([[row[2]]])
    p = policies(logits, may, floor)
    slow = sum(-x * math.log(x) for x, yes in zip(p[0].tolist(), row[1], strict=True) if yes and x > 0)
    h = ppo.entropy(p)
    assert math.isclose(h.item(), slow, abs_tol=1e-5) and h.item() <= math.log(may.sum()) + 1e-5

    (gradient,) = torch.autograd.grad(h.sum(), logits)
    assert gradient.isfinite().all() and (gradient[~may] == 0).all()
    elsewhere = policies(logits.detach() + 100 * ~may, may, floor)
    assert torch.equal(ppo.entropy(elsewhere), h)


@given(rows)
def test_evenness_is_the_mean_log_probability_of_legal_choices(row):
    logits, may = torch.tensor([row[0]], requires_grad=True), torch.tensor([row[1]])
    q = policies(logits, may, torch.zeros(1, 1))
    n, u = may.sum(), ppo.evenness(ppo.log_softmax(logits, may), may)
    allowed = [logit for logit, yes in zip(row[0], row[1], strict=True) if yes]
    whole = max(allowed) + math.log(sum(math.exp(logit - max(allowed)) for logit in allowed))
    assert math.isclose(u.item(), sum(allowed) / len(allowed) - whole, abs_tol=1e-4)
    assert u.item() <= -math.log(n) + 1e-5

    (gradient,) = torch.autograd.grad(u.sum(), logits)
    assert torch.allclose(gradient, (1 / n - q) * may, atol=1e-5)
    assert torch.equal(ppo.evenness(ppo.log_softmax(logits.detach() + 100 * ~may, may), may), u)


def test_samples_fall_as_often_as_the_policy_says():
    p, n = torch.tensor([0.5, 0.25, 0.15, 0.09, 0.01, 0.0]), 50_000
    counts = torch.bincount(ppo.sample(p.repeat(n, 1), rng()), minlength=6)
    assert counts[5] == 0
    chi_square = ((counts - n * p).square() / (n * p))[:5].sum()
    assert chi_square < 18.5  # 4 degrees of freedom: exceeded by chance once in a thousand seeds


def test_the_floor_falls_with_the_length_and_stays_a_share():
    problems = Problems.from_text(["7", "3+4", "4*2+7", "1+2+3+4+5+6"])
    assert torch.allclose(ppo.floors(problems, 0.1)[:, 0], torch.tensor([0.3, 0.15, 0.1, 0.05]))
    for floor in (0.0, 0.5, 0.9, 1.0):
        assert ((ppo.floors(problems, floor) >= 0) & (ppo.floors(problems, floor) <= 1)).all()
    assert (ppo.floors(problems, 1) == 1).all()


# ---------------------------------------------------------------- playing


def test_every_choice_is_legal_and_its_probability_is_stored(rollout):
    live = rollout.live
    assert rollout.legal.gather(2, rollout.choice[..., None])[..., 0][live].all()
    assert (rollout.log_prob[live] <= 0).all() and rollout.log_prob[live].isfinite().all()
    assert live[0].all() and not (live[1:] & ~live[:-1]).any()


def test_the_random_legal_policy_is_uniform(agent):
    rollout = ppo.play(agent, draw(n=4), rng(), floor=1)
    n_legal = rollout.legal.sum(-1)[rollout.live]
    assert torch.allclose(rollout.log_prob[rollout.live], -n_legal.float().log(), atol=1e-6)


def test_greedy_play_takes_the_most_probable_choice_and_needs_no_randomness(agent):
    problems = draw(n=4)
    one, two = (ppo.play(agent, problems, greedy=True) for _ in range(2))
    assert torch.equal(one.choice, two.choice)
    time, row, batch = packed(one)
    with torch.no_grad():
        p = policies(agent.replay(batch.steps)[0], one.legal[time, row], one.floor[row])
    assert torch.allclose(p.amax(1).log(), one.log_prob[time, row], atol=1e-5)


def test_a_finished_row_keeps_a_legal_choice(agent):
    """The mask is never empty, and of a problem that is answered it leaves a single dummy choice."""
    env, state = Environment.start(draw(n=3)), agent.start(draw(n=3))
    for _ in range(int(env.bound.max())):
        mask = legal(state)
        assert mask.any(1).all()
        assert (mask.sum(1)[state.stage == Stage.ANSWER] == 1).all()
        logits, _ = agent.decide(state)
        choice = ppo.sample(policies(logits, mask, torch.ones(1, 1)), rng())
        agent.observe(state, env.step(*agent.act(state, choice)))
    assert env.done.all() and (state.stage == Stage.ANSWER).any()


def test_finished_rows_have_no_weight(agent):
    """One short problem beside long ones: whatever the others do, its decisions are the same few."""
    rollout = ppo.play(agent, Problems.from_text(["7"] + ["1+2+3+4+5+6"] * 9), rng(), floor=1)
    assert rollout.live[:, 0].sum() == 1 and rollout.right[0] and rollout.correct[0, 0]
    assert rollout.reward[:, 0].tolist() == [1] + [0] * (len(rollout.reward) - 1)
    time, row, _ = packed(rollout)
    assert (row == 0).sum() == 1 and len(time) == rollout.decisions


@pytest.mark.parametrize("floor", [0.0, 0.1, 1.0])
def test_the_log_probability_of_the_softmax_is_stored_too(agent, floor):
    rollout = ppo.play(agent, draw(), rng(), floor=floor)
    live, even = rollout.live, rollout.floor[:, 0] / rollout.legal.sum(-1)
    mixed = (1 - rollout.floor[:, 0]) * rollout.log_q.exp() + even
    assert torch.allclose(mixed[live], rollout.log_prob[live].exp(), atol=1e-6)
    assert (rollout.log_q[live] <= 0).all()
    assert torch.allclose(rollout.log_q, rollout.log_prob, atol=1e-6) == (floor == 0)


def test_each_problem_may_have_a_floor_of_its_own(agent):
    problems = draw(n=20)
    one, same = (ppo.play(agent, problems, rng(3), floor) for floor in (0.1, ppo.floors(problems, 0.1)))
    for field in fields(one):
        assert torch.equal(getattr(one, field.name), getattr(same, field.name)), field.name

    floor = torch.tensor([0.0, 0.25, 1.0]).repeat(len(problems))[: len(problems), None]
    rollout = ppo.play(agent, problems, rng(3), floor)
    assert torch.equal(rollout.floor, floor)
    live, uniform = rollout.live, -rollout.legal.sum(-1).float().log()
    none, some, all_ = ((live & (floor[:, 0] == share)) for share in (0.0, 0.25, 1.0))
    assert torch.allclose(rollout.log_prob[none], rollout.log_q[none], atol=1e-6)
    assert torch.allclose(rollout.log_prob[all_], uniform[all_], atol=1e-6)
    mixed = 0.75 * rollout.log_q.exp() + 0.25 * uniform.exp()
    assert torch.allclose(rollout.log_prob[some].exp(), mixed[some], atol=1e-6)


def test_a_right_answer_ends_its_episode_and_is_told_once(agent):
    rollout = ppo.play(agent, draw(("add", "one_op"), n=200), rng(), floor=1)
    T, B = rollout.live.shape
    assert rollout.correct.shape == (T, B) and rollout.right.shape == (B,)
    assert 0 < rollout.right.sum() < B and torch.equal(rollout.right, rollout.correct.any(0))
    assert (rollout.correct.sum(0) <= 1).all() and not rollout.correct[~rollout.live].any()
    last = rollout.live.sum(0) - 1
    assert rollout.correct[last, torch.arange(B)].equal(rollout.right)
    assert (rollout.reward[rollout.correct] == 1).all() and (rollout.reward >= 0).all()


def test_a_turn_tells_all_that_the_rollout_notes_of_it(agent):
    problems = draw(n=1)
    env, rows = Environment.start(problems), torch.arange(len(problems))
    game = ppo.Game(env, agent.start(problems), rows, ppo.floors(problems, 0.1), rows.new_full((len(rows), 3), -1))
    with torch.no_grad():
        entries = ppo.turn(agent, game, 0, rng(), greedy=False)
    room = ppo.Rollout.empty(problems, game.floor, 5, 3)
    assert set(entries) == {field.name for field in fields(room)} - {"kinds", "floor"}
    for name, part in entries.items():
        assert part.shape == getattr(room, name)[0].shape and part.dtype == getattr(room, name).dtype, name
    assert (entries["stage"] == Stage.CHOOSE).all() and entries["live"].all()


def test_what_is_written_down_stands_in_the_turns_before_for_these_problems_alone():
    problems = draw(("add",), n=4)
    room = ppo.Rollout.empty(problems, ppo.floors(problems, 0.1), 6, 3)
    notes = defaultdict(list, choice=[torch.tensor([5, 6]), torch.tensor([7, 8])],
                        live=[torch.tensor([True, True]), torch.tensor([True, False])])  # fmt: skip
    room.write(4, torch.tensor([3, 1]), notes)
    wanted = torch.zeros(6, 4, dtype=torch.long)
    wanted[2, 3], wanted[2, 1], wanted[3, 3], wanted[3, 1] = 5, 6, 7, 8
    assert torch.equal(room.choice, wanted) and room.live.nonzero().tolist() == [[2, 1], [2, 3], [3, 3]]
    assert not notes and room.decisions == 3
    room.write(6, torch.tensor([0]), notes)  # nothing noted: nothing to write
    assert torch.equal(room.choice, wanted)


def test_a_second_game_starts_afresh(agent):
    problems = draw(n=3)
    first = ppo.play(agent, problems, rng(5), floor=0.1)
    ppo.play(agent, draw(n=2, seed=3), rng(6), floor=0.5)
    again = ppo.play(agent, problems, rng(5), floor=0.1)
    for field in fields(first):
        assert torch.equal(getattr(first, field.name), getattr(again, field.name)), field.name


def test_a_first_decision_knows_nothing_of_other_episodes(agent, rollout):
    assert (rollout.stage[0] == Stage.CHOOSE).all() and (rollout.previous[0] == ANSWER).all()
    assert (rollout.seen[0] == 0).all() and (rollout.written[0] == -1).all()
    problems = draw()
    assert torch.equal(rollout.waiting[0].sum(1), problems.n_numbers)
    for i in (0, 5, 13, 77):
        alone = ppo.play(agent, problems.select(torch.tensor([i])), rng(1), floor=0.1)
        assert abs(alone.value[0, 0] - rollout.value[0, i]) < 1e-6


def test_an_episode_is_replayed_the_same_in_any_company(agent, rollout):
    for i in (3, 20, 139):
        time, row, _ = packed(rollout)
        together, _, value, _ = replayed(agent, rollout)
        alone, _, value_alone, _ = replayed(agent, rollout, episodes=torch.tensor([i]))
        assert torch.allclose(together[row == i], alone, atol=1e-5)
        assert torch.allclose(value[row == i], value_alone, atol=1e-5)


def test_a_wiped_memory_has_nothing_to_recall():
    """And it makes no difference before something was stored, nor where nothing is."""
    problems, slots = draw(n=5), slice(FIRST_SLOT, FIRST_SLOT + 3)
    n_stored = n_whole = 0
    for seed in range(6):
        agent = make_agent(seed=seed)
        plain, wiped = (ppo.play(agent, problems, greedy=True, wiped=wiped) for wiped in (False, True))
        pointing = wiped.live & ((wiped.stage == Stage.LEFT) | (wiped.stage == Stage.RIGHT))
        assert pointing.any() and not wiped.legal[pointing][:, slots].any()
        storing = (plain.stage == Stage.STORE) & plain.live
        known = storing.cumsum(0) - storing.long() == 0  # up to the first write
        one, two = (torch.where(rollout.live & known, rollout.choice, 0) for rollout in (plain, wiped))
        assert torch.equal(one, two)
        stored = storing.any(0)
        assert torch.equal(plain.live[:, ~stored], wiped.live[:, ~stored])
        n_stored, n_whole = n_stored + int(stored.sum()), n_whole + int((~stored).sum())
    assert n_stored > 10 and n_whole > 10


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda agent: ppo.play(agent, draw().select(torch.tensor([], dtype=torch.long))), "0 problems"),
        (lambda agent: ppo.play(agent, Problems.from_text([])), "0 problems"),
        (lambda agent: ppo.play(agent, Problems.from_text(["3+y"])), "'y'"),
        (lambda agent: ppo.play(agent, draw(n=1), floor=-0.1), "floor = -0.1"),
        (lambda agent: ppo.play(agent, draw(n=1), floor=1.5), "floor = 1.5"),
        (lambda agent: ppo.play(agent, draw(n=1), floor=math.nan), "floor = nan"),
        (lambda agent: ppo.play(agent, draw(n=1), flaky=2), "flaky = 2"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_clear_line(agent, call, words):
    with pytest.raises(MNAError) as error:
        call(agent)
    assert words in str(error.value) and "\n" not in str(error.value)


# ---------------------------------------------------------------- roll-out and replay agree


@pytest.mark.parametrize("floor, flaky", [(0.1, 0.0), (0.0, 0.0), (1.0, 0.0), (0.1, 0.3)])
def test_the_ratio_is_one_before_the_first_gradient_step(agent, floor, flaky):
    rollout = ppo.play(agent, draw(n=20), rng(1), floor=floor, flaky=flaky)
    assert rollout.legal.any(-1)[rollout.live].all() and (rollout.stage == Stage.STORE).any()
    assert flaky == 0 or (rollout.seen[rollout.live] == 1).any()
    new, old, value, old_value = replayed(agent, rollout)
    assert ((new - old).exp() - 1).abs().max() < 1e-5
    assert (value - old_value).abs().max() < 1e-5


@pytest.mark.parametrize("played_on", DEVICES)
@pytest.mark.parametrize("replayed_on", DEVICES)
def test_every_device_gives_the_same_log_probabilities(played_on, replayed_on):
    agent = load_agent(device=played_on)
    level = torch.arange(len(FULL_LADDER), device=played_on).repeat(20)
    problems = generate(level, FULL_LADDER, torch.Generator(played_on).manual_seed(0))
    rollout = ppo.play(agent, problems, torch.Generator(played_on).manual_seed(1), floor=0.1)
    moved = replace(rollout, **{field.name: getattr(rollout, field.name).to(replayed_on) for field in fields(rollout)})
    new, old, value, old_value = replayed(agent.to(replayed_on), moved)
    assert len(new) > 1000 and (new - old).abs().max() < 1e-4
    assert (value - old_value).abs().max() < 1e-4


def test_the_ratio_is_one_again_after_an_update(rollout):
    agent = make_agent(seed=0)
    ppo.update(agent, adam(agent), rollout, CONFIG, rng=rng())
    fresh = ppo.play(agent, draw(seed=9), rng(2), floor=0.1)
    new, old, _, _ = replayed(agent, fresh)
    assert ((new - old).exp() - 1).abs().max() < 1e-5
    new, old, _, _ = replayed(agent, rollout)
    assert (new - old).abs().max() > 0.01  # the agent has moved


def test_an_agent_without_memory_plays_and_learns():
    torch.manual_seed(0)
    agent = Agent()
    rollout = ppo.play(agent, draw(n=4), rng(), floor=0.1)
    new, old, _, _ = replayed(agent, rollout)
    assert rollout.written.shape[-1] == 0 and ((new - old).exp() - 1).abs().max() < 1e-5
    assert math.isfinite(ppo.update(agent, adam(agent), rollout, CONFIG, rng=rng())["approx_kl"])


def test_a_minibatch_in_which_nothing_is_stored(agent, rollout):
    nothing_stored = (~((rollout.stage == Stage.STORE) & rollout.live).any(0)).nonzero()[:, 0]
    new, old, _, _ = replayed(agent, rollout, episodes=nothing_stored)
    assert ((new - old).exp() - 1).abs().max() < 1e-5


def test_without_the_stored_mask_the_ratio_is_wrong(agent, rollout):
    """So the mask of the roll-out is what the update uses."""
    time, row, _ = packed(rollout)
    new, old, _, _ = replayed(agent, rollout, mask=torch.ones_like(rollout.legal[time, row]))
    assert ((new - old).exp() - 1).abs().mean() > 0.3
    no_mask = replace(rollout, legal=torch.ones_like(rollout.legal))
    honest, wrong = (lost(agent, r) for r in (rollout, no_mask))
    assert honest["approx_kl"].abs() < 1e-6 and honest["clipfrac"] == 0
    assert wrong["approx_kl"] > 0.1 and wrong["clipfrac"] > 0.5


def test_practice_stays_on_the_plan_and_exams_do_not(agent):
    """A working call without a reward is the last decision, if asked for; by default the episode goes on."""
    problems = draw()
    for options in ({}, {"on_plan": True}):
        r = ppo.play(agent, problems, rng(), floor=1.0, **options)
        present = (r.seen[1:] >= 2) & r.live[1:]  # a result came back from the decision before, and it goes on
        assert (present & (r.reward[:-1] == 0)).any() != bool(options)


# ---------------------------------------------------------------- whole episodes, packed


def shown(texts, rollout):
    """The packed texts, padded again as those of the roll-out: (U, L)."""
    kinds = F.pad(texts.kinds, (0, 1), value=PAD)[texts.at].T
    return F.pad(kinds, (0, rollout.kinds.shape[1] - kinds.shape[1]), value=PAD)


@given(st.lists(st.integers(0, 139), min_size=1, max_size=30, unique=True))
@settings(max_examples=30)
def test_pack_covers_whole_episodes_once_in_order_of_time(rollout, chosen):
    time, row, batch = packed(rollout, torch.tensor(chosen))
    steps, places = batch.steps, list(zip(time.tolist(), row.tolist(), strict=True))
    expected = {(t, b) for b in chosen for t in range(int(rollout.live[:, b].sum()))}
    assert len(places) == len(expected) and set(places) == expected
    assert (time.diff() >= 0).all() and steps.sizes == torch.bincount(time).tolist()
    assert sorted(steps.sizes, reverse=True) == steps.sizes
    first, start = row[: steps.sizes[0]], 0
    assert torch.equal(shown(steps.texts, rollout)[steps.texts.which], rollout.kinds[first])
    for size in steps.sizes:  # at each time the first few episodes go on
        assert torch.equal(row[start : start + size], first[:size])
        start += size


@given(st.lists(st.integers(0, 139), min_size=1, max_size=30, unique=True))
@settings(max_examples=10)
def test_pack_gives_each_decision_what_belongs_to_it(rollout, chosen):
    time, row, batch = packed(rollout, torch.tensor(chosen))
    for name in ("legal", "choice", "log_prob", "log_q"):
        assert torch.equal(getattr(batch, name), getattr(rollout, name)[time, row]), name
    assert torch.equal(batch.floor, rollout.floor[row])
    n_numbers, C = draw().n_numbers[row], rollout.waiting.shape[2]
    assert torch.allclose(batch.ease[:, 0], 3 / n_numbers)
    steps, texts, K = batch.steps, batch.steps.texts, rollout.written.shape[2]
    N, operands = C - K, steps.operands
    known = (rollout.stage[time, row], rollout.previous[time, row], rollout.seen[time, row])
    assert torch.equal(steps.situation, situation(*known, K))
    assert torch.equal(steps.waiting, rollout.waiting[time, row])
    place = steps.waiting.nonzero()  # what waits, and for numbers: where the key stands among those of all texts
    assert torch.equal(torch.stack((operands.decision, operands.place % C), 1), place)
    number = place[:, 1] >= K
    assert torch.equal(shown(texts, rollout)[operands.row[number] // N], rollout.kinds[row[operands.decision[number]]])
    assert torch.equal(operands.row[number] % N, place[number, 1] - K)
    last = known[1] - FIRST_SLOT - K  # the number chosen last
    assert (steps.number[last < 0] == N * len(texts.numbers)).all()
    assert torch.equal(steps.number[last >= 0] % N, last[last >= 0])
    assert torch.equal(shown(texts, rollout)[steps.number[last >= 0] // N], rollout.kinds[row[last >= 0]])


def test_pack_finds_the_decision_that_wrote_each_slot(rollout):
    time, row, batch = packed(rollout, torch.randperm(140, generator=rng())[:90])
    steps, stage = batch.steps, rollout.stage[time, row]
    assert torch.equal(steps.writes, (stage == Stage.STORE).nonzero()[:, 0])
    K, n = rollout.written.shape[2], 0
    first = steps.texts.numbers.numel() + 1  # rows of the table: numbers, nothing, what was written
    kept = steps.operands.row >= first
    written = torch.full(steps.operands.shape, -1)
    written.view(-1)[steps.operands.place[kept]] = steps.writes[steps.operands.row[kept] - first]
    assert (written[:, K:] < 0).all() and torch.equal(written[:, :K] >= 0, steps.waiting[:, :K])
    for m, k in (written >= 0).nonzero().tolist():
        j, n = int(written[m, k]), n + 1
        assert j < m and row[j] == row[m] and stage[j] == Stage.STORE
        assert rollout.choice[time[j], row[j]] == FIRST_SLOT + k
        later = [i for i in range(j + 1, m) if row[i] == row[m] and stage[i] == Stage.STORE]
        assert all(rollout.choice[time[i], row[i]] != FIRST_SLOT + k for i in later)
    assert n > 20


def test_minibatches_are_whole_episodes_and_each_pass_sees_all(agent, rollout, monkeypatch):
    """Drawn once an iteration; every pass sees the same ones."""
    parts, batches, used, pack, losses = [], [], [], ppo.pack, ppo.losses

    def spied_pack(rollout, chosen, *more):
        parts.append(chosen)
        batches.append(pack(rollout, chosen, *more))
        return batches[-1]

    monkeypatch.setattr(ppo, "pack", spied_pack)
    monkeypatch.setattr(ppo, "losses", lambda agent, batch, config: used.append(batch) or losses(agent, batch, config))
    config = replace(CONFIG, epochs=3, minibatches=4)
    for seed in (0, 1):
        learner = copy.deepcopy(agent)
        ppo.update(learner, adam(learner), rollout, config, rng=rng(seed))
    assert len(parts) == 2 * config.minibatches and len(used) == 2 * config.epochs * config.minibatches
    for i in (0, 1):
        mine = slice(4 * i, 4 * i + 4)
        assert torch.cat(parts[mine]).sort().values.equal(everyone(rollout))
        assert [len(part) for part in parts[mine]] == [35] * 4
        for chosen, batch in zip(parts[mine], batches[mine], strict=True):
            assert len(batch.choice) == rollout.live[:, chosen].sum() == sum(batch.steps.sizes)
        passes = [used[12 * i + 4 * j : 12 * i + 4 * j + 4] for j in range(3)]
        assert all(a is b for one in passes for a, b in zip(one, batches[mine], strict=True))
    assert not torch.equal(torch.cat(parts[:4]), torch.cat(parts[4:]))  # another iteration, another draw
    assert not torch.equal(torch.cat(parts[:4]), everyone(rollout))


def test_garbage_behind_the_end_changes_nothing(agent, rollout):
    """Not a bit of the losses, the gradients, the metrics or the new weights."""
    dirty, results = spoiled(rollout), []
    assert dirty.value[~rollout.live].isnan().any()
    for r in (rollout, dirty):
        learner = copy.deepcopy(agent)
        advantage, returns = ppo.advantages(r.reward, r.value, r.live, 1.0, 0.95)
        found = lost(learner, r, CONFIG, advantage, returns)
        (found["policy_loss"] + found["value_loss"] - found["bonus"]).backward()
        gradients = [weight.grad.clone() for weight in learner.parameters() if weight.grad is not None]
        metrics = ppo.update(learner, adam(learner), r, CONFIG, rng=rng())
        results.append((advantage, returns, *found.values(), *gradients, *learner.parameters()))
        results[-1] += (torch.tensor(list(metrics.values())),)
    for clean, other in zip(*results, strict=True):
        assert torch.equal(clean, other) and clean.isfinite().all()


def test_more_padding_changes_nothing(rollout):
    """Not a bit of the new weights: the mean and the deviation of advantages are those of decisions."""
    names = [field.name for field in fields(rollout) if field.name not in ("kinds", "floor")]
    parts = {name: getattr(rollout, name) for name in names}
    longer = {name: torch.cat((part, torch.zeros_like(part))) for name, part in parts.items()}
    weights = []
    for r in (rollout, replace(rollout, **longer)):
        learner = make_agent(seed=0)
        ppo.update(learner, adam(learner), r, CONFIG, rng=rng())
        weights.append(flat(learner))
    assert torch.equal(*weights)


# ---------------------------------------------------------------- advantages


def naive(reward, value, gamma, lam):
    """One episode: the definition, as sums."""
    n, value = len(reward), [*value, 0.0]
    delta = [reward[t] + gamma * value[t + 1] - value[t] for t in range(n)]
    return [sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, n)) for t in range(n)]


number = st.floats(-2, 2)
episode = st.lists(st.tuples(number, number), min_size=1, max_size=9)


@given(st.lists(episode, min_size=1, max_size=5), st.floats(0, 1), st.floats(0, 1))
def test_advantages_agree_with_a_naive_loop(episodes, gamma, lam):
    T = max(map(len, episodes)) + 2
    reward, value = torch.full((T, len(episodes)), torch.nan), torch.full((T, len(episodes)), torch.nan)
    live = torch.zeros(T, len(episodes), dtype=torch.bool)
    for b, steps in enumerate(episodes):
        live[: len(steps), b] = True
        reward[: len(steps), b], value[: len(steps), b] = torch.tensor(steps).T
    advantage, returns = ppo.advantages(reward, value, live, gamma, lam)
    assert (advantage[~live] == 0).all() and (returns[~live] == 0).all()
    for b, steps in enumerate(episodes):
        rewards, values = zip(*steps, strict=True)
        slow = torch.tensor(naive(rewards, values, gamma, lam))
        assert torch.allclose(advantage[live[:, b], b], slow, atol=1e-4)
        assert torch.allclose(returns[live[:, b], b], slow + torch.tensor(values), atol=1e-4)


def test_with_gamma_and_lambda_one_returns_are_the_rewards_to_come(rollout):
    _, returns = ppo.advantages(rollout.reward, rollout.value, rollout.live, 1.0, 1.0)
    to_come = rollout.reward.flip(0).cumsum(0).flip(0)
    assert torch.allclose(returns[rollout.live], to_come[rollout.live], atol=1e-5)


def test_the_bound_is_an_end_and_nothing_is_bootstrapped_behind_it(agent):
    problems = draw(n=3)
    rollout = ppo.play(agent, problems, rng(), flaky=1.0, floor=1)  # no call ever works
    length = rollout.live.sum(0)
    at_bound = (length == Environment.start(problems).bound).nonzero()[:, 0]
    assert len(at_bound) > 10
    last = length[at_bound] - 1
    rollout.value[~rollout.live] = 1e6  # a bootstrap would show
    advantage, returns = ppo.advantages(rollout.reward, rollout.value, rollout.live, 1.0, 0.95)
    assert (rollout.reward[:, at_bound] == 0).all() and not rollout.right[at_bound].any()
    assert (rollout.value[last, at_bound].abs() > 1e-3).any()
    assert torch.allclose(returns[last, at_bound], torch.tensor(0.0), atol=1e-6)
    assert torch.allclose(advantage[last, at_bound], -rollout.value[last, at_bound])


# ---------------------------------------------------------------- the objective and the update


decision = st.tuples(st.floats(0.05, 3), st.floats(-2, 2))


@given(st.lists(decision, min_size=1, max_size=6), st.floats(0, 0.9), st.floats(0, 2))
def test_the_objective_is_the_clipped_one(decisions, low, high):
    ratios, advantages = zip(*decisions, strict=True)
    log_ratio = torch.tensor(ratios).log().requires_grad_()
    loss = ppo.ppo_loss(log_ratio, torch.tensor(advantages), low, high)
    slow = [-min(r * a, min(max(r, 1 - low), 1 + high) * a) for r, a in decisions]
    assert math.isclose(loss.item(), sum(slow) / len(slow), abs_tol=1e-4)
    (gradient,) = torch.autograd.grad(loss, log_ratio)
    for (r, a), g in zip(decisions, gradient.tolist(), strict=True):
        if min(abs(r - 1 + low), abs(r - 1 - high)) > 1e-4:  # away from the corners
            clipped = r > 1 + high if a > 0 else r < 1 - low
            assert math.isclose(g, 0 if clipped else -r * a / len(slow), abs_tol=1e-4)


def test_the_distance_is_zero_at_home_and_grows():
    kl, clipfrac = ppo.distance(torch.zeros(5), CONFIG)
    assert kl == 0 and clipfrac == 0
    low, high = 1 - CONFIG.clip_low, 1 + CONFIG.clip_high
    ratios = torch.tensor([low - 0.01, low + 0.01, 1.0, high - 0.01, high + 0.01])
    kl, clipfrac = ppo.distance(ratios.log(), CONFIG)
    assert math.isclose(kl, (ratios - 1 - ratios.log()).mean(), rel_tol=1e-5)
    assert math.isclose(clipfrac, 0.4, rel_tol=1e-6)


# ---------------------------------------------------------------- full credit for what the floor found


def gradients(agent, rollout, config, advantage):
    """Gradients of the policy loss, as one vector, and all that `losses` found."""
    learner = copy.deepcopy(agent)
    found = lost(learner, rollout, config, advantage)
    found["policy_loss"].backward()
    parts = [torch.zeros_like(w) if w.grad is None else w.grad for w in learner.parameters()]
    return torch.cat([part.flatten() for part in parts]), found


@pytest.fixture(scope="module")
def moved(agent):
    """The agent some steps later, when no ratio is 1 any more."""
    other = copy.deepcopy(agent)
    ppo.update(other, adam(other), ppo.play(other, draw(seed=4), rng(4), floor=0.1), CONFIG, rng=rng(4))
    return other


def test_without_a_floor_full_credit_changes_nothing(agent, moved):
    rollout = ppo.play(agent, draw(), rng(8), floor=0.0)
    advantage, _ = ppo.advantages(rollout.reward, rollout.value, rollout.live, 0.95, 0.95)
    (one, found), (other, same) = (
        gradients(moved, rollout, replace(CONFIG, full_credit=credit), advantage) for credit in (True, False))
    assert one.abs().max() > 1e-3 and torch.allclose(one, other, atol=1e-6)
    for name in found:
        assert torch.allclose(found[name], same[name], atol=1e-6), name


@pytest.mark.parametrize("floor", [0.1, 0.5])
def test_full_credit_touches_positive_advantages_alone(agent, moved, floor):
    rollout = ppo.play(agent, draw(), rng(8), floor=floor)
    positive = torch.rand(rollout.reward.shape, generator=rng())
    for sign in (1, -1, 0):
        (one, found), (other, same) = (
            gradients(moved, rollout, replace(CONFIG, full_credit=credit), sign * positive) for credit in (True, False))
        assert torch.equal(one, other) == (sign <= 0)
        assert torch.equal(found["policy_loss"], same["policy_loss"]) == (sign <= 0)
        for name in ("value_loss", "bonus", "entropy", "approx_kl", "clipfrac"):  # those of the policy that plays
            assert torch.equal(found[name], same[name]), name


def one_decision(logits, advantage, floor, full_credit, now=None, choice=2):
    """The gradient by the logits `now` of one decision that was made with `logits`, and what `losses` found."""
    may, floor, choice = torch.ones(1, len(logits), dtype=torch.bool), torch.tensor([[floor]]), torch.tensor([choice])
    log_q = ppo.log_softmax(torch.tensor([logits]), may)
    old, new = ppo.at(ppo.policy(log_q, may, floor), choice).log(), torch.tensor([now or logits], requires_grad=True)
    batch = ppo.Batch(None, may, floor, torch.ones(1, 1), choice, old, ppo.at(log_q, choice),
                      torch.tensor([advantage]), torch.zeros(1))  # fmt: skip
    agent = SimpleNamespace(replay=lambda steps: (new, torch.zeros(1)))
    found = ppo.losses(agent, batch, replace(CONFIG, full_credit=full_credit))
    (gradient,) = torch.autograd.grad(found["policy_loss"], new)
    return gradient[0], found


def test_a_rare_success_of_the_floor_counts_in_full():
    """The floor plays a choice that the softmax has at 1 in 3000; the gradient is a hundred times larger."""
    logits, q = [8.0, 0.0, 0.0], 1 / (2 + math.exp(8))
    (full, found), (thin, same) = (one_decision(logits, 1.0, 0.1, credit) for credit in (True, False))
    assert found["policy_loss"].item() == same["policy_loss"].item() == -1
    assert full[2].item() == pytest.approx(-(1 - q), rel=1e-4)  # of -log q
    assert thin[2].item() == pytest.approx(-0.9 * q * (1 - q) / (0.9 * q + 0.1 / 3), rel=1e-4)
    assert abs(full[2]) > 100 * abs(thin[2]) > 0


def test_a_rare_failure_of_the_floor_counts_as_before():
    for advantage in (-1.0, 0.0):
        logits = [8.0, 0.0, 0.0]
        (full, found), (thin, same) = (one_decision(logits, advantage, 0.1, credit) for credit in (True, False))
        assert torch.equal(full, thin) and all(torch.equal(found[name], same[name]) for name in found)
        assert bool(full.abs().sum() > 0) == (advantage < 0)


def test_the_ratio_that_counts_is_the_one_that_is_clipped():
    """A choice three times as probable as it was, of the softmax: with full credit the clip holds it back."""
    old, now = [8.0, 0.0, 0.0], [8.0, 0.0, 1.1]
    (full, _), (thin, _) = (one_decision(old, 1.0, 0.1, credit, now) for credit in (True, False))
    assert full.abs().sum() == 0 and thin.abs().sum() > 0
    full, found = one_decision(old, 1.0, 0.1, True, [8.0, 0.0, 0.5])
    assert full[2] < 0 and found["policy_loss"].item() == pytest.approx(-math.exp(0.5), rel=1e-3)


# ---------------------------------------------------------------- all weights as one vector


def test_the_flat_weights_are_the_agents(agent, rollout):
    learner = copy.deepcopy(agent)
    vector = ppo.flat_weights(learner)
    assert vector.is_leaf and vector.requires_grad and torch.equal(vector, flat(agent)) and (vector.grad == 0).all()
    assert all(torch.equal(a, b) for a, b in zip(agent.parameters(), learner.parameters(), strict=True))
    with torch.no_grad():
        vector.add_(1.0)
    assert torch.equal(vector, flat(learner)) and not torch.equal(vector, flat(agent))
    lost(learner, rollout)["bonus"].backward()
    assert vector.grad.abs().max() > 0
    assert torch.equal(vector.grad, torch.cat([weight.grad.flatten() for weight in learner.parameters()]))
    vector.grad.zero_()
    assert all((weight.grad == 0).all() for weight in learner.parameters())


def test_adam_on_the_flat_weights_is_adam_on_each(agent, rollout):
    """With each step's gradients the same, so that rounding in a forward pass can't add up."""
    one, other = copy.deepcopy(agent), copy.deepcopy(agent)
    flat_adam, plain = adam(one), torch.optim.Adam(other.parameters(), lr=CONFIG.learning_rate, eps=1e-5)
    advantage, returns = ppo.advantages(rollout.reward, rollout.value, rollout.live, 0.95, 0.95)
    for _ in range(3):
        before = flat(one)
        flat_adam.zero_grad(set_to_none=False)
        found = lost(one, rollout, CONFIG, advantage, returns)
        (found["policy_loss"] + found["value_loss"] - found["bonus"]).backward()
        for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
            theirs.grad = mine.grad.clone()
        norms = [torch.nn.utils.clip_grad_norm_(weights, CONFIG.max_grad_norm) for weights in (
            flat_adam.param_groups[0]["params"], list(other.parameters()))]  # fmt: skip
        assert torch.allclose(*norms, rtol=1e-5)
        flat_adam.step()
        plain.step()
        assert (flat(one) - before).abs().max() > 1e-4 and (flat(one) - flat(other)).abs().max() < 1e-6


def test_an_update_with_flat_weights_is_one_with_each(agent, rollout):
    one, other = copy.deepcopy(agent), copy.deepcopy(agent)
    config = replace(CONFIG, epochs=1, minibatches=1)
    found = ppo.update(one, adam(one), rollout, config, rng=rng())
    plain = torch.optim.Adam(other.parameters(), lr=CONFIG.learning_rate, eps=1e-5)
    assert ppo.update(other, plain, rollout, config, rng=rng()) == pytest.approx(found, abs=1e-6)
    assert (flat(one) - flat(other)).abs().max() < 1e-6 < (flat(one) - flat(agent)).abs().max()
    moves = [not torch.equal(a, b) for a, b in zip(one.parameters(), agent.parameters(), strict=True)]
    assert all(moves)


def test_weights_that_are_loaded_stay_the_flat_ones(agent, rollout):
    learner, optimizer = copy.deepcopy(agent), None
    optimizer = adam(learner)
    (vector,) = optimizer.param_groups[0]["params"]
    learner.load_state_dict(make_agent(seed=9).state_dict())
    assert torch.equal(vector, flat(make_agent(seed=9)))
    ppo.update(learner, optimizer, rollout, CONFIG, rng=rng())
    assert torch.equal(vector, flat(learner)) and not torch.equal(vector, flat(make_agent(seed=9)))
    assert all(torch.equal(a, b) for a, b in zip(vector.grad.split([w.numel() for w in learner.parameters()]),
                                                 [w.grad.flatten() for w in learner.parameters()], strict=True))


@pytest.mark.parametrize("flattened", [True, False])
def test_gradients_are_scaled_down_to_the_norm(agent, rollout, flattened):
    """Rewards a thousand times as large: a step of plain descent is as long as the norm allows."""
    learner, config = copy.deepcopy(agent), replace(CONFIG, epochs=1, minibatches=1, normalise=False)
    weights = [ppo.flat_weights(learner)] if flattened else learner.parameters()
    large = replace(rollout, reward=1000 * rollout.reward)
    ppo.update(learner, torch.optim.SGD(weights, lr=0.1), large, config, rng=rng())
    assert (flat(learner) - flat(agent)).norm().item() == pytest.approx(0.1 * CONFIG.max_grad_norm, rel=1e-3)


# ---------------------------------------------------------------- the update


def test_the_first_minibatch_has_not_moved(agent, rollout):
    learner = copy.deepcopy(agent)
    config = replace(CONFIG, epochs=1, minibatches=1)
    metrics = ppo.update(learner, adam(learner), rollout, config, rng=rng())
    assert abs(metrics["approx_kl"]) < 1e-6 and metrics["clipfrac"] == 0
    assert set(metrics) == set("policy_loss value_loss bonus entropy approx_kl clipfrac explained_variance".split())


def test_the_bonus_shrinks_with_the_square_of_the_length(agent):
    """n numbers get 9/n² of what 3 numbers get."""
    config, found = replace(CONFIG, ent_coef=1.0, even_coef=0.0), []
    for text in ("3+4", "4*2+7", "1+2+3+4+5+6"):
        rollout = ppo.play(agent, Problems.from_text([text] * 20), rng(), floor=0.1)
        loss = lost(agent, rollout, config)
        found.append((loss["bonus"] / loss["entropy"]).item())
    assert found == pytest.approx([9 / 4, 1, 9 / 36], rel=1e-4)


def test_normalised_advantages_forget_the_scale_of_the_reward(agent, rollout):
    """Twice the reward with twice the values: the same policy loss, so the same step of the actor."""
    config, found = replace(CONFIG, epochs=1, minibatches=1, vf_coef=0.0), []
    for scale in (1, 2):
        learner = copy.deepcopy(agent)
        scaled = replace(rollout, reward=scale * rollout.reward, value=scale * rollout.value)
        ppo.update(learner, torch.optim.SGD([ppo.flat_weights(learner)], lr=0.1), scaled, config, 0.0, rng())
        found.append(flat(learner))
    assert (found[0] - flat(agent)).abs().max() > 1e-4 and torch.allclose(found[0], found[1], atol=1e-6)


def test_an_update_makes_good_choices_more_likely(agent, rollout):
    learner = copy.deepcopy(agent)
    ppo.update(learner, adam(learner), rollout, CONFIG, rng=rng())
    time, row, _ = packed(rollout)
    advantage, _ = ppo.advantages(rollout.reward, rollout.value, rollout.live, CONFIG.gamma, CONFIG.gae_lambda)
    live = advantage[rollout.live]
    advantage = ((advantage - live.mean()) / live.std())[time, row]
    change = replayed(learner, rollout)[0] - rollout.log_prob[time, row]
    assert (change * advantage).mean() > 0.005


# ---------------------------------------------------------------- runs


def train(levels, budget, seed, batch=96):
    agent, chance, done = make_agent(seed=seed), rng(seed), 0
    optimizer = adam(agent)
    while done < budget:
        share = 1 - (1 - CONFIG.final_share) * done / budget
        optimizer.param_groups[0]["lr"] = CONFIG.learning_rate * share
        problems = generate(torch.randint(len(levels), (batch,), generator=chance), levels, chance)
        rollout = ppo.play(agent, problems, chance, CONFIG.floor * share)
        ppo.update(agent, optimizer, rollout, CONFIG, share, chance)
        done += rollout.decisions
    return agent


def test_the_same_seed_gives_the_same_weights():
    one, two, other = (train(("add", "seed_hard"), 1_500, seed, batch=48) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_it_learns_to_add():
    agent = train(("add",), 6_000, seed=0)
    exam = generate(torch.zeros(500, dtype=torch.long), ("add",), rng(1), "test")
    untrained = ppo.play(make_agent(seed=0), exam, greedy=True).right.float().mean()
    assert ppo.play(agent, exam, greedy=True).right.float().mean() >= 0.95 > untrained
