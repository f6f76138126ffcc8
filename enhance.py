#!/usr/bin/env python3
"""Enhance a file, a folder, or what the microphone hears.

    python enhance.py MODEL noisy.wav enhanced.wav
    python enhance.py MODEL noisy_folder enhanced_folder
    python enhance.py MODEL --record 10 enhanced.wav
    python enhance.py MODEL --live
    python enhance.py --devices

MODEL is a results folder (results/<name>/<seed>), an ONNX file of any form, a
models/<name> folder, the shared library of deploy/c_engine.py (lib<name>.so)
or the folder of deploy/nnse_tables.py. Files keep their rate, channels and
length; they pass through in blocks, so hours need no more memory than seconds.
"""

from pathlib import Path
import sys

from edgebrain.checks import Number
from edgebrain.command_line import (
    add_model_arguments,
    exit_on_user_error,
    model_arguments,
    script_parser,
)
from edgebrain.data.sound_device import ListDevices
from edgebrain.enhancement import load_enhancer
from edgebrain.enhancement.enhance_files import (
    enhance_file,
    plan,
    wet_share,
)
from edgebrain.errors import UserError
from edgebrain.progress import Progress


def parse(argv):
    """Return the arguments of the command line."""
    parser = script_parser(__doc__)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="INPUT OUTPUT, as above"
    )
    parser.add_argument(
        "--record",
        type=float,
        metavar="SECONDS",
        help="record, keep <OUTPUT>_noisy.wav, enhance into OUTPUT",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="microphone to loudspeaker until Ctrl-C (use headphones), with "
        "levels, gain and load in one line",
    )
    parser.add_argument(
        "--devices", action=ListDevices, help="list audio devices and exit"
    )
    for name, kind in (("microphone", "input"), ("loudspeaker", "output")):
        parser.add_argument(
            f"--{name}",
            metavar="DEVICE",
            help=f"{kind} of --live: a number of --devices or a part of a name",
        )
    parser.add_argument(
        "--ahead_ms",
        type=Number(least=0),
        default=80.0,
        help="how long --live may be kept waiting by other programs before "
        "sound breaks off, and how much later it plays (default: 80)",
    )
    parser.add_argument(
        "--dry_wet",
        type=Number(least=0, most=1),
        default=1.0,
        help="0: the input, 1: enhanced, between: mixed (default: 1)",
    )
    parser.add_argument(
        "--attenuation_limit_db",
        type=Number(least=0),
        metavar="DB",
        help="turn nothing down by more than this; 12 to 20 keep a little of "
        "the noise and more of weak speech (default: no limit)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace existing outputs"
    )
    add_model_arguments(parser)
    arguments = parser.parse_intermixed_args(argv)
    if arguments.live and arguments.record is not None:
        parser.error("--live and --record exclude each other")
    wanted = 0 if arguments.live else 1 if arguments.record is not None else 2
    if len(arguments.paths) != wanted:
        names = ("no path", "OUTPUT alone", "INPUT and OUTPUT")[wanted]
        parser.error(f"give {names} after MODEL, not {arguments.paths}")
    return arguments


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    if arguments.attenuation_limit_db is not None:
        arguments.dry_wet *= wet_share(arguments.attenuation_limit_db)
    if arguments.live:
        _live(arguments)
        return
    if arguments.record is not None:
        enhancer, tasks = _record(arguments)
    else:
        tasks = plan(*arguments.paths, overwrite=arguments.overwrite)
        enhancer = load_enhancer(arguments.model, **model_arguments(arguments))
    print(enhancer.describe())
    _enhance(enhancer, tasks, arguments.dry_wet)


def _live(arguments):
    """Enhance until Ctrl-C, with a line that shows how it goes."""
    from edgebrain.data.sound_device import choose_device
    from edgebrain.enhancement.live import live

    devices = (
        choose_device(arguments.microphone, "input"),
        choose_device(arguments.loudspeaker, "output"),
    )
    enhancer = load_enhancer(arguments.model, **model_arguments(arguments))
    show = None
    if sys.stdout.isatty():

        def show(line):
            print(f"\r{line} ", end="", flush=True)

    meter = live(
        enhancer,
        arguments.dry_wet,
        devices=devices,
        ahead=arguments.ahead_ms / 1000,
        show=show,
    )
    print(
        f"{meter.seconds:.1f} s, real-time factor "
        f"{meter.real_time_factor:.3f}, lost {meter.lost}"
    )


def _record(arguments):
    """Record beside the output; return the model and what is to do."""
    from edgebrain.data.sound_device import record

    target = Path(arguments.paths[0])
    noisy = target.with_name(f"{target.stem}_noisy.wav")
    there = [p for p in (target, noisy) if p.exists()]
    if there and not arguments.overwrite:
        names = ", ".join(map(str, there))
        raise UserError(f"{names}: exists already; give --overwrite")
    enhancer = load_enhancer(arguments.model, **model_arguments(arguments))
    with _bar(arguments.record) as bar:
        bar.set_description_str("recording")
        record(noisy, arguments.record, enhancer.sample_rate, bar.update)
    return enhancer, plan(noisy, target, arguments.overwrite)


def _enhance(enhancer, tasks, dry_wet):
    """Enhance all files; raise what failed at the end."""
    problems, clipped, elapsed, seconds = [], [], 0.0, 0.0
    with _bar(sum(info.duration for info, _ in tasks)) as bar:
        for info, target in tasks:
            bar.set_description_str(info.path.name[-24:])
            try:
                result = enhance_file(
                    enhancer, info, target, dry_wet, bar.update
                )
            except UserError as error:
                problems.append(str(error))
                continue
            elapsed += result.elapsed
            seconds += result.seconds
            if result.clipped:
                clipped.append(f"{target}: {result.clipped} samples clipped")
    for line in clipped:
        print(line)
    done = len(tasks) - len(problems)
    if done:
        factor = elapsed / max(seconds, 1e-9)
        print(
            f"{done} file{'s' if done != 1 else ''}, {seconds:.1f} s of audio "
            f"in {elapsed:.1f} s, real-time factor {factor:.3f}"
        )
    if problems:
        raise UserError.collect("files that failed", problems)


def _bar(seconds):
    """Return a progress bar over seconds of audio."""

    class Bar(Progress):
        @property
        def format_dict(self):
            values = super().format_dict
            done = values["n"]
            factor = values["elapsed"] / done if done else 0.0
            return {**values, "factor": f"{factor:.3f}"}

    return Bar(
        total=round(seconds, 2),
        unit="s",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s, "
        "real-time factor {factor}, {remaining} left",
    )


if __name__ == "__main__":
    with exit_on_user_error("stopped; no half-written file is left"):
        main(sys.argv[1:])
