"""PPO: the policy is over legal actions only, the objective is the paper's; padding,
masks and minibatches do what they must."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mna import ppo
from mna.environments import Arithmetic
from mna.language import parse
from mna.memory import GatedMemory
from mna.network import Agent, AgentConfig, Stage, Views
from mna.ppo import PPOConfig
from mna.problems import LEVELS, draw

LEGAL = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()


def small(seed=0, **options):
    torch.manual_seed(seed)
    sizes = dict(width=16, hidden=16) | options
    return Agent(AgentConfig(**sizes), GatedMemory)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(names, each=4, seed=0):
    rng = random.Random(seed)
    return [draw(LEVELS[name], rng) for name in names for _ in range(each)]


def batch_of(p_old, choice, advantage, returns=None, legal=None):
    """A Batch of M decisions from plain lists."""
    M = len(choice)
    legal = LEGAL[:M] if legal is None else legal
    return ppo.Batch(legal, torch.tensor(choice), torch.tensor(p_old).log(),
                     torch.tensor(advantage),
                     torch.zeros(M) if returns is None else torch.tensor(returns))


# ---- the policy

def test_softmax_is_over_legal_actions_only():
    logits = torch.randn(3, 5, generator=seeded())
    log_p = ppo.log_policy(logits, LEGAL)
    for row in range(3):
        mine = logits[row][LEGAL[row]].softmax(0)
        assert torch.allclose(log_p[row][LEGAL[row]].exp(), mine)
    assert (log_p[~LEGAL] < -1e8).all()


def test_garbage_at_illegal_places_changes_nothing():
    """Neither what policy, entropy and loss are, nor any gradient."""
    def all_of(junk):
        logits = torch.randn(3, 5, generator=seeded())
        logits = torch.where(LEGAL, logits, junk).requires_grad_()
        b = batch_of([0.3, 0.9, 0.2], [0, 1, 2], [1.0, -1.0, 0.5])
        log_p = ppo.log_policy(logits, LEGAL)
        loss, told = ppo.objective(b, logits, torch.ones(3), PPOConfig(), 1.0)
        spread = ppo.entropy(log_p, LEGAL) + ppo.evenness(log_p, LEGAL)
        grad, = torch.autograd.grad(loss + spread.sum(), logits)
        return log_p.exp(), spread, loss, grad, told
    calm, wild = all_of(0.0), all_of(1e4)
    assert all(torch.equal(a, b) for a, b in zip(calm[:4], wild[:4]))
    assert calm[4] == wild[4]
    p, grad = calm[0], calm[3]
    assert not p[~LEGAL].any() and not grad[~LEGAL].any()
    assert grad.isfinite().all() and grad[2].any()


def test_entropy_by_hand():
    """In nats, over the legal actions; 0 where there is no choice."""
    p = torch.tensor([[0.5, 0.25, 0.0, 0.25, 0.0], [0, 1.0, 0, 0, 0], [0.2] * 5])
    log_p = torch.where(LEGAL, p.clamp(min=1e-9).log(), -1e9)
    expected = [1.5 * math.log(2), 0, math.log(5)]
    assert ppo.entropy(log_p, LEGAL).tolist() == pytest.approx(expected, abs=1e-6)


def test_entropy_pulls_towards_uniform():
    logits = torch.tensor([[2.0, 0.0, 5, -1, 5]], requires_grad=True)
    log_p = ppo.log_policy(logits, LEGAL[:1])
    grad, = torch.autograd.grad(ppo.entropy(log_p, LEGAL[:1]).sum(), logits)
    assert grad[0, 0] < 0 < min(grad[0, 1], grad[0, 3])


def test_evenness_lifts_what_is_all_but_ruled_out():
    """It is the mean log-probability of what is legal; its gradient is 1/n - p."""
    logits = torch.tensor([[30.0, 0.0, 5, -30, 5]], requires_grad=True)
    log_p = ppo.log_policy(logits, LEGAL[:1])
    found = ppo.evenness(log_p, LEGAL[:1])
    assert found.item() == pytest.approx((0 - 30 - 60) / 3, abs=1e-4)
    grad, = torch.autograd.grad(found.sum(), logits)
    assert grad[0].tolist() == pytest.approx([1 / 3 - 1, 1 / 3, 0, 1 / 3, 0], abs=1e-5)


# ---- advantages

def slow(rewards, values, gamma, lam):
    """Advantages as the sum of all discounted errors that follow; 0 behind the end."""
    after = [*values[1:], 0.0]
    errors = [r + gamma * w - v for r, v, w in zip(rewards, values, after)]
    return [sum((gamma * lam) ** (s - t) * errors[s] for s in range(t, len(errors)))
            for t in range(len(errors))]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=12),
       st.floats(0, 1), st.floats(0, 1))
def test_advantages_are_what_a_slow_sum_gives(steps, gamma, lam):
    rewards, values = map(list, zip(*steps))
    found = ppo.advantages(rewards, values, gamma, lam)
    assert found == pytest.approx(slow(rewards, values, gamma, lam), abs=1e-6)


def test_advantages_at_the_two_ends_of_lambda():
    """0: one step and the critic; 1: all that is paid to the end, less the critic."""
    rewards, values = [0.5, 0.0, 1.0], [0.3, 0.6, 0.9]
    one_step = ppo.advantages(rewards, values, 0.9, 0.0)
    assert one_step == pytest.approx([0.5 + 0.54 - 0.3, 0.81 - 0.6, 1 - 0.9])
    whole = ppo.advantages(rewards, values, 0.9, 1.0)
    assert whole == pytest.approx([0.5 + 0.81 - 0.3, 0.9 - 0.6, 1 - 0.9])


def test_nothing_leaks_from_one_episode_into_the_next():
    """Each episode ends in termination: the value behind its last decision is 0."""
    agent = small()
    episodes = ppo.play(agent, drawn(["expr3"], 5), seeded())
    config = PPOConfig()
    together = ppo.collect(episodes, config)
    raw = [slow([s.reward for s in e.steps], [s.value for s in e.steps], config.gamma,
                config.gae_lambda) for e in episodes]
    every = torch.tensor([a for one in raw for a in one])
    for rows, advantage, episode in zip(together, raw, episodes, strict=True):
        for row, a, step in zip(rows, advantage, episode.steps, strict=True):
            assert row[-2] == pytest.approx(
                float((a - every.mean()) / every.std(correction=0)), abs=1e-4)
            assert row[-1] == pytest.approx(a + step.value, abs=1e-5)  # not normalised


def test_advantages_are_normalised_over_the_iteration():
    """Mean 0 and spread 1, over the decisions, not over episodes or padding."""
    episodes = ppo.play(small(), drawn(["expr2", "mixed6"], 6), seeded())
    rows = [row for rows in ppo.collect(episodes, PPOConfig()) for row in rows]
    advantage = torch.tensor([row[-2] for row in rows])
    assert len(rows) == sum(len(e.steps) for e in episodes)
    assert advantage.mean().item() == pytest.approx(0, abs=1e-5)
    assert advantage.std(correction=0).item() == pytest.approx(1, abs=1e-4)


# ---- the objective

@pytest.mark.parametrize("ratio, advantage, loss, slope", [
    # the table of cases: is the ratio inside, above, below; is the advantage > 0?
    (1.0, 2.0, -2.0, -1), (1.0, -2.0, 2.0, 1), (1.1, 2.0, -2.2, -1),
    (0.9, -2.0, 1.8, 1),
    (1.5, 2.0, -2.4, 0),    # already more probable: clipped, no gradient
    (1.5, -2.0, 3.0, 1),    # more probable, but worse: not clipped
    (0.5, 2.0, -1.0, -1),   # less probable, but better: not clipped
    (0.5, -2.0, 1.6, 0)])   # already less probable: clipped, no gradient
def test_the_clipped_objective_is_the_papers(ratio, advantage, loss, slope):
    log_ratio = torch.tensor([math.log(ratio)], requires_grad=True)
    found = ppo.ppo_loss(log_ratio, torch.tensor([advantage]), 0.2)
    grad, = torch.autograd.grad(found, log_ratio)
    assert found.item() == pytest.approx(loss, abs=1e-5)
    assert torch.sign(grad).item() == slope


def test_the_objective_adds_up():
    """Actor + vf_coef * half the squared error - share * bonuses, by hand."""
    logits = torch.tensor([[1.0, 0, 9, -1, 9], [9, 2.0, 9, 9, 9]])
    b = batch_of([0.5, 0.8], [0, 1], [1.0, -1.0], [2.0, 0.5])
    value = torch.tensor([1.0, 1.5])
    config = PPOConfig(vf_coef=0.7, ent_coef=0.03, even_coef=0.05, clip_coef=0.1)
    loss, told = ppo.objective(b, logits, value, config, 0.5)
    p = torch.tensor([1.0, 0, -1]).softmax(0)
    ratio = [p[0].item() / 0.5, 1 / 0.8]
    actor = -(min(ratio[0], 1.1) - max(ratio[1], 0.9)) / 2
    critic = (1.0 + 1.0) / 2 / 2
    entropy = -(p * p.log()).sum().item() / 2
    even = p.log().mean().item() / 2
    expected = actor + 0.7 * critic - 0.5 * (0.03 * entropy + 0.05 * even)
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    kl = sum(r - 1 - math.log(r) for r in ratio) / 2
    expected = dict(entropy=entropy, value_loss=critic, approx_kl=kl)
    assert told == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("coefficients", [
    dict(ent_coef=1.0, even_coef=0.0), dict(ent_coef=0.0, even_coef=1.0)])
def test_a_step_down_the_loss_raises_the_entropy(coefficients):
    logits = torch.tensor([[2.0, 0, 0, -1, 0]], requires_grad=True)
    b = batch_of([0.5], [0], [0.0], legal=LEGAL[:1])
    config = PPOConfig(vf_coef=0.0, **coefficients)
    loss, before = ppo.objective(b, logits, torch.zeros(1), config, 1.0)
    grad, = torch.autograd.grad(loss, logits)
    _, after = ppo.objective(b, logits - 0.1 * grad, torch.zeros(1), config, 1.0)
    assert after["entropy"] > before["entropy"] + 1e-3


def test_a_step_down_the_loss_makes_what_was_better_more_probable():
    logits = torch.zeros(2, 5, requires_grad=True)
    legal = LEGAL[[0, 2]]
    b = batch_of([1 / 3, 1 / 5], [0, 2], [1.0, -1.0], legal=legal)
    config = PPOConfig(vf_coef=0, ent_coef=0, even_coef=0)
    loss, _ = ppo.objective(b, logits, torch.zeros(2), config, 1.0)
    grad, = torch.autograd.grad(loss, logits)
    assert grad[0, 0] < 0 < grad[1, 2]


def test_the_critic_moves_towards_the_returns():
    value = torch.tensor([1.0, 1.0], requires_grad=True)
    b = batch_of([0.3, 1.0], [0, 1], [0.0, 0.0], [2.0, 0.0])
    loss, _ = ppo.objective(b, torch.zeros(2, 5), value, PPOConfig(), 1.0)
    grad, = torch.autograd.grad(loss, value)
    assert grad.tolist() == pytest.approx([-0.25, 0.25])  # 0.5 * error / 2


# ---- play

def test_sampling_has_the_frequencies_of_the_policy():
    p = torch.tensor([[0.5, 0.3, 0.0, 0.2, 0.0]])
    log_p = torch.where(LEGAL[:1], p.clamp(min=1e-9).log(), -1e9).expand(20_000, 5)
    counts = torch.bincount(ppo.sample(log_p, seeded()), minlength=5) / 20_000
    assert (counts - p[0]).abs().max() < 0.015 and not counts[[2, 4]].any()
    assert torch.equal(ppo.sample(log_p, seeded()), ppo.sample(log_p, seeded()))


def test_play_samples_from_the_networks_policy():
    """First choices of 400 equal problems, and the probability noted of them."""
    agent, problems = small(), [parse("3+4")] * 400
    with torch.no_grad():
        agent.pointer.heads[0].query.bias.normal_(0, 1, generator=seeded(1))
    episodes = ppo.play(agent, problems, seeded(), practice=True)
    view = episodes[0].steps[0].view
    with torch.no_grad():
        logits, _ = agent(Views.of([view]))
    p = ppo.log_policy(logits, torch.tensor([view.legal]))[0].exp()
    counts = torch.bincount(torch.tensor([e.steps[0].choice for e in episodes]),
                            minlength=len(p)) / 400
    assert (counts - p).abs().max() < 4 * (0.25 / 400) ** 0.5
    for step in (e.steps[0] for e in episodes[:9]):
        assert step.log_prob == pytest.approx(p[step.choice].log().item(), abs=1e-5)
    assert p[p > 0].max() - p[p > 0].min() > 0.1  # not uniform by itself


def test_uniform_play_is_uniform_over_legal_actions():
    for episode in ppo.play(small(), drawn(["mixed4"], 3), seeded(), uniform=True):
        for step in episode.steps:
            expected = -math.log(sum(step.view.legal))
            assert step.log_prob == pytest.approx(expected, abs=1e-5)


def test_greedy_play_takes_the_most_probable_action():
    agent = small()
    played = ppo.play(agent, drawn(["mixed5"], 6), greedy=True)
    for episode in played:
        logits, _ = agent(Views.of([step.view for step in episode.steps]))
        for row, step in zip(logits, episode.steps, strict=True):
            legal = [a for a, ok in enumerate(step.view.legal) if ok]
            assert step.choice == max(legal, key=lambda a: row[a].item())


def test_play_notes_what_was_seen_and_paid():
    """Replayed, the choices give the same views, rewards and ends; values are the
    critic's."""
    agent, problems = small(), drawn(["expr2", "mixed3", "linear3"], 10)
    options = dict(practice=False, shaping=0.5)
    played = ppo.play(agent, problems, seeded(), uniform=True, **options)
    for problem, episode in zip(problems, played, strict=True):
        assert episode.env.problem is problem
        state, env = agent.desk.start(problem), Arithmetic(problem, **options)
        logits, values = agent(Views.of([s.view for s in episode.steps]))
        for step, value in zip(episode.steps, values.tolist(), strict=True):
            assert step.view == agent.desk.view(state)
            assert step.value == pytest.approx(value, abs=1e-4)
            feedback = agent.desk.act(state, step.choice, env)
            assert step.reward == feedback.reward
        assert episode.correct == feedback.correct
        assert feedback.done or len(episode.steps) == env.bound


