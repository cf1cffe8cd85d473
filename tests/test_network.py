"""The worksheet is rewritten as told, the mask is right and tells nothing, and the
network sees what it should see and no more."""

import copy
import random
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from oracle import CASES, call, keep, operands, random_play, shown, solve

from mna.environments import Arithmetic
from mna.language import BAR, BAR_END, CLOSE, OPEN, PAD, Value, parse, slots_needed
from mna.memory import GatedMemory
from mna.network import (
    ABOVE,
    BELOW,
    N_KINDS,
    RESULT,
    STORED,
    UNKNOWN,
    ZERO,
    Agent,
    AgentConfig,
    Desk,
    NoMemory,
    Stage,
    Token,
    Views,
    Worksheet,
    kind_of,
    scan,
    watch,
)
from mna.ppo import log_policy, play
from mna.problems import RECIPES, Level, draw

DESK = Desk(AgentConfig(), GatedMemory)
NAMES = [*AgentConfig().tools, "STORE", "ANSWER", "slot0", "slot1", "slot2"]


def opened(text, **options):
    """(state, env) of a problem's start."""
    problem = parse(text)
    return DESK.start(problem), Arithmetic(problem, **options)


def small(seed=0, **options):
    torch.manual_seed(seed)
    sizes = dict(width=16, hidden=16) | options
    agent = Agent(AgentConfig(**sizes), GatedMemory)
    with torch.no_grad():  # opinions as strong as after practice
        for head in agent.pointer.heads:
            for parameter in head.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
    return agent


def spoken(agent, views):
    """Logits over legal actions and values."""
    seen = Views.of(views)
    with torch.no_grad():
        logits, value = agent(seen)
    return logits.masked_fill(~seen.legal, -torch.inf), value


# ---- the worksheet

@pytest.mark.parametrize("text, play", CASES)
def test_the_worksheet_is_rewritten(text, play):
    state, env = opened(text)
    for move in play.split(", "):
        done, sheet = move.split(" > ")
        name, *vs = done.rstrip(".").split(" ")
        call(DESK, state, env, name, *map(int, vs))
        if done[-1] == ".":
            keep(DESK, state, env)
        assert shown(state) == sheet


def test_values_stay_in_step_with_the_worksheet():
    """What an action names has the value that stands there, also after rewriting."""
    state, env = opened("3+4*5-(6-2)")
    call(DESK, state, env, "SUB", 3, 4)
    assert operands(DESK, state) == list(map(Value.of, (3, 4, 5, 4)))
    keep(DESK, state, env, 1)
    call(DESK, state, env, "MUL", 2, 0)  # no neighbours: 15 stands where 5 stood
    assert operands(DESK, state) == list(map(Value.of, (4, 15, 4)))
    call(DESK, state, env, "SUB", 1, 2)
    assert operands(DESK, state) == list(map(Value.of, (4, 11)))
    assert [str(c) for c in env.calls] == [
        "SUB(6, 2) -> 4", "MUL(5, 3) -> 15", "SUB(15, 4) -> 11"]


@pytest.mark.parametrize("kind, stays", [
    (RESULT + BELOW, True), (RESULT + ZERO, False), (RESULT + ABOVE, False),
    (RESULT + UNKNOWN, True), (STORED + BELOW, True), (STORED + ZERO, False),
    (STORED + ABOVE, False), (STORED + UNKNOWN, True)])
def test_bars_stay_on_what_may_be_below_zero(kind, stays):
    pairs = [(BAR, BAR_END), (OPEN, CLOSE), (BAR, BAR_END)]
    tokens = [Token(kind, 0)]
    for before, after in pairs:
        tokens = [Token(before), *tokens, Token(after)]
    kinds = [token.kind for token in Worksheet(tokens).tokens]
    around = [BAR, OPEN, BAR, kind, BAR_END, CLOSE, BAR_END]
    assert kinds == (around if stays else [kind])


