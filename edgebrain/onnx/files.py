"""Reading and judging ONNX files."""

import hashlib
import json
from pathlib import Path

from edgebrain.errors import UserError, shorten
from edgebrain.onnx.metadata import HASH, PREFIX, GraphMetadata

try:
    from google.protobuf.message import DecodeError
    import onnx
    from onnx import numpy_helper
except ModuleNotFoundError as error:
    raise UserError(
        f"{error.name} is not installed: pip install -e '.[onnx]'"
    ) from error


def load(path: str | Path) -> onnx.ModelProto:
    """Read an ONNX file."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        model = onnx.load(path)
    except (DecodeError, OSError, ValueError) as error:
        raise UserError(f"{path}: not an ONNX file ({error})") from None
    except onnx.checker.ValidationError as error:
        raise UserError(f"{path}: cannot be loaded ({error})") from None
    if not model.graph.node or not model.opset_import:
        raise UserError(f"{path}: not an ONNX file (it holds no graph)")
    stated = {p.value for p in model.metadata_props if p.key == HASH}
    if stated and stated != {weights_sha256(model)}:
        raise UserError(
            f"{path}: damaged, its weights are not those that it was written "
            "with: get the file again, or export it again"
        )
    return model


def weights_sha256(model: onnx.ModelProto) -> str:
    """Return a hash of all constants of a graph, in hexadecimal.

    Of names, types, shapes and values of the initializers and Constant
    nodes, in the order of the names. A damaged tensor counts as its bytes.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t") and node.output:
                tensors[f"{node.output[0]}:{attribute.name}"] = attribute.t
    digest = hashlib.sha256()
    # A name that is no UTF-8 comes as bytes.
    for name, tensor in sorted(tensors.items(), key=lambda x: str(x[0])):
        shape = list(tensor.dims)
        digest.update(f"{name} {tensor.data_type} {shape}\n".encode())
        try:
            digest.update(numpy_helper.to_array(tensor).tobytes())
        except (ValueError, TypeError, KeyError):
            digest.update(tensor.SerializeToString())
    return digest.hexdigest()


def write_card(model: onnx.ModelProto, card: GraphMetadata) -> None:
    """Put a card into a model, in place of what it holds.

    With it go the names and shapes of the inputs and outputs as the graph
    states them, and a hash of its weights.
    """
    entries = {
        p.key: p.value
        for p in model.metadata_props
        if not p.key.startswith(PREFIX)
    }
    graph = model.graph
    entries |= card.to_properties()
    entries[PREFIX + "inputs"] = _ports(graph.input)
    entries[PREFIX + "outputs"] = _ports(graph.output)
    entries[HASH] = weights_sha256(model)
    del model.metadata_props[:]
    for key, value in entries.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def _ports(values) -> str:
    """Return names and shapes as JSON; a free dimension by its name."""
    return json.dumps(
        [
            {
                "name": value.name,
                "shape": [
                    d.dim_value if d.HasField("dim_value") else d.dim_param
                    for d in value.type.tensor_type.shape.dim
                ],
            }
            for value in values
        ]
    )


def read_card(path: str | Path) -> GraphMetadata | None:
    """Return the card of an ONNX file, None where there is none."""
    model = load(path)
    return GraphMetadata.from_properties(
        {p.key: p.value for p in model.metadata_props}, str(path)
    )


def refusal(
    path: str | Path, overwrite: bool, made_of: dict[str, str]
) -> str | None:
    """Return why a file must not be written there, None if it may.

    A file whose card says the same of what it is ``made_of`` may be replaced.
    """
    path = Path(path)
    if path.is_dir():
        return f"{path}: is a folder"
    if overwrite or not path.exists():
        return None
    try:
        card = read_card(path)
    except UserError:
        card = None
    if card is None:
        return f"{path}: exists and is no export of this project"
    others = [
        key.removesuffix("_sha256")
        for key, value in made_of.items()
        if getattr(card, key) != value
    ]
    if others:
        return f"{path}: exists, of another {' and '.join(others)}"
    return None


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """Return how often each operator occurs, by name."""
    counts: dict[str, int] = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return dict(sorted(counts.items()))


def check_structure(model: onnx.ModelProto, static: bool) -> None:
    """Verify what an exported file promises; ``static``: fixed shapes too."""
    problems = []
    try:
        onnx.checker.check_model(model, full_check=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        problems.append(f"the ONNX checker refuses it: {error}")
    domains = [o.domain for o in model.opset_import if o.domain]
    domains += [n.domain for n in model.graph.node if n.domain]
    if domains:
        problems.append(f"operator sets of others: {shorten(domains)}")
    outside = [t.name for t in model.graph.initializer if t.external_data]
    if outside:
        problems.append(f"weights in another file: {shorten(outside)}")
    values = [*model.graph.input, *model.graph.output]
    if static:
        values += model.graph.value_info
        open_shapes = [v.name for v in values if shape_of(v) is None]
        if open_shapes:
            problems.append(f"shapes not fixed: {shorten(open_shapes)}")
    if "BatchNormalization" in operators(model):
        problems.append("a BatchNormalization is left")
    if problems:
        raise UserError.collect("the exported graph is not sound", problems)


def sizes_of(value: onnx.ValueInfoProto) -> list[int | None] | None:
    """Return the sizes of a value, None for one that is not fixed.

    None in place of all where there is no shape.
    """
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return [
        d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim
    ]


def shape_of(value: onnx.ValueInfoProto) -> list[int] | None:
    """Return the fixed shape of a value, None where it is not fixed."""
    sizes = sizes_of(value)
    return None if sizes is None or None in sizes else sizes
