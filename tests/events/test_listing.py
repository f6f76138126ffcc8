"""Which clips a folder holds, and that no source is in two splits."""

from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.events.listing import (
    OTHER,
    LabelledClip,
    choose_classes,
    list_clips,
    split_by_fold,
    split_by_group,
    split_labels,
)
import numpy as np
import pytest
import soundfile


def clip(name, *labels, group=None, **fields):
    return LabelledClip(name, Path(name), labels, group or name, **fields)


def silence(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(160), 16000)


def test_reads_the_layout_of_esc_whatever_the_suffix(tmp_path):
    silence(tmp_path / "audio" / "1-17-A-0.ogg")
    silence(tmp_path / "audio" / "2-18-B-0.wav")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(
        "filename,fold,target,category,esc10,src_file,take\n"
        "1-17-A-0.wav,1,0,dog,True,17,A\n2-18-B-0.wav,2,0,dog,True,18,B\n"
    )
    first, second = list_clips(tmp_path)
    assert (first.id, first.labels, first.fold) == ("1-17-A-0", ("dog",), 1)
    assert (first.group, first.path.suffix) == ("17", ".ogg")
    assert second.path.suffix == ".wav"


def test_reads_a_folder_for_each_class(tmp_path):
    silence(tmp_path / "dog" / "a.wav")
    silence(tmp_path / "cat" / "loud" / "b.flac")
    assert [(c.id, c.labels) for c in list_clips(tmp_path)] == [
        ("cat/loud/b", ("cat",)),
        ("dog/a", ("dog",)),
    ]


@pytest.mark.parametrize("text", ["Bark,Dog", "['Bark', 'Dog']", "Bark; Dog"])
def test_reads_several_labels(text):
    assert split_labels(text) == ("Bark", "Dog")


@pytest.mark.parametrize(
    "rows, message",
    [
        ("filename,label\na.wav,dog\n", "has no column 'category'"),
        ("filename,category\nb.wav,dog\n", r"line 2: .*b.wav does not exist"),
        ("filename,category\n,dog\n", "line 2: .* does not exist"),
        ("filename,category\na.wav,\n", "line 2: a.wav has no category"),
        ("filename,category\na.wav,dog\na.wav,cat\n", "line 3: .*there twice"),
        ("filename,category,fold\na.wav,dog,x\n", "line 2: fold 'x'"),
        ("filename,category,split\na.wav,dog,x\n", "line 2: split 'x'"),
    ],
)
def test_refuses_a_table_that_misleads(tmp_path, rows, message):
    silence(tmp_path / "a.wav")
    (tmp_path / "table.csv").write_text(rows)
    with pytest.raises(UserError, match=message):
        list_clips(tmp_path)


def test_names_lines_that_are_to_be_mended(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = Path("table.csv")
    table.write_text("filename,category\n,dog\n")
    with pytest.raises(UserError, match="table.csv .* or take them out"):
        list_clips(".")
    table.write_bytes("filename,category\na.wav,B\u00e4r\n".encode("latin-1"))
    with pytest.raises(UserError, match="table.csv: save it in UTF-8"):
        list_clips(".")


def test_refuses_a_folder_without_clips(tmp_path):
    with pytest.raises(UserError, match="a folder of recordings for each"):
        list_clips(tmp_path)
    with pytest.raises(UserError, match="no such data folder"):
        list_clips(tmp_path / "nowhere")


CLIPS = [clip(f"{label}{i}", label) for label in "abcd" for i in range(6)]


def test_chooses_classes():
    chosen, names = choose_classes(CLIPS, ["b", "a"], False)
    assert names == ["b", "a"] and len(chosen) == 12
    assert choose_classes(CLIPS, None, False)[1] == list("abcd")


def test_garbage_is_as_large_as_a_class():
    chosen, names = choose_classes(CLIPS, ["a", "b"], False, True)
    assert names == ["a", "b", OTHER]
    # 6 clips a class over 2 other classes: 3 each.
    other = [c.id[0] for c in chosen if c.labels == (OTHER,)]
    assert other == list("cccddd")
    again, _ = choose_classes(CLIPS[::-1], ["a", "b"], False, True)
    assert again == chosen


@pytest.mark.parametrize(
    "names, several, message",
    [
        (["a", "e"], False, "class 'e' has no clip"),
        (["a"], False, "one class only"),
        (["a", "a"], True, "there twice"),
    ],
)
def test_refuses_classes(names, several, message):
    with pytest.raises(UserError, match=message):
        choose_classes(CLIPS, names, several)


def test_refuses_several_labels_for_one():
    several = [*CLIPS, clip("x", "a", "b")]
    with pytest.raises(UserError, match="set multi_label: True"):
        choose_classes(several, None, False)
    assert choose_classes(several, None, True)[0][-1].labels == ("a", "b")


def folded(group_of=lambda label, fold: f"{label}{fold}"):
    return [
        clip(f"{x}{fold}{i}", x, group=group_of(x, fold), fold=fold)
        for x in "ab"
        for fold in (1, 2, 3)
        for i in range(2)
    ]


def test_folds_keep_the_test_fold_away():
    splits = split_by_fold(folded(), 2, 3)
    assert {c.fold for c in splits["test"]} == {2}
    assert {c.fold for c in splits["valid"]} == {3}
    assert {c.fold for c in splits["train"]} == {1}
    assert {c.fold for c in split_by_fold(folded(), 2, None)["train"]} == {1, 3}


def test_refuses_folds():
    with pytest.raises(UserError, match="fold 7: there is 1, 2, 3"):
        split_by_fold(folded(), 7, None)
    shared = folded(lambda label, fold: label)
    with pytest.raises(UserError, match="2 sources are in two splits"):
        split_by_fold(shared, 1, 2)
    untrained = [c for c in folded() if c.labels != ("a",) or c.fold == 1]
    with pytest.raises(UserError, match="class 'a' has 2 clips to test"):
        split_by_fold(untrained, 1, None)


def test_splits_by_source():
    clips = [
        clip(f"{x}{g}{i}", x, group=f"{x}{g}")
        for x in "ab"
        for g in range(10)
        for i in range(3)
    ]
    splits = split_by_group(clips, 1)
    groups = {s: {c.group for c in part} for s, part in splits.items()}
    assert sum(map(len, groups.values())) == 20
    assert len(set.union(*groups.values())) == 20
    for part in splits.values():
        assert {c.labels[0] for c in part} == {"a", "b"}
    assert split_by_group(clips[::-1], 1) == splits
    few = [c for c in clips if c.labels == ("b",) or c.group in ("a1", "a2")]
    with pytest.raises(UserError, match="class 'a': 2 sources"):
        split_by_group(few, 1)


def test_takes_the_splits_of_a_table():
    clips = [
        clip(f"{x}{s}{i}", x, split=s)
        for x in "ab"
        for s in ("train", "test")
        for i in range(8)
    ]
    splits = split_by_group(clips, 1)
    assert all(c.split == "test" for c in splits["test"])
    assert splits["valid"] and splits["train"]
    assert len(splits["test"]) == 16
