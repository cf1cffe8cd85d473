"""Checks of the exercises: `check("2.1", answer)` says whether an answer is right."""

# A check is a function of the answer. It returns None where the answer is right, else
# one sentence that says what is wrong. It may raise: `check` tells that in a sentence
# too. Each chapter has a section of its own below, in the order of the chapters.
# (A longer docstring above would be copied into mna/__init__.py by nbdev-export.)

from collections.abc import Callable

from mna.language import MNAError

CHECKS: dict[str, Callable[[object], str | None]] = {}


class Verdict(str):
    """What a check says. It is printed, so that a notebook need not show it again."""

    def _ipython_display_(self) -> None:
        pass


def check_for(exercise: str) -> Callable:
    """A decorator for the function that checks this exercise, such as "2.1"."""

    def register(judge: Callable[[object], str | None]) -> Callable:
        if exercise in CHECKS:
            raise MNAError(f"exercise {exercise!r} has a check; give this another id")
        CHECKS[exercise] = judge
        return judge

    return register


def check(exercise: str, answer: object) -> Verdict:
    """Print and return "passed", or a sentence that says why not.

    Raises MNAError for an exercise that does not exist; nothing that the answer raises.
    """
    if exercise not in CHECKS:
        known = ", ".join(CHECKS) or "none yet"
        raise MNAError(f"there is no exercise {exercise!r}; exercises: {known}")
    try:
        said = CHECKS[exercise](answer) or "passed"
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or "without a message"
        said = f"checking the answer raised {type(error).__name__}: {reason}"
    print(said)
    return Verdict(said)


# ---------------------------------------------------------------- 0 First contact


@check_for("0.1")
def share_by_luck(answer):
    if answer is None:
        return "no answer yet: give a share, a number between 0 and 1"
    if abs(answer - 5 / 18) > 0.002:
        return f"{answer} is not it; for which operators does the order matter?"


@check_for("0.2")
def is_clipped(gain):
    cases = ((1.5, 2, 2.4), (0.5, 2, 1), (0.5, -1, -0.8), (1.5, -1, -1.5))
    for ratio, advantage, wanted in cases:
        if abs((found := gain(ratio, advantage)) - wanted) > 1e-6:
            return f"ratio {ratio}, advantage {advantage}: {found}, and not {wanted}"


@check_for("0.3")
def is_solved(state):
    if state.answer != -15 or state.slots != 1:
        return "this is another problem; solve 7*3+4-5*8 with one slot"
    if not state.right:
        return "a result was lost on the way" if state.lost else "it is not solved yet"


@check_for("0.4")
def gives_each_action_its_own(advantages):
    episode = [(0.5, 0.0), (0.2, 0.5), (0.4, 1.0)]  # value, reward
    for gae_lambda, wanted in ((0.0, (-0.3, 0.7, 0.6)), (1.0, (1.0, 1.3, 0.6))):
        found = advantages(episode, gae_lambda)
        if max(abs(a - b) for a, b in zip(found, wanted, strict=True)) > 1e-6:
            said = [round(a, 3) for a in found]
            return (f"values 0.5, 0.2, 0.4 and rewards 0, 0.5, 1 give {said} with "
                    f"gae_lambda={gae_lambda}; which is the first action's?")


@check_for("0.5")
def needs_two_slots(text):
    from mna.language import parse, slots_needed

    problem = parse(text)
    if not set(text) <= set("0123456789+-*() "):
        return "use numbers, + - * and parentheses only"
    if (slots := slots_needed(problem)) < 2:
        return f"its best order of work needs {slots} slot{'s' * (slots != 1)}, not two"


@check_for("0.6")
def a_plot_of_failures(ax):
    if not ax.lines or len(ax.lines[0].get_xdata()) < 3:
        return "the axes have no line of three points: no, one and two pairs"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    y = list(ax.lines[0].get_ydata())
    if not (1 < max(y) <= 100 and min(y) >= 0):
        return "draw percent: the shares are between 0 and 100"


# ---------------------------------------------------------------- 1 Environments


@check_for("1.1")
def pay_by_value(pay):
    if len(pay) != 3:
        return f"{len(pay)} payments were given; two calls and an answer make three"
    if [float(part) for part in pay] != [0.5, 0.5, 1.0]:
        return f"{pay} is not what is paid; play it, and look at each reward"


@check_for("1.2")
def looks_at_the_result(play_bars):
    from mna.environments import Arithmetic
    from mna.language import parse

    for text in ("|5-3|*2", "|3-5|*2", "|4-4|*7", "|1-9|*1"):
        env = Arithmetic(parse(text))
        if not play_bars(env).correct:
            return f"{text} is {env.problem.answer}, and {env.given} was answered"


@check_for("1.3")
def each_value_as_often_as_it_is_there(legal_calls):
    from mna.environments import Arithmetic
    from mna.language import parse

    for text, count in (("2+3", 12), ("3*3", 12), ("7", 2), ("2*(3+4)", 30)):
        if len(found := legal_calls(Arithmetic(parse(text)))) != count:
            return f"{len(found)} calls were listed for {text}, and there are {count}"


@check_for("1.4")
def multiplies_and_adds(tool):
    from mna.language import Value

    if tool.arity != 3:
        return f"the tool takes {tool.arity} values; x*y + z needs three"
    for x, y, z in ((2, 3, 4), (-1, 5, 5), (7, 0, 2)):
        if (found := tool.apply(*map(Value.of, (x, y, z)))) != Value.of(x * y + z):
            return f"of {x}, {y} and {z} it makes {found}; it should be {x * y + z}"


@check_for("1.5")
def a_plot_of_luck(ax):
    if not ax.lines or len(ax.lines[0].get_xdata()) < 4:
        return "the axes have no line of four points or more"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    x, y = ax.lines[0].get_xdata(), ax.lines[0].get_ydata()
    if not (min(x) >= 0 and 0.4 <= max(x) <= 0.8):
        return "take values of flaky from 0 to between 0.4 and 0.8"
    if not all(5 <= share <= 30 for share in y):
        return "one share is far from what luck reaches on expr2; are they percent?"


@check_for("1.6")
def plans_by_hand(planner):
    import random
    from itertools import permutations

    from mna.environments import TOOLS, Arithmetic
    from mna.problems import draw

    right, rng = 0, random.Random(16)
    for _ in range(40):
        env = Arithmetic(draw("expr4", rng))
        for _ in range(env.bound):
            choices = [(tool.name, *values) for tool in TOOLS.values()
                       for values in permutations(env.live.elements(), tool.arity)]
            if env.live.total() == 1:
                choices.append(("ANSWER", *env.live))
            name, *values = planner(env, choices)
            if name == "ANSWER":
                right += env.answer(*values).correct
                break
            env.call(name, *values)
    if right < 20:
        return f"{right} of 40 problems of expr4 are right; half of them are wanted"