def test_an_episode_is_cut_off_at_its_bound():
    """An agent that calls NEG for ever: no reward, not correct, exactly so long."""
    agent = small()
    with torch.no_grad():
        agent.pointer.heads[Stage.TOOL].fixed.bias[4] = 99.0
        agent.pointer.heads[Stage.CHOOSE].fixed.bias[6:8] = -99.0
    for text in ("7", "-7"):
        episode, = ppo.play(agent, [parse(text)], seeded())
        assert len(episode.steps) == episode.env.bound and not episode.correct


@pytest.mark.parametrize("form", [list, torch.tensor])
def test_slots_are_each_problems_own(form):
    """As a list, or as the tensor that `tight` gives."""
    problems = [parse("(1+2)*(3+4)")] * 60
    played = ppo.play(small(), problems, seeded(), uniform=True,
                      slots=form([0, 1, 3] * 20))
    most = [max(sum(s.view.situation[12:16]) and s.view.situation[12:16].index(1)
                for s in e.steps) for e in played]
    assert most == [0, 1, 3] * 20
    stored = [any(s.choice == 6 for s in e.steps) for e in played]
    assert not any(stored[0::3]) and any(stored[1::3]) and any(stored[2::3])


def test_practice_ends_early_and_shaping_is_passed_on():
    problems = [parse("3+4*5")] * 100
    options = dict(uniform=True, shaping=0.4)
    practice = ppo.play(small(), problems, seeded(), practice=True, **options)
    exam = ppo.play(small(), problems, seeded(), **options)
    assert {s.reward for e in exam for s in e.steps} <= {0.0, 0.2, 1.0}
    assert any(s.reward == 0.2 for e in exam for s in e.steps)
    lengths = [sum(len(e.steps) for e in episodes) for episodes in (practice, exam)]
    assert lengths[0] < 0.7 * lengths[1]


