"""Microphone and loudspeaker, by the optional package sounddevice."""

from collections.abc import Iterator
from pathlib import Path
import time

from edgebrain.data import audio
from edgebrain.enhancement.enhance_files import check_dry_wet
from edgebrain.enhancement.enhancer import Enhancer
from edgebrain.errors import UserError
import numpy as np

#: Seconds read from the device at a time.
BLOCK_SECONDS = 0.02


def sound_device():
    """Return the module sounddevice.

    Raises
    ------
    UserError
        It, or the PortAudio library under it, is not installed.
    """
    try:
        import sounddevice
    except ImportError:
        raise UserError(
            "the microphone needs the package sounddevice, which is not "
            "installed: pip install 'edgebrain[microphone]'"
        ) from None
    except OSError as error:
        raise UserError(
            f"sounddevice cannot load PortAudio ({error}); install it "
            "(Debian: apt install libportaudio2)"
        ) from None
    return sounddevice


def record(
    path: Path | str, seconds: float, sample_rate: int, progress=None
) -> None:
    """Record mono audio from the default microphone into a file.

    Arguments
    ---------
    path : Path or str
        Written under its name only when whole.
    seconds : float
    sample_rate : int
        In Hz; where the device does not have it, its own rate is taken and
        the file has that.
    progress : callable, optional
        Is told the seconds recorded since its last call.

    Raises
    ------
    UserError
        No sounddevice, no microphone, or it failed.
    """
    if not seconds > 0:
        raise UserError(f"--record {seconds}: give a number of seconds > 0")
    device = sound_device()
    try:
        rate = _usable_rate(device, sample_rate, output=False)
        total = round(seconds * rate)
        with device.InputStream(
            samplerate=rate, channels=1, dtype="float32"
        ) as stream:
            blocks = _captured(stream, rate, total)
            audio.write_blocks(path, _reported(blocks, rate, progress), rate)
    except device.PortAudioError as error:
        raise _no_device(error) from None


def live(
    enhancer: Enhancer, dry_wet: float = 1.0, seconds: float | None = None
) -> float:
    """Enhance from the microphone to the loudspeaker until Ctrl-C.

    Arguments
    ---------
    enhancer : Enhancer
    dry_wet : float
        0 gives the input, 1 the enhanced signal; the input is delayed
        alike.
    seconds : float, optional
        Stop after so long.

    Returns
    -------
    float
        The real-time factor.

    Raises
    ------
    UserError
        No sounddevice, no device, or it failed; the network cannot stream.
    """
    check_dry_wet(dry_wet)
    stream = enhancer.stream()
    device = sound_device()
    own = enhancer.sample_rate
    clock = _Clock()
    try:
        rate = _usable_rate(device, own, output=True)
        total = None if seconds is None else round(seconds * rate)
        with device.Stream(
            samplerate=rate, channels=1, dtype="float32", latency="low"
        ) as sound:
            print(
                f"{enhancer.describe()}\nlive at {rate} Hz; Ctrl-C stops",
                flush=True,
            )
            captured = clock.outside(_captured(sound, rate, total), rate)
            samples = audio.resample_blocks(captured, rate, own)
            mixed = _mixed(stream, samples, dry_wet)
            try:
                for block in audio.resample_blocks(mixed, own, rate):
                    if len(block):
                        out = np.clip(block, -1, 1).astype(np.float32)
                        with clock:
                            sound.write(out[:, None])
            except KeyboardInterrupt:
                print("\nstopped")
    except device.PortAudioError as error:
        raise _no_device(error) from None
    return clock.real_time_factor


class _Clock:
    """Tell computing from waiting for the device."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.waited = self.audio = 0.0

    def __enter__(self):
        self._since = time.perf_counter()

    def __exit__(self, *_):
        self.waited += time.perf_counter() - self._since

    def outside(self, blocks, rate):
        """Yield blocks; the time until each is there is waiting."""
        while True:
            with self:
                block = next(blocks, None)
            if block is None:
                return
            self.audio += len(block) / rate
            yield block

    @property
    def real_time_factor(self) -> float:
        busy = time.perf_counter() - self.started - self.waited
        return busy / self.audio if self.audio else 0.0


def _mixed(stream, blocks, wet: float) -> Iterator[np.ndarray]:
    """Yield the mixture of the enhanced signal and the input in step."""
    held = np.zeros(0, np.float32)
    for block in blocks:
        out = stream.feed(block)
        held = np.concatenate([held, block])
        dry, held = held[: len(out)], held[len(out) :]
        yield dry + np.float32(wet) * (out - dry)


def _captured(stream, rate: int, total: int | None) -> Iterator[np.ndarray]:
    """Yield (n,) from an input stream, ``total`` samples or without end."""
    size = max(1, round(BLOCK_SECONDS * rate))
    while total is None or total > 0:
        count = size if total is None else min(size, total)
        data, _ = stream.read(count)
        if total is not None:
            total -= count
        yield np.array(data[:, 0], np.float32)


def _reported(blocks, rate, progress):
    for block in blocks:
        yield block
        if progress is not None:
            progress(len(block) / rate)


def _usable_rate(device, wanted: int, output: bool) -> int:
    """Return the wanted rate if the device has it, else its own."""
    try:
        device.check_input_settings(channels=1, samplerate=wanted)
        if output:
            device.check_output_settings(channels=1, samplerate=wanted)
        return wanted
    except device.PortAudioError:
        found = device.query_devices(kind="input")
        return int(found["default_samplerate"])


def _no_device(error) -> UserError:
    return UserError(
        f"no usable audio device ({error}); connect a microphone, or enhance "
        "a file"
    )
