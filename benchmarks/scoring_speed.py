"""Clips a second of scoring by PESQ, STOI, SI-SNR, SNR and MSE."""

import time

import common
from edgebrain.data.audio import read
from edgebrain.enhancement import metrics
import joblib

CLIPS = 64


def run(cache) -> list[tuple[str, str]]:
    """Return a row for one core and one for all."""
    clips = [
        (noisy.stem, read(clean), read(noisy))
        for noisy, clean in common.ready_pairs(cache)[:CLIPS]
    ]
    rows, rates = [], {}
    for jobs in (1, joblib.cpu_count()):
        metrics.score_clips(clips[:8], common.RATE, n_jobs=jobs)  # warm up
        start = time.perf_counter()
        metrics.score_clips(clips, common.RATE, n_jobs=jobs)
        rates[jobs] = len(clips) / (time.perf_counter() - start)
        gain = f" ({rates[jobs] / rates[1]:.2f}x)" if jobs > 1 else ""
        rows.append(
            (
                f"scoring {common.CROP_SECONDS:g} s clips, "
                f"{jobs} core{'s' * (jobs > 1)}",
                f"{rates[jobs]:.1f} clips/s{gain}",
            )
        )
    return rows
