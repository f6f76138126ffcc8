"""Enhance audio files of any rate, length and number of channels."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
import itertools
from pathlib import Path
import time

from edgebrain.data import audio
from edgebrain.data.layout import find_audio
from edgebrain.enhancement.enhancer import Enhancer
from edgebrain.errors import UserError
from edgebrain.files import free_bytes
import numpy as np
import soundfile

#: Samples of a channel that are in work at a time, before resampling.
BLOCK = 1 << 16

#: What fits in a WAV file, whose header counts bytes in 32 bits.
_WAV_BYTES = 2**32 - 2**16

_WAVS = {"WAV", "WAVEX", "RF64"}


@dataclass(frozen=True)
class FileResult:
    """Length, time, and samples outside the range of the output's coding."""

    seconds: float
    elapsed: float
    clipped: int

    @property
    def real_time_factor(self) -> float:
        """Computing time divided by the length of the audio."""
        return self.elapsed / self.seconds if self.seconds else 0.0


def plan(
    source: Path | str, target: Path | str, overwrite: bool = False
) -> list[tuple[audio.AudioInfo, Path]]:
    """Return what is to be read and where each file is to be written.

    A folder keeps its structure. A file whose format cannot be written
    (.opus, .aiff, ...) becomes a .wav file.

    Raises
    ------
    UserError
        Lists what cannot be read and what would be overwritten.
    """
    source, target = Path(source), Path(target)
    if not source.exists():
        raise UserError(f"{source}: no such file or folder")
    pairs = _pairs(source, target)
    problems, tasks, taken = [], [], {}
    for path, place in pairs:
        if place in taken:
            problems.append(f"{path} and {taken[place]} would both be {place}")
        taken[place] = path
        try:
            tasks.append((audio.inspect(path), place))
        except UserError as error:
            problems.append(str(error))
        if place.exists() and place.samefile(path):
            problems.append(f"{path}: input and output are the same file")
        elif place.exists() and not overwrite:
            problems.append(f"{place}: exists already; give --overwrite")
    if problems:
        raise UserError.collect("nothing was enhanced", problems)
    return tasks


def _pairs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    if source.is_file():
        if target.is_dir():
            return [(source, _writable(target / source.name))]
        if target.suffix.lower() not in audio.WRITTEN:
            raise UserError(
                f"{target}: give a file that ends in "
                f"{', '.join(audio.WRITTEN)}, or a folder that exists"
            )
        return [(source, target)]
    if target.is_file():
        raise UserError(f"{target}: is a file; the input is a folder")
    if target.resolve().is_relative_to(source.resolve()):
        raise UserError(
            f"{target}: lies in the input folder; give a folder outside it"
        )
    found = find_audio(source).files
    if not found:
        raise UserError(f"{source}: holds no audio file")
    return [(path, _writable(target / name)) for name, path in found.items()]


def _writable(path: Path) -> Path:
    if path.suffix.lower() in audio.WRITTEN:
        return path
    return path.with_name(f"{path.name}.wav")


def enhance_file(
    enhancer: Enhancer,
    info: audio.AudioInfo,
    target: Path | str,
    dry_wet: float = 1.0,
    progress: Callable[[float], None] | None = None,
) -> FileResult:
    """Enhance a file in bounded memory, each channel by itself.

    The output has the rate, channels and length of the input, and its
    coding where the target's format has it. It is not delayed. What lies
    above half the model's rate is gone from the enhanced part.

    Arguments
    ---------
    dry_wet : float
        0 gives the input, 1 the enhanced signal, between them a mixture.
    progress : callable, optional
        Is told the seconds of audio that were done since its last call.
    """
    started = time.perf_counter()
    target = Path(target)
    subtype = _subtype(info, target)
    _check_size(info, target, subtype)
    blocks = _blocks(enhancer, info, dry_wet)
    if progress is not None:
        blocks = audio.reported(blocks, info.sample_rate, progress)
    clipped, _ = audio.write_blocks(
        target, blocks, info.sample_rate, subtype, info.channels
    )
    return FileResult(info.duration, time.perf_counter() - started, clipped)


