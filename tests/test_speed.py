"""The fast forms give what the plain ones give."""

import copy
import random

import pytest
import torch
from oracle import CASES, choices_of, solve
from torch.autograd import gradcheck

from mna import evaluation, ppo, speed
from mna.batched import generate, pack_problems, to_problem
from mna.environments import Arithmetic
from mna.language import MNAError, parse
from mna.memory import GatedMemory
from mna.network import N_KINDS, Agent, AgentConfig, NoMemory, Stage, Views, scan
from mna.ppo import PPOConfig
from mna.problems import Level, check_levels
from mna.speed import FAST, Beside, States, Texts, distinct, scan_, unique_rows

LEVELS = [Level(kind, n) for n in range(1, 10) for kind in (
    "mixed", "bars", "signs", "algebra", "expr") if n > 2 or kind in ("mixed", "signs")]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(seed=0, memory=GatedMemory, **options):
    torch.manual_seed(seed)
    agent = Agent(AgentConfig(**dict(width=16, hidden=16) | options), memory)
    with torch.no_grad():
        for head in agent.pointer.heads:
            for parameter in head.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
    return agent


def drawn(B, levels=LEVELS, seed=0, split="train"):
    """B problems, batched and plain."""
    problems = generate(torch.arange(B) % len(levels), levels, seeded(seed), split)
    return problems, [to_problem(problems, i) for i in range(B)]


def replayed(agent, plain, r, slots=None, **options):
    """Plain episodes made by the choices of a fast rollout, and the rows that they are;
    all that both have must be equal: worksheets, masks, situations, rewards, ends.

    An episode is left where a call gives what the fast form has not (see `beyond`).
    """
    episodes, compared, left = [], [], 0
    for i, problem in enumerate(plain):
        episode = ppo.Episode(Arithmetic(problem, **options))
        state = agent.desk.start(problem, None if slots is None else int(slots[i]))
        rows = (r.problem == i).nonzero()[:, 0].tolist()
        for t, k in enumerate(rows):
            view, env = agent.desk.view(state), episode.env
            assert r.time[k] == t
            same_as_view(view, r, k)
            feedback = agent.desk.act(state, int(r.choice[k]), env)
            outside = bool(env.calls) and beyond(env.calls[-1])
            assert outside or float(r.reward[k]) == pytest.approx(feedback.reward, abs=1e-6)
            episode.steps.append(ppo.Step(view, int(r.choice[k]), float(r.log_prob[k]),
                                          float(r.value[k]), feedback.reward))
            compared.append(k)
            if outside and not feedback.done:
                left += 1
                break
            last = t == len(rows) - 1
            assert last == (feedback.done or t == env.bound - 1)
        else:
            assert feedback.correct == bool(r.correct[i])
        episode.correct = feedback.correct
        episodes.append(episode)
    assert left < 0.3 * len(plain) and (left or r.decisions == len(compared))
    return episodes, torch.tensor(compared)


def beyond(call):
    """Did it divide by the unknown, or leave 62 bits? The fast form does neither."""
    value = call.result
    return value is not None and (
        max(abs(value.p), abs(value.q), value.s) > 2 ** 40
        or call.tool == "DIV" and call.operands[1].has_unknown)


def same_as_view(view, r, k):
    """Is what the fast form noted of a decision what the plain desk sees?"""
    def padded(row, values, fill):
        row = row.tolist()
        n = len(values)
        return row[:n] == list(values) and all(v == fill for v in row[n:])
    sheet = r.sheet[k]
    assert padded(r.kinds[sheet], view.kinds, 0)
    assert padded(r.legal[k], view.legal, False)
    assert r.situation[k].tolist() == list(view.situation)
    assert (r.stage[k], r.left[k]) == (view.stage, view.left)


# ---- play

