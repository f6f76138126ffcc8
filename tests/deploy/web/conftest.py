"""The page of the released models, in a browser."""

from pathlib import Path
import shutil

from c_models import ENHANCERS, sound
import numpy as np
import pytest
from web_browser import LONG, RATE, TONE_HZ, chromium, opened, served, write_wav

ROOT = Path(__file__).parents[3]
MISSING = [
    tool
    for tool in ("chromium", "clang", "wasm-ld", "cc", "make")
    if not shutil.which(tool)
]
#: The page begins with the first.
MODELS = [
    *sorted(ENHANCERS, key="tcnn-120k".__ne__),
    *("yamnet-256-esc10", "stream-66k-esc10"),
]


@pytest.fixture(scope="session")
def tools():
    """Skip where a browser or a compiler is missing."""
    pytest.importorskip("playwright")
    if MISSING:
        pytest.skip(f"not installed: {' '.join(MISSING)}")


@pytest.fixture(scope="session")
def folder(tools, tmp_path_factory):
    """Return a folder with the page of the released models."""
    from deploy.web.build import build, name_models

    target = tmp_path_factory.mktemp("web") / "page"
    build(name_models([ROOT / "models" / n for n in MODELS]), target)
    return target


@pytest.fixture(scope="session")
def address(folder):
    with served(folder) as url:
        yield url


@pytest.fixture(scope="session")
def tone(tmp_path_factory):
    """Return a wav that the fake microphone plays, longer than any test."""
    # From its end it begins again, with a jump.
    time = np.arange((LONG + 20) * 48000) / 48000
    path = tmp_path_factory.mktemp("tone") / "tone.wav"
    return write_wav(path, 8000 * np.sin(2 * np.pi * TONE_HZ * time), 48000)


@pytest.fixture(scope="module")
def browser(tools, tone):
    with chromium(f"--use-file-for-fake-audio-capture={tone}") as started:
        yield started


@pytest.fixture
def context(browser):
    made = browser.new_context(
        accept_downloads=True, permissions=["microphone"]
    )
    made.set_default_timeout(60000)
    yield made
    made.close()


@pytest.fixture
def page(context, address):
    made = opened(context, address)
    yield made
    assert not made.faults


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """Return a clip with silence, bursts and overdriven samples."""
    pcm = sound(5 * RATE + 77).astype(int)
    pcm[30000:34000] *= 8
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    return write_wav(path, np.clip(pcm, -32768, 32767))
