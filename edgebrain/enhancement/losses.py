"""Losses on spectra and waveforms in which padding never counts.

Every term is a quantity to minimise. A term on spectra or ``wave_mse`` is the
mean over all valid elements of the batch (frames and bins, or samples), so a
second of audio weighs the same in a long item as in a short one. ``wave_snr``
and ``wave_sisnr`` are one value an item, then the mean over items. In either
case the value does not depend on how much padding the batch has, what lies in
the padding is never read, and the gradient there is exactly zero.
"""

from collections.abc import Callable, Mapping

from edgebrain.checks import Name, Number, check
from edgebrain.enhancement.losses_pesq import RATE, pesq_loss
from edgebrain.enhancement.metrics import SILENCE_POWER
from edgebrain.errors import UserError
import torch

POWER_FLOOR = 1e-10
"""Added to the power of a bin, so that roots have a gradient at zero.

A magnitude of 1e-5: a tenth of what the rounding to 16 bit leaves in a bin.
"""

CAP = 1e-8
"""Share of the energy that is always counted as residual: 80 dB."""


class _Compress(torch.autograd.Function):
    """Magnitude to a power, and the spectrum with that magnitude.

    By hand because it is memory-bound: one logarithm and one exponential
    forward, none backward, and a third of the passes of autograd.
    """

    @staticmethod
    def forward(ctx, spectrum, exponent, with_spectrum):
        real, imag = spectrum.unbind(-1)
        power = real.square().addcmul_(imag, imag).add_(POWER_FLOOR)
        magnitude = power.log().mul_(exponent / 2).exp_()
        ctx.exponent = exponent
        ctx.set_materialize_grads(False)
        if not with_spectrum:
            ctx.save_for_backward(spectrum, power, magnitude, None)
            return magnitude, None
        gain = power.rsqrt().mul_(magnitude)
        ctx.save_for_backward(spectrum, power, magnitude, gain)
        return magnitude, spectrum * gain.unsqueeze(-1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_magnitude, grad_spectrum):
        spectrum, power, magnitude, gain = ctx.saved_tensors
        # d loss / d power is factor / 2: `2 * spectrum` cancels the half.
        factor = None
        if grad_magnitude is not None:
            factor = (grad_magnitude * magnitude).mul_(ctx.exponent)
        if grad_spectrum is not None:
            real, imag = spectrum.unbind(-1)
            grad_real, grad_imag = grad_spectrum.unbind(-1)
            inner = (real * grad_real).addcmul_(imag, grad_imag).mul_(gain)
            inner.mul_(ctx.exponent - 1)
            factor = inner if factor is None else factor.add_(inner)
        if factor is None:
            return None, None, None
        grad = spectrum * factor.div_(power).unsqueeze(-1)
        if grad_spectrum is not None:
            grad.addcmul_(grad_spectrum, gain.unsqueeze(-1))
        return grad, None, None


class _Pair:
    """Estimate and clean of a batch, each shared part made only once."""

    def __init__(self, loss, est_spec, clean_spec, est_wav, clean_wav, lengths):
        self._loss = loss
        self._cache = {}
        self.lengths = lengths
        if loss.needs_spec:
            self._prepare_spectra(est_spec, clean_spec)
        if loss.needs_wav:
            self._prepare_waves(est_wav, clean_wav)

    def _prepare_spectra(self, est, clean):
        total = est.shape[-1]
        frames = self._loss.settings.num_frames(self.lengths).tolist()
        self.elements = sum(frames) * est.shape[-2]
        padding = None
        if min(frames) < total:
            index = torch.arange(total, device=est.device)
            valid = torch.tensor(frames, device=est.device)
            padding = (index >= valid[:, None])[:, None, :, None]
        self.est = _clear(_real_view(est), padding)
        self.clean = _clear(_real_view(clean), padding)

    def _prepare_waves(self, est, clean):
        total = est.shape[-1]
        self.counts = self.lengths.to(est.device)
        self.wave_padding = None
        if int(self.lengths.min()) < total:
            index = torch.arange(total, device=est.device)
            self.wave_padding = index >= self.counts[:, None]
        self.est_wav = _clear(_wide(est), self.wave_padding)
        self.clean_wav = _clear(_wide(clean), self.wave_padding)

    def compressed(self):
        """Return magnitudes and spectra to the exponent, est and clean."""
        if "compressed" not in self._cache:
            exponent = self._loss.exponent
            with_spectrum = self._loss.needs_compressed_spec
            est = _Compress.apply(self.est, exponent, with_spectrum)
            clean = _Compress.apply(self.clean, exponent, with_spectrum)
            self._cache["compressed"] = est[0], clean[0], est[1], clean[1]
        return self._cache["compressed"]

    def mean_square(self, est, clean):
        """Return the squared distance over valid bins and frames."""
        # Padding is zero in both, so it adds nothing to the sum.
        sum_ = torch.nn.functional.mse_loss(est, clean, reduction="sum")
        return sum_ / self.elements


