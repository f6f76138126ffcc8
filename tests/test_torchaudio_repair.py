import subprocess
import sys

from edgebrain import torchaudio_repair
import pytest


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )


def test_import_is_light():
    heavy = "torch torchaudio speechbrain numpy scipy onnxruntime".split()
    code = (
        "import sys, edgebrain\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    assert run(code).stdout.strip() == "[]"


def test_speechbrain_imports_after_edgebrain():
    done = run(
        "import edgebrain, speechbrain, torch, torchaudio\n"
        "x = torchaudio.functional.resample(torch.ones(480), 48000, 16000)\n"
        "print(tuple(x.shape))"
    )
    assert done.stdout.strip() == "(160,)", done.stderr


def test_install_twice_keeps_one_finder():
    torchaudio_repair.install()
    found = [
        f
        for f in sys.meta_path
        if isinstance(f, torchaudio_repair._ExtensionFinder)
    ]
    assert len(found) == 1


@pytest.mark.parametrize("raises", [True, False])
def test_fallback_only_on_oserror(tmp_path, raises):
    package = tmp_path / "torchaudio"
    (package / "_extension").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from torchaudio._extension import _IS_TORCHAUDIO_EXT_AVAILABLE\n"
    )
    body = "raise OSError('libc10_cuda.so')" if raises else ""
    (package / "_extension" / "__init__.py").write_text(
        f"{body}\n_IS_TORCHAUDIO_EXT_AVAILABLE = True\n"
    )
    done = run(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import edgebrain, torchaudio\n"
        "print(torchaudio._IS_TORCHAUDIO_EXT_AVAILABLE)"
    )
    assert done.stdout.strip() == str(not raises), done.stderr
