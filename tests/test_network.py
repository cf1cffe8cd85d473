"""Stages, mask and network: step by step against whole sequences, and what must change nothing."""

import operator
from collections import Counter
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mna import environments as e
from mna import network as n
from mna.memory import make_agent
from mna.ppo import at, log_softmax, pack, play, policy

settings.register_profile("network", deadline=None, max_examples=20, derandomize=True)
settings.load_profile("network")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def mixed(count=240, seed=0, **more):
    """Problems of the full ladder in turn."""
    return e.generate(torch.arange(count) % len(e.FULL_LADDER), e.FULL_LADDER, rng(seed), **more)


def agents():
    torch.manual_seed(0)
    return [n.Agent(), make_agent(seed=0), make_agent(n.NetworkConfig(width=16, slots=1), seed=0)]


each_agent = pytest.mark.parametrize("agent", agents(), ids=["none", "3 slots", "1 slot"])


def states(agent, problems, seed=0, flaky=0.0):
    """Random legal play: (state, mask, done) before every decision."""
    env, state = e.Environment.start(problems, flaky), agent.start(problems)
    while not env.done.all():
        mask = n.legal(state)
        yield state, mask, env.done.clone()
        choice = torch.multinomial(mask.float(), 1, generator=rng(seed + int(env.decisions.sum())))[:, 0]
        agent.observe(state, env.step(*agent.act(state, choice), rng(seed)))


# ---------------------------------------------------------------- stages


def test_the_transition_table():
    table = n.transitions()
    assert table.shape == (len(n.Stage), n.N_TOOLS + 2)
    for k, tool in enumerate(e.TOOLS):
        assert table[n.Stage.CHOOSE, k] == n.Stage.LEFT
        assert table[n.Stage.LEFT, k] == (n.Stage.RIGHT if tool.arity == 2 else n.Stage.CHOOSE)
        assert table[n.Stage.RIGHT, k] == n.Stage.CHOOSE
    assert table[n.Stage.CHOOSE, n.STORE] == n.Stage.STORE and table[n.Stage.STORE, n.STORE] == n.Stage.CHOOSE
    assert table[n.Stage.CHOOSE, n.ANSWER] == n.Stage.ANSWER
    assert (table[n.Stage.ANSWER] == n.Stage.ANSWER).all() and not (table == n.Stage.DRAFT).any()


def test_the_registry_of_tools_is_read_at_import():
    tools = len(e.TOOLS)
    e.TOOLS.append(e.Tool("TWICE", 1, lambda xn, xd, yn, yd: (2 * xn, xd)))
    try:
        assert n.N_TOOLS == tools and n.STORE == tools
    finally:
        e.TOOLS.pop()


# ---------------------------------------------------------------- mask


@each_agent
@pytest.mark.parametrize("flaky", [0.0, 0.3])
def test_the_mask_is_never_empty_and_legal_choices_are_what_they_say(agent, flaky):
    K = agent.memory.slots
    for state, mask, _ in states(agent, mixed(), flaky=flaky):
        assert mask.any(1).all()
        at = {stage: mask[state.stage == stage] for stage in n.Stage}
        assert not at[n.Stage.CHOOSE][:, n.RESULT:].any()
        for stage in (n.Stage.LEFT, n.Stage.RIGHT):
            assert not at[stage][:, :n.RESULT].any()
        assert not at[n.Stage.STORE][:, :n.FIRST_SLOT].any()
        assert not at[n.Stage.STORE][:, n.FIRST_SLOT + K:].any()
        over = at[n.Stage.ANSWER]
        assert (over.sum(1) == 1).all() and over[:, n.RESULT].all(), "one dummy for an episode that is over"


@each_agent
def test_what_the_mask_allows_has_a_value_that_the_environment_takes(agent):
    """No call of random legal play is refused, before a result was lost; it may only divide by zero."""
    problems = mixed(seed=1)
    env, state = e.Environment.start(problems), agent.start(problems)
    draw = rng()
    while not env.done.all():
        choice = torch.multinomial(n.legal(state).float(), 1, generator=draw)[:, 0]
        verb, tool, x, y = agent.act(state, choice)
        going = ~env.done
        feedback = env.step(verb, tool, x, y)
        agent.observe(state, feedback)
        failed = feedback.failed & going & ~feedback.done
        computable = e.calculate(tool, x, y)[1]
        assert not (failed & computable).any()