def test_neg_undoes_bars_only_around_what_is_below_zero():
    """Around an unknown it changes the sign, and the bars stay."""
    sheet = Worksheet([Token(BAR), Token(RESULT + UNKNOWN, 0), Token(BAR_END)])
    sheet.write("NEG", 1, None, Token(RESULT + UNKNOWN, 1))
    assert [t.kind for t in sheet.tokens] == [BAR, RESULT + UNKNOWN, BAR_END]


def test_kinds_of_values():
    half = Value.of(Fraction(1, 2))
    assert [kind_of(v) for v in (-half, Value.of(0), half, Value.UNKNOWN)] == [
        BELOW, ZERO, ABOVE, UNKNOWN]
    assert kind_of(half / Value.UNKNOWN) == UNKNOWN


# ---- the table of stages

GROUPS = dict(value=range(11, 13), store=[6], answer=[7], slot=range(8, 11),
              two=range(4), one=range(4, 6))
TABLE = {  # stage: what may be named there, and the stage that follows
    Stage.CHOOSE: dict(value=Stage.TOOL, store=Stage.STORE, answer=Stage.ANSWER),
    Stage.TOOL: dict(two=Stage.RIGHT, one=Stage.CHOOSE),
    Stage.RIGHT: dict(value=Stage.CHOOSE),
    Stage.STORE: dict(slot=Stage.CHOOSE),
    Stage.ANSWER: {}}


def in_stage(stage):
    """A state in a stage, with a result that waits: |b|*n."""
    state, env = opened("|3-5|*2")
    call(DESK, state, env, "SUB", 0, 1)
    for choice in {Stage.CHOOSE: (), Stage.TOOL: (11,), Stage.RIGHT: (11, 0),
                   Stage.STORE: (6,), Stage.ANSWER: (7,)}[stage]:
        DESK.act(state, choice, env)
    assert state.stage == stage
    return state, env


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("group", list(GROUPS))
def test_every_transition(stage, group):
    """What the table holds leads on as it says; all else is refused and never legal."""
    for choice in GROUPS[group]:
        state, env = in_stage(stage)
        if group in TABLE[stage] and DESK.legal(state)[choice]:
            DESK.act(state, choice, env)
            assert state.stage == TABLE[stage][group]
        elif group not in TABLE[stage]:
            assert not DESK.legal(state)[choice]
            with pytest.raises(KeyError):
                DESK.act(state, choice, env)
            assert state.stage == stage


def named(state):
    """The names of what is legal; values by their place on the worksheet."""
    mask = DESK.legal(state)
    names = NAMES + [str(v) for v in range(len(mask) - len(NAMES))]
    return " ".join(name for name, legal in zip(names, mask, strict=True) if legal)


def test_the_mask_by_hand():
    state, env = opened("3+4*5")
    assert named(state) == "0 1 2"
    DESK.act(state, 12, env)
    assert named(state) == "ADD SUB MUL DIV NEG ROOT"
    DESK.act(state, 2, env)
    assert named(state) == "0 2"            # not the one that was chosen
    DESK.act(state, 13, env)
    assert named(state) == "STORE 0 1"      # a result waits
    DESK.act(state, 6, env)
    assert named(state) == "slot0 slot1 slot2"
    DESK.act(state, 9, env)
    assert named(state) == "0 1"            # it is stored: nothing waits
    DESK.act(state, 11, env)
    assert state.left == 0
    DESK.act(state, 0, env)
    DESK.act(state, 12, env)
    assert named(state) == "STORE ANSWER 0"  # one value is left
    DESK.act(state, 11, env)
    assert named(state) == "NEG ROOT"        # no tool of two
    DESK.act(state, 4, env)
    DESK.act(state, 6, env)
    assert named(state) == "slot0 slot1 slot2"  # the recall freed slot 1


def test_full_slots_are_not_legal():
    state, env = opened("(1+2)*(3+4)*(5+6)*(7+8)+9")
    for v, slot in enumerate((1, 0, 2)):
        call(DESK, state, env, "ADD", v, v + 1)
        keep(DESK, state, env, slot)
    call(DESK, state, env, "ADD", 3, 4)
    assert named(state) == "0 1 2 3 4"
    two = DESK.start(parse("1+2*3"), 2)
    assert len(two.memory.slots) == 3 and two.memory.free == [0, 1]


