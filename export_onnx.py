#!/usr/bin/env python3
"""Export a trained model as ONNX files that run elsewhere.

    python export_onnx.py results/tcnn/1234
    python export_onnx.py results/tcnn/1234 --forms patch --context 14 14

offline.onnx takes any number of frames, patch.onnx one window of a fixed
number of frames, stream.onnx (causal models) the next frames and its states.
Each file is compared with PyTorch on real frames before it appears, and says
in its metadata how it is run; evaluate.py, enhance.py and quantize.py take it
as it is.
"""

from pathlib import Path
import sys

from edgebrain.checks import Number
from edgebrain.command_line import (
    exit_on_user_error,
    read_options,
    script_parser,
)
from edgebrain.errors import UserError
from edgebrain.progress import working

FORMS = ("offline", "patch", "stream")
OPSETS = range(13, 21)


def parse(argv):
    """Return the arguments of the command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("results", metavar="RESULTS", help="results/<name>/<seed>")
    add(
        "--output_folder",
        type=Path,
        metavar="E",
        help="default: RESULTS/export",
    )
    add(
        "--checkpoint",
        metavar="CKPT",
        help="name or folder of a checkpoint (default: the best)",
    )
    add(
        "--forms",
        nargs="+",
        choices=FORMS,
        help="default: those that the model can have",
    )
    add(
        "--opset",
        type=int,
        choices=OPSETS,
        default=17,
        metavar="N",
        help="13 to 20, which is what embedded tools read (default: 17)",
    )
    add(
        "--frames_per_patch",
        type=Number(whole=True, least=1),
        default=30,
        metavar="N",
        help="new frames of a patch, without context (default: 30)",
    )
    add(
        "--context",
        type=Number(whole=True, least=0),
        nargs="+",
        metavar="FRAMES",
        help="frames around a patch, left and right; one number: both sides, "
        "of a causal model left (default: the receptive field)",
    )
    add(
        "--stream_frames",
        type=Number(whole=True, least=1),
        default=1,
        metavar="N",
        help="frames a call of the stream (default: 1)",
    )
    add(
        "--audio",
        type=Path,
        metavar="FILE",
        help="compare on this recording, not on a synthetic voice",
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace files that were made of another checkpoint",
    )
    return read_options(parser, argv, check)


def check(arguments):
    """Refuse what needs no model to be told."""
    if arguments.audio is not None:
        from edgebrain.data import audio

        audio.inspect(arguments.audio)
    if len(arguments.context or []) > 2:
        raise UserError("--context takes one number or two, left and right")


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    # Slow to import: after the command line is known to be right.
    from edgebrain import tasks
    from edgebrain.models.complexity import describe, window_table
    from edgebrain.onnx.files import refusal
    from edgebrain.training.results import load_model

    loaded = load_model(arguments.results, arguments.checkpoint)
    print(f"checkpoint  {loaded.info.line()}")
    task = tasks.find(loaded.setup.task)
    interface = task.interface(loaded.model, loaded.setup)
    if interface.window is None:
        print(describe(loaded.model, loaded.settings).table())
    else:
        print(window_table(loaded.model, interface))
    folder = arguments.output_folder or Path(arguments.results) / "export"
    jobs, skipped = plan(arguments, loaded.model, loaded.setup)
    paths = {form: folder / f"{form}.onnx" for form in jobs}
    made_of = {"checkpoint_sha256": loaded.sha256}
    found = (
        refusal(path, arguments.overwrite, made_of) for path in paths.values()
    )
    problems = [problem for problem in found if problem]
    if problems:
        raise UserError.collect(
            "nothing is exported; give --overwrite, or another --output_folder",
            problems,
        )
    for form, reason in skipped.items():
        print(f"\n{form}: none. {reason}")
    options = {
        "opset": arguments.opset,
        "checkpoint_sha256": loaded.sha256,
        "overwrite": arguments.overwrite,
        "wav": recording(arguments.audio, loaded.settings.sample_rate),
    }
    for form, export in jobs.items():
        with working(f"exporting {paths[form].name}"):
            done = export(loaded.model, loaded.setup, paths[form], **options)
        report(done)


def plan(arguments, model, setup):
    """Return the exports to do, and why the others are not possible."""
    from functools import partial

    from edgebrain.onnx import export

    context = arguments.context
    if context:
        context = context[0] if len(context) == 1 else tuple(context)
    jobs = {
        "offline": export.export_offline,
        "patch": partial(
            export.export_patch,
            frames_per_patch=arguments.frames_per_patch,
            context=context,
        ),
        "stream": partial(
            export.export_stream, stream_frames=arguments.stream_frames
        ),
    }
    looks = {
        "offline": lambda: export.check_offline(model, setup),
        # Of a network that judges windows, which has no offline form, none.
        "patch": lambda: (
            "offline" in skipped or export.patch_context(model, context)
        ),
        "stream": lambda: export.check_streamable(model),
    }
    skipped = {}
    for form, look in looks.items():
        try:
            look()
        except UserError as error:
            if form == "patch" and context is not None:
                raise
            skipped[form] = str(error)
    wanted = arguments.forms or jobs
    impossible = [skipped[f] for f in wanted if f in skipped]
    if arguments.forms and impossible:
        raise UserError.collect("nothing is exported", impossible)
    skipped = {f: reason for f, reason in skipped.items() if f in wanted}
    return {f: jobs[f] for f in wanted if f not in skipped}, skipped


def recording(path, sample_rate):
    """Return a recording at the model's rate, None without a path."""
    if path is None:
        return None
    from edgebrain.data import audio

    return audio.read_at(path, sample_rate)


def report(exported):
    """Print what one file is and how well it agrees."""
    meta, rate = exported.metadata, exported.metadata.signal.sample_rate
    frames = "any number of" if exported.frames is None else exported.frames
    latency = "the whole clip"
    if exported.latency_samples is not None:
        samples = exported.latency_samples
        latency = f"{samples:,} samples ({1000 * samples / rate:.1f} ms)"
    rows = {
        "frames a call": frames,
        "largest difference": f"{exported.difference:.2g} from PyTorch",
        "weights": f"{exported.weight_bytes:,} bytes",
        "latency": latency,
    }
    if meta.form == "stream":
        rows["states"] = f"{len(meta.states)}, {exported.state_bytes:,} bytes"
    if meta.context is not None:
        left, right = meta.context
        rows["context"] = f"{left} frames left, {right} right"
    names = (f"{n} {name}" for name, n in exported.operators.items())
    rows["operators"] = ", ".join(names)
    print(f"\n{meta.form}: {exported.path}")
    for label, text in rows.items():
        print(f"  {label:<18}  {text}")
    for note in exported.notes:
        print(f"  {note}")


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
