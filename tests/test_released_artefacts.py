"""What is made of the released models stays what it was."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.integration
def test_int8_and_c_of_the_released_models_are_as_recorded():
    """A change that is meant is recorded by tools/artefacts.py."""
    spec = importlib.util.spec_from_file_location(
        "artefacts", ROOT / "tools" / "artefacts.py"
    )
    artefacts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(artefacts)
    assert artefacts.released() == json.loads(artefacts.RELEASED.read_text())