def test_the_mask_does_not_solve_the_task():
    level = torch.full((1000,), e.FULL_LADDER.index("seed_hard"))
    problems = e.generate(level, e.FULL_LADDER, rng())
    for agent in agents()[:2]:
        assert play(agent, problems, rng(), floor=1.0).right.float().mean() < 0.02


def test_nothing_can_be_named_twice():
    agent, problems = make_agent(seed=0), mixed(seed=2)
    for state, mask, _ in states(agent, problems):
        gone = ~state.holds()
        operand = (state.stage == n.Stage.LEFT) | (state.stage == n.Stage.RIGHT)
        assert not (mask[:, n.RESULT:] & gone)[operand].any()
        right = state.stage == n.Stage.RIGHT
        assert not mask[right].gather(1, state.left[right, None]).any()


# ---------------------------------------------------------------- encoder and core


@given(st.lists(st.lists(st.integers(0, len(e.KINDS) - 1), min_size=7, max_size=7), min_size=1, max_size=40))
def test_unique_rows_are_those_of_torch(rows):
    kinds = torch.tensor(rows + rows[:3])
    found, which = n.unique_rows(kinds)
    assert torch.equal(found[which], kinds)
    assert len(found) == len(torch.unique(kinds, dim=0))


def test_unique_rows_tell_similar_rows_apart():
    kinds = torch.cartesian_prod(*[torch.arange(len(e.KINDS))] * 5)
    assert len(n.unique_rows(kinds)[0]) == len(kinds)
    kinds = F.pad(kinds, (0, e.MAX_TOKENS - 5))
    assert len(n.unique_rows(kinds.flip(1))[0]) == len(kinds)


def shown(texts):
    """What was packed, padded again: (U, L)."""
    return F.pad(texts.kinds, (0, 1), value=e.PAD)[texts.at].T


def test_padding_reaches_no_token():
    encoder, kinds = agents()[1].encoder, e.Problems.from_text("(4*2+7)-5").kinds
    padded = n.Texts.of(F.pad(kinds, (0, 30)), 4)
    assert len(padded.kinds) == 9 and padded.sizes == [1] * 9
    torch.testing.assert_close(encoder(padded), encoder(n.Texts.of(kinds, 4)))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(0, 1000))
def test_tokens_are_packed_by_place_and_find_the_others_of_their_text(lengths, seed):
    """Against loops over texts and places."""
    rows = [torch.randint(1, len(e.KINDS), (length,), generator=rng(seed + i)) for i, length in enumerate(lengths)]
    kinds = torch.stack([F.pad(row, (0, 12 - len(row)), value=e.PAD) for row in rows])
    texts = n.Texts.of(kinds, 3)
    P = len(texts.kinds)
    assert torch.equal(F.pad(shown(texts)[texts.which], (0, 12 - max(lengths)), value=e.PAD), kinds)
    assert texts.place.tolist() == [t for t, size in enumerate(texts.sizes) for _ in range(size)]
    assert texts.length.tolist() == sorted(texts.length.tolist(), reverse=True)
    for offset in (-2, 0, 1, 5):
        found = texts.token(texts.place[:, None] + offset)[:, 0].tolist()
        for token, text, place in zip(found, texts.text.tolist(), texts.place.tolist(), strict=True):
            inside = 0 <= place + offset < texts.length[text]
            assert token == (texts.at[place + offset, text] if inside else P)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_layers_are_what_loops_over_the_tokens_of_each_text_give(lengths):
    kinds = torch.stack([F.pad(torch.full((k,), e.NUMBER), (0, 7 - k), value=e.PAD) for k in sorted(set(lengths))])
    texts, x = n.Texts.of(kinds, 7), torch.randn(sum(set(lengths)), 8, generator=rng())
    near, sweep = n.Near(8, 2), n.Sweep(8)
    a, b = sweep.unit.steps(x)
    for u, length in enumerate(texts.length.tolist()):
        rows, wide, states = texts.at[:length, u], torch.zeros(length + 4, 8), torch.zeros(2, length + 1, 8)
        wide[2:-2] = x[rows]
        beside = torch.stack([torch.cat((wide[t], wide[t + 2], wide[t + 4])) for t in range(length)])
        torch.testing.assert_close(near(x, texts)[rows], (beside @ near.weight.T + near.bias).relu())
        for t in range(length):
            for direction, token in enumerate((rows[t], rows[length - 1 - t])):
                states[direction, t + 1] = a[token] * states[direction, t] + b[token]
        both = torch.cat((states[0, 1:, :4], states[1, 1:].flip(0)[:, 4:]), 1)
        torch.testing.assert_close(sweep(x, texts)[rows], sweep.out(both))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_what_is_moved_brings_its_gradient_back(lengths):
    kinds = torch.stack([F.pad(torch.full((k,), e.NUMBER), (0, 5 - k), value=e.PAD) for k in sorted(set(lengths))])
    texts = n.Texts.of(kinds, 5)
    x = torch.randn(len(texts.kinds), 2, dtype=torch.double, requires_grad=True)
    for reach in (0, 1, 2):
        assert torch.autograd.gradcheck(n.moved, (x, texts, reach))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 1000))
