import json
from pathlib import Path
import shutil
import time

from edgebrain.data import audio, ingest
from edgebrain.data.layout import find_audio
from edgebrain.data.manifest import prepare_folder, prepare_sets
from edgebrain.data.sources import load_manifest
from edgebrain.errors import UserError
from edgebrain.files import write_json
import numpy as np
import pytest

RATE = 16000
EDGE16K = Path(__file__).parents[3] / "shared" / "data" / "edge16k"


def clip(path, seconds=0.25, rate=RATE):
    """Write a noise that no other path gets."""
    rng = np.random.default_rng(list(str(path).encode()))
    wav = rng.standard_normal(int(seconds * rate)).astype("f") * 0.1
    audio.write(path, wav, rate)


@pytest.fixture
def mixing(tmp_path):
    """Return a function that makes a mixing corpus and prepares it."""
    data = tmp_path / "data"
    for speaker in range(6):
        for i in range(3):
            clip(data / "speech" / f"s{speaker}" / f"s{speaker}-{i}.flac")
    for i in range(5):
        clip(data / "noise" / f"n{i}.ogg", 1.0)
    for i in range(3):
        clip(data / "rir" / f"room{i}.wav", 0.02, 48000)
    return prepare(tmp_path)


@pytest.fixture
def pairs(tmp_path):
    for speaker in ("p1", "p2", "p3", "p4"):
        for i in range(2):
            for side in ("clean", "noisy"):
                clip(tmp_path / "data" / side / f"{speaker}_{i}.wav")
    return prepare(tmp_path)


def prepare(folder):
    def run(**options):
        return prepare_folder(
            folder / "data",
            folder / "out",
            RATE,
            folder / "cache",
            options.pop("seed", 1),
            **options,
        )

    return run


def entries(path):
    return json.loads(path.read_text())


def sets_of(data, role):
    """Return the entries of each split."""
    return {split: entries(p) for split, p in data.manifests[role].items()}


def problems(run, **options):
    with pytest.raises(UserError) as caught:
        run(**options)
    return str(caught.value)


def test_mixing_corpus_becomes_manifests(mixing, tmp_path):
    data = mixing()
    assert list(data.manifests) == ["speech", "noise", "rir"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"{role}_{split}.json"
        for role in ("speech", "noise", "rir")
        for split in ("train", "valid", "test")
    )
    speech = {
        split: entries(path) for split, path in data.manifests["speech"].items()
    }
    assert [len(e) for e in speech.values()] == [12, 3, 3]
    ids = [id_ for e in speech.values() for id_ in e]
    assert sorted(ids) == [f"s{s}/s{s}-{i}" for s in range(6) for i in range(3)]
    speakers = [{e["speaker"] for e in m.values()} for m in speech.values()]
    assert sum(map(len, speakers)) == 6 == len(set().union(*speakers))
    for id_, entry in speech["train"].items():
        assert entry["wav"] == "{data_root}/speech/" + id_ + ".flac"
        assert entry["duration"] == 0.25
    noise = entries(data.manifests["noise"]["train"])
    for id_, entry in noise.items():
        assert entry["group"] == id_ and entry["duration"] == 1.0
        assert Path(entry["wav"]).parent == tmp_path / "cache"
    for path in data.manifests["rir"].values():
        (entry,) = entries(path).values()
        info = audio.inspect(entry["wav"])
        assert (info.sample_rate, info.subtype) == (RATE, "FLOAT")
        assert info.frames == round(entry["duration"] * RATE) == 320
    assert "speech  train     12   0.00" in data.summary
    assert any("rir: 3 of 3 files are read as 16000" in n for n in data.notes)


def test_speechbrain_reads_the_manifests(mixing):
    from speechbrain.dataio.dataset import DynamicItemDataset

    data = mixing()
    dataset = DynamicItemDataset.from_json(
        data.manifests["speech"]["train"], {"data_root": str(data.data_root)}
    )
    dataset.set_output_keys(["id", "wav", "speaker"])
    item = dataset[0]
    assert len(audio.read(item["wav"], RATE)) == 4000
    assert item["id"].startswith(item["speaker"])


