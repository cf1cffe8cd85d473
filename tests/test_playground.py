"""The playground: it reads what Python reads, decides what PyTorch decides, and everybody can use its page.

The page is put together from its parts, without a build of the book. Reading and deciding need node; the page needs
Debian's chromium; axe-core comes from npm.
"""

import json
import random
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import patch

import playground
import pytest
import torch
from test_offline import AXE, CHROMIUM, FLAGS, FORMS, LOOK, PHONE, RESIZED, WIDE

from mna.evaluation import confidence, seeing, unlike_practice
from mna.language import MNAError, held_out, parse, slots_needed
from mna.network import Stage, Views
from mna.ppo import play
from mna.problems import LEVELS, draw
from mna.training import HERE, load_agent, make_agent, save_agent

NODE, HERE_JS = shutil.which("node"), Path(__file__).with_name("play.js")
TYPED = [line.split("\t")[1] for line in Path(__file__).with_name("typed.tsv").read_text().splitlines()[1:]]
SHIPS = (HERE / "checkpoints/full/agent.json").exists()
ships = pytest.mark.skipif(not SHIPS, reason="the package ships no agent yet")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
NEEDS_MEMORY = "(3+4)*(9-1)"
BOARD = '<div data-problem="(3+4)*(9-1)" data-full>no script</div>'
SMALL = '<div data-problem="(3+4)*(9-1)" data-autoplay></div><div data-problem="4*2+7"></div>'
PAGE = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>Playground</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="playground.css">
<style>body {{ margin: 0; padding: 0.5rem }}</style><main><h1>Playground</h1><h2>Play</h2>{}</main>{}</html>"""


def by_node(**given):
    """What play.js answers."""
    text = json.dumps(dict(sources=str(playground.SOURCES), **given))
    done = subprocess.run([NODE, HERE_JS], input=text, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


# ---------------------------------------------------------------- reading
def by_python(text):
    try:
        p = parse(text)
    except MNAError as error:
        return str(error)
    values, tasks = ([str(value) for value in part] for part in (p.values, p.tasks))
    return [list(p.kinds), values, tasks, str(p.answer), p.unknown, held_out(p.kinds), slots_needed(p)]


def disagreements(texts):
    """(text, what Python says, what the page says), where they differ."""
    found = zip(texts, map(by_python, texts), by_node(texts=texts), strict=True)
    return [(text, ours, theirs) for text, ours, theirs in found if ours != theirs]


EDGES = [
    "", "   ", "\ufeff3+4\r\n", "3\n+4", "3\t4", "a" * 80, "🙂" * 70, "it's", "'\"", "\\", "\x00", "½", "٣+1",
    "1+" * 70 + "1", "(" * 300 + "1" + ")" * 300, "-" * 300 + "1", "1" * 5000, "9" * 3000 + "*" + "9" * 900,
    "1+" * 5100, "2^64", "2^65", "2^3^2", "1/2^3", "x=x", "x=x+1", "x*x=4", "x/x=1", "1/x=2", "(x+1)/x=2",
    "1/(x-1)=1/(x-1)", "|x|=3", "3=4", "4/(2-2)", "4/(2-2)=1", "1=2=3", "|1|2|3|", "|2||3|", "solve for y: 3x=4",
    "find x, 2x=8", "What is 3 1/2?", "<<5+5>>", "=3+4", "x+y=3",
]  # fmt: skip


@needs_node
def test_it_reads_what_people_type_as_python_does_and_refuses_in_the_same_words():
    assert len(TYPED) > 150
    assert not disagreements(TYPED + EDGES)


@needs_node
def test_it_reads_random_texts_and_problems_of_every_level_as_python_does():
    rng = random.Random(7)
    signs = [*"0123456789xyn+-*/()[]|=.,%^$ ²×÷−?_;<'\"", "**", "//", "==", "\\frac", "solve ", " for x"]
    signs += ["3 1/2", "1,200", "<<", ">>"]
    texts = ["".join(rng.choices(signs, k=rng.randint(1, 12))) for _ in range(3000)]
    texts += ["".join(rng.choices("12345x+-*/()||=n.%", k=rng.randint(1, 10))) for _ in range(3000)]
    for _ in range(1500):  # typed ones with a slip of the finger
        text, at = rng.choice(TYPED), rng.randrange(30)
        texts.append(text[:at] + rng.choice(signs) * rng.randint(0, 1) + text[at + rng.randint(0, 1) :])
    texts += [draw(rng.choice(list(LEVELS)), rng).text for _ in range(400)]
    texts += [draw(f"mixed{n}", rng, "test").text for n in (12, 16, 24, 32) for _ in range(20)]
    assert sum(isinstance(by_python(text), list) for text in texts) > 1000
    assert not disagreements(texts)


# ---------------------------------------------------------------- deciding
def families(number):
    """Problems of all kinds, most of 2 to 6 numbers, some longer than any that is practised."""
    rng = random.Random(5)
    names = [name for name, level in LEVELS.items() if level.numbers <= 6]
    longer = [f"{kind}{n}" for kind in ("plain", "parens", "signs", "bars", "equations", "mixed") for n in (10, 16)]
    usual = [draw(names[i % len(names)], rng).text for i in range(number - number // 20)]
    return usual + [draw(longer[i % len(longer)], rng, "test").text for i in range(number // 20)]


@torch.no_grad()
def furthest(agent, episodes, played):
    """The largest difference between PyTorch's logits and the page's, over all decisions."""
    pairs = [pair for e, p in zip(episodes, played, strict=True) for pair in zip(e.steps, p["logits"], strict=True)]
    assert pairs
    pairs.sort(key=lambda pair: len(pair[0].view.kinds))
    worst = 0.0
    for at in range(0, len(pairs), 1000):
        steps, ours = zip(*pairs[at : at + 1000], strict=True)
        logits, _ = agent(Views.of([step.view for step in steps]))
        named = torch.tensor([[i < len(row) for i in range(logits.shape[1])] for row in ours])
        worst = max(worst, float((logits[named] - torch.tensor([v for row in ours for v in row])).abs().max()))
    return worst


@needs_node
@pytest.mark.parametrize("trained", [pytest.param(True, marks=ships), False])
def test_it_decides_as_pytorch_does(trained):
    agent = load_agent() if trained else make_agent(seed=1)
    problems = [parse(text) for text in families(200 if trained else 60)]
    shapes, weights = playground.packed(agent.state_dict())
    config = asdict(agent.config) | {"memory": agent.desk.memory.__name__}
    played = by_node(texts=[p.text for p in problems], shapes=shapes, weights=weights, config=config)

    episodes = play(agent, problems, greedy=True)
    assert [p["choices"] for p in played] == [[step.choice for step in e.steps] for e in episodes]
    assert [p["calls"] for p in played] == [[str(call) for call in e.env.calls] for e in episodes]
    assert [p["given"] for p in played] == [e.env.given and str(e.env.given) for e in episodes]
    assert [p["correct"] for p in played] == [e.correct for e in episodes]
    assert [p["confidence"] for p in played] == pytest.approx([confidence(e) for e in episodes], abs=1e-4)
    assert [p["unlike"] for p in played] == [unlike_practice(problem) for problem in problems]
    assert furthest(agent, episodes, played) < 1e-4


@needs_node
def test_weights_come_back_within_a_millionth_of_the_largest_in_their_row():
    torch.manual_seed(0)
    tensors = {"even": torch.randn(5, 8), "odd": torch.randn(3, 7) * 1e-3, "bias": torch.randn(9) * 100}
    tensors["none"] = torch.zeros(2, 3)
    shapes, text = playground.packed(tensors)
    script = """const fs = require("fs"), {sources, shapes, text} = JSON.parse(fs.readFileSync(0, "utf8"));
      require(`${sources}/language.js`); require(`${sources}/agent.js`);
      const found = Object.entries(mna.unpack(shapes, text)).map(([name, {data}]) => [name, [...data]]);
      console.log(JSON.stringify(Object.fromEntries(found)));"""
    given = json.dumps(dict(sources=str(playground.SOURCES), shapes=shapes, text=text))
    done = subprocess.run([NODE, "-e", script], input=given, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    for name, tensor in tensors.items():
        ours = torch.tensor(found[name], dtype=torch.float64).reshape(tensor.shape)
        assert ((ours - tensor).abs() <= 1e-6 * tensor.abs().amax(-1, keepdim=True)).all()


def test_a_page_with_a_board_takes_less_than_700_kilobytes(tab, address):
    asked = tab.evaluate("[...document.querySelectorAll('script, link')].map(({src, href}) => src ?? href)")
    folder = Path(address.removeprefix("file://")).parent
    sent = {name: (folder / name.rpartition("/")[2]).stat().st_size for name in asked}
    assert len(sent) == 2 + len(playground.SCRIPTS) and sum(sent.values()) < 700_000  # with its style, and one agent


# ---------------------------------------------------------------- the page
def page(folder, body, run):
    """The address of a page with boards, in a folder of its own, with the agents of a run."""
    shutil.copytree(playground.SOURCES, folder)
    with patch.object(playground, "shares", lambda agent: {"expr5": 0.5, "mixed10": 0.125}):
        playground.write(run, folder)
    scripts = "".join(f'<script defer src="{name}.js"></script>' for name in playground.SCRIPTS)
    (folder / "page.html").write_text(PAGE.format(body, scripts))
    return (folder / "page.html").as_uri()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with three moments: two agents that never learned, and behind them the one that ships, if there is one."""
    run = tmp_path_factory.mktemp("run")
    for seed, decisions in enumerate((0, 1000)):
        save_agent(make_agent(seed=seed), run / f"snapshots/{decisions}")
    save_agent(load_agent() if SHIPS else make_agent(seed=2), run)
    (run / "record.json").write_text('{"decisions": 2000}')
    return run


