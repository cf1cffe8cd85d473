"""A worksheet, stages, and one network that points at what it wants to do next."""

import itertools
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mna.environments import TOOLS, Arithmetic, Feedback, find_tool
from mna.language import (
    BAR, BAR_END, CLOSE, NEGATIVE, NUMBER, OPEN, PAD, SYMBOLS, X, Problem, Value,
)

# kinds of token that only a worksheet has: a result below, at or above zero, or with the
# unknown in it; the same kept in a slot; a value that was used somewhere else
RESULT, STORED, CROSSED, N_KINDS = 13, 17, 21, 22
BELOW, ZERO, ABOVE, UNKNOWN = range(4)


def kind_of(value: Value) -> int:
    """What is seen of a value: BELOW, ZERO, ABOVE, or UNKNOWN, if it holds the unknown."""
    return UNKNOWN if value.has_unknown else value.sign + 1


class Stage(IntEnum):
    """The phase of reasoning that the agent is in."""
    CHOOSE = 0  # the first operand, or to store the last result, or to answer
    TOOL = 1    # what to do with it
    RIGHT = 2   # the second operand; then the call goes out
    STORE = 3   # the slot that keeps the last result; the write gate is open
    ANSWER = 4  # the end


POINTING = (Stage.CHOOSE, Stage.RIGHT)    # where values can be named
ABOUT_CHOSEN = (Stage.TOOL, Stage.RIGHT)  # where all is about the value that was chosen


# ---------------------------------------------------------------- worksheet
@dataclass
class Token:
    """One token of the worksheet. place: where its value is: see `State.value`."""
    kind: int
    place: int | None = None


NEVER_BELOW = {NUMBER, RESULT + ZERO, RESULT + ABOVE, STORED + ZERO, STORED + ABOVE}


def is_pair(before: Token | None, after: Token | None) -> bool:
    """Do two tokens open and close one pair of parentheses or bars?"""
    kinds = (before and before.kind, after and after.kind)
    return kinds in ((OPEN, CLOSE), (BAR, BAR_END))


class Worksheet:
    """The agent's own copy of the problem, on which it writes its results."""

    def __init__(self, tokens: list[Token]):
        self.tokens = tokens
        self.tidy()

    def at(self, i: int) -> Token | None:
        """The token at a place; None beyond the ends."""
        return self.tokens[i] if 0 <= i < len(self.tokens) else None

    @property
    def values(self) -> list[int]:
        """Where the values stand, from left to right."""
        return [i for i, token in enumerate(self.tokens) if token.place is not None]

    def tidy(self) -> None:
        """Take away what holds one value alone: parentheses, and bars that change nothing."""
        for i in reversed(self.values):
            while is_pair(self.at(i - 1), self.at(i + 1)):
                if self.at(i - 1).kind == BAR and self.at(i).kind not in NEVER_BELOW:
                    break
                self.tokens[i - 1:i + 2] = [self.tokens[i]]
                i -= 1

    def reach(self, i: int) -> tuple[int, int]:
        """The first and last place of a value with all brackets and bars around it."""
        start = end = i
        while is_pair(self.at(start - 1), self.at(end + 1)):
            start, end = start - 1, end + 1
        return start, end

    def write(self, tool: str, i: int, j: int | None, result: Token) -> None:
        """Put a result where its operands stood: at place i, and at j if there are two."""
        if j is None:
            start, end = self.own(tool, i)
            self.tokens[start:end + 1] = [result]
        else:
            (start, left), (right, end) = sorted((self.reach(i), self.reach(j)))
            if right == left + 2:  # neighbours: one operator between them
                self.tokens[start:end + 1] = [result]
            else:
                self.tokens[i], self.tokens[j] = result, Token(CROSSED)
        self.tidy()

    def own(self, tool: str, i: int) -> tuple[int, int]:
        """What goes with the only operand: NEG takes the sign before it along."""
        before = self.at(i - 1)
        return (i - 1, i) if tool == "NEG" and before and before.kind == NEGATIVE else (i, i)


# ---------------------------------------------------------------- memory
class NoMemory:
    """The memory of an agent that has none: nothing is free, so STORE is never legal."""

    def __init__(self, size: int = 0, usable: int = 0):
        self.slots: list[Value | None] = [None] * size

    @property
    def free(self) -> list[int]:
        """The slots that can be written."""
        return []



