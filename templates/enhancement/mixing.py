"""Noisy speech mixed on the fly: noise, babble and reverberation.

Each item is determined by (seed, epoch, utterance id) and nothing else, so
the number of workers, the batch size and a resume change nothing. Validation
and test always use epoch 0: their mixtures are fixed.
"""

from dataclasses import dataclass, fields
import hashlib
import math

from helpers import UserError
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
        for field in fields(self):
            ends = np.ravel(getattr(self, field.name))
            least = -100 if "db" in field.name else 0
            most = 1 if field.name.endswith("_prob") else math.inf
            if field.name in ("sample_rate", "babble_talkers"):
                least = 1
            if np.ndim(field.default) and len(ends) != 2:
                raise UserError(f"mixing: {field.name} is not [low, high]")
            if not least <= ends[0] <= ends[-1] <= most:
                raise UserError(
                    f"mixing: {field.name} is {ends}: not in order, or not "
                    f"from {least} to {most}"
                )


class Mixer:
    """Makes (noisy, clean) of one utterance of a split.

    Arguments
    ---------
    settings : MixingSettings
        What to mix.
    seed : int
        Seed of the experiment.
    manifest : dict
        ``{"speech": {id: {"wav", "speaker"}}, "noise": {id: {"wav"}}, "rir":
        {id: {"wav"}}}``. Without noises coloured noise is synthesised, without
        room responses rooms are simulated.
    training : bool
        Whether items are segments that change with the epoch.
    """

    def __init__(self, settings, seed, manifest, training):
        self.settings = settings
        self.seed = int(seed)
        self.training = training
        self.speech = manifest["speech"]
        self.noises, self.rirs = (
            [entry["wav"] for _, entry in sorted(manifest[kind].items())]
            for kind in ("noise", "rir")
        )
        self._by_speaker = {}
        for key, entry in sorted(self.speech.items()):
            self._by_speaker.setdefault(entry["speaker"], []).append(key)
        # In shared memory, so that persistent worker processes see it too.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch):
        """Choose the epoch that training items are drawn for."""
        self._epoch[0] = epoch

    def item_rng(self, utterance_id):
        """Return the random generator of the item of an utterance."""
        epoch = int(self._epoch[0]) if self.training else 0
        digest = hashlib.sha256(utterance_id.encode()).digest()[:16]
        words = np.frombuffer(digest, dtype="<u4").tolist()
        return np.random.default_rng([self.seed, epoch, *words])

    def __call__(self, utterance_id):
        """Mix the utterance that has this id in the manifest.

        Returns
        -------
        noisy, clean : torch.Tensor
            float32, (samples,), at the same scale: the clean signal is what
            is in the noisy one.
        """
        settings = self.settings
        rng = self.item_rng(utterance_id)
        length = None
        if self.training:
            length = int(settings.segment_seconds * settings.sample_rate)
        wav = self.speech[utterance_id]["wav"]
        speech = clean = read(wav, settings.sample_rate, rng, length)
        if rng.random() < settings.reverb_prob:
            speech, clean = self._reverberate(speech, rng)
        added = np.zeros(len(speech))
        parts = []
        if rng.random() < settings.noise_prob:
            parts.append(self._noise(len(speech), rng))
        if rng.random() < settings.babble_prob:
            parts.append(self._babble(utterance_id, len(speech), rng))
        for part in parts:  # at a random balance
            added += 10 ** (rng.uniform(-5, 5) / 20) * _unit(part)
        snr_db = rng.uniform(*settings.snr_db)
        noisy = speech + _rms(clean) * 10 ** (-snr_db / 20) * _unit(added)
        peak = max(np.abs(noisy).max(), np.abs(clean).max())
        if peak > _SILENT:
            scale = 10 ** (rng.uniform(*settings.peak_dbfs) / 20) / peak
            noisy, clean = scale * noisy, scale * clean
        pair = (noisy.astype(np.float32), clean.astype(np.float32))
        return tuple(map(torch.from_numpy, pair))

    def _noise(self, length, rng):
        rate = self.settings.sample_rate
        if not self.noises:
            return _coloured_noise(length, rate, rng)
        wav = self.noises[rng.integers(len(self.noises))]
        return read(wav, rate, rng, length, repeat=True)

    def _babble(self, utterance_id, length, rng):
        total = np.zeros(length)
        for other in self._babble_ids(utterance_id, rng):
            wav = self.speech[other]["wav"]
            rate = self.settings.sample_rate
            total += _unit(read(wav, rate, rng, length, repeat=True))
        return total

    def _babble_ids(self, utterance_id, rng):
        """Choose other speakers' utterances, never any of the target's.

        Other utterances of the target's own speaker are taken only where the
        split has no other speaker.
        """
        own = self.speech[utterance_id]["speaker"]
        talkers = [s for s in self._by_speaker if s != own]
        low, high = self.settings.babble_talkers
        count = int(rng.integers(low, high + 1))
        if talkers:
            order = rng.permutation(len(talkers))[:count]
            groups = [self._by_speaker[talkers[i]] for i in order]
            return [ids[rng.integers(len(ids))] for ids in groups]
        others = [i for i in self._by_speaker[own] if i != utterance_id]
        return [others[i] for i in rng.permutation(len(others))[:count]]

    def _reverberate(self, speech, rng):
        """Return (reverberant, target with the early part of the room)."""
        rate = self.settings.sample_rate
        if self.rirs:
            wav = self.rirs[rng.integers(len(self.rirs))]
            # One microphone: the mean of an array would smear the response.
            response = read(wav, rate, channel=0)
        else:
            rt60 = rng.uniform(*self.settings.rt60)
            response = _simulated_room(rt60, rate, rng)
        direct = int(np.abs(response).argmax())
        early = response.copy()
        early[direct + int(self.settings.early_ms / 1000 * rate) + 1 :] = 0
        span = slice(direct, direct + len(speech))  # keeps both in time
        return tuple(fftconvolve(speech, r)[span] for r in (response, early))


