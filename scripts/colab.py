"""Build an environment that has what Colab brings, and no `mna`.

    python scripts/colab.py FOLDER            (make colab)
    python scripts/colab.py FOLDER --oldest   (make colab OLDEST=1)

Beside the packages, the folder holds in `wheels` what `mna` needs and Colab lacks, so that the set-up cell finds it
without a network, and `constraints.txt`. The versions are those of requirements.txt, or the oldest that pyproject.toml
allows. A folder that holds the environment already is left as it is.
"""

import argparse
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
BRINGS = ("torch", "numpy", "matplotlib", "ipywidgets", "ipykernel", "tensorboard", "scipy")


def name_of(requirement):
    return re.match(r"[\w.-]+", requirement)[0]


def needs(root=ROOT):
    """What pyproject.toml asks for, extras included: `name>=version` each."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]


def pinned(root=ROOT):
    """The versions of requirements.txt: `name==version` for what Colab brings and what `mna` needs."""
    wanted = {*BRINGS, *map(name_of, needs(root))}
    lines = [line.partition("#")[0].strip() for line in (root / "requirements.txt").read_text().splitlines()]
    return [line for line in lines if line and name_of(line) in wanted]


def oldest(root=ROOT):
    """The lower bounds of pyproject.toml: `name==version` for all that `mna` needs."""
    return [requirement.replace(">=", "==") for requirement in needs(root)]


def build(folder, versions):
    """Make the environment with these versions, torch first: alone, pip takes its CPU build where there is one."""
    venv.create(folder, clear=True, with_pip=True)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(versions) + "\n")
    pip = [folder / "bin/python", "-m", "pip", "--disable-pip-version-check"]
    (torch,) = (line for line in versions if name_of(line) == "torch")
    lacks = [name_of(line) for line in needs() if name_of(line) not in BRINGS]
    subprocess.run([*pip, "install", "-q", torch, "-c", constraints], check=True)
    subprocess.run([*pip, "install", "-q", *BRINGS, "-c", constraints], check=True)
    subprocess.run([*pip, "download", "-q", "-d", folder / "wheels", *lacks, "-c", constraints, "--prefer-binary"],
                   check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--oldest", action="store_true", help="the oldest versions that pyproject.toml allows")
    asked = parser.parse_args()
    versions = oldest() if asked.oldest else pinned()
    stamp, content = asked.folder / ".built", f"{sys.version}\n{Path(__file__).read_text()}\n{versions}"
    if not (stamp.exists() and stamp.read_text() == content):
        build(asked.folder, versions)
        stamp.write_text(content)


if __name__ == "__main__":
    main()