@pytest.fixture(scope="module")
def address(tmp_path_factory, run):
    return page(tmp_path_factory.mktemp("site") / "full", BOARD, run)


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
def opened(browser):
    """Opens an address in a tab; at the end it must have had no error and asked for nothing but files."""
    tabs, errors, requests = [], [], []

    def open_tab(address, **options):
        tab = browser.new_page(viewport=WIDE, **options)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(address)
        tabs.append(tab)
        return tab

    yield open_tab
    for tab in tabs:
        tab.close()
    assert not errors and requests and all(url.startswith("file:") for url in requests)


@pytest.fixture
def tab(opened, address):
    tab = opened(address)
    tab.wait_for_selector("[data-ready]")
    return tab


IN_BROWSER = """texts => JSON.stringify(texts.map(text => {
  const { agent } = document.querySelector("[data-problem]").player;
  const episode = new mna.Episode(agent, mna.parse(text)), { state: { given }, correct } = episode.finish();
  const frames = episode.frames.slice(0, -1), choices = frames.map(frame => frame.choice);
  return { choices, logits: frames.map(frame => frame.logits), given: given && String(given), correct };
}))"""


def said(tab):
    return tab.inner_text(".mna-said")


def error(tab):
    return tab.inner_text(".mna-error")


def sheet(tab):
    return tab.get_attribute(".mna-sheet", "aria-label")