def read(path, rate, rng=None, length=None, repeat=False, channel=None):
    """Return a whole file, or ``length`` samples from anywhere in it.

    Of a file that is shorter there is what it has or, with ``repeat``, it is
    repeated. Without ``channel`` all channels are averaged. An unusable file
    or one at another rate than ``rate`` raises UserError.
    """
    try:
        with soundfile.SoundFile(path) as file:
            if file.samplerate != rate:
                raise UserError(
                    f"{path}: the sample rate is {file.samplerate} Hz, not "
                    f"{rate}: resample the file"
                )
            spare = 0 if length is None else file.frames - length
            if spare > 0:
                file.seek(int(rng.integers(spare + 1)))
            count = -1 if length is None else length
            wav = file.read(count, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    wav = wav.mean(axis=1) if channel is None else wav[:, channel]
    if not len(wav) or not np.isfinite(wav).all():
        raise UserError(f"{path}: no samples, or NaN among them: delete it")
    if repeat and len(wav) < length:
        start = int(rng.integers(len(wav)))
        wav = np.resize(np.roll(wav, -start), length)
    return wav


def _coloured_noise(length, rate, rng):
    """Return noise between white and brown, (length,), at a wandering level.

    Its slope is 0 to -6 dB an octave; its level moves by up to 6 dB either
    way every half second.
    """
    spectrum = np.fft.rfft(rng.standard_normal(length))
    # Flat below 50 Hz: brown noise is otherwise all rumble.
    frequency = np.maximum(np.fft.rfftfreq(length, 1 / rate), 50)
    noise = np.fft.irfft(spectrum / frequency ** rng.uniform(0, 1), length)
    knots = length // (rate // 2) + 2
    places = np.linspace(0, knots - 1, length)
    level = np.interp(places, np.arange(knots), rng.uniform(-6, 6, knots))
    return noise * 10 ** (level / 20)


def _simulated_room(rt60, rate, rng):
    """Return a room response (samples,), its direct sound, 1, at index 0.

    The tail is Gaussian noise that falls by 60 dB in ``rt60`` seconds (the
    statistical model of J. D. Polack, 1988), after a gap of 2 ms, at 0 to 10
    dB below the direct sound.
    """
    time = np.arange(int(rt60 * rate)) / rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / max(rt60, 1e-3))
    tail[: max(1, int(0.002 * rate))] = 0
    energy = np.sqrt(np.sum(tail**2))
    response = tail / max(energy, _SILENT) * 10 ** (-rng.uniform(0, 10) / 20)
    response[0] = 1.0
    return response


def _rms(signal):
    return float(np.sqrt(np.mean(signal**2)))


def _unit(signal):
    """Return a signal at an RMS of 1; silence stays silence."""
    return signal / max(_rms(signal), _SILENT)
