"""PPO where it fails silently: masks, ends, padding, resets, whole episodes; and a run that learns."""

import copy
import math
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mna import ppo
from mna.environments import FULL_LADDER, Environment, MNAError, Problems, generate
from mna.memory import make_agent
from mna.network import ANSWER, FIRST_SLOT, Agent, Stage, legal

settings.register_profile("mna", deadline=None, max_examples=100, derandomize=True)
settings.load_profile("mna")
CONFIG = ppo.PPOConfig()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(levels=FULL_LADDER, n=10, seed=0):
    return generate(torch.arange(len(levels)).repeat(n), levels, rng(seed))


def adam(agent):
    return torch.optim.Adam(agent.parameters(), lr=CONFIG.learning_rate, eps=1e-5)


def everyone(rollout):
    return torch.arange(len(rollout.kinds))


def replayed(agent, rollout, mask=None, episodes=None):
    """(new log-probabilities, old ones, new values, old ones) of the packed decisions."""
    time, row, kinds, steps = ppo.pack(rollout, everyone(rollout) if episodes is None else episodes)
    with torch.no_grad():
        logits, value = agent.replay(kinds, steps)
    p = ppo.policy(logits, rollout.legal[time, row] if mask is None else mask, rollout.floor[row])
    new = p.gather(1, rollout.choice[time, row][:, None])[:, 0].log()
    return new, rollout.log_prob[time, row], value, rollout.value[time, row]


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
def test_a_policy_sums_to_one_and_is_zero_where_not_legal(row):
    logits, may, floor = torch.tensor([row[0]]), torch.tensor([row[1]]), torch.tensor([[row[2]]])
    p = ppo.policy(logits, may, floor)
    assert math.isclose(p.sum().item(), 1, abs_tol=1e-5)
    assert (p[~may] == 0).all() and (p[may] >= row[2] / may.sum() - 1e-6).all()
    uniform = ppo.policy(logits, may, torch.ones(1, 1))
    assert torch.allclose(uniform, may / may.sum())


@given(rows)
def test_entropy_counts_legal_choices_only(row):
    logits = torch.tensor([row[0]], requires_grad=True)
    may, floor = torch.tensor([row[1]]), torch.tensor([[row[2]]])
    p = ppo.policy(logits, may, floor)
    slow = sum(-x * math.log(x) for x, yes in zip(p[0].tolist(), row[1], strict=True) if yes and x > 0)
    h = ppo.entropy(p)
    assert math.isclose(h.item(), slow, abs_tol=1e-5) and h.item() <= math.log(may.sum()) + 1e-5

    (gradient,) = torch.autograd.grad(h.sum(), logits)
    assert gradient.isfinite().all() and (gradient[~may] == 0).all()
    elsewhere = ppo.policy(logits.detach() + 100 * ~may, may, floor)
    assert torch.equal(ppo.entropy(elsewhere), h)


@given(rows)
def test_evenness_is_the_mean_log_probability_of_legal_choices(row):
    logits, may = torch.tensor([row[0]], requires_grad=True), torch.tensor([row[1]])
    q = ppo.policy(logits, may, torch.zeros(1, 1))
    n, u = may.sum(), ppo.evenness(logits, may)
    allowed = [logit for logit, yes in zip(row[0], row[1], strict=True) if yes]
    whole = max(allowed) + math.log(sum(math.exp(logit - max(allowed)) for logit in allowed))
    assert math.isclose(u.item(), sum(allowed) / len(allowed) - whole, abs_tol=1e-4)
    assert u.item() <= -math.log(n) + 1e-5

    (gradient,) = torch.autograd.grad(u.sum(), logits)
    assert torch.allclose(gradient, (1 / n - q) * may, atol=1e-5)
    assert torch.equal(ppo.evenness(logits.detach() + 100 * ~may, may), u)


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
    time, row, kinds, steps = ppo.pack(one, everyone(one))
    with torch.no_grad():
        p = ppo.policy(agent.replay(kinds, steps)[0], one.legal[time, row], one.floor[row])
    assert torch.allclose(p.amax(1).log(), one.log_prob[time, row], atol=1e-5)


def test_a_finished_row_keeps_a_legal_choice(agent):
    """The mask is never empty, and of a problem that is answered it leaves a single dummy choice."""
    env, state = Environment.start(draw(n=3)), agent.start(draw(n=3))
    for _ in range(int(env.bound.max())):
        mask = legal(state)
        assert mask.any(1).all()
        assert (mask.sum(1)[state.stage == Stage.ANSWER] == 1).all()
        logits, _ = agent.decide(state)
        choice = ppo.sample(ppo.policy(logits, mask, torch.ones(1, 1)), rng())
        agent.observe(state, env.step(*agent.act(state, choice)))
    assert env.done.all() and (state.stage == Stage.ANSWER).any()