# ---------------------------------------------------------------- 2 Network


@check_for("2.1")
def three_rows(rows):
    right = "7+(_*5)-6", "3*4", "2*3"
    wrong = [name for name, told, row in zip("abc", rows, right, strict=True)
             if "".join(told.split()) != row]
    if wrong:
        return f"{' and '.join(wrong)}: read rules 1 to 3 of the worksheet again"


@check_for("2.2")
def only_what_is_legal(policy):
    import torch

    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 900.0, 0.0]])
    legal = torch.tensor([[True, True, False], [True, False, True]])
    p = policy(logits, legal)
    if p[~legal].any():
        return "an illegal action has a probability; it must be exactly 0"
    if not torch.allclose(p.sum(1), torch.ones(2)):
        return "a row of probabilities does not sum to 1"
    wanted = torch.tensor([[0.2689, 0.7311, 0.0], [0.5, 0.0, 0.5]])
    if not torch.allclose(p, wanted, atol=1e-3):
        return "it is no softmax of the legal logits: an illegal one has a say"


@check_for("2.3")
def padding_is_not_read(sweep):
    import torch

    draws = torch.Generator().manual_seed(0)
    z, candidate = torch.rand(2, 2, 6, 3, generator=draws)
    real = torch.arange(6) < torch.tensor([[6], [4]])
    h = sweep(z, candidate, real)
    alone = sweep(z[1:, :4], candidate[1:, :4], real[1:, :4])
    if not torch.allclose(h[1, :4], alone[0], atol=1e-6):
        return "row 1 alone gives another result: what does its padding leave behind?"
    last, state = z[0, 5] * candidate[0, 5], z[0, 5] * candidate[0, 5]
    state = (1 - z[0, 4]) * last + z[0, 4] * candidate[0, 4]
    if not torch.allclose(h[0, 4:], torch.stack((state, last)), atol=1e-6):
        return "a row without padding came out wrong; it was right before"


@check_for("2.4")
def can_square(agent):
    config, arity = agent.config, agent.desk.arity
    if "SQUARE" not in config.tools:
        return f"the agent's tools are {', '.join(config.tools)}; add SQUARE"
    if arity[config.tools.index("SQUARE")] != 1:
        return "SQUARE takes one value: its arity is 1"
    if (config.width, config.hidden, config.slots, len(config.tools)) != (32, 64, 0, 7):
        return "keep the six tools and the sizes of new_agent()"


@check_for("2.5")
def three_bars(ax):
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    if len(ax.patches) != 3 or names != ["CHOOSE", "TOOL", "RIGHT"]:
        return "draw three bars, named CHOOSE, TOOL and RIGHT"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    if not all(50 < bar.get_height() <= 100 for bar in ax.patches):
        return "a bar is not between 50 and 100; is it percent, of the trained one?"


@check_for("2.6")
def reads_a_row(make):
    import torch

    torch.manual_seed(0)
    kinds = torch.tensor([[1, 3, 1, 5, 1], [1, 5, 1, 3, 1], [1, 3, 1, 0, 0]])
    encoder = make(16)
    x = encoder(kinds)
    if tuple(x.shape) != (3, 5, 16):
        return f"its output is {tuple(x.shape)}; for kinds (3, 5) make it (3, 5, 16)"
    if x[2, 3:].any():
        return "it is not zero at the padding"
    if not torch.allclose(x[2, :3], encoder(kinds[2:, :3])[0], atol=1e-5):
        return "a row says something else beside longer ones: padding is read"
    if torch.allclose(x[0, 2], x[1, 2], atol=1e-5):
        return "it can't tell left from right: 1+2*3 and 1*2+3 look alike to the 2"


# ---------------------------------------------------------------- 3 Memory


@check_for("3.1")
def counts_slots(slots):
    right = 0, 1, 2, 1
    wrong = [name for name, told, count in zip("abcd", slots, right, strict=True)
             if told != count]
    if wrong:
        return f"{' and '.join(wrong)}: count which results must wait for another one"


@check_for("3.2")
def most_slots(worst_case):
    right = {1: 0, 2: 0, 3: 0, 4: 1, 7: 1, 8: 2, 15: 2, 16: 3, 31: 3, 32: 4, 64: 5}
    wrong = [n for n, slots in right.items() if worst_case(n) != slots]
    if wrong:
        return f"it is wrong for {wrong[0]} numbers; {right[wrong[0]]} is the most"


@check_for("3.3")
def closed_gates_keep(write):
    for gate in ([0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 1]):
        wanted = [7 if g else kept for g, kept in zip(gate, (1, 2, 3), strict=True)]
        if (slots := write([1, 2, 3], list(gate), 7)) != wanted:
            return f"with the gate {gate}, [1, 2, 3] became {slots} instead of {wanted}"


@check_for("3.4")
def is_a_stack(memory):
    from mna.language import Value

    buffer = memory(3, 2)
    if buffer.slots != [None] * 3 or list(buffer.free) != [0]:
        return "of three empty slots, two of them usable, slot 0 alone is free"
    buffer.write([1, 0, 0], Value.of(5))
    if list(buffer.free) != [1]:
        return "when slot 0 is full, slot 1 alone is free"
    buffer.write([0, 1, 0], Value.of(6))
    if list(buffer.free):
        return "two slots are usable and full, so none is free"
    if buffer.recall(0) != Value.of(5) or list(buffer.free) != [0]:
        return "recall returns the value of the slot, and the slot is free afterwards"


@check_for("3.5")
def two_distributions(ax):
    if len(ax.lines) != 2:
        return f"{len(ax.lines)} lines are drawn; one with a plan, one without"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    for line in ax.lines:
        if list(line.get_xdata()) != [0, 1, 2, 3]:
            return "draw each line at 0, 1, 2 and 3 slots"
        if not 99 < sum(line.get_ydata()) < 101:
            return "the shares of a line do not sum to 100 %"
    means = [sum(k * y for k, y in enumerate(line.get_ydata())) for line in ax.lines]
    if means[0] == means[1]:
        return "both lines are the same; one of them is to be played without a plan"