# ---------------------------------------------------------------- state
@dataclass
class State:
    """What the agent carries through an episode; nothing else is remembered.

    A place says where a value is: 0 ... K - 1 in a slot, K the last result, then numbers.
    """
    worksheet: Worksheet
    memory: NoMemory
    numbers: tuple[Value, ...]
    result: Value | None = None  # the last one, until it is used or stored
    stage: Stage = Stage.CHOOSE
    left: int = -1               # which of the worksheet's values was chosen
    tool: int = -1               # which tool was chosen
    failed: bool = False         # did the last call fail?

    def value(self, place: int) -> Value:
        """Look a value up; a slot's comes from the buffer."""
        K = len(self.memory.slots)
        if place < K:
            return self.memory.slots[place]
        return self.result if place == K else self.numbers[place - K - 1]


@dataclass(frozen=True)
class View:
    """What the network sees of a state, and what is legal there."""
    kinds: tuple[int, ...]   # (L,) the worksheet
    values: tuple[int, ...]  # (V,) where the values stand on it
    left: int                # which of them was chosen; -1: none
    stage: int
    situation: tuple[int, ...]  # the ones of a row of zeros and ones
    legal: tuple[bool, ...]     # (T + 2 + K + V,) the action mask


@dataclass(frozen=True)
class AgentConfig:
    """The sizes of an agent."""
    width: int = 64
    "D, numbers that the encoder keeps for a token."
    hidden: int = 112
    "Units of a stage's head."
    layers: tuple[int, ...] = (1, 0, 1, 0, 1)
    "Of the encoder: 1 a convolution over neighbours, 0 a sweep from both ends."
    slots: int = 3
    "K, of the memory; 0 without one."
    offsets: int = 3
    "How near the second operand must be to be told by its distance."
    tools: tuple[str, ...] = tuple(TOOLS)
    "What the agent can call, by name."


# ---------------------------------------------------------------- desk
NEXT = {  # the table of stages: what is named in each, and which one follows
    Stage.CHOOSE: {"value": Stage.TOOL, "store": Stage.STORE, "answer": Stage.ANSWER},
    Stage.TOOL: {"tool of two": Stage.RIGHT, "tool of one": Stage.CHOOSE},
    Stage.RIGHT: {"value": Stage.CHOOSE},
    Stage.STORE: {"slot": Stage.CHOOSE},
    Stage.ANSWER: {},
}


