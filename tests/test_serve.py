"""The server shows the book, to this machine, and nothing else that lies around."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import serve

ROOT = Path(__file__).parent.parent


class Quiet(serve.Book):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Ask a server for a path under a name of the machine; returns the status and the body."""
    around = tmp_path_factory.mktemp("around")
    book = around / "book"
    (book / "sub/.git").mkdir(parents=True)
    (book / "empty").mkdir()
    (book / "linked").mkdir()
    secret = around / "secret.html"
    files = [book / "index.html", book / "sub/page one.html", book / ".hidden", book / "sub/.git/config", secret]
    for file in files:
        file.write_text(file.name)
    (book / "out.html").symlink_to(secret)
    (book / "away").symlink_to(around)
    (book / "linked/index.html").symlink_to(secret)
    (book / "loop").symlink_to(book / "loop")
    (book / "dot.html").symlink_to(book / ".hidden")
    (book / "fine.html").symlink_to(book / "index.html")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(book)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def asked(path, host="localhost", method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.putrequest(method, path, skip_host=True)
        if host is not None:
            connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    yield asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:80"])
def test_the_book_is_served_under_every_name_of_this_machine(ask, host):
    assert ask("/", host) == (200, "index.html")


FOREIGN = ["example.org", "localhost.example.org", "127.0.0.1.example.org", "evil@localhost", "0.0.0.0", "192.168.1.7",
           "localhost:", "localhost:80:80", "::1", "", None]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("host", FOREIGN)
def test_under_another_name_nothing_is(ask, host, method):
    status, body = ask("/index.html", host, method)
    assert status == 403 and "index.html" not in body


@pytest.mark.parametrize("path, body", [
    ("/sub/page%20one.html", "page one.html"), ("/index.html?a=.b#c", "index.html"), ("/fine.html", "index.html")])
def test_files_of_the_folder_are_served(ask, path, body):
    assert ask(path) == (200, body)


@pytest.mark.parametrize("path", [
    "/.hidden", "/sub/.git/config", "/sub/.git/", "/%2ehidden", "/out.html", "/away/secret.html", "/away/", "/linked/",
    "/loop", "/dot.html", "/empty/", "/sub/", "/../secret.html", "/%2e%2e/secret.html",
    "/sub/%2e%2e/%2e%2e/secret.html", "/a%00b", "/missing.html"])
def test_what_is_hidden_or_elsewhere_is_not(ask, path):
    status, body = ask(path)
    assert status == 404 and "secret" not in body


def serving(folder, port):
    command = [sys.executable, ROOT / "scripts/serve.py", folder]
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # a job in the background ignores Ctrl-C
    return subprocess.Popen(command, env=os.environ | {"PORT": port}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, preexec_fn=heed)


@pytest.mark.parametrize("port", ["abc", "", "-1", "65536", "8e3", " 80", "9" * 5000, "٣"])
def test_a_wrong_port_is_told_in_one_line(tmp_path, port):
    (tmp_path / "index.html").write_text("the book")
    said, wrong = (server := serving(tmp_path, port)).communicate(timeout=30)
    assert server.returncode == 1 and not said
    assert wrong.startswith("PORT=") and "8001" in wrong and wrong.count("\n") == 1 and len(wrong) < 120


def test_a_port_in_use_is_told_in_one_line(tmp_path):
    (tmp_path / "index.html").write_text("the book")
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as taken:
        _, wrong = serving(tmp_path, str(taken.server_port)).communicate(timeout=30)
    assert "in use" in wrong and wrong.count("\n") == 1


def test_without_a_book_it_says_how_to_build_one(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "-o", ".venv/.stamp", "serve", f"BUILD={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "make book" in done.stderr


def test_it_answers_on_the_loopback_address_until_it_is_interrupted(tmp_path):
    shutil.copy(ROOT / "LICENSE", tmp_path / "index.html")
    server = serving(tmp_path, "0")
    try:
        said = server.stdout.readline()
        address = said.partition("http://")[2].partition("/")[0]
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("GET", "/")
        assert address.startswith("127.0.0.1:") and b"MIT" in connection.getresponse().read()
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 0
    finally:
        server.kill()
        server.communicate()