def test_a_second_call_writes_nothing_but_follows_the_folder(mixing, tmp_path):
    first = mixing()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")}
    assert mixing() == first
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")} == before
    assert mixing(seed=2) != first or entries(first.manifests["speech"]["test"])
    clip(tmp_path / "data" / "speech" / "s0" / "new.wav")
    shutil.rmtree(tmp_path / "data" / "rir")
    data = mixing()
    assert any("s0/new" in e for e in sets_of(data, "speech").values())
    assert "rir" not in data.manifests
    assert not list((tmp_path / "out").glob("rir*"))


def test_limits_take_a_part(mixing):
    data = mixing(num_train=5, num_valid=0.34)
    sizes = [len(e) for e in sets_of(data, "speech").values()]
    assert sizes == [5, 1, 3]
    assert len(entries(data.manifests["noise"]["train"])) == 3


def test_given_splits_and_speakers_in_two_of_them(tmp_path):
    data = tmp_path / "data" / "speech"
    for split, speaker in [("train", "a"), ("dev", "a"), ("test", "b")]:
        clip(data / split / speaker / "x.wav")
    got = prepare(tmp_path)()
    assert {
        s: list(entries(p)) for s, p in got.manifests["speech"].items()
    } == {
        "train": ["a/x"],
        "valid": ["a/x"],
        "test": ["b/x"],
    }
    assert len(got.warnings) == 1
    assert "1 speakers are in train and in valid (a)" in got.warnings[0]


def test_one_recording_in_two_splits_is_refused(tmp_path):
    data = tmp_path / "data" / "speech"
    for split in ("train", "valid", "test"):
        clip(data / split / f"{split}.wav")
    shutil.copy(data / "train" / "train.wav", data / "valid" / "copy.wav")
    (data / "test" / "link.wav").symlink_to(data / "train" / "train.wav")
    # Equal starts are no equal files.
    wav = np.random.default_rng(0).standard_normal(70000).astype("f") * 0.1
    audio.write(data / "train" / "long.wav", wav, RATE)
    wav[-1] += 0.1
    audio.write(data / "test" / "other.wav", wav, RATE)
    text = problems(prepare(tmp_path))
    assert "copy.wav: is in valid and, as" in text
    assert "link.wav: is in test and, as" in text
    assert "other.wav" not in text


def test_all_that_is_wrong_is_listed_together(mixing, tmp_path):
    data = tmp_path / "data"
    (data / "speech" / "s1" / "s1-0.flac").write_text("text")
    audio.write(data / "noise" / "still.wav", np.zeros(RATE), RATE)
    clip(data / "speech" / "s2" / "s2-1.wav")
    clip(data / "speech" / "s3" / "a{b}.wav")
    clip(data / "speech" / "s4" / "short.wav", 0.05)
    clip(data / "rir" / "tiny.wav", 0.001)
    text = problems(mixing)
    assert "--skip_bad True leaves bad ones out) (5 problems)" in text
    for line in (
        "s1-0.flac: is not whole audio",
        "still.wav: is silent",
        "s2-1.wav: differs from s2-1.flac beside it only in its suffix",
        "a{b}.wav: has a brace",
        "short.wav: is too short: 0.050 s, at least 0.1 s",
    ):
        assert line in text
    assert not (tmp_path / "out").exists()


def test_bad_files_can_be_left_out(mixing, tmp_path):
    data = tmp_path / "data"
    (data / "speech" / "s1" / "s1-0.flac").write_text("text")
    got = mixing(skip_bad=True)
    assert sum(len(e) for e in sets_of(got, "speech").values()) == 17
    assert any("1 bad left out" in w and "s1-0" in w for w in got.warnings)
    for path in (data / "noise").iterdir():
        path.write_text("text")
    assert "noise train: all files are bad" in problems(mixing, skip_bad=True)


def test_empty_folders_are_named(mixing, tmp_path):
    shutil.rmtree(tmp_path / "data" / "noise")
    (tmp_path / "data" / "noise" / "train").mkdir(parents=True)
    (tmp_path / "data" / "noise" / "train" / "noise.txt").touch()
    assert "noise/train: holds no audio files" in problems(mixing)


