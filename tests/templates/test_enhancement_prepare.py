"""The template's download, unpacking and manifests."""

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import io
import json
import tarfile
import threading
import time
import zipfile

import numpy as np
import pytest
import soundfile
from template_runs import PARTS, RATE, librispeech, voice


class Server:
    """Serve bytes on loopback, with the faults a test asks for."""

    def __init__(self):
        self.files = {}
        self.faults = []  # one is used up by each request
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, handler):
        self.requests.append(handler.path)
        fault = self.faults.pop(0) if self.faults else None
        body = self.files.get(handler.path.lstrip("/"))
        if fault == "silent":
            time.sleep(1)
            return
        if body is None or fault in (404, 503):
            handler.send_error(fault or 404)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if fault == "corrupt":
            body = body[:10] + bytes([body[10] ^ 1]) + body[11:]
        handler.wfile.write(
            body[: len(body) // 2] if fault == "break" else body
        )


@pytest.fixture
def server():
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()


BODY = np.random.default_rng(0).bytes(50_000)
MD5 = hashlib.md5(BODY).hexdigest()


def fetch(template, server, path, md5=MD5, mirrors=("",), **kwargs):
    server.files["a/x.bin"] = BODY
    template.mini_librispeech_prepare._download(
        [f"{server.url}{m}/a/x.bin" for m in mirrors],
        path,
        md5,
        **{"wait": 0.0, "timeout": 5, **kwargs},
    )
    assert path.read_bytes() == BODY
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("fault", ["break", "corrupt", 503])
@pytest.mark.parametrize("md5", [MD5, None])
def test_failed_transfer_is_tried_again(template, server, tmp_path, fault, md5):
    server.faults = [fault, fault]
    if fault == "corrupt" and md5 is None:
        server.faults = []  # nothing could tell
    tries = 1 + len(server.faults)
    fetch(template, server, tmp_path / "x.bin", md5)
    assert len(server.requests) == tries


def test_silent_server_is_given_up(template, server, tmp_path):
    server.faults = ["silent"]
    fetch(template, server, tmp_path / "x.bin", timeout=0.2)
    assert len(server.requests) == 2


def test_next_mirror_is_tried(template, server, tmp_path):
    fetch(template, server, tmp_path / "x.bin", mirrors=("/gone", ""))
    assert len(server.requests) == 2


def test_hopeless_download_names_every_failure(template, server, tmp_path):
    server.files["a/x.bin"] = BODY
    with pytest.raises(template.helpers.UserError) as caught:
        template.mini_librispeech_prepare._download(
            [f"{server.url}/gone", f"{server.url}/a/x.bin"],
            tmp_path / "x.bin",
            "0" * 32,
            wait=0,
        )
    assert "404" in str(caught.value) and MD5 in str(caught.value)
    assert not list(tmp_path.iterdir())


def tar_of(folder, *extra):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, "LibriSpeech")
        for member in extra:
            tar.addfile(member)
    return buffer.getvalue()


@pytest.fixture
def archives(tmp_path):
    """Return one archive of the real layout for each part."""
    found = {}
    for name in PARTS:
        folder = librispeech(tmp_path / "made" / name, {name: 2})
        found[name] = tar_of(folder / "LibriSpeech")
    return found


def prepare(template, folder, server=None, archives=None, **kwargs):
    entries = {
        name: {
            "path": f"31/{name}.tar.gz",
            "folder": f"LibriSpeech/{name}",
            "md5": archives and hashlib.md5(archives[name]).hexdigest(),
        }
        for name in PARTS
    }
    parts = dict(zip(("train", "valid", "test"), PARTS, strict=True))
    template.mini_librispeech_prepare.prepare_mini_librispeech(
        folder,
        folder / "manifests",
        parts,
        RATE,
        entries,
        [server.url] if server else [],
        **kwargs,
    )