@pytest.mark.parametrize("practice, shaping", [(False, 1.0), (True, 0.6)])
def test_the_same_choices_lead_the_same_way(practice, shaping):
    """At random, with 0 to 3 usable slots."""
    agent, (fast, plain) = small(), drawn(150)
    slots = torch.arange(150) % 4
    options = dict(practice=practice, shaping=shaping)
    r = speed.play(agent, fast, seeded(), uniform=True, slots=slots, **options)
    replayed(agent, plain, r, slots, **options)
    seen = set(r.stage.tolist())
    assert seen == {0, 1, 2, 3} and r.correct.any()


def played_in_both(agent, plain, choices, slots=3):
    """Play these choices at the fast desks and at plain ones, and compare in each turn
    masks, situations, worksheets, rewards and ends. Returns the fast desks."""
    B, desk = len(plain), agent.desk
    desks = speed.Desks.start(pack_problems(plain), desk, torch.full((B,), slots))
    states, envs = [desk.start(p, slots) for p in plain], [Arithmetic(p) for p in plain]
    done = [False] * B
    for t in range(max(map(len, choices))):
        legal, situation = desks.legal(desk), desks.situation(desk)
        assert legal.any(1).all()  # finished ones keep one dummy action
        choice, pay = legal.byte().argmax(1), torch.zeros(B)
        live = [i for i in range(B) if t < len(choices[i])]
        for i in live:
            view = desk.view(states[i])
            assert not done[i]
            assert legal[i].nonzero()[:, 0].tolist() == [
                a for a, ok in enumerate(view.legal) if ok]
            assert situation[i].tolist() == list(view.situation)
            assert desks.kinds[i][desks.kinds[i] > 0].tolist() == list(view.kinds)
            choice[i] = choices[i][t]
            feedback = desk.act(states[i], choices[i][t], envs[i])
            pay[i], done[i] = feedback.reward, feedback.done
        reward, _ = desks.step(desk, choice, False)
        for i in live:
            assert float(reward[i]) == pytest.approx(float(pay[i]), abs=1e-6)
            assert bool(desks.done[i]) == done[i]
            sheet = [token.kind for token in states[i].worksheet.tokens]
            assert desks.kinds[i][desks.kinds[i] > 0].tolist() == sheet
    return desks


def test_the_best_order_solves_all_in_both_forms():
    """Long right episodes: stores, recalls, bars, roots."""
    _, plain = drawn(135, seed=1)
    oracles = [solve(problem) for problem in plain]
    assert all(oracle.correct for oracle in oracles)
    desks = played_in_both(small(), plain, [oracle.choices for oracle in oracles])
    assert desks.done.all() and desks.correct.all()


def test_fast_desks_rewrite_worksheets_by_the_same_rules():
    """The hand cases of the plain worksheet."""
    agent = small()
    played_in_both(agent, [parse(text) for text, _ in CASES],
                   [choices_of(agent.desk, play) for _, play in CASES])


def looked(agent, r, rows):
    """`speed.look` of decisions in any order."""
    order = r.stage[rows].argsort(stable=True)
    return [part[order.argsort()] for part in speed.look(agent, r, rows[order])]


@pytest.mark.parametrize("options", [
    {}, dict(tools=("ADD", "NEG", "MUL", "SUB"), slots=1), dict(layers=(0,), offsets=1),
    dict(layers=(1,))])
def test_logits_and_values_are_the_plain_ones(options):
    """On the views of random play: 1e-5 where something is legal."""
    agent, (fast, plain) = small(1, **options), drawn(60, seed=2)
    r = speed.play(agent, fast, seeded(), uniform=True)
    episodes, rows = replayed(agent, plain, r)
    steps = [s for e in episodes for s in e.steps]
    seen = Views.of([s.view for s in steps])
    with torch.no_grad():
        logits, value = agent(seen)
        fast_logits, fast_value = looked(agent, r, rows)
    gap = (logits - fast_logits).masked_fill(~seen.legal, 0)
    assert gap.abs().max() < 1e-5 and (value - fast_value).abs().max() < 1e-5
    assert (r.value[rows] - value).abs().max() < 1e-5
    assert logits[seen.legal].std() > 0.05


