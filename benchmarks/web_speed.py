"""A frame of the released networks in WebAssembly, and in C on this computer.

Both by the clock, the best of many seconds of sound: others on the machine
make it slower, nothing makes it faster.
"""

from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import shutil
import subprocess
import tempfile
import threading
import time

from edgebrain.enhancement.forms.c_library import Library, LibraryStream
from edgebrain.errors import UserError
from edgebrain.events.c_library import HopStream
from edgebrain.events.c_library import Library as Detector
import numpy as np

from deploy.c.generator.generate import generate
from deploy.web.build import name_models
from deploy.web.wasm import compile_model

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "models"
REPEATS = 200  # seconds of sound
_TOOLS = ("chromium", "cc", "make")
#: Milliseconds of the fastest of some seconds, each of the given samples.
_MEASURE = """async ([path, samples, repeats]) => {
  const { Engine } = await import("/engine.js");
  const engine = new Engine(await (await fetch(path)).arrayBuffer());
  const from = Int16Array.from(samples);
  const to = new Int16Array(from.length);
  const task = engine.classes ? "detect" : "process";
  let best = Infinity;
  for (let k = 0; k < repeats; k += 1) {
    const begun = performance.now();
    engine[task](from, to);
    best = Math.min(best, performance.now() - begun);
  }
  return best;
}"""


def run(cache) -> list[tuple[str, str]]:
    """Return a row for each released model."""
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing.append("playwright")
    if missing:
        return [("C in Chromium", f"not measured: no {' '.join(missing)}")]
    rows = []
    with tempfile.TemporaryDirectory() as place, sync_playwright() as tools:
        folder = Path(place)
        shutil.copy(ROOT / "deploy" / "web" / "page" / "engine.js", folder)
        (folder / "index.html").write_text("<!doctype html><title>x</title>")
        browser = tools.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        with _served(folder) as address:
            page = browser.new_page()
            page.goto(address)
            found = sorted(p.parent for p in MODELS.glob("*/stream_int8.onnx"))
            for name, path in name_models(found).items():
                model = f"{name}, C int8"
                try:
                    measured = _measure(path, folder, page)
                except UserError as error:
                    return [(model, f"not measured: {error}")]
                rows += [
                    (f"{model} {where}", f"{1e6 * seconds:.1f} us a frame")
                    for where, seconds in measured.items()
                ]
        browser.close()
    return rows


def _measure(model: Path, folder: Path, page) -> dict[str, float]:
    """Return seconds a frame by where they were measured."""
    plain, vectors = folder / "plain.wasm", folder / "vectors.wasm"
    compile_model(model, plain, vectors)
    card = generate(model, folder / "c", "net").program.metadata
    subprocess.run(["make", "-s", "libnet.so"], cwd=folder / "c", check=True)
    library, signal = folder / "c" / "libnet.so", card.signal
    frames = signal.sample_rate // signal.hop_length
    rng = np.random.default_rng(0)
    pcm = 3000 * rng.standard_normal(frames * signal.hop_length)
    pcm = pcm.astype(np.int16)
    samples = pcm.tolist()
    if card.task == "events":
        process, pcm = HopStream(Detector(library)).feed, pcm / 32768
    else:
        process = LibraryStream(Library(library)).process
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        process(pcm)
        times.append(time.perf_counter() - begun)
    shutil.rmtree(folder / "c")
    measured = {
        f"in Chromium, {how} vectors": page.evaluate(
            _MEASURE, [file.name, samples, REPEATS]
        )
        / 1000
        for how, file in (("with", vectors), ("without", plain))
    }
    measured["on this computer"] = min(times)
    return {where: best / frames for where, best in measured.items()}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def _served(folder: Path):
    handler = partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
