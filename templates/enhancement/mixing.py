"""Noisy speech mixed on the fly: noise, babble and reverberation.

Each item is determined by (seed, epoch, utterance id) and nothing else, so
the number of workers, the batch size and a resume change nothing. Validation
and test always use epoch 0: their mixtures are fixed.
"""

from dataclasses import dataclass
import hashlib

from errors import UserError
import numpy as np
from scipy.signal import fftconvolve
import soundfile
import torch

# Below this a signal counts as silent: one step of 16-bit audio is 3e-5.
_SILENT = 1e-6


@dataclass(frozen=True)
class MixingSettings:
    """What is mixed, how often and how loud. Ranges are uniform.

    Arguments
    ---------
    sample_rate : int
        In Hz. A file at another rate is an error.
    segment_seconds : float
        Length of a training item; validation and test use whole clips.
    snr_db : sequence of two floats
        Speech over everything added to it, in dB.
    noise_prob, babble_prob, reverb_prob : float
        Probability of each. They are drawn independently.
    babble_talkers : sequence of two ints
        Number of other talkers in the babble, both ends included.
    early_ms : float
        The target keeps this much of a room's response after the direct
        sound; later reflections are to be removed.
    rt60 : sequence of two floats
        Reverberation time in seconds of the rooms that are simulated when
        there are no room responses.
    peak_dbfs : sequence of two floats
        Peak of the noisy signal. Microphones differ by 20 dB as often as
        not, and a network that has heard one level works at that level.
    """

    sample_rate: int
    segment_seconds: float = 4.0
    snr_db: tuple = (-5.0, 20.0)
    noise_prob: float = 0.8
    babble_prob: float = 0.3
    babble_talkers: tuple = (3, 6)
    reverb_prob: float = 0.3
    early_ms: float = 50.0
    rt60: tuple = (0.2, 0.7)
    peak_dbfs: tuple = (-30.0, -1.0)

    def __post_init__(self):
        problems = []
        for name in ("noise_prob", "babble_prob", "reverb_prob"):
            if not 0 <= getattr(self, name) <= 1:
                problems.append(f"{name} is not between 0 and 1")
        for name in ("snr_db", "babble_talkers", "rt60", "peak_dbfs"):
            value = getattr(self, name)
            if len(value) != 2 or value[0] > value[1]:
                problems.append(f"{name} is not [low, high]")
        for name in ("sample_rate", "segment_seconds"):
            if getattr(self, name) <= 0:
                problems.append(f"{name} is not above 0")
        if not problems and self.babble_talkers[0] < 1:
            problems.append("babble_talkers is below 1")
        if not problems and self.rt60[0] <= 0:
            problems.append("rt60 is not above 0")
        if problems:
            raise UserError("mixing: " + "; ".join(problems))