def wet_share(attenuation_limit_db: float) -> float:
    """Return the share of the enhanced signal for an attenuation limit.

    No component is turned down by more than the limit: the mask m becomes
    g + (1 - g) m with g = 10^(-limit / 20), which is the mixture of input
    and enhanced signal with share 1 - g.
    """
    return 1 - 10 ** (-attenuation_limit_db / 20)


def _blocks(
    enhancer: Enhancer, info: audio.AudioInfo, wet: float
) -> Iterator[np.ndarray]:
    """Yield the output (n, channels)."""
    channels, left = range(info.channels), info.frames
    wets = (enhanced_blocks(enhancer, info, c) for c in channels)
    dries = zip(*(_input(info, c) for c in channels), strict=True)
    # A compressed file may hold less than its header says.
    silence = (np.zeros(BLOCK, np.float32),) * info.channels
    dries = itertools.chain(dries, itertools.repeat(silence))
    held = np.zeros((0, info.channels), np.float32)
    for pieces in zip(*wets, strict=True):
        # Resampling there and back rounds the length up.
        block = np.stack(pieces, axis=1)[:left]
        if wet < 1:
            while len(held) < len(block):
                held = np.concatenate([held, np.stack(next(dries), axis=1)])
            dry, held = held[: len(block)], held[len(block) :]
            block = dry + np.float32(wet) * (block - dry)
        left -= len(block)
        yield block
    yield np.zeros((left, info.channels), np.float32)


def enhanced_blocks(
    enhancer: Enhancer, info: audio.AudioInfo, channel: int
) -> Iterator[np.ndarray]:
    """Yield a channel enhanced, in pieces (n,) at the rate of the file.

    The same as enhancing the whole channel, apart from up to one sample more
    at the end where the rate is changed.
    """
    rate, own = info.sample_rate, enhancer.sample_rate
    peak = None
    if enhancer.signal.peak_normalize:
        pieces = audio.resample_blocks(_input(info, channel), rate, own)
        peak = max((float(np.abs(p).max(initial=0)) for p in pieces), default=0)
    samples = audio.resample_blocks(_input(info, channel), rate, own)
    return audio.resample_blocks(
        _through(enhancer.stream(peak), samples), own, rate
    )


def _through(stream, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for block in blocks:
        yield stream.feed(block)
    yield stream.flush()


def _input(info: audio.AudioInfo, channel: int) -> Iterator[np.ndarray]:
    """Yield a channel's samples, which must be finite."""
    done = 0
    for block in audio.read_blocks(info.path, BLOCK, channel):
        audio.check_finite(info.path, block, done)
        done += len(block)
        yield block


def _subtype(info: audio.AudioInfo, target: Path) -> str | None:
    """Return the input's coding if the target's format has it."""
    suffix = target.suffix.lower().removeprefix(".").upper()
    source = "WAV" if info.format in _WAVS else info.format
    if source == suffix and soundfile.check_format(suffix, info.subtype):
        return info.subtype
    return None


def _check_size(info: audio.AudioInfo, target: Path, subtype) -> None:
    """Refuse a WAV file that its header could not count, or too large."""
    sizes = {"PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
    needed = info.frames * info.channels * sizes.get(subtype, 2)
    if target.suffix.lower() == ".wav" and needed > _WAV_BYTES:
        raise UserError(
            f"{target}: would be {needed / 2**30:.1f} GiB, a WAV file holds "
            "4; write .flac"
        )
    free = free_bytes(target)
    if target.suffix.lower() == ".wav" and needed > free:
        raise UserError(
            f"{target}: takes {needed / 2**20:.1f} MiB, {free / 2**20:.1f} "
            "MiB are free; make room or write elsewhere"
        )