@check_for("3.6")
def fewest_stores(order):
    from mna.language import parse

    stores = {"7": 0, "1+2*3-4": 0, "(1+2)*(3+4)": 1, "(1+2)*((3+4)*(5+6))": 2,
              "(1+2)*(8+9)+(20+30)*(70+80)": 3, "-1*(2+3)": 1}
    for text, count in stores.items():
        if (found := order(parse(text))) != count:
            return f"{text} takes {count} at least, not {found}: who waits for whom?"


# ---------------------------------------------------------------- 4 PPO


@check_for("4.1")
def still_pushes(answers):
    right = [True, False, True, False, True]
    if len(answers) != 5:
        return f"{len(answers)} answers were given; there are five cases"
    wrong = [i + 1 for i, answer in enumerate(answers) if answer is not right[i]]
    if wrong:
        return f"not yet right: case {', '.join(map(str, wrong))}; look at figure 4.4"


@check_for("4.2")
def discounts(discounted):
    for rewards, gamma, right in (([0, 0, 1], 0.5, [0.25, 0.5, 1]), ([1, 2], 1, [3, 2]),
                                  ([0.5], 0.9, [0.5])):
        found = discounted(rewards, gamma)
        if max(abs(a - b) for a, b in zip(found, right, strict=True)) > 1e-9:
            return f"for rewards {rewards} and gamma {gamma} it gives {found!r:.80}"


@check_for("4.3")
def leaks_nothing(found):
    from mna.ppo import advantages

    lengths, gamma, lam = (3, 1, 4), 0.9, 0.8
    rewards, values = [0, 1, 0.5, 1, 0, 0, 0, 2], [0.3, 1, 0.2, 0.7, 1.5, 1, 0.4, 1.8]
    right, last, start = [], [], 0
    for n in lengths:
        part = slice(start, start + n)
        right += advantages(rewards[part], values[part], gamma, lam)
        last += [False] * (n - 1) + [True]
        start += n
    for t, (a, b) in enumerate(zip(found(rewards, values, last, gamma, lam), right,
                                   strict=True)):
        if abs(a - b) > 1e-9:
            return f"the advantage at {t} is {a:.3f}, and alone its episode has {b:.3f}"


@check_for("4.4")
def explains(variance):
    import torch

    returns, noise = torch.tensor([0.0, 1, 2, 3]), torch.tensor([0.5, -0.5, 0.5, -0.5])
    for values, right in ((returns, 1), (torch.ones(4), 0), (returns + noise, 0.8),
                          (returns + 7, 1)):
        if abs(float(variance(values, returns)) - right) > 1e-4:
            return f"for values {values.tolist()} it is not {right}"
    if variance(noise, torch.ones(4)) != 0:
        return "where all returns are equal it is not 0"


@check_for("4.5")
def a_plot_of_evenness(ax):
    if not ax.lines or len(ax.lines[0].get_xdata()) < 5:
        return "the axes have no line of five points or more"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    if ax.get_xscale() != "log" or ax.get_yscale() != "log":
        return "both axes should be logarithmic"
    x, y = map(list, (ax.lines[0].get_xdata(), ax.lines[0].get_ydata()))
    if min(x) > 0.0011 or max(x) < 0.099:
        return "take weights from 0.001 to 0.1"
    if None in y or y[x.index(min(x))] <= 2 * y[x.index(max(x))]:
        return "the smallest weight should take far longer than the largest"


@check_for("4.6")
def brings_back(bonus):
    import torch

    legal = torch.tensor([[True, True, True, False]])
    p = torch.tensor([[1e-6, 1 - 2e-6, 1e-6, 1e-6]])
    logits = p.log().requires_grad_()
    log_p = logits.masked_fill(~legal, -1e9).log_softmax(-1)
    paid = bonus(log_p, legal)
    if tuple(paid.shape) != (1,):
        return f"for one policy it gives the shape {tuple(paid.shape)}, not (1,)"
    grad, = torch.autograd.grad(paid.sum(), logits)
    if not grad.isfinite().all():
        return "its gradient is not finite; what does it make of illegal actions?"
    if grad[0, 0] < 1e-3:
        return f"it pushes an action of probability 1e-6 by {grad[0, 0]:.1e} only"
    if grad[0, 3] != 0:
        return "it pushes an illegal action"

# ---------------------------------------------------------------- 5 Curriculum


@check_for("5.1")
def predicts_shares(shares):
    if len(shares) != 3:
        return f"{len(shares)} shares were given; there are three levels"
    if None in shares:
        return "a share is missing; work out each weight of (5.2) first"
    if max(abs(a - b) for a, b in zip(shares, (0.125, 0.75, 0.125))) > 0.001:
        return f"{shares!r:.60} is not what (5.2) gives; do they add up to 1?"


@check_for("5.2")
def highest_at_two_thirds(rule):
    import torch

    s = torch.linspace(0, 1, 31)
    found = rule(s)
    if found.shape != s.shape or abs(float(found.sum()) - 1) > 1e-5:
        return "the shares should be one for each level, and add up to 1"
    if abs(float(s[found.argmax()]) - 2 / 3) > 0.04:
        return f"its highest share is at success {float(s[found.argmax()]):.2f}"
    if found.min() <= 0:
        return "a level gets nothing, or next to nothing"


@check_for("5.3")
def no_news_is_none(book):
    import torch

    success, place = torch.full((3,), 0.5), torch.tensor([0] * 4 + [1])
    found = book(success, place, torch.tensor([True] * 4 + [False]))
    for level, right in enumerate((0.55, 0.4875, 0.5)):
        if abs(float(found[level]) - right) > 1e-4:
            return f"level {level} ends at {float(found[level]):.4f}, not {right}"


@check_for("5.4")
def grows(growing):
    import torch

    s, numbers = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([2, 4, 10])
    for spent, right in ((0, (1, 0, 0)), (0.3, (0.5, 0.5, 0)),
                         (1, (1.2 / 2.6, 1.2 / 2.6, 0.2 / 2.6))):
        found = growing(s, numbers, spent).tolist()
        if max(abs(a - b) for a, b in zip(found, right, strict=True)) > 1e-4:
            return f"at {spent} spent the shares are {[round(x, 3) for x in found]}"


@check_for("5.5")
def a_plot_of_luck_in_judging(ax):
    if not ax.lines or len(ax.lines[0].get_xdata()) < 5:
        return "the axes have no line of five points or more"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    if ax.get_xscale() != "log":
        return "the axis of problems should be logarithmic"
    x, y = map(list, (ax.lines[0].get_xdata(), ax.lines[0].get_ydata()))
    if min(x) > 10 or max(x) < 1000:
        return "take judgements of 10 to 1,000 problems"
    few, many = y[x.index(min(x))], y[x.index(max(x))]
    if not (25 < few < 45 and many < 1):
        return f"{few:.0f} % at {min(x)} and {many:.0f} % at {max(x)} problems: not it"


