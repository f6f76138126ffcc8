"""What makes a folder of C code a project: make, CMake, Zephyr, Arduino."""

from pathlib import Path

import edgebrain

_PROJECT = Path(__file__).parent.parent / "project"
#: The flags of the Makefile, where Arduino gives no way to set any.
_EXACT = """\
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("-ffp-contract=off", "-fno-tree-loop-vectorize")
#endif
"""
#: Words of the files that differ between tasks.
ENHANCER = {
    "@PROGRAM@": "enhance_wav",
    "@WAVS@": "noisy.wav to enhanced.wav",
    "@RESULT@": "int16_t result[@UPPER@_HOP]",
    "@MACROS@": "#define EB_DELAY @UPPER@_DELAY\n#define EB_BINS @UPPER@_BINS",
}
DETECTOR = {
    "@PROGRAM@": "detect_wav",
    "@WAVS@": "sound.wav to scores",
    "@RESULT@": "float result[@UPPER@_CLASSES]",
    "@MACROS@": "#define EB_CLASSES @UPPER@_CLASSES\n"
    "#define EB_BANDS @UPPER@_BANDS\n#define EB_STEP @UPPER@_STEP\n"
    "#define EB_UNKNOWN_BELOW @UPPER@_UNKNOWN_BELOW",
}


def write_projects(folder: Path, name: str, kind: dict[str, str]) -> None:
    """Write the files of all builds beside the sources of ``name``."""
    words = {
        **kind,
        "@NAME@": name,
        "@UPPER@": name.upper(),
        "@VERSION@": edgebrain.__version__,
    }
    for path in sorted(_PROJECT.rglob("*")):
        if path.is_dir():
            continue
        text = path.read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        target = folder / path.relative_to(_PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    # Arduino compiles src/ alone: each file there leads to one of ours.
    (folder / "src").mkdir()
    for path in [*folder.glob("*.[ch]"), *folder.glob("runtime/*.[ch]")]:
        line = f'#include "../{path.relative_to(folder).as_posix()}"\n'
        text = _EXACT + line if path.suffix == ".c" else line
        (folder / "src" / path.name).write_text(text)