def test_the_scan_equals_a_loop_and_finite_differences(sizes, seed):
    sizes = sorted(sizes, reverse=True)
    M = sum(sizes)
    a, b, h = (torch.randn(rows, 2, dtype=torch.double, generator=rng(seed + i)).requires_grad_()
               for i, rows in enumerate((M, M, sizes[0])))
    slow, last = [], h
    for a_t, b_t in zip(a.split(sizes), b.split(sizes), strict=True):
        last = a_t * last[:len(b_t)] + b_t
        slow.append(last)
    torch.testing.assert_close(n.Scan.apply(a, b, h, sizes), torch.cat(slow))
    assert torch.autograd.gradcheck(lambda *x: n.Scan.apply(*x, sizes), (a, b, h))


def test_the_first_gate_gets_its_gradient():
    """dL/da_0 is h_0 times the gradient: the gate decides how much of the draft survives."""
    a, b, h = (torch.ones(1, 1, requires_grad=True) for _ in range(3))
    n.Scan.apply(a, b, 3 * h, [1]).sum().backward()
    assert a.grad.item() == 3


def test_a_problem_reads_the_same_alone_and_among_longer_ones():
    agent = agents()[1]
    texts = ["4+9", "(3+4)*(9-2)", "|4*9-7*8|", "3*x+4=19", "5"]
    longer = e.Problems.from_text([*texts, "((1+2)*(3+4)-(5+6)*(7+8))*((9-1)*(2-3)+(4-5)*(6-7))"])
    state = agent.start(longer)
    logits, value = agent.decide(state)
    for i, text in enumerate(texts):
        alone = e.Problems.from_text(text)
        own, own_value = agent.decide(agent.start(alone))
        A = n.FIRST_SLOT + agent.memory.slots + int(alone.n_numbers)
        torch.testing.assert_close(logits[i, :A], own[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(value[i], own_value[0], atol=1e-5, rtol=0)


def test_values_do_not_reach_the_policy():
    agent = agents()[1]
    one, other = (agent.decide(agent.start(e.Problems.from_text(text))) for text in ("4*2+7", "999*12345+1"))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True)), "not a bit of logits and value"
    logits, _ = agent.decide(agent.start(e.Problems.from_text(["4*2+7", "999*12345+1"])))
    torch.testing.assert_close(logits[0], logits[1], atol=1e-7, rtol=1e-5)  # a row's place may cost the last bit


# ---------------------------------------------------------------- replay


def decisions(rollout, episodes):
    """(time, row) of their decisions, in the order of a replay: by time, the longest episode first."""
    length = rollout.live.sum(0).tolist()
    rows = sorted(episodes.tolist(), key=lambda b: -length[b])
    return torch.tensor([(t, b) for t in range(max(length)) for b in rows if t < length[b]]).unbind(1)


def replayed(agent, rollout, episodes):
    """(time, row, log-probabilities of what was chosen, those of the softmax alone, values)."""
    time, row = decisions(rollout, episodes)
    batch = pack(rollout, episodes, torch.zeros_like(rollout.reward), torch.zeros_like(rollout.reward))
    logits, value = agent.replay(batch.steps)
    log_q, choice = log_softmax(logits, rollout.legal[time, row]), rollout.choice[time, row]
    p = policy(log_q, rollout.legal[time, row], rollout.floor[row])
    return time, row, at(p, choice).log(), at(log_q, choice), value


