"""Let SpeechBrain import where torchaudio's native library cannot load.

SpeechBrain imports torchaudio, whose Linux wheels link CUDA: beside a
CPU-only torch ``import torchaudio`` raises OSError, although nothing here
needs the native part. Only where the plain import fails, this module tells
torchaudio that its extension is not there, a case that torchaudio provides
for. Import it before speechbrain.
"""

import sys
from types import ModuleType

try:
    import torchaudio  # noqa: F401
except OSError:
    for _name in [n for n in sys.modules if n.split(".")[0] == "torchaudio"]:
        del sys.modules[_name]
    _absent = ModuleType("torchaudio._extension")
    _absent.__path__ = []
    _absent._IS_TORCHAUDIO_EXT_AVAILABLE = False
    _absent._IS_ALIGN_AVAILABLE = False
    _absent.lazy_import_sox_ext = None
    _absent.fail_if_no_align = lambda function: function
    _absent._check_cuda_version = lambda: None
    sys.modules[_absent.__name__] = _absent
    import torchaudio  # noqa: F401
