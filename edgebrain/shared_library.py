"""Shared libraries made by deploy/c_engine.py, of any task."""

import ctypes
import json
from pathlib import Path

from edgebrain import tasks
from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings
from edgebrain.tasks import Setup
import numpy as np

_POINTER, _COUNT = ctypes.c_void_p, ctypes.c_uint32
#: What every library has: result, arguments.
_COMMON = {
    "size": (_COUNT, []),
    "init": (_POINTER, [_POINTER, _COUNT]),
    "reset": (None, [_POINTER]),
    "describe": (ctypes.c_char_p, []),
}


class Library:
    """A loaded library, an :class:`edgebrain.runners.Form`; holds no stream.

    ``functions`` are further ones, without ``eb_``: result and arguments.
    """

    form = "c"

    def __init__(self, path: Path | str, functions: dict) -> None:
        path = Path(path)
        try:
            library = ctypes.CDLL(str(path.resolve()))
            for name, (result, arguments) in {**_COMMON, **functions}.items():
                function = getattr(library, f"eb_{name}")
                function.restype, function.argtypes = result, arguments
                setattr(self, f"_{name}", function)
        except (OSError, AttributeError) as error:
            raise UserError(
                f"{path}: is no library of deploy/c_engine.py for this "
                f"machine ({error}); make it with make in the folder that "
                "c_engine.py wrote"
            ) from None
        self.description = about = json.loads(self._describe())
        self.setup = Setup(
            about.get("task", tasks.DEFAULT),
            SignalSettings.from_dict(about["signal"]),
            about.get("features", {}),
            tuple(about.get("class_names", ())),
        )
        self.precision = about["precision"]

    def facts(self) -> dict:
        """Return what metrics.json says of this form."""
        keys = ("model_class", "checkpoint_sha256", "versions")
        return {key: self.description[key] for key in keys}

    def memory(self) -> tuple[np.ndarray, int]:
        """Return the memory of a new stream, and its address as state."""
        memory = np.zeros(-(-self._size() // 8), np.uint64)
        return memory, self._init(memory.ctypes.data, memory.nbytes)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Return samples as a device hears them; outside -1 to 1 is cut off."""
    scaled = np.rint(np.asarray(samples, np.float64) * 32768)
    return np.clip(scaled, -32768, 32767).astype(np.int16)