@check_for("5.6")
def not_faked_by_luck(mine):
    wavers = [0.3, 0.92, 0.98, 0.93, 0.97, 0.92, 0.96, 0.92, 0.94, 0.92]
    lost = [0.2, 0.9, 1.0, 1.0, 0.99, 0.6, 0.5, 0.45, 0.5, 0.5]
    history = [(100 * t, list(pair)) for t, pair in enumerate(zip(wavers, lost))]
    if (found := mine(history, 0)) != 0:
        return f"for a level that only wavers it gives {found:.3f}, and should give 0"
    if (found := mine(history, 1)) < 0.3:
        return f"for a level that is lost it gives {found:.3f}, not 0.3 or more"

# ---------------------------------------------------------------- 6 Training


@check_for("6.1")
def a_larger_budget(answer):
    before, after, same = answer
    if before != 0.5:
        return f"before the stop 10,000 of 20,000 are spent; s is not {before!r}"
    if after != 0.75:
        return f"30,000 of 40,000 are left after it; s is not {after!r}"
    if same is not False:
        return "look at what depends on the budget, in the first half as well"


@check_for("6.2")
def a_series(series):
    lines = [{"decisions": 1, "a": 0.5}, {"decisions": 2}, {"decisions": 3, "a": "x"},
             {"decisions": 4, "a": None}, {"decisions": 5, "a": 1.0}]
    told = tuple(map(list, series(lines, "a")))
    if told != ([1, 5], [0.5, 1.0]):
        return f"of {lines} it makes {told}"


@check_for("6.3")
def a_resumed_run(answer):
    pack, unpack = answer
    import torch

    from mna.training import Run, TrainingConfig, digest

    torch.set_num_threads(1)
    two = ("add", "expr2")
    run = Run(TrainingConfig("check", ladder=two, decisions=1_000, first=150))
    run.iterate()
    kept = pack(run)
    run.iterate()
    other = unpack(run.config, kept)
    other.iterate()
    if other.decisions != run.decisions or not torch.equal(other.rng.get_state(),
                                                           run.rng.get_state()):
        return "after one more iteration the runs have drawn other problems"
    if digest(other.agent.state_dict()) != digest(run.agent.state_dict()):
        return "after one more iteration the weights differ"
    if not torch.equal(other.curriculum.success, run.curriculum.success):
        return "the curricula have noted different things"


@check_for("6.4")
def until_it_is_good(until):
    import torch

    from mna.speed import FAST
    from mna.training import Run, TrainingConfig

    torch.set_num_threads(1)
    for share, budget in ((0.0, 900), (2.0, 500)):
        run = Run(TrainingConfig("check", ladder=("add",), decisions=budget, first=200,
                                 last=200, judge_problems=2), FAST)
        told = until(run, "add", share)
        if told != run.decisions:
            return f"it returns {told!r} after {run.decisions} decisions"
        if share > 1 and run.decisions < budget:
            return "it stopped before the budget was spent, not good enough yet"
        if share < 1 and len(run.history) != 1:
            return "it was good enough after one iteration, yet went on"


@check_for("6.5")
def a_plot_of_judgements(ax):
    if len(ax.lines) < 2 or not (ax.get_xlabel() and ax.get_ylabel()):
        return "draw two lines, measured and formula, and label both axes"
    for line in ax.lines[:2]:
        y = list(line.get_ydata())
        if len(y) < 3 or not y[0] > y[-1] > 0:
            return "each line has three sizes or more, and falls from first to last"


@check_for("6.6")
def several_seeds(records):
    if len({record["seed"] for record in records}) < 3:
        return "three different seeds are the least"
    if len({record["profile"] for record in records}) > 1:
        return "these are runs of different profiles"
    if len({tuple(record["exams"]) for record in records}) > 1:
        return "the records hold different exams"


# ---------------------------------------------------------------- 7 Does it hold up?


@check_for("7.1")
def rule_of_three(share):
    if share is None:
        return "no answer yet: give a share, a number between 0 and 1"
    if not 0.0028 < share < 0.0032:
        return f"{share} is not it; how likely are 1,000 right in a row with it?"


@check_for("7.2")
def wilson_interval(wilson):
    for right, n, ends in ((1000, 1000, (0.99617, 1.0)), (19, 20, (0.76386, 0.99112)),
                           (0, 10, (0.0, 0.27753)), (500, 1000, (0.46907, 0.53093))):
        said = wilson(right, n)
        if not all(abs(a - b) < 1e-4 for a, b in zip(said, ends, strict=True)):
            return f"{right} of {n}: {said}, and it is from {ends[0]} to {ends[1]}"


@check_for("7.3")
def area_with_ties(area):
    import numpy as np

    for score, right, wanted in (
            ((5, 5, 5, 5), (1, 0, 1, 0), 0.5), ((3, 2, 1), (1, 1, 0), 1.0),
            ((1, 2, 3, 3), (1, 1, 0, 1), 1 / 6), ((0, 1), (1, 0), 0.0)):
        said = area(np.array(score), np.array(right))
        if abs(said - wanted) > 1e-9:
            return f"scores {score}, right {right}: {said}, and it is {wanted:.3f}"


@check_for("7.4")
def beyond_the_slots(hard):
    from mna.language import parse, slots_needed

    for slots, fewest in ((1, 8), (2, 16)):
        problem = parse(hard(slots))
        if slots_needed(problem) <= slots:
            return f"with {slots} slots it can be solved, in the best order"
        if problem.number_count > fewest:
            n = problem.number_count
            return f"{n} numbers for {slots} slots; it can be done with fewer"


@check_for("7.5")
def a_plot_of_confidence(ax):
    if not ax.lines or list(ax.lines[0].get_xdata()) != [3, 6, 9, 12]:
        return "draw one line, at 3, 6, 9 and 12 numbers"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows"
    if not all(-1 < y < 3 for y in ax.lines[0].get_ydata()):
        return "that is no mean of confidences"


@check_for("7.6")
def an_exam_of_ones_own(mine):
    from mna.language import parse

    texts = list(mine(200))
    problems = [parse(text) for text in texts]
    if len({problem.kinds for problem in problems}) != 200:
        kinds = len({problem.kinds for problem in problems})
        return f"{len(texts)} problems of {kinds} structures; give 200 of 200"
    if any(problem.number_count > 16 for problem in problems):
        return "one has more than 16 numbers"


