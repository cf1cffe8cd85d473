"""What `make epub` does to the chapters and to formulas. The book itself is built by CI: it takes about a minute."""

import os
import shutil
from pathlib import Path

import epub
import mna_epub
import pytest

ROOT = Path(__file__).parent.parent


def test_a_page_leaves_the_playground_out_and_nothing_else():
    intro = "# One\n\n**[Watch](playground)**, or not.\n\nMore."
    left = epub.without_playground(intro)
    assert "](playground)" in intro and "](playground)" not in left
    assert len(intro.split("\n\n")) - len(left.split("\n\n")) == 1


def test_a_chapter_to_read_has_no_badge_no_set_up_cell_no_hidden_code_and_no_way_to_the_playground():
    title = {"cell_type": "markdown", "metadata": {}, "source": ["# 1 \n", "[![Open in Colab](a)](b)"]}
    setup = {"cell_type": "code", "metadata": {"tags": ["setup"]}, "source": ["import mna"]}
    there = {"cell_type": "markdown", "metadata": {}, "source": ["see the [playground](../book/playground)."]}
    tags = ["hide-input", "remove-stderr"]
    figure = {"cell_type": "code", "metadata": {"tags": tags, "mystnb": {}}, "source": ["plot()"]}
    cells = epub.to_read({"cells": [title, setup, figure, there], "metadata": {}})["cells"]
    assert [cell["source"] for cell in cells] == [["# 1 \n"], ["plot()"], ["see the playground."]]
    assert cells[1]["metadata"] == {"tags": ["remove-stderr"], "mystnb": {}}


has_mathjax = shutil.which("node") and (ROOT / "node_modules/mathjax").exists()
needs_mathjax = pytest.mark.skipif(not has_mathjax, reason="needs node and node_modules/mathjax")


@needs_mathjax
def test_a_formula_becomes_mathml(monkeypatch):
    monkeypatch.setitem(os.environ, "NODE_PATH", str(ROOT / "node_modules"))
    assert "<mfrac>" in mna_epub.mathml(r"\frac{1}{n}", "inline")
    assert 'display="block"' in mna_epub.mathml("x", "block")


@needs_mathjax
def test_a_formula_that_can_not_be_read_is_named(monkeypatch):
    monkeypatch.setitem(os.environ, "NODE_PATH", str(ROOT / "node_modules"))
    with pytest.raises(RuntimeError, match="frac"):
        mna_epub.mathml(r"\frac{1", "inline")


def test_a_style_in_the_body_moves_to_the_head():
    page = "<html><head><title>t</title></head><body><p>a</p><style>b {\n}</style><p>c</p></body></html>"
    assert mna_epub.styles_ahead(page) == (
        "<html><head><title>t</title><style>b {\n}</style></head><body><p>a</p><p>c</p></body></html>")
