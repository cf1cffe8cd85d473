"""Masked PPO, in its plain form."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mna.environments import Arithmetic
from mna.language import Problem
from mna.network import Agent, Stage, View, Views


def log_policy(logits: Tensor, legal: Tensor) -> Tensor:
    """Log-probabilities over the legal actions, -1e9 for the others; both (B, A)."""
    return logits.masked_fill(~legal, -1e9).log_softmax(-1)


def entropy(log_p: Tensor, legal: Tensor) -> Tensor:
    """Entropy of policies (B, A) over their legal actions, in nats, (B,)."""
    return -(log_p.exp() * log_p * legal).sum(-1)


def evenness(log_p: Tensor, legal: Tensor) -> Tensor:
    """Mean log-probability of the legal actions (B,): -KL(uniform || policy) - ln n.

    Its gradient, 1/n - p, does not vanish where an action is all but ruled out.
    """
    return (log_p * legal).sum(-1) / legal.sum(-1)


def at(values: Tensor, choice: Tensor) -> Tensor:
    """Each row's value at its choice: (B, A), (B,) -> (B,)."""
    return values.gather(1, choice[:, None])[:, 0]


# ---------------------------------------------------------------- play
@dataclass
class Step:
    """One timestep: what was seen, what was done, what came of it."""
    view: View
    choice: int
    log_prob: float  # of the choice, under the policy that played
    value: float     # the critic's
    reward: float


@dataclass
class Episode:
    """One problem, played to its end."""
    env: Arithmetic
    steps: list[Step] = field(default_factory=list)
    correct: bool = False


@torch.no_grad()
def play(agent: Agent, problems: list[Problem], rng: torch.Generator | None = None, *,
         greedy: bool = False, uniform: bool = False, practice: bool = False,
         shaping: float = 1.0, slots: list[int] | None = None) -> list[Episode]:
    """Play every problem to its end.

    greedy: take the most probable action. uniform: any legal action, whatever the network
    says. practice, shaping: see `Arithmetic`. slots: how many each problem may use.
    """
    desk, slots = agent.desk, [None] * len(problems) if slots is None else slots
    games = [(Episode(Arithmetic(problem, practice, shaping)), desk.start(problem, usable))
             for problem, usable in zip(problems, slots)]
    live = games
    while live:
        views = [desk.view(state) for _, state in live]
        seen = Views.of(views)
        logits, values = agent(seen)
        log_p = log_policy(logits * (not uniform), seen.legal)                   # (B, A)
        choice = log_p.argmax(1) if greedy else sample(log_p, rng)               # (B,)
        notes = zip(choice.tolist(), at(log_p, choice).tolist(), values.tolist())
        for (episode, state), view, note in zip(live, views, notes):
            feedback = desk.act(state, note[0], episode.env)
            episode.steps.append(Step(view, *note, feedback.reward))
            episode.correct = feedback.correct
            over = feedback.done or len(episode.steps) == episode.env.bound
            state.stage = Stage.ANSWER if over else state.stage
        live = [game for game in live if game[1].stage != Stage.ANSWER]
    return [episode for episode, _ in games]


