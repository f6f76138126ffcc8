#!/usr/bin/env python3
"""Write an NNSE network as C tables for Ambiq's NNSE runtime.

    python deploy/nnse_tables.py results/nnse/1234 --net_id 3 --net_name se

MODEL is the float32 stream (stream.onnx) of an NNSE network with 72 mel
bands, or a results folder that it was exported into. The folder written holds
def_nn3_se.h and def_nn3_se.c in the layout of AmbiqAI/nnse of
2023-07-07, the window and mel tables, and nnse_tables.json, by which
evaluate.py and enhance.py score the very C file as that runtime computes it.
"""

import argparse
import json
from pathlib import Path
import re
import shlex
import sys

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgebrain.checks import Number  # noqa: E402
from edgebrain.command_line import (  # noqa: E402
    exit_on_user_error,
    read_options,
    script_parser,
)


def parse(argv):
    """Return the arguments of the command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL")
    add(
        "--net_id", type=Number(whole=True, least=0), required=True, metavar="N"
    )
    add("--net_name", type=identifier, required=True, metavar="NAME")
    add(
        "--output_folder",
        type=Path,
        metavar="D",
        help="default: beside the model, nnse_NAME",
    )
    return read_options(parser, argv)


def identifier(text):
    """Return a name that C takes."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: not a C identifier, such as se"
        )
    return text


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    from edgebrain.enhancement.forms.nnse_runner import MARKER, load_tables
    from edgebrain.files import check_folder, whole_folder

    from deploy.nnse.fixed_point import quantize_layers
    from deploy.nnse.network import find_model, read_network

    net_id, name = arguments.net_id, arguments.net_name
    path = find_model(arguments.model)
    folder = arguments.output_folder or path.with_name(f"nnse_{name}")
    check_folder(folder, MARKER)
    network = read_network(path)
    layers = quantize_layers(network.layers)
    texts = make_texts(net_id, name, network, layers)
    with whole_folder(folder, MARKER) as new:
        for file, text in texts.items():
            (new / file).write_text(text, encoding="utf-8")
        check_written(load_tables(new), layers)
    report(folder, network, layers)


def make_texts(net_id, name, network, layers):
    """Return the files by name."""
    from edgebrain.enhancement.forms.nnse_runner import MARKER

    from deploy.nnse import fixed_point, source

    stem = f"def_nn{net_id}_{name}"
    source_file, front_end = f"{stem}.c", f"{stem}_front_end.c"
    signal = network.metadata.signal
    mean, invstd = fixed_point.quantize_statistics(network)
    # Mel triangles in Q15; 1.0 becomes 32767.
    filters = fixed_point.to_fixed(network.filters, 15, "int16")
    metadata = network.metadata.replace(precision="int16x8")
    facts = {
        "header_version": source.HEADER_VERSION,
        "net_id": net_id,
        "net_name": name,
        "source": source_file,
        "front_end": front_end,
        "metadata": metadata.to_properties(),
    }
    return {
        f"{stem}.h": source.header(net_id, name),
        source_file: source.source(net_id, name, layers, mean, invstd, signal),
        front_end: source.front_end(name, filters, signal),
        MARKER: json.dumps(facts, indent=2) + "\n",
    }


def check_written(runner, layers):
    """Compare the weights read back from the C file with those written."""
    import numpy as np

    for got, wanted in zip(runner.layers, layers, strict=True):
        for field in ("kernel", "recurrent", "bias"):
            a, b = getattr(got, field), getattr(wanted, field)
            if (a is None) != (b is None) or not np.array_equal(a, b):
                raise AssertionError(f"{field} of a layer changed in C")


def report(folder, network, layers):
    """Print what was written, and what it takes."""
    weights = sum(
        part.nbytes
        for layer in layers
        for part in (layer.kernel, layer.recurrent, layer.bias)
        if part is not None
    )
    print(f"{folder}: {len(layers)} layers, {weights:,} bytes of tables")
    for index, layer in enumerate(layers):
        kernel = network.layers[index].kernel
        lost = abs(kernel - layer.kernel / 2.0**layer.q_kernel).max()
        print(
            f"  {index} {layer.kind:<4} {layer.kernel.shape[-1]:>3} -> "
            f"{layer.units:<3} {layer.activation:<7} weights Q"
            f"{layer.q_kernel}, input Q{layer.q_input}, bias Q{layer.q_bias}, "
            f"largest error of a weight {lost:.2g}"
        )
    if network.context != 6:
        print(
            f"  note: the first layer takes {network.context} frames; the "
            "runtime stacks 6: change its number of context frames"
        )
    name = shlex.quote(str(folder))
    print(f"score it: python evaluate.py {name} --noisy_folder N ...")


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
