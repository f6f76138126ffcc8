"""ESC-50 from a server on loopback; refused in words without one."""

import hashlib
from pathlib import Path
import sys
import zipfile

from edgebrain.errors import UserError
import pytest

sys.path.append(str(Path(__file__).parents[2] / "recipes" / "ESC10"))
from esc50_prepare import ARCHIVE, fetch_esc50

TABLE = "ESC-50-master/meta/esc50.csv"


@pytest.fixture
def served(mirror):
    """Return a server with a small archive, and its checksum."""
    path = mirror.folder / ARCHIVE
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr(TABLE, "filename,fold,category\n")
        bundle.writestr("ESC-50-master/audio/1-1-A-0.wav", b"RIFF")
    return mirror, hashlib.md5(path.read_bytes()).hexdigest()


def test_is_fetched_once(served, tmp_path):
    mirror, md5 = served
    folder, urls = tmp_path / "ESC-50", [f"{mirror.url}/{ARCHIVE}"]
    assert fetch_esc50(folder, urls, md5) == folder
    assert (folder / "audio" / "1-1-A-0.wav").read_bytes() == b"RIFF"
    assert {p.name for p in tmp_path.iterdir()} == {"ESC-50", "mirror"}
    assert fetch_esc50(folder, [], md5) == folder
    assert len(mirror.requests) == 1


def test_another_archive_is_refused(served, tmp_path):
    mirror, _ = served
    urls = [f"{mirror.url}/{ARCHIVE}"]
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch_esc50(tmp_path / "ESC-50", urls, "0" * 32)
    assert not (tmp_path / "ESC-50").exists()


def test_nothing_else_is_written_into(tmp_path):
    with pytest.raises(UserError, match="set data_folder"):
        fetch_esc50(None)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="is not ESC-50"):
        fetch_esc50(tmp_path)
