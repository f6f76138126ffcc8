import os

from edgebrain.stamps import digest


def test_changes_that_count_and_those_that_do_not(tmp_path):
    wav, text = tmp_path / "a" / "x.wav", tmp_path / "a" / "notes.txt"
    wav.parent.mkdir()
    wav.write_bytes(b"12")
    text.write_text("one")
    os.utime(wav, ns=(5, 5))
    first = digest([tmp_path / "a"])
    os.utime(text, ns=(5, 5))
    (tmp_path / "a" / ".hidden").write_text("x")
    (tmp_path / "a" / "__pycache__").mkdir()
    (tmp_path / "a" / "__pycache__" / "m.pyc").write_text("x")
    assert digest([tmp_path / "a"]) == first

    os.utime(wav, ns=(6, 6))
    touched = digest([tmp_path / "a"])
    assert touched != first
    text.write_text("two")
    assert digest([tmp_path / "a"]) not in (first, touched)
    assert digest([text, wav]) != digest([wav, text])
    assert digest([tmp_path / "none"]) == digest([])


def test_a_file_that_is_renamed_counts(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    first = digest([tmp_path])
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    assert digest([tmp_path]) != first
