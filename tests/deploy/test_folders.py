"""What becomes of a folder that a tool writes into again."""

from contextlib import contextmanager
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import textwrap

from edgebrain.errors import UserError
from edgebrain.models import NNSE
from edgebrain.onnx.export import export_stream
from edgebrain.onnx.probe import speech_like
from edgebrain.signal import SignalSettings, magnitude, stft
import pytest
import torch

from deploy import folders, nnse_tables, stedgeai
from deploy.c.generator import package as c_package
from deploy.folder_record import RECORD
from deploy.folders import check_replaceable, whole_folder

ROOT = Path(__file__).parents[2]
MARKER = "marker.txt"
OLD = {MARKER: "1", "a.c": "old", "sub/b.c": "old b", "gone/c.c": "c"}
NEW = {MARKER: "2", "a.c": "new", "sub/b.c": "new b", "sub/d.c": "d"}
MINE = {"NOTES": "mine", "sub/b.o": "object", "gone/x": "x", "own/y/z": "z"}


def fill(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write(folder, files, **words):
    with whole_folder(folder, MARKER, **words) as new:
        fill(new, files)


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_text()
        for p in folder.rglob("*")
        if p.is_file() and p.name != RECORD
    }


@contextmanager
def at(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture(params=["at once", "file by file"])
def way(request, monkeypatch):
    """Both ways to put a new version in the place of an old one."""
    if request.param == "file by file":
        monkeypatch.setattr(folders, "_exchange", lambda a, b: False)
    return request.param


@pytest.fixture
def there(tmp_path):
    """Return a written folder with files of a user in it."""
    folder = tmp_path / "f"
    write(folder, OLD)
    fill(folder, MINE)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("NOTES")
    return folder


def alone(folder):
    """Tell whether nothing hidden was left, in it or beside."""
    hidden = [*folder.parent.iterdir(), *folder.iterdir()]
    return not [p.name for p in hidden if p.name.startswith(".")]


# -- Files of the tool and of a user ------------------------------------------
def test_files_of_a_user_stay_and_old_ones_of_the_tool_go(there, way):
    notes = (there / "NOTES").stat()
    write(there, NEW)
    assert contents(there) == NEW | MINE | {"link": "mine"}
    assert (there / "empty").is_dir() and (there / "link").is_symlink()
    assert (there / "NOTES").stat().st_mtime_ns == notes.st_mtime_ns
    (there / "gone" / "x").unlink()
    (there / "gone").rmdir()
    write(there, OLD)
    write(there, NEW)
    assert not (there / "gone").exists() and alone(there)


def test_the_record_is_the_same_each_time(tmp_path):
    write(tmp_path / "a", OLD)
    write(tmp_path / "b", dict(reversed(OLD.items())))
    texts = [(tmp_path / x / RECORD).read_bytes() for x in "ab"]
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["files"].keys() == OLD.keys()


@pytest.mark.parametrize("how", ["text", "link", "folder", "linked folder"])
def test_edited_files_are_refused_by_name(there, how, tmp_path):
    path = there / "sub" / "b.c"
    if how == "text":
        path.write_text("by hand")
    elif how == "linked folder":
        shutil.move(there / "sub", tmp_path / "elsewhere")
        (there / "sub").symlink_to(tmp_path / "elsewhere")
    else:
        path.unlink()
        if how == "link":
            (tmp_path / "b.c").write_text("old b")
            path.symlink_to(tmp_path / "b.c")
        else:
            path.mkdir()
    before = contents(there)
    with pytest.raises(UserError, match=r"sub/b\.c: edited since .* move or"):
        check_replaceable(there, MARKER)
    with pytest.raises(UserError, match="edited since"):
        write(there, NEW)
    assert contents(there) == before


def test_an_edit_while_the_tool_works_is_seen(there):
    with pytest.raises(UserError, match="edited since"):
        with whole_folder(there, MARKER) as new:
            fill(new, NEW)
            (there / "a.c").write_text("by hand")
    assert (there / "a.c").read_text() == "by hand" and alone(there)


def test_files_that_were_deleted_come_again(there):
    (there / MARKER).unlink()
    (there / "a.c").unlink()
    shutil.rmtree(there / "sub")
    write(there, NEW)
    assert (there / "sub" / "b.c").read_text() == "new b"


@pytest.mark.parametrize("name", ["sub/d.c", "more", "more/e.c/x"])
def test_a_file_of_a_user_is_not_overwritten(there, way, name):
    fill(there, {name: "mine"})
    before = contents(there)
    new = NEW | {"more/e.c": "e"}
    with pytest.raises(UserError, match="not written by this tool") as caught:
        check_replaceable(there, MARKER, new)
    assert "move or delete it" in str(caught.value)
    with pytest.raises(UserError, match="not written by this tool"):
        write(there, new)
    assert contents(there) == before and alone(there)


def test_without_a_record_nothing_known_is_overwritten(there, way):
    (there / RECORD).unlink()
    before = contents(there)
    check_replaceable(there, MARKER, NEW)
    with pytest.raises(UserError, match="no record .* move the fol") as caught:
        write(there, NEW)
    assert "wrote a.c, marker.txt, sub/b.c, which" in str(caught.value)
    assert contents(there) == before
    write(there, OLD)  # says the same
    assert contents(there) == before
    write(there, NEW)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"files": {"../x": "0"}}', '{"files": {"/x": "0"}}']
)
def test_a_damaged_record_is_none(there, text):
    (there.parent / "x").write_text("outside")
    (there / RECORD).write_text(text)
    with pytest.raises(UserError, match=r"wrote written\.json, which"):
        write(there, OLD)
    assert (there.parent / "x").is_file()