def test_prepare_downloads_what_is_missing_once(
    template, server, archives, tmp_path
):
    server.files = {f"31/{n}.tar.gz": a for n, a in archives.items()}
    # One archive lies there already: it is unpacked, not fetched.
    data = tmp_path / "data"
    data.mkdir()
    (data / "test-clean.tar.gz").write_bytes(archives["test-clean"])
    prepare(template, data, server, archives)
    assert server.requests == [
        "/31/train-clean-5.tar.gz",
        "/31/dev-clean-2.tar.gz",
    ]
    text = (data / "manifests" / "train.json").read_text()
    manifest = json.loads(text)["speech"]
    assert len(manifest) == 6
    assert "train-clean-5/1/7/1-7-0000" in manifest
    assert str(data) not in text  # the manifest moves with the data
    prepare(template, data, server, archives)
    prepare(template, data, server, archives, skip_prep=True)
    assert len(server.requests) == 2  # with the data in place: no network


def test_offline_without_data_says_what_to_put_where(template, tmp_path):
    with pytest.raises(template.helpers.UserError) as caught:
        prepare(template, tmp_path, download=False)
    for name in PARTS:
        assert str(tmp_path / "LibriSpeech" / name) in str(caught.value)
        assert str(tmp_path / f"{name}.tar.gz") in str(caught.value)
    with pytest.raises(template.helpers.UserError, match="train.json"):
        prepare(template, tmp_path, skip_prep=True)


def test_noise_folder_is_split_without_overlap(template, data, tmp_path):
    noises = tmp_path / "noises"
    noises.mkdir()
    for n in range(12):
        soundfile.write(noises / f"{n}.wav", voice(n), RATE)
    found = template.mini_librispeech_prepare._split_folder(
        "noise_folder", noises, tmp_path, []
    )
    assert [len(found[s]) for s in ("train", "valid", "test")] == [10, 1, 1]
    assert len(set().union(*found.values())) == 12
    for split in ("train", "valid", "test"):
        (noises / split).mkdir()
        soundfile.write(noises / split / "n.wav", voice(1), RATE)
    found = template.mini_librispeech_prepare._split_folder(
        "noise_folder", noises, tmp_path, []
    )
    assert list(found["valid"]) == ["valid/n"]


def test_all_bad_files_are_listed(template, data, tmp_path):
    folder = tmp_path / "noises"
    folder.mkdir()
    soundfile.write(folder / "low.wav", voice(1), 8000)
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(template.helpers.UserError) as caught:
        template.mini_librispeech_prepare.prepare_mini_librispeech(
            data,
            tmp_path / "m",
            dict(zip(("train", "valid", "test"), PARTS, strict=True)),
            RATE,
            {},
            [],
            noise_folder=folder,
            download=False,
        )
    for name in ("low.wav", "empty.wav", "broken.wav"):
        assert name in str(caught.value)


def unpack(template, archive):
    """Unpack the part of an archive into the folder of it."""
    template.mini_librispeech_prepare._unpack(
        archive, "LibriSpeech/dev-clean-2", archive.parent
    )


@pytest.mark.parametrize("name", ["../evil.flac", "/tmp/evil.flac"])
def test_archive_cannot_reach_outside(template, tmp_path, name):
    folder = librispeech(tmp_path / "made", {"dev-clean-2": 1})
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / "dev-clean-2.tar.gz"
    link = tarfile.TarInfo("LibriSpeech/dev-clean-2/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    archive.write_bytes(tar_of(folder / "LibriSpeech", link))
    with pytest.raises(template.helpers.UserError, match="absolute"):
        unpack(template, archive)
    bundle = tmp_path / "in" / "x.zip"
    with zipfile.ZipFile(bundle, "w") as file:
        file.writestr(name, "x")
    archive.write_bytes(
        tar_of(folder / "LibriSpeech", tarfile.TarInfo("../evil.flac"))
    )
    for one in (archive, bundle):
        with pytest.raises(template.helpers.UserError, match="cannot be unp"):
            unpack(template, one)
    assert sorted(p.name for p in archive.parent.iterdir()) == [
        archive.name,
        bundle.name,
    ]
    assert not list(tmp_path.rglob("evil.flac"))


def test_truncated_archive_leaves_nothing(template, tmp_path):
    folder = librispeech(tmp_path / "made", {"dev-clean-2": 1})
    archive = tmp_path / "out" / "x.tar.gz"
    archive.parent.mkdir()
    whole = tar_of(folder / "LibriSpeech")
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(template.helpers.UserError, match="cannot be unpacked"):
        unpack(template, archive)
    assert list(archive.parent.iterdir()) == [archive]