def problems(rng, sizes=(1, 2, 3, 5, 8), each=1):
    """Some of all kinds."""
    for kind, recipe in RECIPES.items():
        for n in (2,) if kind == "add" else sizes:
            if n >= recipe.fewest and (recipe.practised or n > 2):
                for _ in range(each):
                    split = "train" if recipe.practised else "test"
                    yield draw(Level(kind, n), rng, split)


def test_random_legal_play_never_fails_and_ends():
    """Never raises, always has something legal, and stays within the bound."""
    rng, answered = random.Random(0), 0
    for problem in problems(rng, each=3):
        for _, _, feedback in random_play(DESK, problem, rng):
            ended = feedback and feedback.done
        answered += ended
    assert answered > 100


def test_the_mask_does_not_know_the_solution():
    """Another tree, other sub-tasks, another answer, the same sheet: the same views."""
    rng = random.Random(3)
    for problem in problems(rng, (3, 6)):
        wrong = replace(problem, tree=0, answer=problem.answer + 1,
                        tasks=tuple(task + Value.of(1000) for task in problem.tasks))
        state, env = DESK.start(wrong), Arithmetic(wrong)
        for true, choice, _ in random_play(DESK, problem, rng):
            if choice is not None:
                DESK.act(state, choice, env)
            assert DESK.view(state) == DESK.view(true)


def test_nothing_but_stage_and_record_decides_what_is_legal():
    """At the start any value can be named, whatever the problem says."""
    for text in ("3*(4+5)-6", "1/7*x=2+3"):
        state, env = opened(text)
        n = len(operands(DESK, state))
        assert DESK.legal(state) == [False] * 11 + [True] * n


@pytest.mark.parametrize("first, second", [
    (("ADD", 0, 1), ("MUL", 1, 2)), (("ADD", 0, 1), ("NEG", 2)),
    (("MUL", 2, 3), ("ADD", 0, 1))])
def test_a_result_lost_ends_the_episode_unpaid(first, second):
    state, env = opened("(1+2)*(3*4)")
    assert call(DESK, state, env, *first).reward > 0
    feedback = call(DESK, state, env, *second)
    assert (feedback.done, feedback.reward, feedback.correct) == (True, 0, False)
    assert len(env.calls) == 1 and env.given is None


@pytest.mark.parametrize("second", [("MUL", 0, 1), ("MUL", 1, 0), ("NEG", 0)])
def test_a_result_that_is_used_or_stored_is_not_lost(second):
    state, env = opened("(1+2)*(3*4)")
    call(DESK, state, env, "ADD", 0, 1)
    assert not call(DESK, state, env, *second).done
    state, env = opened("(1+2)*(3*4)")
    call(DESK, state, env, "ADD", 0, 1)
    keep(DESK, state, env)
    assert not call(DESK, state, env, "MUL", 1, 2).done


def test_a_call_that_fails_is_seen_and_loses_nothing():
    state, env = opened("1+3/(2-2+1)")
    call(DESK, state, env, "SUB", 2, 3)
    before = shown(state)
    assert not state.failed
    feedback = call(DESK, state, env, "DIV", 1, 2)
    assert feedback.result is None and state.failed and shown(state) == before
    assert state.result == Value.of(0) and state.stage == Stage.CHOOSE
    assert DESK.view(state).situation[-1] == 1
    keep(DESK, state, env)
    assert not state.failed and DESK.view(state).situation[-1] == 0


# ---- an oracle that knows the tree

def test_the_best_order_solves_every_problem_in_its_slots():
    """Of all kinds, also longer than practised, with no slot more than it needs."""
    rng = random.Random(1)
    drawn = [*problems(rng, each=3), *(draw(Level(kind, n), rng, "test")
             for kind in ("mixed", "parens", "equations") for n in (16, 32))]
    for problem in drawn:
        need = slots_needed(problem)
        played = solve(problem, need, size=max(3, need))
        assert played.correct and len(played.choices) <= played.env.bound
        assert sum(played.pay) == pytest.approx(2 if problem.tasks else 1)