def test_noted_probabilities_are_those_of_the_policy():
    agent, (fast, plain) = small(2), drawn(40, seed=3)
    r = speed.play(agent, fast, seeded())
    steps = [s for e in replayed(agent, plain, r)[0] for s in e.steps]
    seen = Views.of([s.view for s in steps])
    with torch.no_grad():
        log_p = ppo.log_policy(agent(seen)[0], seen.legal)
    choice = torch.tensor([s.choice for s in steps])
    noted = torch.tensor([s.log_prob for s in steps])
    assert (ppo.at(log_p, choice) - noted).abs().max() < 1e-4


def test_uniform_play_is_uniform():
    r = speed.play(small(2), drawn(40, seed=3)[0], seeded(), uniform=True)
    assert torch.allclose(r.log_prob, -r.legal.sum(1).float().log(), atol=1e-5)
    first = r.choice[r.time == 0]
    assert len(first.unique()) > 3


def test_greedy_play_makes_the_plain_choices():
    agent, (fast, plain) = small(3), drawn(60, seed=4)
    for practice in (False, True):
        r = speed.play(agent, fast, greedy=True, practice=practice)
        episodes = ppo.play(agent, plain, greedy=True, practice=practice)
        for i, episode in enumerate(episodes):
            choices = [step.choice for step in episode.steps]
            assert r.choice[r.problem == i].tolist() == choices
            assert bool(r.correct[i]) == episode.correct


def test_keeping_nothing_gives_the_same_outcome():
    fast = drawn(200, [Level("mixed", 1), Level("expr", 2), Level("expr", 3)])[0]
    for options in (dict(uniform=True), dict(greedy=True), dict(practice=True)):
        r = speed.play(small(), fast, seeded(), **options)
        right = speed.play(small(), fast, seeded(), keep=False, **options)
        assert torch.equal(r.correct, right) and right.dtype == torch.bool
    assert speed.play(small(), fast, seeded(), uniform=True, keep=False).any()


def test_problems_do_not_mix():
    """One problem alone goes as among others."""
    agent, (fast, _) = small(5), drawn(20, seed=6)
    r = speed.play(agent, fast, greedy=True)
    for i in range(20):
        alone = speed.play(agent, fast.select(torch.tensor([i])), greedy=True)
        assert alone.choice.tolist() == r.choice[r.problem == i].tolist()


def test_the_same_seed_plays_the_same():
    agent, fast = small(), drawn(30)[0]
    one, same, other = (speed.play(agent, fast, seeded(seed)).choice.tolist()
                        for seed in (0, 0, 1))
    assert one == same != other


@pytest.mark.parametrize("slots", [0, 3])
def test_an_agent_without_memory_plays_alike(slots):
    """It never stores, in the fast form either."""
    agent, (fast, plain) = small(memory=NoMemory, slots=slots), drawn(60)
    r = speed.play(agent, fast, seeded(), uniform=True)
    replayed(agent, plain, r)
    assert not (r.choice == agent.desk.store).any()


def test_a_cut_off_episode_has_the_bounds_length():
    agent = small()
    with torch.no_grad():
        agent.pointer.heads[Stage.TOOL].fixed.bias[4] = 99.0
        agent.pointer.heads[Stage.CHOOSE].fixed.bias[6:8] = -99.0
    r = speed.play(agent, pack_problems([parse("7"), parse("-(-7)")]), greedy=True)
    assert torch.bincount(r.problem).tolist() == [6, 18] and not r.correct.any()


def test_a_memory_of_another_class_is_refused_by_name():
    class Sieve(GatedMemory):
        pass
    with pytest.raises(MNAError, match="memory Sieve has no fast form.*mna.ppo.play"):
        speed.play(small(memory=Sieve), drawn(3)[0])


