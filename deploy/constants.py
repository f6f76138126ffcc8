"""The constants of an ONNX graph."""

from edgebrain.errors import UserError
import numpy as np
import onnx
from onnx import numpy_helper


def read_constants(model: onnx.ModelProto, source) -> dict[str, np.ndarray]:
    """Return the initializers, and values of Constant nodes, by name.

    Arguments
    ---------
    model : onnx.ModelProto
    source : str or Path
        For messages.

    Raises
    ------
    UserError
        When the data of one do not fit its shape: the file is damaged.
    """
    tensors = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            for entry in node.attribute:
                if entry.name == "value":
                    tensors[node.output[0]] = entry.t
    constants = {}
    for name, tensor in tensors.items():
        try:
            constants[name] = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{source}: the constant {name} is damaged ({error}): export "
                "it again"
            ) from None
    return constants
