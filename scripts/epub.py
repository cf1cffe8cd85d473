"""Build the EPUB from the sources that `make book` copied together.

    python scripts/epub.py SOURCE BOOK.epub        (make epub)

Jupyter Book 1 builds no EPUB: its theme adds launch buttons that the builder has no page for. So Sphinx builds it, with
the configuration of the book less the theme, the buttons and all that needs a script; formulas become MathML.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

BIN, ROOT = Path(sys.executable).parent, Path(__file__).parent.parent
NEEDS_A_SCRIPT = {"sphinx_togglebutton", "sphinx_copybutton", "sphinx_comments", "sphinx_book_theme", "offline",
                  "playground"}
EPUB = """
extensions = [name for name in extensions if name not in NEEDS_A_SCRIPT] + ["mna_epub"]
html_favicon = html_logo = None
html_math_renderer = "mathml"
version = release = VERSION
epub_title, epub_author = "Model-Native Agents", author
epub_show_urls = "no"
epub_tocscope = "includehidden"
epub_exclude_files = ["search.html", ".nojekyll"]
suppress_warnings += ["epub.unknown_project_files"]
"""


def version():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def to_read(chapter):
    """A chapter for a page that nobody runs: no badge, no set-up cell, no link to the playground, all code in sight."""
    cells = [cell for cell in chapter["cells"] if "setup" not in cell["metadata"].get("tags", [])]
    for cell in cells:
        cell["metadata"]["tags"] = [tag for tag in cell["metadata"].get("tags", []) if not tag.startswith("hide-")]
        lines = [line for line in cell["source"] if not line.startswith("[![Open in Colab]")]
        cell["source"] = [line.replace("[playground](../book/playground)", "playground") for line in lines]
    return chapter | {"cells": cells}


def without_playground(text):
    """A page without the paragraphs that lead to the playground."""
    return "\n\n".join(part for part in text.split("\n\n") if "](playground)" not in part)


def main(source, target):
    """Configure a copy of the sources, build, and move the book to its place."""
    copy = target.parent / "epub"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("_build", "vendor"))
    subprocess.run([BIN / "jupyter-book", "config", "sphinx", copy], check=True, stdout=subprocess.DEVNULL)
    with (copy / "conf.py").open("a") as file:
        file.write(f"NEEDS_A_SCRIPT = {NEEDS_A_SCRIPT}\nVERSION = {version()!r}\n{EPUB}")
    contents = copy / "_toc.yml"
    for left_out in ("genindex", "book/playground"):  # Sphinx adds the index itself; the playground needs a script
        contents.write_text(contents.read_text().replace(f"      - file: {left_out}\n", ""))
    (copy / "book/playground.md").unlink(missing_ok=True)
    for page in (copy / "book").glob("*.md"):
        page.write_text(without_playground(page.read_text()))
    for chapter in (copy / "notebooks").glob("*.ipynb"):
        chapter.write_text(json.dumps(to_read(json.loads(chapter.read_text()))))
    environment = os.environ | {"NODE_PATH": str(ROOT / "node_modules"), "PYTHONPATH": f"{ROOT}:{copy / 'book/_ext'}"}
    command = [BIN / "python", "-m", "sphinx", "-b", "epub", "-q", copy, copy / "_build"]
    subprocess.run(command, check=True, env=environment)
    (book,) = (copy / "_build").glob("*.epub")
    shutil.move(book, target)
    print(f"The book is in {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