# ---------------------------------------------------------------- 8 Inside


@check_for("8.1")
def needs_by_hand(answer):
    if answer is None:
        return "no answer yet: give the need of the left, of the right, and the side"
    left, right, first = answer
    if (left, right) != (1, 2):
        return f"needs {left} and {right}: a number needs 0, two equal needs one more"
    if first != "right":
        return f"{first}? the side of larger need comes first: nothing is kept then"


@check_for("8.2")
def deeper_comes_first(rule):
    from mna.language import parse

    cases = {"1-2": True, "1-(2-3)": False, "(1-2)-3": True, "(1-2)*(3-4)": True,
             "(1-2)*(3-(4-5))": False, "(1-(2-3))*((4-5)*(6-7))": True}
    for text, wanted in cases.items():
        if bool(rule(*parse(text).tree[1:])) != wanted:
            return f"for {text} it should say {wanted}: compare the depths"


@check_for("8.3")
def is_no_memory(honest):
    import torch

    rng = torch.Generator().manual_seed(0)
    x = torch.randn(60, 40, generator=rng)
    noise = torch.randint(2, (60,), generator=rng)
    if honest(x, noise).double().mean() > 0.75:
        return "on random labels it is right far too often: on which rows is it judged?"
    if honest(x[:, :4], (x[:, 0] > 0).long()).double().mean() < 0.9:
        return "it can't read what one column says plainly"


@check_for("8.4")
def notes_are_hidden(hide_notes):
    from dataclasses import replace

    from mna.network import CROSSED, RESULT, STORED, View

    before, after = range(1, CROSSED + 1), [*range(1, STORED), *range(RESULT, STORED)]
    view = View(tuple(before), (0,), -1, 0, (1, 0), (True,))
    if (seen := hide_notes(view)) == view:
        return "nothing was hidden: STORED ... STORED + 3 become RESULT ... RESULT + 3"
    if seen != replace(view, kinds=(*after, CROSSED)):
        return "it is another view than it should be; change the kinds, nothing else"


@check_for("8.5")
def plots_the_lengths(ax):
    if not ax.lines or len(ax.lines[0].get_xdata()) < 5:
        return "draw one line with at least five points"
    if not ax.get_xlabel() or not ax.get_ylabel():
        return "an axis has no label; say what it shows, and in which unit"
    x, y = ax.lines[0].get_data()
    if min(x) > -4 or max(x) < 4:
        return "go from 4 numbers less to 4 numbers more"
    if min(y) < 0 or max(y) > 100 or max(y) <= 1:
        return "the shares should be in per cent"


@check_for("8.6")
def is_a_cheap_rule(mine):
    import random

    from mna.inspection import contests

    rng, right = random.Random(86), []
    for lengths in ((4, 7), (5, 5), (6, 4)):
        asked = contests((2, 1), lengths, 100, rng)
        right += [bool(mine(*one.problem.tree[1:])) != one.heavier for one in asked]
    if sum(right) < 0.8 * len(right):
        return f"it is right about {sum(right)} of {len(right)} contests, not 240"


# ---------------------------------------------------------------- 10 Speed
@check_for("10.1")
def rows_and_steps(numbers):
    padded, packed, steps = numbers
    if packed != 12 + 9 + 3 + 2:
        return "packed, a layer multiplies each token once: add the lengths up"
    if padded != 4 * 12:
        return "padded, all four texts are as long as the longest"
    if steps != 11:
        return "a scan makes one multiply-add for each place behind the first"


@check_for("10.2")
def back_to_a_batch(unpacked):
    import torch

    for sizes in ([3, 3, 2, 1], [1], [2, 2]):
        x = 1 + torch.arange(2.0 * sum(sizes)).view(-1, 2)
        found = unpacked(x.clone(), sizes)
        if tuple(getattr(found, "shape", ())) != (sizes[0], len(sizes), 2):
            return f"for sizes {sizes} and two columns its shape is wrong"
        first = 0
        for place, n in enumerate(sizes):
            rows = x[first:first + n]
            if not torch.equal(found[:n, place], rows) or found[n:, place].any():
                return f"for sizes {sizes}, place {place} is wrong: rows, then zeros"
            first += n


@check_for("10.3")
def a_gradient_by_hand(decay):
    import torch

    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64, requires_grad=True)
    grad = torch.ones(4, dtype=torch.float64)
    kept = grad.clone()
    decay.apply(x, 0.5).backward(grad)
    right = torch.tensor([1.875, 1.75, 1.5, 1.0], dtype=torch.float64)
    if not torch.allclose(x.grad, right):
        return (f"for a = 0.5 and gradients of 1 it gives {x.grad.tolist()}; "
                "the last is 1, the one before 1 + 0.5")
    if not torch.equal(grad, kept):
        return "it is right, but writes over the gradient that it was given"


@check_for("10.4")
def an_engine_with_a_clock(clocked):
    from collections import Counter

    from mna.curriculum import Engine

    done, spent = [], Counter()
    parts = "generate", "need", "play", "outcome", "update"
    plain = Engine("toy", *(lambda *a, name=name, **o: done.append(name) or name
                            for name in parts))
    engine = clocked(plain, spent)
    said = [engine.generate(), engine.play(1, two=2), engine.update(), engine.need(0),
            engine.play()]
    if said != ["generate", "play", "update", "need", "play"] or len(done) != 5:
        return "its parts do not return what the engine's parts return"
    if set(spent) != {"generate", "play", "update"}:
        return f"spent holds {sorted(spent)}; it should hold generate, play and update"
    if min(spent.values()) < 0:
        return "a time is below zero"


@check_for("10.5")
def lines_of_rows(ax):
    counts = [10, 30, 100, 300, 1000]
    lines = [line for line in ax.lines if list(line.get_xdata()) == counts]
    if len(lines) != 2:
        return "draw two lines, at 10, 30, 100, 300 and 1,000 problems"
    if ax.get_xscale() != "log" or ax.get_yscale() != "log":
        return "both axes should be logarithmic"
    if not (ax.get_xlabel() and ax.get_ylabel() and ax.get_legend()):
        return "an axis has no label, or the lines have no legend"
    rows = [list(line.get_ydata()) for line in lines]
    windows, tokens = sorted(rows, key=lambda y: y[-1])
    if not (5_000 < tokens[-1] < 100_000 and 20 < windows[0] < tokens[0]):
        return "a line is off: mixed10 has some 25 tokens, and windows repeat"
    if windows[-1] / windows[0] > tokens[-1] / tokens[0] / 2:
        return "windows repeat, so their line should bend"


