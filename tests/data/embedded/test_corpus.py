import hashlib
import signal
import subprocess
import sys
import time

from edgebrain.data import audio
from edgebrain.data.embedded import corpus, speech
from edgebrain.data.embedded.corpus import (
    CorpusSizes,
    make_embedded_corpus,
    read_manifest,
)
from edgebrain.errors import UserError
import pytest

SMALL = CorpusSizes((6, 4, 4), (9, 3, 3), (2, 1, 1), 1, (1.0, 1.5))
TINY = CorpusSizes((1, 1, 1), (1, 1, 1), (1, 1, 1), 1, (1.0, 1.5))


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_embedded_corpus(
        tmp_path_factory.mktemp("one"), seed=7, n_jobs=1, sizes=SMALL
    )


def test_any_number_of_processes_writes_the_same_bytes(made, tmp_path):
    other = make_embedded_corpus(tmp_path, seed=7, n_jobs=2, sizes=SMALL)
    assert other.name == made.name
    assert hashes(other) == hashes(made)


def test_other_seed_makes_other_files(made, tmp_path):
    one, two = (
        hashes(make_embedded_corpus(tmp_path, seed, n_jobs=1, sizes=TINY))
        for seed in (1, 2)
    )
    assert one.keys() == two.keys()
    assert all(one[path] != two[path] for path in one)


def test_manifest_lists_every_file_as_it_is(made):
    rows = read_manifest(made)
    on_disk = {
        path.relative_to(made).as_posix() for path in made.rglob("*.flac")
    }
    assert {row["path"] for row in rows} == on_disk
    assert len(rows) == 14 + 15 + 4
    for row in rows:
        kind, split, *_ = row["path"].split("/")
        assert (row["kind"], row["split"]) == (kind, split)
        assert row["group"] in row["path"]
        info = audio.inspect(made / row["path"])
        assert (info.sample_rate, info.channels) == (16000, 1)
        assert info.format == "FLAC"
        assert info.subtype == ("PCM_24" if kind == "rir" else "PCM_16")
        seconds = info.frames / info.sample_rate
        assert float(row["seconds"]) == pytest.approx(seconds, abs=1e-3)


def test_splits_share_no_group_sentence_or_parameters(made):
    rows = read_manifest(made)
    seen = {}
    for row in rows:
        marks = [row["source"]]
        if row["kind"] == "speech":
            marks += [row["group"], row["source"].split(": ", 1)[1]]
        if row["kind"] == "rir":
            marks += [row["group"], row["source"].split(" distance")[0]]
        if row["kind"] == "noise":
            marks.append(row["group"])
        for mark in marks:
            assert seen.setdefault(mark, row["split"]) == row["split"], mark


def test_second_call_makes_nothing(made):
    before = hashes(made)
    stamps = {p: p.stat().st_mtime_ns for p in made.rglob("*")}
    again = make_embedded_corpus(made.parent, 7, n_jobs=1, sizes=SMALL)
    assert stamps == {p: p.stat().st_mtime_ns for p in made.rglob("*")}
    assert again == made and hashes(made) == before


def test_new_version_makes_a_new_folder(monkeypatch, tmp_path):
    first = make_embedded_corpus(tmp_path, 7, n_jobs=1, sizes=TINY)
    monkeypatch.setattr(corpus, "VERSION", corpus.VERSION + 1)
    second = make_embedded_corpus(tmp_path, 7, n_jobs=1, sizes=TINY)
    assert first != second and first.is_dir() and second.is_dir()
    assert f"v{corpus.VERSION}-" in second.name


def test_missing_file_is_told(tmp_path):
    made = make_embedded_corpus(tmp_path, 7, n_jobs=1, sizes=TINY)
    lost = next((made / "speech").rglob("*.flac"))
    lost.unlink()
    with pytest.raises(UserError, match=lost.name):
        make_embedded_corpus(tmp_path, 7, n_jobs=1, sizes=TINY)
    assert [path.name for path in tmp_path.iterdir()] == [made.name]


def test_killed_run_leaves_nothing_that_looks_complete(tmp_path):
    code = (
        "from edgebrain.data.embedded.corpus import make_embedded_corpus\n"
        f"make_embedded_corpus({str(tmp_path)!r}, n_jobs=1)"
    )
    run = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.flac")):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1 and left[0].startswith(".partial-")
    assert not list(tmp_path.rglob(corpus.MANIFEST))


def test_other_sample_rate(tmp_path):
    sizes = CorpusSizes((1, 1, 1), (9, 5, 5), (1, 1, 1), 1, (1.0, 1.5))
    folder = make_embedded_corpus(tmp_path, 3, 8000, 1, sizes)
    assert "8000" in folder.name
    for row in read_manifest(folder):
        assert audio.inspect(folder / row["path"]).sample_rate == 8000


def test_bad_arguments_are_named(tmp_path):
    for bad in ({"seed": -1}, {"sample_rate": 100}, {"n_jobs": 0}):
        with pytest.raises(UserError, match=next(iter(bad))):
            make_embedded_corpus(tmp_path, **bad)
    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        make_embedded_corpus(taken, sizes=TINY)


def test_folder_of_something_else_is_left_alone(made, tmp_path):
    taken = tmp_path / made.name
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="remove or rename"):
        make_embedded_corpus(tmp_path, 7, n_jobs=1, sizes=SMALL)
    assert (taken / "thesis.txt").read_text() == "mine"


def test_failing_espeak_leaves_nothing(tmp_path, monkeypatch):
    # A package without its library, as on a platform without a wheel.
    monkeypatch.setattr(
        "espeakng_loader.get_library_path", lambda: str(tmp_path / "no.so")
    )
    with pytest.raises(UserError, match=speech.MEND):
        make_embedded_corpus(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_default_corpus_is_what_the_documents_say(tmp_path):
    folder = make_embedded_corpus(tmp_path)
    rows = read_manifest(folder)
    spoken = [row for row in rows if row["kind"] == "speech"]
    assert len({row["group"] for row in spoken}) >= 12
    texts = {row["source"].split(": ", 1)[1] for row in spoken}
    assert len(texts) == len(spoken) >= 200
    assert all(2 <= float(row["seconds"]) <= 6 for row in spoken)
    assert {" sex=f " in row["source"] for row in spoken} == {True, False}
