"""Int8 C against onnxruntime without a reset; minutes: see soak.py."""

import shutil

from c_models import ENHANCERS, released
import pytest
from soak import compare, random_stream

pytestmark = pytest.mark.skipif(
    not (shutil.which("cc") and shutil.which("make")),
    reason="no C compiler (cc) or make on this machine",
)


@pytest.mark.parametrize("name", ENHANCERS)
def test_released_networks(name, tmp_path):
    differ, total, _ = compare(released(name, "int8"), tmp_path / "c", 20)
    assert total > 500_000 and not differ


@pytest.mark.parametrize("number", range(4))
def test_random_networks(number, tmp_path):
    path = random_stream(number, tmp_path)
    differ, total, _ = compare(path, tmp_path / "c", 20, number)
    assert total > 200_000 and not differ
