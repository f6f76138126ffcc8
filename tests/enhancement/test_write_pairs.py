import csv
import json

from edgebrain.enhancement.datasets import mixing_dataset, paired_dataset
from edgebrain.enhancement.mixing import MixingSettings
from edgebrain.enhancement.write_pairs import file_name, write_pairs
from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile

RATE = 16000


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("speech", "noise"):
        entries = {}
        for i in range(3):
            path = tmp_path / "data" / kind / f"{i}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, rng.normal(size=5000 + 100 * i) * 0.1, RATE)
            entries[f"{kind}/{i}"] = {
                "wav": f"{{data_root}}/{kind}/{i}.wav",
                "duration": (5000 + 100 * i) / RATE,
                "speaker": str(i),
            }
        (tmp_path / "data" / f"{kind}.json").write_text(json.dumps(entries))
    return mixing_dataset(
        tmp_path / "data" / "speech.json",
        tmp_path / "data" / "noise.json",
        None,
        MixingSettings(
            reverb_prob=0,
            level_db=-6,
            babble_prob=1,
            babble_speakers=2,
            silence_prob=0,
        ),
        RATE,
        seed=1,
        fixed=True,
    )


def test_files_hold_the_items(dataset, tmp_path):
    folder = tmp_path / "pairs"
    table = write_pairs(dataset, folder, "test", RATE)
    assert table == folder / "mixed_testset.csv"
    assert sorted(path.name for path in folder.iterdir()) == [
        "clean_testset_wav",
        "mixed_testset.csv",
        "noisy_testset_wav",
    ]
    rows = list(csv.DictReader(table.open()))
    assert [row["id"] for row in rows] == dataset.data_ids
    for i, row in enumerate(rows):
        assert row["file"] == f"speech_{i}.wav"
        item = dataset[i]
        for key in ("clean", "noisy"):
            path = folder / f"{key}_testset_wav" / row["file"]
            info = soundfile.info(path)
            assert (info.samplerate, info.subtype) == (RATE, "PCM_16")
            wav, _ = soundfile.read(path, dtype="float32")
            error = np.abs(wav - item[f"{key}_sig"].numpy()).max()
            assert error <= 1 / 32768
        assert row["noise"].startswith("noise/")
        assert -5 <= float(row["snr_db"]) <= 20
        assert len(row["babble"].split()) == 2
        assert row["rir"] == ""
        assert float(row["peak_db"]) == -6
    # Output keys are as they were.
    assert set(dataset[0]) == {"id", "noisy_sig", "clean_sig"}


def test_what_is_written_is_a_paired_set(dataset, tmp_path):
    folder = tmp_path / "pairs"
    write_pairs(dataset, folder, "valid", RATE)
    entries = {
        path.stem: {
            "clean": f"{{data_root}}/clean_validset_wav/{path.name}",
            "noisy": f"{{data_root}}/noisy_validset_wav/{path.name}",
            "duration": soundfile.info(path).duration,
        }
        for path in (folder / "clean_validset_wav").iterdir()
    }
    (folder / "valid.json").write_text(json.dumps(entries))
    pairs = paired_dataset(folder / "valid.json", RATE, 0, fixed=True)
    for i in range(3):
        for key in ("noisy_sig", "clean_sig"):
            difference = pairs[i][key] - dataset[i][key]
            assert difference.abs().max() <= 1 / 32768


def test_a_used_folder_and_an_unknown_split_are_refused(dataset, tmp_path):
    folder = tmp_path / "pairs"
    write_pairs(dataset, folder, "test", RATE)
    with pytest.raises(UserError, match="2 problems") as error:
        write_pairs(dataset, folder, "test", RATE)
    assert "holds wav files already" in str(error.value)
    write_pairs(dataset, folder, "train", RATE)
    with pytest.raises(UserError, match="did you mean test"):
        write_pairs(dataset, folder, "tests", RATE)


def test_ids_that_meet_in_one_name_are_refused(dataset, tmp_path):
    assert file_name("a/b_c") == file_name("a_b/c")
    first = dataset.data_ids[0]
    dataset.data_ids = [first, first.replace("/", "_")]
    with pytest.raises(UserError, match="would both be speech_0.wav"):
        write_pairs(dataset, tmp_path / "pairs", "test", RATE)
    assert not (tmp_path / "pairs").exists()