def button(tab, name):
    return tab.get_by_role("button", name=name, exact=True)


def put(tab, text):
    """Type a problem and wait until it stands on the board."""
    tab.fill(".mna-problem input", text)
    tab.wait_for_function("text => document.querySelector('[data-problem]').player.shown === text", arg=text)


def to_the_end(tab):
    tab.locator(".mna-controls input[aria-label='Decision']").press("End")
    tab.wait_for_function("document.querySelector('[data-problem]').player.episode.done")
    tab.locator(".mna-controls input[aria-label='Decision']").press("End")


def test_it_decides_2000_problems_in_a_browser_as_pytorch_does(tab):
    problems = [parse(text) for text in families(2000)]
    agent = load_agent() if SHIPS else make_agent(seed=2)
    for at in range(0, 2000, 250):
        some = problems[at : at + 250]
        episodes, played = play(agent, some, greedy=True), json.loads(tab.evaluate(IN_BROWSER, [p.text for p in some]))
        assert [p["choices"] for p in played] == [[step.choice for step in e.steps] for e in episodes]
        assert [p["given"] for p in played] == [e.env.given and str(e.env.given) for e in episodes]
        assert [p["correct"] for p in played] == [e.correct for e in episodes]
        assert furthest(agent, episodes, played) < 1e-4


def test_play_plays_what_is_typed(tab):
    tab.select_option(".mna-controls select", "150")
    tab.fill(".mna-problem input", "4*2+7")
    button(tab, "▶ Play").click()
    assert sheet(tab).startswith("Worksheet: ") and "9" not in sheet(tab)
    tab.wait_for_selector(".mna-said:not([data-end=''])", timeout=20_000)
    assert button(tab, "▶ Play").count() == 1
    assert tab.inner_text(".mna-answer").split("exact")[1].strip() == "15"
    if SHIPS:
        assert "Answer 15: right." in said(tab) and sheet(tab) == "Worksheet: 15"


def test_what_cannot_be_read_is_said_in_pythons_words_and_the_board_stays(tab):
    before = sheet(tab), said(tab)
    for text in ("4+", "x+y=3", "", "2 apples", "4/(2-2)", "z" * 5000):
        tab.fill(".mna-problem input", text)
        tab.press(".mna-problem input", "Enter")
        assert error(tab) == by_python(text) and (sheet(tab), said(tab)) == before
        assert tab.get_attribute(".mna-problem input", "aria-invalid") == "true"
    put(tab, "4+9")
    assert not error(tab) and tab.get_attribute(".mna-problem input", "aria-invalid") is None