def test_results_are_set_aside(there, way):
    fill(there, {"tool/log": "1", "tool_old/log": "0"})
    write(there, NEW, aside={"tool": "tool_old_2"})
    have = contents(there)
    assert have["tool_old_2/log"] == "1" and have["tool_old/log"] == "0"
    assert not (there / "tool").exists()


# -- Whole or not at all ------------------------------------------------------
def calls_of(folder, monkeypatch, stop):
    """Write NEW with Ctrl-C at the n-th move; tell whether it came."""
    seen = 0

    def stopping(act):
        def stopped(*args, **words):
            nonlocal seen
            seen += 1
            if seen == stop:
                raise KeyboardInterrupt
            return act(*args, **words)

        return stopped

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "link"):
            patch.setattr(os, name, stopping(getattr(os, name)))
        patch.setattr(folders, "_exchange", stopping(folders._exchange))
        try:
            write(folder, NEW, aside={"tool": "tool_old"})
        except KeyboardInterrupt:
            return True
    return False


def test_ctrl_c_leaves_one_of_both_whole(tmp_path, way, monkeypatch):
    old = OLD | MINE | {"tool/log": "1"}
    new = NEW | MINE | {"tool_old/log": "1"}
    seen = set()
    for stop in range(1, 40):
        folder = tmp_path / str(stop) / "f"
        write(folder, OLD)
        fill(folder, MINE | {"tool/log": "1"})
        came = calls_of(folder, monkeypatch, stop)
        have = contents(folder)
        assert have in (old, new), stop
        assert alone(folder)
        seen.add(have == new)
        if not came:
            break
    assert stop > 4 and seen == {True, False}


