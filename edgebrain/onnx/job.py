"""What every export does: check, trace, tidy, compare, and only then write."""

import copy
from dataclasses import dataclass
import importlib.metadata
import io
from pathlib import Path
import warnings

import edgebrain
from edgebrain import tasks
from edgebrain.errors import UserError, shorten
from edgebrain.files import replacing
from edgebrain.models import check_output, model_traits
from edgebrain.onnx import files
from edgebrain.onnx.graph import Graph
from edgebrain.onnx.metadata import GraphMetadata
from edgebrain.onnx.runner import OnnxRunner
from edgebrain.onnx.session import make_session
from edgebrain.onnx.tidy import tidy
from edgebrain.signal.probe import speech_like
from edgebrain.tasks import Setup
import numpy as np
import onnx
import torch
from torch import nn

OPSETS = range(13, 21)
IR_VERSION = 8
#: Largest difference of an output from PyTorch.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Exported:
    """An exported file and how well it agrees.

    It takes ``frames`` a call (None: any number) and owes outputs of
    ``lookahead_frames`` (None: of the whole clip). ``difference`` is the
    largest of its outputs from those of the network; ``notes`` are for its
    user.
    """

    path: Path
    metadata: GraphMetadata
    frames: int | None
    difference: float
    weight_bytes: int
    state_bytes: int
    lookahead_frames: int | None
    operators: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def latency_samples(self) -> int | None:
        """Delay with the signal path; None: the whole clip is needed."""
        if self.lookahead_frames is None:
            return None
        signal = self.metadata.signal
        ahead = self.lookahead_frames * signal.hop_length
        return signal.latency_samples + ahead


@dataclass(frozen=True)
class ExportOptions:
    """What all forms are exported with.

    Arguments
    ---------
    opset : int
        13 to 20.
    checkpoint_sha256 : str
        Of the weights; empty: not from a file.
    overwrite : bool
        Replace a file made of other weights, or without metadata.
    wav : numpy.ndarray, optional
        Recording (samples,) for the comparison; None: see :func:`probe`.
    """

    opset: int = 17
    checkpoint_sha256: str = ""
    overwrite: bool = False
    wav: np.ndarray | None = None