def test_finished_rows_have_no_weight(agent):
    """One short problem beside long ones: whatever the others do, its decisions are the same few."""
    rollout = ppo.play(agent, Problems.from_text(["7"] + ["1+2+3+4+5+6"] * 9), rng(), floor=1)
    assert rollout.live[:, 0].sum() == 1 and rollout.correct[0]
    assert rollout.reward[:, 0].tolist() == [1] + [0] * (len(rollout.reward) - 1)
    time, row, _, _ = ppo.pack(rollout, everyone(rollout))
    assert (row == 0).sum() == 1 and len(time) == rollout.decisions


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
    assert torch.equal(rollout.unused[0].sum(1), problems.n_numbers)
    for i in (0, 5, 13, 77):
        alone = ppo.play(agent, problems.select(torch.tensor([i])), rng(1), floor=0.1)
        assert abs(alone.value[0, 0] - rollout.value[0, i]) < 1e-6


def test_an_episode_is_replayed_the_same_in_any_company(agent, rollout):
    for i in (3, 20, 139):
        time, row, _, _ = ppo.pack(rollout, everyone(rollout))
        together, _, value, _ = replayed(agent, rollout)
        alone, _, value_alone, _ = replayed(agent, rollout, episodes=torch.tensor([i]))
        assert torch.allclose(together[row == i], alone, atol=1e-5)
        assert torch.allclose(value[row == i], value_alone, atol=1e-5)


def test_a_wiped_memory_has_nothing_to_recall(agent):
    problems = draw(n=5)
    plain, wiped = (ppo.play(agent, problems, greedy=True, wiped=wiped) for wiped in (False, True))
    slots = slice(FIRST_SLOT, FIRST_SLOT + agent.memory.slots)
    pointing = wiped.live & ((wiped.stage == Stage.LEFT) | (wiped.stage == Stage.RIGHT))
    assert pointing.any() and not wiped.legal[pointing][:, slots].any()
    stored = ((plain.stage == Stage.STORE) & plain.live).any(0)
    assert (~stored).any()
    one, two = (rollout.choice.where(rollout.live, 0)[:, ~stored] for rollout in (plain, wiped))
    assert torch.equal(one, two)


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
    time, row, _, _ = ppo.pack(rollout, everyone(rollout))
    new, old, _, _ = replayed(agent, rollout, mask=torch.ones_like(rollout.legal[time, row]))
    assert ((new - old).exp() - 1).abs().mean() > 0.3
    no_mask = replace(rollout, legal=torch.ones_like(rollout.legal))
    zero = torch.zeros_like(rollout.reward)
    honest, wrong = (ppo.losses(agent, r, everyone(r), zero, zero, CONFIG) for r in (rollout, no_mask))
    assert honest["approx_kl"].abs() < 1e-6 and honest["clipfrac"] == 0
    assert wrong["approx_kl"] > 0.1 and wrong["clipfrac"] > 0.5


# ---------------------------------------------------------------- whole episodes, packed


@given(st.lists(st.integers(0, 139), min_size=1, max_size=30, unique=True))
@settings(max_examples=30)
def test_pack_covers_whole_episodes_once_in_order_of_time(rollout, chosen):
    time, row, kinds, steps = ppo.pack(rollout, torch.tensor(chosen))
    places = list(zip(time.tolist(), row.tolist(), strict=True))
    expected = {(t, b) for b in chosen for t in range(int(rollout.live[:, b].sum()))}
    assert len(places) == len(expected) and set(places) == expected
    assert (time.diff() >= 0).all() and steps.sizes == torch.bincount(time).tolist()
    assert sorted(steps.sizes, reverse=True) == steps.sizes
    assert torch.equal(kinds[steps.episode], rollout.kinds[row])
    start = 0
    for size in steps.sizes:  # at each time the first few episodes go on
        assert steps.episode[start : start + size].tolist() == list(range(size))
        start += size


def test_pack_finds_the_decision_that_wrote_each_slot(rollout):
    time, row, _, steps = ppo.pack(rollout, torch.randperm(140, generator=rng())[:90])
    n = 0
    for m, k in (steps.written >= 0).nonzero().tolist():
        j, n = int(steps.written[m, k]), n + 1
        assert j < m and row[j] == row[m] and steps.stage[j] == Stage.STORE
        assert rollout.choice[time[j], row[j]] == FIRST_SLOT + k
        later = [i for i in range(j + 1, m) if row[i] == row[m] and steps.stage[i] == Stage.STORE]
        assert all(rollout.choice[time[i], row[i]] != FIRST_SLOT + k for i in later)
    assert n > 20
    nowhere = (steps.written < 0).nonzero().tolist()
    for m, k in nowhere[::40]:
        before = [i for i in range(m) if row[i] == row[m] and steps.stage[i] == Stage.STORE]
        assert all(rollout.choice[time[i], row[i]] != FIRST_SLOT + k for i in before)


