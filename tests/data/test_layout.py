from edgebrain.data.layout import (
    find_audio,
    find_layout,
    find_layouts,
    group_of,
    split_folders,
)
from edgebrain.errors import UserError
import pytest


def make(folder, *names):
    for name in names:
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def test_audio_is_found_by_suffix_and_hidden_files_are_not(tmp_path):
    make(
        tmp_path,
        "b/x.WAV",
        "a/y.flac",
        "z.mp3",
        "README.md",
        "b/.hidden.wav",
        ".cache/h.wav",
        "a/notes.txt",
    )
    found = find_audio(tmp_path)
    assert list(found.files) == ["a/y.flac", "b/x.WAV", "z.mp3"]
    assert found.files["a/y.flac"] == tmp_path / "a" / "y.flac"
    assert found.ignored == 2


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    make(tmp_path, "far/x.wav", "data/a/y.wav")
    (tmp_path / "data" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "data" / "a" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "gone.wav").symlink_to("nowhere")
    found = find_audio(tmp_path / "data")
    assert sorted(found.files) == ["a/y.wav", "far/x.wav", "gone.wav"]


@pytest.mark.parametrize("valid", ["valid", "dev", "val", "Validation"])
def test_split_folders_have_several_names(tmp_path, valid):
    make(tmp_path, "Train/", f"{valid}/", "test/", "other/", "train.wav")
    assert split_folders(tmp_path) == {
        "train": tmp_path / "Train",
        "valid": tmp_path / valid,
        "test": tmp_path / "test",
    }


def test_two_folders_of_one_set_are_refused(tmp_path):
    make(tmp_path, "dev/", "valid/")
    with pytest.raises(UserError, match="dev/ and valid/ both name the valid"):
        split_folders(tmp_path)


def test_mixing_layout(tmp_path):
    make(
        tmp_path,
        "speech/train/",
        "speech/valid/",
        "speech/extra/",
        "speech/loose.wav",
        "noise/a.wav",
        "noises/",
    )
    roles, notes = find_layout(tmp_path)
    places = {
        role: {split: files["wav"].folder for split, files in splits.items()}
        for role, splits in roles.items()
    }
    assert places == {
        "speech": {
            "train": tmp_path / "speech" / "train",
            "valid": tmp_path / "speech" / "valid",
        },
        "noise": {None: tmp_path / "noise"},
    }
    assert list(roles["noise"][None]["wav"].files) == ["a.wav"]
    assert any("noises/" in note for note in notes)
    assert any("extra/" in note for note in notes)
    assert any("1 audio files" in n and "loose.wav" in n for n in notes)


@pytest.mark.parametrize(
    "names, splits",
    [
        (["clean/", "noisy/"], [None]),
        (
            ["clean/train/", "noisy/train/", "clean/test/", "noisy/test/"],
            ["train", "test"],
        ),
        (
            ["train/clean/", "train/noisy/", "dev/clean/", "dev/noisy/"],
            ["train", "valid"],
        ),
    ],
)
def test_paired_layouts(tmp_path, names, splits):
    make(tmp_path, *names)
    roles, _ = find_layout(tmp_path)
    assert list(roles) == ["paired"] and list(roles["paired"]) == splits
    for pair in roles["paired"].values():
        for side in ("noisy", "clean"):
            folder = pair[side].folder
            assert folder.is_dir() and side in str(folder)


def test_what_fits_no_layout_is_explained(tmp_path):
    make(tmp_path, "wavs/", "other/")
    for folder, message in [
        (tmp_path, "holds other/, wavs/"),
        (tmp_path / "wavs", "holds no folder"),
        (tmp_path / "none", "does not exist"),
    ]:
        with pytest.raises(UserError, match=message) as caught:
            find_layout(folder)
        assert "clean/ and noisy/" in str(caught.value)
    make(tmp_path, "speech/", "clean/", "noisy/")
    with pytest.raises(UserError, match="several layouts"):
        find_layout(tmp_path)


def test_pairs_with_other_splits_are_refused(tmp_path):
    make(tmp_path, "clean/train/", "noisy/train/", "noisy/test/")
    with pytest.raises(UserError, match="both need the same"):
        find_layout(tmp_path)


@pytest.mark.parametrize(
    "relative, role, group",
    [
        ("1089/134686/1089-134686-0016.flac", "speech", "1089"),
        ("1089-134686-0016.flac", "speech", "1089"),
        ("p287_001.wav", "paired", "p287"),
        ("alone.wav", "speech", "alone"),
        ("_x.wav", "speech", "_x"),
        ("DKITCHEN/ch01.wav", "noise", "DKITCHEN"),
        ("busy_street-2.wav", "noise", "busy_street-2"),
    ],
)
def test_group_of_a_file(relative, role, group):
    assert group_of(relative, role) == group


def test_several_folders_are_taken_as_one(tmp_path):
    make(
        tmp_path,
        "a/speech/train/1/x.wav",
        "a/speech/test/2/y.wav",
        "b/speech/train/3/z.ogg",
        "b/noise/train/n.wav",
    )
    roles, _ = find_layouts([tmp_path / "a", tmp_path / "b"])
    speech = {split: by["wav"].files for split, by in roles["speech"].items()}
    assert list(speech["train"]) == ["1/x.wav", "3/z.ogg"]
    assert list(speech["test"]) == ["2/y.wav"]
    assert list(roles["noise"]) == ["train"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="x: there is no such folder"):
        find_audio(tmp_path / "x")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a/speech/train/x.wav", "b/speech/train/x.wav"], "the same name"),
        (["a/speech/train/x.wav", "b/speech/y.wav"], "give all the same"),
        (["a/speech/x.wav", "b/clean/y.wav", "b/noisy/y.wav"], "not pairs"),
    ],
)
def test_folders_that_do_not_go_together(tmp_path, names, text):
    make(tmp_path, *names)
    with pytest.raises(UserError, match=text):
        find_layouts([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(UserError, match="an empty list"):
        find_layouts([])