def test_the_keyboard_does_everything_and_the_focus_is_never_lost(tab):
    focus = "document.activeElement.textContent + document.activeElement.tagName"
    put(tab, "4+9")
    button(tab, "Step ▶").focus()
    for _ in range(30):
        tab.keyboard.press("Enter")
        assert tab.evaluate(focus) == "Step ▶BUTTON"
    assert tab.get_attribute(".mna-said", "data-end")
    for _ in range(30):
        tab.keyboard.press("ArrowLeft")
    assert said(tab).startswith("The problem stands") and tab.evaluate(focus) == "Step ▶BUTTON"
    tab.locator(".mna-options button").last.focus()
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.matches('.mna-options button')")
    button(tab, "Reset").focus()
    tab.keyboard.press("Enter")
    assert said(tab).startswith("The problem stands") and tab.evaluate(focus) == "ResetBUTTON"


def test_another_choice_can_be_taken_and_its_result_is_real(tab):
    put(tab, "6-4")
    for name in ("4", "MUL", "6"):
        tab.click(f".mna-options button:has(b:text-is('{name}'))")
    assert said(tab).startswith("MUL(4, 6) = 24, written in its place.") and sheet(tab) == "Worksheet: 24"


@ships
def test_without_its_memory_it_fails_only_where_it_needs_one(tab):
    put(tab, NEEDS_MEMORY)
    to_the_end(tab)
    assert "Answer 56: right." in said(tab)
    button(tab, "Reset").click()
    while not tab.locator(".mna-slot.is-full").count():
        button(tab, "Step ▶").click()
    button(tab, "Wipe its memory").click()
    assert "The memory was wiped" in said(tab) and tab.inner_text(".mna-slot.is-full b") == "0"
    to_the_end(tab)
    assert tab.get_attribute(".mna-said", "data-end") == "wrong"


def test_the_link_brings_the_episode_back(tab):
    put(tab, NEEDS_MEMORY)
    tab.locator(".mna-options button").last.click()
    tab.locator(".mna-options button").last.click()
    button(tab, "Step ▶").click()
    button(tab, "Copy link").click()
    shared, before = tab.url, (sheet(tab), said(tab), tab.inner_text(".mna-calls"))
    tab.goto("about:blank")
    tab.goto(shared)
    tab.wait_for_selector("[data-ready]")
    assert "#p=" in shared and "&e=" in shared
    assert (sheet(tab), said(tab), tab.inner_text(".mna-calls")) == before


HOSTILE = """async hashes => {
  const root = document.querySelector("[data-problem]"), found = [];
  for (const hash of hashes) {
    history.replaceState(null, "", "#" + hash);
    await root.player.restore();
    const words = root.querySelector(".mna-error").textContent;
    const alive = root.querySelectorAll(".mna-token").length > 0 && root.querySelector(".mna-said").textContent !== "";
    root.player.step(1);
    root.player.wipe();
    const foreign = document.querySelector("script:not([src]), img, iframe");
    if (!alive || words.length > 300 || foreign) found.push([hash.slice(0, 80), alive, words]);
  }
  return found;
}"""


def test_two_hundred_hostile_links_are_harmless(tab):
    rng = random.Random(3)
    signs = [*"0123456789+-*/()|=x%&#.<>\"'\\ ", "%00", "%E2", "%", "🙂"]
    signs += ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>"]
    hashes = ["p=", "a=run-0", "p=" + "(" * 20000, "p=" + "%F0%9F%99%82" * 3000, "p=__proto__&a=__proto__"]
    more = ["t=-1", "t=1e9", "t=9999", "a=" + "z" * 9000, "a=constructor", "e=0w.0c99.1c0.9999c1.xx"]
    hashes += ["p=4%2B9&" + part for part in [*more, "e=" + "0w." * 5000]]
    more = ["w=9.9&s=999999", "w=-1&s=0", "w=NaN", "v=constructor", "v=run-0", "v=memory&t=8"]
    hashes += ["p=4%2B9&" + part for part in more]
    for _ in range(200):
        part = lambda: "".join(rng.choices(signs, k=rng.randint(0, 12)))  # noqa: E731
        hashes.append("&".join(f"{name}={part()}" for name in rng.sample("ptaewsv", rng.randint(1, 7))))
    assert not tab.evaluate(HOSTILE, hashes)


def test_a_bad_problem_in_the_address_is_said_and_another_one_stands_there(opened, address):
    tab = opened(address + "#p=4%2B&a=nobody")
    tab.wait_for_selector("[data-ready]")
    assert "9" in sheet(tab) and "nobody" not in tab.inner_text("main")
    tab.evaluate("location.hash = '#p=4%2B&t=3'")
    tab.locator(".mna-error", has_text="where a value must stand").wait_for()
    tab.evaluate("location.hash = '#p=8-3&t=1'")
    tab.wait_for_function("document.querySelector('[data-problem]').player.t === 1")
    assert not error(tab) and said(tab).startswith("TOOL")