class Desk:
    """What is written by hand: worksheet, table of stages and action mask. Nothing learns.

    What can be named, in this order: T tools, STORE, ANSWER, K slots, then the values on
    the worksheet from left to right.
    """

    def __init__(self, config: AgentConfig = AgentConfig(), memory=NoMemory):
        self.config, self.memory = config, memory
        self.arity = [find_tool(name).arity for name in config.tools]
        T, K = len(config.tools), config.slots
        self.store, self.answer, self.slot, self.first = T, T + 1, T + 2, T + 2 + K
        self.n_situation = (T + 1) + 5 + (K + 1) + 1

    def start(self, problem: Problem, slots: int | None = None) -> State:
        """Copy a problem onto a worksheet. slots: how many of the memory's can be used."""
        K, number = self.config.slots, itertools.count(self.config.slots + 1)
        tokens = [Token(kind, next(number) if kind in (NUMBER, X) else None)
                  for kind in problem.kinds]
        memory = self.memory(K, K if slots is None else slots)
        return State(Worksheet(tokens), memory, problem.values)

    def legal(self, state: State) -> list[bool]:
        """The action mask, (T + 2 + K + V,): what may be named in the state's stage.

        It follows from the agent's own record: which values are left, which slots free.
        """
        K, V = self.config.slots, len(state.worksheet.values)
        mask, free = [False] * (self.first + V), state.memory.free
        if state.stage == Stage.CHOOSE:
            mask[self.store] = state.result is not None and bool(free)
            mask[self.answer] = V == 1
        if state.stage == Stage.TOOL:
            mask[:self.store] = [arity <= V for arity in self.arity]
        if state.stage == Stage.STORE:
            mask[self.slot:self.first] = [k in free for k in range(K)]
        choosing = state.stage == Stage.CHOOSE and min(self.arity) <= V
        if choosing or state.stage == Stage.RIGHT:
            mask[self.first:] = [v != state.left for v in range(V)]
        return mask

    def view(self, state: State) -> View:
        """What the network sees of a state."""
        T = self.store
        waiting = 0 if state.result is None else 1 + kind_of(state.result)
        situation = [0] * self.n_situation
        situation[state.tool if state.tool >= 0 else T] = 1
        situation[T + 1 + waiting] = 1
        situation[T + 6 + len(state.memory.free)] = 1
        situation[-1] = int(state.failed)
        return View(tuple(token.kind for token in state.worksheet.tokens),
                    tuple(state.worksheet.values), state.left, state.stage,
                    tuple(situation), tuple(self.legal(state)))

    def named(self, choice: int) -> str:
        """What kind of thing an action names: a row of NEXT."""
        if choice < self.store:
            return "tool of one" if self.arity[choice] == 1 else "tool of two"
        if choice < self.slot:
            return "store" if choice == self.store else "answer"
        return "slot" if choice < self.first else "value"

    def act(self, state: State, choice: int, env: Arithmetic) -> Feedback:
        """Carry out what was named: store, call a tool, answer; then on to the next stage."""
        stage, v = state.stage, choice - self.first
        state.stage = NEXT[stage][self.named(choice)]
        match stage, state.stage:
            case Stage.CHOOSE, Stage.TOOL:
                state.left = v
            case Stage.CHOOSE, Stage.ANSWER:
                return env.answer(self.operand(state, 0))
            case Stage.TOOL, following:
                state.tool = choice
                return self.call(state, env) if following == Stage.CHOOSE else Feedback()
            case Stage.RIGHT, _:
                return self.call(state, env, v)
            case Stage.STORE, _:
                self.keep(state, choice - self.slot)
        return Feedback()

    def operand(self, state: State, v: int) -> Value:
        """The v-th value of the worksheet."""
        sheet = state.worksheet
        return state.value(sheet.tokens[sheet.values[v]].place)

    def keep(self, state: State, slot: int) -> None:
        """Store the last result: the gate opens at one slot."""
        gate = [int(k == slot) for k in range(self.config.slots)]
        state.memory.write(gate, state.result)
        for token in state.worksheet.tokens:
            if token.place == self.config.slots:
                token.kind, token.place = token.kind + STORED - RESULT, slot
        state.result, state.failed = None, False

    def call(self, state: State, env: Arithmetic, right: int | None = None) -> Feedback:
        """Send a tool call out, and write what comes back on the worksheet.

        The last result is lost, and with it the episode, if the call does not use it.
        """
        K, sheet = self.config.slots, state.worksheet
        vs = [state.left] if right is None else [state.left, right]
        places = [sheet.values[v] for v in vs]
        sources = [sheet.tokens[i].place for i in places]
        tool, operands = self.config.tools[state.tool], [self.operand(state, v) for v in vs]
        state.left = state.tool = -1
        if state.result is not None and K not in sources:
            return Feedback(done=True)
        feedback = env.call(tool, *operands)
        state.failed = feedback.result is None
        if not state.failed:
            for slot in sources:
                if slot < K:
                    state.memory.recall(slot)
            state.result = feedback.result
            result = Token(RESULT + kind_of(feedback.result), K)
            sheet.write(tool, places[0], places[1] if right is not None else None, result)
        return feedback


# ---------------------------------------------------------------- encoder
class Near(nn.Module):
    """What stands beside each token: a convolution over it and its two neighbours."""

    def __init__(self, width: int):
        super().__init__()
        self.mix = nn.Linear(3 * width, width)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x: (B, L, D), zero where not real (B, L). Returns the same shape."""
        left, right = F.pad(x, (0, 0, 1, 0))[:, :-1], F.pad(x, (0, 0, 0, 1))[:, 1:]
        return F.relu(self.mix(torch.cat((left, x, right), 2)))


class Sweep(nn.Module):
    """What stands before and behind each token: a minimal GRU from either end.

        z_t = sigmoid(W_z x_t),   h_t = (1 - z_t) * h_{t-1} + z_t * tanh(W_c x_t)

    (Feng et al. 2024; half of the width reads from the left, half from the right.)
    """

    def __init__(self, width: int):
        super().__init__()
        self.gates, self.out = nn.Linear(width, 2 * width), nn.Linear(width, width)
        nn.init.constant_(self.gates.bias[:width], -1)  # at first, remember for long

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x: (B, L, D), zero where not real (B, L). Returns the same shape."""
        z, candidate = self.gates(x).chunk(2, 2)
        z = torch.sigmoid(z) * real[:, :, None]  # padding leaves the state as it is
        keep, add = 1 - z, z * torch.tanh(candidate)
        half = x.shape[2] // 2
        ahead = scan(keep[:, :, :half], add[:, :, :half])
        back = scan(keep[:, :, half:].flip(1), add[:, :, half:].flip(1)).flip(1)
        return self.out(torch.cat((ahead, back), 2))


