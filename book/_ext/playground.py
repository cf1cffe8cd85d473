"""What pages with a live board load: its scripts, and agents as text that a page can read from the disk.

A board is any element with the attribute data-problem; a page that has one gets the scripts. The agents are the one
that ships with the package, and those of the run that the book shows: the folder `run` beside _config.yml, which
`make book` puts there, with agent.safetensors, record.json and snapshots/<decisions>. Without any, the boards say so.
"""

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "playground"
SCRIPTS = ("data", "language", "agent", "board", "tree", "load", "rival", "training", "tour", "playground")
BOARD = re.compile(r"<[^>]+\sdata-problem=")
JUDGED, LEVELS = 50, ("expr5", "bars5", "equations5", "mixed10")  # held-out problems of each, to judge a snapshot on
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
HALF = 2**20


def coded(number, characters):
    """A whole number of so many digits in base 64, the highest first."""
    return "".join(DIGITS[number >> 6 * i & 63] for i in reversed(range(characters)))


def packed(tensors):
    """(the list of [name, shape], the text) of float32 tensors; `unpack` in agent.js reads it.

    For each row its largest weight in 6 characters, then two weights in 7, as shares of it with 21 bits each:
    458 kB for 127,916 weights, where base64 of float32 takes 682.
    """
    import torch

    shapes, text = [], []
    for name, tensor in tensors.items():
        rows = tensor.detach().reshape(-1, tensor.shape[-1])
        most = rows.abs().amax(1)
        shares = (rows.double() / most.double().clamp(min=1e-30)[:, None] * (HALF - 1)).round().long() + HALF
        even = torch.nn.functional.pad(shares, (0, shares.shape[1] % 2), value=HALF)
        both = even[:, 0::2] * 2 * HALF + even[:, 1::2]
        scales = most.view(torch.int32).tolist()
        text += [coded(s, 6) + "".join(coded(n, 7) for n in row) for s, row in zip(scales, both.tolist(), strict=True)]
        shapes.append([name, list(tensor.shape)])
    return shapes, "".join(text)


def shares(agent):
    """{level: share of right answers} on held-out problems."""
    from mna.speed import FAST
    from mna.training import exam

    return {name: round(share, 3) for name, share in exam(agent, LEVELS, JUDGED, engine=FAST).items()}


def folders(run):
    """The agents to show, as (key, decisions, folder): those of the run in order, then the one that ships."""
    import mna

    found = {}
    for path in run.glob("snapshots/*"):
        if path.name.isdigit():
            found[int(path.name)] = path
    if (run / "record.json").exists():
        found[json.loads((run / "record.json").read_text())["decisions"]] = run
    listed = [(f"run-{decisions}", decisions, found[decisions]) for decisions in sorted(found)]
    shipped = Path(mna.__file__).parent / "checkpoints/full"
    if (shipped / "agent.json").exists():
        listed.append(("shipped", json.loads((shipped / "agent.json").read_text()).get("decisions", 0), shipped))
    return listed


def write(run, target):
    """Write data.js, and a script with the weights of each agent, into `target`."""
    from mna.network import Stage
    from mna.training import load_agent

    agents = []
    for key, decisions, folder in folders(run):
        agent = load_agent(folder)
        shapes, text = packed(agent.state_dict())
        told = asdict(agent.config) | dict(memory=agent.desk.memory.__name__)
        (target / f"{key}.js").write_text(f'mna.arrived("{key}", {json.dumps(shapes)}, "{text}");\n')
        agents.append(dict(key=key, decisions=decisions, config=told, shares=shares(agent)))
    data = dict(agents=agents, judged=JUDGED, stages=[stage.name for stage in Stage])
    (target / "data.js").write_text(f"(globalThis.mna ??= {{}}).data = {json.dumps(data)};\n")


def add_files(app, error):
    """Put the board's files into the built book."""
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static/playground"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(SOURCES, target)
        write(Path(app.confdir) / "run", target)


def add_scripts(app, pagename, templatename, context, doctree):
    """Let a page load the board's files if it has a board."""
    if BOARD.search(context.get("body") or ""):
        app.add_css_file("playground/playground.css")
        for name in SCRIPTS:
            app.add_js_file(f"playground/{name}.js", loading_method="defer")


def setup(app):
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", add_files)
    return {"parallel_read_safe": True}
