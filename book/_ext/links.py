"""Links that a chapter need not spell out: a term's first use leads to the glossary, that of a name to the API page.

And "eq. (4.1)" leads to the formula with `\\tag{4.1}`, in whatever chapter it stands.

In Jupyter and in Colab the chapters stay plain Markdown.
"""

import re
from collections import defaultdict

from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)


def names(env):
    """{name: (page, anchor)} of what one module of the package alone offers."""
    places = defaultdict(list)
    for path, entry in env.get_domain("py").objects.items():
        if path.count(".") == 2:
            places[path.rpartition(".")[2]].append((entry.docname, entry.node_id))
    return {name: found[0] for name, found in places.items() if len(found) == 1}


def link_terms(text, terms, link):
    """Replace the first use of each term in a text node by a link; what is found leaves `terms`."""
    parts, rest = [], text.astext()
    while terms:
        either = "|".join(map(re.escape, sorted(terms, key=len, reverse=True)))
        found = re.search(rf"(?<!\bto )(?<!\bwe )\b({either})s?\b", rest, re.IGNORECASE)  # no verbs
        if not found:
            break
        parts += [nodes.Text(rest[:found.start()]), link(nodes.Text(found[0]), terms.pop(found[1].lower()))]
        rest = rest[found.end():]
    if parts:
        text.parent.replace(text, [*parts, nodes.Text(rest)])


def link_names(literal, names, link):
    """The same for code in a sentence that is a name, or a call of one."""
    name = re.fullmatch(r"(\w+)(\(.*\))?", literal.astext())
    if name and name[1] in names:
        literal.replace_self(link(literal.deepcopy(), names.pop(name[1])))


def label_equations(app, doctree):
    """Give each numbered formula an anchor, and tell the other pages of it."""
    for formula in doctree.findall(nodes.math_block):
        if tag := re.search(r"\\tag\{([\d.]+)\}", formula.astext()):
            formula["ids"].append(f"eq-{tag[1].replace('.', '-')}")
            app.env.domaindata["std"]["anonlabels"][f"eq. ({tag[1]})"] = app.env.docname, formula["ids"][-1]


def link_equations(text, labels, link):
    """Replace each "eq. (4.1)" in a text node by a link."""
    parts = re.split(r"(eq\. \([\d.]+\))", text.astext())
    for name in parts[1::2]:
        if name not in labels:
            logger.warning("%s is cited, and no formula has that \\tag", name, location=text.parent)
    text.parent.replace(text, [link(nodes.Text(part), labels[part]) if part in labels else nodes.Text(part)
                               for part in parts if part])


def add_links(app, doctree, page):
    if not page.startswith("notebooks/"):
        return

    def link(child, place):
        target = f"{app.builder.get_relative_uri(page, place[0])}#{place[1]}"
        return nodes.reference("", "", child, internal=True, refuri=target, classes=["term"])

    std = app.env.domaindata["std"]
    terms, offered = dict(std["terms"]), names(app.env)
    for paragraph in list(doctree.findall(nodes.paragraph)):
        for part in list(paragraph.children):
            if isinstance(part, nodes.Text) and "eq. (" in part:
                link_equations(part, std["anonlabels"], link)
        for part in list(paragraph.children):
            if isinstance(part, nodes.Text):
                link_terms(part, terms, link)
            elif isinstance(part, nodes.literal):
                link_names(part, offered, link)


def setup(app):
    app.connect("doctree-read", label_equations)
    app.connect("doctree-resolved", add_links)
    return {"parallel_read_safe": True}