# ---- update

def test_minibatches_are_whole_episodes_and_each_once_a_pass():
    lengths = [3, 9, 5, 7, 4, 8, 6, 10]
    config = PPOConfig(epochs=3, minibatch=13)
    groups = [g.tolist() for g in ppo.minibatches(lengths, config, seeded())]
    assert len(groups) == 3 * 4  # 52 decisions in fours of about 13
    passes = [sum(groups[i:i + 4], []) for i in (0, 4, 8)]
    assert all(sorted(one) == list(range(8)) for one in passes)
    assert passes[0] != passes[1] != passes[2]  # shuffled anew
    again = [g.tolist() for g in ppo.minibatches(lengths, config, seeded())]
    assert groups == again


@pytest.mark.parametrize("lengths, minibatch", [([9, 9], 4), ([30], 7), ([2], 400)])
def test_no_minibatch_is_empty(lengths, minibatch):
    config = PPOConfig(epochs=2, minibatch=minibatch)
    groups = [g.tolist() for g in ppo.minibatches(lengths, config, seeded())]
    assert all(groups) and sorted(sum(groups, [])) == sorted([*range(len(lengths))] * 2)


def spied_update(monkeypatch, agent, episodes, config):
    """The batches that an update makes, and what it logs."""
    found, true = [], ppo.objective

    def spy(b, logits, value, *rest):
        found.append((b, logits.detach(), value.detach()))
        return true(b, logits, value, *rest)
    monkeypatch.setattr(ppo, "objective", spy)
    optimizer = torch.optim.Adam(agent.parameters(), 1e-3)
    told = ppo.update(agent, optimizer, episodes, config, 1.0, seeded())
    return found, told


