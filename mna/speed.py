"""The fast forms of chapter 10: the same results as the plain ones, many times sooner."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mna.environments import TOOLS
from mna.language import (
    BAR, BAR_END, CLOSE, NEGATIVE, NUMBER, OPEN, PAD, X,
)
from mna.network import (
    ABOVE, CROSSED, RESULT, STORED, UNKNOWN, ZERO, Agent, Desk, NoMemory,
    Stage,
)
from mna.curriculum import Engine
from mna.ppo import (
    Batch, PPOConfig, at, descend, log_policy, mean_of, minibatches, objective, sample,
)
from mna.batched import Problems, Values, generate


# ---------------------------------------------------------------- desks
NEVER_BELOW = torch.zeros(CROSSED + 1, dtype=torch.bool)
NEVER_BELOW[[NUMBER, RESULT + ZERO, RESULT + ABOVE, STORED + ZERO, STORED + ABOVE]] = True


def compact(kinds: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Close the gaps: what is no padding moves to the left, behind one column of padding."""
    order = (kinds == PAD).byte().argsort(dim=1, stable=True)
    kinds, place = kinds.gather(1, order), place.gather(1, order)
    return F.pad(kinds, (1, 0))[:, :-1], F.pad(place, (1, 0), value=-1)[:, :-1]


