"""Serve a built book on the loopback address until Ctrl-C, or for eight hours.

    python scripts/serve.py _build/html

A page of somebody else may not read it under a name of its own, so the request must name
this machine; and only files of the folder are served, none that a dot hides.
"""

import os
import re
import sys
import threading
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOURS = 8
HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)


def is_inside(path, folder):
    """Does it stand in the folder, links followed and dotfiles left out?"""
    try:
        parts = Path(path).resolve().relative_to(Path(folder).resolve()).parts
        named = Path(path).relative_to(folder).parts
    except (OSError, RuntimeError, ValueError):  # elsewhere, a loop of links, or no name
        return False
    return not any(part.startswith(".") for part in (*parts, *named))


class Book(SimpleHTTPRequestHandler):
    """Files of one folder, for who asks for them by a name of this machine."""

    def send_head(self):
        if not HERE.fullmatch(self.headers.get("Host", "")):
            return self.send_error(HTTPStatus.FORBIDDEN, "Ask for localhost")
        path = self.translate_path(self.path)
        pages = [os.path.join(path, name) for name in ("index.html", "index.htm")]
        if not all(is_inside(each, self.directory) for each in (path, *pages)):
            return self.send_error(HTTPStatus.NOT_FOUND)
        return super().send_head()

    def list_directory(self, path):
        self.send_error(HTTPStatus.NOT_FOUND)


def asked_port():
    """The port that PORT names; ends the program where it names none."""
    asked = os.environ.get("PORT", "8000")
    if not re.fullmatch("[0-9]{1,5}", asked) or int(asked) > 65535:
        sys.exit(f"PORT={asked[:20]!r} is no port; name a number up to 65535: make serve PORT=8001")
    return int(asked)


def main(folder):
    if not (Path(folder) / "index.html").exists():
        sys.exit(f"there is no book in {folder}; build it first: make book")
    port = asked_port()
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(Book, directory=os.path.abspath(folder)))
    except OSError as error:
        sys.exit(f"port {port} of 127.0.0.1: {error.strerror}; name another one: make serve PORT=8001")
    print(f"The book is at http://127.0.0.1:{server.server_port}/ (Ctrl-C stops it, and so do {HOURS} hours)",
          flush=True)
    timer = threading.Timer(HOURS * 3600, server.shutdown)
    timer.daemon = True
    timer.start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main(sys.argv[1])