def sample(log_p: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """One action a row of log-probabilities (B, A), (B,)."""
    return torch.multinomial(log_p.exp(), 1, generator=rng)[:, 0]


# ---------------------------------------------------------------- learn
def advantages(rewards: list[float], values: list[float], gamma: float,
               gae_lambda: float) -> list[float]:
    """Generalised advantages of one finished episode (Schulman et al. 2016, eq. 16)."""
    out, last, next_value = [], 0.0, 0.0
    for reward, value in zip(reversed(rewards), reversed(values)):
        delta = reward + gamma * next_value - value
        last = delta + gamma * gae_lambda * last
        out.append(last)
        next_value = value
    return out[::-1]


@dataclass(frozen=True)
class PPOConfig:
    """The settings of PPO; chapter 4 explains each."""
    learning_rate: float = 2e-3
    "Of Adam, at the start."
    final_share: float = 0.05
    "Learning rate and bonuses fall linearly to this share of their first value."
    gamma: float = 0.97
    "Discount a decision."
    gae_lambda: float = 0.95
    "Mixes one-step and whole-episode advantages."
    clip_coef: float = 0.2
    "The ratio of new to old probability counts from 1 - clip_coef to 1 + clip_coef."
    vf_coef: float = 0.5
    "Weight of the critic's loss."
    ent_coef: float = 0.02
    "Weight of the entropy bonus, at the start."
    even_coef: float = 0.01
    "Weight of the evenness bonus, at the start: it keeps every legal action alive."
    max_grad_norm: float = 0.5
    "Gradients are scaled down to this norm."
    epochs: int = 2
    "Passes over each iteration's decisions."
    minibatch: int = 400
    "Decisions of a minibatch."


@dataclass
class Batch:
    """M decisions: what was known, what was done, and what came of it; (M,) each."""
    legal: Tensor     # (M, A)
    choice: Tensor
    log_prob: Tensor
    advantage: Tensor
    returns: Tensor


def collect(episodes: list[Episode], config: PPOConfig) -> list[list[tuple]]:
    """Each episode's decisions, with normalised advantages: rows that `batch` stacks."""
    kept = [advantages([step.reward for step in e.steps], [step.value for step in e.steps],
                       config.gamma, config.gae_lambda) for e in episodes]
    spread, mean = torch.std_mean(torch.tensor(sum(kept, [])), correction=0)
    return [[(s.view, s.choice, s.log_prob, float((a - mean) / (spread + 1e-8)), a + s.value)
             for s, a in zip(e.steps, advantage)] for e, advantage in zip(episodes, kept)]


def batch(rows: list[tuple]) -> tuple[Views, Batch]:
    """Stack decisions: what was seen, and the rest."""
    views, *parts = zip(*rows)
    seen = Views.of(list(views))
    return seen, Batch(seen.legal, *map(torch.tensor, parts))


def ppo_loss(log_ratio: Tensor, advantage: Tensor, clip_coef: float) -> Tensor:
    """The clipped objective (Schulman et al. 2017, eq. 7), to be minimised.

    log_ratio: (M,) of new to old probability; the ratio is clipped to 1 +- clip_coef.
    """
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip_coef, 1 + clip_coef)
    return -torch.min(advantage * ratio, advantage * clipped).mean()


def objective(b: Batch, logits: Tensor, value: Tensor, config: PPOConfig,
              share: float) -> tuple[Tensor, dict[str, float]]:
    """PPO's loss on a minibatch, and what to log of it.

    logits: (M, A), value: (M,) of the network as it is now. share: 1 at the start, falling.
    """
    log_p = log_policy(logits, b.legal)
    log_ratio = at(log_p, b.choice) - b.log_prob
    actor = ppo_loss(log_ratio, b.advantage, config.clip_coef)
    critic = (value - b.returns).square().mean() / 2
    spread, even = entropy(log_p, b.legal).mean(), evenness(log_p, b.legal).mean()
    bonus = config.ent_coef * spread + config.even_coef * even
    kl = (log_ratio.exp() - 1 - log_ratio).mean()  # the estimator k3 (Schulman 2020)
    return actor + config.vf_coef * critic - share * bonus, dict(
        entropy=spread.item(), value_loss=critic.item(), approx_kl=kl.item())


def minibatches(lengths: list[int], config: PPOConfig, rng: torch.Generator | None):
    """Groups of whole episodes (E,), some `config.minibatch` decisions each, over all passes.

    lengths: decisions of each episode.
    """
    parts = min(len(lengths), max(1, round(sum(lengths) / config.minibatch)))
    for _ in range(config.epochs):
        yield from torch.randperm(len(lengths), generator=rng).tensor_split(parts)


def descend(agent: Agent, optimizer: torch.optim.Optimizer, loss: Tensor,
            max_grad_norm: float) -> None:
    """One step down the gradient, clipped to a norm."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(agent.parameters(), max_grad_norm)
    optimizer.step()


def mean_of(metrics: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric."""
    return {name: sum(m[name] for m in metrics) / len(metrics) for name in metrics[0]}


def update(agent: Agent, optimizer: torch.optim.Optimizer, episodes: list[Episode],
           config: PPOConfig, share: float = 1.0,
           rng: torch.Generator | None = None) -> dict[str, float]:
    """Some passes of PPO over an iteration's decisions. Returns what to log.

    share: of the first learning rate's bonuses, 1 at the start, falling.
    """
    rows, metrics = collect(episodes, config), []
    for chosen in minibatches(list(map(len, rows)), config, rng):
        seen, b = batch([row for i in chosen.tolist() for row in rows[i]])
        loss, told = objective(b, *agent(seen), config, share)
        descend(agent, optimizer, loss, config.max_grad_norm)
        metrics.append(told)
    return mean_of(metrics)
