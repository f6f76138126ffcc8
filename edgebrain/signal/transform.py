"""STFT and its inverse of whole signals, for numpy arrays and torch tensors.

Arrays in, arrays out; tensors in, tensors out, with gradients. torch is
imported by whoever made the tensor, never here. Half precision is computed
in float32.
"""

import functools
import sys
from typing import Any

from edgebrain.errors import UserError
from edgebrain.signal.settings import SignalSettings
from edgebrain.signal.windows import envelope, make_window
import numpy as np


def analysis_window(settings: SignalSettings) -> np.ndarray:
    """Return the window of analysis and synthesis, float64 (win_length,)."""
    return make_window(settings.window, settings.win_length)


def stft(wav: Any, settings: SignalSettings) -> Any:
    """Return the complex spectrum of each frame.

    A tensor gives the bits of ``torch.stft(center=True,
    pad_mode="constant")`` with the window in the middle of n_fft, on all
    frames that torch.stft gives (see ``SignalSettings.appends_frame``).
    Without ``center`` the phase counts from n_fft / 2 before the middle of
    the window too.

    Arguments
    ---------
    wav : numpy.ndarray or torch.Tensor
        Real floating-point samples, shape (..., samples).
    settings : SignalSettings
        ``power`` and ``peak_normalize`` play no part here.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        Complex, shape (..., bins, num_frames(samples)).

    Raises
    ------
    UserError
        If there are no samples or they are not real floating point.
    """
    torch = _torch_of(wav)
    wav = _checked_wav(wav, torch)
    samples = wav.shape[-1]
    frames = settings.num_frames(samples)
    lead = settings.offset + settings.padding
    width = (frames - 1) * settings.hop_length + settings.n_fft
    if torch is None:
        return _numpy_stft(wav, settings, lead, width)
    around = (lead, width - lead - samples)
    spec = torch.stft(
        torch.nn.functional.pad(wav.reshape(-1, samples), around),
        settings.n_fft,
        settings.hop_length,
        settings.win_length,
        _torch_window(torch, settings, wav.dtype).to(wav.device),
        center=False,
        return_complex=True,
    )
    return spec.reshape(*wav.shape[:-1], settings.bins, frames)


def istft(spec: Any, settings: SignalSettings, length: int) -> Any:
    """Return the signal of a spectrum, the inverse of :func:`stft`.

    Frames are windowed again, overlap-added and divided by the envelope of
    the squared window (Griffin and Lim, 1984). Centred, this gives back
    every sample of any length. Not centred, the first samples lie under the
    first rise of the first window alone, whose weight w starts at or near 0.
    So that no error of a mask is blown up there, the divisor is at least
    ``EDGE_FLOOR`` times the smallest divisor m of later samples: the first
    samples, those with w^2 < EDGE_FLOOR m (40 of hann 400/160, 2.5 ms), fade
    in by w^2 / (EDGE_FLOOR m), and no sample of a frame is ever amplified by
    more than 1 / sqrt(EDGE_FLOOR m), about 11 for 400/160.

    Arguments
    ---------
    spec : numpy.ndarray or torch.Tensor
        Complex, shape (..., bins, frames).
    length : int
        Samples wanted, at least 1, of at least num_frames(length) frames.
        Further frames count where they reach into the signal.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        Real, shape (..., length).
    """
    torch = _torch_of(spec)
    spec = spec if torch is not None else np.asarray(spec)
    frames = spec.shape[-1]
    start, stop = settings.padding, settings.padding + settings.win_length
    n_fft = settings.n_fft
    if torch is None:
        wave = np.fft.irfft(spec.swapaxes(-1, -2), n_fft)[..., start:stop]
        wave = wave.astype(spec.real.dtype, copy=False)
        window = analysis_window(settings)
        weights = window.astype(wave.dtype)
    else:
        wave = torch.fft.irfft(spec.transpose(-1, -2), n_fft)[..., start:stop]
        weights = _torch_window(torch, settings, wave.dtype)
        window = weights.double().numpy()
        weights = weights.to(wave.device)
    wave = _overlap_add(wave * weights, settings.hop_length)
    wave = wave[..., settings.offset : settings.offset + length]
    gain = 1.0 / envelope(
        window, settings.hop_length, settings.offset, frames, length
    )
    if torch is None:
        return wave * gain.astype(wave.dtype)
    return wave * torch.from_numpy(gain).to(wave.dtype).to(wave.device)