def test_an_update_sees_each_decision_once_a_pass_with_its_stored_mask(monkeypatch):
    """Mask, choice and probability are those of play, decision by decision."""
    agent = small()
    episodes = ppo.play(agent, drawn(["expr2", "mixed4"], 5), seeded())
    config = PPOConfig(epochs=2, minibatch=30)
    found, _ = spied_update(monkeypatch, agent, episodes, config)
    steps = [step for episode in episodes for step in episode.steps]
    seen = []
    for b, _, _ in found:
        for i in range(len(b.choice)):
            ones = b.legal[i].nonzero()[:, 0].tolist()
            seen.append((ones, b.choice[i].item(), round(b.log_prob[i].item(), 4)))
    once = [([a for a, ok in enumerate(s.view.legal) if ok], s.choice,
             round(s.log_prob, 4)) for s in steps]
    assert sorted(seen) == sorted(once + once)


def test_before_any_step_old_and_new_policy_are_one(monkeypatch):
    """The first minibatch has ratio 1 and KL 0."""
    agent = small()
    episodes = ppo.play(agent, drawn(["mixed4"], 8), seeded())
    found, told = spied_update(monkeypatch, agent, episodes,
                               PPOConfig(epochs=1, minibatch=10 ** 6))
    b, logits, value = found[0]
    log_p = ppo.log_policy(logits, b.legal)
    assert torch.allclose(ppo.at(log_p, b.choice), b.log_prob, atol=1e-4)
    assert abs(told["approx_kl"]) < 1e-6
    stored = sorted(s.value for e in episodes for s in e.steps)
    assert sorted(value.tolist()) == pytest.approx(stored, abs=1e-4)


