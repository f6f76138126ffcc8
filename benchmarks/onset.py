#!/usr/bin/env python3
"""Measure how long after its onset a detector says what a sound is.

    python benchmarks/onset.py MODEL [MODEL ...] --data_folder ESC [--fold 1]

Each labelled clip is cut at its onset, the first 10 ms within 30 dB of the
loudest, and follows two seconds of faint noise, as a microphone gives it. The
stream takes it hop by hop, with no memory of other clips. Late is the time
from the onset to the end of the sound that the first score for the right
class of at least --on was computed from: all of the delay but for the time to
compute. A score that was up on the noise alone says nothing; such clips are
counted apart.
"""

import argparse
from pathlib import Path
import sys

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgebrain.checks import Number  # noqa: E402
from edgebrain.command_line import exit_on_user_error  # noqa: E402
from edgebrain.data import audio  # noqa: E402
from edgebrain.events.detector import load_detector  # noqa: E402
from edgebrain.events.evaluation import find_clips  # noqa: E402
import numpy as np  # noqa: E402

#: What the aim is, in seconds.
SOON = 0.5
_LEAD, _FAINT = 2.0, 3e-4
_BLOCK, _RANGE_DB = 0.01, 30.0


def onset(wav, rate):
    """Return the sample where a sound starts."""
    size = round(_BLOCK * rate)
    blocks = wav[: len(wav) // size * size].reshape(-1, size)
    power = np.square(blocks, dtype=np.float64).mean(1)
    return size * int(np.argmax(power >= power.max() * 10 ** (-_RANGE_DB / 10)))


def lateness(detector, wav, label, on, rng):
    """Return seconds from the onset to the first right score.

    None: the score was up before; infinity: it never was.
    """
    rate, hop = detector.sample_rate, detector.setup.signal.hop_length
    lead = (_FAINT * rng.standard_normal(round(_LEAD * rate))).astype("f4")
    wav = np.concatenate([lead, wav[onset(wav, rate) :]])
    place, stream = detector.class_names.index(label), detector.stream()
    up = False
    for start in range(0, len(wav), hop):
        late = (start + hop - len(lead)) / rate
        if up and late > 0:
            return None
        for row in stream.feed(wav[start : start + hop]):
            up = bool(row[place] >= on)
            if up and late > 0:
                return late
    return np.inf


def describe(late):
    """Return the cells of a row for some lateness."""
    clips, late = len(late), np.array([x for x in late if x is not None])
    before = clips - len(late)
    if not len(late):
        return f"{clips:6d} {before:10d}"
    middle, most = np.quantile(late, [0.5, 0.9], method="lower")
    soon = 100 * np.mean(late <= SOON)
    times = f"{soon:10.1f} % {middle:9.2f} s {most:9.2f} s"
    return f"{clips:6d} {before:10d} {times}"


def parse(argv):
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL")
    add("--data_folder", required=True)
    add("--csv_file")
    add("--fold", type=Number(whole=True, least=1))
    add("--on", type=Number(least=0), default=0.5, help="default: 0.5")
    add("--form", default="stream", help="default: stream")
    add("--precision")
    return parser.parse_args(argv)


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    clips = find_clips(
        arguments.data_folder, arguments.csv_file, arguments.fold
    )
    for model in arguments.models:
        form, precision = arguments.form, arguments.precision
        detector = load_detector(model, form, precision)
        found, rng = {}, np.random.default_rng(0)
        for clip in clips:
            for label in set(clip.labels) & set(detector.class_names):
                wav = audio.read_at(clip.path, detector.sample_rate)
                late = lateness(detector, wav, label, arguments.on, rng)
                found.setdefault(label, []).append(late)
        print(f"{detector.describe()}; on: {arguments.on:g}\n")
        soon = f"in {SOON:g} s"
        head = f"{'up before':>10} {soon:>12} {'median':>11} {'9 of 10':>11}"
        print(f"{'':18}{'clips':>6} {head}")
        for label in sorted(found):
            print(f"{label:18}{describe(found[label])}")
        print(f"{'all':18}{describe(sum(found.values(), []))}\n", flush=True)


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
