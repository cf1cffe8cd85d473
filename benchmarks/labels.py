"""The runs behind appendix E, a calculator without labels: `python -m benchmarks.labels`."""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.evidence import known
from benchmarks.labels_game import (
    CLEAR,
    CLEARED,
    ERROR,
    N_TOKENS,
    NEXT,
    SHOWN,
    WINDOW,
    Game,
    Identify,
    Pool,
    Seen,
    at_random,
    by_labels,
    likelihoods,
    pool,
    tally,
    text_of,
)
from mna.language import MNAError
from mna.training import commit

ROOT = Path(__file__).parent.parent
RESULTS, BUILD = ROOT / "results", ROOT / "_build"
SMOKE = 2_000  # decisions of a run that only checks the pipeline
EVENTS, FACTS = SHOWN + 4, 18


# ---------------------------------------------------------------- the agent
@dataclass(frozen=True)
class Config:
    """A run. Steps are decisions."""

    seed: int = 0
    decisions: int = 600_000
    problems: int = 60_000       # that practice draws from
    memory: str = "buttons"      # a GRU vector for each button; "none": reset at each decision
    width: int = 64
    episodes: int = 192          # side by side
    steps: int = 40              # of each between two updates
    epochs: int = 3
    minibatches: int = 4
    lr: float = 2e-3             # falls in a line to `floor` of it
    entropy: float = 0.02        # so does the bonus
    floor: float = 0.05
    gamma: float = 0.98
    lam: float = 0.95
    share: float = 0.5           # paid for the right sub-results of a problem, beside 1 for its answer
    share_until: float = 1.0     # part of the run at which that pay has fallen to 0; 1: it does not fall
    cost: float = 0.01           # of a decision