def test_the_slider_goes_through_training(tab):
    assert tab.locator("script[src*='run-'], script[src*='shipped']").count() == 1
    slider = tab.locator("input[aria-label='Trained for']")
    slider.press("Home")
    tab.locator("script[src*='run-0.js']").wait_for(state="attached")
    tab.wait_for_function("document.querySelector('[data-problem]').player.key === 'run-0'")
    assert tab.inner_text(".mna-training output") == "0 decisions"
    slider.press("End")
    assert tab.inner_text(".mna-training output") == "2,000 decisions"
    if SHIPS:
        assert "training run that this book shows" in tab.inner_text(".mna-training")
        button(tab, "The agent that ships").click()
        assert "ships with the package" in tab.inner_text(".mna-training")


def test_what_was_never_practised_is_said(tab):
    put(tab, "x+x+x+x+x=5")
    assert "the unknown 5 times" in tab.inner_text(".mna-warning")
    put(tab, "12/x=3")
    assert "an unknown in a denominator" in tab.inner_text(".mna-warning")
    put(tab, "4+9")
    assert not tab.inner_text(".mna-warning")


def test_the_bars_are_shares_of_held_out_problems():
    found = playground.shares(load_agent() if SHIPS else make_agent(seed=0))
    assert tuple(found) == playground.LEVELS and all(0 <= share <= 1 for share in found.values())
    assert not SHIPS or min(found.values()) > 0.9


def test_every_chip_can_be_played(tab):
    texts = tab.evaluate("mna.chips")
    assert len(texts) > 10 and all(isinstance(by_python(text), list) for text in texts)
    for chip in tab.locator(".mna-chips button").all():
        chip.click()
        assert not error(tab) and tab.input_value(".mna-problem input") == chip.get_attribute("title")


def test_it_shows_what_the_network_sees(tab):
    put(tab, "7-2*x=1")
    tab.get_by_label("Show what the network sees").check()
    assert sheet(tab) == "Worksheet: n − n × x = n"


@pytest.mark.parametrize("size, colours", FORMS)
def test_nothing_jumps_scrolls_sideways_or_keeps_anybody_out(tab, size, colours):
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm is missing or has no registry")
    tab.set_viewport_size(size)
    tab.emulate_media(reduced_motion="reduce")
    tab.evaluate("colours => { document.documentElement.dataset.theme = colours; }", colours)
    tab.evaluate("colours => { document.documentElement.style.colorScheme = colours; }", colours)
    put(tab, NEEDS_MEMORY)
    tab.evaluate(AXE.read_text())
    heights, findings, looked = set(), [], set()
    while tab.get_attribute("text=Step ▶", "aria-disabled") != "true":
        button(tab, "Step ▶").click()
        heights.add(tab.evaluate("document.querySelector('.mna-board').offsetHeight"))
        if (stage := tab.get_attribute(".mna-board", "data-stage")) not in looked:
            looked.add(stage)
            findings += tab.evaluate(LOOK, False)
    tab.select_option("select[aria-label='Beside it']", "memory")
    button(tab, "Take the tour: six stops").click()
    for folded in tab.locator("summary").all():
        folded.click()
    tab.wait_for_timeout(RESIZED)
    findings += tab.evaluate(LOOK, False)
    assert not findings and len(heights) == 1
    assert not tab.evaluate("document.documentElement.scrollWidth > innerWidth")


@pytest.mark.parametrize("reduced", ["reduce", "no-preference"])
def test_what_moves_moves_only_for_those_who_like_it(tab, reduced):
    tab.emulate_media(reduced_motion=reduced)
    put(tab, "4+9")
    moved = 0
    for _ in range(3):
        button(tab, "Step ▶").click()
        moved += tab.locator(".mna-flying").count()
    assert bool(moved) == (reduced == "no-preference")
    tab.wait_for_function("!document.querySelector('.mna-flying')")


def test_on_a_phone_the_board_is_in_sight_with_its_buttons(tab):
    tab.set_viewport_size(PHONE)
    tab.evaluate("document.querySelector('.mna-controls').scrollIntoView()")
    for part in (".mna-sheet", ".mna-keys", ".mna-said", ".mna-slots"):
        box = tab.locator(part).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= PHONE["height"]


LONG = "+".join(str(n) for n in range(1, 65))


