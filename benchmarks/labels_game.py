"""A calculator without labels, many episodes at once; and four policies that are written by hand.

The plain form of the same game is `mna.labels.Unlabelled`; tests hold the two against each other.
Everything is an array over B episodes (numpy); there is no Python loop over episodes.
"""

import random
import zlib
from dataclasses import dataclass
from itertools import permutations

import numpy as np

PAD, NUMBER, RESULT, PLUS, MINUS, TIMES, OVER, OPEN, CLOSE = range(9)  # tokens
N_TOKENS, L, PLACES, WINDOW = 9, 11, 3, 7  # L: four numbers, three signs, two pairs of parentheses
CLEAR, ANSWER, ACTIONS = 12, 13, 14        # action 4k + b presses button b at the k-th sign
ERROR, SHOWN = 108, 109                    # what a press can show: 3 * 3 * 3 * 2 * 2 comparisons, or an error
NEW, PRESSED, CLEARED, NEXT = range(4)     # what happened last; NEXT: a problem after the first
PERMUTATIONS = np.array(list(permutations(range(4))))
PRIORITY = np.array([0, 0, 0, 1, 1, 2, 2, 0, 0])  # of tokens; only signs bind


# ---------------------------------------------------------------- problems
def tree(n: int, dice: random.Random):
    """A random expression of n numbers: a number, or (sign, left, right)."""
    if n == 1:
        return float(dice.randint(1, 20))
    k = dice.randint(1, n - 1)
    return dice.randrange(4), tree(k, dice), tree(n - k, dice)


