"""Show docstrings in the API page as they are written.

They are plain text, with `*`, `|` and columns that line up, and not reStructuredText. The first paragraph
becomes a sentence of the page, with code between its backquotes; the rest keeps its lines, but for long ones:
they break where the page is full, not where the module's lines are.
"""

import re


def sentence(line):
    """A line as reStructuredText that shows its characters, and `names` as code."""
    plain, *rest = re.split(r"`([^`]+)`", line.strip())
    escaped = [re.sub(r"([\\*|`_:])", r"\\\1", part) for part in (plain, *rest[1::2])]
    return escaped[0] + "".join(f"\\ ``{code}``\\ {after}" for code, after in zip(rest[::2], escaped[1:], strict=True))


def as_plain_text(app, what, name, obj, options, lines):
    summary, _, rest = "\n".join(lines).strip().partition("\n\n")
    lines[:] = [sentence(line) for line in summary.splitlines()]
    if rest.strip():
        rest = re.sub(r"(?<=.{90})\n(?! )", " ", rest)
        lines += ["", ".. code-block:: text", "", *(f"   {line}" for line in rest.splitlines())]
    lines.append("")


def setup(app):
    app.connect("autodoc-process-docstring", as_plain_text)
    return {"parallel_read_safe": True}