# ---- learn

def test_advantages_are_the_plain_ones():
    agent, (fast, _) = small(), drawn(50)
    r = speed.play(agent, fast, seeded(), uniform=True)
    for gamma, lam in ((0.97, 0.95), (1.0, 0.0), (0.5, 1.0)):
        found = speed.advantages(r, gamma, lam)
        for i in range(50):
            mine = r.problem == i
            expected = ppo.advantages(r.reward[mine].tolist(), r.value[mine].tolist(),
                                      gamma, lam)
            assert found[mine].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_an_update_gives_the_same_weights(share):
    """To 1e-6, from the same episodes, in several minibatches of two passes."""
    agent = small(7)
    fast, plain = drawn(40, LEVELS[:20], seed=8)
    slots = torch.arange(40) % 4
    r = speed.play(agent, fast, seeded(), practice=True, slots=slots)
    episodes, _ = replayed(agent, plain, r, slots, practice=True)
    twin, config = copy.deepcopy(agent), PPOConfig(minibatch=60, epochs=2)
    before = [p.detach().clone() for p in agent.parameters()]
    logs = [module.update(net, torch.optim.SGD(net.parameters(), 0.05), played, config,
                          share, seeded(5))
            for module, net, played in ((ppo, agent, episodes), (speed, twin, r))]
    pairs = list(zip(agent.parameters(), twin.parameters(), strict=True))
    assert max(float((a - b).detach().abs().max()) for a, b in pairs) < 1e-6
    assert max(float((a - b).detach().abs().max())
               for a, b in zip(before, agent.parameters(), strict=True)) > 1e-4
    assert logs[0] == pytest.approx(logs[1], abs=1e-5)


def test_the_fast_engine_is_made_of_these():
    fast, plain = drawn(30)
    assert FAST.name == "fast"
    r = FAST.play(small(), fast, seeded(), uniform=True)
    right, decisions = FAST.outcome(r)
    assert torch.equal(right, r.correct) and decisions == len(r.choice)
    assert torch.equal(FAST.need(fast), fast.need)
    ladder = check_levels(["add", "expr3"])
    problems = FAST.generate(torch.tensor([1, 0]), ladder, seeded(), "train")
    assert problems.numbers.tolist() == [3, 2]


# ---- packed texts

def random_texts(B, L, seed=0, kinds=4):
    """(B, L) kinds of random lengths, padded behind; some rows are alike."""
    g = seeded(seed)
    rows = torch.randint(1, kinds, (B, L), generator=g)
    length = torch.randint(1, L + 1, (B,), generator=g)
    rows[torch.arange(L) >= length[:, None]] = 0
    return rows[torch.randint(B, (B,), generator=g)]


def test_unique_rows_come_back_and_are_unique():
    for L, kinds in ((1, 3), (3, 3), (6, 4), (256, N_KINDS)):
        rows = random_texts(300, L, kinds=kinds)
        unique, which = unique_rows(rows)
        assert torch.equal(unique[which], rows)
        assert len(unique) == len({tuple(row) for row in rows.tolist()})


def test_unique_rows_tells_all_short_texts_apart():
    """Every text of up to 5 tokens of 8 kinds: none is taken for another one."""
    grid = torch.cartesian_prod(*[torch.arange(8)] * 5)
    unique, which = unique_rows(grid)
    assert len(unique) == len(grid) and torch.equal(unique[which], grid)


def test_distinct_texts_come_longest_first():
    rows = random_texts(200, 9)
    kinds, which = distinct(rows)
    assert torch.equal(kinds[which], rows[:, :kinds.shape[1]]) and not rows[:, len(kinds.T):].any()
    length = (kinds > 0).sum(1)
    assert length.tolist() == sorted(length.tolist(), reverse=True)
    assert len(kinds) == len({tuple(row) for row in rows.tolist()})


