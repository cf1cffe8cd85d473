"""Carry the public address and the release, both from pyproject.toml, to every place that shows them.

    python scripts/address.py        (make address)

It rewrites `mna.__version__`, the repository of _config.yml and CITATION.cff, the pip line of README.md, and each
chapter's Colab badge and set-up cell. A release is the tag v<version>.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
BADGE = re.compile(r"^\[!\[Open in Colab\]\(.*\)$", re.MULTILINE)

SETUP = """\
release, url = "VERSION", "ADDRESS"
source = f"git+{url}@v{release}"
try:
    import mna
except ImportError:
    import os
    %pip install -q {os.environ.get("MNA_INSTALL", source)}
    import mna
if mna.__version__ != release:
    print(f"This chapter is for mna {release}; this is mna {mna.__version__}.",
          f"Run %pip install {source} and restart, or take the chapter from",
          f"{url}/tree/v{mna.__version__}/notebooks")"""


class Release(NamedTuple):
    """What the public places name."""

    url: str  # of the repository, such as https://github.com/OWNER/model-native-agents
    version: str

    @property
    def tag(self):
        return f"v{self.version}"

    @property
    def pip(self):
        """What pip installs."""
        return f"git+{self.url}@{self.tag}"


def release(root=ROOT):
    """The release that pyproject.toml names."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return Release(project["urls"]["Repository"].rstrip("/"), project["version"])


def badge(release, name):
    """The Markdown line that opens the chapter `name` (a file name) in Colab."""
    colab = "https://colab.research.google.com"
    place = release.url.removeprefix("https://github.com/")
    target = f"{colab}/github/{place}/blob/{release.tag}/notebooks/{name}"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({target})"


def setup_cell(release):
    """The second cell of every chapter: it installs `mna` where it is missing, and says when it is another release."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "setup",
        "metadata": {"tags": ["setup", "hide-input"]},
        "outputs": [],
        "source": SETUP.replace("VERSION", release.version).replace("ADDRESS", release.url).splitlines(keepends=True),
    }


def with_release(text, name, release):
    """The text of the file `name` with `release` in it; text that already has it comes back as it is."""
    if name == "__init__.py":
        return re.sub(r"(?m)^__version__ = .*$", f'__version__ = "{release.version}"', text)
    if name == "_config.yml":
        text = re.sub(r"(?m)^  url: .*$", f"  url: {release.url}", text)
        return re.sub(r"(?m)^  branch: .*$", f"  branch: {release.tag}", text)
    if name == "CITATION.cff":
        text = re.sub(r"(?m)^version: .*$", f"version: {release.version}", text)
        return re.sub(r"(?m)^repository-code: .*$", f"repository-code: {release.url}", text)
    if name == "README.md":
        return re.sub(r"git\+https://[\w./@-]+", release.pip, text)
    notebook = json.loads(text)
    first, *rest = notebook["cells"]
    opening = "".join(first["source"])
    line = badge(release, name)
    opening = BADGE.sub(line, opening) if BADGE.search(opening) else f"{opening.rstrip()}\n\n{line}"
    first["source"] = opening.splitlines(keepends=True)
    chapter = [cell for cell in rest if "setup" not in cell["metadata"].get("tags", [])]
    notebook["cells"] = [first, setup_cell(release), *chapter]
    return json.dumps(notebook, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def places(root=ROOT):
    """Every file that shows the address or the release."""
    by_hand = [root / name for name in ("_config.yml", "CITATION.cff", "README.md", "mna/__init__.py")]
    return [*by_hand, *sorted((root / "notebooks").glob("*.ipynb"))]


if __name__ == "__main__":
    for path in places():
        path.write_text(with_release(path.read_text(), path.name, release()))
    print(f"{len(places())} files name {release().pip}")
