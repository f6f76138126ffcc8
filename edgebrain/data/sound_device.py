"""The microphone, by the optional package sounddevice."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from edgebrain.data import audio
from edgebrain.errors import UserError
import numpy as np

#: Seconds read from the device at a time.
BLOCK_SECONDS = 0.02


def sound_device():
    """Return the module sounddevice."""
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
    """Return a line for each device: number, name, channels, the defaults."""
    return str(sound_device().query_devices()) or "no audio device"


class ListDevices(argparse.Action):
    """Option that lists the audio devices; needs no model, as --help."""

    def __init__(self, **settings):
        super().__init__(nargs=0, **settings)

    def __call__(self, parser, *_):
        """Print and exit."""
        print(list_devices())
        parser.exit()


def choose_device(given: str | None, kind: str) -> int | None:
    """Return the number of a device of :func:`list_devices`, or None for None.

    Given by that number, or a part of one name.
    """
    if given is None:
        return None
    device = sound_device()
    try:
        number = int(given) if given.isdecimal() else given
        return device.query_devices(number, kind)["index"]
    except (ValueError, device.PortAudioError) as error:
        raise UserError(
            f"{given}: not one {kind} device ({error}); --devices lists them"
        ) from None


def record(
    path: Path | str, seconds: float, sample_rate: int, progress=None
) -> None:
    """Record mono audio from the default microphone into a file.

    Where the device does not have the sample rate, its own is taken and the
    file has that. ``progress`` is told the seconds since its last call.
    """
    if not seconds > 0:
        raise UserError(f"--record {seconds}: give a number of seconds > 0")
    device = sound_device()
    try:
        rate = usable_rate(device, sample_rate, output=False)
        total = round(seconds * rate)
        with device.InputStream(
            samplerate=rate, channels=1, dtype="float32"
        ) as stream:
            blocks = captured(stream, rate, total)
            if progress is not None:
                blocks = audio.reported(blocks, rate, progress)
            audio.write_blocks(path, blocks, rate)
    except device.PortAudioError as error:
        raise no_device(error) from None


def heard(
    sample_rate: int, device: int | None = None, seconds: float | None = None
) -> Iterator[np.ndarray]:
    """Yield what a microphone hears, resampled where it has another rate."""
    sound = sound_device()
    try:
        rate = usable_rate(sound, sample_rate, False, (device, None))
        total = None if seconds is None else round(seconds * rate)
        with sound.InputStream(
            samplerate=rate, channels=1, dtype="float32", device=device
        ) as stream:
            blocks = captured(stream, rate, total)
            yield from audio.resample_blocks(blocks, rate, sample_rate)
    except sound.PortAudioError as error:
        raise no_device(error) from None


def captured(
    stream, rate: int, total: int | None, meter=None
) -> Iterator[np.ndarray]:
    """Yield (n,) from an input stream, ``total`` samples or without end.

    A ``meter`` counts in its attribute ``lost`` the blocks before which the
    device threw sound away.
    """
    size = max(1, round(BLOCK_SECONDS * rate))
    while total is None or total > 0:
        count = size if total is None else min(size, total)
        data, overflowed = stream.read(count)
        if meter:
            meter.lost += overflowed
        if total is not None:
            total -= count
        yield np.array(data[:, 0], np.float32)


def usable_rate(device, wanted: int, output: bool, devices=(None, None)) -> int:
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


def no_device(error) -> UserError:
    """Return the error for a device that cannot be used."""
    return UserError(
        f"no usable audio device ({error}); connect a microphone, or give a "
        "file"
    )