def where_tokens_stand(kinds):
    """(U, L) the packed token at each place; P where there is none."""
    sizes, P = (kinds > 0).sum(0).tolist(), int((kinds > 0).sum())
    at = torch.full(kinds.shape, P)
    for place, size in enumerate(sizes):
        at[:size, place] = sum(sizes[:place]) + torch.arange(size)
    return at


def test_texts_are_packed_and_found_again():
    """All that a `Texts` notes, token by token."""
    kinds, _ = distinct(random_texts(60, 9, kinds=N_KINDS))
    texts, at = Texts.of(kinds), where_tokens_stand(kinds)
    P = len(texts.text)
    assert sum(texts.sizes) == P == int((kinds > 0).sum())
    wide = torch.nn.functional.pad(kinds, (1, 1))
    holds = {1, 2, *range(13, 21)}
    for u in range(len(kinds)):
        n = int(texts.length[u])
        assert n == int((kinds[u] > 0).sum())
        tokens = at[u, :n].tolist()
        for i, p in enumerate(tokens):
            assert texts.text[p] == u
            assert texts.windows[texts.window[p]].tolist() == wide[u, i:i + 3].tolist()
            beside = [tokens[j] if 0 <= j < n else P for j in (i - 1, i, i + 1)]
            assert texts.beside[p].tolist() == beside
            assert texts.turn.view(P, 2)[p].tolist() == [2 * p, 2 * tokens[n - 1 - i] + 1]
        values = [p for i, p in enumerate(tokens) if int(kinds[u, i]) in holds]
        found = [int(q) for q in texts.value[u] if q < len(texts.values)]
        assert texts.values[found].tolist() == values
        assert (texts.value[u, len(values):] == len(texts.values)).all()
    assert len(texts.windows.unique(dim=0)) == len(texts.windows)


@pytest.mark.parametrize("layers", [(1,), (0,), (1, 1), (0, 0), (0, 1), (1, 0, 1)])
def test_the_encoder_is_the_plain_one(layers):
    agent = small(layers=layers)
    kinds, _ = distinct(random_texts(20, 8, kinds=N_KINDS))
    packed = torch.cat((speed.encode(agent, Texts.of(kinds)), torch.zeros(1, 16)))
    plain = agent.encoder(kinds)
    assert torch.allclose(packed[where_tokens_stand(kinds)], plain, atol=1e-5)


SIZES = [4, 4, 3, 1]


def packed(seed, rows=12, columns=2):
    return torch.rand(rows, columns, generator=seeded(seed), dtype=torch.float64)


def test_a_packed_scan_is_a_scan():
    a, b = packed(0), packed(1)
    out = scan_(a, b.clone(), SIZES)
    parts = [part.split(SIZES) for part in (a, b, out)]
    for i in range(4):
        one, two, said = (torch.stack([p[i] for p in part if len(p) > i])[None]
                          for part in parts)
        assert torch.allclose(scan(one, two), said)


@pytest.mark.parametrize("longest", [5, 1])
def test_the_gradients_written_by_hand(longest):
    texts = Texts.of(distinct(random_texts(12, longest))[0])
    P, turn = len(texts.text), texts.turn
    x = packed(0, P).requires_grad_()
    assert gradcheck(lambda x: Beside.apply(x, texts), (x,))
    for row, n in ((None, P), (texts.window, len(texts.windows))):
        gates = (4 * packed(1, n, 8) - 2).requires_grad_()
        assert gradcheck(States.apply, (gates, row, texts))
    assert torch.equal(turn[turn], torch.arange(2 * P))


def test_states_leave_gates_and_gradients_as_they_were():
    texts = Texts.of(distinct(random_texts(12, 5))[0])
    gates = packed(0, len(texts.text), 8).requires_grad_()
    grad, before = packed(2, len(texts.text), 4), gates.detach().clone()
    kept = grad.clone()
    States.apply(gates, None, texts).backward(grad)
    assert torch.equal(grad, kept) and torch.equal(gates, before)


