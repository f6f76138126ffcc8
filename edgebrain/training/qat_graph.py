"""Where onnxruntime will round, found in a network's own code.

The code is followed down to its layers by torch.fx. The rules are those of
onnxruntime's QDQ quantizer on the graph that the code is exported to.
"""

import operator

from edgebrain.errors import UserError
from edgebrain.models.blocks import LSTMStack
import torch
from torch import fx, nn
from torch.nn import functional as F

LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
NORMS = nn.modules.batchnorm._BatchNorm
_CLIPS = (nn.ReLU, nn.ReLU6, nn.Hardtanh)
_OPERATIONS = (*_CLIPS, nn.PReLU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh)
_FUNCTIONS = {
    *(torch.relu, F.relu, F.relu6, torch.sigmoid, torch.tanh),
    *(operator.add, operator.iadd, operator.mul, operator.imul, operator.sub),
    *(torch.add, torch.mul, torch.sub, torch.cat, torch.concat),
}
_CLIP_FUNCTIONS = {torch.relu, F.relu, F.relu6, "relu", "relu_"}
_METHODS = {"relu", "relu_", "sigmoid", "tanh", "add", "mul", "sub"}
_PASSING_MODULES = (
    *(nn.Dropout, nn.Dropout1d, nn.Identity, nn.Flatten, nn.ConstantPad1d),
)
_PASSING = {
    *(operator.getitem, F.pad, F.dropout, torch.squeeze, torch.unsqueeze),
    *(torch.transpose, torch.permute, torch.reshape, torch.flatten),
    *("transpose", "permute", "reshape", "view", "squeeze", "unsqueeze"),
    *("contiguous", "flatten"),
}
_BARE = {F.conv1d, F.conv2d, F.linear, torch.matmul, operator.matmul}


def follow(model: nn.Module) -> tuple[fx.GraphModule, list[str], dict]:
    """Return where a network's values are rounded.

    A traced module that shares its layers with the model; the names of its
    nodes whose output is rounded; and of each node that is an LSTM of this
    project its number of layers. UserError when the code depends on values,
    multiplies with weights outside a layer, or has no layer.
    """
    name = type(model).__name__
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # whatever the network's code raises
        raise UserError(
            f"quantization_aware: {name} cannot be traced ({error}): its "
            "forward must not depend on values or sizes"
        ) from error
    traced = fx.GraphModule(model, graph)
    kinds = {node: _kind(node, traced) for node in graph.nodes}
    bare = sorted({n.name for n, k in kinds.items() if k == "bare"})
    if bare:
        raise UserError(
            f"quantization_aware: {name} multiplies with weights outside "
            f"a layer ({', '.join(bare)}): use nn.Conv1d or nn.Linear"
        )
    if not {"layer", "cell"} & set(kinds.values()):
        raise UserError(f"quantization_aware: {name} has no layer to round")
    points = [node.name for node in _points(graph, kinds)]
    cells = {
        node.name: traced.get_submodule(node.target).lstm.num_layers
        for node, kind in kinds.items()
        if kind == "cell"
    }
    return traced, points, cells


class _Tracer(fx.Tracer):
    """Follows a network down to its layers."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        leaf = isinstance(module, (*LAYERS, LSTMStack, nn.RNNBase))
        front = name.rpartition(".")[2] == "front_end"
        return leaf or front or super().is_leaf_module(module, name)


def _kind(node: fx.Node, traced: fx.GraphModule) -> str:
    """Return what a node is to the quantizer.

    ``input``, ``layer``, ``norm``, ``clip``, ``operation``, ``cell``,
    ``passing``, ``bare`` (weights without a layer) or ``other``.
    """
    if node.op == "placeholder":
        return "input"
    if node.op == "call_module":
        module = traced.get_submodule(node.target)
        for kind, classes in {
            "layer": LAYERS,
            "norm": NORMS,
            "clip": _CLIPS,
            "operation": _OPERATIONS,
            "cell": LSTMStack,
            "recurrent": nn.RNNBase,
            "passing": _PASSING_MODULES,
        }.items():
            if isinstance(module, classes):
                return kind
        return "other"
    if node.op in ("call_function", "call_method"):
        if node.target in _CLIP_FUNCTIONS:
            return "clip"
        if node.target in _FUNCTIONS or node.target in _METHODS:
            return "operation"
        if node.target in _PASSING:
            return "passing"
        if node.target in _BARE:
            return "bare"
    return "other"


def _points(graph: fx.Graph, kinds: dict) -> list[fx.Node]:
    """Return the nodes whose output is rounded, as onnxruntime does it.

    Inputs and outputs of each quantized operation, but not those between a
    layer, its norm and its ReLU, which are one operation in integers; in the
    prologue, nothing but the features that it hands on.
    """
    weighted = ("layer", "cell", "recurrent", "bare")
    front: set[fx.Node] = set()
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if kinds[node] == "input" or (
            inputs
            and kinds[node] not in weighted
            and all(i in front for i in inputs)
        ):
            front.add(node)
    chosen: dict[fx.Node, None] = {}
    for node in graph.nodes:
        quantized = kinds[node] in ("layer", "norm", "clip", "operation")
        if node in front or not (quantized or kinds[node] == "cell"):
            continue
        for source in node.all_input_nodes:
            while kinds[source] == "passing" and source not in front:
                source = source.all_input_nodes[0]
            if kinds[source] != "cell" and source.op != "get_attr":
                chosen[source] = None
        if quantized:
            chosen[node] = None
    return [n for n in chosen if not _goes_on(n, kinds)]


def _goes_on(node: fx.Node, kinds: dict) -> bool:
    """Tell whether the next node alone uses it and is merged with it."""
    user = node
    while len(user.users) == 1:
        user = next(iter(user.users))
        if kinds.get(user) != "passing":
            break
    else:
        return False
    if kinds[node] == "layer" and kinds.get(user) == "norm":
        return True
    return kinds[node] in ("layer", "norm", "operation") and (
        kinds.get(user) == "clip"
    )
