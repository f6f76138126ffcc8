#!/usr/bin/env python3
r"""Quantize an exported network to int8, or to int16 with int8 weights.

    python quantize.py export/stream.onnx --calibration_folder noisy
    python quantize.py export/offline.onnx --calibration_folder noisy \
        --precision int16x8

MODEL is a float32 ONNX file of any form, also of others when its signal
settings are given. The folder holds noisy recordings like those the network
will hear; ranges are learnt from some of them, and the result is compared
with the float network on others. evaluate.py and enhance.py take the file
that is written as they take the float one.
"""

import ast
import dataclasses
from pathlib import Path
import sys

from edgebrain.checks import Number, switch
from edgebrain.command_line import (
    add_signal_arguments,
    exit_on_user_error,
    model_arguments,
    read_options,
    script_parser,
)
from edgebrain.errors import UserError
from edgebrain.progress import working


def parse(argv):
    """Return the arguments of the command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL")
    add("--calibration_folder", required=True, metavar="NOISY")
    add(
        "--output",
        type=Path,
        metavar="FILE",
        help="default: beside MODEL, named after the precision",
    )
    add("--precision", default="int8", help="int8 (default) or int16x8")
    add(
        "--overwrite",
        action="store_true",
        help="replace files made of other weights",
    )
    add = parser.add_argument_group("calibration").add_argument
    add(
        "--num_quantization_samples",
        type=Number(whole=True, least=1),
        default=100,
        metavar="N",
        help="clips (default: 100)",
    )
    add(
        "--random_seed",
        type=Number(whole=True, least=0),
        default=42,
        metavar="N",
        help="default: 42",
    )
    add(
        "--clip_seconds",
        type=Number(least=0.1),
        default=4.0,
        metavar="S",
        help="longest part of a clip (default: 4)",
    )
    add(
        "--calibration_method",
        default="MinMax",
        metavar="NAME",
        help="MinMax (default), Entropy or Percentile",
    )
    add(
        "--learned_ranges",
        metavar="RESULTS",
        help="results folder of a quantization-aware training, which MODEL "
        "was exported from: its ranges are taken",
    )
    add = parser.add_argument_group("what is quantized").add_argument
    add(
        "--per_channel",
        type=switch,
        default=True,
        metavar="BOOL",
        help="a scale an output channel of weights (default: True)",
    )
    add("--reduce_range", action="store_true", help="weights of 7 bits")
    add("--op_types_to_quantize", nargs="+", default=[], metavar="OPERATOR")
    add("--nodes_to_exclude", nargs="+", default=[], metavar="NODE")
    add(
        "--float_prologue",
        type=switch,
        default=True,
        metavar="BOOL",
        help="keep what lies in front of the first layer in float "
        "(default: True)",
    )
    add(
        "--float_cell",
        type=switch,
        default=True,
        metavar="BOOL",
        help="keep the cell state of an LSTM in float (default: True)",
    )
    add(
        "--extra_options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="of onnxruntime's quantize_static, as CalibMovingAverage=False",
    )
    add = parser.add_argument_group("static shapes").add_argument
    add(
        "--static_sequence_length",
        type=Number(whole=True, least=1),
        metavar="N",
        help="of an offline form: write a file for N frames too",
    )
    add(
        "--static_axis_name",
        metavar="NAME",
        help="axis of frames (default: as the input names it)",
    )
    add_signal_arguments(parser)
    return read_options(parser, argv, check)


def extra_options(words):
    """Return options of NAME=VALUE words, values as Python writes them."""
    options = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"--extra_options {word}: write NAME=VALUE")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise UserError(
                f"--extra_options {word}: {value!r} is no Python value such "
                "as True, 99.9 or ['Add']"
            ) from None
    return options


def check(arguments):
    """Refuse what needs no model to be told."""
    from edgebrain.onnx.quantization_calibration import check_calibration

    settings_of(arguments)
    check_calibration(arguments.calibration_folder)


def settings_of(arguments):
    """Return what is to be quantized, and how."""
    from edgebrain.onnx.quantization import QuantizationSettings

    names = [field.name for field in dataclasses.fields(QuantizationSettings)]
    given = {name: getattr(arguments, name) for name in names}
    given["extra_options"] = extra_options(arguments.extra_options)
    return QuantizationSettings(**given)


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    # Slow to import: after the command line is known to be right.
    from edgebrain.onnx import quantization as q
    from edgebrain.onnx.quantization_calibration import read_clips
    from edgebrain.onnx.quantization_static import check_static, write_static

    settings = settings_of(arguments)
    signal = model_arguments(arguments)
    signal.pop("precision")  # not of the file, but of what is made of it
    source = q.load_source(arguments.model, **signal)
    stem, suffix = arguments.model.stem, settings.precision
    target = arguments.model.with_name(f"{stem}_{suffix}.onnx")
    target = arguments.output or target
    frames, axis = arguments.static_sequence_length, arguments.static_axis_name
    static = target.with_name(f"{target.stem}_static.onnx")
    q.check_target(source, target, suffix, arguments.overwrite)
    if frames is not None:
        check_static(source, static, frames, axis, suffix, arguments.overwrite)
    clips = read_clips(
        arguments.calibration_folder,
        source.metadata.setup,
        arguments.num_quantization_samples,
        arguments.random_seed,
        arguments.clip_seconds,
    )
    ranges = None
    if arguments.learned_ranges is not None:
        from edgebrain.training.qat import learned_ranges

        ranges = learned_ranges(arguments.learned_ranges, source, suffix)
        print(f"{len(ranges)} ranges learnt in {arguments.learned_ranges}")
    with working(f"quantizing to {target.name}"):
        report = q.quantize(
            source, target, clips, settings, ranges, arguments.overwrite
        )
    print(report.text())
    if frames is not None:
        note = write_static(
            source, target, static, frames, axis, arguments.overwrite
        )
        print(f"\nfor {frames} frames: {static}\n  {note}")


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