@check_for("10.6")
def two_ways(ways):
    import torch

    one, other = (way() for way in ways)
    if not isinstance(one, torch.Tensor):
        return f"plain_way returns {one!r}; let both return a tensor"
    if ways[0] is ways[1]:
        return "my_way is plain_way"
    alike = one.shape == other.shape
    if not alike or not torch.allclose(one.double(), other.double(), atol=1e-5):
        return "the two ways do not return the same"

# ---------------------------------------------------------------- 9 Silent bugs


@check_for("9.1")
def the_ratio_sees(names):
    if not isinstance(names, set) or ... in names:
        return "give a set of names of BUGS, such as {'own value'}"
    if names != {"mask forgotten"}:
        return f"{sorted(map(str, names))} is not it; run the test on each of the five"


@check_for("9.2")
def tells_cut_off_from_over(advantages_of):
    rewards, values = [0.5, 0.0, 1.0], [0.3, 0.6, 0.9]
    for behind in (0.0, 0.7):
        after = [*values[1:], behind]
        deltas = [r + 0.9 * w - v for r, w, v in zip(rewards, after, values)]
        right = [sum(0.45 ** (s - t) * deltas[s] for s in range(t, 3))
                 for t in range(3)]
        found = advantages_of(rewards, values, 0.9, 0.5, behind)
        if any(abs(a - b) > 1e-6 for a, b in zip(found, right, strict=True)):
            return f"with {behind} behind the end the last advantage is {right[-1]:.2f}"


@check_for("9.3")
def is_the_share_of_right_answers(share_right):
    from mna.language import parse
    from mna.ppo import Arithmetic, Episode, Step

    def episode(correct, *rewards):
        steps = [Step(None, 0, 0.0, 0.0, reward) for reward in rewards]
        return Episode(Arithmetic(parse("1+2")), steps, correct)

    wrong, right = episode(False, 0.0, 0.5, 0.0), episode(True, 0.5, 0.5, 1.0)
    for episodes, share in (([wrong] * 4, 0), ([wrong, right], 0.5), ([right], 1)):
        if share_right(episodes) != share:
            return (f"{share_right(episodes)} of {len(episodes)} episodes, "
                    f"and {sum(e.correct for e in episodes)} of them are right")


@check_for("9.4")
def tells_dice_from_none(test):
    import random

    def rolled(agent, seed):
        return random.Random(seed).choices((0, 1), k=50)

    for examine, dice in ((lambda agent, seed: [1, 0] * 25, False), (rolled, True)):
        try:
            test(examine)
            failed = False
        except AssertionError:
            failed = True
        if failed != dice:
            kind = "rolls dice" if dice else "is the same with every seed"
            return f"the test {'fails' if failed else 'passes'} for an exam that {kind}"


@check_for("9.5")
def a_plot_of_entropies(ax):
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    if not ax.collections or not ax.lines:
        return "draw the decisions by scatter, and the ceiling as a line"
    x, y = ax.collections[0].get_offsets().T
    if len(x) < 100:
        return f"{len(x)} points; one a decision are more"
    if not (y > x).mean() > 0.9:
        return "the entropy over all actions lies above the ceiling nearly everywhere"


@check_for("9.6")
def a_bug_and_its_test(answer):
    from unittest.mock import patch

    place, test = answer
    try:
        test()
    except AssertionError as failure:
        return f"the test fails on the right code: {' '.join(str(failure).split())}"
    with patch.object(*place):
        try:
            test()
        except AssertionError:
            return None
    return "the test passes with the bug in place, so it does not see it"


# ---------------------------------------------------------------- A The language


@check_for("A.1")
def predicts(answers):
    from mna.language import parse

    texts = ("-2^2", "6/2(1+2)", "1/2x=5", "|1|-2|3|")
    if len(answers) != len(texts):
        return f"{len(answers)} answers for {len(texts)} texts"
    wrong = [text for text, answer in zip(texts, answers, strict=True)
             if answer != parse(text).answer]
    if wrong:
        return f"not yet right: {', '.join(wrong)}"


@check_for("A.2")
def is_postfix(postfix):
    from mna.language import number_text, parse

    cases = {"5": "5", "3*(4+5)": "3 4 5 + *", "2*x-7=0.5": "2 x * 7 - 0.5 =",
             "-|3-8|/2": "3 8 - abs neg 2 /", "9-3-4": "9 3 - 4 -"}
    for text, right in cases.items():
        problem = parse(text)
        words = list(map(number_text, problem.values))
        if (said := postfix(problem.tree, words)) != right:
            return f"{text} became {said!r:.60}, and should be {right!r}"


@check_for("A.3")
def calculates(calculate):
    cases = {"2+3+4": 9, "9-3-4": 2, "9-3+4": 10, "9-(3-4)": 10, "2*3-4*(5-1)-1": -11}
    for text, right in cases.items():
        if (said := calculate(text)) != right:
            return f"{text} is {said!r:.60} here, and should be {right}"


@check_for("A.4")
def shows_both_counts(ax):
    if not hasattr(ax, "get_lines"):
        return "the answer is axes that hold two lines: fig, ax = plt.subplots()"
    lines = sorted(list(map(float, line.get_ydata())) for line in ax.get_lines())
    if lines != [[0.0] + [1.0] * 9, [float(n) for n in range(10)]]:
        return f"the {len(lines)} lines are not the two counts for 1 to 10 products"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "the axes have no labels"


@check_for("A.5")
def reads_more(answer):
    from mna.language import parse

    tidy, cases = answer
    if len(cases) < 3:
        return f"{len(cases)} cases; find at least three"
    for text in ("3*(4+5)", "2x+1=7", "15%*80", "|3-8|"):
        if tidy(text) != text:
            return f"tidy changes {text}, which parse reads as it is"
    for text, right in cases:
        try:
            parse(text)
        except MNAError:
            pass
        else:
            return f"parse reads {text!r:.60} without help"
        if (said := parse(tidy(text)).answer) != right:
            return f"{text!r:.60} is {said!s:.60} when tidied, and should be {right}"


# ---------------------------------------------------------------- B Problems


@check_for("B.1")
def requests_refused(letters):
    wrong = set(letters) ^ set("abdf")
    if wrong:
        return f"{len(wrong)} letters are wrong; read what check_levels refuses"


