"""What tests share: an oracle that knows the tree, hand cases, random play."""

from mna.environments import Arithmetic
from mna.language import BAR, BAR_END, CLOSE, EQUALS, NEGATIVE, OPEN, SYMBOLS, Value
from mna.memory import GatedMemory
from mna.network import CROSSED, RESULT, STORED, AgentConfig, Desk, Stage

NAMES = {"+": "ADD", "-": "SUB", "*": "MUL", "/": "DIV", "=": "SUB"}


class Oracle:
    """Plays one problem. heavy_first: the best order of work, else the worst."""

    def __init__(self, problem, desk, slots=None, heavy_first=True, **options):
        self.problem, self.desk, self.heavy_first = problem, desk, heavy_first
        self.state = desk.start(problem, slots)
        self.env = Arithmetic(problem, **options)
        tokens = self.state.worksheet.tokens
        self.leaves = [token for token in tokens if token.place is not None]
        self.pay, self.choices = [], []
        self.stuck = self.done = self.correct = False

    def run(self):
        """Play to the end; stuck: a result had to be kept, and there was no room."""
        self.work(self.problem.tree)
        if not self.stuck and not self.done:
            self.act(self.desk.answer)
        return self

    def act(self, choice):
        """One decision, which must be legal."""
        if self.stuck or self.done:
            return
        assert self.desk.legal(self.state)[choice]
        feedback = self.desk.act(self.state, choice, self.env)
        self.choices.append(choice)
        self.pay.append(feedback.reward)
        self.done, self.correct = feedback.done, feedback.correct

    def point(self, token):
        """Name a value."""
        sheet = self.state.worksheet
        here = [sheet.tokens[i] for i in sheet.values]
        if not (self.stuck or self.done):
            self.act(self.desk.first + [t is token for t in here].index(True))

    def call(self, name, *tokens):
        """Call a tool; the token of its result."""
        self.point(tokens[0])
        self.act(self.desk.config.tools.index(name))
        for token in tokens[1:]:
            self.point(token)
        found = [token for token in self.state.worksheet.tokens
                 if token.place == self.desk.config.slots]
        return found[0] if found else None

    def store(self):
        """Keep the last result."""
        if not self.desk.legal(self.state)[self.desk.store]:
            self.stuck = True
        self.act(self.desk.store)
        if not self.stuck:
            self.act(self.desk.slot + self.state.memory.free[0])

    def held(self, tree):
        """(results held at once, value) of a part of the tree."""
        if isinstance(tree, int):
            return 0, self.problem.values[tree]
        sign, *parts = tree
        (held, value), *other = map(self.held, parts)
        if sign == "abs" and value.sign >= 0:
            return held, value
        if not other:
            return max(1, held), -value
        more, second = other[0]
        result = {"+": Value.__add__, "-": Value.__sub__, "=": Value.__sub__,
                  "*": Value.__mul__, "/": Value.__truediv__}[sign](value, second)
        return max(1, held, more) + (held == more > 0), result

    def work(self, tree):
        """Work a part out; the token where its value stands."""
        if isinstance(tree, int):
            return self.leaves[tree]
        sign, *parts = tree
        if len(parts) == 1:
            inner = self.work(parts[0])
            if sign == "abs" and self.held(parts[0])[1].sign >= 0:
                return inner
            return self.call("NEG", inner)
        needs = [self.held(part)[0] for part in parts]
        order = sorted((0, 1), key=lambda side: needs[side], reverse=self.heavy_first)
        tokens = {}
        for side in order:
            if tokens and needs[side] and needs[order[0]]:
                self.store()
            tokens[side] = self.work(parts[side])
        result = self.call(NAMES[sign], tokens[0], tokens[1])
        return self.call("ROOT", result) if sign == "=" else result


def solve(problem, slots=None, size=3, **options):
    """Play a problem with so many usable slots."""
    return Oracle(problem, Desk(AgentConfig(slots=size), GatedMemory), slots,
                  **options).run()


LETTERS = {OPEN: "(", CLOSE: ")", BAR: "|", BAR_END: "|", NEGATIVE: "~", EQUALS: "=",
           CROSSED: "_"} | {RESULT + k: "bzau"[k] for k in range(4)} | {
           STORED + k: "BZAU"[k] for k in range(4)}


def shown(state):
    """A worksheet in letters: n, x, results below, zero, above, unknown; stored BZAU;
    ~ a sign, _ crossed out."""
    return "".join(LETTERS.get(token.kind) or SYMBOLS[token.kind]
                   for token in state.worksheet.tokens)


def operands(desk, state):
    """The values on the worksheet."""
    return [desk.operand(state, v) for v in range(len(state.worksheet.values))]


def call(desk, state, env, name, *vs):
    """Call a tool on the worksheet's v-th values, decision by decision."""
    desk.act(state, desk.first + vs[0], env)
    feedback = desk.act(state, desk.config.tools.index(name), env)
    for v in vs[1:]:
        feedback = desk.act(state, desk.first + v, env)
    return feedback


def keep(desk, state, env, slot=0):
    """Store the last result."""
    desk.act(state, desk.store, env)
    desk.act(state, desk.slot + slot, env)


def random_play(desk, problem, rng, slots=None, store=0, **options):
    """Play legal actions at random; yields (state, choice, feedback) after each, and
    before the first one (state, None, None). store: chance of storing what waits."""
    state, env = desk.start(problem, slots), Arithmetic(problem, **options)
    yield state, None, None
    for _ in range(env.bound):
        mask = desk.legal(state)
        choice = rng.choice([a for a, legal in enumerate(mask) if legal])
        if mask[desk.store] and rng.random() < store:
            choice = desk.store
        feedback = desk.act(state, choice, env)
        yield state, choice, feedback
        if feedback.done:
            return
    assert state.stage != Stage.ANSWER