@each_agent
@pytest.mark.parametrize("flaky", [0.0, 0.2])
def test_replay_equals_play_on_the_full_ladder(agent, flaky):
    rollout = play(agent, mixed(), rng(), floor=0.1, flaky=flaky)
    with torch.no_grad():
        time, row, log_prob, log_q, value = replayed(agent, rollout, torch.randperm(240, generator=rng()))
    assert len(time) == rollout.decisions
    assert (log_prob - rollout.log_prob[time, row]).abs().max() < 1e-5
    assert (log_q - rollout.log_q[time, row]).abs().max() < 1e-5
    assert (value - rollout.value[time, row]).abs().max() < 1e-5


@each_agent
def test_replay_has_the_gradients_of_play(agent):
    problems, draw = mixed(48), rng()
    env, state, before, choices = e.Environment.start(problems), agent.start(problems), [], []
    loss = 0
    while not env.done.all():
        mask, live = n.legal(state), ~env.done
        noted = [live, state.stage, state.previous, state.seen, state.waiting()]
        logits, value = agent.decide(state)
        log_p = logits.masked_fill(~mask, -torch.inf).log_softmax(1)
        choice = torch.multinomial(mask.float(), 1, generator=draw)[:, 0]
        loss = loss + log_p.gather(1, choice[:, None])[live].sum() + value[live].sum()
        before.append(noted)
        choices.append((choice, mask))
        agent.observe(state, env.step(*agent.act(state, choice)))
    names = [name for name, _ in agent.named_parameters()]
    slow = torch.autograd.grad(loss, list(agent.parameters()), allow_unused=True)
    fast = torch.autograd.grad(_replay_loss(agent, problems, before, choices), list(agent.parameters()),
                               allow_unused=True)
    for name, a, b in zip(names, slow, fast, strict=True):
        a, b = (torch.zeros(1) if grad is None else grad for grad in (a, b))
        assert (a - b).abs().max() < 1e-4 * max(1, float(a.abs().max())), name


def _replay_loss(agent, problems, before, choices):
    """The same sum as step by step, from one replay; last writes are worked out here a second way."""
    live, stage, previous, seen, waiting = (torch.stack(part) for part in zip(*before, strict=True))
    choice, mask = (torch.stack(part) for part in zip(*choices, strict=True))
    T, B, K = len(live), live.shape[1], agent.memory.slots
    order = live.sum(0).argsort(descending=True, stable=True).tolist()
    pack_of = {}
    for t in range(T):
        for b in order:
            if live[t, b]:
                pack_of[t, b] = len(pack_of)
    written = torch.full((len(pack_of), K), -1)
    for (t, b), i in pack_of.items():
        for k in range(K):
            at = [u for u in range(t) if stage[u, b] == n.Stage.STORE and choice[u, b] == n.FIRST_SLOT + k]
            written[i, k] = pack_of[at[-1], b] if at else -1
    time, row = (torch.tensor(part) for part in zip(*pack_of, strict=True))
    rank = torch.empty(B, dtype=torch.long)
    rank[order] = torch.arange(B)
    parts = (part[time, row] for part in (stage, previous, seen, waiting))
    steps = n.Steps.of(problems.kinds[order], rank[row], live.sum(1).tolist(), *parts, written)
    logits, value = agent.replay(steps)
    log_p = logits.masked_fill(~mask[time, row], -torch.inf).log_softmax(1)
    return log_p.gather(1, choice[time, row][:, None]).sum() + value.sum()


@each_agent
def test_garbage_behind_an_episodes_end_changes_nothing(agent):
    rollout, episodes = play(agent, mixed(), rng(), floor=0.1), torch.arange(240)
    with torch.no_grad():
        clean = replayed(agent, rollout, episodes)
        over = ~rollout.live
        for name, garbage in (("stage", 5), ("previous", 9), ("seen", 4), ("choice", 3), ("waiting", True),
                              ("written", 1), ("log_prob", torch.nan), ("log_q", torch.nan), ("value", torch.nan)):
            getattr(rollout, name)[over] = garbage
        dirty = replayed(agent, rollout, episodes)
    assert all(torch.equal(a, b) for a, b in zip(clean, dirty, strict=True))


