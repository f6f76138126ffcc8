"""The set of synthesised sounds: classes, folds, the same each time."""

from edgebrain.events.listing import list_clips, split_by_fold
from edgebrain.events.synthetic import FOLDS, make_embedded_sounds


def test_each_fold_has_each_class_from_sources_of_its_own(tmp_path):
    folder = make_embedded_sounds(tmp_path / "a", clips=1)
    clips = list_clips(folder)
    assert len(clips) == FOLDS * 8
    assert "speech" in {clip.labels[0] for clip in clips}
    splits = split_by_fold(clips, 1, 2)
    assert {s: len(part) for s, part in splits.items()} == {
        "train": 24,
        "valid": 8,
        "test": 8,
    }
    again = make_embedded_sounds(tmp_path / "b", clips=1)
    for clip in clips:
        other = again / clip.path.name
        assert other.read_bytes() == clip.path.read_bytes(), clip.id
    assert make_embedded_sounds(tmp_path / "a", clips=1) == folder