class Mixer:
    """Makes (noisy, clean) of one utterance of a split.

    Arguments
    ---------
    settings : MixingSettings
        What to mix.
    seed : int
        Seed of the experiment.
    speech : dict
        Manifest ``{id: {"wav", "speaker", ...}}`` that babble is taken from.
    noises, rirs : dict
        Manifests ``{id: {"wav", ...}}``; empty ones are replaced by coloured
        noise and simulated rooms.
    training : bool
        Whether items are segments that change with the epoch.
    """

    def __init__(self, settings, seed, speech, noises, rirs, training):
        self.settings = settings
        self.seed = int(seed)
        self.speech = speech
        self.noises = [noises[key]["wav"] for key in sorted(noises)]
        self.rirs = [rirs[key]["wav"] for key in sorted(rirs)]
        self.training = training
        self._by_speaker = {}
        for key in sorted(speech):
            speaker = speech[key]["speaker"]
            self._by_speaker.setdefault(speaker, []).append(key)
        # In shared memory, so that persistent worker processes see it too.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch):
        """Choose the epoch that training items are drawn for."""
        self._epoch[0] = epoch

    def item_rng(self, utterance_id):
        """Return the random generator of one item.

        Arguments
        ---------
        utterance_id : str
            Key of the utterance in the manifest.

        Returns
        -------
        numpy.random.Generator
        """
        epoch = int(self._epoch[0]) if self.training else 0
        digest = hashlib.sha256(utterance_id.encode()).digest()[:16]
        words = np.frombuffer(digest, dtype="<u4").tolist()
        return np.random.default_rng([self.seed, epoch, *words])

    def __call__(self, utterance_id):
        """Mix one utterance.

        Arguments
        ---------
        utterance_id : str
            Key of the utterance in the manifest.

        Returns
        -------
        noisy, clean : torch.Tensor
            float32, (samples,), at the same scale: the clean signal is what
            is in the noisy one.
        """
        settings = self.settings
        rng = self.item_rng(utterance_id)
        wav = self.speech[utterance_id]["wav"]
        if self.training:
            length = int(settings.segment_seconds * settings.sample_rate)
            speech = read_segment(wav, settings.sample_rate, rng, length)
        else:
            speech = read_segment(wav, settings.sample_rate)
        clean = speech
        if rng.random() < settings.reverb_prob:
            speech, clean = self._reverberate(speech, rng)
        added = self._interference(utterance_id, len(speech), rng)
        snr_db = rng.uniform(*settings.snr_db)
        gain = _rms(clean) / max(_rms(added), _SILENT) * 10 ** (-snr_db / 20)
        noisy = speech + gain * added
        peak = max(np.abs(noisy).max(), np.abs(clean).max())
        if peak > _SILENT:
            scale = 10 ** (rng.uniform(*settings.peak_dbfs) / 20) / peak
            noisy, clean = scale * noisy, scale * clean
        return (
            torch.from_numpy(noisy.astype(np.float32)),
            torch.from_numpy(clean.astype(np.float32)),
        )

    def _interference(self, utterance_id, length, rng):
        """Return noise plus babble at a random balance, (length,)."""
        settings = self.settings
        parts = []
        if rng.random() < settings.noise_prob:
            parts.append(self._noise(length, rng))
        if rng.random() < settings.babble_prob:
            parts.append(self._babble(utterance_id, length, rng))
        total = np.zeros(length)
        for part in parts:
            level = 10 ** (rng.uniform(-5, 5) / 20)
            total += level * part / max(_rms(part), _SILENT)
        return total

    def _noise(self, length, rng):
        if not self.noises:
            return coloured_noise(length, self.settings.sample_rate, rng)
        wav = self.noises[rng.integers(len(self.noises))]
        return read_segment(wav, self.settings.sample_rate, rng, length, True)

    def babble_ids(self, utterance_id, rng):
        """Choose whose speech makes the babble: never the target's.

        Other utterances of the target's own speaker are taken only where the
        split has no other speaker.

        Arguments
        ---------
        utterance_id : str
            The target.
        rng : numpy.random.Generator
            The item's generator.

        Returns
        -------
        list of str
            Different utterances; empty where the split has no other one.
        """
        own = self.speech[utterance_id]["speaker"]
        talkers = [s for s in self._by_speaker if s != own]
        low, high = self.settings.babble_talkers
        count = int(rng.integers(low, high + 1))
        if talkers:
            order = rng.permutation(len(talkers))[:count]
            chosen = []
            for i in order:
                ids = self._by_speaker[talkers[i]]
                chosen.append(ids[rng.integers(len(ids))])
            return chosen
        others = [i for i in self._by_speaker[own] if i != utterance_id]
        return [others[i] for i in rng.permutation(len(others))[:count]]

    def _babble(self, utterance_id, length, rng):
        total = np.zeros(length)
        for other in self.babble_ids(utterance_id, rng):
            voice = read_segment(
                self.speech[other]["wav"],
                self.settings.sample_rate,
                rng,
                length,
                True,
            )
            total += voice / max(_rms(voice), _SILENT)
        return total

    def _reverberate(self, speech, rng):
        """Return (reverberant, target with the early part of the room)."""
        rate = self.settings.sample_rate
        if self.rirs:
            wav = self.rirs[rng.integers(len(self.rirs))]
            # One microphone: the mean of an array would smear the response.
            response = read_segment(wav, rate, channel=0)
        else:
            response = simulated_room(
                rng.uniform(*self.settings.rt60), rate, rng
            )
        direct = int(np.abs(response).argmax())
        early = response.copy()
        early[direct + int(self.settings.early_ms / 1000 * rate) + 1 :] = 0
        span = slice(direct, direct + len(speech))  # keeps both in time
        return fftconvolve(speech, response)[span], fftconvolve(speech, early)[
            span
        ]