def probe(
    setup: Setup, frames: int, wav: np.ndarray | None = None
) -> np.ndarray:
    """Return real features, float32 (channels, frames), to compare forms on.

    Of a recording, repeated as often as needed, or of a speech-like signal.
    """
    signal, task = setup.signal, tasks.find(setup.task)
    count = frames * signal.hop_length + signal.win_length
    if wav is None:
        wav = speech_like(count / signal.sample_rate, signal.sample_rate)
    wav = np.tile(wav, -(-count // len(wav)))[:count]
    features = task.features(wav, setup)
    # Features may leave silence out.
    times = -(-frames // features.shape[1])
    return np.ascontiguousarray(np.tile(features, times)[:, :frames])


def check_opset(opset: int) -> None:
    """Refuse an operator set that is not supported."""
    if opset not in OPSETS:
        raise UserError(
            f"opset {opset} is out of range: {OPSETS[0]} to {OPSETS[-1]} "
            "(embedded tools read up to 20)"
        )


def check_weights(model: nn.Module) -> None:
    """Refuse a network whose weights are not finite."""
    bad = [
        name
        for name, value in model.state_dict().items()
        if value.is_floating_point() and not torch.isfinite(value).all()
    ]
    if bad:
        raise UserError(
            f"{type(model).__name__}: NaN or infinite weights in "
            f"{shorten(bad)}: take another checkpoint"
        )


class Job:
    """One export: what is checked first, traced, compared and written.

    Its ``model`` is a copy on the CPU, in evaluation mode.
    """

    def __init__(
        self,
        model: nn.Module,
        setup: Setup,
        path: str | Path,
        form: str,
        options: ExportOptions,
    ):
        check_opset(options.opset)
        made_of = {"checkpoint_sha256": options.checkpoint_sha256}
        problem = files.refusal(path, options.overwrite, made_of)
        if problem:
            raise UserError(f"{problem}; give --overwrite to replace it")
        if isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        # A copy: what belongs to a training stays on its device and mode.
        self.model = copy.deepcopy(model).cpu().float().eval()
        self.model.requires_grad_(False)
        self.setup, self.form, self.options = setup, form, options
        self.path, self.traits = Path(path), model_traits(model)
        self.task = tasks.find(setup.task)
        interface = self.task.interface(self.model, setup)
        self.input, self.output = interface.input, interface.output
        self.window = interface.window
        check_weights(self.model)
        check_output(self.model, interface)

    def probe(self, frames: int) -> np.ndarray:
        """Return features of speech, (channels, frames)."""
        return probe(self.setup, frames, self.options.wav)

    def forward(self, features: np.ndarray) -> np.ndarray:
        """Return PyTorch's output for features (batch, channels, frames)."""
        with torch.no_grad():
            return self.model(torch.from_numpy(features)).numpy()

    def output_shape(self, batch, frames) -> tuple:
        """Return the shape of an output, for names or numbers."""
        shape = (frames if n is None else n for n in self.output.shape)
        return (batch, *shape)

    def trace(self, module, inputs, outputs, dynamic=False):
        """Return the tidied graph of a module.

        ``inputs`` are named tensors in the order of its arguments, ``outputs``
        shapes in that of its results; ``dynamic`` leaves batch and frames free.
        """
        axes = {0: "batch", 2: "frames"}
        names = [self.input.name, self.output.name]
        buffer = io.BytesIO()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                # The other exporter gives LSTMs a wrong shape silently.
                torch.onnx.export(
                    module.eval(),
                    tuple(inputs.values()),
                    buffer,
                    dynamo=False,
                    # Folds no norms: weights keep their names until tidy.
                    training=torch.onnx.TrainingMode.PRESERVE,
                    opset_version=self.options.opset,
                    input_names=list(inputs),
                    output_names=list(outputs),
                    dynamic_axes=dict.fromkeys(names, axes)
                    if dynamic
                    else None,
                )
            except Exception as error:
                first = str(error).strip().splitlines()[:1]
                raise UserError(
                    f"{type(self.model).__name__}: torch cannot export it at "
                    f"opset {self.options.opset}: {''.join(first)}"
                ) from error
        proto = onnx.load_from_string(buffer.getvalue())
        proto.ir_version = IR_VERSION
        _strip_prefix(proto, "model.")
        proto.graph.name = f"{type(self.model).__name__}_{self.form}"
        for value in proto.graph.output:
            shape = outputs[value.name]
            kind = onnx.TensorProto.FLOAT
            value.CopyFrom(
                onnx.helper.make_tensor_value_info(value.name, kind, shape)
            )
        proto = tidy(proto)
        files.check_structure(proto, static=not dynamic)
        return proto

    def finish(
        self, proto, frames, compare, notes=(), states=(), context=None
    ) -> Exported:
        """Write the file if the comparison holds.

        ``compare(runner)`` gives the largest difference, and may add to
        ``notes``.
        """
        card = self._metadata(states, context)
        files.write_card(proto, card)
        notes = notes if isinstance(notes, list) else list(notes)
        data = proto.SerializeToString()
        runner = OnnxRunner(self.path, make_session(data), card)
        difference = compare(runner)
        if not difference <= TOLERANCE:
            raise UserError(
                f"{self.path}: not written, for its output differs from "
                f"PyTorch's by {difference:.2g} (allowed {TOLERANCE:g}): "
                "look for Python numbers made of shapes, random numbers, or "
                "conditions on values in the network's code"
            )
        with replacing(self.path) as temporary:
            temporary.write_bytes(data)
        counts = files.operators(proto)
        kept = [n for n in ("LSTM", "GRU", "RNN") if n in counts]
        if kept:
            notes.append(
                f"holds the operator {', '.join(kept)}: embedded tools import "
                "none of these in int8; the stream of a shipped network is "
                "written as a cell instead"
            )
        return Exported(
            path=self.path,
            metadata=card,
            frames=frames,
            difference=difference,
            weight_bytes=Graph(proto, self.path).weight_bytes,
            state_bytes=sum(4 * int(np.prod(s["shape"])) for s in states),
            lookahead_frames=runner.lookahead_frames,
            operators=counts,
            notes=tuple(notes),
        )

    def _metadata(self, states, context) -> GraphMetadata:
        model = self.model
        config = getattr(model, "config", None)
        packages = ("torch", "onnx", "onnxruntime")
        versions = {name: importlib.metadata.version(name) for name in packages}
        return GraphMetadata(
            model_class=f"{type(model).__module__}.{type(model).__name__}",
            model_arguments=None if config is None else config(),
            task=self.setup.task,
            signal=self.setup.signal,
            features=self.setup.features,
            class_names=self.setup.class_names,
            checkpoint_sha256=self.options.checkpoint_sha256,
            form=self.form,
            states=tuple(states),
            lookahead_frames=self.traits.lookahead_frames,
            context=context,
            receptive_field_frames=self.traits.receptive_field_frames,
            versions={"edgebrain": edgebrain.__version__, **versions},
        )


def _strip_prefix(proto, prefix: str) -> None:
    """Name weights alike, whether or not a wrapper was traced."""
    for tensor in proto.graph.initializer:
        if tensor.name.startswith(prefix):
            short = tensor.name.removeprefix(prefix)
            for node in proto.graph.node:
                for i, name in enumerate(node.input):
                    if name == tensor.name:
                        node.input[i] = short
            tensor.name = short


def distance(got: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference; NaN counts as infinite."""
    if got.shape != wanted.shape:
        raise UserError(
            f"the exported graph gives an output of shape {got.shape}, the "
            f"network one of {wanted.shape}"
        )
    worst = float(np.abs(got - wanted).max(initial=0.0))
    return worst if np.isfinite(worst) else float("inf")
