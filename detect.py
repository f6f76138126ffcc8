#!/usr/bin/env python3
"""Say which sounds recordings hold, and when; or listen to the microphone.

    python detect.py MODEL recording.wav
    python detect.py MODEL folder --output_folder events
    python detect.py MODEL --live
    python detect.py --devices

MODEL is a results folder, an ONNX file or a models/<name> folder. Recordings
of any length and sample rate are read in blocks. With an output folder each
recording gets a table (.csv), a label track of Audacity (.txt) and a picture
(.png) of its probabilities. Live, a line says when another sound is heard.
"""

from dataclasses import replace
from pathlib import Path
import sys

from edgebrain.checks import Number
from edgebrain.command_line import exit_on_user_error, script_parser
from edgebrain.data import audio
from edgebrain.data.layout import find_audio
from edgebrain.data.sound_device import ListDevices, choose_device, heard
from edgebrain.errors import UserError
from edgebrain.events import timeline
from edgebrain.events.detector import load_detector
from edgebrain.progress import working

#: Options that are fields of timeline.EventRules, with their help.
RULES = {
    "on": "probability that starts an event; below it a sound is unknown",
    "off": "it lasts while the probability is at least this",
    "median": "seconds over which the median is taken first",
    "min_length": "drop shorter events, in seconds",
    "min_gap": "join events of a class that are nearer, in seconds",
}


def parse(argv):
    """Return the arguments of the command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("model", metavar="MODEL")
    add("source", nargs="?", type=Path, metavar="FILE|FOLDER")
    add("--live", action="store_true", help="listen until Ctrl-C")
    add("--devices", action=ListDevices, help="list audio devices and exit")
    add(
        "--microphone",
        metavar="DEVICE",
        help="of --live: a number of --devices or a part of a name",
    )
    add("--output_folder", type=Path, help="for .csv, .txt and .png")
    add("--form", choices=("torch", "patch", "stream", "c"))
    add("--precision", choices=("float32", "int16x8", "int8"))
    for name, text in RULES.items():
        default = f"{getattr(timeline.DEFAULT_RULES, name):g}"
        if name == "on":
            default = f"as chosen in training, else {default}"
        help_ = f"{text} (default: {default})"
        add(f"--{name}", type=Number(least=0), help=help_)
    arguments = parser.parse_args(argv)
    if arguments.live == (arguments.source is not None):
        parser.error("give a file or folder, or --live")
    return arguments


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    given = {n: getattr(arguments, n) for n in RULES}
    given = {n: value for n, value in given.items() if value is not None}
    # Refused before a model is loaded, by whatever starts an event there.
    replace(timeline.DEFAULT_RULES, **given)
    files = [] if arguments.live else recordings(arguments.source)
    form, precision = arguments.form, arguments.precision
    detector = load_detector(arguments.model, form, precision)
    on = max(detector.rules.on, given.get("off", 0.0))
    rules = replace(detector.rules, **{"on": on, **given})
    print(f"{detector.describe()}, on {rules.on:g}", flush=True)
    if arguments.live:
        listen(detector, rules.on, arguments.microphone)
    for name, path in files.items():
        rate = audio.inspect(path).sample_rate
        blocks = audio.read_blocks(path)
        blocks = audio.resample_blocks(blocks, rate, detector.sample_rate)
        with working(f"listening to {name}"):
            scores = detector.timeline(blocks)
        events = scores.events(rules)
        print(f"\n{path}\n{timeline.events_table(events)}")
        if arguments.output_folder is not None:
            target = arguments.output_folder / Path(name).with_suffix("")
            timeline.write_csv(f"{target}.csv", events)
            timeline.write_audacity(f"{target}.txt", events)
            timeline.draw(f"{target}.png", scores, events)


def recordings(source):
    """Return the recordings of a file or folder by relative name."""
    if source.is_file():
        return {source.name: source}
    files = find_audio(source).files if source.is_dir() else {}
    if not files:
        raise UserError(f"{source}: no recording there")
    return files


def listen(detector, on, microphone):
    """Print what the microphone hears whenever it changes, until Ctrl-C."""
    stream, seconds, last = detector.stream(), 0.0, None
    device = choose_device(microphone, "input")
    for block in heard(detector.sample_rate, device):
        seconds += len(block) / detector.sample_rate
        for row in stream.feed(block):
            best = int(row.argmax())
            name = detector.class_names[best] if row[best] >= on else "-"
            if name != last:
                chance = f"{100 * row[best]:5.1f} %"
                print(f"{seconds:9.2f} s  {name:24} {chance}", flush=True)
            last = name


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
