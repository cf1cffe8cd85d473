"""Pages that load nothing from another address.

With a folder `vendor` beside _config.yml (scripts/vendor.py makes it) MathJax and the widgets come from there;
without it they come from public addresses. The Colab badge is a file of the book's own either way.
"""

from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform

PAGES = Path(__file__).parent / "pages"
BADGE = "/book/figures/colab-badge.svg"


class LocalBadge(SphinxTransform):
    """The badge that a chapter shows in Colab and on GitHub, from a file of ours."""

    default_priority = 200

    def apply(self):
        for image in self.document.findall(nodes.image):
            if image["uri"].endswith("/colab-badge.svg"):
                image["uri"] = BADGE


def use_vendored_files(app, config):
    config.html_static_path.append(str(PAGES))
    config.html_theme_options["navbar_persistent"] = []  # the sidebar has the search already
    if not (Path(app.confdir) / "vendor").is_dir():
        return
    config.html_static_path.append("vendor")
    config.mathjax_path = "mathjax/tex-mml-chtml.js"
    config.nb_ipywidgets_js = {"widgets/require.js": {}, "widgets.js": {}, "widgets/embed-amd.js": {}}


def setup(app):
    app.add_transform(LocalBadge)
    app.connect("config-inited", use_vendored_files)
    app.add_js_file("pages.js")
    app.add_css_file("pages.css")
    return {"parallel_read_safe": True}