def test_padding_changes_no_statistic():
    """Entropy, KL, critic's loss and loss of decisions are those without wider ones'
    padding."""
    agent = small()
    episodes = ppo.play(agent, drawn(["expr2"], 6) + drawn(["mixed10"], 2), seeded())
    rows = ppo.collect(episodes, PPOConfig())
    few = [row for one in rows[:6] for row in one]
    seen, b = ppo.batch(few)
    loss, told = ppo.objective(b, *agent(seen), PPOConfig(), 1.0)
    wide, c = ppo.batch(few + [row for one in rows[6:] for row in one])
    logits, value = agent(wide)
    n = len(few)
    assert logits.shape[1] > b.legal.shape[1]
    garbage = torch.where(c.legal, logits, 1e3)[:n]
    cut = ppo.Batch(*(getattr(c, name)[:n] for name in (
        "legal", "choice", "log_prob", "advantage", "returns")))
    again, same = ppo.objective(cut, garbage, value[:n], PPOConfig(), 1.0)
    assert again.item() == pytest.approx(loss.item(), abs=1e-5)
    assert same == pytest.approx(told, abs=1e-5)


def test_gradients_are_clipped_to_the_norm():
    agent = small()
    before = [p.detach().clone() for p in agent.parameters()]
    loss = 1e4 * sum(p.sum() for p in agent.parameters())
    ppo.descend(agent, torch.optim.SGD(agent.parameters(), 1.0), loss, 0.5)
    moved = sum((p - q).square().sum() for p, q in zip(agent.parameters(), before))
    assert moved.sqrt().item() == pytest.approx(0.5, abs=1e-3)
    ppo.descend(agent, torch.optim.SGD(agent.parameters(), 1.0), 0 * agent(Views.of(
        [agent.desk.view(agent.desk.start(parse("1+2")))]))[1].sum(), 0.5)
    after = sum((p - q).square().sum() for p, q in zip(agent.parameters(), before))
    assert after.item() == pytest.approx(moved.item(), rel=1e-4)  # no old gradient