KILLED = """
    import os, signal, sys
    from deploy import folders
    from test_folders import NEW, fill
    folder, way, stop = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seen = 0
    def killing(act):
        def killed(*args, **words):
            global seen
            seen += 1
            if seen == stop:
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*args, **words)
        return killed
    if way == "file by file":
        folders._exchange = lambda a, b: False
    with folders.whole_folder(folder, "marker.txt") as new:
        fill(new, NEW)
        for name in ("rename", "replace", "link", "unlink", "rmdir"):
            setattr(os, name, killing(getattr(os, name)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 2, 4, 6, 7, 8, 9, 10, 12])
def test_a_killed_process_is_cleared_up(there, way, stop):
    code = textwrap.dedent(KILLED)
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", code, str(there), way, str(stop)],
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode in (0, -signal.SIGKILL)
    mine = MINE | {"link": "mine"}
    if way == "at once":
        assert contents(there) in (OLD | mine, NEW | mine)
    check_replaceable(there, MARKER)
    assert alone(there)
    assert contents(there) in (OLD | mine, NEW | mine)


def test_who_is_at_work_is_left_alone(there):
    with whole_folder(there, MARKER) as new:
        check_replaceable(there, MARKER)
        assert new.is_dir()
        fill(new, NEW)
    assert (there / "a.c").read_text() == "new"


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with whole_folder(tmp_path / "x" / "y", MARKER) as new:
            fill(new, NEW)
            raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


# -- Where it can be ----------------------------------------------------------
@pytest.mark.parametrize("name", ["file/y", "file", "loop/y", "n" * 300])
def test_what_cannot_be_a_folder_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match="give another --output_folder"):
        check_replaceable(tmp_path / name, MARKER)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "loop"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_what_nobody_can_write_is_refused():
    with pytest.raises(UserError, match="no folder can be written there"):
        check_replaceable("/proc/y", MARKER)


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_what_this_user_cannot_write_is_refused(tmp_path):
    (tmp_path / "shut").mkdir(mode=0o555)
    for name in ("shut", "shut/y"):
        with pytest.raises(UserError, match="no folder can be written there"):
            check_replaceable(tmp_path / name, MARKER)


def test_the_working_folder_stays_the_same(tmp_path):
    with at(tmp_path):
        number = os.stat(".").st_ino
        write(".", OLD)
        fill(tmp_path, MINE)
        write(".", NEW)
        assert os.stat(".").st_ino == number == tmp_path.stat().st_ino
        assert contents(Path()) == NEW | MINE
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_the_folder_above_the_working_one_is_written(there):
    with at(there / "own"):
        write("..", NEW)
        assert Path("y/z").is_file() and Path("../a.c").read_text() == "new"


@pytest.mark.parametrize("target", ["f", "new"])
def test_a_link_stays(there, way, target):
    link = there.parent / "link"
    link.symlink_to(target)
    write(link, NEW)
    assert link.is_symlink() and os.readlink(link) == target
    assert (there.parent / target / "a.c").read_text() == "new"
    assert alone(there)


# -- The three commands -------------------------------------------------------
@pytest.fixture(scope="session")
def nnse_stream(tmp_path_factory):
    settings = SignalSettings(win_length=480, window="sqrt_hann")
    torch.manual_seed(0)
    layers = [
        {"layer_type": "conv1d", "layer_neurons": 4, "kernel_size": 6},
        {"layer_type": "fc", "layer_neurons": 257, "activation": "sigmoid"},
    ]
    model = NNSE(layers).eval()
    wav = speech_like(1.0, 16000)
    model.fit_normalisation([magnitude(stft(wav, settings), settings)])
    path = tmp_path_factory.mktemp("nnse_stream") / "stream.onnx"
    export_stream(model, settings, path)
    return path


@pytest.fixture(params=["c", "nnse", "st"])
def command(request):
    """Return a writer of a folder, a file of it, and one that is new."""
    if request.param == "c":
        model = request.getfixturevalue("quantized")("tcnn", "int8")

        def run(folder, other=False):
            c_package.generate(model, folder, "two" if other else "one")

        return run, "runtime/eb_float.c", "two.c"
    if request.param == "nnse":
        model = request.getfixturevalue("nnse_stream")

        def run(folder, other=False):
            words = ["--net_name", "se", "--net_id", "1" if other else "0"]
            words += ["--output_folder", str(folder)]
            nnse_tables.main([str(model), *words])

        return run, "def_nn0_se.c", "def_nn1_se.h"
    models = request.getfixturevalue("models")

    def run(folder, other=False):
        words = [str(models["lstm" if other else "stream"]), "--no_run"]
        words += ["--target", "stm32n6", "--vectors", "3"]
        assert stedgeai.main([*words, "--output_folder", str(folder)]) == 0

    return run, "README.md", "vectors/in_lstm0_h.npy"


def test_commands_keep_files_of_a_user(command, tmp_path):
    run, own, new = command
    folder = tmp_path / "f"
    run(folder)
    fill(folder, {"NOTES": "mine", "build-m4/a.o": "object"})
    run(folder)
    text = (folder / own).read_bytes()
    fill(folder, {new: "mine"})
    with pytest.raises(UserError, match="not written by this tool") as caught:
        run(folder, other=True)
    assert new in str(caught.value)
    (folder / new).unlink()
    (folder / own).write_bytes(text + b"edited")
    with pytest.raises(UserError, match="edited since") as caught:
        run(folder)
    assert own in str(caught.value)
    (folder / own).unlink()
    run(folder, other=True)
    assert (folder / new).is_file()
    assert (folder / "NOTES").read_text() == "mine"
    assert (folder / "build-m4" / "a.o").is_file()
    listed = json.loads((folder / RECORD).read_text())["files"]
    there = {*contents_names(folder)} - {"NOTES", "build-m4/a.o", RECORD}
    assert there == listed.keys()


def contents_names(folder):
    return [
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if p.is_file()
    ]


def test_commands_refuse_before_they_work(command, tmp_path, monkeypatch):
    run, own, _ = command
    folder = tmp_path / "f"
    run(folder)
    (folder / own).write_text("edited")

    def never(*_):
        raise AssertionError("worked")

    monkeypatch.setattr(c_package, "read", never)
    monkeypatch.setattr("deploy.nnse.read.read_network", never)
    monkeypatch.setattr("deploy.st.graph.Graph", never)
    (tmp_path / "file.yaml").write_text("x")
    for path in (folder, tmp_path / "file.yaml" / "y"):
        with pytest.raises(UserError, match="give another --output_folder"):
            run(path)


def test_commands_take_the_working_folder_and_links(command, tmp_path):
    run, own, _ = command
    (tmp_path / "w").mkdir()
    (tmp_path / "link").symlink_to("w")
    with at(tmp_path / "w"):
        run(Path())
        run(Path())
    run(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "w" / own).is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "w"]


def test_results_of_another_model_never_stay(models, tmp_path, capsys):
    folder = tmp_path / "p"

    def run(name, *words):
        words = [str(models[name]), "--no_run", "--vectors", "3", *words]
        words += ["--target", "stm32n6", "--output_folder", str(folder)]
        assert stedgeai.main(words) == 0
        return capsys.readouterr().out

    run("stream")
    fill(folder, {"tool/figures.json": "1"})
    assert "tool" not in run("stream").rpartition("package:")[2]
    assert (folder / "tool" / "figures.json").is_file()
    assert "now in tool_old/" in run("lstm")
    assert not (folder / "tool").exists()
    fill(folder, {"tool/figures.json": "2"})
    text = run("lstm", "--board", "serial:921600")
    assert "now in tool_old_2/" in text
    assert (folder / "tool_old" / "figures.json").read_text() == "1"
    assert (folder / "tool_old_2" / "figures.json").read_text() == "2"


def test_results_of_two_ways_to_run_never_mix(models, tmp_path, monkeypatch):
    stand_in = Path(__file__).with_name("stand_in_stedgeai.py")
    program = tmp_path / "stedgeai"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "p"
    words = [str(models["stream"]), "--target", "stm32n6", "--vectors", "3"]
    words += ["--output_folder", str(folder), "--stedgeai", str(program)]
    farm = {"benchmark": {"graph": {"exec_time": {"duration_ms": 99.0}}}}
    figures = folder / "tool" / "figures.json"
    for _ in range(2):
        assert stedgeai.main(words) == 0
    assert not (folder / "tool_old").exists()
    fill(folder, {"tool/benchmark/result.json": json.dumps(farm)})
    assert stedgeai.main(words) == 0
    assert json.loads(figures.read_text())["milliseconds"] != 99.0
    assert (folder / "tool_old" / "benchmark" / "result.json").is_file()
    monkeypatch.setenv("STAND_IN", "tool_error")
    assert stedgeai.main(words) == 3
    assert not figures.exists()