def read_segment(
    path, sample_rate, rng=None, length=None, repeat=False, channel=None
):
    """Read a whole file, or a random segment of it.

    Arguments
    ---------
    path : str
        Audio file.
    sample_rate : int
        The rate the file must have, in Hz.
    rng : numpy.random.Generator or None
        Chooses where the segment starts.
    length : int or None
        Samples to read; None for the whole file.
    repeat : bool
        Whether a file shorter than ``length`` is repeated to fill it;
        otherwise what there is of it is returned.
    channel : int or None
        The channel to take; None for the mean of all.

    Returns
    -------
    numpy.ndarray
        float64, (samples,).

    Raises
    ------
    errors.UserError
        Unreadable or empty file, another sample rate, NaN or infinity.
    """
    try:
        with soundfile.SoundFile(path) as file:
            if file.samplerate != sample_rate:
                raise UserError(
                    f"{path}: the sample rate is {file.samplerate} Hz, not "
                    f"{sample_rate}: resample the file"
                )
            spare = 0 if length is None else file.frames - length
            if spare > 0:
                file.seek(int(rng.integers(spare + 1)))
            count = -1 if length is None else length
            wav = file.read(count, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    wav = wav.mean(axis=1) if channel is None else wav[:, channel]
    if not len(wav):
        raise UserError(f"{path}: the file has no samples: delete it")
    if not np.isfinite(wav).all():
        raise UserError(f"{path}: the samples contain NaN or infinity")
    if repeat and len(wav) < length:
        start = int(rng.integers(len(wav)))
        wav = np.resize(np.roll(wav, -start), length)
    return wav


def coloured_noise(length, sample_rate, rng):
    """Synthesise noise between white and brown whose level wanders.

    Arguments
    ---------
    length : int
        Samples.
    sample_rate : int
        In Hz.
    rng : numpy.random.Generator
        Draws the slope (0 to -6 dB an octave), the noise and its level, which
        moves by up to 6 dB either way every half second.

    Returns
    -------
    numpy.ndarray
        (length,).
    """
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.fft.rfftfreq(length, 1 / sample_rate)
    # Flat below 50 Hz: brown noise is otherwise all rumble.
    slope = rng.uniform(0, 1)
    noise = np.fft.irfft(spectrum / np.maximum(frequency, 50) ** slope, length)
    knots = length // (sample_rate // 2) + 2
    levels_db = np.interp(
        np.linspace(0, knots - 1, length),
        np.arange(knots),
        rng.uniform(-6, 6, knots),
    )
    return noise * 10 ** (levels_db / 20)


def simulated_room(rt60, sample_rate, rng):
    """Synthesise a room response: a direct sound and a decaying tail.

    The tail is Gaussian noise under an exponential decay (the statistical
    model of J. D. Polack, 1988), after a gap of 2 ms, at 0 to 10 dB below
    the direct sound.

    Arguments
    ---------
    rt60 : float
        Seconds in which the tail falls by 60 dB.
    sample_rate : int
        In Hz.
    rng : numpy.random.Generator
        Draws the tail.

    Returns
    -------
    numpy.ndarray
        (samples,), its direct sound, 1, at index 0.
    """
    time = np.arange(int(rt60 * sample_rate)) / sample_rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / rt60)
    tail[: max(1, int(0.002 * sample_rate))] = 0
    energy = np.sqrt(np.sum(tail**2))
    response = tail / max(energy, _SILENT) * 10 ** (-rng.uniform(0, 10) / 20)
    response[0] = 1.0
    return response


def _rms(signal):
    return float(np.sqrt(np.mean(signal**2)))
