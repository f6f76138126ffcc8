"""Microphone and loudspeaker, by the optional package sounddevice."""

from collections.abc import Callable, Iterator
from pathlib import Path
import time

from edgebrain.data import audio
from edgebrain.enhancement.enhance_files import check_dry_wet
from edgebrain.enhancement.enhancer import Enhancer
from edgebrain.errors import UserError
import numpy as np

#: Seconds read from the device at a time.
BLOCK_SECONDS = 0.02
#: Seconds between two lines of a live stream.
LINE_SECONDS = 0.25


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


def list_devices() -> str:
    """Return a line for each device: number, name, channels, the defaults.

    Raises
    ------
    UserError
        No sounddevice.
    """
    return str(sound_device().query_devices()) or "no audio device"


def choose_device(given: str | None, kind: str) -> int | None:
    """Return the number of a device; None, the default one, for None.

    Arguments
    ---------
    given : str, optional
        A number of :func:`list_devices`, or a part of one name.
    kind : str
        ``input`` or ``output``.

    Raises
    ------
    UserError
        There is no such device, or several.
    """
    if given is None:
        return None
    device = sound_device()
    try:
        number = int(given) if given.isdecimal() else given
        return device.query_devices(number, kind)["index"]
    except (ValueError, device.PortAudioError) as error:
        raise UserError(
            f"{given}: not one {kind} device ({error}); enhance.py --devices "
            "lists them"
        ) from None


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
    enhancer: Enhancer,
    dry_wet: float = 1.0,
    seconds: float | None = None,
    devices: tuple[int | None, int | None] = (None, None),
    ahead: float = 0.08,
    show: Callable[[str], None] | None = None,
) -> "Meter":
    """Enhance from the microphone to the loudspeaker until Ctrl-C.

    Arguments
    ---------
    enhancer : Enhancer
    dry_wet : float
        0 gives the input, 1 the enhanced signal; the input is delayed
        alike.
    seconds : float, optional
        Stop after so long.
    devices : tuple of int
        Microphone and loudspeaker; None: the default one.
    ahead : float
        Seconds of silence that are played first: so long the system may let
        this program wait, and so much later is the output.
    show : callable, optional
        Gets a line with levels, gain and load four times a second.

    Returns
    -------
    Meter

    Raises
    ------
    UserError
        No sounddevice, no device, or it failed; the network cannot stream.
    """
    check_dry_wet(dry_wet)
    stream = enhancer.stream()
    device = sound_device()
    own = enhancer.sample_rate
    # The first frame of a session takes longest.
    stream.feed(np.zeros(own // 10, np.float32))
    stream.reset()
    try:
        rate = _usable_rate(device, own, True, devices)
        total = None if seconds is None else round(seconds * rate)
        with device.Stream(
            samplerate=rate,
            channels=1,
            dtype="float32",
            # A device gives its sound in bursts, a third of this long or so.
            latency=ahead,
            blocksize=round(BLOCK_SECONDS * rate),
            device=devices,
        ) as sound:
            print(
                f"{enhancer.describe()}\nlive at {rate} Hz; Ctrl-C stops",
                flush=True,
            )
            silence = np.zeros((round(ahead * rate), 1), np.float32)
            meter = Meter()
            captured = meter.outside(_captured(sound, rate, total, meter), rate)
            samples = audio.resample_blocks(captured, rate, own)
            mixed = _mixed(stream, samples, dry_wet, meter)
            try:
                for block in audio.resample_blocks(mixed, own, rate):
                    if len(block):
                        out = np.clip(block, -1, 1).astype(np.float32)
                        with meter:
                            if silence is not None:
                                # Until now there was nothing to play.
                                sound.write(silence)
                                silence = None
                            meter.lost += bool(sound.write(out[:, None]))
                    if show and meter.is_due:
                        show(meter.line())
            except KeyboardInterrupt:
                print("\nstopped")
    except device.PortAudioError as error:
        raise _no_device(error) from None
    return meter


class Meter:
    """Load and levels of a live stream.

    Attributes
    ----------
    seconds : float
        Of sound that came in.
    lost : int
        Times that the device threw input away, or had nothing to play.
    """

    def __init__(self) -> None:
        self.seconds, self.lost = 0.0, 0
        self._started, self._waited = time.perf_counter(), 0.0
        self._forget()

    def __enter__(self):
        self._since = time.perf_counter()

    def __exit__(self, *_):
        self._waited += time.perf_counter() - self._since

    def outside(self, blocks, rate):
        """Yield blocks; the time until each is there is waiting."""
        while True:
            with self:
                block = next(blocks, None)
            if block is None:
                return
            self.seconds += len(block) / rate
            yield block

    def add(self, dry: np.ndarray, out: np.ndarray) -> None:
        """Take input and output in step, (n,) each."""
        self._power += [np.dot(dry, dry), np.dot(out, out)]
        self._count += len(dry)

    @property
    def busy(self) -> float:
        """Seconds of computing."""
        return time.perf_counter() - self._started - self._waited

    @property
    def real_time_factor(self) -> float:
        """Computing over sound."""
        return self.busy / self.seconds if self.seconds else 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time for a line."""
        return self.seconds - self._at[0] >= LINE_SECONDS and self._count > 0

    def line(self) -> str:
        """Return levels (RMS), gain and load since the last line."""
        seconds, busy = self._at
        load = (self.busy - busy) / (self.seconds - seconds)
        levels = 10 * np.log10(self._power / self._count + 1e-10)
        self._forget()
        return (
            f"in {levels[0]:6.1f} dBFS, out {levels[1]:6.1f} dBFS, "
            f"gain {levels[1] - levels[0]:+6.1f} dB, load {100 * load:4.1f} %, "
            f"lost {self.lost}"
        )

    def _forget(self) -> None:
        self._at = self.seconds, self.busy
        self._power, self._count = np.zeros(2), 0


def _mixed(stream, blocks, wet: float, meter) -> Iterator[np.ndarray]:
    """Yield the mixture of the enhanced signal and the input in step."""
    held = np.zeros(0, np.float32)
    for block in blocks:
        out = stream.feed(block)
        held = np.concatenate([held, block])
        dry, held = held[: len(out)], held[len(out) :]
        mixed = dry + np.float32(wet) * (out - dry)
        meter.add(dry, mixed)
        yield mixed


def _captured(
    stream, rate: int, total: int | None, meter=None
) -> Iterator[np.ndarray]:
    """Yield (n,) from an input stream, ``total`` samples or without end."""
    size = max(1, round(BLOCK_SECONDS * rate))
    while total is None or total > 0:
        count = size if total is None else min(size, total)
        data, overflowed = stream.read(count)
        if meter:
            meter.lost += overflowed
        if total is not None:
            total -= count
        yield np.array(data[:, 0], np.float32)


def _reported(blocks, rate, progress):
    for block in blocks:
        yield block
        if progress is not None:
            progress(len(block) / rate)


def _usable_rate(
    device, wanted: int, output: bool, devices=(None, None)
) -> int:
    """Return the wanted rate if the devices have it, else their own."""
    settings = {"channels": 1, "samplerate": wanted}
    try:
        device.check_input_settings(devices[0], **settings)
        if output:
            device.check_output_settings(devices[1], **settings)
        return wanted
    except device.PortAudioError:
        found = device.query_devices(devices[0], "input")
        return int(found["default_samplerate"])


def _no_device(error) -> UserError:
    return UserError(
        f"no usable audio device ({error}); connect a microphone, or enhance "
        "a file"
    )