def test_minibatches_are_whole_episodes_and_each_pass_sees_all(agent, rollout, monkeypatch):
    seen, real = [], ppo.pack
    monkeypatch.setattr(ppo, "pack", lambda rollout, chosen: seen.append(chosen) or real(rollout, chosen))
    learner = copy.deepcopy(agent)
    ppo.update(learner, adam(learner), rollout, CONFIG, rng=rng())
    assert len(seen) == CONFIG.epochs * CONFIG.minibatches
    for i in range(0, len(seen), CONFIG.minibatches):
        assert torch.cat(seen[i : i + CONFIG.minibatches]).sort().values.equal(everyone(rollout))


def test_garbage_behind_the_end_changes_nothing(agent, rollout):
    """Not a bit of the losses, the gradients, the metrics or the new weights."""
    dirty, results = spoiled(rollout), []
    assert dirty.value[~rollout.live].isnan().any()
    for r in (rollout, dirty):
        learner = copy.deepcopy(agent)
        advantage, returns = ppo.advantages(r.reward, r.value, r.live, 1.0, 0.95)
        found = ppo.losses(learner, r, everyone(r), advantage, returns, CONFIG)
        (found["policy_loss"] + found["value_loss"] - found["bonus"]).backward()
        gradients = [weight.grad.clone() for weight in learner.parameters() if weight.grad is not None]
        metrics = ppo.update(learner, adam(learner), r, CONFIG, rng=rng())
        results.append((advantage, returns, *found.values(), *gradients, *learner.parameters()))
        results[-1] += (torch.tensor(list(metrics.values())),)
    for clean, other in zip(*results, strict=True):
        assert torch.equal(clean, other) and clean.isfinite().all()


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
    assert torch.allclose(returns[last, at_bound], torch.tensor(-0.5))
    assert torch.allclose(advantage[last, at_bound], -0.5 - rollout.value[last, at_bound])


# ---------------------------------------------------------------- the objective and the update


@given(st.floats(0.05, 3), st.floats(-2, 2), st.floats(0, 0.9), st.floats(0, 2))
def test_the_objective_is_the_clipped_one(ratio, advantage, low, high):
    old = torch.tensor([0.25])
    p = torch.tensor([[ratio * 0.25, 1 - ratio * 0.25]])
    loss, log_ratio = ppo.ppo_loss(p, torch.tensor([0]), old.log(), torch.tensor([advantage]), low, high)
    clipped = min(max(ratio, 1 - low), 1 + high)
    assert math.isclose(loss.item(), -min(ratio * advantage, clipped * advantage), abs_tol=1e-4)
    assert math.isclose(log_ratio.item(), math.log(ratio), abs_tol=1e-4)


def test_the_distance_is_zero_at_home_and_grows():
    kl, clipfrac = ppo.distance(torch.zeros(5), CONFIG)
    assert kl == 0 and clipfrac == 0
    ratios = torch.tensor([0.79, 0.81, 1.0, 1.39, 1.41])
    kl, clipfrac = ppo.distance(ratios.log(), CONFIG)
    assert math.isclose(kl, (ratios - 1 - ratios.log()).mean(), rel_tol=1e-5)
    assert math.isclose(clipfrac, 0.4, rel_tol=1e-6)


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
        zero = torch.zeros_like(rollout.reward)
        loss = ppo.losses(agent, rollout, everyone(rollout), zero, zero, config)
        found.append((loss["bonus"] / loss["entropy"]).item())
    assert found == pytest.approx([9 / 4, 1, 9 / 36], rel=1e-4)


def test_normalised_advantages_forget_the_scale_of_the_reward(agent, rollout):
    """Twice the reward with twice the values: the same policy loss, so the same step of the actor."""
    config, found = replace(CONFIG, epochs=1, minibatches=1, vf_coef=0.0), []
    for scale in (1, 2):
        learner = copy.deepcopy(agent)
        scaled = replace(rollout, reward=scale * rollout.reward, value=scale * rollout.value)
        ppo.update(learner, torch.optim.SGD(learner.parameters(), lr=0.1), scaled, config, 0.0, rng())
        found.append(torch.cat([weight.flatten() for weight in learner.parameters()]))
    start = torch.cat([weight.flatten() for weight in agent.parameters()])
    assert (found[0] - start).abs().max() > 1e-4 and torch.allclose(found[0], found[1], atol=1e-6)


def test_an_update_makes_good_choices_more_likely(agent, rollout):
    learner = copy.deepcopy(agent)
    ppo.update(learner, adam(learner), rollout, CONFIG, rng=rng())
    time, row, _, _ = ppo.pack(rollout, everyone(rollout))
    advantage, _ = ppo.advantages(rollout.reward, rollout.value, rollout.live, 1.0, 0.95)
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
    untrained = ppo.play(make_agent(seed=0), exam, greedy=True).correct.float().mean()
    assert ppo.play(agent, exam, greedy=True).correct.float().mean() >= 0.95 > untrained
