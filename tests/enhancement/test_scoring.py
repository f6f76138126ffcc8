from edgebrain.enhancement.scoring import Scorer
import numpy as np
import soundfile

RATE = 16000


def clips(count, length=8000):
    generator = np.random.default_rng(0)
    clean = generator.standard_normal((count, length)) * 0.1
    noise = generator.standard_normal((count, length)) * 0.1
    return clean + noise, clean + 0.1 * noise, clean


def test_padding_is_not_scored_and_audio_is_written(tmp_path):
    noisy, enhanced, clean = clips(2)
    enhanced[1, 6000:] = 9.0  # garbage behind the end of the second clip
    scorer = Scorer(RATE, ["snr"], 1, audio_folder=tmp_path)
    scorer.add(["a", "b/c"], noisy, enhanced, clean, [8000, 6000])
    row = scorer.columns()
    assert abs(row["valid_snr"] - 20) < 0.5 and abs(row["noisy_snr"]) < 0.5
    assert row["failed_snr"] == 0
    assert len(soundfile.read(tmp_path / "b" / "c.wav")[0]) == 6000


def test_noisy_can_be_left_out():
    noisy, enhanced, clean = clips(1)
    scorer = Scorer(RATE, ["snr"], 1, score_noisy=False)
    scorer.add(["a"], noisy, enhanced, clean, [8000])
    assert set(scorer.columns()) == {"valid_snr", "failed_snr"}


def test_failures_are_counted():
    noisy, enhanced, clean = clips(1)
    scorer = Scorer(RATE, ["stoi"], 1)
    scorer.add(["a"], noisy, enhanced * 0, clean, [8000])
    assert scorer.columns()["failed_stoi"] == 1


def test_many_clips_are_scored_in_order():
    noisy, enhanced, clean = clips(60, 400)
    scorer = Scorer(RATE, ["snr"], 1)
    for i in range(60):
        part = slice(i, i + 1)
        scorer.add([str(i)], noisy[part], enhanced[part], clean[part], [400])
    rows = scorer.rows()
    assert [clip.id for clip in rows["noisy"]] == [str(i) for i in range(60)]
    assert [clip.id for clip in rows["enhanced"]] == [str(i) for i in range(60)]
