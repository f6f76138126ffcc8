"""Objective scores of enhanced speech: PESQ, STOI, SNR, SI-SNR, MSE, ...

CSIG, CBAK and COVL are in :mod:`edgebrain.enhancement.composite`.

Clips are float waveforms of one shape (samples,), clean and estimate. A score
that cannot be had (silent estimate, clip too short, NaN, ...) is NaN with a
reason; it is counted and shown, and never part of a mean unseen.

Only numpy is imported here, and pesq, pystoi, scipy and joblib when they are
used: the processes that score in parallel start without torch.
"""

from collections.abc import Callable, Iterable, Sequence
import dataclasses
import functools
import math
import warnings
import weakref

from edgebrain.enhancement.composite import composite, raw_pesq
from edgebrain.errors import UserError, unknown_name
from edgebrain.report.scores import ClipScores
import numpy as np

SILENCE_POWER = 1e-12
"""Mean square up to which a signal is silent: -120 dBFS, under 16 bit."""

MAX_DB = 100.0
"""Bound of the SNRs: an estimate without any error would be infinite."""

PESQ_MAX_SECONDS = 20.0
"""Longest piece given to PESQ: its C code holds 50 utterances, of 0.4 s at
least, and writes beyond its tables when there are more. ITU-T P.862.3 advises
8 to 20 s as well."""

DEFAULT_METRICS = ("pesq", "stoi", "snr", "si_snr", "mse")


class MetricFailure(Exception):
    """A clip for which a metric has no value; the message is the reason."""


def _is_silent(wav):
    return float(wav @ wav) <= SILENCE_POWER * len(wav)