def longest_task(browser, tab, act):
    """Milliseconds on a processor that the longest task of the page's main thread takes while `act` goes on."""
    categories = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"]
    browser.start_tracing(page=tab, categories=categories)
    act()
    events = json.loads(browser.stop_tracing())["traceEvents"]
    where = lambda event: (event["pid"], event["tid"])  # noqa: E731
    mains = {where(e) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"}
    tasks = [e["tdur"] / 1000 for e in events if e["name"].endswith("RunTask") and where(e) in mains and "tdur" in e]
    assert len(tasks) > 100
    return max(tasks)


@pytest.mark.parametrize("text", [NEEDS_MEMORY, LONG])
def test_no_task_is_longer_than_50_milliseconds_while_it_plays(browser, tab, text):
    tab.select_option(".mna-controls select", "150")

    def playing():
        put(tab, text)
        button(tab, "▶ Play").click()
        tab.wait_for_function("document.querySelector('[data-problem]').player.t > 9", timeout=60_000)

    assert min(longest_task(browser, tab, playing) for _ in range(2)) < 50


def test_it_is_ready_after_a_second_of_one_processor(browser, address):
    """Not by the clock, which counts what else a machine does."""
    tab = browser.new_page(viewport=WIDE)
    metrics = tab.context.new_cdp_session(tab)
    metrics.send("Performance.enable", {"timeDomain": "threadTicks"})
    tab.goto(address)
    tab.wait_for_selector("[data-ready]")
    found = {m["name"]: m["value"] for m in metrics.send("Performance.getMetrics")["metrics"]}
    tab.close()
    assert 0 < found["TaskDuration"] < 1


# ---------------------------------------------------------------- what the playground adds
def player(tab, what):
    return tab.evaluate(f"(player => {what})(document.querySelector('[data-problem]').player)")


def test_the_temperature_draws_and_a_link_brings_the_same_draws_back(tab):
    put(tab, "1+2+3+4+5+6")
    choices = "(player.episode.finish(), player.episode.frames.map(frame => frame.choice))"
    greedy = player(tab, choices)
    tab.locator("input[aria-label='Temperature']").press("End")
    assert "3.0, draws no. 1" in tab.inner_text(".mna-settings")
    first = player(tab, choices)
    button(tab, "Draw again").click()
    second = player(tab, choices)
    button(tab, "Copy link").click()
    shared = tab.url
    tab.goto("about:blank")
    tab.goto(shared)
    tab.wait_for_selector("[data-ready]")
    assert "&w=3&s=2" in shared and player(tab, choices) == second
    assert greedy != first != second
    tab.locator("input[aria-label='Temperature']").press("Home")
    assert player(tab, choices) == greedy


@needs_node
def test_a_draw_follows_the_policy():
    """A hundred thousand draws of three choices, with the same numbers each time."""
    script = """const {sources} = JSON.parse(require("fs").readFileSync(0, "utf8"));
      require(`${sources}/language.js`); require(`${sources}/agent.js`);
      const counts = [0, 0, 0], p = [0.2, 0, 0.8];
      for (let t = 0; t < 1e5; t++) counts[mna.drawn(p, mna.dice(7, t))] += 1;
      console.log(JSON.stringify(counts));"""
    given = json.dumps(dict(sources=str(playground.SOURCES)))
    done = subprocess.run([NODE, "-e", script], input=given, capture_output=True, text=True, check=True)
    first, never, last = json.loads(done.stdout)
    assert never == 0 and first + last == 100_000 and abs(first - 20_000) < 700


@ships
def test_two_agents_play_side_by_side_and_only_the_one_with_memory_answers(tab):
    put(tab, NEEDS_MEMORY)
    tab.select_option("select[aria-label='Beside it']", "memory")
    tab.locator(".mna-rival .mna-sheet").wait_for()
    to_the_end(tab)
    ends = tab.locator(".mna-said").evaluate_all("all => all.map(one => one.dataset.end)")
    assert ends == ["right", "wrong"] and "wiped as soon as it stores" in tab.inner_text(".mna-rival")
    put(tab, "4*2+7")
    to_the_end(tab)
    assert tab.locator(".mna-said").evaluate_all("all => all.map(one => one.dataset.end)") == ["right", "right"]


def test_every_rival_can_play_and_a_link_brings_it_back(tab):
    put(tab, "4+9")
    names = tab.locator("select[aria-label='Beside it'] option").evaluate_all("all => all.map(one => one.value)")
    assert names[:3] == ["", "memory", "stage"] and {"run-0", "run-1000", "run-2000"} <= set(names)
    for name in names[1:]:
        tab.select_option("select[aria-label='Beside it']", name)
        tab.wait_for_function("document.querySelector('[data-problem]').player.rival.episode?.done")
        assert tab.locator(".mna-rival .mna-token").count() >= 3
    button(tab, "Copy link").click()
    shared = tab.url
    tab.goto("about:blank")
    tab.goto(shared)
    tab.locator(".mna-rival .mna-token").first.wait_for()
    assert player(tab, "player.rival.who") == names[-1]
    tab.select_option("select[aria-label='Beside it']", "")
    assert tab.locator(".mna-rival").count() == 0 and player(tab, "player.rival.episode") is None


@needs_node
@ships
def test_told_a_wrong_stage_it_does_what_pytorch_does_then():
    agent, problems = load_agent(), [parse(text) for text in families(40)]
    deceived = seeing(agent, lambda view: replace(view, stage=(view.stage + 1) % Stage.ANSWER))
    shapes, weights = playground.packed(agent.state_dict())
    config = asdict(agent.config) | {"memory": agent.desk.memory.__name__}
    played = by_node(texts=[p.text for p in problems], shapes=shapes, weights=weights, config=config, lesion="stage")
    episodes = [play(deceived, [problem], greedy=True)[0] for problem in problems]  # padding would be read
    assert [p["choices"] for p in played] == [[step.choice for step in e.steps] for e in episodes]


def test_the_tour_has_six_stops_that_the_keyboard_walks(tab):
    button(tab, "Take the tour: six stops").focus()
    tab.keyboard.press("Enter")
    titles, marked = [], []
    for _ in range(6):
        titles.append(tab.inner_text(".mna-stop h3"))
        marked.append(tab.locator(".is-toured").get_attribute("class"))
        assert tab.evaluate("document.activeElement.closest('.mna-stop') !== null") and not error(tab)
        tab.keyboard.press("Enter")
    assert [title[0] for title in titles] == [*"123456"] and len(set(titles)) == 6 and all(marked)
    assert tab.locator(".mna-stop").is_hidden() and tab.locator(".is-toured").count() == 0
    assert tab.evaluate("document.activeElement === document.querySelector('.mna-problem input')")


@ships
def test_the_tour_shows_what_it_speaks_of(tab):
    seen = []
    for stop in range(6):
        player(tab, f"player.tour.go({stop})")
        seen.append(said(tab))
    assert seen[0].startswith("The problem stands") and seen[1].startswith("TOOL") and " = " in seen[2]
    assert seen[3].startswith("STORE: the gate") and seen[4].startswith("The memory was wiped")
    assert tab.inner_text(".mna-warning").startswith("Take care: the unknown 6 times")


@ships
def test_the_tree_grows_with_each_call_and_a_wiped_value_is_gone_from_it(tab):
    put(tab, NEEDS_MEMORY)
    nodes, calls = [], []
    while not tab.get_attribute(".mna-said", "data-end"):
        nodes.append(tab.locator(".mna-tree g").count())
        calls.append(tab.locator(".mna-calls li").count())
        button(tab, "Step ▶").click()
    assert [n - 4 for n in nodes] == calls and calls[-1] == 3
    assert tab.locator(".mna-tree g.is-live").all_inner_texts() == [] or tab.locator(".mna-tree g.is-live").count() == 1
    button(tab, "Reset").click()
    button(tab, "Wipe its memory").click()
    assert tab.locator(".mna-tree g.is-wiped text").first.text_content() == "0"


def test_wiping_goes_to_where_something_is_stored_or_says_that_nothing_is(tab):
    put(tab, "4+9")
    button(tab, "Wipe its memory").click()
    assert "nothing to wipe" in tab.inner_text(".mna-memory") or tab.locator(".mna-slot.is-full").count()
    if SHIPS:
        put(tab, NEEDS_MEMORY)
        button(tab, "Wipe its memory").click()
        assert tab.inner_text(".mna-slot.is-full b") == "0" and said(tab).startswith("The memory was wiped")


def test_each_step_stands_in_words(tab):
    put(tab, "4+9")
    tab.locator("summary", has_text="Each step in words").click()
    to_the_end(tab)
    told = tab.locator(".mna-words li").all_inner_texts()
    assert len(told) == player(tab, "player.t") + 1 and told[0].startswith("The problem stands on the worksheet.")
    assert told[-1] == said(tab)


def test_a_report_says_what_the_board_shows_and_names_no_folder(tab):
    put(tab, "6-4")
    button(tab, "Step ▶").click()
    tab.locator("summary", has_text="Report a problem").click()
    tab.wait_for_function("document.querySelector('textarea').value")
    report = tab.input_value("textarea")
    assert report.startswith("Problem: 6-4\nAgent: ") and "Link: playground.html#p=6-4&t=1" in report
    assert "1. TOOL: it takes" in report and "file:" not in report
    button(tab, "Copy the report").click()
    tab.locator("button", has_text="Selected: copy it").or_(tab.locator("button", has_text="Copied")).wait_for()


@ships
def test_a_choice_among_empty_slots_does_not_look_unsure(tab):
    put(tab, NEEDS_MEMORY)
    player(tab, "player.go(player.find(({ state }) => state.stage === mna.STORE))")
    assert said(tab).startswith("STORE: the gate of slot") and said(tab).endswith(" empty slots are alike.")
    assert "%" not in said(tab).partition("STORE")[2]


def test_the_run_is_replayed_from_its_first_moment_to_its_last(tab):
    put(tab, "4+9")
    button(tab, "▶ Replay the run").click()
    seen = []
    for key in ("run-0", "run-1000", "run-2000"):
        tab.wait_for_function("key => document.querySelector('[data-problem]').player.key === key", arg=key)
        tab.wait_for_function("document.querySelector('.mna-said').dataset.end")
        seen.append(tab.locator(".mna-curves polyline:not(.is-faint)").first.get_attribute("points").count(","))
    assert seen == [1, 2, 3]
    button(tab, "▶ Replay the run").wait_for()
    assert tab.input_value("input[aria-label='Trained for']") == "2"


def test_every_call_has_the_probability_of_its_decisions(tab):
    put(tab, "6-4")
    chosen = []
    while not tab.locator(".mna-calls li").count():
        chosen.append(player(tab, "player.episode.frames[player.t].p[player.episode.frames[player.t].choice]"))
        button(tab, "Step ▶").click()
    together = torch.tensor(chosen, dtype=torch.float64).prod().item()
    assert tab.inner_text(".mna-calls small") == tab.evaluate("mna.percent", together)


# ---------------------------------------------------------------- small boards, and none
@pytest.mark.parametrize("reduced", ["no-preference", "reduce"])
def test_small_boards_play_by_themselves_unless_motion_is_reduced(opened, tmp_path, run, reduced):
    tab = opened(page(tmp_path / "site", SMALL, run), reduced_motion=reduced)
    tab.wait_for_function("document.querySelectorAll('[data-ready]').length === 2")
    boards = "[...document.querySelectorAll('[data-problem]')].map(root => root.player.t)"
    if reduced == "reduce":
        tab.wait_for_timeout(3500)
        assert tab.evaluate(boards) == [0, 0]
        return
    tab.wait_for_function(f"({boards})[0] > 1", timeout=20_000)
    assert tab.evaluate(boards)[1] == 0
    tab.fill(".mna-problem input >> nth=0", "5*3")
    tab.press(".mna-problem input >> nth=0", "Enter")
    tab.wait_for_function(f"({boards})[0] > 1", timeout=20_000)
    tab.wait_for_function("document.querySelector('.mna-said').getAttribute('aria-live') === 'polite'")


def test_on_paper_a_picture_stands_for_a_small_board(opened, tmp_path, run):
    tab = opened(page(tmp_path / "site", SMALL + '<p class="mna-still">still</p>', run))
    tab.wait_for_selector("[data-ready]")
    assert tab.locator(".mna-still").is_hidden() and tab.locator(".mna-board").first.is_visible()
    tab.emulate_media(media="print")
    assert tab.locator(".mna-still").is_visible() and tab.locator(".mna-board").first.is_hidden()


@ships
def test_the_first_page_s_one_button_shows_what_memory_is_worth(opened, tmp_path, run):
    tab = opened(page(tmp_path / "site", SMALL, run), reduced_motion="reduce")
    tab.wait_for_function("document.querySelectorAll('[data-ready]').length === 2")
    board = tab.locator(".mna-board").first
    assert board.get_by_role("button").all_inner_texts() == ["▶ Play", "Wipe its memory"]
    board.get_by_role("button", name="Wipe its memory").click()
    board.locator(".mna-said[data-end='wrong']").wait_for(timeout=30_000)
    board.get_by_role("button", name="▶ Play").click()
    board.locator(".mna-said[data-end='right']").wait_for(timeout=30_000)


def test_a_copy_without_an_agent_says_so(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(playground, "folders", lambda run: [])
    tab = opened(page(tmp_path / "site", BOARD, tmp_path))
    tab.locator(".mna-error", has_text="built without an agent").wait_for()
    for name in ("▶ Play", "Step ▶", "Reset", "Wipe its memory", "Copy link"):
        button(tab, name).click()
    assert "built without an agent" in error(tab)


def test_only_pages_with_a_board_load_it():
    assert playground.BOARD.search('<div data-problem="3+4" data-full>')
    assert playground.BOARD.search("<p><div class='x' data-problem='3'>")
    assert not playground.BOARD.search("<p>the attribute <code>data-problem=</code></p>")
