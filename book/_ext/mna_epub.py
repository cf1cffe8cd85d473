"""What the EPUB needs beyond Sphinx: formulas as MathML, which readers show without a script, and clean paths.

TeX is read by the MathJax that the pages use: it takes node, and NODE_PATH in the environment to find node_modules.
"""

import functools
import posixpath
import re
import subprocess
from pathlib import Path

from docutils import nodes
from sphinx.builders.epub3 import Epub3Builder

CONVERT = """
require('mathjax').init({loader: {load: ['input/tex']}}).then(MathJax =>
  process.stdout.write(MathJax.tex2mml(require('fs').readFileSync(0, 'utf8'), {display: process.argv[1] === 'block'})))
"""


@functools.cache
def mathml(tex, display):
    """A TeX formula as MathML; display: "block" or "inline". Raises RuntimeError for one that MathJax can't read."""
    done = subprocess.run(["node", "-e", CONVERT, display], input=tex, capture_output=True, text=True)
    if done.returncode or "<merror" in done.stdout:
        raise RuntimeError(f"MathJax can't read {tex!r}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout.replace("&nbsp;", "&#160;")


def visit_math(translator, node):
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(translator, node):
    tex = re.sub(r"\\tag\{(.*?)\}", r"\\qquad (\1)", node.astext())  # readers set MathML's own labels as a column
    if "\\\\" in tex and "\\begin" not in tex:
        tex = f"\\begin{{split}}{tex}\\end{{split}}"
    translator.body.append(translator.starttag(node, "div", CLASS="math") + mathml(tex, "block") + "</div>\n")
    raise nodes.SkipNode


def styles_ahead(page):
    """An XHTML page with its style elements in the head: in the body, a replay's is not allowed."""
    styles = re.findall(r"<style>.*?</style>", page, flags=re.DOTALL)
    return re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).replace("</head>", "".join(styles) + "</head>", 1)


class Book(Epub3Builder):
    """Sphinx's builder, for a first page that lies in a folder, and for pages with MathML."""

    def toc_add_files(self, refnodes):
        """Take in the table of contents: `notebooks/x` for `book/../notebooks/x`, since the manifest has no other."""
        for entry in refnodes:
            path, hash, anchor = entry["refuri"].partition("#")
            entry["refuri"] = posixpath.normpath(path) + hash + anchor
        super().toc_add_files(refnodes)

    def build_epub(self):
        """The book, once styles stand where they may and the manifest says of each page whether it has MathML."""
        for page in Path(self.outdir).rglob("*.xhtml"):
            page.write_text(styles_ahead(page.read_text()))
        manifest = Path(self.outdir, "content.opf")
        manifest.write_text(re.sub(r'<item id="epub-[^"]+" href="([^"]+)"', self.item, manifest.read_text()))
        super().build_epub()

    def item(self, match):
        page = Path(self.outdir, match[1])
        return match[0] + (' properties="mathml"' if page.suffix == ".xhtml" and "<math" in page.read_text() else "")


def without_notebook_style(app, page, template, context, doctree):
    """Sphinx leaves the style sheet of myst-nb out of the book; then no page may ask for it."""
    context["css_files"] = [file for file in context["css_files"] if "mystnb" not in str(file.filename)]


def setup(app):
    app.add_builder(Book, override=True)
    app.connect("html-page-context", without_notebook_style)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True}
