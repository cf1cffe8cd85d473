"""Two other ways to learn the same task with the same encoder: CleanRL's loop, and MaskablePPO of sb3-contrib."""

import math
import time
from collections.abc import Iterator
from importlib.util import find_spec
from statistics import median

import numpy as np
import torch
from torch import nn

from benchmarks.rows import Form, Row
from mna import ppo
from mna.curriculum import accuracy
from mna.gym import ArithmeticEnv, Game, Settings, mask_of, seen_of
from mna.network import N_KINDS, Agent, AgentConfig
from mna.ppo import PPOConfig
from mna.problems import check_levels
from mna.speed import FAST
from mna.training import Run, TrainingConfig, make_agent

LADDER, EXAM = ("add", "expr2", "expr3"), "expr3"
TASK = dict(levels=LADDER, practice=True, tokens=16, numbers=4)
GAMES, STEPS = 32, 64  # side by side; decisions of each in an iteration
BATCH = GAMES * STEPS
CHECK = 4_000          # decisions between two exams, whose time does not count


def ours(seed: int, budget: int) -> Iterator[tuple[int, object]]:
    """The book's agent and its fast engine; as all here: decisions so far, and who can be examined."""
    config = TrainingConfig(seed=seed, decisions=budget, ladder=LADDER, first=BATCH, last=BATCH, tight=0.0)
    run = Run(config, FAST)
    while run.decisions < budget:
        run.iterate()
        yield run.decisions, lambda: accuracy(run.agent, check_levels([EXAM], "test"), 300, seeded(1), "test", FAST)[0]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- CleanRL's loop


def walked(agent: Agent, games: list[Game], rng) -> tuple[list[tuple], torch.Tensor, torch.Tensor]:
    """STEPS decisions of each game, begun anew where it ends: rows (view, choice, log-probability), values and
    advantages (STEPS, GAMES), with the critic's guess of what follows the last step."""
    rows, values, rewards, going = [], [], [], []
    for _ in range(STEPS):
        views = [game.desk.view(game.state) for game in games]
        notes = ppo.decide(agent, views, rng)
        rows += [(view, *note[:2]) for view, note in zip(views, notes, strict=True)]
        values.append([note[2] for note in notes])
        rewards.append([game.play(note[0])[0].reward for game, note in zip(games, notes, strict=True)])
        going.append([not game.over for game in games])
        for game in games:
            if game.over:
                game.begin(None, None)
    last = [note[2] for note in ppo.decide(agent, [game.desk.view(game.state) for game in games], rng)]
    values, rewards, going = torch.tensor([*values, last]), torch.tensor(rewards), torch.tensor(going).float()
    c, out, running = PPOConfig(), [], 0.0
    for t in range(STEPS - 1, -1, -1):
        delta = rewards[t] + c.gamma * values[t + 1] * going[t] - values[t]
        running = delta + c.gamma * c.gae_lambda * going[t] * running
        out.append(running)
    return rows, values[:-1], torch.stack(out[::-1])


def cleanrl(seed: int, budget: int) -> Iterator[tuple[int, object]]:
    """PPO as CleanRL writes it: games side by side, fixed steps, shuffled decisions; our network and settings."""
    agent, rng, c = make_agent(AgentConfig(), seed), seeded(seed), PPOConfig()
    optimizer = torch.optim.Adam(agent.parameters(), c.learning_rate, eps=1e-5)
    games = [Game(Settings(**TASK)) for _ in range(GAMES)]
    for i, game in enumerate(games):
        game.begin(seed * GAMES + i, None)
    for made in range(BATCH, budget + BATCH, BATCH):
        share = max(c.final_share, 1 - made / budget)
        optimizer.param_groups[0]["lr"] = c.learning_rate * share
        rows, values, advantage = walked(agent, games, rng)
        returns, advantage = (advantage + values).flatten(), advantage.flatten()
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        for _ in range(c.epochs):
            for part in torch.randperm(BATCH, generator=rng).split(c.minibatch):
                chosen = [(*rows[i], float(advantage[i]), float(returns[i])) for i in part.tolist()]
                seen, b = ppo.batch(chosen)
                loss, _ = ppo.objective(b, *agent(seen), c, share)
                ppo.descend(agent, optimizer, loss, c.max_grad_norm)
        yield made, lambda: accuracy(agent, check_levels([EXAM], "test"), 300, seeded(1), "test", FAST)[0]


# ---------------------------------------------------------------- MaskablePPO