def facts_of(seen: Seen) -> np.ndarray:
    """(B, FACTS) What was shown last, as zeros and ones, and three small numbers."""
    code, shown = np.minimum(seen.event, ERROR - 1), seen.event < ERROR
    parts = np.stack((code % 3, code // 3 % 3, code // 9 % 3), 1)
    f = np.zeros((len(code), FACTS), np.float32)
    f[:, :9] = (parts[:, :, None] == np.arange(3)).reshape(-1, 9) & shown[:, None]
    f[:, 9], f[:, 10] = code // 27 % 2 * shown, code // 54 * shown
    f[:, 11:15] = seen.event[:, None] == np.array([ERROR, SHOWN, SHOWN + CLEARED, SHOWN + NEXT])
    f[:, 15], f[:, 16], f[:, 17] = seen.left / 10, seen.pending, seen.count / 4
    return f


@dataclass
class Look:
    """What the network reads, of one decision (B, ...) or of many (T, B, ...)."""

    windows: Tensor  # (..., 4, WINDOW * N_TOKENS) zeros and ones
    event: Tensor    # (...,)
    button: Tensor   # (..., 4)
    facts: Tensor    # (..., FACTS)
    legal: Tensor    # (..., ACTIONS)

    @classmethod
    def at(cls, seen: Seen) -> "Look":
        windows = F.one_hot(torch.from_numpy(seen.windows), N_TOKENS).flatten(-2).float()
        return cls(windows, torch.from_numpy(seen.event), torch.from_numpy(seen.button),
                   torch.from_numpy(facts_of(seen)), torch.from_numpy(seen.legal))

    @classmethod
    def stack(cls, looks: list["Look"]) -> "Look":
        return cls(*(torch.stack(part) for part in zip(*(vars(look).values() for look in looks))))

    def of(self, ix: Tensor) -> "Look":
        return Look(*(part[:, ix] for part in vars(self).values()))

    def flat(self) -> "Look":
        return Look(*(part.flatten(0, 1) for part in vars(self).values()))


class Written(torch.autograd.Function):
    """T steps of `Agent.write`, with the gradient worked out by hand: a tenth of the calls that autograd makes."""

    @staticmethod
    def forward(ctx, gates, h, weight, bias, button, writes, new):
        """gates (T, B, 3D), h (B, 4, D), button (T, B), writes and new (T, B) bool; memories (T, B, 4, D)."""
        T, B, D = *new.shape, h.shape[2]
        rows, memory = torch.arange(B), h.new_empty(T, B, 4, D)
        old, r, z, n, hn = (h.new_empty(T, B, D) for _ in range(5))
        stay = (~new).float()[:, :, None, None]
        for t in range(T):
            h = torch.mul(h, stay[t], out=memory[t])
            old[t] = h[rows, button[t]]
            g = torch.addmm(bias, old[t], weight.T)
            torch.sigmoid(gates[t, :, :D] + g[:, :D], out=r[t])
            torch.sigmoid(gates[t, :, D:2 * D] + g[:, D:2 * D], out=z[t])
            hn[t] = g[:, 2 * D:]
            torch.tanh(torch.addcmul(gates[t, :, 2 * D:], r[t], hn[t]), out=n[t])
            h[rows, button[t]] = torch.where(writes[t, :, None], torch.lerp(n[t], old[t], z[t]), old[t])
        ctx.save_for_backward(weight, button, writes, stay, old, r, z, n, hn)
        return memory

    @staticmethod
    def backward(ctx, grad):
        weight, button, writes, stay, old, r, z, n, hn = ctx.saved_tensors
        (T, B, D), rows = old.shape, torch.arange(old.shape[1])
        dn = (1 - z) * (1 - n * n) * writes[:, :, None]
        dz = (old - n) * z * (1 - z) * writes[:, :, None]
        dr, keep = hn * r * (1 - r), torch.where(writes[:, :, None], z, torch.ones(()))
        di, dg, dh = old.new_empty(T, B, 3 * D), old.new_empty(T, B, 3 * D), torch.zeros_like(grad[0])
        for t in reversed(range(T)):
            dh = dh + grad[t]
            d = dh[rows, button[t]]
            a = torch.mul(d, dn[t], out=di[t, :, 2 * D:])
            torch.mul(a, r[t], out=dg[t, :, 2 * D:])
            torch.mul(a, dr[t], out=di[t, :, :D])
            torch.mul(d, dz[t], out=di[t, :, D:2 * D])
            dg[t, :, :2 * D] = di[t, :, :2 * D]
            dh[rows, button[t]] = torch.addmm(d * keep[t], dg[t], weight)
            dh *= stay[t]
        dg = dg.flatten(0, 1)
        return di, dh, dg.T @ old.flatten(0, 1), dg.sum(0), None, None, None


class Agent(nn.Module):
    """Actor and critic with a memory of D numbers for each button; all buttons share the weights."""

    def __init__(self, config: Config):
        super().__init__()
        D = self.D = config.width
        self.forgets = config.memory == "none"
        self.window = nn.Linear(WINDOW * N_TOKENS, D)
        self.read = nn.Sequential(nn.Linear(FACTS + 2 * D, D), nn.ReLU(), nn.Linear(D, D), nn.ReLU())
        self.event = nn.Embedding(EVENTS, 3 * D)  # what was shown, straight into the gates; beside it, what was read
        self.into = nn.Linear(D, 3 * D)
        self.keep = nn.Linear(D, 3 * D)
        self.place, self.ripe = nn.Linear(D, D), nn.Linear(D, 1)
        self.button, self.all, self.fit = nn.Linear(D, D), nn.Linear(D, D, bias=False), nn.Linear(D, D)
        self.rest = nn.Sequential(nn.Linear(5 * D, D), nn.ReLU(), nn.Linear(D, D), nn.Tanh())
        self.other, self.value = nn.Linear(D, 2), nn.Linear(D, 1)
        nn.init.normal_(self.event.weight, std=0.1)
        for layer in (self.ripe, self.other):
            nn.init.orthogonal_(layer.weight, 0.01)
            nn.init.zeros_(layer.bias)

    def empty(self, B: int) -> Tensor:
        return torch.zeros(B, 4, self.D)

    def sense(self, look: Look) -> tuple[Tensor, Tensor, Tensor]:
        """Windows (N, 4, D), what happened (N, D), and its part in the gates (N, 3D)."""
        w = torch.relu(self.window(look.windows))
        e = self.read(torch.cat((look.facts, w[:, 3], w[:, :3].mean(1)), 1))
        return w, e, self.into(e) + self.event(look.event)

    def write(self, gates: Tensor, h: Tensor, look: Look, new: Tensor) -> Tensor:
        """One step of a GRU (Cho et al. 2014), in the memory of the button that was pressed: h (N, 4, D)."""
        h = h * (~new)[:, None, None]
        old = (h * look.button[:, :, None]).sum(1)
        (ir, iz, i), (hr, hz, hn) = gates.chunk(3, 1), self.keep(old).chunk(3, 1)
        z, n = torch.sigmoid(iz + hz), torch.tanh(i + torch.sigmoid(ir + hr) * hn)
        return h + look.button[:, :, None] * (n + z * (old - n) - old)[:, None]

    def heads(self, w: Tensor, e: Tensor, look: Look, h: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (N, ACTIONS) and values (N,)."""
        m, p = h.mean(1), self.place(w)
        b = self.fit(torch.relu(self.button(h) + self.all(m)[:, None]))
        score = p[:, :3] @ b.transpose(1, 2) / self.D ** 0.5 + self.ripe(w[:, :3])  # (N, 3, 4)
        rows, last, any_ = torch.arange(len(h)), look.button.argmax(1), look.button.amax(1, keepdim=True)
        match = p[:, 3] * b[rows, last] * any_
        r = self.rest(torch.cat((m, h[rows, last] * any_, w[:, :3].mean(1), e, match), 1))
        logits = torch.cat((score.flatten(1), self.other(r)), 1).masked_fill(~look.legal, -1e9)
        return logits.log_softmax(1), self.value(r)[:, 0]

    def decide(self, look: Look, h: Tensor, new: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One decision: memory, log-probabilities, values."""
        w, e, gates = self.sense(look)
        h = self.write(gates, h, look, new | self.forgets)
        return h, *self.heads(w, e, look, h)

    def follow(self, look: Look, h: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
        """T decisions of B episodes anew; log-probabilities (T * B, ACTIONS), values (T * B,)."""
        T, B = new.shape
        flat = look.flat()
        w, e, gates = self.sense(flat)
        button, writes = look.button.argmax(2), look.button.any(2)
        h = Written.apply(gates.view(T, B, -1), h, self.keep.weight, self.keep.bias, button, writes,
                          new | self.forgets)
        return self.heads(w, e, flat, h.flatten(0, 1))


class Player:
    """An agent as a policy for `tally`. lesion: when its memory is cleared, or the buttons are mixed."""

    def __init__(self, agent: Agent, B: int, greedy: bool = True, lesion: str = ""):
        self.agent, self.greedy, self.lesion = agent, greedy, lesion
        self.h, self.new = agent.empty(B), torch.ones(B, dtype=torch.bool)

    def act(self, game: Game, seen: Seen) -> np.ndarray:
        with torch.inference_mode():
            self.h, logp, _ = self.agent.decide(Look.at(seen), self.h, self.new)
            return (logp.argmax(1) if self.greedy else sampled(logp)).numpy()

    def observe(self, game: Game, done: np.ndarray) -> None:
        new = done.copy()
        if self.lesion in ("problem", "clear"):
            new |= game.happened == NEXT
        if self.lesion == "clear":
            new |= game.happened == CLEARED
        if self.lesion == "mix":
            game.mix(np.nonzero((game.happened == NEXT) & (game.round == 2))[0])
        self.new = torch.from_numpy(new)


def sampled(logp: Tensor) -> Tensor:
    """An action for each row, by the Gumbel trick."""
    return (logp - torch.empty_like(logp).exponential_().log()).argmax(1)


# ---------------------------------------------------------------- learning
def learn(config: Config, progress=None, every: int = 15) -> tuple[Agent, list]:
    """Train by PPO. progress(decisions, agent) -> what is kept of it, asked `every` times on the way."""
    c = config
    torch.manual_seed(c.seed)
    game = Game(pool(c.problems, "train", 100 + c.seed), c.episodes, np.random.default_rng(c.seed),
                share=c.share, cost=c.cost)
    agent, curve = Agent(c), []
    optimizer = torch.optim.Adam(agent.parameters(), c.lr, eps=1e-5)
    h, new, made = agent.empty(c.episodes), torch.ones(c.episodes, dtype=torch.bool), 0
    while made < c.decisions:
        done = made / c.decisions
        optimizer.param_groups[0]["lr"] = c.lr * max(c.floor, 1 - done)
        if c.share_until < 1:
            game.share = c.share * max(0.0, 1 - done / c.share_until)
        start, (h, new, played) = h, play(agent, game, h, new, c.steps)
        update(agent, optimizer, c, start, *played, c.entropy * max(c.floor, 1 - done))
        made += c.steps * c.episodes
        if progress and made >= c.decisions * (len(curve) + 1) / every:
            curve.append(progress(made, agent))
    return agent, curve


def play(agent: Agent, game: Game, h: Tensor, new: Tensor, T: int):
    """T decisions of each episode. Returns memory, who is new, and (looks, actions, logp, values, rewards, news)."""
    looks, notes = [], []
    with torch.inference_mode():
        for _ in range(T):
            look = Look.at(game.see())
            h, logp, value = agent.decide(look, h, new)
            action = sampled(logp)
            reward, done, _ = game.step(action.numpy())
            looks.append(look)
            notes.append((action, logp.gather(1, action[:, None])[:, 0], value, torch.from_numpy(reward).float(), new))
            new = torch.from_numpy(done)
        after = agent.decide(Look.at(game.see()), h, new)[2]
    parts = [torch.stack(part).clone() for part in zip(*notes)]
    looks = Look(*(part.clone() for part in vars(Look.stack(looks)).values()))
    return h.clone(), new, (looks, *parts, torch.cat((parts[-1][1:], new[None])), after.clone())


def update(agent, optimizer, c: Config, start, looks, actions, old, values, rewards, news, ends, after, entropy):
    """PPO on what was played: (T, B) each; after (B,) is the value of what comes next."""
    T, B = actions.shape
    advantage, g = torch.zeros(T, B), torch.zeros(B)
    for t in reversed(range(T)):
        live = (~ends[t]).float()
        following = after if t == T - 1 else values[t + 1]
        g = rewards[t] + c.gamma * following * live - values[t] + c.gamma * c.lam * live * g
        advantage[t] = g
    returns = advantage + values
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    for _ in range(c.epochs):
        for ix in torch.randperm(B).chunk(c.minibatches):
            logp, v = agent.follow(looks.of(ix), start[ix], news[:, ix])
            mine = logp.gather(1, actions[:, ix].reshape(-1, 1))[:, 0]
            ratio, A = (mine - old[:, ix].flatten()).exp(), advantage[:, ix].flatten()
            gain = torch.min(A * ratio, A * ratio.clamp(0.8, 1.3)).mean()
            spread = -(logp.exp() * logp.clamp(min=-50)).sum(1).mean()
            loss = 0.25 * (v - returns[:, ix].flatten()).square().mean() - gain - entropy * spread
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()


# ---------------------------------------------------------------- exams
@cache
def asked() -> Pool:
    """The problems of every exam: those of four numbers have structures that practice can't draw."""
    return pool(20_000, "test", 8)


def told(r: dict[str, np.ndarray]) -> dict:
    """Shares of a tally: right, and presses beyond the fewest, by problem of an episode."""
    extra, rounds = r["presses"] - r["count"] + 1, range(r["round"].max() + 1)
    return dict(problems=len(extra), right=round(float(r["right"].mean()), 4),
                right_by_problem=[round(float(r["right"][r["round"] == k].mean()), 4) for k in rounds],
                extra_by_problem=[round(float(extra[r["round"] == k].mean()), 3) for k in rounds],
                right_by_numbers={str(n): round(float(r["right"][r["count"] == n].mean()), 4) for n in (2, 3, 4)})


def by_structure(r: dict[str, np.ndarray]) -> list[list[int]]:
    """For each structure: its numbers, asked, right; asked as the third problem, and the extra presses there."""
    found, third, extra = [], r["round"] == 2, r["presses"] - r["count"] + 1
    for structure in np.unique(r["structure"]):
        mine = r["structure"] == structure
        found.append([int(r["count"][mine][0]), int(mine.sum()), int(r["right"][mine].sum()),
                      int((mine & third).sum()), int(extra[mine & third].sum())])
    return found


def exam(policy, episodes: int, rounds: int = 3, B: int = 250, seed: int = 1000) -> dict[str, np.ndarray]:
    """What a policy does in so many episodes: the same ones for all, as long as they press alike."""
    B = min(B, episodes)
    game = Game(asked(), B, np.random.default_rng(seed), rounds)
    act, observe = policy(B)
    return tally(game, act, episodes, observe)


def of_agent(agent: Agent, **options):
    """An agent as a policy for `exam`."""

    def policy(B):
        player = Player(agent, B, **options)
        return player.act, player.observe

    return policy


def lesions(agent: Agent, episodes: int) -> dict:
    """The agent with its memory cleared, with the buttons mixed in secret, and over eight problems."""
    cases = {"as trained": {}, "memory cleared at each problem": dict(lesion="problem"),
             "memory cleared at each problem and C": dict(lesion="clear"),
             "buttons mixed before the third problem": dict(lesion="mix")}
    found = {f"{name}{', sampled' * (not greedy)}": told(exam(of_agent(agent, greedy=greedy, **case), episodes))
             for name, case in cases.items() for greedy in (True, False)}
    return found | {"eight problems": told(exam(of_agent(agent), episodes, rounds=8))}


def episode(agent: Agent, seed: int = 1000) -> dict:
    """The first episode of a game, decision by decision."""
    game, steps = Game(asked(), 1, np.random.default_rng(seed)), []
    player, done = Player(agent, 1), np.zeros(1, bool)
    buttons = game.buttons[0].tolist()
    while not done[0]:
        sheet, k = text_of(game.tokens[0], game.values[0]), int(game.round[0])
        action = player.act(game, game.see())
        _, done, over = game.step(action)
        player.observe(game, done)
        a = int(action[0])
        shown = int(game.code[0]) if a < CLEAR and not len(over["rows"]) else None
        steps.append(dict(problem=k, sheet=sheet, action=a, shown=shown,
                          right=bool(over["right"][0]) if len(over["rows"]) else None))
    return dict(buttons=buttons, steps=steps)


# ---------------------------------------------------------------- the table of runs
TUNING = (3, 4)               # settings were chosen on these seeds: never reported
SEEDS = (10, 11, 12, 13, 14)  # reported, fixed beforehand
ARMS = {
    "learned": (Config(), 5, "a memory for each button"),
    "forgets": (Config(memory="none"), 5, "the same network, its memory reset at each decision"),
    "annealed": (Config(share_until=0.5), 3, "pay for sub-results falls to 0 by half of the run"),
    "answer": (Config(share=0.0), 3, "nothing is paid but the right answer"),
}
WRITTEN = ("random", "fixed-labels", "identify", "identify-forgets")


def trained(name: str, seed: int, decisions: int | None = None, episodes: int = 3000) -> dict:
    """The line of a run: a pure function of arm and seed, but for its seconds."""
    torch.set_num_threads(1)
    config, begin = replace(ARMS[name][0], seed=seed), time.process_time()
    if decisions:
        config = replace(config, decisions=decisions, problems=600, episodes=24)

    def progress(made, agent):
        found = told(exam(of_agent(agent), min(400, episodes)))
        return [made, found["right"], *found["extra_by_problem"]]

    agent, curve = learn(config, progress)
    seconds, greedy = time.process_time() - begin, exam(of_agent(agent), episodes)
    line = dict(arm=name, seed=seed, config=asdict(config), decisions=curve[-1][0], commit=commit(),
                machine=f"{platform.machine()}, {os.cpu_count()} cores", date=date.today().isoformat(),
                torch=torch.__version__, numpy=np.__version__, parameters=sum(p.numel() for p in agent.parameters()),
                cpu_seconds=round(seconds, 1), curve=curve, **told(greedy), structures=by_structure(greedy),
                sampled=told(exam(of_agent(agent, greedy=False), episodes)))
    if name == "learned":
        line |= dict(lesions=lesions(agent, episodes // 2), episode=episode(agent))
    return line


def by_hand(name: str, seed: int, episodes: int = 3000, steps: int = 3000) -> dict:
    """The line of a policy that is written by hand. steps: of random play, to count what tools show."""
    chances = likelihoods(pool(6_000, "train", seed), seed, steps) if name.startswith("identify") else None

    def policy(B):
        if chances is None:
            return (at_random if name == "random" else by_labels), None
        written = Identify(B, chances, forget="forgets" in name)
        return written.act, written.observe

    found = exam(policy, episodes)
    return dict(arm=name, seed=seed, commit=commit(), date=date.today().isoformat(), **told(found),
                structures=by_structure(found))


def missing(arms: list[str], lines: list[dict], smoke: bool) -> list[tuple[str, int]]:
    """The runs that are not there yet, as (arm, seed); smoke: one seed of each."""
    known_arms = [*ARMS, *WRITTEN]
    if wrong := [name for name in arms if name not in known_arms]:
        raise MNAError(f"arm {wrong[0]!r} does not exist; arms: {', '.join(known_arms)}")
    done = {(line["arm"], line["seed"]) for line in lines}
    seeds = {name: SEEDS[:1 if smoke else ARMS[name][1] if name in ARMS else None] for name in arms}
    return [(name, seed) for name in arms for seed in seeds[name] if (name, seed) not in done]


def main(argv: list[str] | None = None) -> int:
    """0 done, 2 bad input, 130 Ctrl-C: what was finished is kept."""
    parser = argparse.ArgumentParser("python -m benchmarks.labels")
    parser.add_argument("--arms", default=",".join((*WRITTEN, *ARMS)), help="with commas between")
    parser.add_argument("--smoke", action="store_true", help="one short run an arm, into _build/labels_smoke")
    parser.add_argument("--out", type=Path, help="folder of the results")
    args = parser.parse_args(argv)
    out = args.out or (BUILD / "labels_smoke" if args.smoke else RESULTS)
    path = out / "labels.jsonl"
    try:
        lines = known(path)
        todo = missing(args.arms.split(","), lines, args.smoke)
        print(f"{len(lines)} runs are there, {len(todo)} to make", flush=True)
        out.mkdir(parents=True, exist_ok=True)
        for name, seed in todo:
            if name in ARMS:
                line = trained(name, seed, *((SMOKE, 20) if args.smoke else ()))
            else:
                line = by_hand(name, seed, *((20, 100) if args.smoke else ()))
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(name, seed, f"{line['right']:.1%} right, extra presses {line['extra_by_problem']}", flush=True)
    except MNAError as error:
        print(f"labels: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("labels: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
