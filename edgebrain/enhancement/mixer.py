"""The mixture of one utterance, determined by (seed, epoch, id)."""

from dataclasses import dataclass

from edgebrain.data.randomness import SharedEpoch, item_rng
from edgebrain.data.sources import Source
from edgebrain.enhancement import mixing
from edgebrain.enhancement.mixing_settings import MixingSettings, draw
import numpy as np
import torch

# A crop with less active speech than this is drawn again.
MIN_ACTIVE = 0.3
TRIES = 6
# -75 dB of full scale: nothing but dither and rounding.
SILENT_NOISE_POWER = 10**-7.5


@dataclass
class MixInfo:
    """What was mixed into one item; None or empty where it was not done.

    Offsets and lengths are in samples, levels in dB.
    """

    id: str
    epoch: int = 0
    speech_start: int = 0
    samples: int = 0
    silence_before: int = 0
    silence_after: int = 0
    rir: str | None = None
    noise: str | None = None
    noise_start: int | None = None
    snr_db: float | None = None
    second_noise: str | None = None
    second_noise_start: int | None = None
    second_snr_db: float | None = None
    babble: tuple[str, ...] = ()
    babble_snr_db: float | None = None
    band_hz: tuple[float, float] | None = None
    clip_db: float | None = None
    peak_db: float | None = None


def crop_samples(seconds: float | None, sample_rate: int) -> int | None:
    """Return the samples of a crop, None for whole utterances."""
    return None if seconds is None else max(1, round(seconds * sample_rate))


class Cropper:
    """Chooses which part of an utterance an item holds."""

    def __init__(self, source: Source):
        self.source = source
        self.row = {name: i for i, name in enumerate(source.ids)}
        # Power of the loudest frame of each utterance, found once and then
        # known to all workers, those of later epochs included.
        self.loudest = torch.full(
            (len(source),), float("nan"), dtype=torch.float64
        ).share_memory_()

    def _reference(self, name: str) -> float:
        value = float(self.loudest[self.row[name]])
        if np.isnan(value):
            rate = self.source.sample_rate
            power = mixing.frame_power(self.source.read(name), rate)
            value = float(power.max(initial=0.0))
            self.loudest[self.row[name]] = value
        return value

    def choose(
        self, name: str, length: int, rng: np.random.Generator
    ) -> tuple[int, np.ndarray]:
        """Return start and samples of a part with enough active speech.

        It is shorter than ``length`` only where the utterance is.
        """
        spare = self.source.length(name) - length
        if spare <= 0:
            return 0, self.source.read(name, 0, length)
        rate = self.source.sample_rate
        reference = self._reference(name)
        best = None
        for _ in range(TRIES):
            start = int(rng.integers(spare + 1))
            wav = self.source.read(name, start, length)
            mask = mixing.active_speech_mask(wav, rate, reference)
            share = np.count_nonzero(mask) / length
            if best is None or share > best[0]:
                best = share, start, wav
            if share >= MIN_ACTIVE:
                break
        return best[1:]


