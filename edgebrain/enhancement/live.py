"""From the microphone through a network to the loudspeaker."""

from collections.abc import Callable, Iterator
import time

from edgebrain.data import audio
from edgebrain.data.sound_device import (
    BLOCK_SECONDS,
    captured,
    no_device,
    sound_device,
    usable_rate,
)
from edgebrain.enhancement.enhancer import Enhancer
import numpy as np

#: Seconds between two lines of a live stream.
LINE_SECONDS = 0.25


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
    dry_wet : float
        0 gives the input, 1 the enhanced signal; the input is delayed
        alike.
    devices : tuple of int
        Microphone and loudspeaker; None: the default one.
    ahead : float
        Seconds of silence that are played first: so long the system may let
        this program wait, and so much later is the output.
    show : callable, optional
        Gets a line with levels, gain and load four times a second.
    """
    stream = enhancer.stream()
    device = sound_device()
    own = enhancer.sample_rate
    # The first frame of a session takes longest.
    stream.feed(np.zeros(own // 10, np.float32))
    stream.reset()
    try:
        rate = usable_rate(device, own, True, devices)
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
            blocks = meter.outside(captured(sound, rate, total, meter), rate)
            samples = audio.resample_blocks(blocks, rate, own)
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
        raise no_device(error) from None
    return meter


class Meter:
    """Load and levels of a live stream.

    ``lost``: times that the device threw input away, or had nothing to play.
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