def tidy(kinds: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Take away what holds one value alone: see `Worksheet.tidy`. Both (B, L)."""
    while True:
        before, here, after = kinds[:, :-2], kinds[:, 1:-1], kinds[:, 2:]
        lone = (before == OPEN) & (after == CLOSE)
        lone |= (before == BAR) & (after == BAR_END) & NEVER_BELOW.to(here.device)[here]
        lone &= place[:, 1:-1] >= 0
        if not bool(lone.any()):
            return kinds, place
        gone = F.pad(lone, (0, 2)) | F.pad(lone, (2, 0))
        kinds, place = compact(kinds.masked_fill(gone, PAD), place.masked_fill(gone, -1))


@dataclass
class Desks:
    """B problems under way: worksheets, memories, stages, and the verifier's record.

    A place says where a value is in `table`: 0 ... K - 1 slots, K the last result, numbers.
    """
    kinds: Tensor    # (B, L) worksheets, with a column of padding at either end
    place: Tensor    # (B, L) where a token's value is; -1: it has none
    table: Tensor    # (B, K + 1 + N, 3) the values
    filled: Tensor   # (B, K) is the slot filled?
    usable: Tensor   # (B,) how many slots may be written
    waiting: Tensor  # (B,) is the last result neither used nor stored?
    stage: Tensor    # (B,)
    left: Tensor     # (B,)
    tool: Tensor     # (B,)
    failed: Tensor   # (B,) did the last call fail?
    done: Tensor     # (B,)
    correct: Tensor  # (B,)
    tasks: Tensor    # (B, M, 3) values of sub-tasks
    unpaid: Tensor   # (B, M)
    pay: Tensor      # (B,) for a sub-task
    answer: Tensor   # (B, 3)
    bound: Tensor    # (B,) decisions
    at: Tensor       # (B, V) where the values stand on the worksheet, from the left; 0: none

    @classmethod
    def start(cls, problems: Problems, desk: Desk, usable: Tensor, shaping: float = 1.0):
        """Copy B problems onto worksheets. usable: (B,) slots that may be written."""
        B, K = len(problems), desk.config.slots
        kinds, device = F.pad(problems.kinds, (1, 1)), problems.kinds.device
        is_value = (kinds == NUMBER) | (kinds == X)
        place = torch.where(is_value, is_value.cumsum(1) + K, -1)
        table = F.pad(problems.values, (0, 0, K + 1, 0))
        def row(value, dtype=torch.long):
            return torch.full((B,), value, dtype=dtype, device=device)

        def no():
            return row(False, torch.bool)

        unpaid = torch.arange(problems.tasks.shape[1], device=device) < problems.n_tasks[:, None]
        desks = cls(kinds, place, table, unpaid.new_zeros(B, K), usable, no(), row(0), row(-1),
                    row(-1), no(), no(), no(), problems.tasks, unpaid,
                    shaping / problems.n_tasks.clamp(min=1), problems.answer,
                    6 * (problems.n_tasks + 1), row(0)[:, None])
        desks.find()
        return desks

    def select(self, rows: Tensor) -> "Desks":
        """Some of the problems, without the padding that none of them needs."""
        out = Desks(*(getattr(self, f.name)[rows] for f in fields(self)))
        L = int((out.kinds != PAD).sum(1).max()) + 2
        out.kinds, out.place = out.kinds[:, :L], out.place[:, :L]
        out.at = out.at[:, :max(1, int((out.at > 0).sum(1).max()))]
        return out

    def find(self) -> None:
        """Note where the values stand."""
        there = self.place >= 0
        V = int(there.sum(1).max())
        order = (~there).byte().argsort(dim=1, stable=True)[:, :V]
        self.at = order * there.gather(1, order)

    def free(self) -> Tensor:
        """(B, K) the slots that hold nothing and may be written."""
        slot = torch.arange(self.filled.shape[1], device=self.filled.device)
        return ~self.filled & (slot < self.usable[:, None])

    def legal(self, desk: Desk) -> Tensor:
        """The action mask (B, A): see `Desk.legal`. A finished row keeps one dummy action."""
        (B, V), T, here = self.at.shape, desk.store, self.at > 0
        n, stage, free = here.sum(1), self.stage[:, None], self.free()
        out = torch.zeros(B, desk.first + V, dtype=torch.bool, device=here.device)
        arity = torch.tensor(desk.arity, device=here.device)
        out[:, :T] = (stage == Stage.TOOL) & (arity <= n[:, None])
        choosing = self.stage == Stage.CHOOSE
        out[:, desk.store] = choosing & self.waiting & free.any(1)
        out[:, desk.answer] = choosing & (n == 1)
        out[:, desk.slot:desk.first] = (stage == Stage.STORE) & free
        named = torch.arange(V, device=here.device) == self.left[:, None]
        pointing = (stage == Stage.CHOOSE) & (min(desk.arity) <= n[:, None])
        pointing |= stage == Stage.RIGHT
        out[:, desk.first:] = pointing & here & ~named
        out[:, desk.store] |= ~out.any(1)
        return out

    def situation(self, desk: Desk) -> Tensor:
        """(B, S) float: see `Desk.view`."""
        B, T, K = len(self.stage), desk.store, desk.config.slots
        kind = torch.where(self.waiting, kinds_of(self.table[:, K]) + 1, 0)
        tool = torch.where(self.tool >= 0, self.tool, T)
        ones = torch.stack((tool, T + 1 + kind, T + 6 + self.free().sum(1)), 1)
        out = torch.zeros(B, desk.n_situation, device=ones.device).scatter_(1, ones, 1)
        out[:, -1] = self.failed
        return out

    # ------------------------------------------------------------ one decision of each
    def step(self, desk: Desk, choice: Tensor, practice: bool) -> tuple[Tensor, Tensor]:
        """Carry out what was named, (B,). Returns rewards (B,) and whose worksheet changed."""
        stage, live, v = self.stage, ~self.done, choice - desk.first
        reward = torch.zeros(len(stage), device=stage.device)
        changed = torch.zeros_like(live)
        tool, slot = choice.clamp(max=desk.store - 1), choice - desk.slot
        arity = torch.tensor(desk.arity, device=stage.device)
        choosing, right = live & (stage == Stage.CHOOSE), live & (stage == Stage.RIGHT)
        named, storing = live & (stage == Stage.TOOL), live & (stage == Stage.STORE)
        stores, answers = choosing & (choice == desk.store), choosing & (choice == desk.answer)
        self.left = torch.where(choosing & (v >= 0), v, self.left)
        self.tool = torch.where(named, tool, self.tool)
        unary = named & (arity[tool] == 1)
        self.stage = torch.where(stores, Stage.STORE, torch.where(answers, Stage.ANSWER,
                     torch.where(choosing, Stage.TOOL, torch.where(named, Stage.RIGHT, stage))))
        for rows, act in ((storing, self.keep), (unary | right, self.call)):
            rows = rows.nonzero()[:, 0]
            if len(rows):
                named_ = (slot if act == self.keep else v)[rows]
                act(desk, rows, named_, reward, changed, practice)
        rows = answers.nonzero()[:, 0]
        if len(rows):
            alone = self.table[rows, self.place[rows, self.at[rows, 0]]]
            self.correct[rows] = (alone == self.answer[rows]).all(1)
            reward[rows], self.done[rows] = self.correct[rows].float(), True
        if bool(changed.any()):
            self.find()
        return reward, changed

    def keep(self, desk, rows, slot, reward, changed, practice) -> None:
        """Store the last results: the gate of these rows opens at one slot each."""
        K = desk.config.slots
        self.table[rows, slot] = self.table[rows, K]
        self.filled[rows, slot] = True
        kinds, place = self.kinds[rows], self.place[rows]
        last = place == K
        self.kinds[rows] = kinds + last * (STORED - RESULT)
        self.place[rows] = torch.where(last, slot[:, None], place)
        self.waiting[rows], self.failed[rows], changed[rows] = False, False, True
        self.stage[rows] = Stage.CHOOSE

    def call(self, desk, rows, right, reward, changed, practice) -> None:
        """Send tool calls out, and write what comes back on the worksheets."""
        K, tool, left = desk.config.slots, self.tool[rows], self.left[rows]
        arity = torch.tensor(desk.arity, device=tool.device)
        one = arity[tool] == 1
        i = self.at[rows, left]
        j = torch.where(one, i, self.at[rows, right.clamp(min=0)])
        a, b = self.place[rows, i], self.place[rows, j]
        self.stage[rows], self.left[rows], self.tool[rows] = Stage.CHOOSE, -1, -1
        lost = self.waiting[rows] & (a != K) & (b != K)
        result, ok = compute(desk, tool, self.table[rows, a], self.table[rows, b])
        works = ok & ~lost
        self.failed[rows] = torch.where(lost, self.failed[rows], ~ok)
        equal = (self.tasks[rows] == result[:, None]).all(2) & self.unpaid[rows]    # (R, M)
        paid = equal.any(1) & works
        first = equal.byte().argmax(1)
        self.unpaid[rows, first] &= ~paid
        reward[rows] = self.pay[rows] * paid
        self.done[rows] = lost | (~paid & practice)
        good = works.nonzero()[:, 0]
        if len(good):
            self.write(desk, rows[good], tool[good], i[good], j[good], result[good])
            changed[rows[good]] = True

    def write(self, desk, rows, tool, i, j, result) -> None:
        """Results take the place of their operands: see `Worksheet.write`."""
        K, r = desk.config.slots, torch.arange(len(rows), device=rows.device)
        kinds, place = self.kinds[rows], self.place[rows]
        for used in (place[r, i], place[r, j]):  # slots that were read are free
            self.filled[rows] &= torch.arange(K, device=rows.device) != used[:, None]
        self.table[rows, K], self.waiting[rows] = result, True
        start, end, apart = spans(kinds, i, j, tool == neg_of(desk))
        column = torch.arange(kinds.shape[1], device=rows.device)
        gone = (column >= start[:, None]) & (column <= end[:, None]) & ~apart[:, None]
        kinds, place = kinds.masked_fill(gone, PAD), place.masked_fill(gone, -1)
        far = apart.nonzero()[:, 0]
        kinds[far, j[far]], place[far, j[far]] = CROSSED, -1
        where = torch.where(apart, i, start)
        kinds[r, where], place[r, where] = RESULT + kinds_of(result), K
        self.kinds[rows], self.place[rows] = tidy(*compact(kinds, place))


def neg_of(desk: Desk) -> int:
    """The place of NEG among an desk's tools; -1 if it has none."""
    return desk.config.tools.index("NEG") if "NEG" in desk.config.tools else -1


def kinds_of(values: Tensor) -> Tensor:
    """BELOW, ZERO, ABOVE or UNKNOWN of linear forms (..., 3)."""
    p, q, _ = values.unbind(-1)
    return torch.where(p != 0, UNKNOWN, q.sign() + 1)


def compute(desk: Desk, tool: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Results (R, 3) of tools (R,) on values (R, 3), and whether each worked (R,)."""
    out, ok = torch.zeros_like(x), torch.zeros_like(tool, dtype=torch.bool)
    out[:, 2] = 1
    for t, name in enumerate(desk.config.tools):
        rows = (tool == t).nonzero()[:, 0]
        if len(rows):
            spec = TOOLS[name]
            operands = [Values(part[rows]) for part in (x, y)[:spec.arity]]
            result = spec.apply(*operands)
            out[rows], ok[rows] = result.forms, result.ok
    return out, ok


def spans(kinds: Tensor, i: Tensor, j: Tensor, neg: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a result takes the place of: first and last column, (R,) each; and where it can't,
    since the operands are no neighbours. i == j: there is one operand."""
    def at_(column):
        return kinds.gather(1, column.clamp(0, kinds.shape[1] - 1)[:, None])[:, 0]

    def pair(s, e):
        a, b = at_(s - 1), at_(e + 1)
        return ((a == OPEN) & (b == CLOSE)) | ((a == BAR) & (b == BAR_END))

    def reach(column):
        s = e = column
        while bool((more := pair(s, e)).any()):
            s, e = s - more.long(), e + more.long()
        return s, e

    one = i == j
    (si, ei), (sj, ej) = reach(i), reach(j)
    apart = ~one & (torch.maximum(si, sj) != torch.minimum(ei, ej) + 2)
    signed = neg & (at_(i - 1) == NEGATIVE)
    start = torch.where(one, i - signed.long(), torch.minimum(si, sj))
    return start, torch.where(one, i, torch.maximum(ei, ej)), apart


# ---------------------------------------------------------------- packed texts
def unique_rows(kinds: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows (U, L) of token kinds (B, L), and which of them each row is (B,).

    Rows are told apart by a 64-bit code, several times faster than token by token.
    """
    power = torch.arange(kinds.shape[1], device=kinds.device)
    weights = (2 * power + 1) * 0x5851F42D4C957F2D
    code = (((kinds + 1) * weights) ^ (weights >> 17)).cumsum(1)
    code = (code ^ (code >> 31)).sum(1)
    _, which = torch.unique(code, return_inverse=True)
    first = torch.zeros(int(which.max()) + 1, dtype=torch.long, device=kinds.device)
    first[which] = torch.arange(len(which), device=kinds.device)
    return kinds[first], which


@dataclass
class Texts:
    """U different worksheets of at most L tokens, P tokens in all, packed by place: the first
    tokens of all texts, then the second ones ...; the longest text comes first."""
    kinds: Tensor     # (P,)
    text: Tensor      # (P,) 0 ... U - 1
    place: Tensor     # (P,) in its text, 0 ... L - 1
    at: Tensor        # (L, U) the token at each place of each text; P: there is none
    sizes: list[int]  # (L,) how many texts have a token at each place
    length: Tensor    # (U,)
    which: Tensor     # (B,) the text of each worksheet

    @classmethod
    def of(cls, kinds: Tensor) -> "Texts":
        """Of worksheets (B, L), padded behind."""
        kinds, which = unique_rows(kinds)
        length, order = (kinds != PAD).sum(1).sort(descending=True, stable=True)
        kinds = kinds[order, :int(length[0])]
        real = kinds.T != PAD                                                        # (L, U)
        place, text = real.nonzero(as_tuple=True)
        at = (real.flatten().cumsum(0) - 1).view_as(real).where(real, len(text))
        return cls(kinds.T[real], text, place, at, real.sum(1).tolist(), length,
                   order.argsort()[which])

    def token(self, place: Tensor) -> Tensor:
        """The token at another place (P,) of each token's text; P where there is none."""
        inside = (place >= 0) & (place < len(self.at))
        at = self.at[place.clamp(0, len(self.at) - 1), self.text]
        return at.where(inside, len(self.kinds))


class Take(torch.autograd.Function):
    """Rows of x (P, D) by index (P,), zero where it is P; `back` says who takes each row."""

    @staticmethod
    def forward(ctx, x, index, back):
        ctx.back = back
        return F.pad(x, (0, 0, 0, 1)).index_select(0, index)

    @staticmethod
    def backward(ctx, grad):
        return F.pad(grad, (0, 0, 0, 1)).index_select(0, ctx.back), None, None


class Scan(torch.autograd.Function):
    """h_t = a_t * h_{t-1} + b_t from h = 0, packed by time: at time t the first sizes[t] go on.

    a, b: (P, D). One multiply-add a step forward, one backward, and no graph for the steps.
    """

    @staticmethod
    def forward(ctx, a, b, sizes):
        out, last = torch.empty_like(b), None
        for a_t, b_t, out_t in zip(a.split(sizes), b.split(sizes), out.split(sizes)):
            last = out_t.copy_(b_t) if last is None else torch.addcmul(
                b_t, a_t, last[:len(b_t)], out=out_t)
        ctx.save_for_backward(a, out)
        ctx.sizes = sizes
        return out

    @staticmethod
    def backward(ctx, grad):
        (a, out), sizes = ctx.saved_tensors, ctx.sizes
        grad, decay = grad.clone(), a.split(sizes)
        grads = grad.split(sizes)
        for t in range(len(sizes) - 1, 0, -1):  # dL/dh_{t-1} += a_t * dL/dh_t
            grads[t - 1][:sizes[t]].addcmul_(decay[t], grads[t])
        before = torch.cat([torch.zeros_like(decay[0]),
                            *(h[:n] for h, n in zip(out.split(sizes)[:-1], sizes[1:]))])
        return grad * before, grad, None


def encode(agent: Agent, texts: Texts) -> Tensor:
    """What `Encoder` makes of each token, without padding, (P, D)."""
    left, right = texts.token(texts.place - 1), texts.token(texts.place + 1)
    turn = texts.token(texts.length[texts.text] - 1 - texts.place)  # as far from the end
    x = agent.encoder.token(texts.kinds)
    for layer, near in zip(agent.encoder.layers, agent.config.layers):
        x = x + (near_layer(layer, x, left, right) if near else
                 sweep_layer(layer, x, turn, texts.sizes))
    return x


def near_layer(layer: nn.Module, x: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`Near`, packed."""
    beside = torch.cat((Take.apply(x, left, right), x, Take.apply(x, right, left)), 1)
    return F.relu(layer.mix(beside))


def sweep_layer(layer: nn.Module, x: Tensor, turn: Tensor, sizes: list[int]) -> Tensor:
    """`Sweep`, packed: the half that reads from the right is turned round, and back."""
    def turned(x: Tensor) -> Tensor:
        ahead, back = x.chunk(2, 1)
        return torch.cat((ahead, Take.apply(back, turn, turn)), 1)

    z, candidate = layer.gates(x).chunk(2, 1)
    z = torch.sigmoid(z)
    h = Scan.apply(turned(1 - z), turned(z * torch.tanh(candidate)), sizes)
    return layer.out(turned(h))


# ---------------------------------------------------------------- heads
def read(agent: Agent, kinds: Tensor, at_: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Read worksheets (E, L), whose values stand at (E, V) (-1: none there).

    Returns a table of keys (P + 1, D), the last one zero; rows of it (E, V); texts (U, D);
    and which text each worksheet is, (E,).
    """
    texts = Texts.of(kinds)
    x, U = encode(agent, texts), len(texts.length)
    total = x.new_zeros(U, x.shape[1]).index_add(0, texts.text, x) / texts.length[:, None]
    rows = texts.at[at_.clamp(0, len(texts.at) - 1), texts.which[:, None]]
    table = F.pad(agent.pointer.key(x), (0, 0, 0, 1))
    return (table, rows.where(at_ >= 0, len(x)), torch.tanh(agent.pointer.text(total)),
            texts.which)


# ---------------------------------------------------------------- play
@dataclass
class Rollout:
    """M decisions of B problems, E worksheets read on the way."""
    kinds: Tensor      # (E, L) worksheets
    values: Tensor     # (E, V) where their values stand; -1: none
    problem: Tensor    # (M,) whose decision
    time: Tensor       # (M,)
    sheet: Tensor      # (M,) the worksheet that was read
    left: Tensor       # (M,)
    stage: Tensor      # (M,)
    situation: Tensor  # (M, S)
    legal: Tensor      # (M, A)
    choice: Tensor     # (M,)
    log_prob: Tensor   # (M,)
    value: Tensor      # (M,)
    reward: Tensor     # (M,)
    correct: Tensor    # (B,)

    @property
    def decisions(self) -> int:
        return len(self.choice)


@torch.inference_mode()
def play(agent: Agent, problems: Problems, rng: torch.Generator | None = None, *,
         greedy: bool = False, uniform: bool = False, practice: bool = False,
         shaping: float = 1.0, slots: Tensor | None = None,
         keep: bool = True) -> Rollout | Tensor:
    """`mna.ppo.play`, all problems at once. keep: False returns only who was right, (B,)."""
    B, device = len(problems.numbers), problems.kinds.device
    usable = torch.full((B,), agent.config.slots, device=device) if slots is None else slots
    usable = usable * (agent.desk.memory is not NoMemory)
    desks = Desks.start(problems, agent.desk, usable, shaping)
    rows, correct = torch.arange(B, device=device), torch.zeros(B, dtype=torch.bool, device=device)
    changed, sheet = torch.ones_like(correct), torch.zeros_like(rows)
    keys = text = None
    sheets, notes, n_sheets, t = [], [], 0, 0
    while True:
        live = ~desks.done
        if not bool(live.any()):
            break
        if int(live.sum()) < 0.7 * len(rows):
            correct[rows] = desks.correct
            desks, rows, sheet = desks.select(live), rows[live], sheet[live]
            changed, keys, text, live = changed[live], keys[live], text[live], live[live]
        todo, V = (changed & live).nonzero()[:, 0], desks.at.shape[1]
        if keys is None:
            keys = torch.zeros(len(rows), V, agent.config.width, device=device)
            text = keys[:, 0].clone()
        keys = keys[:, :V].contiguous() if keys.shape[1] > V else F.pad(
            keys, (0, 0, 0, V - keys.shape[1]))
        if len(todo):
            kinds, where = desks.kinds[todo, 1:], desks.at[todo] - 1
            table, index, texts, which = read(agent, kinds, where)
            keys[todo], text[todo] = table[index], texts[which]
            sheet[todo] = torch.arange(n_sheets, n_sheets + len(todo), device=device)
            n_sheets += len(todo)
            if keep:
                sheets.append((kinds.to(torch.int8), where.to(torch.int16)))
        legal, situation = desks.legal(agent.desk), desks.situation(agent.desk)
        stage, left = desks.stage.clamp(max=Stage.STORE), desks.left  # done rows: any
        logits, value = agent.pointer.decide(keys, text, left, stage, situation)
        log_p = log_policy(logits * (not uniform), legal)
        choice = log_p.argmax(1) if greedy else sample(log_p, rng)
        reward, changed = desks.step(agent.desk, choice, practice)
        if keep:
            notes.append([part[live] for part in (
                rows, torch.full_like(rows, t), sheet, left, stage, situation, legal, choice,
                at(log_p, choice), value, reward)])
        t += 1
        desks.done |= t >= desks.bound
    correct[rows] = desks.correct
    return gather_up(sheets, notes, correct) if keep else correct


def gather_up(sheets: list, notes: list, correct: Tensor) -> Rollout:
    """Join what was noted in each turn, padded to one width."""
    def joined(parts, fill):
        width = max(part.shape[1] for part in parts)
        return torch.cat([F.pad(p, (0, width - p.shape[1]), value=fill) for p in parts])

    kinds, values = zip(*sheets)
    columns = list(zip(*notes))
    legal = joined(columns[6], False)
    rest = [torch.cat(c) for k, c in enumerate(columns) if k != 6]
    return Rollout(joined(kinds, PAD).long(), joined(values, -1).long(), *rest[:6], legal,
                   *rest[6:], correct)


# ---------------------------------------------------------------- update
def advantages(r: Rollout, gamma: float, gae_lambda: float) -> Tensor:
    """`mna.ppo.advantages` of all episodes at once, (M,)."""
    T, B = int(r.time.max()) + 1, len(r.correct)
    reward = r.reward.new_zeros(T, B).index_put((r.time, r.problem), r.reward)
    value = r.value.new_zeros(T, B).index_put((r.time, r.problem), r.value)
    out, last, next_value = torch.zeros_like(reward), 0, 0
    for t in range(T - 1, -1, -1):
        delta = reward[t] + gamma * next_value - value[t]
        last = delta + gamma * gae_lambda * last
        out[t], next_value = last, value[t]
    return out[r.time, r.problem]


def part(r: Rollout, rows: Tensor, advantage: Tensor, returns: Tensor, A: int) -> Batch:
    """Some decisions (M,) of a rollout, as `objective` takes them."""
    return Batch(r.legal[rows, :A], r.choice[rows], r.log_prob[rows], advantage[rows],
                 returns[rows])


def look(agent: Agent, r: Rollout, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (M, A) and values (M,) of some decisions, each of their worksheets read once."""
    used, sheet = r.sheet[rows].unique(return_inverse=True)
    where, kinds = r.values[used], r.kinds[used]
    where = where[:, :max(1, int((where >= 0).sum(1).max()))]
    kinds = kinds[:, :int((kinds != PAD).sum(1).max())]
    table, index, texts, which = read(agent, kinds, where)
    keys = table.index_select(0, index.index_select(0, sheet).flatten())
    text = texts.index_select(0, which.index_select(0, sheet))
    keys = keys.view(len(rows), where.shape[1], -1)
    return agent.pointer.decide(keys, text, r.left[rows], r.stage[rows], r.situation[rows])


def update(agent: Agent, optimizer, r: Rollout, config: PPOConfig, share: float = 1.0,
           rng: torch.Generator | None = None) -> dict[str, float]:
    """`mna.ppo.update`: the same minibatches, each worksheet read once."""
    advantage = advantages(r, config.gamma, config.gae_lambda)
    returns = advantage + r.value
    spread, mean = torch.std_mean(advantage, correction=0)
    advantage, metrics = (advantage - mean) / (spread + 1e-8), []
    lengths = torch.bincount(r.problem, minlength=len(r.correct)).tolist()
    for chosen in minibatches(lengths, config, rng):
        picked = torch.zeros_like(r.correct)
        picked[chosen.to(picked.device)] = True
        rows = picked[r.problem].nonzero()[:, 0]
        logits, value = look(agent, r, rows)
        b = part(r, rows, advantage, returns, logits.shape[1])
        loss, told = objective(b, logits, value, config, share)
        descend(agent, optimizer, loss, config.max_grad_norm)
        metrics.append(told)
    return mean_of(metrics)


FAST = Engine("fast", generate, lambda problems: problems.need, play,
              lambda r: (r.correct, r.decisions), update)