def magnitude(spec: Any, settings: SignalSettings) -> Any:
    """Return |spec| ** power, what a network is given.

    Its gradient at 0 is 0 for any power.
    """
    torch = _torch_of(spec)
    size = abs(spec)
    if settings.power == 1.0:
        return size
    if torch is None:
        return size**settings.power
    # 0 ** p has an infinite slope for p < 1, which times 0 would be NaN.
    some = size > 0
    raised = torch.where(some, size, 1.0) ** settings.power
    return torch.where(some, raised, 0.0)


def peak_gain(wav: Any) -> Any:
    """Return the gain (..., 1) that brings the peak of (..., samples) to 1.

    For settings with ``peak_normalize``: multiply the samples by it before
    :func:`stft` and divide by it after :func:`istft`. It needs the whole
    signal, so it exists offline only. Zeros of padding do no harm; it is 1
    where the peak is under 1e-8.
    """
    torch = _torch_of(wav)
    wav = _checked_wav(wav, torch)
    library = np if torch is None else torch
    last = {"axis": -1, "keepdims": True}
    if torch is None:
        peak = abs(wav).max(**last)
    else:
        peak = abs(wav).amax(-1, keepdim=True)
    return 1.0 / library.where(peak < 1e-8, library.ones_like(peak), peak)


def _torch_of(values: Any) -> Any:
    """Return the module torch if ``values`` is a tensor, else None."""
    torch = sys.modules.get("torch")
    is_tensor = torch is not None and isinstance(values, torch.Tensor)
    return torch if is_tensor else None


def _checked_wav(wav: Any, torch: Any) -> Any:
    """Return samples in single or double precision."""
    if torch is None:
        wav = np.asarray(wav)
        real = np.issubdtype(wav.dtype, np.floating)
        half = wav.dtype == np.float16
    else:
        real = wav.is_floating_point()
        half = wav.dtype in (torch.float16, torch.bfloat16)
    if not real:
        raise UserError(
            f"samples must be real floating point, not {wav.dtype}: divide "
            "integers by their full scale first"
        )
    if wav.ndim == 0 or wav.shape[-1] == 0:
        raise UserError("the signal has no samples")
    if not half:
        return wav
    return wav.astype(np.float32) if torch is None else wav.float()


@functools.lru_cache(maxsize=16)
def _torch_window(torch: Any, settings: SignalSettings, dtype: Any) -> Any:
    """Return the window as torch itself makes it, on the CPU.

    In float32 it is up to 2.5e-7 from the exact one, which numpy arrays get;
    taking it keeps spectra bit-equal to those of torch.stft.
    """
    if settings.window == "hamming":
        return torch.hamming_window(
            settings.win_length, dtype=dtype, device="cpu"
        )
    hann = torch.hann_window(settings.win_length, dtype=dtype, device="cpu")
    return hann if settings.window == "hann" else hann.sqrt()


def _numpy_stft(
    wav: np.ndarray, settings: SignalSettings, lead: int, width: int
) -> np.ndarray:
    """Return the spectrum of an array put at ``lead`` among zeros."""
    padded = np.zeros((*wav.shape[:-1], width), wav.dtype)
    padded[..., lead : lead + wav.shape[-1]] = wav
    views = np.lib.stride_tricks.sliding_window_view(
        padded, settings.n_fft, axis=-1
    )[..., :: settings.hop_length, :]
    window = np.zeros(settings.n_fft, wav.dtype)
    start, stop = settings.padding, settings.padding + settings.win_length
    window[start:stop] = analysis_window(settings)
    spec = np.fft.rfft(views * window).swapaxes(-1, -2)
    return spec.astype(np.result_type(wav.dtype, np.complex64), copy=False)


def _overlap_add(pieces: Any, hop_length: int) -> Any:
    """Return the sum of pieces (..., frames, samples) ``hop_length`` apart.

    (..., (frames + ceil(samples / hop_length) - 1) * hop_length).
    """
    frames, samples = pieces.shape[-2:]
    shifts = -(-samples // hop_length)
    shape = (*pieces.shape[:-2], frames + shifts - 1, hop_length)
    if isinstance(pieces, np.ndarray):
        total = np.zeros(shape, pieces.dtype)
    else:
        total = pieces.new_zeros(shape)
    # Whole hops of all frames at once: three additions for 400/160.
    for shift in range(shifts):
        part = pieces[..., shift * hop_length : (shift + 1) * hop_length]
        total[..., shift : shift + frames, : part.shape[-1]] += part
    return total.reshape(*shape[:-2], -1)
