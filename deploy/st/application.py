"""ST's audio application on the STM32N6: whether a model fits it.

The application records, computes features on the processor, runs a patch
model on the accelerator, and plays masked sound or prints a class. A header
tells it how; what it cannot do is a reason why there is none.
"""

from pathlib import Path

from edgebrain.onnx.graph import QUANTIZE, SHAPES, Graph, label
import onnx

from deploy.st import event_application, speech_application
from deploy.st.application_header import Application, Unfit, plain


def fit(
    graph: Graph,
    silence_db: float = -50.0,
    unknown_below: float | None = None,
) -> Application:
    """Return how the application runs a model.

    Enhancement: output below ``silence_db`` is set to zero. Events: a
    probability that is not above ``unknown_below`` is called unknown.
    """
    card = graph.metadata
    frames = (graph.known_shape(graph.inputs[0]) or [None])[-1]
    if card.form != "patch" or frames is None:
        raise Unfit(
            f"it runs patches, the model is in {card.form} form: export "
            "the patch form; a stream runs in firmware of your own, or by "
            "deploy/c_engine.py"
        )
    signal = card.signal
    if signal.n_fft & (signal.n_fft - 1):
        raise Unfit(f"its FFT takes powers of two, n_fft is {signal.n_fft}")
    if signal.peak_normalize:
        raise Unfit("it cannot do the peak_normalize of the training")
    if not graph.quantized:
        raise Unfit("it gives int8 features: quantize the model")
    front = _float_front(graph)
    if front is not None:
        raise Unfit(
            f"it gives int8 features, and {label(front)} computes on them in "
            "float: train with int8_step, or without it (prologue: linear), or "
            "run the model in firmware of your own"
        )
    if card.task == "enhancement":
        return speech_application.fit(card, frames, silence_db)
    if card.task == "events":
        return event_application.fit(card, frames, unknown_below)
    raise Unfit(f"it has no use for a model of {plain(card.task)}")


def adapted(
    graph: Graph, application: Application | Unfit, folder: Path
) -> Graph:
    """Return the graph to hand off.

    The application may want another last operator, behind the first output:
    then the graph is of a new file in the folder.
    """
    if isinstance(application, Unfit) or not application.last:
        return graph
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    output, last = model.graph.output[0], application.last
    name = f"{output.name}_{last.lower()}"
    node = onnx.helper.make_node(last, [output.name], [name], name)
    model.graph.node.append(node)
    output.name = name
    path = folder / graph.path.name
    onnx.save(model, path)
    return Graph.read(path)


def _float_front(graph: Graph):
    """Return a node between the input and its quantization, if any."""
    todo = list(graph.consumers[graph.inputs[0]])
    while todo:
        node = todo.pop()
        if node.op_type in SHAPES:
            todo += graph.consumers[node.output[0]]
        elif node.op_type != QUANTIZE:
            return node
    return None
