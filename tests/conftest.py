"""Shared by all tests."""

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import os
import sys
import threading

import pytest

# Two worker processes a machine: more threads each only take turns.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_runtest_setup(item):
    """Let hypothesis look at SpeechBrain's lazy modules.

    It asks every loaded module for ``__file__``; a lazy module whose package
    is not installed answers with ImportError.
    """
    module = sys.modules.get("speechbrain.utils.importutils")
    if module is not None:
        module.LazyModule.__file__ = None


class Mirror:
    """A web server on loopback that serves a folder, and breaks on demand.

    ``breaks[path]`` is a list with one entry a request: a number of bytes
    after which the connection breaks, a status such as "503", "stall" (no
    byte after the first hundred), or None for a whole answer. ``requests``
    holds (path, Range header) of what was asked.
    """

    def __init__(self, folder):
        self.folder = folder
        self.breaks = {}
        self.requests = []
        self.ranges = True
        self.versions = True
        self.released = threading.Event()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(
            target=self.server.serve_forever, args=(0.01,), daemon=True
        ).start()

    def answer(self, handler):
        name = handler.path.lstrip("/")
        wanted = handler.headers.get("Range")
        self.requests.append((name, wanted))
        planned = self.breaks.get(name, [])
        how = planned.pop(0) if planned else None
        path = self.folder / name
        if isinstance(how, str) and how.isdigit() or not path.is_file():
            handler.send_error(int(how or 404))
            return
        data = path.read_bytes()
        version = f'"{hashlib.md5(data).hexdigest()}"'
        start = int(wanted[6:-1]) if wanted and self.ranges else 0
        if handler.headers.get("If-Range", version) != version:
            start = 0
        if start >= len(data) > 0:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(data)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            handler.send_header("Content-Range", span)
        if self.versions:
            handler.send_header("ETag", version)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        body = data[start:]
        if how == "stall":
            handler.wfile.write(body[:100])
            handler.wfile.flush()
            self.released.wait(10)
            return
        handler.wfile.write(body if how is None else body[:how])

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Return a web server of tmp_path/"mirror"."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "mirror"
    folder.mkdir()
    server = Mirror(folder)
    yield server
    server.close()