def _resampled(wav, orig, new):
    """Return the waveform at another rate, for PESQ alone."""
    from scipy.signal import resample_poly

    divisor = math.gcd(orig, new)
    return resample_poly(wav, new // divisor, orig // divisor)


def _remembering(function):
    """Keep the value of the last pair: several metrics are made of one."""
    last = ()

    @functools.wraps(function)
    def once(clean, estimate, sample_rate):
        nonlocal last
        same = last and last[0]() is clean and last[1]() is estimate
        if not same or last[2] != sample_rate:
            value = function(clean, estimate, sample_rate)
            pair = (weakref.ref(clean), weakref.ref(estimate))
            last = (*pair, sample_rate, value)
        return last[3]

    return once


@_remembering
def _pesq(clean, estimate, sample_rate):
    """Return PESQ (ITU-T P.862.2 wide band; at 8 kHz P.862.1 narrow band).

    Rates other than 8 and 16 kHz are resampled to 16 kHz. Of a clip longer
    than `PESQ_MAX_SECONDS` it is the mean over equal pieces.
    """
    import pesq

    if sample_rate not in (8000, 16000):
        clean = _resampled(clean, sample_rate, 16000)
        estimate = _resampled(estimate, sample_rate, 16000)
        sample_rate = 16000
    mode = "nb" if sample_rate == 8000 else "wb"
    pieces = math.ceil(len(clean) / (PESQ_MAX_SECONDS * sample_rate))
    values = []
    for reference, degraded in zip(
        np.array_split(clean, pieces),
        np.array_split(estimate, pieces),
        strict=True,
    ):
        try:
            if not _is_silent(reference):
                values.append(pesq.pesq(sample_rate, reference, degraded, mode))
        except pesq.NoUtterancesError:
            continue
        except pesq.BufferTooShortError as error:
            raise MetricFailure("too short for PESQ (under 0.25 s)") from error
        except (pesq.PesqError, ValueError) as error:
            # ValueError: a piece of the estimate holds only zeros.
            raise MetricFailure(f"PESQ failed ({error})") from error
    if not values:
        raise MetricFailure("no utterance found in the reference")
    return sum(values) / len(values)


def _intelligibility(clean, estimate, sample_rate, extended):
    import pystoi

    # Under one of its frames (256 samples at 10 kHz) pystoi raises IndexError.
    short = "too short for STOI (under 0.4 s of speech)"
    if len(clean) < 0.03 * sample_rate:
        raise MetricFailure(short)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        value = float(pystoi.stoi(clean, estimate, sample_rate, extended))
    # What it gives, with a warning, when fewer than 30 frames are speech.
    if value == 1e-5:
        raise MetricFailure(short)
    return value


@_remembering
def _stoi(clean, estimate, sample_rate):
    """Return STOI (Taal et al., TASLP 2011)."""
    return _intelligibility(clean, estimate, sample_rate, False)


def _estoi(clean, estimate, sample_rate):
    """Return extended STOI (Jensen and Taal, TASLP 2016)."""
    return _intelligibility(clean, estimate, sample_rate, True)


def _decibels(signal, noise):
    """Return the ratio of two energies in dB, within +-MAX_DB."""
    tiny = 10 ** (-MAX_DB / 10)
    if noise <= tiny * signal:
        return MAX_DB
    if signal <= tiny * noise:
        return -MAX_DB
    return 10 * math.log10(signal / noise)


def _snr(clean, estimate, sample_rate):
    """Return 10 log10(|clean|^2 / |clean - estimate|^2)."""
    noise = clean - estimate
    return _decibels(float(clean @ clean), float(noise @ noise))


@_remembering
def _si_snr(clean, estimate, sample_rate):
    """Return the scale-invariant SNR, means removed (Le Roux et al. 2019)."""
    clean = clean - clean.mean()
    estimate = estimate - estimate.mean()
    energy = float(clean @ clean)
    if energy <= SILENCE_POWER * len(clean):
        raise MetricFailure("silent reference")
    target = float(estimate @ clean) / energy * clean
    noise = estimate - target
    return _decibels(float(target @ target), float(noise @ noise))


def _joint(clean, estimate, sample_rate):
    """Return PESQ + 6 STOI + SI-SNR / 15 dB, to select by.

    What our networks gain over the noisy input then weighs about the same in
    each (.3, .05 and 4.7 dB on edge16k), and none is bought with another.
    """
    pair = clean, estimate, sample_rate
    return _pesq(*pair) + 6 * _stoi(*pair) + _si_snr(*pair) / 15


@_remembering
def _composite(clean, estimate, sample_rate):
    """Return CSIG, CBAK and COVL (Hu and Loizou, TASLP 2008)."""
    pesq = _pesq(clean, estimate, sample_rate)
    if sample_rate == 8000:
        pesq = raw_pesq(pesq)
    return composite(clean, estimate, sample_rate, pesq)


def _rating(number):
    """Return what gives one of the three composite ratings, 1 to 5."""
    return lambda *pair: _composite(*pair)[number]


def _mse(clean, estimate, sample_rate):
    """Return the mean square of the waveforms' difference."""
    noise = clean - estimate
    return float(noise @ noise) / len(noise)


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a metric is called, how it is printed and how it is computed.

    Arguments
    ---------
    function : callable
        ``(clean, estimate, sample_rate) -> float``, float64 arrays of one
        length. Raises `MetricFailure` with a reason.
    needs_speech, needs_estimate : bool
        Whether a silent reference, a silent estimate has no score.
    """

    name: str
    label: str
    unit: str
    higher_is_better: bool
    function: Callable[[np.ndarray, np.ndarray, int], float]
    format: str = ".2f"
    needs_speech: bool = True
    needs_estimate: bool = True


METRICS = {
    metric.name: metric
    for metric in (
        Metric("pesq", "PESQ", "", True, _pesq),
        Metric("stoi", "STOI", "", True, _stoi, ".4f"),
        Metric("estoi", "ESTOI", "", True, _estoi, ".4f"),
        Metric("csig", "CSIG", "", True, _rating(0)),
        Metric("cbak", "CBAK", "", True, _rating(1)),
        Metric("covl", "COVL", "", True, _rating(2)),
        # An estimate of zeros has an SNR by definition: 0 dB.
        Metric("snr", "SNR", "dB", True, _snr, needs_estimate=False),
        Metric("si_snr", "SI-SNR", "dB", True, _si_snr),
        Metric("joint", "joint", "", True, _joint),
        Metric("mse", "MSE", "", False, _mse, ".2e", False, False),
    )
}
"""Every metric by its name in a yaml; all larger is better but ``mse``."""


def at_rate(sample_rate: int) -> dict[str, Metric]:
    """Return `METRICS`, PESQ labelled narrow-band (8 kHz) or wide-band."""
    band = "nb" if sample_rate == 8000 else "wb"
    pesq = dataclasses.replace(METRICS["pesq"], label=f"PESQ-{band}")
    return {**METRICS, "pesq": pesq}


def check_metrics(metrics: Iterable[str]) -> list[str]:
    """Return the names as a list, or raise UserError for an unknown one."""
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in names:
        if name not in METRICS:
            raise unknown_name("metric", name, METRICS)
    return names


def _failure(clean, estimate, metric):
    """Return why the pair has no score of a metric, or an empty string."""
    if len(clean) == 0:
        return "no samples"
    if not np.isfinite(clean).all():
        return "NaN or inf in the reference"
    if not np.isfinite(estimate).all():
        return "NaN or inf in the estimate"
    if metric.needs_speech and _is_silent(clean):
        return "silent reference"
    if metric.needs_estimate and _is_silent(estimate):
        return "silent estimate"
    return ""


def score_clip(
    clean: np.ndarray,
    estimate: np.ndarray,
    sample_rate: int,
    metrics: Iterable[str] = DEFAULT_METRICS,
    clip_id: str = "",
) -> ClipScores:
    """Return the scores of a clip.

    Raises
    ------
    UserError
        Unknown metric; waveforms that are not of one shape (samples,).

    Example
    -------
    >>> clean = np.sin(np.arange(16000) / 20)
    >>> score_clip(clean, 0.9 * clean, 16000, ["snr"]).values
    {'snr': 20.0}
    """
    names = check_metrics(metrics)
    clean = np.asarray(clean, dtype=np.float64)
    estimate = np.asarray(estimate, dtype=np.float64)
    if clean.ndim != 1 or clean.shape != estimate.shape:
        raise UserError(
            f"clip {clip_id!r}: the clean waveform has the shape "
            f"{clean.shape}, the estimate {estimate.shape}; both must be "
            "(samples,) of one length"
        )
    values, failures = {}, {}
    for name in names:
        metric = METRICS[name]
        try:
            if why := _failure(clean, estimate, metric):
                raise MetricFailure(why)
            value = float(metric.function(clean, estimate, sample_rate))
            if not math.isfinite(value):
                raise MetricFailure("not a number")
            values[name] = value
        except MetricFailure as failure:
            values[name] = math.nan
            failures[name] = str(failure)
    return ClipScores(clip_id, values, failures)


def score_clips(
    clips: Sequence[tuple[str, np.ndarray, np.ndarray]],
    sample_rate: int,
    metrics: Iterable[str] = DEFAULT_METRICS,
    n_jobs: int | None = None,
) -> list[ClipScores]:
    """Return the scores of many clips, in order, computed on all cores.

    The scores are the same for any ``n_jobs``.

    Arguments
    ---------
    n_jobs : int, optional
        Processes; left out: one for each core. 1 scores in this process.
    """
    import joblib

    names = check_metrics(metrics)
    n_jobs = min(n_jobs or joblib.cpu_count(), len(clips)) or 1
    # One thread a process: they already take all cores. Arrays go through
    # the pipe (max_nbytes) and not through files in a temporary folder.
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs, batch_size=1, max_nbytes=None)
        return parallel(
            joblib.delayed(score_clip)(clean, estimate, sample_rate, names, id_)
            for id_, clean, estimate in clips
        )