@check_for("B.2")
def needs_three_slots(text):
    from mna.language import parse, slots_needed

    problem = parse(text)
    if problem.number_count != 16:
        return f"{text} has {problem.number_count} numbers; use 16"
    if (slots := slots_needed(problem)) < 3:
        return f"its best order needs {slots} slots; make both halves equally needy"


@check_for("B.3")
def loses_no_parentheses(write):
    import random

    from mna.language import parse

    def tree(n):
        left = rng.randint(1, max(1, n - 1))
        return n if n == 1 else (rng.choice("+-*/"), tree(left), tree(n - left))

    def read(tree, bare=str):
        return bare(tree) if isinstance(tree, int) else (
            "(" + read(tree[1]) + tree[0] + read(tree[2]) + ")")

    rng = random.Random(3)
    for _ in range(60):
        planted = tree(rng.randint(2, 5))
        try:
            wanted = parse(read(planted)).tree
        except ValueError:  # a division by zero
            continue
        if parse(text := write(planted)).tree != wanted:
            return f"{planted} is written {text}, which reads as another tree"
        if text.startswith("("):
            try:
                if parse(text[1:].replace(")", "", 1)).tree == wanted:
                    return f"{text} has a pair that is not needed"
            except ValueError:
                pass


@check_for("B.4")
def long_sums(recipe):
    if (recipe.fewest, recipe.signs, recipe.bars, recipe.equations) != (3, 1, 0, 0):
        return "look at fewest, signs, bars and equations: what must each be?"
    if set(recipe.operators) != {"+", "-"}:
        return f"its operators are {recipe.operators!r}; plus and minus only"
    if recipe.needs != 7:
        return "a problem without a unary minus can be drawn; which token does it need?"


@check_for("B.5")
def a_plot_of_the_split(ax):
    if not ax.lines or list(ax.lines[0].get_xdata()) != list(range(3, 11)):
        return "draw one line, at 3, 4, … 10 numbers"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    if not all(12 <= share <= 28 for share in ax.lines[0].get_ydata()):
        return "one share is far from a fifth; is it percent, of different structures?"


@check_for("B.6")
def another_split(held):
    from mna.problems import every_structure

    if any(map(held, every_structure(1))):
        return "it holds out a structure of one number"
    every = sorted(every_structure(3))[::9]
    share = 100 * sum(map(held, every)) / len(every)
    if not 2 <= share <= 40:
        return f"it holds out {share:.0f} % of the structures of three numbers"


# ---------------------------------------------------------------- C Batches of problems


@check_for("C.1")
def a_tree_laid_flat(answer):
    size, last = map(list, answer)
    if len(size) != 7 or len(last) != 7:
        return f"{len(size)} sizes, {len(last)} places; a tree of 4 numbers has 7 nodes"
    if size != [4, 1, 3, 1, 2, 1, 1]:
        return f"{size} are not the sizes; how many numbers are below each node?"
    if last != [place + 2 * n - 2 for place, n in enumerate(size)]:
        return f"{last} are not the last ones; n numbers make 2n - 1 nodes"


@check_for("C.2")
def depth_from_sizes(depth_of):
    import torch

    for size, depth in (([1], [0]), ([2, 1, 1], [0, 1, 1]),
                        ([4, 1, 3, 1, 2, 1, 1], [0, 1, 1, 2, 2, 3, 3]),
                        ([4, 2, 1, 1, 2, 1, 1], [0, 1, 2, 2, 1, 2, 2])):
        if (found := depth_of(torch.tensor(size)).tolist()) != depth:
            return f"for sizes {size} it gives {found}, and it should be {depth}"


@check_for("C.3")
def trusts_no_wrong_sum(careful):
    import random
    from fractions import Fraction

    import torch

    rng = random.Random(0)
    for bits in (3, 10, 28, 33, 40, 50, 61):
        rows = [[rng.randrange(1, 2 ** bits) for _ in range(4)] for _ in range(200)]
        x, y = torch.tensor(rows).view(-1, 2, 2).unbind(1)
        total, ok = careful(x, y)
        if bits < 20 and not ok.all():
            return f"it trusts not all sums of fractions of {bits} bits, and all fit"
        for (a, b, c, d), (p, q), good in zip(rows, total.tolist(), ok.tolist(),
                                              strict=True):
            if good and (q == 0 or Fraction(p, q) != Fraction(a, b) + Fraction(c, d)):
                return f"it trusts {a}/{b} + {c}/{d} = {p}/{q}, which is wrong"


