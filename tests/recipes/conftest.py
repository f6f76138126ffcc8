"""Small corpora in the layouts of the recipes."""

import importlib
from pathlib import Path
import sys

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from corpora import write_librispeech, write_noise, write_pairs  # noqa: E402

REPOSITORY = Path(__file__).parents[2]


def _import_from(folder, name):
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def valentini():
    """Return the module valentini_prepare."""
    return _import_from(
        REPOSITORY / "recipes" / "Valentini", "valentini_prepare"
    )


@pytest.fixture(scope="session")
def mini():
    """Return the module mini_librispeech_prepare."""
    return _import_from(
        REPOSITORY / "recipes" / "MiniLibriSpeech", "mini_librispeech_prepare"
    )


@pytest.fixture(scope="session")
def pairs_writer():
    return write_pairs


@pytest.fixture(scope="session")
def librispeech_writer():
    return write_librispeech


@pytest.fixture(scope="session")
def noise_writer():
    return write_noise