def test_tanh_and_pick():
    x = torch.linspace(-9, 9, 2001)
    assert (speed.tanh(x) - x.tanh()).abs().max() < 3e-7
    log_p = torch.tensor([0.0, 0.7, 0.0, 0.2, 0.1, 0.0]).log().clamp(min=-1e9)
    found = speed.pick(log_p.expand(20_000, -1), seeded())
    share = torch.bincount(found, minlength=6) / 20_000
    assert share[[0, 2, 5]].sum() == 0
    assert torch.allclose(share, log_p.exp(), atol=0.015)


def test_gradients_are_the_plain_ones():
    """Of all parameters, on views of random play."""
    agent, (fast, plain) = small(4), drawn(25, seed=9)
    r = speed.play(agent, fast, seeded(), uniform=True)
    episodes, rows = replayed(agent, plain, r)
    seen = Views.of([s.view for e in episodes for s in e.steps])
    weight = torch.rand(seen.legal.shape, generator=seeded())
    grads = []
    for logits, value in (agent(seen), looked(agent, r, rows)):
        loss = (logits.masked_fill(~seen.legal, 0) * weight).sum()
        loss = loss + value.square().sum()
        grads.append(torch.autograd.grad(loss / len(rows), list(agent.parameters()),
                                         allow_unused=True))
    for plain_one, fast_one in zip(*grads, strict=True):
        a, b = (torch.zeros(1) if g is None else g for g in (plain_one, fast_one))
        assert (a - b).abs().max() < 1e-5


# ---- hand cases

def test_desks_write_what_worksheets_write():
    """Random calls on sheets with many brackets and bars, against the plain sheet."""
    rng, agent = random.Random(0), small()
    texts = ["||3-5|-|2-9||*((4-6))", "-(-(3-5))*|(2-7)|", "(|4-9|)*2-((|1-8|))",
             "((x+2))*|3-7|=-(4--2)", "|1-|2-|3-9|||", "--(2-3)-|-4|"]
    problems = [parse(rng.choice(texts)) for _ in range(150)]
    fast = pack_problems(problems)
    r = speed.play(agent, fast, seeded(), uniform=True)
    replayed(agent, problems, r)


# ---- solve

def test_solve_is_the_plain_one_answer_by_answer():
    """Also what leaves 62 bits, at once or on the way, and ratios of the unknown."""
    agent = small(3)
    texts = [problem.text for problem in drawn(60, seed=11)[1]]
    texts += ["x/(x-1)=2", "9" * 20 + "*3", "6/x=3", f"{2 ** 40}*{2 ** 40}/{2 ** 40}", "7"]
    plainly, fast = evaluation.solve(texts, agent), speed.solve(texts, agent)
    for one, other in zip(plainly, fast, strict=True):
        assert one.pop("confidence") == pytest.approx(other.pop("confidence"), abs=2e-4)
        assert one == other
    assert speed.solve("7", agent)["problem"] == "7" and speed.solve([], agent) == []


def test_what_goes_another_way_at_the_plain_desk_is_played_again():
    """A call that works at the plain desk and not in the batch: DIV by the unknown."""
    agent, problem = small(), parse("2x=6")
    desk = agent.desk
    choices = [desk.first + 2, 3, desk.first + 1]  # 6, DIV, x
    notes = [(c, 0.0, 0.5, False) for c in choices] + [(desk.first, 0.0, 0.5, True)]
    assert speed.carry_out(agent, problem, notes) is None
    other = small(memory=type("Sieve", (GatedMemory,), {}))
    assert not speed.fits(other, problem) and speed.fits(agent, problem)
    assert [e.correct for e in speed.greedily(other, [problem] * 6)] == [
        e.correct for e in ppo.play(other, [problem] * 6, greedy=True)]
