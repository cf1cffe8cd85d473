"""What pages say of themselves, and what they let themselves load."""

import re

import head
import pytest
from docutils.core import publish_doctree
from test_offline import CHROMIUM, FLAGS


def test_a_description_is_the_first_paragraph_cut_at_a_word():
    assert head.description(publish_doctree("Title\n=====\n\nShort.\n\n" + "A page about agents. " * 3)) == (
        "A page about agents. A page about agents. A page about agents.")
    long = head.description(publish_doctree("word " * 100))
    assert len(long) <= head.LONGEST + 2 and long.endswith("word …")
    assert head.description(None) == head.description(publish_doctree("")) == ""


def test_the_pages_of_a_repository_lie_where_github_puts_them():
    assert head.pages_address("https://github.com/Someone/model-native-agents/") == (
        "https://someone.github.io/model-native-agents/")


PAGE = ('<!doctype html><html><head><meta charset="utf-8" /><title>no</title>'
        '<script>document.title = "ours"</script></head>'
        '<body><button onclick="document.title += &quot;, pressed&quot;">press</button>{}</body></html>')


def test_a_policy_names_each_script_of_a_page_and_is_written_once():
    page = head.guarded(PAGE.format(""))
    assert page.count("Content-Security-Policy") == 1 and head.guarded(page) == page
    assert len(set(re.findall(r"'sha256-[^']{44}'", page))) == 2 and "unsafe-eval" not in page
    assert head.guarded("no head at all") == "no head at all"


@pytest.mark.parametrize("foreign", [
    '<script>document.title += ", foreign"</script>',
    '<img src="data:," onerror="document.title += \', foreign\'">',
    '<script src="data:text/javascript,document.title += \', foreign\'"></script>',
    '<a href="javascript:void(document.title += \', foreign\')" id="link">go</a>',
])
def test_a_script_that_came_in_later_does_not_run(foreign, tmp_path):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    page = head.guarded(PAGE.format(""))
    (tmp_path / "page.html").write_text(page.replace("</body>", foreign + "</body>"))
    (tmp_path / "open.html").write_text(PAGE.format(foreign))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab, titles = browser.new_page(), {}
        for name in ("page", "open"):
            tab.goto((tmp_path / f"{name}.html").as_uri())
            tab.click("button")
            if tab.locator("#link").count():
                tab.click("#link")
            tab.wait_for_timeout(200)
            titles[name] = tab.title()
        browser.close()
    assert titles["page"] == "ours, pressed" and "foreign" in titles["open"]
