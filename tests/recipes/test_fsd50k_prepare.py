"""The labels of FSD50K: most exact ones, published splits."""

import importlib.util
import json
from pathlib import Path
import sys

from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile

RECIPE = Path(__file__).parents[2] / "recipes" / "FSD50K"
NODES = [
    {"id": "/m/animal", "child_ids": ["/m/dog", "/m/cat"]},
    {"id": "/m/dog", "child_ids": []},
    {"id": "/m/cat", "child_ids": []},
]
ROW = {"dog": '"Dog,Animal","/m/dog,/m/animal"', "cat": '"Cat","/m/cat"'}
ROW["both"] = '"Dog,Cat,Animal","/m/dog,/m/cat,/m/animal"'


def load(path):
    sys.path.insert(0, str(RECIPE))
    spec = importlib.util.spec_from_file_location(path.stem + "_fsd", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def corpus(tmp_path):
    """Write a corpus of the layout: two clips a label and split."""
    (tmp_path / "FSD50K.ground_truth").mkdir()
    (tmp_path / "ontology.json").write_text(json.dumps(NODES))
    number, rng = 0, np.random.default_rng(1)
    for table, folder, splits in (
        ("dev", "dev_audio", ("train", "val")),
        ("eval", "eval_audio", ("",)),
    ):
        lines = [
            "fname,labels,mids,split" if table == "dev" else "fname,labels,mids"
        ]
        (tmp_path / f"FSD50K.{folder}").mkdir()
        for split in splits:
            for label in [*ROW] * 2:
                number += 1
                end = f",{split}" if split else ""
                lines.append(f"{number},{ROW[label]}{end}")
                wav = 0.1 * rng.standard_normal(17000)
                path = tmp_path / f"FSD50K.{folder}" / f"{number}.wav"
                soundfile.write(path, wav, 16000)
        text = "\n".join(lines) + "\n"
        (tmp_path / "FSD50K.ground_truth" / f"{table}.csv").write_text(text)
    return tmp_path


def test_keeps_the_most_exact_labels_and_the_splits(corpus):
    prepare = load(RECIPE / "fsd50k_prepare.py").prepare_fsd50k
    clips = prepare(corpus)
    assert len(clips) == 18
    assert {c.labels for c in clips} == {("Dog",), ("Cat",), ("Dog", "Cat")}
    counts = [
        sum(c.split == s for c in clips) for s in ("train", "valid", "test")
    ]
    assert counts == [6, 6, 6]
    single = prepare(corpus, only_keep_monolabel=True)
    assert len(single) == 12 and all(len(c.labels) == 1 for c in single)


def test_says_what_is_missing(corpus):
    module = load(RECIPE / "fsd50k_prepare.py")
    (corpus / "FSD50K.eval_audio" / "13.wav").unlink()
    with pytest.raises(UserError, match="13.wav"):
        module.prepare_fsd50k(corpus)
    (corpus / "ontology.json").unlink()
    with pytest.raises(UserError, match="get ontology.json"):
        module.prepare_fsd50k(corpus)


@pytest.mark.slow
@pytest.mark.integration
def test_trains_several_labels(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(RECIPE / "event_detection")
    out = tmp_path / "out"
    load(RECIPE / "event_detection" / "train.py").main(
        [
            *("train.yaml", "--data_folder", str(corpus), "--device", "cpu"),
            *("--output_folder", str(out), "--number_of_epochs", "1"),
            *("--cache_folder", str(tmp_path / "cache"), "--noprogressbar"),
        ]
    )
    scores = json.loads((out / "test_torch" / "metrics.json").read_text())
    assert scores["multi_label"] and scores["class_names"] == ["Cat", "Dog"]
    assert 0 < scores["network"]["lwlrap"] <= 100