def test_pairs_become_manifests(pairs, tmp_path):
    data = pairs()
    assert list(data.manifests) == ["paired"]
    sets = {
        split: entries(path) for split, path in data.manifests["paired"].items()
    }
    assert [len(m) for m in sets.values()] == [4, 2, 2]
    for id_, entry in sets["train"].items():
        assert entry == {
            "noisy": "{data_root}/noisy/" + id_ + ".wav",
            "clean": "{data_root}/clean/" + id_ + ".wav",
            "duration": 0.25,
            "speaker": id_[:2],
        }
    chosen = pairs(valid_speakers=["p3"]).manifests["paired"]["valid"]
    assert list(entries(chosen)) == ["p3_0", "p3_1"]
    for path in (tmp_path / "data").glob("*/p*.wav"):
        path.rename(path.with_name(f"p_{path.name[1:]}"))
    by_file = pairs()
    assert any("by file" in note for note in by_file.notes)
    assert by_file.warnings


def test_pairs_that_do_not_match_are_listed(pairs, tmp_path):
    data = tmp_path / "data"
    clip(data / "clean" / "only.wav")
    (data / "clean" / "p1_0.wav").unlink()
    clip(data / "clean" / "p2_0.wav", 0.25 + 1 / RATE)
    clip(data / "noisy" / "p3_1.wav", rate=48000)
    text = problems(pairs)
    assert "4 problems" in text
    for line in (
        f"clean/only.wav: has no partner of that name in {data / 'noisy'}",
        f"noisy/p1_0.wav: has no partner of that name in {data / 'clean'}",
        "noisy/p2_0.wav: has 4000 samples, its clean partner 4001",
        "noisy/p3_1.wav: has 48000 Hz, its clean partner 16000 Hz",
    ):
        assert line in text


def test_pairs_at_another_rate_keep_equal_lengths(tmp_path):
    for split in ("train", "val", "test"):
        for side in ("clean", "noisy"):
            clip(tmp_path / "data" / split / side / "a.flac", 0.25, 44100)
    data = prepare(tmp_path)()
    (entry,) = entries(data.manifests["paired"]["train"]).values()
    clean, noisy = (audio.inspect(entry[key]) for key in ("clean", "noisy"))
    assert clean.frames == noisy.frames == round(entry["duration"] * RATE)
    assert clean.path != noisy.path


def test_folders_with_names_of_their_own(tmp_path):
    for split in ("train", "test"):
        for i in range(8):
            for side in ("clean", "noisy"):
                name = f"{split[0]}{i}_1.wav"
                clip(tmp_path / "d" / f"{side}_{split}set" / name)
    splits = {
        split: {
            side: find_audio(tmp_path / "d" / f"{side}_{split}set")
            for side in ("noisy", "clean")
        }
        for split in ("train", "test")
    }
    data = prepare_sets(
        {"paired": splits},
        tmp_path / "d",
        tmp_path / "out",
        RATE,
        tmp_path / "cache",
        1,
    )
    assert [len(e) for e in sets_of(data, "paired").values()] == [
        7,
        1,
        8,
    ]


@pytest.mark.slow
@pytest.mark.skipif(not EDGE16K.is_dir(), reason="edge16k is not here")
def test_real_recordings(tmp_path, monkeypatch):
    def run():
        return prepare_folder(
            EDGE16K, tmp_path / "out", RATE, tmp_path / "cache", 1
        )

    data = run()
    sizes = {
        role: [len(entries(path)) for path in splits.values()]
        for role, splits in data.manifests.items()
    }
    assert sizes == {
        "speech": [1090, 40, 123],
        "noise": [89, 5, 8],
        "rir": [18, 6, 6],
    }
    assert data.warnings == ()
    monkeypatch.setattr(ingest, "_ingest", None)
    start = time.perf_counter()
    assert run() == data
    assert time.perf_counter() - start < 5


def test_relative_paths_begin_at_the_manifest_or_the_data(tmp_path):
    path = tmp_path / "sets" / "a.json"
    absolute = str(tmp_path / "b.wav")
    names = {"x": "a.wav", "y": absolute, "z": "{data_root}/c.wav"}
    content = {k: {"wav": v, "duration": 1.0} for k, v in names.items()}
    write_json(path, content | {"x": content["x"] | {"speaker": "ann"}})
    for root, given in ((path.parent, None), (tmp_path, tmp_path)):
        entries = load_manifest(path, given)
        assert entries["x"]["wav"] == str(root / "a.wav")
        assert entries["x"]["speaker"] == "ann"
        assert entries["y"]["wav"] == absolute
        assert entries["z"]["wav"] == f"{root}/c.wav"
