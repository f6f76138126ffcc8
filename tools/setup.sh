#!/usr/bin/env bash
# Make the virtual environment and install the pinned packages into it.
# Called by make; says what it did. A torch that is there already stays.
set -euo pipefail
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

command -v "$PYTHON" >/dev/null || fail "$PYTHON not found: install Python 3.11
or newer, or name one: make setup PYTHON=/path/to/python3"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$("$PYTHON" --version) is too old: 3.11 or newer is needed"
command -v gcc >/dev/null || command -v cc >/dev/null ||
  fail "no C compiler: pesq is built from source; install gcc"

if [ ! -x "$VENV/bin/python" ]; then
  echo "setup: making $VENV with $("$PYTHON" --version)"
  "$PYTHON" -m venv "$VENV" || fail "cannot make $VENV (Debian: python3-venv)"
fi
# Compiled are the modules that are imported, then: a tenth of all. Images of
# containers forbid that they are kept; each start would take seconds longer.
unset PYTHONDONTWRITEBYTECODE
install() {
  "$VENV/bin/python" -m pip --disable-pip-version-check -q install \
    --no-compile "$@"
}

torch_version() {
  "$VENV/bin/python" -c \
    'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null
}
pinned=$(sed -n 's/^torch==//p' requirements.txt)
wanted=$(mktemp)
trap 'rm -f "$wanted"' EXIT
cp requirements.txt "$wanted"

if found=$(torch_version); then
  echo "setup: torch $found is there and stays"
  if [ "${found%%+*}" != "$pinned" ]; then
    echo "setup: (the figures of this repository are from torch $pinned)"
    sed -i.bak '/^torch==/d' "$wanted"
    echo "torch==$found" >>"$wanted"
  fi
else
  # Before everything else, so that no other package picks another build.
  echo "setup: installing torch $pinned"
  # shellcheck disable=SC2086  # several words are meant
  install ${TORCH_ARGS:-} "torch==$pinned"
fi
echo "setup: installing the packages of requirements.txt"
install -r "$wanted"
install --no-deps -e .

"$VENV/bin/python" - <<'PY'
import edgebrain, torch, torchaudio, speechbrain
import train, evaluate  # compiles most of what is ever used
build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
from torchaudio._extension import _IS_TORCHAUDIO_EXT_AVAILABLE as native
print(f"setup: torch {torch.__version__} ({build}), "
      f"{torch.cuda.device_count()} GPU, speechbrain "
      f"{speechbrain.__version__}, torchaudio {torchaudio.__version__}"
      f"{'' if native else ' without its native library (not needed here)'}")
PY
echo "setup: ready in $VENV"
