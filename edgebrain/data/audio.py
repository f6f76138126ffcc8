"""Read, write and inspect audio files: the only place that opens one.

Signals are float32 in [-1, 1] and mono: several channels are mixed by their
mean. Full scale 1.0 is 32768 in 16-bit files, reading and writing, so a
16-bit file that is read and written again is the same bit for bit.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import logging
from pathlib import Path

# The one place that callers take audio from.
from edgebrain.data.resampling import resample
from edgebrain.data.resampling import resample_blocks as resample_blocks
from edgebrain.errors import UserError, unknown_name
from edgebrain.files import free_bytes, replacing
import numpy as np
import soundfile

logger = logging.getLogger(__name__)

#: File name endings that count as audio, in lower case.
AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"}
)

#: Frames of a block where files go through in pieces (6 s at 44.1 kHz).
BLOCK_FRAMES = 1 << 18

#: Suffix -> (soundfile's format, the subtype written if none is asked for).
WRITTEN = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}

_UNCOMPRESSED = {"PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32"}
_FLOAT = {"FLOAT", "DOUBLE"}
# Free bytes of a disk that counts as full.
_LEAST_FREE = 1 << 16
# libsndfile's frame count of a stream whose header does not say its length.
_UNKNOWN_FRAMES = 1 << 60


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    ``format`` ("WAV", "FLAC", ...) and ``subtype`` ("PCM_16", "FLOAT",
    "VORBIS", ...) are soundfile's names; ``frames`` are samples a channel.
    """

    path: Path
    sample_rate: int
    frames: int
    channels: int
    format: str
    subtype: str

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate

    @property
    def uncompressed(self) -> bool:
        """Whether samples lie in the file as whole numbers."""
        return self.subtype in _UNCOMPRESSED

    def usable_in_place(self, sample_rate: int) -> bool:
        """Whether crops can be read from the file as it is.

        That is mono WAV or FLAC at the right rate. Lossy formats are not:
        decoding is slow and seeking in some is inexact.
        """
        return (
            self.channels == 1
            and self.sample_rate == sample_rate
            and self.format in {"WAV", "WAVEX", "RF64", "FLAC"}
            and self.subtype in _UNCOMPRESSED | _FLOAT
        )


def inspect(path: Path | str) -> AudioInfo:
    """Read the header of an audio file."""
    with open_audio(path) as file:
        return info_of(path, file)


def info_of(path: Path | str, file: soundfile.SoundFile) -> AudioInfo:
    """Return the :class:`AudioInfo` of an opened file."""
    return AudioInfo(
        path=Path(path),
        sample_rate=file.samplerate,
        frames=file.frames,
        channels=file.channels,
        format=file.format,
        subtype=file.subtype,
    )


@contextmanager
def open_audio(path: Path | str) -> Iterator[soundfile.SoundFile]:
    """Open an audio file for reading; what fails becomes a UserError."""
    try:
        with soundfile.SoundFile(str(path)) as file:
            if file.frames >= _UNKNOWN_FRAMES:
                raise UserError(
                    f"{path}: its header does not say how long it is (it "
                    "was written into a pipe); encode it again"
                )
            yield file
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path}: {_reason(Path(path), error)}") from error


def _reason(path: Path, error: soundfile.LibsndfileError) -> str:
    """Say in words why libsndfile cannot open or decode a file."""
    if path.is_dir():
        return "is a folder, an audio file is needed"
    if path.is_symlink() and not path.exists():
        return f"is a link to {path.readlink()}, which does not exist"
    if not path.exists():
        return "does not exist"
    try:
        with path.open("rb") as file:
            if not file.read(1):
                return "is empty (0 bytes)"
    except OSError as denied:
        return f"cannot be opened: {denied.strerror}"
    detail = error.error_string.strip().rstrip(".")
    return f"is not whole audio that soundfile can read ({detail})"


def read(
    path: Path | str,
    sample_rate: int | None = None,
    start: int = 0,
    frames: int = -1,
) -> np.ndarray:
    """Read a file or a part of it as mono float32.

    The file is opened, sought and closed in this call, so forked workers
    share nothing.

    Arguments
    ---------
    path : Path or str
        WAV, FLAC, OGG or MP3, or what else libsndfile reads.
    sample_rate : int, optional
        The rate the file must have, in Hz. None takes any.
    frames : int
        Number of samples; -1 reads to the end. Where the file ends earlier,
        the result is shorter.

    Returns
    -------
    numpy.ndarray
        float32, shape (n,): the mean of the channels.

    Raises
    ------
    UserError
        If the file cannot be read, has another rate, or ends before
        ``start``.
    """
    with open_audio(path) as file:
        if sample_rate is not None and file.samplerate != sample_rate:
            raise UserError(
                f"{path}: sample rate is {file.samplerate} Hz, {sample_rate} "
                f"Hz is needed; resample the file or set sample_rate: "
                f"{file.samplerate}"
            )
        if start:
            if not 0 <= start <= file.frames:
                raise UserError(
                    f"{path}: has {file.frames} samples, cannot start at "
                    f"{start}"
                )
            file.seek(start)
        return _mono(file.read(frames, dtype="float32", always_2d=True))


