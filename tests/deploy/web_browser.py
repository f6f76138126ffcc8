"""A browser on a page of the released models, for the tests of deploy/web."""

from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
import os
import shutil
import threading
import wave

import numpy as np

#: Debian's build runs as root only without its sandbox.
FLAGS = ("--no-sandbox", "--use-fake-device-for-media-stream")
READY = "#status:has-text('Ready')"
RATE = 16000
#: LIVE_SECONDS=600 pytest -k runs_without: ten minutes, by hand.
LONG = int(os.environ.get("LIVE_SECONDS", "60"))
#: Fits no number of 10 ms, so that a lost piece shows as a jump of phase.
TONE_HZ = 997.0


def write_wav(path, samples, rate=RATE):
    """Write a mono file of 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return path


def read_wav(path):
    """Return the samples of a mono file of 16 bits."""
    with wave.open(str(path)) as file:
        assert file.getnchannels() == 1 and file.getsampwidth() == 2
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, "<i2")


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def served(folder):
    """Serve a folder on loopback; gives its address."""
    handler = partial(_Handler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(
        target=server.serve_forever, args=(0.01,), daemon=True
    ).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def chromium(*flags):
    """Start Debian's Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*FLAGS, *flags]
        )
        yield browser
        browser.close()


def opened(context, address, query=""):
    """Return the page with its first example ready."""
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on(
        "console",
        lambda line: line.type == "error" and page.faults.append(line.text),
    )
    page.goto(address + query)
    page.wait_for_selector(READY)
    return page


def bring(page, path, ready=True):
    """Open a file as a visitor does."""
    page.set_input_files("#file", path)
    if ready:
        page.wait_for_selector(f"#status:has-text('Ready: {path.name}')")


def downloaded(page, target):
    """Press Download; return the file."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(target)
    return target
