"""Show docstrings in the API page as they are written.

They are plain text, with `*`, `|` and columns that line up, and not reStructuredText. The first paragraph
becomes a sentence of the page; the rest keeps its lines.
"""

import re


def as_plain_text(app, what, name, obj, options, lines):
    summary, _, rest = "\n".join(lines).strip().partition("\n\n")
    lines[:] = [re.sub(r"([\\*|`_:])", r"\\\1", line.strip()) for line in summary.splitlines()]
    if rest.strip():
        lines += ["", ".. code-block:: text", "", *(f"   {line}" for line in rest.splitlines())]
    lines.append("")


def setup(app):
    app.connect("autodoc-process-docstring", as_plain_text)
    return {"parallel_read_safe": True}
