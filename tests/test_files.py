"""Folders that a tool writes, and writes again."""

import json
import os
import subprocess
import sys
import time

from edgebrain import files
from edgebrain.errors import UserError
from edgebrain.files import RECORD, check_folder, whole_folder
import pytest

MARKER = "marker.txt"
OLD = {MARKER: "1", "a.c": "old", "sub/b.c": "old b", "gone/c.c": "c"}
NEW = {MARKER: "2", "a.c": "new", "sub/b.c": "new b", "sub/d.c": "d"}
MINE = {"NOTES": "mine", "sub/b.o": "object", "own/y/z": "z"}


def fill(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write(folder, files):
    with whole_folder(folder, MARKER) as new:
        fill(new, files)


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_text()
        for p in folder.rglob("*")
        if p.is_file() and p.name != RECORD
    }


@pytest.fixture
def there(tmp_path):
    """Return a written folder with files of a user in it."""
    folder = tmp_path / "f"
    write(folder, OLD)
    fill(folder, MINE)
    return folder


def test_files_of_a_user_stay_and_old_ones_of_the_tool_go(there):
    write(there, NEW)
    assert contents(there) == NEW | MINE
    assert not (there / "gone").exists()
    listed = json.loads((there / RECORD).read_text())["files"]
    assert listed.keys() == NEW.keys()
    (there / "a.c").unlink()
    write(there, OLD)
    assert contents(there) == OLD | MINE


def test_the_record_is_the_same_each_time(tmp_path):
    write(tmp_path / "a", OLD)
    write(tmp_path / "b", dict(reversed(OLD.items())))
    texts = [(tmp_path / x / RECORD).read_bytes() for x in "ab"]
    assert texts[0] == texts[1]


def test_an_edited_file_is_refused_by_name(there):
    (there / "sub/b.c").write_text("by hand")
    before = contents(there)
    with pytest.raises(UserError, match=r"sub/b\.c: edited since .* move or"):
        check_folder(there, MARKER)
    with pytest.raises(UserError, match="edited since"):
        write(there, NEW)
    assert contents(there) == before


def test_an_edit_while_the_tool_works_is_seen(there):
    with pytest.raises(UserError, match="edited since"):
        with whole_folder(there, MARKER) as new:
            fill(new, NEW)
            (there / "a.c").write_text("by hand")
    assert contents(there) == OLD | MINE | {"a.c": "by hand"}


def test_a_file_of_a_user_is_not_overwritten(there):
    fill(there, {"sub/d.c": "mine"})
    before = contents(there)
    with pytest.raises(UserError, match=r"sub/d\.c: not written by this tool"):
        write(there, NEW)
    assert contents(there) == before


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        '{"files": {"other.txt": "0"}}',
        '{"files": ["marker.txt"]}',
        '{"files": {"marker.txt": "0", "../x": "0"}}',
    ],
)
def test_a_folder_without_a_record_of_the_tool_is_refused(there, text):
    (there / RECORD).unlink()
    if text is not None:
        (there / RECORD).write_text(text)
    with pytest.raises(UserError, match="holds other files"):
        write(there, NEW)
    assert MINE.items() <= contents(there).items()


@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_changes_nothing(there, tmp_path, exists):
    folder = there if exists else tmp_path / "new"
    with pytest.raises(KeyboardInterrupt):
        with whole_folder(folder, MARKER) as new:
            fill(new, NEW)
            raise KeyboardInterrupt
    assert contents(there) == OLD | MINE
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_crash_among_the_moves_is_refused_afterwards(there, monkeypatch):
    replace, seen = os.replace, []

    def failing(source, target):
        if seen:
            raise OSError("no space")
        seen.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing)
        with pytest.raises(OSError):
            write(there, NEW)
    with pytest.raises(UserError, match="holds other files"):
        write(there, NEW)
    assert MINE.items() <= contents(there).items()


def test_an_empty_folder_the_working_one_and_links_are_taken(
    tmp_path, monkeypatch
):
    (tmp_path / "w").mkdir()
    (tmp_path / "link").symlink_to("w")
    monkeypatch.chdir(tmp_path / "w")
    number = os.stat(".").st_ino
    write(".", OLD)
    write(tmp_path / "link", NEW)
    assert os.stat(".").st_ino == number == (tmp_path / "w").stat().st_ino
    assert contents(tmp_path / "w") == NEW
    assert (tmp_path / "link").is_symlink()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    for name in ("file", "file/y"):
        with pytest.raises(UserError, match="give another"):
            check_folder(tmp_path / name, MARKER)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_what_this_user_cannot_write_is_refused(tmp_path):
    (tmp_path / "shut").mkdir(mode=0o555)
    for name in ("shut", "shut/y"):
        with pytest.raises(UserError, match="cannot be written"):
            check_folder(tmp_path / name, MARKER)


def test_a_thread_that_is_cut_off_leaves_no_half_file(tmp_path):
    """As Ctrl-C does while the cache is filled in threads."""
    code = (
        "import sys, threading, time\n"
        "from edgebrain.files import replacing\n"
        "def work():\n"
        "    with replacing(sys.argv[1] + '/a.wav') as path:\n"
        "        path.write_text('half')\n"
        "        time.sleep(60)\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.5)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert not list(tmp_path.iterdir())


def test_only_old_leftovers_are_removed(tmp_path):
    old, young = tmp_path / ".a.wav.1-x.tmp", tmp_path / ".b.wav.1-x.tmp"
    for path in (old, young):
        path.touch()
    past = time.time() - 7200
    os.utime(old, (past, past))
    files.remove_leftovers(tmp_path)
    assert not old.exists() and young.exists()


def test_json_is_written_only_if_it_differs(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": "ü"})
    os.utime(path, (1, 1))
    files.write_json(path, {"a": "ü"})
    assert path.stat().st_mtime == 1
    files.write_json(path, {"a": 2})
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert path.read_text() == '{\n  "a": 2\n}\n'
