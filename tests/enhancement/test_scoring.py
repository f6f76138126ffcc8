from edgebrain.enhancement.scoring import BatchScorer
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
    scorer = BatchScorer(RATE, ["snr"], 1, audio_folder=tmp_path)
    scorer.add_batch(["a", "b/c"], noisy, enhanced, clean, [8000, 6000])
    row = scorer.columns()
    assert abs(row["valid_snr"] - 20) < 0.5 and abs(row["noisy_snr"]) < 0.5
    assert row["failed_snr"] == 0
    assert len(soundfile.read(tmp_path / "b" / "c.wav")[0]) == 6000


def test_noisy_can_be_left_out():
    noisy, enhanced, clean = clips(1)
    scorer = BatchScorer(RATE, ["snr"], 1, score_noisy=False)
    scorer.add_batch(["a"], noisy, enhanced, clean, [8000])
    assert set(scorer.columns()) == {"valid_snr", "failed_snr"}


def test_failures_are_counted():
    noisy, enhanced, clean = clips(1)
    scorer = BatchScorer(RATE, ["stoi"], 1)
    scorer.add_batch(["a"], noisy, enhanced * 0, clean, [8000])
    assert scorer.columns()["failed_stoi"] == 1


def test_many_clips_are_scored_in_order():
    noisy, enhanced, clean = clips(60, 400)
    scorer = BatchScorer(RATE, ["snr"], 1)
    names = [str(i) for i in range(60)]
    for part in (slice(0, 7), slice(7, 60)):
        batch = (names, noisy, enhanced, clean, [400] * 60)
        scorer.add_batch(*(values[part] for values in batch))
    rows = scorer.rows()
    assert [clip.id for clip in rows["noisy"]] == names
    assert [clip.id for clip in rows["enhanced"]] == names
