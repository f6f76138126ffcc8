"""Shared by all tests."""

import contextlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import importlib.util
import io
import os
from pathlib import Path
import subprocess
import sys
import threading
from types import SimpleNamespace

# Images of containers set it; here it would make each of the processes that
# tests start compile torch anew, which takes longer than most tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Two worker processes a machine: more threads each only take turns.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Debian's ccache under the names of the compilers: most of the C code of one
# network is that of all.
CCACHE = Path("/usr/lib/ccache")
ROOT = Path(__file__).parents[1]
if CCACHE.is_dir():
    os.environ["PATH"] = f"{CCACHE}{os.pathsep}{os.environ['PATH']}"
    kept = ROOT / ".pytest_cache" / "ccache"
    os.environ.setdefault("CCACHE_DIR", str(kept))
    # Else nothing compiled with -g in another folder is found.
    os.environ.setdefault("CCACHE_NOHASHDIR", "1")

import edgebrain  # noqa: E402, F401  (before speechbrain)
import pytest  # noqa: E402
from speechbrain.utils.importutils import LazyModule  # noqa: E402

# hypothesis asks every loaded module for __file__; a lazy module whose
# package is not installed would answer with ImportError.
LazyModule.__file__ = None


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
        start = int(wanted[6:-1]) if wanted and self.ranges else 0
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
    # Between attempts; the server itself does not wait either.
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=id))
    folder = tmp_path / "mirror"
    folder.mkdir()
    server = Mirror(folder)
    yield server
    server.close()


@pytest.fixture(scope="session")
def here():
    """Return a function that runs a script as ``subprocess.run`` would.

    But in this process, which has imported everything.
    """
    from edgebrain.command_line import exit_on_user_error

    scripts = {}

    def run(script, *words, cwd="."):
        path = str(ROOT / script)
        if path not in scripts:
            spec = importlib.util.spec_from_file_location("it", path)
            scripts[path] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(scripts[path])
        out, err, code = io.StringIO(), io.StringIO(), 0
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                with exit_on_user_error():
                    code = scripts[path].main([str(word) for word in words])
            except SystemExit as left:
                code = left.code
        return subprocess.CompletedProcess(
            words, code or 0, out.getvalue(), err.getvalue()
        )

    return run


@pytest.fixture(scope="session")
def small_network():
    """Return a maker of small networks with lively BatchNorm statistics."""
    from edgebrain.enhancement.networks import STFTTCNN
    import torch

    def make(seed=0, **changes):
        torch.manual_seed(seed)
        arguments = {
            "in_channels": 257,
            "bottleneck_channels": 12,
            "n_blocks": 1,
            "num_layers": 2,
            "tcn_latent_dim": 12,
            "kernel_size": 3,
            "init_dilation": 2,
            "causal": True,
            "activation": "relu",
            "mask_activation": "sigmoid",
            "prologue": "power",
        }
        model = STFTTCNN(**{**arguments, **changes})
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def results_folder(tmp_path_factory):
    """Return a maker of results folders, as a training leaves them."""
    from edgebrain.signal import SignalSettings
    from edgebrain.tasks import Setup
    from edgebrain.training.checkpoints import AtomicCheckpointer
    from edgebrain.training.weights import ModelCard

    def make(models, scores=None, signal=None, select_by="stoi"):
        folder = tmp_path_factory.mktemp("results") / "tiny" / "1234"
        (folder / "save").mkdir(parents=True)
        (folder / "hyperparams.yaml").write_text(
            f"select_by: {select_by}\n"
            "model: !new:edgebrain.enhancement.networks.STFTTCNN\n"
        )
        for number, model in enumerate(models):
            setup = Setup("enhancement", signal or SignalSettings())
            card = ModelCard(model, setup)
            keeper = AtomicCheckpointer(
                folder / "save",
                recoverables={"model": model, "model_card": card},
            )
            score = scores[number] if scores else 0.5
            keeper.save_checkpoint(
                meta={select_by: score, "epoch": number + 1},
                name=f"epoch{number + 1}",
            )
        return folder

    return make


@pytest.fixture(scope="session")
def causal_folder(small_network, results_folder):
    """Return a results folder of a causal network."""
    return results_folder([small_network()])


@pytest.fixture(scope="session")
def onnx_folder(causal_folder, tmp_path_factory):
    """Return a folder with the three ONNX forms of the causal network."""
    from edgebrain.onnx import export
    from edgebrain.training.results import load_model

    folder = tmp_path_factory.mktemp("onnx")
    loaded = load_model(causal_folder)
    for form in ("offline", "patch", "stream"):
        write = getattr(export, f"export_{form}")
        write(loaded.model, loaded.setup, folder / f"{form}.onnx")
    return folder
