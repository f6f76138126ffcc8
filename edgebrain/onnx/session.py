"""onnxruntime sessions, all alike: same threads, same kernels, same bits."""

from pathlib import Path

from edgebrain.errors import UserError

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise UserError(
        f"{error.name} is not installed: pip install -e '.[onnx]'"
    ) from error


class Session(onnxruntime.InferenceSession):
    """A session whose refusals name the model.

    What is wrong with a graph, as a convolution of 0 groups, may come out
    with its first call.
    """

    def __init__(self, name: str, model: str | bytes, options):
        self._name = name
        providers = ["CPUExecutionProvider"]
        self._said(super().__init__, model, options, providers=providers)

    def run(self, *args, **words):
        """Run as onnxruntime does."""
        return self._said(super().run, *args, **words)

    def run_with_iobinding(self, *args, **words):
        """Run as onnxruntime does."""
        return self._said(super().run_with_iobinding, *args, **words)

    def _said(self, act, *args, **words):
        try:
            return act(*args, **words)
        # onnxruntime's exceptions share no base class but Exception.
        except Exception as error:
            first = str(error).strip().partition("\n")[0]
            kind = type(error).__name__
            damaged = kind in ("InvalidProtobuf", "InvalidGraph", "NoModel")
            what = "onnxruntime cannot run it"
            if damaged or "No graph was found" in first:
                what = "not an ONNX file that can be run"
            raise UserError(f"{self._name}: {what} ({first})") from error


def make_session(model: str | Path | bytes, threads: int = 1) -> Session:
    """Return a session on the CPU of a file, or of the bytes of one.

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
    return Session(name, model, options)