# ---- the worksheet: text, calls (store: a dot behind), what stands there after each

CASES = [
    # neighbours: the result takes the place of both and all between them
    ("3+4*5", "MUL 1 2 > n+a, ADD 0 1 > a"),
    ("3+4*5", "MUL 2 1 > n+a, ADD 1 0 > a"),
    ("(3+4)*5", "ADD 0 1 > a*n"),
    ("((3+4))*5-1", "ADD 1 0 > a*n-n"),
    ("2*(((3+4))-1)", "ADD 1 2 > n*(a-n), SUB 1 2 > n*a"),
    ("x+2=5", "SUB 1 2 > x+b"),
    ("2*x=6", "MUL 0 1 > u=n, SUB 0 1 > u, ROOT 0 > a"),
    # neighbours with brackets and bars between them
    ("|3-5|*2+1", "SUB 0 1 > |b|*n+n, MUL 0 1 > b+n"),
    ("2*|3-5|+1", "SUB 1 2 > n*|b|+n, MUL 0 1 > b+n"),
    ("2*|3-5|+1", "SUB 1 2 > n*|b|+n, MUL 1 0 > b+n"),
    ("2*(|3-5|)+1", "SUB 1 2 > n*(|b|)+n, MUL 1 0 > b+n"),
    ("|3-5|*|2-9|+1", "SUB 0 1. > |B|*|n-n|+n, SUB 1 2 > |B|*|b|+n, MUL 0 1 > a+n"),
    ("(|3-5|)*||2-9||+1", "SUB 0 1. > (|B|)*||n-n||+n, SUB 2 1 > (|B|)*a+n"),
    # others: the second operand is crossed out, nothing else changes
    ("3+4*5", "ADD 0 2 > a+n*_, MUL 0 1 > a*_"),
    ("3+4*5", "ADD 2 0 > _+n*a, ADD 0 1 > _+a"),
    ("3+(4*5)", "ADD 0 1 > a+(_*n)"),
    ("(3-9)*(4+5)", "SUB 1 2 > (n-a)*(_+n)"),
    ("3--4", "SUB 0 1 > b-~_"),
    ("3*-(4-6)", "MUL 0 2 > a*~(n-_), SUB 1 0 > _*~(b-_)"),
    # NEG undoes a sign, else bars around what is below zero, else nothing
    ("-3+4", "NEG 0 > b+n, ADD 0 1 > a"),
    ("3--4", "NEG 1 > n-b, SUB 0 1 > a"),
    ("--4+1", "NEG 0 > ~b+n, NEG 0 > a+n"),
    ("-(3-5)*2", "SUB 0 1 > ~b*n, NEG 0 > a*n"),
    ("-(-3)*2", "NEG 0 > ~b*n"),
    ("3-4", "NEG 1 > n-b, NEG 1 > n-a"),
    ("2*(3+4)", "NEG 1 > n*(b+n)"),
    ("-|3-5|+1", "SUB 0 1 > ~|b|+n, NEG 0 > ~a+n, NEG 0 > b+n"),
    ("|-3|+1", "NEG 0 > |b|+n, NEG 0 > a+n"),
    ("|3-|4-9||*2",
     "SUB 1 2 > |n-|b||*n, NEG 1 > |n-a|*n, SUB 0 1 > |b|*n, NEG 0 > a*n"),
    ("|3-5|-7", "SUB 0 1. > |B|-n, NEG 0 > a-n"),
    ("-(3-5)-7", "SUB 0 1. > ~B-n, NEG 0 > a-n"),
    # bars fall off what is known not to be below zero, and stay on others
    ("|9-4|*2", "SUB 0 1 > a*n"),
    ("|4-4|*2", "SUB 0 1 > z*n"),
    ("||4-9||*2", "SUB 0 1 > ||b||*n, NEG 0 > a*n"),
    ("|(9-4)|*2", "SUB 0 1 > a*n"),
    ("(|9-4|)*2", "SUB 0 1 > a*n"),
    ("(|4-9|)*2", "SUB 0 1 > (|b|)*n, NEG 0 > a*n"),
    ("|(4-9)|*2", "SUB 0 1 > |b|*n"),
    # a tool of one that is not NEG stays in its place
    ("x+2=5", "ROOT 0 > z+n=n"),
    ("-(x+2)=5", "ADD 0 1 > ~u=n, ROOT 0 > ~b=n"),
    ("|2-5|*x=6", "SUB 0 1 > |b|*x=n, ROOT 0 > |b|*x=n"),
    # bars around the unknown, by calls off the tree: NEG leaves the bars
    ("|3-5|*x=6", "ADD 0 2 > |u-n|*_=n, SUB 0 1 > |u|*_=n, NEG 0 > |u|*_=n"),
    # stored: another kind in the same place
    ("(1-3)*(2+x)=0", "SUB 0 1. > B*(n+x)=n, ADD 1 2 > B*u=n"),
    ("(3-3)*(2+4)", "SUB 0 1. > Z*(n+n)"), ("(3+3)*(2+4)", "ADD 0 1. > A*(n+n)"),
    ("(x+3)*(2+4)=1", "ADD 0 1. > U*(n+n)=n"),
]


def choices_of(desk, play):
    """The decisions of a case."""
    choices = []
    for move in play.split(", "):
        done, _ = move.split(" > ")
        name, *vs = done.rstrip(".").split(" ")
        left, *right = [desk.first + int(v) for v in vs]
        choices += [left, desk.config.tools.index(name), *right]
        choices += [desk.store, desk.slot] * (done[-1] == ".")
    return choices
