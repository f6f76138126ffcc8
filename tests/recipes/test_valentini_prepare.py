"""The Valentini corpus in all the shapes in which people have it."""

import json
import shutil
import zipfile

from edgebrain.data import audio
from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile

TRAIN = ["p226", "p228", "p230", "p287"]
SECOND = ["p234", "p237", "p241"]


@pytest.fixture
def corpus(tmp_path, pairs_writer):
    """Return a corpus at 48 kHz as it comes from DataShare, unpacked."""
    folder = tmp_path / "valentini"
    common = {"rate": 48000, "seconds": 0.5}
    pairs_writer(folder, "trainset_28spk_wav", TRAIN, **common)
    pairs_writer(
        folder, "trainset_56spk_wav", ["p234", "p237", "p241"], **common
    )
    pairs_writer(folder, "testset_wav", ["p232", "p257"], **common)
    return folder


@pytest.fixture
def prepare(valentini, tmp_path):
    def prepare(folder, **options):
        prepared = valentini.prepare_valentini(
            folder, tmp_path / "out", 16000, tmp_path / "cache", 1, **options
        )
        entries = {
            split: json.loads(path.read_text())
            for split, path in prepared.manifests["paired"].items()
        }
        return prepared, entries

    return prepare


def ids(entries):
    return {split: sorted(entries[split]) for split in entries}


def files(speakers, count=2):
    return [f"{s}_{n:03d}" for s in speakers for n in range(1, count + 1)]


def test_layout_of_the_corpus(corpus, prepare, tmp_path):
    prepared, entries = prepare(corpus)
    assert ids(entries) == {
        "train": files(["p228", "p230"]),
        "valid": files(["p226", "p287"]),
        "test": files(["p232", "p257"]),
    }
    assert "valid is p226, p287" in "\n".join(prepared.notes)
    entry = entries["valid"]["p226_001"]
    assert entry["speaker"] == "p226" and entry["duration"] == 0.5
    for side in ("noisy", "clean"):
        info = soundfile.info(entry[side])
        assert (info.samplerate, info.frames) == (16000, 8000)
        assert str(tmp_path / "cache") in entry[side]


def test_resampling_keeps_the_speech_and_cuts_what_would_alias(corpus, prepare):
    t = np.arange(24000) / 48000
    low, high = np.sin(2 * np.pi * 7000 * t), np.sin(2 * np.pi * 9000 * t)
    path = corpus / "clean_testset_wav" / "p232_001.wav"
    soundfile.write(path, 0.4 * low + 0.4 * high, 48000)
    _, entries = prepare(corpus)
    wav = audio.read(entries["test"]["p232_001"]["clean"])[1000:-1000]
    t = np.arange(8000)[1000:-1000] / 16000
    expected = 0.4 * np.sin(2 * np.pi * 7000 * t)
    assert np.abs(wav - expected).max() < 1e-3  # no trace of 9 kHz at 7 kHz


@pytest.mark.parametrize(
    "training_set, speakers",
    [(56, {*SECOND}), (84, {*TRAIN, *SECOND})],
)
def test_other_training_sets(corpus, prepare, training_set, speakers):
    _, entries = prepare(corpus, training_set=training_set)
    train, valid = (
        {e["speaker"] for e in entries[s].values()} for s in ("train", "valid")
    )
    assert train | valid == speakers and not train & valid
    assert len(valid) == 2
    assert training_set == 56 or valid == {"p226", "p287"}


@pytest.mark.parametrize(
    "valid_from, count", [(3, 3), (0.25, 2), ("p230", 2), (["p228"], 2)]
)
def test_validation_by_number_fraction_and_speaker(
    corpus, prepare, valid_from, count
):
    _, entries = prepare(corpus, valid_from=valid_from)
    assert len(entries["valid"]) == count
    assert len(entries["train"]) == 8 - count
    assert not entries["valid"].keys() & entries["train"].keys()
    assert ids(entries)["test"] == files(["p232", "p257"])
    assert ids(prepare(corpus, valid_from=valid_from)[1]) == ids(entries)


def test_parts_of_the_sets(corpus, prepare):
    _, entries = prepare(corpus, num_train=1, num_valid=0.5, num_test=3)
    assert [len(entries[s]) for s in ("train", "valid", "test")] == [1, 2, 3]


def test_without_a_test_set(corpus, prepare):
    shutil.rmtree(corpus / "clean_testset_wav")
    shutil.rmtree(corpus / "noisy_testset_wav")
    with pytest.raises(UserError) as missing:
        prepare(corpus)
    for word in ("clean_testset_wav.zip", "noisy_testset_wav/", "10283/2791"):
        assert word in str(missing.value)
    assert "trainset" not in str(missing.value)
    _, entries = prepare(corpus, test_from=2, valid_from=1)
    assert [len(entries[s]) for s in ("train", "valid", "test")] == [5, 1, 2]


