"""Recordings behind a manifest: stable order, partial reads, a small cache."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
import json
from pathlib import Path
from typing import Any

from edgebrain.data import audio
from edgebrain.errors import UserError
import numpy as np

#: Keys of an entry that name a file.
_PATHS = frozenset({"wav", "noisy", "clean"})


def load_manifest(
    path: str | Path,
    data_root: str | Path | None = None,
    keys: tuple[str, ...] = ("wav", "duration"),
) -> dict[str, dict[str, Any]]:
    """Read a SpeechBrain JSON manifest, sorted by id.

    ``{id: {"wav": "{data_root}/a.wav", "duration": seconds, ...}}``, where
    relative paths begin at ``data_root`` too, the folder of the manifest
    unless given. Every entry must have the ``keys``.
    """
    path = Path(path)
    root = path.parent if data_root is None else Path(data_root)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: no manifest that can be read ({error}); delete it and "
            "prepare the data again"
        ) from error
    if not isinstance(entries, Mapping) or not entries:
        raise UserError(
            f"{path}: this set is empty; put recordings into its folder and "
            "prepare the data again"
        )
    problems = [
        f"{name}: lacks {', '.join(missing)}"
        for name, entry in entries.items()
        if (missing := [key for key in keys if key not in entry])
    ]
    if problems:
        raise UserError.collect(f"manifest {path}", problems)
    return {
        name: {
            key: _placed(key, value, root)
            for key, value in entries[name].items()
        }
        for name in sorted(entries)
    }


def _placed(key: str, value, root: Path):
    """Return a value of an entry with its path where the file is."""
    if not isinstance(value, str):
        return value
    if key in _PATHS and "{data_root}" not in value:
        return str(root / value)
    return value.replace("{data_root}", str(root))


class Source:
    """The recordings of one manifest, read in part or from memory.

    A set that fits into ``cache_mb`` of memory is decoded a file at a time,
    when first needed, and kept. Of a larger set only the wanted part of a
    file is decoded each time. Which of the two is decided once for the set,
    so what is read never depends on what was read before.

    Arguments
    ---------
    sample_rate : int
        Every file must have it.
    cache_mb : float
        Memory for decoded audio, in each process.
    whole : bool or None
        Force whole files (True) or parts (False); None decides by size.
    prepare : callable or None
        Applied to a whole file after decoding (its result is cached).
    """

    def __init__(
        self,
        entries: Mapping[str, Mapping[str, Any]],
        sample_rate: int,
        cache_mb: float = 64.0,
        whole: bool | None = None,
        prepare: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        self.entries = entries
        self.ids = list(entries)
        self.sample_rate = sample_rate
        self.prepare = prepare
        self.cache_bytes = int(cache_mb * 2**20)
        if whole is None:
            seconds = sum(entry["duration"] for entry in entries.values())
            whole = seconds * sample_rate * 4 <= self.cache_bytes
        self.whole = whole
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()
        self._cached_bytes = 0

    def __getstate__(self):
        # A spawned worker starts with an empty cache instead of a copy.
        state = self.__dict__.copy()
        state["_cache"], state["_cached_bytes"] = OrderedDict(), 0
        return state

    def __len__(self):
        return len(self.ids)

    def length(self, name: str) -> int:
        """Return the number of samples that the manifest states."""
        return round(self.entries[name]["duration"] * self.sample_rate)

    def read(self, name: str, start: int = 0, length: int = -1) -> np.ndarray:
        """Return ``length`` samples of one recording; -1 for all that follow.

        Fewer where it ends. Do not change them in place: they may be a view of
        the cache.
        """
        if not self.whole:
            return audio.read(
                self.entries[name]["wav"],
                self.sample_rate,
                start=start,
                frames=length,
            )
        wav = self._read_whole(name)
        return wav[start:] if length < 0 else wav[start : start + length]

    def _read_whole(self, name: str) -> np.ndarray:
        if name in self._cache:
            self._cache.move_to_end(name)
            return self._cache[name]
        wav = audio.read(self.entries[name]["wav"], self.sample_rate)
        if self.prepare is not None:
            try:
                wav = self.prepare(wav)
            except UserError as error:
                path = self.entries[name]["wav"]
                raise UserError(f"{path}: {error}") from error
        self._cache[name] = wav
        self._cached_bytes += wav.nbytes
        while self._cached_bytes > self.cache_bytes and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= oldest.nbytes
        return wav
