"""Downloads from a server on loopback that breaks in every way."""

from collections import namedtuple
import hashlib
import shutil

from edgebrain.data.download import download, verify
from edgebrain.errors import UserError
import numpy as np
import pytest

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data" / "a.bin"


@pytest.fixture
def served(mirror):
    (mirror.folder / "a.bin").write_bytes(CONTENT)
    return mirror


def leftovers(target):
    return sorted(p.name for p in target.parent.iterdir() if p != target)


def test_goes_on_where_it_broke(served, target):
    served.breaks["a.bin"] = [131_072, 65_536]
    assert download([f"{served.url}/a.bin"], target, MD5) == target
    assert target.read_bytes() == CONTENT
    assert [r for _, r in served.requests] == [
        None,
        "bytes=131072-",
        "bytes=196608-",
    ]
    assert leftovers(target) == []


def test_a_later_call_goes_on(served, target):
    served.breaks["a.bin"] = [131_072, 0]
    with pytest.raises(UserError, match="cannot be downloaded"):
        download([f"{served.url}/a.bin"], target, MD5, retries=0)
    assert not target.exists()
    download([f"{served.url}/a.bin"], target, MD5)
    assert target.read_bytes() == CONTENT
    assert served.requests[-1] == ("a.bin", "bytes=131072-")


def test_without_checksum_nothing_is_continued(served, target):
    served.breaks["a.bin"] = [131_072]
    download([f"{served.url}/a.bin"], target)
    assert target.read_bytes() == CONTENT
    assert [r for _, r in served.requests] == [None, None]


def test_server_without_ranges(served, target):
    served.ranges = False
    served.breaks["a.bin"] = [131_072]
    download([f"{served.url}/a.bin"], target, MD5)
    assert target.read_bytes() == CONTENT


def test_damaged_part_is_fetched_again(served, target):
    target.parent.mkdir()
    target.with_name("a.bin.part").write_bytes(b"x" * 1000)
    download([f"{served.url}/a.bin"], target, MD5)
    assert target.read_bytes() == CONTENT


def test_part_that_is_whole_already(served, target):
    target.parent.mkdir()
    target.with_name("a.bin.part").write_bytes(CONTENT)
    download([f"{served.url}/a.bin"], target, MD5)
    assert target.read_bytes() == CONTENT
    assert len(served.requests) == 1


def test_wrong_file_never_gets_the_name(served, target):
    wrong = hashlib.md5(b"").hexdigest()
    with pytest.raises(UserError, match=rf"{wrong}(.|\n)*{MD5}|{MD5}"):
        download([f"{served.url}/a.bin"], target, wrong, retries=1)
    assert len(served.requests) == 2
    assert not target.exists() and leftovers(target) == []


def test_next_mirror(served, target):
    urls = [f"{served.url}/gone.bin", f"{served.url}/a.bin"]
    download(urls, target, MD5, retries=0)
    assert target.read_bytes() == CONTENT
    assert [name for name, _ in served.requests] == ["gone.bin", "a.bin"]


def test_mirror_that_is_not_there_and_every_failure_named(served, target):
    served.breaks["a.bin"] = ["503"] * 3
    urls = ["nowhere", "http://127.0.0.1:1/a.bin", f"{served.url}/a.bin"]
    with pytest.raises(UserError) as failed:
        download(urls, target, MD5, retries=2)
    assert "Invalid URL 'nowhere'" in str(failed.value)
    assert "127.0.0.1:1/a.bin: " in str(failed.value)
    assert "503" in str(failed.value)
    assert len(served.requests) == 3


def test_busy_server_is_asked_again(served, target):
    served.breaks["a.bin"] = ["503", "429"]
    download([f"{served.url}/a.bin"], target, MD5)
    assert target.read_bytes() == CONTENT


def test_stalled_transfer_times_out(served, target):
    served.breaks["a.bin"] = ["stall"]
    download([f"{served.url}/a.bin"], target, MD5, timeout=0.3)
    assert target.read_bytes() == CONTENT


def test_too_little_disk_is_said_before_asking(served, target, monkeypatch):
    usage = namedtuple("usage", "total used free")(10, 10, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="300,?[0-9]* MB|0 MB are free"):
        download([f"{served.url}/a.bin"], target, MD5, len(CONTENT))
    assert not served.requests


def test_no_mirror(target):
    with pytest.raises(UserError, match="no address"):
        download([], target)


def test_verify(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(CONTENT)
    verify(path, MD5.upper())
    with pytest.raises(UserError, match="damaged or another one"):
        verify(path, hashlib.md5(b"").hexdigest())