def scan(keep: Tensor, add: Tensor) -> Tensor:
    """h_t = keep_t * h_{t-1} + add_t, from h = 0; all (B, L, D)."""
    h, out = torch.zeros_like(add[:, 0]), []
    for t in range(add.shape[1]):
        h = keep[:, t] * h + add[:, t]
        out.append(h)
    return torch.stack(out, 1)


class Encoder(nn.Module):
    """Reads a worksheet: layers that are each added to what was known of a token."""

    def __init__(self, width: int, layers: tuple[int, ...]):
        super().__init__()
        self.token = nn.Embedding(N_KINDS, width, padding_idx=PAD)
        self.layers = nn.ModuleList(Near(width) if near else Sweep(width) for near in layers)

    def forward(self, kinds: Tensor) -> Tensor:
        """kinds: (B, L), padded with PAD. Returns (B, L, D), zero at the padding."""
        real = kinds != PAD
        x = self.token(kinds)
        for layer in self.layers:
            x = (x + layer(x, real)) * real[:, :, None]
        return x


# ---------------------------------------------------------------- pointer
def linear(n_in: int, n_out: int, gain: float) -> nn.Linear:
    """A linear layer with orthogonal weights and no bias at first."""
    layer = nn.Linear(n_in, n_out)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class StageHead(nn.Module):
    """Actor and critic of one stage: a score of what can be named there, and a value.

    It has only the parts that its stage needs: `fixed` scores tools, STORE, ANSWER and
    slots, `query` the worksheet's values, `offset` how far a value is from the chosen one.
    """

    def __init__(self, stage: Stage, width: int, hidden: int, n_situation: int,
                 n_fixed: int, offsets: int):
        super().__init__()
        points, self.n_fixed, self.offsets = stage in POINTING, n_fixed, offsets
        self.hidden = linear(width + n_situation, hidden, 2 ** 0.5)
        nn.init.normal_(self.hidden.weight[:, width:])  # ones among zeros: heard at once
        self.critic = linear(hidden, 1, 1.0)
        self.query = linear(hidden, width, 0.01) if points else None
        self.fixed = linear(hidden, n_fixed, 0.01) if stage != Stage.RIGHT else None
        self.offset = linear(hidden, 2 * offsets + 1, 0.01) if stage == Stage.RIGHT else None

    def forward(self, keys: Tensor, about: Tensor, left: Tensor,
                situation: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, n_fixed + V) and values (B,).

        keys: (B, V, D) of the worksheet's values. about: (B, D) what the stage thinks about.
        left: (B,) which value was chosen, -1: none. situation: (B, S).
        """
        B, V, D = keys.shape
        z = torch.tanh(self.hidden(torch.cat((about, situation), 1)))            # (B, H)
        fixed, scores = z.new_zeros(B, self.n_fixed), z.new_zeros(B, V)
        if self.fixed:
            fixed = self.fixed(z)
        if self.query:
            scores = (keys * self.query(z)[:, None]).sum(2) * 2 / D ** 0.5       # (B, V)
        if self.offset:
            apart = torch.arange(V, device=z.device) - left[:, None]             # (B, V)
            apart = apart.clamp(-self.offsets, self.offsets) + self.offsets
            scores = scores + self.offset(z).gather(1, apart)
        return torch.cat((fixed, scores), 1), self.critic(z)[:, 0]


class Pointer(nn.Module):
    """One head for each stage that decides: the stage chooses whose weights speak."""

    def __init__(self, width: int, *sizes: int):
        super().__init__()
        self.key, self.text = nn.Linear(width, width), nn.Linear(width, width)
        self.heads = nn.ModuleList(StageHead(stage, width, *sizes)
                                   for stage in Stage if stage != Stage.ANSWER)

    def forward(self, x: Tensor, view: "Views") -> tuple[Tensor, Tensor]:
        """x: (B, L, D) of the encoder. Logits (B, A) of what can be named, values (B,)."""
        real = view.kinds != PAD
        text = torch.tanh(self.text(x.sum(1) / real.sum(1, keepdim=True)))       # (B, D)
        place = view.values.clamp(min=0)[:, :, None].expand(-1, -1, x.shape[2])
        there = (view.values >= 0)[:, :, None]
        keys = self.key(x.gather(1, place)) * there                              # (B, V, D)
        return self.decide(keys, text, view.left, view.stage, view.situation)

    def decide(self, keys: Tensor, text: Tensor, left: Tensor, stage: Tensor,
               situation: Tensor) -> tuple[Tensor, Tensor]:
        """Let each row's stage speak. keys: (B, V, D), text: (B, D), situation: (B, S)."""
        rows, logits, values = [], [], []
        for s, head in enumerate(self.heads):
            row = (stage == s).nonzero()[:, 0]
            about = keys[row, left[row]] if s in ABOUT_CHOSEN else text[row]
            said = head(keys[row], about, left[row], situation[row])
            for kept, part in zip((rows, logits, values), (row, *said)):
                kept.append(part)
        back = torch.cat(rows).argsort()
        return torch.cat(logits)[back], torch.cat(values)[back]