def test_test_set_is_never_taken_apart(corpus, prepare):
    with pytest.raises(UserError, match="there is no training set"):
        names = ["clean_testset_wav", "noisy_testset_wav"]
        prepare(corpus, test_folders=names)
    for wrong in (8, 0, True, 1.5):
        with pytest.raises(UserError, match="valid_from: .* whole number"):
            prepare(corpus, valid_from=wrong)
    with pytest.raises(UserError, match="p999"):
        prepare(corpus, valid_from=["p999"])
    with pytest.raises(UserError, match="too few to take 4 away"):
        prepare(corpus, valid_from=TRAIN)


def test_archives_and_the_bundle_of_archives(corpus, prepare, tmp_path):
    expected = ids(prepare(corpus)[1])
    packed = tmp_path / "packed"
    packed.mkdir()
    for folder in sorted(corpus.glob("*_wav")):
        with zipfile.ZipFile(packed / f"{folder.name}.zip", "w") as bundle:
            for path in sorted(folder.iterdir()):
                bundle.write(path, f"{folder.name}/{path.name}")
                bundle.writestr(f"__MACOSX/{folder.name}/._{path.name}", "")
    bundled = tmp_path / "bundled"
    bundled.mkdir()
    with zipfile.ZipFile(bundled / "DS_10283_2791.zip", "w") as bundle:
        for path in packed.iterdir():
            bundle.write(path, path.name)
        bundle.writestr("license_text", "CC BY 4.0")
    for folder in (packed, bundled):
        assert ids(prepare(folder)[1]) == expected
        assert not list(folder.glob("*56spk_wav/"))  # not asked for
    assert sorted(p.name for p in bundled.glob("*.zip")) == [
        "DS_10283_2791.zip"
    ]


def test_archive_of_bare_files_and_a_damaged_one(corpus, prepare):
    folder = corpus / "clean_testset_wav"
    archive = corpus / "clean_testset_wav.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for path in folder.iterdir():
            bundle.write(path, path.name)
    shutil.rmtree(folder)
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-2000])
    with pytest.raises(UserError, match="clean_testset_wav.zip: is damaged"):
        prepare(corpus)
    archive.write_bytes(whole)
    assert len(prepare(corpus)[1]["test"]) == 4


def test_copies_at_16_khz_and_flac(corpus, prepare, pairs_writer, tmp_path):
    copies = tmp_path / "copies"
    for name, speakers in (("trainset_28spk", TRAIN), ("testset", ["p232"])):
        pairs_writer(copies, f"{name}_wav_16k", speakers, suffix=".flac")
    _, entries = prepare(copies)
    assert entries["test"]["p232_001"]["clean"] == (
        "{data_root}/clean_testset_wav_16k/p232_001.flac"
    )
    # Beside the originals, the originals are taken.
    shutil.copytree(copies, corpus, dirs_exist_ok=True)
    _, entries = prepare(corpus)
    assert "cache" in entries["test"]["p232_001"]["clean"]


def test_pairs_that_do_not_fit_are_all_named(corpus, prepare):
    (corpus / "noisy_testset_wav" / "p232_001.wav").unlink()
    soundfile.write(
        corpus / "noisy_testset_wav" / "p257_002.wav", np.ones(100), 48000
    )
    with pytest.raises(UserError) as wrong:
        prepare(corpus)
    assert "p232_001.wav: has no partner" in str(wrong.value)
    assert "p257_002" in str(wrong.value)


def test_own_pairs_and_named_folders(prepare, pairs_writer, tmp_path):
    own = tmp_path / "own"
    pairs_writer(own, "set", [f"anna{n}" for n in range(5)])
    for side in ("clean", "noisy"):
        (own / f"{side}_set").rename(own / side)
    _, entries = prepare(own)
    assert sum(len(e) for e in entries.values()) == 10
    assert all(entries.values())
    _, entries = prepare(own, valid_from=2, test_from=1)
    assert [len(entries[s]) for s in ("train", "valid", "test")] == [7, 2, 1]
    with pytest.raises(UserError, match="test_from: there is no test set"):
        prepare(own, valid_from=2)
    named = {"train_folders": ["clean", "noisy"]}
    _, entries = prepare(own, **named, valid_from=2, test_from=1)
    assert len(entries["train"]) == 7
    with pytest.raises(UserError) as wrong:
        prepare(own, train_folders=["clean"], test_folders=["clean", "nosy"])
    assert "train_folders: give the clean and the noisy" in str(wrong.value)
    assert f"no folder {own / 'nosy'}" in str(wrong.value)


def test_folders_that_are_nothing(prepare, tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        prepare(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="nothing of the Valentini corpus"):
        prepare(tmp_path / "empty")
    (tmp_path / "mix" / "speech").mkdir(parents=True)
    with pytest.raises(UserError, match="for ready pairs"):
        prepare(tmp_path / "mix")
    with pytest.raises(UserError, match="training_set"):
        prepare(tmp_path, training_set=29)


def test_skip_prep(corpus, prepare):
    with pytest.raises(UserError, match="run once without skip_prep"):
        prepare(corpus, skip_prep=True)
    first, entries = prepare(corpus)
    second, again = prepare(corpus, skip_prep=True)
    assert again == entries and second.data_root == first.data_root
