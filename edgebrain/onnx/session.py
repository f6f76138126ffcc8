"""onnxruntime sessions, all alike: same threads, same kernels, same bits."""

from pathlib import Path

from edgebrain.errors import UserError

try:
    import onnxruntime
except ImportError as error:
    raise UserError(
        "onnxruntime is not installed: pip install -e '.[onnx]'"
    ) from error


def make_session(
    model: str | Path | bytes, threads: int = 1
) -> onnxruntime.InferenceSession:
    """Return a session on the CPU.

    Arguments
    ---------
    model : str, Path or bytes
        A file, or the bytes of one.
    threads : int
        For the work inside an operator.

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    UserError
        When the file is missing, no ONNX file, or holds what onnxruntime
        cannot run.

    Notes
    -----
    ``session.qdqisint8allowed`` lets signed int8 depthwise convolutions and
    additions run on integers on x86 as on other processors; else they are
    computed in float.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    name = "the model"
    if not isinstance(model, bytes):
        name, model = str(model), Path(model)
        if not model.is_file():
            raise UserError(f"{name}: no such file")
        model = str(model)
    try:
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
    # onnxruntime's exceptions share no base class but Exception.
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        kind = type(error).__name__
        damaged = kind in ("InvalidProtobuf", "InvalidGraph", "NoModel")
        if damaged or "No graph was found" in first:
            message = f"{name}: not an ONNX file that can be run ({first})"
        else:
            message = f"{name}: onnxruntime cannot run it ({first})"
        raise UserError(message) from error
