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
FAST = {"wait": 0.0, "timeout": 5.0}


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
    served.breaks["a.bin"] = [100_000, 50_000]
    assert download([f"{served.url}/a.bin"], target, MD5, **FAST) == target
    assert target.read_bytes() == CONTENT
    assert [r for _, r in served.requests] == [
        None,
        "bytes=100000-",
        "bytes=150000-",
    ]
    assert leftovers(target) == []


def test_progress_starts_the_count_of_retries_anew(served, target):
    served.breaks["a.bin"] = [40_000] * 7
    download([f"{served.url}/a.bin"], target, MD5, retries=1, **FAST)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("md5", [MD5, None])
def test_a_later_call_goes_on(served, target, md5):
    served.breaks["a.bin"] = [100_000, 0]
    with pytest.raises(UserError, match="broke off after 100000 of 300000"):
        download([f"{served.url}/a.bin"], target, md5, retries=0, **FAST)
    assert not target.exists()
    download([f"{served.url}/a.bin"], target, md5, **FAST)
    assert target.read_bytes() == CONTENT
    assert served.requests[-1] == ("a.bin", "bytes=100000-")


def test_another_version_is_fetched_from_the_start(served, target):
    served.breaks["a.bin"] = [100_000, 0]
    with pytest.raises(UserError):
        download([f"{served.url}/a.bin"], target, retries=0, **FAST)
    (served.folder / "a.bin").write_bytes(CONTENT[::-1])
    download([f"{served.url}/a.bin"], target, **FAST)
    assert target.read_bytes() == CONTENT[::-1]


def test_without_version_or_checksum_nothing_is_continued(served, target):
    served.versions = False
    served.breaks["a.bin"] = [100_000]
    download([f"{served.url}/a.bin"], target, **FAST)
    assert target.read_bytes() == CONTENT
    assert [r for _, r in served.requests] == [None, None]


def test_server_without_ranges(served, target):
    served.ranges = False
    served.breaks["a.bin"] = [100_000]
    download([f"{served.url}/a.bin"], target, MD5, **FAST)
    assert target.read_bytes() == CONTENT


def test_damaged_part_is_fetched_again(served, target):
    target.parent.mkdir()
    target.with_name("a.bin.part").write_bytes(b"x" * 1000)
    download([f"{served.url}/a.bin"], target, MD5, **FAST)
    assert target.read_bytes() == CONTENT


def test_part_that_is_whole_already(served, target):
    target.parent.mkdir()
    target.with_name("a.bin.part").write_bytes(CONTENT)
    download([f"{served.url}/a.bin"], target, MD5, **FAST)
    assert target.read_bytes() == CONTENT


def test_wrong_file_never_gets_the_name(served, target):
    wrong = hashlib.md5(b"").hexdigest()
    with pytest.raises(UserError, match=f"checksum {MD5} instead of {wrong}"):
        download([f"{served.url}/a.bin"], target, wrong, **FAST)
    assert len(served.requests) == 2  # once again, not for ever
    assert not target.exists()
    with pytest.raises(UserError, match="300000 bytes instead of 5"):
        download([f"{served.url}/a.bin"], target, size=5, **FAST)
    assert leftovers(target) in ([], ["a.bin.part.json"])


def test_next_mirror(served, target):
    urls = [f"{served.url}/gone.bin", f"{served.url}/a.bin"]
    download(urls, target, MD5, **FAST)
    assert target.read_bytes() == CONTENT
    assert [name for name, _ in served.requests] == ["gone.bin", "a.bin"]


def test_mirror_that_is_not_there_and_every_failure_named(served, target):
    served.breaks["a.bin"] = ["503"] * 3
    urls = ["nowhere", "http://127.0.0.1:1/a.bin", f"{served.url}/a.bin"]
    with pytest.raises(UserError) as failed:
        download(urls, target, MD5, retries=2, **FAST)
    assert "unknown url type: 'nowhere'" in str(failed.value)
    assert "127.0.0.1:1/a.bin: " in str(failed.value)
    assert "HTTP 503" in str(failed.value)
    assert len(served.requests) == 3


def test_busy_server_is_asked_again(served, target):
    served.breaks["a.bin"] = ["503", "429"]
    download([f"{served.url}/a.bin"], target, MD5, **FAST)
    assert target.read_bytes() == CONTENT


def test_stalled_transfer_times_out_and_goes_on(served, target):
    served.breaks["a.bin"] = ["stall"]
    download([f"{served.url}/a.bin"], target, MD5, wait=0, timeout=0.3)
    assert target.read_bytes() == CONTENT
    assert served.requests[-1] == ("a.bin", "bytes=100-")


def test_too_little_disk_is_said_before_writing(served, target, monkeypatch):
    usage = namedtuple("usage", "total used free")(10, 10, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="0 MB are still to come"):
        download([f"{served.url}/a.bin"], target, MD5, **FAST)
    assert len(served.requests) == 1


def test_no_mirror(target):
    with pytest.raises(UserError, match="no address"):
        download([], target)


def test_verify(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(CONTENT)
    verify(path, MD5.upper(), len(CONTENT))
    with pytest.raises(UserError, match="damaged or another one"):
        verify(path, hashlib.md5(b"").hexdigest())
