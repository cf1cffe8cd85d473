"""What a page tells those who link to it, and what it lets itself load.

Each page has a description, its first paragraph, and a card for previews. A policy for its content is written into the
built page: scripts from beside it and those written into it by hash, and nothing from another address.
"""

import base64
import hashlib
import html
import re
from pathlib import Path

from docutils import nodes

CARD = "_static/card.png"
LONGEST = 200  # characters of a description
INLINE = re.compile(r"<script(?![^>]*\ssrc=)(?:\s+data-cfasync=\"false\")?\s*>(.*?)</script>", re.DOTALL)
HANDLER = re.compile(r"\son\w+=\"([^\"]*)\"")
CHARSET = '<meta charset="utf-8" />'


def description(doctree):
    """The first paragraph of a page, as plain text, cut at a word; "" where there is none."""
    paragraphs = doctree.findall(nodes.paragraph) if doctree else ()
    text = next((" ".join(p.astext().split()) for p in paragraphs if len(p.astext()) > 30), "")
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"


def pages_address(repository):
    """Where GitHub shows the pages of a repository, such as https://github.com/owner/name."""
    owner, name = repository.rstrip("/").split("/")[-2:]
    return f"https://{owner.lower()}.github.io/{name}/"


def add_description(app, pagename, templatename, context, doctree):
    """Description and card, for search engines and for those who paste a link."""
    base = app.config.html_baseurl or pages_address(app.config.html_theme_options["repository_url"])
    title = re.sub("<.*?>", "", context.get("title") or "") or app.config.html_title
    told = {"og:title": html.unescape(title), "og:site_name": app.config.html_title, "og:type": "article",
            "og:image": base + CARD, "twitter:card": "summary_large_image"}
    if text := description(doctree):
        told |= {"description": text, "og:description": text}
    kind = {name: "property" if name.startswith("og:") else "name" for name in told}
    context["metatags"] = context.get("metatags", "") + "".join(
        f'\n<meta {kind[name]}="{name}" content="{html.escape(value)}" />' for name, value in told.items())


def hashed(text):
    """How a policy names a script by what it says."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def policy(page):
    """The Content-Security-Policy of a page. file: is for those who read the book from the disk."""
    inside = [*INLINE.findall(page), *(html.unescape(text) for text in HANDLER.findall(page))]
    scripts = " ".join(["'self' file: 'unsafe-hashes'", *sorted(set(map(hashed, inside)))])
    here = "'self' file:"
    return (f"default-src 'none'; script-src {scripts}; style-src {here} 'unsafe-inline'; img-src {here} data:; "
            f"font-src {here} data:; connect-src {here}; form-action {here}; base-uri 'none'")


def guarded(page):
    """A page with its policy, which stands ahead of all that it governs."""
    if CHARSET not in page or "Content-Security-Policy" in page:
        return page
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy(page)}" />'
    return page.replace(CHARSET, f"{CHARSET}\n    {meta}", 1)


def add_policies(app, error):
    """Write the policies, where nothing comes from a public address."""
    if error is None and app.builder.name == "html" and (Path(app.confdir) / "vendor").is_dir():
        for path in Path(app.outdir).rglob("*.html"):
            if "_static" not in path.parts:
                path.write_text(guarded(path.read_text()))


def setup(app):
    app.connect("html-page-context", add_description)
    app.connect("build-finished", add_policies)
    return {"parallel_read_safe": True}
