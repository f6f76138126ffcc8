"""A copy of the template as a user has it, and tiny data."""

import contextlib
import importlib
import io
import logging
from pathlib import Path
import shutil
import sys
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from template_runs import TEMPLATE, librispeech  # noqa: E402


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a folder with a tiny LibriSpeech."""
    return librispeech(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def copy_of_template(tmp_path_factory):
    """Return a copy outside the repository, as a user has it."""
    folder = tmp_path_factory.mktemp("user") / "my project"
    shutil.copytree(
        TEMPLATE,
        folder,
        ignore=shutil.ignore_patterns("__pycache__", "results"),
    )
    return folder


@pytest.fixture(scope="module")
def template(copy_of_template):
    """Import the copy's modules, and forget them again afterwards."""
    names = [path.stem for path in TEMPLATE.glob("*.py")]
    before = {n: sys.modules.pop(n) for n in names if n in sys.modules}
    sys.path.insert(0, str(copy_of_template))
    yield SimpleNamespace(**{n: importlib.import_module(n) for n in names})
    sys.path.remove(str(copy_of_template))
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)


@pytest.fixture
def train_here(template, copy_of_template, monkeypatch):
    """Return a function that runs train.py as ``template_runs.run`` does.

    But in this process, which has imported everything.
    """
    root = logging.getLogger()
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv("SB_LOG_LEVEL", "DEBUG")
    # Two seconds of pip.
    monkeypatch.setattr(
        "speechbrain.utils.logger.get_environment_description", lambda: ""
    )
    monkeypatch.chdir(copy_of_template)
    before = root.level, root.handlers[:]

    def run(words, status=0):
        text, left = io.StringIO(), 0
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            try:
                with template.helpers.messages():
                    template.train.main(words)
            except SystemExit as stop:
                left = stop.code
        assert left == status, text.getvalue()
        return text.getvalue()

    yield run
    root.level, root.handlers[:] = before
