"""Mini LibriSpeech: found, unpacked, fetched over a bad line, or missing."""

import hashlib
import json
import shutil
import socket
import tarfile
import zipfile

from edgebrain.data.embedded.corpus import CorpusSizes
from edgebrain.errors import UserError
import pytest

PARTS = {
    "train": ["train-clean-5"],
    "valid": ["dev-clean-2"],
    "test": ["test-clean"],
}
SPEAKERS = {
    "train-clean-5": [1, 2, 3],
    "dev-clean-2": [11, 12],
    "test-clean": [21, 22],
}


@pytest.fixture(scope="module")
def speech(tmp_path_factory, librispeech_writer):
    return librispeech_writer(tmp_path_factory.mktemp("speech"), SPEAKERS, 0.5)


@pytest.fixture(scope="module")
def own(tmp_path_factory, noise_writer):
    """Return folders of noises and rooms of one's own."""
    folder = tmp_path_factory.mktemp("own")
    for n in range(4):
        noise_writer(folder / "noise" / f"n{n}.wav", n)
        noise_writer(folder / "rooms" / f"r{n}.wav", n, 0.2)
    return {
        "noise_folder": folder / "noise",
        "rir_folder": folder / "rooms",
    }


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def prepare(mini, tmp_path):
    def prepare(folder, **options):
        prepared = mini.prepare_mini_librispeech(
            folder,
            tmp_path / "out",
            16000,
            tmp_path / "cache",
            1,
            **({"parts": PARTS} | options),
        )
        return prepared, {
            role: {
                split: json.loads(path.read_text())
                for split, path in prepared.manifests[role].items()
            }
            for role in prepared.manifests
        }

    return prepare


@pytest.fixture
def archives(speech, mirror, mini, monkeypatch, noise_writer, tmp_path):
    """Serve small archives of the real layout with their own checksums."""
    source = tmp_path / "source"
    for n in range(4):
        name = f"{('free-sound', 'sound-bible')[n % 2]}-{n:04d}.wav"
        noise_writer(source / "musan" / "noise" / name[:10] / name, n)
        noise_writer(source / "musan" / "music" / f"m{n}.wav", n)
    real = source / "RIRS_NOISES" / "real_rirs_isotropic_noises"
    lines = []
    for n in range(6):
        name = f"air_type1_air_binaural_room{n // 2}_{n}.wav"
        noise_writer(real / name, n, 0.2, channels=2)
        lines.append(
            f"--rir-id 0000{n} --room-id room{n // 2} "
            f"RIRS_NOISES/real_rirs_isotropic_noises/{name}"
        )
        noise_writer(real / f"RVB2014_type1_noise_room_{n}.wav", n)
    (real / "rir_list").write_text("\n".join(lines) + "\n")
    made = {}
    for name, archive in mini.ARCHIVES.items():
        folder = speech if "LibriSpeech" in archive.folder else source
        if not (folder / archive.folder).exists():
            continue
        path = mirror.folder / archive.path
        path.parent.mkdir(exist_ok=True)
        top = folder / archive.folder.partition("/")[0]
        members = sorted(p for p in top.rglob("*") if p.is_file())
        if folder is speech:
            part = folder / archive.folder
            members = [p for p in members if p.is_relative_to(part)]
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as bundle:
                for member in members:
                    bundle.write(member, member.relative_to(folder))
        else:
            with tarfile.open(path, "w:gz") as tar:
                for member in members:
                    tar.add(member, member.relative_to(folder))
        data = path.read_bytes()
        made[name] = mini.Archive(
            archive.path,
            archive.folder,
            hashlib.md5(data).hexdigest(),
            len(data),
        )
    monkeypatch.setattr(mini, "ARCHIVES", made)
    return mirror


def speakers(entries):
    return {e["speaker"] for e in entries.values()}


def test_data_in_place_and_no_connection(speech, own, prepare, offline):
    _, sets = prepare(speech, **own)
    assert speakers(sets["speech"]["train"]) == {"1", "2", "3"}
    assert speakers(sets["speech"]["valid"]) == {"11", "12"}
    assert speakers(sets["speech"]["test"]) == {"21", "22"}
    assert sets["speech"]["train"]["1/7/1-7-0000"]["wav"] == (
        "{data_root}/LibriSpeech/train-clean-5/1/7/1-7-0000.flac"
    )
    assert sum(map(len, sets["noise"].values())) == 4
    assert sum(map(len, sets["rir"].values())) == 4
    # The folder LibriSpeech itself will do too.
    _, again = prepare(speech / "LibriSpeech", **own)
    assert again["speech"]["train"].keys() == sets["speech"]["train"].keys()


def test_missing_data_offline_names_every_file(tmp_path, own, prepare, offline):
    with pytest.raises(UserError) as missing:
        prepare(
            tmp_path / "d",
            noise_folder="musan",
            rir_folder=None,
            download=False,
        )
    text = str(missing.value)
    for part in ("train-clean-5", "dev-clean-2", "test-clean"):
        assert f"{tmp_path / 'd'}/LibriSpeech/{part}/" in text
        assert f"{tmp_path / 'd'}/{part}.tar.gz" in text
    assert "resources/31/train-clean-5.tar.gz" in text
    assert "(333 MB, MD5 5df7d4e78065366204ca6845bb08f490)" in text
    assert "musan.tar.gz (11,086 MB" in text
    assert "download is off" in text