def test_the_oracle_plays_within_practice():
    """The first call off the tree ends practice, and the best order makes none."""
    rng = random.Random(2)
    for problem in problems(rng, (3, 5, 7)):
        assert solve(problem, practice=True).correct


# ---- what the network sees

@pytest.mark.parametrize("one, other", [
    ("(8-3)*2+7/2", "(9-1)*5+1/4"), ("3*(x+2)=9-2", "4*(x+1)=8-1"),
    ("|2-7|*(3-3)", "|1-9|*(8-8)"), ("0.5*4-1*15%", "7*12345-3*0.1")])
def test_the_network_sees_no_numbers(one, other):
    """The same structure and signs: the same views, whatever the numbers."""
    first, second = parse(one), parse(other)
    assert first.kinds == second.kinds and first.values != second.values
    played = solve(first)
    assert played.correct
    states = [DESK.start(problem) for problem in (first, second)]
    envs = [Arithmetic(problem) for problem in (first, second)]
    for choice in played.choices:
        views = [DESK.view(state) for state in states]
        assert views[0] == views[1]
        for state, env in zip(states, envs):
            feedback = DESK.act(state, choice, env)
    assert feedback.correct  # the second one is solved by the same choices
    logits, value = spoken(small(), views)
    assert torch.allclose(logits[0], logits[1]) and torch.allclose(value[0], value[1])


def test_the_sign_of_a_result_is_seen():
    seen = []
    for text in ("3-5+1", "5-3+1", "3-3+1"):
        state, env = opened(text)
        call(DESK, state, env, "SUB", 0, 1)
        seen.append(DESK.view(state))
    logits, _ = spoken(small(), seen)
    assert all((logits[i] - logits[j])[11:].abs().max() > 1e-4
               for i, j in ((0, 1), (0, 2), (1, 2)))


def test_the_situation_by_hand():
    """tool (6 or none), what waits (nothing, b, z, a, u), free slots 0..3, failed."""
    def ones(state):
        return [i for i, one in enumerate(DESK.view(state).situation) if one]
    state, env = opened("3-5+x=1")
    assert len(DESK.view(state).situation) == 7 + 5 + 4 + 1
    assert ones(state) == [6, 7, 12 + 3]
    DESK.act(state, 11, env)
    assert ones(state) == [6, 7, 15]
    DESK.act(state, 1, env)
    assert ones(state) == [1, 7, 15]
    DESK.act(state, 12, env)
    assert ones(state) == [6, 8, 15]
    keep(DESK, state, env)
    assert ones(state) == [6, 7, 14]
    call(DESK, state, env, "ADD", 0, 1)
    assert ones(state) == [6, 11, 15]


# ---- encoder and heads

def some_views(seed=0, n=40):
    """Views of random play, of all stages."""
    rng, found = random.Random(seed), []
    for problem in problems(rng, (2, 4, 7)):
        for state, _, feedback in random_play(DESK, problem, rng, store=0.5):
            if state.stage != Stage.ANSWER and not (feedback and feedback.done):
                found.append(DESK.view(state))
    rng.shuffle(found)
    assert {view.stage for view in found[:n]} == set(Stage) - {Stage.ANSWER}
    return found[:n]


def test_padding_changes_nothing():
    """A view says the same alone as beside longer ones."""
    agent, views = small(), some_views()
    logits, value = spoken(agent, views)
    for i, view in enumerate(views):
        alone, worth = spoken(agent, [view])
        width = alone.shape[1]
        assert torch.allclose(logits[i, :width], alone[0], atol=1e-5)
        assert not logits[i, width:].isfinite().any()
        assert torch.allclose(value[i], worth[0], atol=1e-5)