def test_a_replay_of_some_episodes_equals_that_of_all():
    agent = agents()[1]
    rollout = play(agent, mixed(), rng(), floor=0.1)
    with torch.no_grad():
        time, row, log_prob, log_q, value = replayed(agent, rollout, torch.arange(3, 240, 7))
    assert torch.allclose(log_prob, rollout.log_prob[time, row], atol=1e-5)
    assert torch.allclose(log_q, rollout.log_q[time, row], atol=1e-5)
    assert torch.allclose(value, rollout.value[time, row], atol=1e-5)


@each_agent
def test_episodes_without_a_write_are_replayed_too(agent):
    rollout = play(agent, mixed(), rng(), floor=0.1)
    episodes = (~(rollout.stage == n.Stage.STORE).any(0)).nonzero()[:, 0]
    time, row, log_prob, _, value = replayed(agent, rollout, episodes)
    assert len(episodes) and (log_prob - rollout.log_prob[time, row]).abs().max() < 1e-5
    (log_prob.sum() + value.sum()).backward()
    assert all(part.grad is None or part.grad.isfinite().all() for part in agent.parameters())
    agent.zero_grad()


@pytest.mark.parametrize("M, C, R", [(6, 3, 4), (5, 7, 1), (1, 1, 1), (6, 0, 4), (4, 3, 0), (6, 0, 0), (200, 3, 2)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["nothing there", "some there", "all there"])
def test_keys_and_pairs_agree_and_so_do_their_gradients(M, C, R, share):
    D, draw = 8, rng(M + C)
    there = (torch.rand(M, C, generator=draw) < share) & (R > 0)
    row = torch.randint(max(1, R), (M, C), generator=draw)
    table, query, weights = (torch.randn(shape, generator=draw).requires_grad_() for shape in ((R, D), (M, D), (M, C)))
    where = n.Where.of(there, row.where(there, 10**6), R)  # what is not there names no row
    assert where.shape == (M, C) and len(where.place) == len(where.decision) == len(where.row) == there.sum()
    assert list(zip(where.decision.tolist(), where.row.tolist(), strict=True)) == [
        (m, int(row[m, c])) for m in range(M) for c in range(C) if there[m, c]]  # fmt: skip
    bags = where.row[where.by_row].tensor_split(where.first_of[1:])
    whole = zip(bags, where.row_of, strict=len(where.row) > 0)
    assert all((bag == of).all() and len(bag) <= n.BAG for bag, of in whole)
    plain = F.pad(table, (0, 0, 0, 1))[row.where(there, R)]  # zero where it is not there
    found = []
    for keys in (n.Keys(plain), n.Pairs(where, table)):
        scores, mixed = keys.scores(query), keys.mix(weights)
        assert scores.shape == (M, C) and mixed.shape == (M, D)
        assert (scores[~there] == 0).all() and (mixed[~there.any(1)] == 0).all()
        loss = (scores * torch.arange(1.0, C + 1)).sum() + mixed.square().sum()
        grads = torch.autograd.grad(loss, (table, query, weights), materialize_grads=True)
        found.append((scores, mixed, *grads))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_scores_are_dot_products_and_the_mix_a_weighted_sum():
    keys = n.Keys(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    assert keys.scores(torch.tensor([[10.0, 1.0]])).tolist() == [[12, 34]]
    assert keys.mix(torch.tensor([[0.5, 2.0]])).tolist() == [[6.5, 9]]


# ---------------------------------------------------------------- what the network is told


@pytest.mark.parametrize("K", [0, 1, 3])
def test_the_situation_is_three_ones(K):
    """The stage, the kind of the choice before, and what came back; which slot or number it was is not told."""
    N = 4
    previous = torch.arange(n.FIRST_SLOT + K + N)
    stage, previous, seen = torch.cartesian_prod(torch.arange(len(n.Stage)), previous, torch.arange(5)).unbind(1)
    told = n.situation(stage, previous, seen, K)
    assert told.shape == (len(stage), sum(n.SITUATION)) and told.dtype == torch.float32
    parts = told.split(n.SITUATION, 1)
    assert ((told == 0) | (told == 1)).all() and all((part.sum(1) == 1).all() for part in parts)
    kinds = [c if c < n.FIRST_SLOT else n.FIRST_SLOT + (c >= n.FIRST_SLOT + K) for c in previous.tolist()]
    for part, wanted in zip(parts, (stage, torch.tensor(kinds), seen), strict=True):
        assert torch.equal(part.argmax(1), wanted)


def test_the_core_is_told_the_situation_and_the_number_chosen():
    agent, number = agents()[1], torch.randn(1, 64, generator=rng())
    told = n.situation(torch.tensor([n.Stage.LEFT]), torch.tensor([n.FIRST_SLOT + 5]), torch.tensor([4]), 3)
    s, kinds, _ = n.SITUATION
    rows = agent.told[[n.Stage.LEFT, s + n.FIRST_SLOT + 1, s + kinds + 4]]
    torch.testing.assert_close(agent.inputs(told, number), rows.sum(0, keepdim=True) + number)


def test_the_heads_are_told_the_situation_too():
    """With the same working state, each of the three parts makes a difference."""
    agent, draw = agents()[1], rng()
    h, operands = torch.randn(1, 64, generator=draw), n.Keys(torch.randn(1, 3 + 2, 64, generator=draw))
    waiting = torch.tensor([[False, False, True, True, True]])
    parts = [(1, 1, 1), (1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2)]
    found = [agent.heads(h, n.situation(*torch.tensor([part]).T, 3), waiting, operands) for part in parts]
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    for logits, value in found[2:]:
        assert not torch.equal(logits, found[0][0]) and (value - found[0][1]).abs() > 1e-3


def test_the_actor_looks_at_what_waits_slots_too():
    """What a slot holds matters to the choice of a tool as long as it waits; what was used does not."""
    agent, draw = agents()[1], rng()
    h, keys = torch.randn(1, 64, generator=draw), torch.randn(1, 3 + 2, 64, generator=draw)
    told = n.situation(*torch.tensor([[1, 1, 1]]).T, 3)
    for waits in (True, False):
        waiting = torch.tensor([[waits, False, False, True, False]])
        other = keys.clone()
        other[:, [0, 1, 4]] = torch.randn(3, 64, generator=draw)
        tools, changed = (agent.heads(h, told, waiting, n.Keys(part))[0][:, : n.N_TOOLS] for part in (keys, other))
        assert torch.equal(tools, changed) != waits


@each_agent
def test_what_waits_is_what_the_record_says(agent):
    """Against a book kept in sets: numbers until they are used, slots from STORE until they are recalled."""
    problems, draw = mixed(48), rng()
    env, state, K = e.Environment.start(problems), agent.start(problems), agent.memory.slots
    book = [set(range(K, K + int(count))) for count in problems.n_numbers]
    while not env.done.all():
        assert [set(row.nonzero()[:, 0].tolist()) for row in state.waiting()] == book
        stage, left = state.stage, state.left
        choice = torch.multinomial(n.legal(state).float(), 1, generator=draw)[:, 0]
        agent.decide(state)
        feedback = env.step(*agent.act(state, choice))
        agent.observe(state, feedback)
        for b in range(len(book)):
            if stage[b] == n.Stage.STORE:
                book[b].add(int(choice[b]) - n.FIRST_SLOT)
            if feedback.present[b]:
                book[b] -= {int(choice[b]) - n.FIRST_SLOT, int(left[b]) - n.FIRST_SLOT}


# ---------------------------------------------------------------- texts


def test_texts_name_each_row_once_and_the_tokens_that_are_its_numbers():
    problems = e.Problems.from_text(["4+9", "(3+4)*(9-2)", "7+1", "|4*9-7*8|", "3*x+4=19", "12", "(1+2)*(3-4)"])
    texts = n.Texts.of(problems.kinds, 4)
    assert texts.numbers.shape == (5, 4) and texts.at.shape[1] == 5
    assert torch.equal(shown(texts)[texts.which], problems.kinds)
    for kinds, u, count in zip(problems.kinds, texts.which, problems.n_numbers, strict=True):
        assert texts.numbers[u, :count].tolist() == texts.at[:, u][(kinds == e.NUMBER)[:len(texts.at)]].tolist()


def test_texts_may_have_room_for_more_numbers_than_tokens():
    problems = e.Problems.from_text(["12"])
    texts = n.Texts.of(problems.kinds, 5)
    assert texts.numbers.shape == (1, 5) and texts.numbers[0, 0] == 0
    keys, h = agents()[1].encode(texts)
    assert keys.shape == (1, 5, 64) and h.shape == (1, 64)


def test_encoding_reads_each_text_once_and_gives_what_each_gets_alone():
    agent, problems = agents()[1], mixed(60)
    N = problems.values.shape[1]
    texts = n.Texts.of(problems.kinds, N)
    keys, h = agent.encode(texts)
    assert len(keys) == len(h) == len({tuple(row) for row in problems.kinds.tolist()}) < 60
    for i in range(0, 60, 7):
        own_keys, own_h = agent.encode(n.Texts.of(problems.kinds[i : i + 1], N))
        count = problems.n_numbers[i]
        torch.testing.assert_close(keys[texts.which[i], :count], own_keys[0, :count], atol=1e-5, rtol=0)
        torch.testing.assert_close(h[texts.which[i]], own_h[0], atol=1e-5, rtol=0)


# ---------------------------------------------------------------- slots are interchangeable


def permuted(state, order):
    """The same state, but with the contents of its slots in another order: slot k holds what slot order[k] held."""
    K, m = state.slots, state.memory
    available = state.available.clone()
    available[:, 1 : 1 + K] = state.available[:, 1 + order]
    renamed = {}
    for name in ("previous", "left"):
        slot = getattr(state, name) - n.FIRST_SLOT
        now = torch.where((slot >= 0) & (slot < K), order.argsort()[slot.clamp(0, K - 1)], slot)
        renamed[name] = n.FIRST_SLOT + now
    memory = n.Memory(m.keys[:, order], m.values[:, order], m.filled[:, order])
    return n.State(**vars(state) | renamed | dict(memory=memory, available=available))


@torch.no_grad()
@pytest.mark.parametrize("order", [[1, 2, 0], [2, 1, 0]], ids=str)
def test_permuting_the_slots_permutes_their_logits_and_changes_nothing_else(order):
    agent, problems, order, chance = make_agent(seed=0), mixed(seed=4), torch.tensor(order), rng()
    torch.nn.init.orthogonal_(agent.query.weight)  # a fresh actor is a hundred times smaller
    env, state = e.Environment.start(problems), agent.start(problems)
    A, told_apart, stored, recalled = n.FIRST_SLOT + 3 + problems.values.shape[1], 0.0, 0, 0
    where = torch.arange(A)
    where[n.FIRST_SLOT : n.FIRST_SLOT + 3] = n.FIRST_SLOT + order
    while not env.done.all():
        twin, mask = permuted(state, order), n.legal(state)
        assert torch.equal(n.legal(twin), mask[:, where])
        (logits, value), (other, same) = agent.decide(state), agent.decide(twin)
        torch.testing.assert_close(other, logits[:, where], atol=1e-5, rtol=1e-5)  # sums over slots, in another order
        torch.testing.assert_close(same, value, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(twin.h, state.h, atol=1e-6, rtol=1e-6)

        two = state.memory.filled[:, :2].all(1)  # what tells slots apart is what they hold
        empty = ~state.memory.filled
        slot = logits[:, n.FIRST_SLOT : n.FIRST_SLOT + 3]
        told_apart = max([told_apart, *(slot[two, 0] - slot[two, 1]).abs().tolist()])
        assert ((slot - slot.masked_fill(~empty, -torch.inf).amax(1, keepdim=True)).abs()[empty] < 1e-6).all()

        choice = torch.multinomial(mask.float(), 1, generator=chance)[:, 0]
        twins = where.argsort()[choice]
        one, two = agent.act(state, choice), agent.act(twin, twins)  # the same slots: the same call goes out
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
        verb = one[0][(choice >= n.FIRST_SLOT) & (choice < n.FIRST_SLOT + 3)]
        stored, recalled = stored + int((verb == e.KEEP).sum()), recalled + int((verb == e.CALL).sum())
        agent.observe(state, env.step(*one))
    assert told_apart > 0.01 and stored > 20 and recalled > 20


@torch.no_grad()
@pytest.mark.parametrize("K", [1, 2, 7])
def test_the_same_weights_run_with_another_number_of_slots(K):
    """Whatever is done with one slot alone, more of them change neither a logit nor a value."""
    few, many = make_agent(n.NetworkConfig(slots=1), seed=0), make_agent(n.NetworkConfig(slots=K), seed=1)
    many.load_state_dict(few.state_dict())
    assert few.fixed.shape == many.fixed.shape == (n.FIRST_SLOT + 1, 64)
    problems, chance, stored = mixed(seed=5), rng(), 0
    env, one, other = e.Environment.start(problems), few.start(problems), many.start(problems)
    shared = torch.arange(n.FIRST_SLOT + 1 + problems.values.shape[1])
    shared[n.FIRST_SLOT + 1 :] += K - 1
    while not env.done.all():
        mask = n.legal(one)
        assert not (mask & ~n.legal(other)[:, shared]).any()
        (logits, value), (more, same) = few.decide(one), many.decide(other)
        torch.testing.assert_close(more[:, shared], logits, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(same, value, atol=1e-6, rtol=1e-6)
        choice = torch.multinomial(mask.float(), 1, generator=chance)[:, 0]
        stored += int((one.stage == n.Stage.STORE).sum())
        calls = few.act(one, choice), many.act(other, shared[choice])
        assert all(torch.equal(a, b) for a, b in zip(*calls, strict=True))
        feedback = env.step(*calls[0])
        few.observe(one, feedback)
        many.observe(other, feedback)
    assert stored > 20


# ---------------------------------------------------------------- the agent as a whole


def test_about_a_hundred_thousand_parameters():
    count = sum(part.numel() for part in make_agent().parameters())
    assert 80_000 < count < 120_000
    assert count == sum(part.numel() for part in make_agent(n.NetworkConfig(slots=9)).parameters())


def test_an_agent_without_memory_plays_the_full_ladder():
    agent = n.Agent()
    rollout = play(agent, mixed(), rng(), floor=0.1)
    assert rollout.written.shape[2] == 0 and not (rollout.stage == n.Stage.STORE).any()
    assert not rollout.legal[..., n.STORE].any() and rollout.live[0].all()
    assert not any(name.startswith("memory") for name in agent.state_dict())


def test_the_first_policy_is_nearly_uniform():
    rollout = play(make_agent(seed=0), mixed(), rng())
    even = 1 / rollout.legal.sum(-1)
    assert (rollout.log_prob.exp() - even)[rollout.live].abs().max() < 0.05


# ---------------------------------------------------------------- watch


def assert_exact(tool, x, y, result):
    """A call's result, worked out with Python's fractions."""
    if tool == "NEG":
        assert y is None and result == -x
    else:
        assert result == getattr(operator, dict(ADD="add", SUB="sub", MUL="mul", DIV="truediv")[tool])(x, y)


@pytest.mark.parametrize("text", ["5", "-3", "x=5", "3x=12", "0+0", "4/3", "|2-9|", "(4*2+7)-(6*3)", "3x+4=x"])
def test_watch_tells_of_a_whole_episode(text):
    told = list(n.watch(make_agent(seed=1), text))
    assert 1 <= len(told) <= e.DECISIONS_PER_NUMBER * len(e.parse(text).numbers)
    assert [d["done"] for d in told] == [False] * (len(told) - 1) + [True]
    for d in told:
        assert len(d["candidates"]) == len(d["probabilities"]) and len(d["memory"]) == 3
        assert abs(float(d["probabilities"].sum()) - 1) < 1e-5
        assert d["probabilities"][d["choice"]] == d["probabilities"].max()
        if d["call"] and d["call"]["result"] is not None:
            assert_exact(**d["call"])
    assert isinstance(told[-1]["answer"], Fraction | None)


def test_watch_names_candidates_as_the_problem_writes_them():
    names = next(iter(n.watch(make_agent(), "12*(-3)+12")))["candidates"]
    assert names[:n.N_TOOLS] == [tool.name for tool in e.TOOLS]
    assert names[n.N_TOOLS:] == ["STORE", "ANSWER", "result", "slot 0", "slot 1", "slot 2", "12", "-3", "12"]


def test_watch_refuses_what_cannot_be_read():
    with pytest.raises(e.MNAError, match="4\\+"):
        list(n.watch(make_agent(), "4+"))


def test_watch_shows_a_flaky_tool():
    told = list(n.watch(make_agent(seed=1), "4+9", flaky=1.0))
    calls = Counter(d["call"]["result"] for d in told if d["call"])
    assert calls and set(calls) == {None}