def test_metrics_are_means():
    assert ppo.mean_of([dict(a=1.0, b=2.0), dict(a=3.0, b=2.0)]) == dict(a=2.0, b=2.0)


def test_bonuses_fall_with_their_share():
    b = batch_of([0.3], [0], [0.0])
    logits = torch.tensor([[1.0, 0, 0, 0, 0]])
    config = PPOConfig()
    losses = [ppo.objective(b, logits, torch.zeros(1), config, share)[0].item()
              for share in (0.0, 0.5, 1.0)]
    assert losses[0] != losses[2]
    assert losses[1] == pytest.approx((losses[0] + losses[2]) / 2, abs=1e-6)


def test_single_step_addition_is_learned_in_seconds():
    agent, rng, n = small(hidden=32, layers=(1,)), seeded(), 15
    optimizer = torch.optim.Adam(agent.parameters(), 1e-2, eps=1e-5)
    config, problems = PPOConfig(minibatch=60), drawn(["add"], 100)
    for i in range(n):
        some = random.Random(i).sample(problems, 32)
        episodes = ppo.play(agent, some, rng, practice=True)
        ppo.update(agent, optimizer, episodes, config, 1 - i / n, rng)
    right = [e.correct for e in ppo.play(agent, problems, greedy=True)]
    assert sum(right) > 0.95 * len(right)
