"""Copy what the pages load besides the theme, from the npm packages of package.json, to where Sphinx finds it.

    python scripts/vendor.py node_modules _build/source/vendor

Without the packages it says so, copies nothing, and the pages load the same files from public addresses.
"""

import shutil
import sys
from pathlib import Path

MATHJAX = "mathjax/es5"
FONTS = f"{MATHJAX}/output/chtml/fonts/woff-v2"
WIDGETS = "@jupyter-widgets/html-manager/dist"
MISSING = "The pages will load MathJax and the widgets from public addresses: install npm, then make book again."


def files(packages):
    """Every file to copy, as (from, to); `to` is relative to the folder of static files."""
    yield packages / MATHJAX / "tex-mml-chtml.js", "mathjax/tex-mml-chtml.js"
    for font in sorted((packages / FONTS).glob("*.woff")):
        yield font, f"mathjax/output/chtml/fonts/woff-v2/{font.name}"
    yield packages / "requirejs/require.js", "widgets/require.js"
    yield packages / WIDGETS / "embed-amd.js", "widgets/embed-amd.js"
    for icons in sorted((packages / WIDGETS).glob("*.woff2")):  # each part of the script looks beside itself
        yield icons, f"widgets/{WIDGETS}/{icons.name}"
        yield icons, f"widgets/@jupyter-widgets/{icons.name}"


def main(packages, target):
    if not (packages / MATHJAX).is_dir():
        print(MISSING)
        return
    for source, place in files(packages):
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / place)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
