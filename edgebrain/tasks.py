"""What a task must supply, and the tasks by name.

Export, quantization, training, scoring and hand-off are shared by all tasks.
Where they differ the shared rooms ask the :class:`Task` whose name a
checkpoint or an ONNX file carries. This module knows the tasks by the names
of their modules alone and imports one when it is asked for, so that it can
lie below the rooms that use it.

To add a task: write an object with the attributes of :class:`Task` and call
:func:`register` in the module that defines its networks; or let a package
announce it as an entry point of the group ``edgebrain.tasks``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
import importlib
import importlib.metadata
from typing import Any, Protocol

from edgebrain.errors import unknown_name
from edgebrain.signal.settings import SignalSettings
import numpy as np

#: Task to the module whose ``TASK`` it is.
MODULES = {
    "enhancement": "edgebrain.enhancement.task",
    "events": "edgebrain.events.task",
}
#: What files are that were written before there was a second task.
DEFAULT = "enhancement"
#: Entry of ``Setup.features``: what training chose besides weights, by name.
#: Checkpoints of one training may differ in it.
CHOSEN = "chosen"

_registered: dict[str, "Task"] = {}


@dataclass(frozen=True)
class Setup:
    """What a trained network needs besides its weights.

    Every checkpoint and every ONNX file carries it. ``features`` are further
    settings as the task defines them (bands of a mel filter bank, ...), values
    that JSON can hold; ``class_names`` are in the order of the outputs.
    """

    task: str
    signal: SignalSettings
    features: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Port:
    """An input or output of a network, by its name in ONNX files.

    The shape is that of one item, without the batch dimension. The last size
    of a port that moves with time is None: any number of frames.
    """

    name: str
    shape: tuple[int | None, ...]

    @property
    def per_frame(self) -> bool:
        """Whether it has a value for each frame, not one for a window."""
        return self.shape[-1] is None


@dataclass(frozen=True)
class Interface:
    """What goes into a network and what comes out, besides its states.

    The input is ``(channels, None)``; the output a value a frame, such as a
    mask ``(bins, None)``, or one for all frames given, such as class logits
    ``(classes,)``: then ``window`` holds the frames of a window, and those
    from the start of one to the next.
    """

    input: Port
    output: Port
    window: tuple[int, int] | None = None


class Metric(Protocol):
    """How a score is called and printed.

    ``label`` is the head of a column, ``format`` such as ``.2f``.
    """

    name: str
    label: str
    unit: str
    higher_is_better: bool
    format: str


class Model(Protocol):
    """A trained network in any form, behind the interface of its task.

    An Enhancer or a Detector has more: this is what tools ask of both.
    """

    sample_rate: int
    form: str
    precision: str

    @property
    def latency_samples(self) -> int:
        """Delay of a stream in samples."""

    def describe(self) -> str:
        """Return a line for people."""

    def facts(self) -> dict:
        """Return what identifies this form, for metrics.json."""


class Task(Protocol):
    """What the shared rooms ask a task.

    Attributes
    ----------
    baseline : str
        First row of tables, what a network has to beat: ``noisy``, or
        ``chance``.
    metrics : mapping of str to Metric
        All that can be computed, in the order of a table's columns.
    """

    name: str
    baseline: str
    metrics: Mapping[str, Metric]

    def features(self, wav: np.ndarray, setup: Setup) -> np.ndarray:
        """Return what a network is given of a recording, float32.

        (channels, frames) of (samples,) at the rate of the setup; for
        calibration, comparisons of forms and test vectors.
        """

    def interface(self, model: Any, setup: Setup) -> Interface:
        """Return names and shapes of a PyTorch network's input and output."""

    def result(self, features: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return what the SNR of one form against another is measured on.

        ``features`` are (channels, frames), ``output`` is that of the network
        for them: a mask, logits.
        """

    def load(
        self,
        path: Any,
        form: str | None = None,
        precision: str | None = None,
        **settings: Any,
    ) -> Model:
        """Load any form of a trained network.

        ``settings`` are those of files without metadata, and ``threads``.
        """

    def add_arguments(self, parser: Any) -> None:
        """Add what evaluate.py needs to know, all of it optional."""

    def check(self, arguments: Any) -> None:
        """Look for what is to be scored, before any model is loaded."""

    def evaluate(
        self, models: Mapping[str, Model], arguments: Any, folder: Any
    ) -> str:
        """Score models, by row; write their results, return the table.

        ``arguments`` hold what :meth:`add_arguments` added; ``metrics`` (names,
        None: the usual ones), ``n_jobs``; ``report`` (whether report.html is
        wanted) and ``report_clips``.
        """


def register(task: Task) -> None:
    """Make a task known by its name, in place of one of the same name."""
    _registered[task.name] = task


def find(name: str) -> Task:
    """Return a task by its name."""
    if name in _registered:
        return _registered[name]
    if name in MODULES:
        return importlib.import_module(MODULES[name]).TASK
    others = importlib.metadata.entry_points(group="edgebrain.tasks")
    if name in others.names:
        return others[name].load()
    raise unknown_name("task", name, {*MODULES, *_registered, *others.names})


def higher_is_better(task: Task, key: str) -> bool:
    """Return the direction of a metric, or of ``loss``, which is a cost."""
    if key == "loss":
        return False
    if key not in task.metrics:
        raise unknown_name("metric", key, [*task.metrics, "loss"])
    return task.metrics[key].higher_is_better