def write(part, tokens: list[int], values: list[float]) -> float | None:
    """Append a part with the parentheses that it needs; its value, None after a division by zero."""
    if not isinstance(part, tuple):
        tokens.append(NUMBER)
        values.append(part)
        return part

    def put(token):
        tokens.append(token)
        values.append(0.0)

    def side(inner, wrap):
        if wrap:
            put(OPEN)
        found = write(inner, tokens, values)
        if wrap:
            put(CLOSE)
        return found

    sign, left, right = part
    binds = [inner[0] // 2 if isinstance(inner, tuple) else 9 for inner in (left, right)]
    x = side(left, binds[0] < sign // 2)
    put(PLUS + sign)
    y = side(right, binds[1] <= sign // 2)
    if x is None or y is None or (sign == 3 and abs(y) < 1e-9):
        return None
    return (x + y, x - y, x * y, x / y if sign == 3 else 0.0)[sign]


def is_held_out(tokens: list[int]) -> bool:
    """Is this structure kept for exams? A fifth of those with four numbers is."""
    return tokens.count(NUMBER) == 4 and zlib.crc32(bytes(tokens)) % 5 == 0


@dataclass(frozen=True)
class Pool:
    """N problems: tokens (N, L), values (N, L), answers (N,), counts of numbers (N,), structures (N,)."""

    tokens: np.ndarray
    values: np.ndarray
    answers: np.ndarray
    counts: np.ndarray
    structures: np.ndarray  # a number for each different row of tokens


def pool(n: int, split: str, seed: int) -> Pool:
    """n problems of 2, 3 and 4 numbers in turns; with four, only structures of the split."""
    dice, rows = random.Random(seed), []
    while len(rows) < n:
        count, tokens, values = 2 + len(rows) % 3, [], []
        answer = write(tree(count, dice), tokens, values)
        if answer is None or (count == 4 and is_held_out(tokens) != (split == "test")):
            continue
        rest = [0] * (L - len(tokens))
        rows.append((tokens + rest, values + rest, answer, count))
    tokens, values, answers, counts = (np.array(column) for column in zip(*rows, strict=True))
    _, structures = np.unique(tokens, axis=0, return_inverse=True)
    return Pool(tokens, values, answers, counts, structures.reshape(-1))


# ---------------------------------------------------------------- the game
def compared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """0 below, 1 equal, 2 above."""
    return np.where(np.abs(a - b) <= 1e-9 * (1 + np.abs(b)), 1, np.where(a > b, 2, 0))


def shown(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> np.ndarray:
    """All that is seen of a result r of x and y, as a code below ERROR."""
    far = np.abs(r) > 2 * np.maximum(np.abs(x), np.abs(y)) + 1e-9
    whole = np.abs(r - np.round(r)) < 1e-9 * (1 + np.abs(r))
    return compared(r, 0 * r) + 3 * compared(r, x) + 9 * compared(r, y) + 27 * far + 54 * whole


@dataclass(frozen=True)
class Seen:
    """What a policy sees at a decision of B episodes."""

    windows: np.ndarray  # (B, 4, WINDOW) tokens around each sign, and around the last one pressed
    legal: np.ndarray    # (B, ACTIONS)
    event: np.ndarray    # (B,) a code of what was shown, or SHOWN + what else happened last
    button: np.ndarray   # (B, 4) 1: this button was pressed, or taken back, just now
    left: np.ndarray     # (B,) decisions that are left
    pending: np.ndarray  # (B,) can the last press be taken back?
    count: np.ndarray    # (B,) numbers of the problem


class Game:
    """B episodes of some rounds (problems); the buttons are mixed anew for each episode."""

    def __init__(self, problems: Pool, B: int, rng: np.random.Generator, rounds: int = 3,
                 share: float = 0.5, cost: float = 0.01, slack: int = 6):
        self.problems, self.B, self.rng, self.rounds = problems, B, rng, rounds
        self.share, self.cost, self.slack = share, cost, slack  # paid for all sub-results; price of a decision
        whole, real, yes = ((lambda *s, t=t: np.zeros((B, *s), t)) for t in (int, float, bool))
        self.tokens, self.old_tokens, self.values, self.old_values = whole(L), whole(L), real(L), real(L)
        self.answer, self.count, self.structure, self.left = real(), whole(), whole(), whole()
        self.round, self.buttons, self.window = whole(), whole(4), whole(WINDOW)
        self.pending, self.error, self.good, self.old_good = yes(), yes(), yes(), yes()
        self.code, self.last, self.happened = whole(), whole(), whole()
        self.presses, self.rows = whole(), np.arange(B)
        self.begin(self.rows, self.rows)

    def begin(self, rows: np.ndarray, episodes: np.ndarray) -> None:
        """A new problem in these rows; in those of `episodes` new buttons too."""
        p, i = self.problems, self.rng.integers(len(self.problems.answers), size=len(rows))
        self.tokens[rows], self.values[rows], self.answer[rows] = p.tokens[i], p.values[i], p.answers[i]
        self.count[rows], self.structure[rows] = p.counts[i], p.structures[i]
        self.left[rows] = self.slack + 3 * (p.counts[i] - 1)
        self.pending[rows] = self.error[rows] = False
        self.good[rows], self.presses[rows] = True, 0
        self.mix(episodes)
        self.round[episodes] = 0

    def mix(self, rows: np.ndarray) -> None:
        """Other tools behind the buttons. buttons[i, b]: the tool of button b in episode i."""
        self.buttons[rows] = PERMUTATIONS[self.rng.integers(24, size=len(rows))]

    def signs(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the first PLACES signs stand (B, PLACES), and whether there are so many."""
        sign = (self.tokens >= PLUS) & (self.tokens <= OVER)
        at = np.argsort(~sign, 1, kind="stable")[:, :PLACES]
        return at, np.take_along_axis(sign, at, 1)

    def see(self) -> Seen:
        at, there = self.signs()
        padded = np.pad(self.tokens, ((0, 0), (3, 3)))
        around = padded[self.rows[:, None, None], at[:, :, None] + np.arange(WINDOW)] * there[:, :, None]
        sides = (around[:, :, [2, 4]] == NUMBER) | (around[:, :, [2, 4]] == RESULT)
        legal = np.zeros((self.B, ACTIONS), bool)
        legal[:, :12] = np.repeat(there & sides.all(2) & ~self.error[:, None], 4, 1)
        legal[:, CLEAR] = self.pending
        legal[:, ANSWER] = self.pending & ~there.any(1) & ~self.error
        pressed = self.happened == PRESSED
        button = (pressed | (self.happened == CLEARED))[:, None] & (self.last[:, None] == np.arange(4))
        event = np.where(pressed, self.code, SHOWN + self.happened)
        return Seen(np.concatenate((around, self.window[:, None]), 1), legal, event, button.astype(np.float32),
                    self.left.copy(), self.pending.copy(), self.count)

    def press(self, i: np.ndarray, action: np.ndarray) -> None:
        """Rows i press a button: the result takes the place of both numbers and of parentheses around them."""
        q, b, m = self.signs()[0][i, action // 4], action % 4, np.arange(len(i))
        self.old_tokens[i], self.old_values[i], self.old_good[i] = self.tokens[i], self.values[i], self.good[i]
        tokens, values, tool = self.tokens[i], self.values[i], self.buttons[i, b]
        around = np.pad(tokens, ((0, 0), (3, 3)))[m[:, None], q[:, None] + np.arange(WINDOW)]
        x, y, sign = values[m, q - 1], values[m, q + 1], tokens[m, q]
        error = (tool == 3) & (np.abs(y) < 1e-9)
        ratio = x / np.where(np.abs(y) < 1e-9, 1, y)
        result = np.select([tool == 0, tool == 1, tool == 2], [x + y, x - y, x * y], ratio)
        self.code[i] = np.where(error, ERROR, shown(x, y, result))
        tokens[m, q - 1], values[m, q - 1] = RESULT, result
        gone = np.zeros_like(tokens, bool)
        gone[m, q] = gone[m, q + 1] = True
        inside = (around[:, 1] == OPEN) & (around[:, 5] == CLOSE)
        gone[m[inside], q[inside] - 2] = gone[m[inside], q[inside] + 2] = True
        order = np.argsort(gone | (tokens == PAD), 1, kind="stable")
        tokens = np.where(gone, PAD, tokens)
        self.tokens[i], self.values[i] = np.take_along_axis(tokens, order, 1), np.take_along_axis(values, order, 1)
        self.good[i] &= is_next(around) & (tool == sign - PLUS)  # by the book; never shown
        self.window[i], self.last[i], self.pending[i], self.error[i] = around, b, True, error
        self.happened[i] = PRESSED
        self.presses[i] += 1

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict]:
        """One legal action in each episode. Returns reward (B,), episode over (B,), and of problems that are over
        now: rows, round, count, structure, right, presses."""
        reward = np.full(self.B, -self.cost)
        self.left -= 1
        worth = self.share / (self.count - 1)
        i = np.nonzero(action < CLEAR)[0]
        self.press(i, action[i])
        reward[i] += worth[i] * self.good[i]
        c = np.nonzero(action == CLEAR)[0]
        reward[c] -= worth[c] * self.good[c]  # paid for a press, and taken back with it
        self.tokens[c], self.values[c], self.good[c] = self.old_tokens[c], self.old_values[c], self.old_good[c]
        self.pending[c] = self.error[c] = False
        self.happened[c] = CLEARED
        answered = action == ANSWER
        right = answered & (compared(self.values[:, 0], self.answer) == 1)
        reward += right
        over = np.nonzero(answered | (self.left <= 0))[0]
        told = dict(rows=over, round=self.round[over], count=self.count[over], structure=self.structure[over],
                    right=right[over], presses=self.presses[over])
        done = np.zeros(self.B, bool)
        done[over] = self.round[over] == self.rounds - 1
        self.round[over] += 1
        self.happened[over] = np.where(done[over], NEW, NEXT)
        self.begin(over, np.nonzero(done)[0])
        return reward, done, told


def is_next(around: np.ndarray) -> np.ndarray:
    """Is the sign in the middle of each window (..., WINDOW) next by the rules? It stands between values."""
    before, sign, after = (PRIORITY[around[..., k]] for k in (1, 3, 5))
    return (before < sign) & (after <= sign)


def tally(game: Game, act, episodes: int, observe=None) -> dict[str, np.ndarray]:
    """Play the first so many episodes (as many in each row). act(game, seen) -> actions; observe(game, done).

    Returns, for each problem: round, count, structure, right, presses."""
    each, found = -(-episodes // game.B), []
    begun = np.zeros(game.B, int)
    while begun.min() < each:
        _, done, told = game.step(act(game, game.see()))
        if observe:
            observe(game, done)
        wanted = begun[told.pop("rows")] < each
        found.append({k: v[wanted] for k, v in told.items()})
        begun += done
    return {k: np.concatenate([part[k] for part in found]) for k in found[0]}


def text_of(tokens, values) -> str:
    """A worksheet as text."""
    signs = {PAD: "", PLUS: "+", MINUS: "-", TIMES: "*", OVER: "/", OPEN: "(", CLOSE: ")"}
    return "".join(signs.get(t, f"{v:.4g}") for t, v in zip(tokens, values))


# ---------------------------------------------------------------- written by hand
def at_random(game: Game, seen: Seen) -> np.ndarray:
    """Any legal action."""
    return (game.rng.random(seen.legal.shape) * seen.legal).argmax(1)


def ready(seen: Seen) -> np.ndarray:
    """(B, PLACES) Is this sign next by the rules, with a value on either side?"""
    return seen.legal[:, :12:4] & is_next(seen.windows[:, :PLACES])


def by_labels(game: Game, seen: Seen) -> np.ndarray:
    """Parse right, and press as if the buttons were ADD, SUB, MUL, DIV in this order."""
    k = ready(seen).argmax(1)
    sign = seen.windows[game.rows, k, 3] - PLUS
    return np.where(seen.legal[:, ANSWER], ANSWER, np.where(game.error, CLEAR, 4 * k + sign))


def likelihoods(problems: Pool, seed: int = 5, steps: int = 3000, B: int = 256) -> np.ndarray:
    """(4, 2, 2, SHOWN) How often a tool shows a code, for each operand being a result or not; by random play."""
    game = Game(problems, B, np.random.default_rng(seed))
    counts = np.full((4, 2, 2, SHOWN), 1e-3)
    for _ in range(steps):
        buttons = game.buttons.copy()
        game.step(at_random(game, game.see()))
        p = np.nonzero(game.happened == PRESSED)[0]
        x, y = (game.window[p][:, [2, 4]] == RESULT).T.astype(int)
        np.add.at(counts, (buttons[p, game.last[p]], x, y, game.code[p]), 1)
    return counts / counts.sum(-1, keepdims=True)


class Identify:
    """Keeps the odds of all 24 permutations (Bayes); presses the likeliest button at a sign that is next, and takes
    the press back where another button is likelier now. forget: the odds last for one press only."""

    def __init__(self, B: int, chances: np.ndarray, forget: bool = False):
        self.chances, self.forget, self.rows = chances, forget, np.arange(B)
        self.odds = np.full((B, 24), 1 / 24)
        self.tried = np.zeros((B, 4), bool)  # at this worksheet
        self.sign = np.zeros(B, int)         # that the last press was for
        self.pressed = np.zeros(B, bool)

    def beliefs(self) -> np.ndarray:
        """(B, 4, 4) How likely each button is each tool."""
        table = np.zeros((24, 4, 4))
        table[np.arange(24)[:, None], np.arange(4), PERMUTATIONS] = 1
        return np.einsum("bp,pkt->bkt", self.odds, table)

    def act(self, game: Game, seen: Seen) -> np.ndarray:
        belief, rows = self.beliefs(), self.rows
        sign = np.clip(seen.windows[:, :PLACES, 3] - PLUS, 0, 3)
        score = np.where(ready(seen)[:, :, None], belief.transpose(0, 2, 1)[rows[:, None], sign], -1.0)
        score += 1e-6 * game.rng.random(score.shape)
        fits = belief[rows, :, self.sign]
        p, other = fits[rows, game.last], np.where(self.tried, -1, fits).max(1)
        wrong = game.error | (p < 1e-2) | ((p < 0.5) & (other > 1e-2) & (p < other))
        back = seen.pending & (game.happened == PRESSED) & wrong
        action = np.where(back, CLEAR, np.where(seen.legal[:, ANSWER], ANSWER, score.reshape(-1, 12).argmax(1)))
        self.pressed = action < CLEAR
        i = self.pressed
        self.sign[i] = sign[rows[i], action[i] // 4]
        self.tried[i & (game.happened != CLEARED)] = False
        self.tried[rows[i], action[i] % 4] |= i[i]
        return action

    def observe(self, game: Game, done: np.ndarray) -> None:
        if self.forget:
            self.odds[:], self.tried[:] = 1 / 24, False
        i = np.nonzero(self.pressed & (game.happened == PRESSED))[0]
        x, y = (game.window[i][:, [2, 4]] == RESULT).T.astype(int)
        chance = self.chances[:, x, y, game.code[i]].T  # (n, tool)
        self.odds[i] *= chance[np.arange(len(i))[:, None], PERMUTATIONS.T[game.last[i]]]
        self.odds /= self.odds.sum(1, keepdims=True)
        self.odds[done] = 1 / 24
        self.tried[done | (game.happened == NEXT)] = False
