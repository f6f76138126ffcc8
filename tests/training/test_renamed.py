import pydoc

from edgebrain.training.renamed import MOVED, current_names
import pytest


@pytest.mark.parametrize("old, new", MOVED.items())
def test_what_moved_is_there_and_its_old_place_is_not(old, new):
    assert pydoc.locate(new) is not None
    assert pydoc.locate(old) is None


def test_longer_and_qualified_names_stay():
    for text in (
        "edgebrain.models.NNSEngine",
        "my.edgebrain.models.NNSE",
        "edgebrain.data.mixing_desk",
    ):
        assert current_names(text) == text


def test_a_yaml_keeps_its_shape():
    old = "a: !new:edgebrain.data.mixing.MixingSettings  # edgebrain.data.x\n"
    new = old.replace("data.mixing", "enhancement.mixing")
    assert current_names(old) == new
