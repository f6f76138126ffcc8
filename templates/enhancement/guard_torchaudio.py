"""Let SpeechBrain import where torchaudio's native library cannot load.

SpeechBrain imports torchaudio. The Linux wheels of torchaudio link CUDA, so
beside a CPU-only torch ``import torchaudio`` raises OSError, although nothing
that this template calls needs the native part. Importing this module tries
the plain import first and, only where that fails, tells torchaudio that its
extension is not there, a case that torchaudio provides for.

Import it before speechbrain.
"""

import sys
from types import ModuleType


def _extension_is_absent() -> ModuleType:
    """Return what ``torchaudio._extension`` holds without the extension."""
    extension = ModuleType("torchaudio._extension")
    extension.__path__ = []
    extension._IS_TORCHAUDIO_EXT_AVAILABLE = False
    extension._IS_ALIGN_AVAILABLE = False
    extension.lazy_import_sox_ext = None
    extension.fail_if_no_align = lambda function: function
    extension._check_cuda_version = lambda: None
    return extension


try:
    import torchaudio  # noqa: F401
except OSError:
    for _name in [n for n in sys.modules if n.split(".")[0] == "torchaudio"]:
        del sys.modules[_name]
    sys.modules["torchaudio._extension"] = _extension_is_absent()
    import torchaudio  # noqa: F401