def test_garbage_at_the_padding_of_a_layer_changes_nothing():
    """Zero at the padding goes in, zero comes out, and no parameter of it learns."""
    agent = small()
    kinds = torch.tensor([[1, 3, 1, 0, 0], [1, 3, 1, 5, 1]])
    x = agent.encoder(kinds)
    assert not x[0, 3:].any() and x[0, :3].any()
    for layer in agent.encoder.layers:
        real = kinds != PAD
        inside = torch.randn(2, 5, 16) * real[:, :, None]
        wide = torch.cat((inside, torch.zeros(2, 3, 16)), 1)
        wider = torch.cat((real, real.new_zeros(2, 3)), 1)
        said = layer(inside, real), layer(wide, wider)[:, :5]
        assert torch.allclose(said[0][real], said[1][real], atol=1e-6)
    x.square().sum().backward()
    assert not agent.encoder.token.weight.grad[PAD].any()


def test_a_permuted_batch_permutes_what_is_said():
    agent, views = small(), some_views(1)
    order = torch.randperm(len(views), generator=torch.Generator().manual_seed(0))
    logits, value = spoken(agent, views)
    mixed, worth = spoken(agent, [views[i] for i in order.tolist()])
    assert torch.allclose(logits[order], mixed, atol=1e-5)
    assert torch.allclose(value[order], worth, atol=1e-5)


def test_a_scan_is_the_sum_it_stands_for():
    """h_t = sum over s <= t of add_s times all keeps behind s."""
    keep_, add = torch.rand(2, 6, 3).double(), torch.randn(2, 6, 3).double()
    h = scan(keep_, add)
    for t in range(6):
        expected = sum(add[:, s] * keep_[:, s + 1:t + 1].prod(1) for s in range(t + 1))
        assert torch.allclose(h[:, t], expected)


def test_each_token_reads_both_sides():
    """A sweep tells a token what stands anywhere before and behind it."""
    for layers in ((0,), (1, 0)):
        agent = small(layers=layers)
        kinds = torch.tensor([[1, 3, 1, 5, 1, 4, 1]] * 3)
        kinds[1, 0] = kinds[2, -1] = 2
        x = agent.encoder(kinds)
        for row in (1, 2):
            assert ((x[row] - x[0]).abs().max(1).values > 1e-7).all()


def test_a_convolution_tells_left_from_right():
    agent = small(layers=(1,))
    one, other = agent.encoder(torch.tensor([[1, 3, 1, 4, 1], [1, 4, 1, 3, 1]]))
    short = agent.encoder(torch.tensor([[1, 3]]))[0, 0]
    assert torch.allclose(one[0], short, atol=1e-6)  # it reads its neighbours alone
    assert (one[2] - other[2]).abs().max() > 1e-3
    for i in (0, 2):  # each side alone is read
        rows = torch.tensor([[1, 3, 1], [1, 3, 1]])
        rows[1, i] = 2
        said = agent.encoder(rows)
        assert (said[0, 1] - said[1, 1]).abs().max() > 1e-3


def test_only_the_own_stages_weights_speak():
    agent, views = small(), some_views(2)
    before, worth = spoken(agent, views)
    stage = torch.tensor([view.stage for view in views])
    for s in range(4):
        other = copy.deepcopy(agent)
        with torch.no_grad():
            for parameter in other.pointer.heads[s].parameters():
                parameter += torch.randn_like(parameter)
        after, value = spoken(other, views)
        same = torch.tensor([torch.equal(a, b) for a, b in zip(before, after)])
        others = stage != s
        assert same[others].all() and torch.equal(worth[others], value[others])
        several = torch.tensor([sum(view.legal) > 1 for view in views])
        assert not same[(stage == s) & several].any()
        assert (worth[stage == s] != value[stage == s]).all()


def test_a_wrong_stage_is_another_policy():
    agent = small()
    state, _ = opened("3+4*5")
    view = DESK.view(state)
    wrong = replace(view, stage=int(Stage.RIGHT), left=0)
    logits, _ = spoken(agent, [view, wrong])
    assert (logits[0] - logits[1])[11:].abs().max() > 1e-3


def chosen(text, *choices):
    """What is seen after some choices."""
    state, env = opened(text)
    for choice in choices:
        DESK.act(state, choice, env)
    return DESK.view(state)