def reader(space, width: int):
    """The book's encoder as a features extractor: the whole text, each value, the chosen one, stage, situation."""
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

    from mna.network import Encoder

    sizes = {name: sum(part.nvec) if name == "kinds" else part.n for name, part in space.spaces.items()}
    V = sizes["left"] - 1

    class Reader(BaseFeaturesExtractor):
        def __init__(self, observation_space):
            super().__init__(observation_space, width * (V + 2) + sizes["stage"] + sizes["situation"])
            self.encoder = Encoder(width, AgentConfig().layers)
            self.text = nn.Linear(width, width)

        def forward(self, seen):
            kinds = seen["kinds"].view(len(seen["kinds"]), -1, N_KINDS).argmax(2)  # they come as ones among zeros
            x = self.encoder(kinds)
            text = torch.tanh(self.text(x.sum(1) / (kinds > 0).sum(1, keepdim=True)))
            order = seen["holds"].argsort(dim=1, descending=True, stable=True)[:, :V]
            there = seen["holds"].gather(1, order)[:, :, None]
            keys = x.gather(1, order[:, :, None].expand(-1, -1, width)) * there
            left, stage = (seen[name].flatten(1) for name in ("left", "stage"))  # the buffer adds a dimension
            chosen = (keys * left[:, 1:, None]).sum(1)
            return torch.cat((text, chosen, keys.flatten(1), stage, seen["situation"]), 1)

    return Reader


def maskable(seed: int, budget: int) -> Iterator[tuple[int, object]]:
    """MaskablePPO with the book's encoder, a hidden layer as wide as a head's, and the book's settings."""
    from sb3_contrib import MaskablePPO

    c, env = PPOConfig(), ArithmeticEnv(**TASK)
    model = MaskablePPO(
        "MultiInputPolicy", _vector(seed), c.learning_rate, n_steps=STEPS, batch_size=512,
        n_epochs=c.epochs, gamma=c.gamma, gae_lambda=c.gae_lambda, ent_coef=c.ent_coef, seed=seed, device="cpu",
        policy_kwargs=dict(features_extractor_class=reader(env.observation_space, AgentConfig().width),
                           net_arch=[AgentConfig().hidden]))  # fmt: skip
    while model.num_timesteps < budget:
        model.learn(BATCH, reset_num_timesteps=model.num_timesteps == 0)
        yield model.num_timesteps, lambda: examined(model)


def _vector(seed: int):
    from stable_baselines3.common.env_util import make_vec_env

    return make_vec_env(lambda: ArithmeticEnv(**TASK), n_envs=GAMES, seed=seed)


def examined(model, problems: int = 300) -> float:
    """Greedy accuracy of MaskablePPO on held-out structures."""
    games = [Game(Settings(**TASK | dict(levels=(EXAM,), split="test", practice=False))) for _ in range(problems)]
    for i, game in enumerate(games):
        game.begin(i, None)
    right, live = 0, games
    while live:
        seen = [seen_of(game) for game in live]
        stacked = {name: np.stack([one[name] for one in seen]) for name in seen[0]}
        choices, _ = model.predict(stacked, action_masks=np.stack([mask_of(g) for g in live]), deterministic=True)
        right += sum(game.play(int(choice))[0].correct for game, choice in zip(live, choices, strict=True))
        live = [game for game in live if not game.over]
    return right / problems


# ---------------------------------------------------------------- both


def rate(side, seed: int, iterations: int) -> float:
    """Decisions a processor second, after an iteration to warm up."""
    made = side(seed, 10**9)
    before, _ = next(made)
    start = time.process_time()
    for _ in range(iterations):
        after, _ = next(made)
    return (after - before) / (time.process_time() - start)


def until(side, seed: int, budget: int, limit: float) -> float:
    """Processor seconds of learning to 99 % on held-out structures; infinity beyond the budget or the limit."""
    spent, checked, start = 0.0, 0, time.process_time()
    for made, exam in side(seed, budget):
        spent += time.process_time() - start
        if made - checked >= CHECK:
            checked = made
            if exam() >= 0.99:
                return spent
        if spent > limit:
            return math.inf
        start = time.process_time()
    return math.inf


def measure(form: Form) -> Iterator[Row]:
    torch.set_num_threads(1)
    sides = {"ours": ours, "CleanRL's loop": cleanrl}
    if find_spec("sb3_contrib"):
        sides["MaskablePPO"] = maskable
    seeds = range(form.seed, form.seed + (1 if form.short else 3))
    rates, times = {}, {}
    for name, side in sides.items():
        rates[name] = [rate(side, seed, 1 if form.short else 5) for seed in seeds]
        yield Row(f"learning {EXAM}: {name}", "decisions/s", rates[name], note=f"{BATCH:,} decisions an iteration")
        if not form.short:
            times[name] = [until(side, seed, 200_000, 120) for seed in seeds]
            yield Row(f"learning {EXAM} to 99 %: {name}", "s", times[name], note="held-out structures; – beyond 120 s")
    for name in [*sides][1:]:
        yield Row(f"against {name}: decisions/s", "times", [median(rates["ours"]) / median(rates[name])], at_least=1.5)
        if times:
            ratio = median(times[name]) / median(times["ours"])
            yield Row(f"against {name}: time to 99 %", "times", [ratio], at_least=5)
    if "MaskablePPO" not in sides:
        yield Row("against MaskablePPO", "times", [math.inf], note="pip install sb3-contrib, which is missing")