def _wide(wav):
    """Return the waveform in at least float32 (mixed precision gives less)."""
    return wav if wav.dtype == torch.float64 else wav.float()


def _real_view(spectrum):
    """Return (..., 2) of a complex spectrum in at least float32."""
    if spectrum.dtype not in (torch.complex64, torch.complex128):
        spectrum = spectrum.to(torch.complex64)
    return torch.view_as_real(spectrum.resolve_conj())


def _clear(tensor, padding):
    """Return the tensor with zeros (also for NaN) where padding is True."""
    return tensor if padding is None else tensor.masked_fill(padding, 0.0)


def _spec_mse(pair):
    return pair.mean_square(pair.est, pair.clean)


def _log1p_mse(pair):
    def log_magnitude(spectrum):
        real, imag = spectrum.unbind(-1)
        power = torch.addcmul(real.square(), imag, imag) + POWER_FLOOR
        return power.sqrt().log1p()

    return pair.mean_square(log_magnitude(pair.est), log_magnitude(pair.clean))


def _compressed_mag_mse(pair):
    est, clean, _, _ = pair.compressed()
    return pair.mean_square(est, clean)


def _compressed_complex_mse(pair):
    _, _, est, clean = pair.compressed()
    return pair.mean_square(est, clean)


def _speech_preservation(pair):
    est, clean, _, _ = pair.compressed()
    return (clean - est).relu().square().sum() / pair.elements


def _wave_mse(pair):
    sum_ = torch.nn.functional.mse_loss(
        pair.est_wav, pair.clean_wav, reduction="sum"
    )
    return sum_ / pair.counts.sum()


def _mean_of_speaking(decibels, clean_power):
    """Return minus the mean in dB over the items whose clean is not silent."""
    speaking = clean_power > SILENCE_POWER
    total = decibels.masked_fill(~speaking, 0.0).sum()
    return -total / speaking.sum().clamp(min=1)


def _power(wav, counts):
    return wav.square().sum(-1) / counts


def _wave_snr(pair):
    counts = pair.counts
    clean = _power(pair.clean_wav, counts)
    # A silent clean signal is replaced before the logarithm: masking its
    # result alone would leave 0 * inf in the gradient.
    safe = clean.clamp(min=SILENCE_POWER)
    noise = _power(pair.est_wav - pair.clean_wav, counts)
    ratio = safe / (noise + CAP * safe)
    return _mean_of_speaking(10 * ratio.log10(), clean)


def _wave_sisnr(pair):
    counts = pair.counts

    def centred(wav):
        mean = wav.sum(-1) / counts
        return _clear(wav - mean[:, None], pair.wave_padding)

    est, clean = centred(pair.est_wav), centred(pair.clean_wav)
    clean_power = _power(clean, counts)
    safe = clean_power.clamp(min=SILENCE_POWER)
    scale = (est * clean).sum(-1) / counts / safe
    target = scale.square() * safe
    # The floor belongs to the residual: a silent estimate is the worst one.
    residual = _power(est - scale[:, None] * clean, counts) + SILENCE_POWER
    floor = CAP * (target + residual)
    ratio = (target + floor) / (residual + floor)
    return _mean_of_speaking(10 * ratio.log10(), clean_power)


def _pesq(pair):
    return pesq_loss(pair.est_wav, pair.clean_wav, pair.counts)


TERMS: dict[str, Callable] = {
    "spec_mse": _spec_mse,
    "log1p_mse": _log1p_mse,
    "compressed_mag_mse": _compressed_mag_mse,
    "compressed_complex_mse": _compressed_complex_mse,
    "speech_preservation": _speech_preservation,
    "wave_mse": _wave_mse,
    "wave_snr": _wave_snr,
    "wave_sisnr": _wave_sisnr,
    "pesq": _pesq,
}
"""Names of the terms, as a yaml gives them."""
_WEIGHT = Number(least=0)