def test_the_tool_depends_on_the_first_operand():
    views = [chosen("3+4*5", 11 + left) for left in (0, 1, 2)]
    logits, value = spoken(small(), views)
    for i, j in ((0, 1), (1, 2), (0, 2)):
        assert (logits[i] - logits[j])[:6].abs().max() > 1e-4 and value[i] != value[j]


def test_the_second_operand_can_be_told_by_its_distance():
    """On a sheet of equal numbers, anywhere: one to the right, or two to the left."""
    agent, text = small(), "+".join("1" * 15)
    bias = agent.pointer.heads[Stage.RIGHT].offset.bias
    for apart in (1, -2):
        with torch.no_grad():
            bias.zero_()
            bias[agent.config.offsets + apart] = 99.0
        for left in (2, 7, 13):
            logits, _ = spoken(agent, [chosen(text, 11 + left, 0)])
            assert logits[0].argmax() == 11 + left + apart


def test_gradients_reach_all_that_speaks():
    """All of the encoder, and the heads of all stages, learn from a batch of views."""
    agent, seen = small(), Views.of(some_views(4, 120))
    logits, value = agent(seen)
    log_q = log_policy(logits, seen.legal)
    rare = log_q.masked_fill(~seen.legal, -torch.inf).argmax(1, keepdim=True)
    (log_q.gather(1, rare).sum() + value.sum()).backward()
    kinds = seen.kinds.unique()
    for name, parameter in agent.named_parameters():
        if name == "encoder.token.weight":
            assert (parameter.grad[kinds[kinds != PAD]].abs().sum(1) > 0).all()
        elif not name.startswith("pointer.heads"):
            assert (parameter.grad.abs().flatten(1).sum(-1) > 0).all() if (
                parameter.ndim > 1) else parameter.grad.any(), name
    for head in agent.pointer.heads:
        learns = [p.grad is not None and bool(p.grad.any()) for p in head.parameters()]
        assert sum(learns) >= 6


def test_an_agent_is_small():
    agent = Agent(AgentConfig(), GatedMemory)
    assert sum(p.numel() for p in agent.parameters()) < 160_000
    assert agent.encoder.token.weight.shape[0] == N_KINDS
    kinds = {k for view in some_views(5, 200) for k in view.kinds}
    assert max(kinds) < N_KINDS and PAD not in kinds


# ---- watching

def test_watching_shows_what_greedy_play_does():
    agent, problem = small(), parse("(3-5)*2+x=7-1/2")
    moments = list(watch(agent, problem))
    played, = play(agent, [problem], greedy=True)
    assert len(moments) == len(played.steps) <= played.env.bound
    assert [m.stage for m in moments] == [s.view.stage for s in played.steps]
    assert [m.call for m in moments if m.call] == [str(c) for c in played.env.calls]
    assert moments[0].worksheet == "(3-5)*2+x=7-1/2"
    assert moments[-1].correct == played.correct
    for moment, step in zip(moments, played.steps, strict=True):
        shares = dict(moment.options)
        assert sum(p for _, p in moment.options) == pytest.approx(1, abs=1e-5)
        assert len(moment.options) == sum(step.view.legal)
        assert max(p for _, p in moment.options) == pytest.approx(
            torch.tensor(step.log_prob).exp().item(), abs=1e-5)
        assert moment.choice in shares


def test_an_agent_without_memory_never_stores():
    agent = Agent(AgentConfig(width=16, hidden=16), NoMemory)
    rng = random.Random(0)
    for problem in problems(rng, (3, 5)):
        for state, _, _ in random_play(agent.desk, problem, rng):
            assert not agent.desk.legal(state)[agent.desk.store]


@pytest.mark.parametrize("tools", [("ADD", "SUB"), ("ADD",), ("NEG",)])
def test_something_is_legal_whatever_the_tools(tools):
    """A lone value can't be chosen where no tool takes one value."""
    desk, rng = Desk(AgentConfig(tools=tools), GatedMemory), random.Random(0)
    for text in ("3+4*5", "7", "(1+2)*(3+4)"):
        for _ in range(20):
            for state, _, feedback in random_play(desk, parse(text), rng):
                assert any(desk.legal(state)) or feedback.done