def test_downloads_what_is_missing_over_a_bad_line(
    archives, speech, own, prepare, tmp_path
):
    folder = tmp_path / "d"
    shutil.copytree(
        speech / "LibriSpeech" / "dev-clean-2",
        folder / "LibriSpeech" / "dev-clean-2",
    )
    archives.breaks["31/train-clean-5.tar.gz"] = [5000]
    plain = {split: part for split, (part,) in PARTS.items()}
    _, sets = prepare(folder, parts=plain, mirrors=archives.url, **own)
    assert speakers(sets["speech"]["train"]) == {"1", "2", "3"}
    assert archives.requests == [
        ("31/train-clean-5.tar.gz", None),
        ("31/train-clean-5.tar.gz", "bytes=4096-"),
        ("12/test-clean.tar.gz", None),
    ]
    # The second time everything is there.
    archives.requests.clear()
    prepare(folder, mirrors=[archives.url], **own)
    assert archives.requests == []
    # Without its folder, a part comes out of the archive that was kept.
    shutil.rmtree(folder / "LibriSpeech" / "test-clean")
    prepare(folder, download=False, **own)


def test_failed_download_says_what_to_put_where(
    archives, own, prepare, tmp_path, mini
):
    # It answers, but with another file of the same name.
    (archives.folder / "31" / "train-clean-5.tar.gz").write_bytes(b"<html>")
    with pytest.raises(UserError) as failed:
        prepare(tmp_path / "d", mirrors=[archives.url], **own)
    text = str(failed.value)
    assert "MD5 hash of downloaded file (train-clean-5.tar.gz)" in text
    assert f"{tmp_path / 'd'}/test-clean.tar.gz" in text
    assert not list((tmp_path / "d").rglob("*.flac"))
    # The archive in its place, as the message says, is a way out.
    (tmp_path / "d" / "train-clean-5.tar.gz").write_bytes(b"<html>")
    with pytest.raises(UserError, match="delete it and get it again"):
        prepare(tmp_path / "d", mirrors=[archives.url], **own)


def test_musan_and_rooms_of_openslr(archives, speech, prepare, tmp_path):
    folder = tmp_path / "d"
    shutil.copytree(speech, folder)
    _, sets = prepare(
        folder,
        mirrors=[archives.url],
        noise_folder="musan",
        rir_folder="rirs_noises",
    )
    assert not (folder / "musan" / "music").exists()
    assert sum(map(len, sets["noise"].values())) == 4
    rooms = {s: {e["group"] for e in sets["rir"][s].values()} for s in PARTS}
    assert sum(map(len, sets["rir"].values())) == 6  # none of the noises
    assert sorted(r for s in rooms.values() for r in s) == [
        "room0",
        "room1",
        "room2",
    ]  # each room in one split
    (folder / "RIRS_NOISES/real_rirs_isotropic_noises/rir_list").unlink()
    _, sets = prepare(
        folder, download=False, noise_folder="musan", rir_folder="rirs_noises"
    )
    assert sum(map(len, sets["rir"].values())) == 6


def test_noises_and_rooms_are_generated(
    speech, prepare, offline, mini, monkeypatch
):
    sizes = CorpusSizes((1, 1, 1), (1, 1, 1), (1, 1, 1), 1, (1.0, 1.0))
    monkeypatch.setattr(mini, "_GENERATED", sizes)
    prepared, sets = prepare(speech)
    for role in ("noise", "rir"):
        assert [len(sets[role][s]) for s in PARTS] == [1, 1, 1]
        assert f"{role}: generated" in "\n".join(prepared.notes)
    assert sum(map(len, sets["speech"].values())) == 14  # none of espeak


def test_several_parts_and_wrong_names(speech, own, prepare, offline):
    both = PARTS | {"train": ["train-clean-5", "dev-clean-2"]}
    both["valid"] = ["test-clean"]
    with pytest.raises(UserError, match="is in test and, as .* in valid"):
        prepare(speech, parts=both, **own)
    with pytest.raises(UserError, match="did you mean .*train-clean-5"):
        prepare(speech, parts=PARTS | {"train": ["train-clean-6"]}, **own)
    for wrong in ("mussan", "rirs_noises"):
        with pytest.raises(UserError, match=f"noise_folder: .* {wrong}; give"):
            prepare(speech, **(own | {"noise_folder": wrong}))
    for wrong in ("train-clean-5", {"train": []}, PARTS | {"dev": []}):
        with pytest.raises(UserError, match="parts: .* must be"):
            prepare(speech, parts=wrong, **own)
    with pytest.raises(UserError, match="have the same name"):
        twice = ["train-clean-5", "LibriSpeech/train-clean-5"]
        prepare(speech, parts=PARTS | {"train": twice}, **own)


def test_skip_prep_and_numbers(speech, own, prepare, offline):
    _, sets = prepare(speech, num_train=2, num_valid=0.5, num_test=1, **own)
    counts = [len(sets["speech"][split]) for split in PARTS]
    assert counts == [2, 2, 1]
    _, again = prepare(speech, skip_prep=True, **own)
    assert again == sets


def test_published_checksums_are_checksums(mini):
    for name, archive in mini.ARCHIVES.items():
        assert len(bytes.fromhex(archive.md5)) == 16, name
        assert archive.name.endswith((".tar.gz", ".zip"))
    assert len({a.md5 for a in mini.ARCHIVES.values()}) == len(mini.ARCHIVES)