def read_at(
    path: Path | str, sample_rate: int, start: int = 0, frames: int = -1
) -> np.ndarray:
    """Read a file or a part of it, as :func:`read`, at a model's rate.

    A file of another rate is resampled; ``start`` and ``frames`` count at its
    own. NaN and infinity are refused, naming file and sample.
    """
    wav = read(path, start=start, frames=frames)
    check_finite(path, wav, start)
    return resample(wav, inspect(path).sample_rate, sample_rate)


def check_finite(path: Path | str, wav: np.ndarray, start: int) -> None:
    """Refuse NaN and infinity in samples (n,) of a file from ``start`` on."""
    if not np.isfinite(wav).all():
        bad = int(np.flatnonzero(~np.isfinite(wav))[0])
        raise UserError(
            f"{path}: sample {start + bad} is {wav[bad]}; mend or remove the "
            "file"
        )


def reported(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    progress: Callable[[float], object],
) -> Iterator[np.ndarray]:
    """Yield blocks; ``progress`` is told the seconds of each that was taken."""
    for block in blocks:
        yield block
        progress(len(block) / sample_rate)


def read_blocks(
    path: Path | str, frames: int = BLOCK_FRAMES, channel: int | None = None
) -> Iterator[np.ndarray]:
    """Yield a file in mono float32 pieces (n,), for files of any length.

    The mean of its channels, or one of them, the first is 0.
    """
    with open_audio(path) as file:
        while len(block := file.read(frames, "float32", always_2d=True)):
            yield _mono(block) if channel is None else block[:, channel]


def _mono(samples: np.ndarray) -> np.ndarray:
    """Return the mean over the channels of (n, channels)."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    return samples.mean(axis=1, dtype=np.float32)


def write(
    path: Path | str,
    wav: np.ndarray,
    sample_rate: int,
    subtype: str | None = None,
) -> int:
    """Write a mono signal; the file is whole or not there.

    Samples outside [-1, 1] are clipped, counted and logged, except in
    floating-point WAV, which keeps them.

    Arguments
    ---------
    path : Path or str
        Ends in .wav or .flac (16-bit PCM), .ogg (Vorbis) or .mp3. Folders
        are made.
    wav : numpy.ndarray
        Floating-point samples, shape (n,).
    subtype : str, optional
        Another coding of soundfile, e.g. "FLOAT" or "PCM_24" for .wav.

    Returns
    -------
    int
        Number of clipped samples.

    Raises
    ------
    UserError
        If the signal holds NaN or infinity, or the file, suffix or subtype
        cannot be written.
    """
    # Pieces: libvorbis overflows its stack on long arrays.
    pieces = (
        wav[at : at + BLOCK_FRAMES] for at in range(0, len(wav), BLOCK_FRAMES)
    )
    clipped, _ = write_blocks(path, pieces, sample_rate, subtype)
    if clipped:
        logger.warning("%s: %d samples outside [-1, 1] clipped", path, clipped)
    return clipped


def write_blocks(
    path: Path | str,
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    subtype: str | None = None,
    channels: int = 1,
) -> tuple[int, float]:
    """Write a signal that comes in pieces (n,) or (n, channels).

    As :func:`write`. Returns the number of clipped samples, and the largest
    absolute sample before clipping.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITTEN:
        raise unknown_name("audio suffix", path.suffix, WRITTEN)
    format_, default = WRITTEN[path.suffix.lower()]
    subtype = subtype or default
    if not soundfile.check_format(format_, subtype):
        raise unknown_name(
            f"subtype of {format_}",
            subtype,
            soundfile.available_subtypes(format_),
        )
    try:
        with (
            replacing(path) as temporary,
            soundfile.SoundFile(
                str(temporary),
                "w",
                int(sample_rate),
                channels,
                subtype,
                None,
                format_,
            ) as file,
        ):
            try:
                return _fill(path, file, blocks)
            except soundfile.LibsndfileError as error:
                # libsndfile calls a full disk a "System error".
                full = free_bytes(path) < _LEAST_FREE
                reason = "the disk is full" if full else error
                raise UserError(
                    f"{path}: cannot be written ({reason})"
                ) from error
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"{path}: cannot be written ({error})") from error


def _fill(path, file, blocks) -> tuple[int, float]:
    """Write all blocks into an opened file; return clipped and peak."""
    clipped, peak, done = 0, 0.0, 0
    for block in blocks:
        block = np.asarray(block)
        largest = float(np.max(np.abs(block), initial=0.0))
        if not np.isfinite(largest):
            bad = np.argwhere(~np.isfinite(block))[0]
            raise UserError(
                f"{path}: not written, sample {done + bad[0]} is "
                f"{block[tuple(bad)]}"
            )
        if largest > 1.0 and file.subtype not in _FLOAT:
            clipped += int(np.count_nonzero(np.abs(block) > 1.0))
        peak = max(peak, largest)
        done += len(block)
        file.write(_coded(block, file.subtype))
    return clipped, peak


def _coded(block: np.ndarray, subtype: str) -> np.ndarray:
    """Return samples as soundfile is to write them in a subtype."""
    if subtype == "PCM_16":
        # soundfile scales floats by 32767 but reads by 32768.
        scaled = np.rint(np.asarray(block, dtype=np.float64) * 32768)
        return np.clip(scaled, -32768, 32767).astype(np.int16)
    block = block.astype(np.float32, copy=False)
    return block if subtype in _FLOAT else np.clip(block, -1.0, 1.0)
