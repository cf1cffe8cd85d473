"""What the playground page loads: its scripts, the agent at moments of its training, and problems to draw from.

The agents are those of the training run that the book shows: the folder `run` beside _config.yml, which `make book`
puts there, with `snapshots/<decisions>` in it. Behind them stands the agent that ships with the package, which has
practised equations too; without a run it is the only one.
Weights are agent.safetensors as text, in a script each: scripts load from the disk too, where a page may fetch nothing.
"""

import base64
import json
import shutil
from dataclasses import asdict
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "playground"
PROBLEMS, JUDGED = 50, 200  # held-out problems of each level: to draw from, to judge an agent on


def folders(run):
    """The agents to show as {decisions: (folder, the levels it practised)}, and the ladder to judge them on.

    First those of the run, then the one that ships with the package, where it practised more levels.
    """
    import mna

    agents, ladder = {}, []
    for folder in filter(Path.is_dir, (run, Path(mna.__file__).parent / "checkpoints/full")):
        record = json.loads((folder / "record.json").read_text())
        practised = list(record["levels"])
        if not set(practised) <= set(ladder):
            early = {int(path.name): path for path in folder.glob("snapshots/*")}
            kept = sorted((early | {record["decisions"]: folder}).items())
            agents |= {decisions: (path, practised) for decisions, path in kept}
            ladder = practised
    return agents, ladder


def judged(agent, ladder):
    """The share of right answers on each level, greedy, on held-out problems."""
    import torch

    from mna.curriculum import accuracy

    return [round(share, 3) for share in accuracy(agent, ladder, JUDGED, torch.Generator().manual_seed(0)).tolist()]


def examples(ladder):
    """Held-out problems of each level, as texts."""
    import torch

    from mna.environments import generate

    rng = torch.Generator().manual_seed(1)
    return {name: generate(torch.full((PROBLEMS,), i), ladder, rng, "test").texts() for i, name in enumerate(ladder)}


def write(run, target):
    """Write data.js and one script of weights for each agent into `target`."""
    from mna.environments import KINDS, TOOLS
    from mna.training import load_agent

    agents, ladder = folders(run)
    listed = []
    for decisions, (folder, practised) in agents.items():
        agent = load_agent(folder)
        text = base64.b64encode((folder / "agent.safetensors").read_bytes()).decode()
        (target / f"agent-{decisions}.js").write_text(f'mna.arrived({decisions}, "{text}");\n')
        listed.append(dict(decisions=decisions, network=asdict(agent.config), practised=practised,
                           accuracy=judged(agent, ladder)))  # fmt: skip
    data = dict(agents=listed, ladder=ladder, problems=examples(ladder), judged=JUDGED,
                kinds=KINDS, tools=[tool.name for tool in TOOLS])  # fmt: skip
    (target / "data.js").write_text(f"(globalThis.mna ??= {{}}).data = {json.dumps(data)};\n")


def add_files(app, error):
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static/playground"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(SOURCES, target, ignore=shutil.ignore_patterns("*.html"))
        write(Path(app.confdir) / "run", target)


def setup(app):
    app.connect("build-finished", add_files)
    return {"parallel_read_safe": True}
