"""Audio and spectrograms as data URLs, so that a page needs no other file."""

import base64
import io

from edgebrain.report.plots import RANGE_DB, decibels
from edgebrain.signal import SignalSettings
import numpy as np

#: Grey levels of a spectrogram: more cost bytes and show nothing.
_LEVELS = 48


def audio_url(wav: np.ndarray, sample_rate: int) -> str:
    """Return samples (n,) in [-1, 1] as FLAC: small, exact, all browsers."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.clip(wav, -1, 1), sample_rate, "PCM_16", format="FLAC"
    )
    return _data_url("audio/flac", buffer.getvalue())


def spectrogram_url(
    wav: np.ndarray, sample_rate: int, top_db: float | None = None
) -> str:
    """Return the spectrogram as a PNG picture without axes.

    ``top_db`` is the level with the brightest colour, of :func:`peak_db`; for
    one scale over several pictures.
    """
    from matplotlib import colormaps
    from PIL import Image

    levels = _decibels(wav, sample_rate)
    top = levels.max() if top_db is None else top_db
    share = np.clip((levels - top) / RANGE_DB + 1, 0, 1)
    index = np.rint(share[::-1] * (_LEVELS - 1)).astype(np.uint8)
    colours = colormaps["magma"](np.linspace(0, 1, _LEVELS))[:, :3]
    image = Image.fromarray(index, mode="P")
    image.putpalette(np.rint(colours * 255).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return _data_url("image/png", buffer.getvalue())


def peak_db(wav: np.ndarray, sample_rate: int) -> float:
    """Return the level of the loudest bin of a spectrogram in dB."""
    return float(_decibels(wav, sample_rate).max())


def _decibels(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return levels (bins, frames), about 128 bins, 100 frames a second."""
    hop = max(1, sample_rate // 100)
    size = 2 ** int(np.ceil(np.log2(2 * hop)))
    return decibels(wav, SignalSettings(sample_rate, size, size, hop))


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
