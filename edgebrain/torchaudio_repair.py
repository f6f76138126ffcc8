"""Let torchaudio import beside a torch whose build its native part misses.

torchaudio's Linux wheel links CUDA. Beside a CPU-only torch its native
library cannot be loaded, and ``import torchaudio`` (so also ``import
speechbrain``) raises OSError, although everything that enhancement needs
works without that library. A finder waits for ``torchaudio._extension``:
the real module runs first, and only if it raises OSError does the module get
the values torchaudio itself uses when the extension is not there.
"""

import importlib.abc
import importlib.machinery
import sys

_NAME = "torchaudio._extension"


class _FallbackLoader(importlib.abc.Loader):
    """Run the real loader and fall back to "extension not available"."""

    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        """Leave the creation of the module to the real loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module):
        """Execute the real module, or fill in what it would have held."""
        try:
            self._loader.exec_module(module)
        except OSError:
            module._IS_TORCHAUDIO_EXT_AVAILABLE = False
            module._IS_ALIGN_AVAILABLE = False
            module.lazy_import_sox_ext = None
            module.fail_if_no_align = lambda function: function
            module._check_cuda_version = lambda: None


class _ExtensionFinder(importlib.abc.MetaPathFinder):
    """Find ``torchaudio._extension`` and nothing else."""

    def find_spec(self, fullname, path, target=None):
        """Return the usual spec with the guarded loader around its own."""
        if fullname != _NAME:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        spec.loader = _FallbackLoader(spec.loader)
        return spec


def install() -> None:
    """Install the finder once; a second call changes nothing."""
    if not any(isinstance(f, _ExtensionFinder) for f in sys.meta_path):
        sys.meta_path.insert(0, _ExtensionFinder())