class Mixer:
    """Makes the mixture of one utterance, in the order below.

    crop (None: whole utterances) -> silence around -> equalised -> room -> +
    noise, second noise, babble (each equalised, at its SNR against the speech
    as it sounds in the room; the target keeps a share) -> band limits ->
    clipping -> level -> both turned down if either exceeds full scale.
    """

    def __init__(
        self,
        speech: Source,
        noise: Source | None,
        rir: Source | None,
        settings: MixingSettings,
        seed: int,
        epoch: SharedEpoch,
        crop_seconds: float | None = None,
    ):
        self.speech, self.noise, self.rir = speech, noise, rir
        self.settings = settings
        self.seed = seed
        self.epoch = epoch
        self.sample_rate = speech.sample_rate
        self.crop = crop_samples(crop_seconds, self.sample_rate)
        self.cropper = Cropper(speech)
        self.by_speaker: dict[str, list[str]] = {}
        for name, entry in speech.entries.items():
            speaker = str(entry.get("speaker", ""))
            self.by_speaker.setdefault(speaker, []).append(name)
        self.speakers = sorted(self.by_speaker)

    def __deepcopy__(self, memo):
        # Immutable but for the cache and the shared epoch: a filtered copy
        # of the data set uses the same ones.
        return self

    def mix(self, name: str) -> tuple[np.ndarray, np.ndarray, MixInfo]:
        """Return noisy, clean and what was done, of an id at this epoch."""
        settings = self.settings
        info = MixInfo(id=name, epoch=self.epoch.value)

        def chance(purpose, probability):
            """Return a generator if this augmentation happens, else None."""
            rng = item_rng(self.seed, info.epoch, name, purpose)
            return rng if rng.random() < probability else None

        dry = self._speech(name, info, chance)
        info.samples = len(dry)
        if rng := chance("equalise speech", settings.equalise_prob):
            dry = self._equalise(dry, rng)
        speech, clean = dry, dry
        if rng := chance("reverb", settings.reverb_prob):
            info.rir = draw(self.rir.ids, rng)
            speech, clean = mixing.reverberate(
                dry,
                self.rir.read(info.rir),
                self.sample_rate,
                settings.reverb_target,
                settings.early_ms,
            )
        noise = self._disturbance(name, speech, info, chance)
        noisy = speech + noise
        if settings.target_noise:
            clean = clean + self._kept(speech, noise) * noise
        if rng := chance("band", settings.band_limit_prob):
            low, high = draw(settings.band_limit_hz, rng)
            info.band_hz = (low, high)
            if settings.band_limit_target == "both":
                noisy, clean = mixing.band_limit(
                    np.stack([noisy, clean]), low, high, self.sample_rate
                )
            else:
                noisy = mixing.band_limit(noisy, low, high, self.sample_rate)
        if settings.high_pass:
            noisy, clean = mixing.high_pass(
                np.stack([noisy, clean]), settings.high_pass
            )
        if rng := chance("clip", settings.clip_prob):
            info.clip_db = float(draw(settings.clip_db, rng))
            noisy = mixing.clip(noisy, info.clip_db)
        if rng := chance("level", settings.level_prob):
            info.peak_db = float(draw(settings.level_db, rng))
            noisy, clean = mixing.set_peak(noisy, clean, info.peak_db)
        return *mixing.fit_full_scale(noisy, clean), info

    def _speech(self, name, info, chance) -> np.ndarray:
        """Read the utterance, cropped and with silence around it."""
        before = after = 0
        if rng := chance("silence", self.settings.silence_prob):
            before, after = (
                round(
                    draw(self.settings.silence_seconds, rng) * self.sample_rate
                )
                for _ in range(2)
            )
        if self.crop is None:
            wav = self.speech.read(name)
        else:
            # Silence may take at most half of a crop.
            before = min(before, self.crop // 4)
            after = min(after, self.crop // 4)
            rng = item_rng(self.seed, info.epoch, name, "crop")
            length = self.crop - before - after
            info.speech_start, wav = self.cropper.choose(name, length, rng)
            gap = length - len(wav)
            lead = int(rng.integers(gap + 1))
            before, after = before + lead, after + gap - lead
        info.silence_before, info.silence_after = before, after
        return mixing.add_silence(wav, before, after)

    def _disturbance(self, name, speech, info, chance) -> np.ndarray:
        """Return the sum of everything that is not the target speaker."""
        settings = self.settings
        total = np.zeros(len(speech), dtype=np.float32)
        if mixing.active_power(speech, self.sample_rate) <= 0:
            return total

        def add(wav, snr_db, purpose):
            if rng := chance(f"equalise {purpose}", settings.equalise_prob):
                wav = self._equalise(wav, rng)
            np.add(
                total,
                mixing.scale_to_snr(speech, wav, snr_db, self.sample_rate),
                out=total,
            )

        if rng := chance("noise", settings.noise_prob):
            snr_db = float(draw(settings.snr_db, rng))
            found = self._noise(len(total), rng)
            if found is not None:
                info.noise, info.noise_start, wav = found
                info.snr_db = snr_db
                add(wav, snr_db, "noise")
        rng = chance("second noise", settings.second_noise_prob)
        if rng and info.noise is not None:
            offset_db = float(draw(settings.second_noise_offset_db, rng))
            found = self._noise(len(total), rng)
            if found is not None:
                info.second_noise, info.second_noise_start, wav = found
                info.second_snr_db = info.snr_db + offset_db
                add(wav, info.second_snr_db, "second noise")
        if rng := chance("babble", settings.babble_prob):
            snr_db = float(draw(settings.babble_snr_db, rng))
            wav = self._babble(name, len(total), rng, info)
            if mixing.mean_power(wav) > 0:
                info.babble_snr_db = snr_db
                add(wav, snr_db, "babble")
        return total

    def _kept(self, speech, noise) -> np.float32:
        """Return the share of the noise that the target keeps."""
        signal = mixing.active_power(speech, self.sample_rate)
        disturbance = mixing.mean_power(noise)
        if signal <= 0 or disturbance <= 0:
            return np.float32(0.0)
        snr_db = 10 * np.log10(signal / disturbance)
        share = self.settings.target_noise / (1 + np.exp((10 - snr_db) / 3))
        return np.float32(share)

    def _equalise(self, wav, rng) -> np.ndarray:
        gains = [draw(self.settings.equalise_db, rng) for _ in range(5)]
        return mixing.equalise(wav, gains, self.sample_rate)

    def _noise(self, length, rng) -> tuple[str, int, np.ndarray] | None:
        """Draw a noise of a length; None if all that was tried is silent."""
        for _ in range(TRIES):
            noise = draw(self.noise.ids, rng)
            available = self.noise.length(noise)
            spare = available - length
            start = int(rng.integers(spare + 1 if spare > 0 else available))
            wav = (
                self.noise.read(noise, start, length)
                if spare >= 0
                else self.noise.read(noise)
            )
            if len(wav) and mixing.mean_power(wav) > SILENT_NOISE_POWER:
                if len(wav) < length:
                    wav = mixing.loop(wav, length, start)
                return noise, start, wav
        return None

    def _babble(self, name, length, rng, info) -> np.ndarray:
        """Sum other speakers; as many different ones as there are."""
        own = str(self.speech.entries[name].get("speaker", ""))
        others = [speaker for speaker in self.speakers if speaker != own]
        count = int(draw(self.settings.babble_speakers, rng, integer=True))
        order = rng.permutation(len(others))
        voices = []
        for k in range(count):
            speaker = others[order[k % len(order)]]
            voice = draw(self.by_speaker[speaker], rng)
            _, wav = self.cropper.choose(voice, length, rng)
            if not len(wav):
                continue
            if len(wav) < length:
                wav = mixing.loop(wav, length, int(rng.integers(len(wav))))
            voices.append(wav)
            info.babble += (voice,)
        if not voices:
            return np.zeros(length, dtype=np.float32)
        return mixing.babble(voices, self.sample_rate)
