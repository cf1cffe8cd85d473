"""Carry the public address from pyproject.toml to every place that shows it.

    python scripts/address.py        (make address)

It rewrites the repository of _config.yml and CITATION.cff, the pip line of README.md, and each chapter's Colab
badge and set-up cell.
"""

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
BADGE = re.compile(r"^\[!\[Open in Colab\]\(.*\)$", re.MULTILINE)

SETUP = """\
try:
    import mna
except ImportError:
    import os
    %pip install -q {os.environ.get("MNA_INSTALL", "git+ADDRESS")}
    import mna"""


def address(root=ROOT):
    """The repository's public address, such as https://github.com/OWNER/model-native-agents."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]["Repository"].rstrip("/")


def badge(url, name):
    """The Markdown line that opens the chapter `name` (a file name) in Colab."""
    colab = "https://colab.research.google.com"
    place = url.removeprefix("https://github.com/")
    target = f"{colab}/github/{place}/blob/main/notebooks/{name}"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({target})"


def setup_cell(url):
    """The second cell of every chapter: it installs `mna` where it is missing."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "setup",
        "metadata": {"tags": ["setup", "hide-input"]},
        "outputs": [],
        "source": SETUP.replace("ADDRESS", url).splitlines(keepends=True),
    }


def with_address(text, name, url):
    """The text of the file `name` with `url` in it; text that already has it comes back as it is."""
    if name == "_config.yml":
        return re.sub(r"(?m)^  url: .*$", f"  url: {url}", text)
    if name == "CITATION.cff":
        return re.sub(r"(?m)^repository-code: .*$", f"repository-code: {url}", text)
    if name == "README.md":
        return re.sub(r"git\+https://[\w./-]+", f"git+{url}", text)
    notebook = json.loads(text)
    first, *rest = notebook["cells"]
    opening = "".join(first["source"])
    line = badge(url, name)
    opening = BADGE.sub(line, opening) if BADGE.search(opening) else f"{opening.rstrip()}\n\n{line}"
    first["source"] = opening.splitlines(keepends=True)
    chapter = [cell for cell in rest if "setup" not in cell["metadata"].get("tags", [])]
    notebook["cells"] = [first, setup_cell(url), *chapter]
    return json.dumps(notebook, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def places(root=ROOT):
    """Every file that shows the address."""
    by_hand = [root / name for name in ("_config.yml", "CITATION.cff", "README.md")]
    return [*by_hand, *sorted((root / "notebooks").glob("*.ipynb"))]


if __name__ == "__main__":
    for path in places():
        path.write_text(with_address(path.read_text(), path.name, address()))
    print(f"{len(places())} files show {address()}")
