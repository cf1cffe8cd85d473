"""Links that a chapter need not spell out: a term's first use leads to the glossary, that of a name to the API page.

And "eq. (4.1)" leads to the formula with `\\tag{4.1}`, "figure 4.1" to the picture whose caption begins "Figure 4.1.",
in whatever chapter it stands.

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


# How a text names a formula or a picture; those of an appendix begin with its letter.
NUMBERED = re.compile(r"(eq\. \((?:\d+|[A-Z])\.\d+\)|[Ff]igure (?:\d+|[A-Z])\.\d+)")


def label_numbered(app, doctree):
    """Give each numbered formula and each caption an anchor, and tell the other pages of it."""

    def label(node, name):
        node["ids"].append(nodes.make_id(name))
        app.env.domaindata["std"]["anonlabels"][name] = app.env.docname, node["ids"][-1]

    for formula in doctree.findall(nodes.math_block):
        if tag := re.search(r"\\tag\{([\w.]+)\}", formula.astext()):
            label(formula, f"eq. ({tag[1]})")
    for paragraph in doctree.findall(nodes.paragraph):
        caption = re.match(r"Figure (\w+\.\d+)\.", paragraph.astext())
        if caption and isinstance(paragraph[0], nodes.emphasis):
            label(paragraph, f"figure {caption[1]}")


def link_numbered(text, labels, link):
    """Replace each "eq. (4.1)" and each "figure 4.1" in a text node by a link."""
    parts = NUMBERED.split(text.astext())
    for i, part in enumerate(parts):
        place = labels.get(part[:1].lower() + part[1:])
        if i % 2 and place is None:
            logger.warning("%s is cited, and nothing has that number", part, location=text.parent)
        parts[i] = link(nodes.Text(part), place) if i % 2 and place else nodes.Text(part)
    text.parent.replace(text, [part for part in parts if part.astext()])


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
            if isinstance(part, nodes.Text) and NUMBERED.search(part):
                link_numbered(part, std["anonlabels"], link)
        for part in list(paragraph.children):
            if isinstance(part, nodes.Text):
                link_terms(part, terms, link)
            elif isinstance(part, nodes.literal):
                link_names(part, offered, link)


def setup(app):
    app.connect("doctree-read", label_numbered)
    app.connect("doctree-resolved", add_links)
    return {"parallel_read_safe": True}