@dataclass
class Views:
    """B views side by side, padded."""
    kinds: Tensor      # (B, L) PAD behind the end
    values: Tensor     # (B, V) -1 behind the last
    left: Tensor       # (B,)
    stage: Tensor      # (B,)
    situation: Tensor  # (B, S)
    legal: Tensor      # (B, A)

    @classmethod
    def of(cls, views: list[View]) -> "Views":
        """Pad and stack."""
        def padded(rows, fill):
            width = max(map(len, rows))
            return torch.tensor([row + (fill,) * (width - len(row)) for row in rows])

        return cls(padded([view.kinds for view in views], PAD),
                   padded([view.values for view in views], -1),
                   torch.tensor([view.left for view in views]),
                   torch.tensor([view.stage for view in views]),
                   torch.tensor([view.situation for view in views], dtype=torch.float32),
                   padded([view.legal for view in views], False))


# ---------------------------------------------------------------- agent
class Agent(nn.Module):
    """A desk and a network: what is written by hand, and what learns."""

    def __init__(self, config: AgentConfig = AgentConfig(), memory=NoMemory):
        super().__init__()
        self.config, self.desk = config, Desk(config, memory)
        self.encoder = Encoder(config.width, config.layers)
        self.pointer = Pointer(config.width, config.hidden, self.desk.n_situation,
                               self.desk.first, config.offsets)

    def forward(self, views: Views) -> tuple[Tensor, Tensor]:
        """Logits (B, A) and the critic's values (B,) of what is seen."""
        return self.pointer(self.encoder(views.kinds), views)


# ---------------------------------------------------------------- watch
@dataclass(frozen=True)
class Moment:
    """One decision, for those who watch."""
    stage: Stage
    worksheet: str              # before the decision
    memory: tuple[str, ...]     # what each slot holds, "" for nothing
    options: tuple[tuple[str, float], ...]  # legal actions and their probabilities
    choice: str
    call: str = ""              # "ADD(3, 4) -> 7", if one went out
    done: bool = False
    correct: bool = False


def names(desk: Desk, state: State) -> list[str]:
    """What each action (A,) names."""
    values = [str(desk.operand(state, v)) for v in range(len(state.worksheet.values))]
    slots = [f"slot {k}" for k in range(desk.config.slots)]
    return [*desk.config.tools, "STORE", "ANSWER", *slots, *values]


def sheet_text(state: State) -> str:
    """The worksheet with the values that its tokens stand for."""
    return "".join("_" if token.kind == CROSSED else SYMBOLS[token.kind] if token.place is None
                   else bracketed(str(state.value(token.place)))
                   for token in state.worksheet.tokens)


def bracketed(text: str) -> str:
    """A value as it stands on a worksheet: in angles, if it is more than one number."""
    return text if text.isalnum() else f"⟨{text}⟩"


@torch.no_grad()
def watch(agent: Agent, problem: Problem):
    """Play a problem, the likeliest action each time; yields a Moment for every decision."""
    desk, env = agent.desk, Arithmetic(problem)
    state = desk.start(problem)
    for _ in range(env.bound):
        seen, named = desk.view(state), names(desk, state)
        logits, _ = agent(Views.of([seen]))
        p = logits[0].masked_fill(~torch.tensor(seen.legal), -torch.inf).softmax(0)
        choice, calls = int(p.argmax()), len(env.calls)
        options = tuple((n, q) for n, q, ok in zip(named, p.tolist(), seen.legal) if ok)
        known = state.stage, sheet_text(state), tuple(
            "" if value is None else str(value) for value in state.memory.slots)
        feedback = desk.act(state, choice, env)
        call = str(env.calls[-1]) if len(env.calls) > calls else ""
        yield Moment(*known, options, named[choice], call, feedback.done, feedback.correct)
        if feedback.done:
            return
