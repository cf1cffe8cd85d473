"""The playground in a real browser: the same decisions as PyTorch, and a page that everybody can use.

The page is put together from its parts, without a build of the book; the shipped agent plays in it. These tests need
Debian's chromium; axe-core comes from npm.
"""

import base64
import json
import shutil

import playground
import pytest
import torch
from test_offline import AXE, CHROMIUM, FLAGS, FORMS, LOOK, PHONE, RESIZED, WIDE

from mna.environments import Environment, MNAError, Problems, generate, parse
from mna.memory import make_agent
from mna.network import ANSWER, fraction, legal
from mna.training import HERE, load_agent, save_agent

SHIPPED = HERE / "checkpoints/full"
LADDER = tuple(json.loads((SHIPPED / "record.json").read_text())["levels"])
PAGE = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>Playground</title>
<main><h1>Playground</h1><h2>Play</h2>{}</main></html>"""
NEEDS_MEMORY = "(3+4)*(9-1)"

PLAY = """([weights, config, texts]) => {
  const agent = new mna.Agent(mna.tensors(Uint8Array.from(atob(weights), c => c.charCodeAt(0))), config);
  return texts.map(text => {
    const [, ...frames] = mna.play(agent, mna.parse(text));
    const {answer, correct} = frames.at(-1);
    const choices = frames.map(frame => frame.choice), logits = frames.map(frame => frame.logits);
    return {choices, logits, answer: answer && mna.show(answer), correct};
  });
}"""
READ = """texts => texts.map(text => {
  try { const p = mna.parse(text); return [p.kinds, p.numbers.map(mna.show), mna.show(p.answer)]; }
  catch (error) { return error.message; }
})"""


def assembled(folder, run):
    """The page, in a folder of its own, with the agents of a run."""
    target = folder / "_static/playground"
    shutil.copytree(playground.SOURCES, target)
    playground.write(run, target)
    (folder / "book").mkdir()
    page = folder / "book/playground.html"
    page.write_text(PAGE.format((playground.SOURCES / "playground.html").read_text()))
    return page.as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page with two agents: one that never learned, and the shipped one."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(SHIPPED, folder / "run")
    save_agent(make_agent(seed=0), folder / "run/snapshots/0")
    return assembled(folder, folder / "run")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser, address):
    """The page, ready; at the end it must have had no error and asked for nothing but files."""
    tab, errors, requests = browser.new_page(viewport=WIDE), [], []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(address)
    tab.wait_for_selector("[data-ready]")
    yield tab
    tab.close()
    assert not errors and requests and all(url.startswith("file:") for url in requests)


def said(tab):
    return tab.inner_text("#pg-said")


def solve(tab, text):
    tab.fill("#pg-text", text)
    tab.press("#pg-text", "Enter")


def step_until(tab, selector):
    while not tab.locator(selector).count():
        tab.click("#pg-step")


@torch.no_grad()
def by_pytorch(agent, problems):
    """Greedy choices (T, B), logits (T, B, A), which decisions were made (T, B), answers and verdicts (B,)."""
    env, state = Environment.start(problems), agent.start(problems)
    choices, logits, live = [], [], []
    answers, right = [None] * len(problems), torch.zeros(len(problems), dtype=torch.bool)
    while not env.done.all():
        live.append(~env.done)
        mask, (found, _) = legal(state), agent.decide(state)
        choice = found.masked_fill(~mask, -torch.inf).argmax(1)
        verb, tool, x, y = agent.act(state, choice)
        for i in ((choice == ANSWER) & live[-1]).nonzero()[:, 0].tolist():
            answers[i] = str(fraction(x[i]))
        feedback = env.step(verb, tool, x, y)
        agent.observe(state, feedback)
        right |= feedback.correct & live[-1]
        choices.append(choice)
        logits.append(found)
    return torch.stack(choices), torch.stack(logits), torch.stack(live), answers, right


@pytest.mark.parametrize("trained", [True, False])
def test_it_decides_as_pytorch_does(tab, trained, tmp_path):
    each = 2000 // len(LADDER) + 1 if trained else 20
    levels, rng = torch.arange(len(LADDER)).repeat_interleave(each), torch.Generator().manual_seed(5)
    problems = generate(levels, LADDER, rng, "test")
    agent = load_agent() if trained else make_agent(seed=1)
    save_agent(agent, tmp_path)
    weights = base64.b64encode((tmp_path / "agent.safetensors").read_bytes()).decode()
    config = json.loads((tmp_path / "agent.json").read_text())["network"]
    played = tab.evaluate(PLAY, [weights, config, problems.texts()])

    choices, logits, live, answers, right = by_pytorch(agent, problems)
    assert [episode["choices"] for episode in played] == [choices[live[:, i], i].tolist() for i in range(len(played))]
    assert [episode["answer"] for episode in played] == answers
    assert [episode["correct"] for episode in played] == right.tolist()
    for i, episode in enumerate(played):
        ours = torch.tensor(episode["logits"])
        torch.testing.assert_close(ours, logits[live[:, i], i, :ours.shape[1]], atol=1e-4, rtol=0)


TEXTS = (
    "4+9", "(7*3+4)-(5*8)", "3x+4=19", "6/2x=4", "|4*9-7*8|", "1/3-1/2", "-3+4", "-(2+3)*4", "8/-(1+1)", "007+1",
    "-x=4", "x=5", "999999999999*999999999999", "", "   ", "4+", "4+*3", "(4+3", "4+3)", "4 5", "4$3", "4×3", "x+1",
    "x*x=4", "1/x=2", "|x|=3", "3=4", "x=x", "x=x+1", "4/0", "4/(2-2)", "1=2=3", "x", "-x=x", "2000000000000",
    "1000000000000*1000000000000", "1+" * 16 + "1", "(" * 70, "a" * 80, "it's", "\\", "3\t4", "5(3)", "|3", "٣+1",
    "🙂" * 70,
)  # fmt: skip


def by_python(text):
    try:
        problem = parse(text)
    except MNAError as error:
        return str(error)
    return [list(problem.kinds), [str(n) for n in problem.numbers], str(problem.answer)]


def test_it_reads_and_refuses_what_python_does_in_the_same_words(tab):
    assert tab.evaluate(READ, list(TEXTS)) == [by_python(text) for text in TEXTS]


def test_what_cannot_be_read_is_said_and_the_problem_before_stays(tab):
    before = said(tab)
    solve(tab, "4+")
    assert tab.inner_text("#pg-error") == by_python("4+") and said(tab) == before
    assert tab.get_attribute("#pg-text", "aria-invalid") == "true"
    solve(tab, "4+9")
    assert not tab.inner_text("#pg-error") and tab.get_attribute("#pg-text", "aria-invalid") is None


def test_a_problem_is_solved_by_the_keyboard_alone(tab):
    solve(tab, "4*2+7")
    tab.focus("#pg-step")
    tab.keyboard.press("Enter")
    assert said(tab).startswith("1 of")
    tab.keyboard.press("ArrowLeft")
    assert said(tab).startswith("0 of")
    while tab.is_enabled("#pg-step"):
        tab.focus("#pg-step")
        tab.keyboard.press("ArrowRight")
    assert "The answer 15 is right" in said(tab)
    assert tab.locator(".pg-calls li").all_inner_texts()[-1].endswith("= 15")


def test_play_goes_to_the_end_by_itself(tab):
    tab.select_option("#pg-speed", "250")
    solve(tab, "4+9")
    tab.click("#pg-play")
    tab.locator("#pg-said", has_text="The answer 13 is right").wait_for()
    assert "Play" in tab.inner_text("#pg-play")


def wiped(tab, text, moment):
    solve(tab, text)
    moment()
    tab.click("#pg-wipe")
    tab.locator("#pg-time").press("End")
    return said(tab)


def test_without_its_memory_it_fails_only_where_it_needs_one(tab):
    answer = wiped(tab, NEEDS_MEMORY, lambda: step_until(tab, ".pg-kept"))
    assert "The answer 56" not in answer and "right" not in answer
    tab.click("#pg-undo")
    tab.locator("#pg-time").press("End")
    assert "The answer 56 is right" in said(tab)
    assert "The answer 15 is right" in wiped(tab, "4*2+7", lambda: tab.click("#pg-step"))


def test_a_flaky_calculator_says_so_and_the_link_brings_the_episode_back(tab, address):
    for _ in range(20):  # each time half of the calls fail, by chance
        solve(tab, NEEDS_MEMORY)
        tab.click("#pg-flaky")
        tab.locator("#pg-time").press("End")
        if tab.locator(".pg-failed").count():
            break
    assert tab.locator(".pg-failed").count()
    tab.locator("#pg-time").press("ArrowLeft")
    tab.click("#pg-share")
    shared, before = tab.url, (said(tab), tab.locator(".pg-calls li").all_inner_texts())
    tab.goto("about:blank")
    tab.goto(shared)
    tab.wait_for_selector("[data-ready]")
    assert "#p=" in shared and (said(tab), tab.locator(".pg-calls li").all_inner_texts()) == before


def test_the_slider_loads_the_agent_as_it_was(tab):
    assert tab.locator("script[src*='agent-']").count() == 1
    tab.locator("#pg-age").press("Home")
    tab.locator("script[src*='agent-0.js']").wait_for(state="attached")
    assert tab.inner_text("#pg-decisions") == "0 decisions"
    tab.locator("#pg-time").press("End")
    tab.wait_for_function("mna.data.agents[0].decisions === 0 && document.getElementById('pg-time').value > 0")
    low, high = tab.evaluate("mna.data.agents.map(agent => agent.accuracy.at(-1))")
    assert low < 0.5 < high


def test_without_snapshots_the_slider_is_hidden_and_the_page_says_so(browser, tmp_path):
    tab = browser.new_page()
    tab.goto(assembled(tmp_path, tmp_path / "no run"))
    tab.wait_for_selector("[data-ready]")
    assert tab.locator("#pg-age").is_hidden() and "without a training run" in tab.inner_text("#pg-agents")
    tab.close()


@pytest.mark.parametrize("size, colours", FORMS)
def test_nothing_jumps_scrolls_sideways_or_keeps_anybody_out(tab, size, colours):
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm is missing or has no registry")
    tab.set_viewport_size(size)
    tab.emulate_media(reduced_motion="reduce")
    tab.evaluate("colours => { document.documentElement.dataset.theme = colours; }", colours)
    tab.evaluate("colours => { document.documentElement.style.colorScheme = colours; }", colours)
    solve(tab, NEEDS_MEMORY)
    tab.evaluate(AXE.read_text())
    heights, findings = set(), []
    while tab.is_enabled("#pg-step"):
        tab.click("#pg-step")
        heights.add(tab.evaluate("document.getElementById('pg').offsetHeight"))
        if tab.get_attribute("#pg", "data-stage") == "STORE":
            findings += tab.evaluate(LOOK, False)
    tab.wait_for_timeout(RESIZED)
    findings += tab.evaluate(LOOK, False)
    assert not findings and len(heights) == 1
    assert not tab.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_on_a_phone_step_and_what_it_changes_are_in_sight_at_once(tab):
    tab.set_viewport_size(PHONE)
    tab.evaluate("document.querySelector('.pg-playback').scrollIntoView()")
    for part in ("#pg-said", ".pg-candidates li:last-child"):
        assert 0 < tab.locator(part).bounding_box()["y"] < PHONE["height"] - 25
    tab.evaluate("document.querySelector('.pg-slots').scrollIntoView({block: 'center'})")
    step = tab.locator("#pg-step").bounding_box()
    assert 0 < step["y"] < tab.locator(".pg-slots").bounding_box()["y"]
    tab.mouse.click(step["x"] + step["width"] / 2, step["y"] + step["height"] / 2)
    assert said(tab).startswith("1 of")


def test_there_are_readable_problems_of_every_level_to_draw():
    texts = playground.examples(LADDER)
    assert list(texts) == list(LADDER) and all(len(set(found)) > 3 for found in texts.values())
    assert all(len(Problems.from_text(found)) == playground.PROBLEMS for found in texts.values())


def test_behind_a_run_on_fewer_levels_stands_the_agent_that_ships_and_solves_equations(browser, tmp_path):
    run = tmp_path / "run"
    save_agent(make_agent(seed=0), run)
    (run / "record.json").write_text(json.dumps({"decisions": 7, "levels": {"add": {}, "one_op": {}}}))
    tab = browser.new_page()
    tab.goto(assembled(tmp_path / "page", run))
    tab.wait_for_selector("[data-ready]")
    assert "practised all levels" in tab.inner_text("#pg-agents")
    solve(tab, "3*x+4=19")
    tab.locator("#pg-time").press("End")
    assert "The answer 5 is right" in said(tab)
    tab.locator("#pg-age").press("Home")
    tab.locator("#pg-agents", has_text="practised add to one_op").wait_for()
    assert tab.inner_text("#pg-decisions") == "7 decisions" and tab.locator(".pg-levels li").count() == len(LADDER)
    tab.close()


def test_a_wiped_slot_is_not_said_to_hold_anything(tab):
    solve(tab, NEEDS_MEMORY)
    step_until(tab, ".pg-open")
    assert "The slot now holds" in said(tab)
    tab.click("#pg-wipe")
    assert "holds" not in said(tab) and "The memory has been wiped" in said(tab)