@check_for("C.4")
def absolute_values(magnitude):
    import torch

    from mna.batched import Values

    given = torch.tensor([[0, -3, 4], [0, 3, 4], [0, 0, 1], [1, -2, 1], [0, 0, 1]])
    result = magnitude(Values(given, torch.tensor([True] * 4 + [False])))
    wanted = [[0, 3, 4], [0, 3, 4], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
    if result.ok.tolist() != [True] * 3 + [False] * 2:
        return f"ok is {result.ok.tolist()} for {given.tolist()}, the last not ok then"
    if result.forms.tolist() != wanted:
        return f"forms are {result.forms.tolist()}, and should be {wanted}"


@check_for("C.5")
def a_plot_of_attempts(ax):
    if len(ax.lines) != 2 or ax.get_legend() is None:
        return "draw two lines, one for each split, and a legend"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    train, test = sorted((line.get_ydata() for line in ax.lines), key=sum, reverse=True)
    if not (all(50 <= y <= 95 for y in train) and all(8 <= y <= 35 for y in test)):
        return "one share is far from what attempts give; are they percent?"


@check_for("C.6")
def a_twin(answer):
    import torch

    from mna import batched

    name, function = answer
    if function is getattr(batched, name):
        return f"this is {name} itself; hand in your own"
    kinds = torch.randint(1, 13, (50, 30), generator=torch.Generator().manual_seed(0))
    count = torch.arange(50) % 30 + 1
    kinds[torch.arange(30) >= count[:, None]] = 0
    given = {"crc32": (kinds,), "padded": (kinds[kinds > 0], count, 0)}
    if name not in given:
        level = torch.arange(40) % 2
        given[name] = (level, ["mixed4", "bars5"], torch.Generator().manual_seed(0))
        if name != "generate":
            return f"this checks crc32, padded and generate; compare {name} by a test"
    same = function(*given[name])
    if name == "generate":
        given[name][2].manual_seed(0)
        wanted = batched.generate(*given[name])
        equal = torch.equal(same.kinds, wanted.kinds)
    else:
        equal = torch.equal(same, getattr(batched, name)(*given[name]))
    if not equal:
        return f"it gives other results than {name} for the same input"


# ---------------------------------------------------------------- D Gymnasium


@check_for("D.1")
def twelve_decisions(moves):
    from mna.gym import ArithmeticEnv

    env, info = ArithmeticEnv(), {}
    env.reset(options={"problem": "(1+2)*(3+4)"})
    for n, action in enumerate(moves, 1):
        try:
            *_, over, _, info = env.step(action)
        except MNAError as error:
            return f"decision {n}: {error}"
        if over and not info["correct"]:
            given = env.game.env.given
            return (f"decision {n} loses a result; store it before a call without it"
                    if given is None else f"{given} is answered, and it is 21")
    if not info.get("correct"):
        return f"after {len(moves)} decisions there is no answer yet"


@check_for("D.2")
def costs_time(wrapper):
    import gymnasium

    from mna.gym import ArithmeticEnv

    if not (isinstance(wrapper, type) and issubclass(wrapper, gymnasium.Wrapper)):
        return "Priced is to be a class that descends from gymnasium.Wrapper"
    plain, priced = ArithmeticEnv(), wrapper(ArithmeticEnv())
    for seed in range(5):
        _, told = plain.reset(seed=seed)
        priced.reset(seed=seed)
        over, n = False, 0
        while not over:
            action = int(told["action_mask"].nonzero()[0][-1 - n % 2 * (n > 3)])
            seen, reward, done, cut, told = plain.step(action)
            others, price, *ends, _ = priced.step(action)
            if abs(price - (reward - 0.01)) > 1e-9:
                return f"a decision that is paid {reward} gives {price} with its price"
            if ends != [done, cut] or any((seen[k] != others[k]).any() for k in seen):
                return "the wrapper changes more than the reward"
            over, n = done or cut, n + 1


@check_for("D.3")
def plays_to_the_end(play_one):
    from mna.gym import ArithmeticEnv

    for seed in range(20):
        env, paid = ArithmeticEnv(levels=("expr2", "bars3"), flaky=0.3), []
        step = env.step

        def counted(action, step=step, paid=paid):
            seen, reward, *ends = step(action)
            paid.append(reward)
            return seen, reward, *ends

        env.step = counted
        said = play_one(env, lambda seen, mask: int(mask.nonzero()[0][-1]), seed)
        if not env.game.over:
            return "it stops before the episode is over"
        if abs(said[0] - sum(paid)) > 1e-9 or said[1] != len(paid):
            return f"{said} was returned; {sum(paid)} was paid in {len(paid)} decisions"


@check_for("D.4")
def a_plot_of_what_is_legal(ax):
    if not ax.lines or list(ax.lines[0].get_xdata()) != [2, 4, 6, 8, 10]:
        return "draw one line, at 2, 4, 6, 8 and 10 numbers"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows, and in which unit"
    y = list(ax.lines[0].get_ydata())
    if not 3 < y[0] < y[-1] < 60:
        return "at the first decision each value can be named, and nothing else"


# ---------------------------------------------------------------- E without labels


@check_for("E.1")
def pairs_that_tell(pairs):
    from fractions import Fraction

    from mna.labels import TOOLS, shown_of

    if not isinstance(pairs, int) or not 0 <= pairs <= 400:
        return "give the number of pairs, from 0 to 400"
    numbers = [Fraction(n) for n in range(1, 21)]
    told = sum(len({shown_of(x, y, tool(x, y)) for tool in TOOLS.values()}) == 4
               for x in numbers for y in numbers)
    if pairs != told:
        return f"{pairs} is not it; a pair counts if all four tools show something else"


@check_for("E.2")
def odds_after_a_press(updated):
    from itertools import permutations

    tools = "ADD", "SUB", "MUL"
    odds = {order: (i + 1) / 21 for i, order in enumerate(permutations(tools))}
    for b in range(3):
        chances = {"ADD": 0.5, "SUB": 0.0, "MUL": 0.25}
        wanted = {order: p * chances[order[b]] for order, p in odds.items()}
        found = updated(dict(odds), b, chances)
        if set(found) != set(odds):
            return "the odds are to name the same orders as before"
        if abs(sum(found.values()) - 1) > 1e-9:
            return f"the odds sum to {sum(found.values()):.3f}, and should sum to 1"
        for order, p in wanted.items():
            right = p / sum(wanted.values())
            if abs(found[order] - right) > 1e-9:
                return f"{order} has odds of {found[order]:.3f}, and not {right:.3f}"


@check_for("E.3")
def forgets_between_episodes(advance):
    import torch

    h, new = torch.arange(24.0).view(2, 3, 4) + 1, -torch.ones(2, 3, 4)
    last, fresh = torch.eye(3)[[0, 2]], torch.tensor([False, True])
    found = advance(h.clone(), new, last, fresh)
    if not torch.equal(found[0, 0], new[0, 0]):
        return "within an episode, what is new is written where `last` is 1"
    if not torch.equal(found[0, 1:], h[0, 1:]):
        return "within an episode, the other buttons' memories stay as they are"
    if found[1].any():
        return "an episode begins with a memory of what other buttons did"


@check_for("E.4")
def a_plot_over_five_problems(ax):
    if len(ax.lines) != 2:
        return f"{len(ax.lines)} lines are drawn; one with memory, one without"
    if any(list(line.get_xdata()) != [1, 2, 3, 4, 5] for line in ax.lines):
        return "each line goes over problems 1 to 5"
    if not (ax.get_xlabel() and ax.get_ylabel()):
        return "an axis has no label; say what it shows"
    low, high = sorted(sum(line.get_ydata()[1:]) for line in ax.lines)
    if not 0 <= low < high:
        return "in problems 2 to 5 one agent should need fewer extra presses"


@check_for("E.5")
def mixes_before_some_problems(changing):
    import random

    texts, tools = ["3+4"] * 41, ["ADD", "SUB", "MUL", "DIV"]
    for p, least, most in ((0.0, 0, 0), (0.5, 8, 30), (1.0, 30, 40)):
        game, changes = changing(texts, tools, random.Random(0), p), 0
        for k in range(1, 41):
            before = list(game.tools)
            game.step((0, 0))
            if list(game.tools) != before:
                return "within a problem the buttons stay as they are"
            game.begin(k)
            changes += list(game.tools) != before
            if sorted(game.tools) != sorted(tools):
                return f"the buttons do {game.tools}; each tool stands behind one"
        if not least <= changes <= most:
            return f"with p = {p} the buttons changed {changes} times in 40"