class EnhancementLoss:
    """Weighted sum of the losses of a speech enhancement model.

    With X the estimated and Y the clean spectrum, x and y the waveforms and
    c the exponent, the terms are

    ========================  ==============================================
    spec_mse                  MSE of the real parts + MSE of the imaginary
    log1p_mse                 MSE of log(1 + |X|) and log(1 + |Y|)
    compressed_mag_mse        MSE of |X|^c and |Y|^c
    compressed_complex_mse    spec_mse of |X|^c e^(j phase X) and of Y's
    speech_preservation       mean of relu(|Y|^c - |X|^c)^2: speech that
                              was lost; noise that was left costs nothing
    wave_mse                  mean of (x - y)^2
    wave_snr                  minus SNR in dB, 10 log10(|y|^2 / |x - y|^2)
    wave_sisnr                minus scale-invariant SNR in dB, means removed
                              (Le Roux et al., "SDR - half-baked or well
                              done?", ICASSP 2019)
    pesq                      4.5 minus the raw score of ITU-T P.862, see
                              :mod:`.losses_pesq`; 16 kHz only
    ========================  ==============================================

    Means are over all valid elements of the batch, bins included, but the
    two SNRs are a mean over items. An item whose clean signal is silent
    (under -120 dBFS) has no SNR: it is left out of that mean, and its
    gradient from that term is zero. SNRs are bounded by 80 dB (SI-SNR also
    from below), and every term has finite gradients on silence.

    The complex compressed loss follows Ephrat et al., "Looking to listen at
    the cocktail party", 2018; the asymmetric one Wang et al., "VoiceFilter-
    Lite", 2020.

    Arguments
    ---------
    terms : str or mapping of str to float
        A name, or ``{name: weight}``. A weight of 0 reports the term without
        training on it.
    exponent : float
        c above, in (0, 1].

    Spectra or waveforms may be None where ``needs_spec`` or ``needs_wav`` is
    False.

    Example
    -------
    >>> from edgebrain.signal import SignalSettings
    >>> loss = EnhancementLoss("spec_mse", SignalSettings())
    >>> spec = torch.ones(2, 257, 101, dtype=torch.complex64)
    >>> lengths = torch.tensor([16000, 8000])
    >>> value, parts = loss(spec, 3 * spec, None, None, lengths)
    >>> value.item()
    4.0
    """

    def __init__(self, terms, settings, exponent=0.3):
        self.terms = _checked_terms(terms)
        self.settings = settings
        given, rule = {"exponent": exponent}, Number(above=0, most=1)
        self.exponent = check("loss", given, {"exponent": rule})["exponent"]
        names = set(self.terms)
        on_waves = {n for n in names if n.startswith("wave_")} | {"pesq"}
        if "pesq" in names and settings.sample_rate != RATE:
            raise UserError(
                f"loss pesq: defined at {RATE} Hz, not at "
                f"{settings.sample_rate} Hz; take another term"
            )
        self.needs_wav = bool(names & on_waves)
        self.needs_spec = bool(names - on_waves)
        self.needs_compressed_spec = "compressed_complex_mse" in names

    def __repr__(self):
        return f"EnhancementLoss({self.terms}, exponent={self.exponent})"

    def __call__(self, est_spec, clean_spec, est_wav, clean_wav, lengths):
        """Return the weighted sum, and each term's value by name, detached.

        ``lengths``, int64 (batch,), counts the samples of each item; what lies
        behind is padding.
        """
        pair = _Pair(self, est_spec, clean_spec, est_wav, clean_wav, lengths)
        loss, values = 0.0, {}
        for name, weight in self.terms.items():
            value = TERMS[name](pair)
            values[name] = value.detach()
            # Not 0 * value: that would pass a NaN on.
            if weight:
                loss = loss + weight * value
        return loss, values


def _checked_terms(terms):
    """Return the terms as ``{name: float}``, or raise UserError."""
    if isinstance(terms, str):
        terms = {terms: 1.0}
    if not isinstance(terms, Mapping) or not terms:
        raise UserError(
            f"loss terms {terms!r}: give a name, or names with weights such "
            "as {compressed_mag_mse: 0.7, compressed_complex_mse: 0.3}"
        )
    # Every term is to be minimised, so no weight is negative.
    rules = {n: _WEIGHT if n in TERMS else _known_name(n) for n in terms}
    weights = check("loss terms", terms, rules)
    if not any(weights.values()):
        raise UserError("loss terms: all weights are 0: give one above 0")
    return weights


def _known_name(name):
    return lambda weight: Name("loss", TERMS)(name)
