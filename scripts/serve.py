"""Serve a built book on the loopback address until Ctrl-C, or for eight hours.

    python scripts/serve.py _build/html
"""

import os
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOURS = 8


def main(folder):
    if not (Path(folder) / "index.html").exists():
        sys.exit(f"there is no book in {folder}; build it first: make book")
    port = int(os.environ.get("PORT", "8000"))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=folder))
    except OSError as error:
        sys.exit(f"port {port} of 127.0.0.1: {error.strerror}; name another one: make serve PORT=8001")
    print(f"The book is at http://127.0.0.1:{port}/ (Ctrl-C stops it, and so do {HOURS} hours)", flush=True)
    timer = threading.Timer(HOURS * 3600, server.shutdown)
    timer.daemon = True
    timer.start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main(sys.argv[1])
