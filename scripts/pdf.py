"""Print the built book into one PDF, through Debian's chromium, in the order of its pages.

    python scripts/pdf.py _build/html _build/model-native-agents.pdf
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from pypdf import PdfWriter

# Links to other pages would name files of this machine; solutions are printed open; a formula must be set first.
PREPARE = """async () => {
  for (const link of document.querySelectorAll('a[href]')) {
    if (link.protocol === 'file:' && link.pathname !== location.pathname) link.removeAttribute('href');
  }
  for (const closed of document.querySelectorAll('details')) closed.open = true;
  await window.MathJax?.startup?.promise;
}"""
NEXT = "() => document.querySelector('a.right-next')?.href"
PAPER = {"format": "A4", "margin": {"top": "18mm", "bottom": "18mm", "left": "15mm", "right": "15mm"}}


def printed(tab, address):
    """Each page's title and its PDF, from the page at `address` to the last."""
    while address:
        tab.goto(address)
        address = tab.evaluate(NEXT)
        tab.evaluate(PREPARE)
        yield tab.locator("h1").first.evaluate("title => title.firstChild.textContent"), tab.pdf(**PAPER)


def main(html, target):
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium prints the book, and is not installed: apt-get install chromium")
    book = PdfWriter()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch_persistent_context(profile, executable_path=chromium, args=flags)
        for title, page in printed(browser.new_page(), (html / "book/intro.html").resolve().as_uri()):
            book.append(io.BytesIO(page), outline_item=title)
        browser.close()
    book.write(target)
    print(f"{target}: {len(book.pages)} pages")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
