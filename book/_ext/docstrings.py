"""Show docstrings in the API page as they are written.

They are plain text, with `*`, `|` and columns that line up, and not reStructuredText. The first paragraph
becomes a sentence of the page, with code between its backquotes; the rest, all in the letters of code, keeps its
lines, but for long ones: they break where the page is full, not where the module's lines are.
"""

import re
from enum import EnumType


def sentence(line):
    """A line as reStructuredText that shows its characters, and `names` as code."""
    plain, *rest = re.split(r"`([^`]+)`", line.strip())
    escaped = [re.sub(r"([\\*|`_:])", r"\\\1", part) for part in (plain, *rest[1::2])]
    return escaped[0] + "".join(f"\\ ``{code}``\\ {after}" for code, after in zip(rest[::2], escaped[1:], strict=True))


def as_plain_text(app, what, name, obj, options, lines):
    summary, _, rest = "\n".join(lines).strip().partition("\n\n")
    lines[:] = [sentence(line) for line in summary.splitlines()]
    if rest.strip():
        rest = re.sub(r"(?<=.{90})\n(?! )", " ", rest).replace("`", "")
        lines += ["", ".. code-block:: text", "", *(f"   {line}" for line in rest.splitlines())]
    lines.append("")


def plain_signature(app, what, name, obj, options, signature, returned):
    """An enumeration is not called; a default that is made afresh each time has no name."""
    if isinstance(obj, EnumType):
        return "", returned
    return signature and signature.replace("<factory>", "..."), returned


def setup(app):
    app.connect("autodoc-process-docstring", as_plain_text)
    app.connect("autodoc-process-signature", plain_signature)
    return {"parallel_read_safe": True}
