"""Archives that are sound, broken or malicious."""

import io
import tarfile
import zipfile

from edgebrain.data.archives import archive_members, unpack, unpack_file
from edgebrain.errors import UserError
import numpy as np
import pytest

FILES = {
    "Corpus/part/1/a.wav": np.random.default_rng(0).bytes(50_000),
    "Corpus/part/2/b.wav": b"b" * 1000,
    "Corpus/other/c.wav": b"c",
}


def make_tar(path, files=FILES, mode="w:gz", special=()):
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o4777
            tar.addfile(info, io.BytesIO(data))
        for info in special:
            tar.addfile(info)
    return path


def make_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)
    return path


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file()
    }


WANTED = {
    "1/a.wav": FILES["Corpus/part/1/a.wav"],
    "2/b.wav": FILES["Corpus/part/2/b.wav"],
}


@pytest.mark.parametrize("name", ["c.tar.gz", "c.tar", "c.tar.xz", "c.zip"])
def test_takes_one_folder(tmp_path, name):
    path = tmp_path / name
    if name.endswith("zip"):
        make_zip(path)
    else:
        mode = name.rpartition(".")[2]
        make_tar(path, mode="w" if mode == "tar" else f"w:{mode}")
    target = unpack(path, "Corpus/part", tmp_path / "x" / "part")
    assert contents(target) == WANTED
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["part"]
    assert not (target / "1" / "a.wav").stat().st_mode & 0o4000


def test_folder_deeper_or_missing(tmp_path):
    path = make_tar(tmp_path / "c.tar.gz")
    assert contents(unpack(path, "part", tmp_path / "p")) == WANTED
    with pytest.raises(UserError, match="holds no folder nothing"):
        unpack(path, "nothing", tmp_path / "q")
    assert not (tmp_path / "q").exists()


def test_what_macos_adds_is_left_out(tmp_path):
    junk = {"__MACOSX/Corpus/part/1/a.wav": b"", "Corpus/part/1/._a.wav": b""}
    path = make_zip(tmp_path / "c.zip", FILES | junk)
    assert contents(unpack(path, "part", tmp_path / "p")) == WANTED


@pytest.mark.parametrize("name", ["c.tar.gz", "c.zip"])
def test_truncated_archive_leaves_nothing(tmp_path, name):
    path = tmp_path / name
    make_zip(path) if name == "c.zip" else make_tar(path)
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(UserError, match="damaged"):
        unpack(path, "part", tmp_path / "p")
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "name", ["../evil", "Corpus/part/../../../evil", "/evil"]
)
def test_nothing_lands_elsewhere(tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()
    for path in (
        make_tar(tmp_path / "c.tar", FILES | {name: b"!"}, "w"),
        make_zip(tmp_path / "c.zip", FILES | {name: b"!"}),
    ):
        with pytest.raises(UserError, match="evil.*not unpacked"):
            unpack(path, "", folder / "p")
    assert list(folder.iterdir()) == []
    assert not list(tmp_path.glob("**/*evil*"))


def special(name, kind):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(tmp_path, kind):
    link = special("Corpus/part/1/z", kind)
    path = make_tar(tmp_path / "c.tar", special=[link], mode="w")
    with pytest.raises(UserError, match="z: a link.*not unpacked"):
        unpack(path, "part", tmp_path / "p")
    assert not (tmp_path / "p").exists()
    # Outside the wanted folder it does no harm.
    assert contents(unpack(path, "other", tmp_path / "o")) == {"c.wav": b"c"}


def test_link_in_a_zip_is_a_file(tmp_path):
    path = make_zip(tmp_path / "c.zip")
    with zipfile.ZipFile(path, "a") as bundle:
        info = zipfile.ZipInfo("Corpus/part/link")
        info.external_attr = 0o120777 << 16
        bundle.writestr(info, "/etc/passwd")
    made = unpack(path, "part", tmp_path / "p") / "link"
    assert made.read_text() == "/etc/passwd" and not made.is_symlink()


def test_leftover_of_a_killed_run_is_replaced(tmp_path):
    left = tmp_path / ".unpacking-p" / "9"
    left.mkdir(parents=True)
    (left / "old.wav").write_bytes(b"old")
    path = make_tar(tmp_path / "c.tar.gz")
    assert contents(unpack(path, "part", tmp_path / "p")) == WANTED
    assert not (tmp_path / ".unpacking-p").exists()


def test_folder_that_holds_something_is_kept(tmp_path):
    target = tmp_path / "p"
    target.mkdir()
    (target / "mine").write_bytes(b"mine")
    with pytest.raises(UserError, match="cannot be unpacked to"):
        unpack(make_tar(tmp_path / "c.tar.gz"), "part", target)
    assert contents(target) == {"mine": b"mine"}


def test_one_file_of_a_zip(tmp_path):
    path = make_zip(tmp_path / "c.zip")
    assert archive_members(path) == list(FILES)
    assert archive_members(tmp_path / "none.zip") == []
    unpack_file(path, "Corpus/other/c.wav", tmp_path / "c.wav")
    assert (tmp_path / "c.wav").read_bytes() == b"c"
    path.write_bytes(b"PK")
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack_file(path, "Corpus/other/c.wav", tmp_path / "d.wav")
    assert not (tmp_path / "d.wav").exists()
