"""What a path may be, and what is said when it is something else."""

import json
import shutil

from edgebrain.enhancement import load_enhancer
from edgebrain.errors import UserError
import numpy as np
import pytest
import torch


def test_best_checkpoint_is_taken(small_network, results_folder):
    models = [small_network(seed) for seed in range(4)]
    folder = results_folder(models, [0.6, 0.9, float("nan"), 0.7])
    enhancer = load_enhancer(folder)
    facts = enhancer.facts()
    assert facts["checkpoint"] == "CKPT+epoch2" and facts["epoch"] == 2
    magnitude = np.random.default_rng(0).random((257, 20), np.float32)
    with torch.inference_mode():
        expected = models[1](torch.from_numpy(magnitude)[None])[0].numpy()
    assert np.allclose(enhancer.runner.run(magnitude), expected, atol=1e-6)


def test_reading_leaves_a_running_training_alone(small_network, results_folder):
    folder = results_folder([small_network()])
    partial = folder / "save" / "partial-CKPT+next"
    partial.mkdir()
    load_enhancer(folder)
    assert partial.is_dir()


def test_one_checkpoint_may_be_given(small_network, results_folder):
    folder = results_folder([small_network(0), small_network(1)], [0.9, 0.1])
    facts = load_enhancer(folder / "save" / "CKPT+epoch2").facts()
    assert facts["epoch"] == 2 and facts["selected_by"] is None


def test_choice_from_a_folder_of_files(onnx_folder):
    assert load_enhancer(onnx_folder).form == "stream"
    assert load_enhancer(onnx_folder, form="patch").form == "patch"
    with pytest.raises(UserError, match="no int8 form, only: offline float32"):
        load_enhancer(onnx_folder, precision="int8")


def test_exported_forms_of_a_results_folder(
    small_network, results_folder, onnx_folder
):
    folder = results_folder([small_network()])
    assert load_enhancer(folder).form == "torch"
    with pytest.raises(UserError, match="export_onnx.py"):
        load_enhancer(folder, form="stream")
    shutil.copytree(onnx_folder, folder / "export")
    assert load_enhancer(folder, form="stream").form == "stream"


def test_somebody_elses_file(onnx_folder, tmp_path):
    import onnx

    model = onnx.load(onnx_folder / "offline.onnx")
    del model.metadata_props[:]
    path = tmp_path / "foreign.onnx"
    onnx.save(model, path)
    with pytest.raises(UserError, match="no metadata"):
        load_enhancer(path)
    settings = {"sample_rate": 16000, "n_fft": 512}
    settings |= {"win_length": 400, "hop_length": 160}
    foreign = load_enhancer(path, **settings)
    wav = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    ours = load_enhancer(onnx_folder / "offline.onnx")
    assert np.array_equal(foreign.enhance(wav), ours.enhance(wav))
    with pytest.raises(UserError, match="carries metadata"):
        load_enhancer(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"form": "strem"}, "did you mean stream"),
        ({"precision": "int9"}, "did you mean int8"),
        ({"n_fft": 256}, "leave out --n_fft"),
    ],
)
def test_wrong_options(causal_folder, options, words):
    with pytest.raises(UserError, match=words):
        load_enhancer(causal_folder, **options)


def test_what_cannot_be_loaded(tmp_path, causal_folder):
    with pytest.raises(UserError, match="does not exist"):
        load_enhancer(tmp_path / "nothing")
    with pytest.raises(UserError, match="holds no ONNX file"):
        load_enhancer(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match="is not an ONNX file"):
        load_enhancer(tmp_path / "a.txt")
    with pytest.raises(UserError, match="no checkpoint"):
        load_enhancer(tmp_path, form="torch")
    copy = shutil.copytree(causal_folder, tmp_path / "copy")
    checkpoint = copy / "save" / "CKPT+epoch1"
    (checkpoint / "model.ckpt").write_bytes(b"garbage")
    with pytest.raises(UserError, match="cannot be read as weights"):
        load_enhancer(copy)
    card = checkpoint / "model_card.ckpt"
    content = json.loads(card.read_text())
    card.write_text(json.dumps({**content, "model_class": "nowhere.Net"}))
    with pytest.raises(UserError, match="folder that holds nowhere.py"):
        load_enhancer(copy)
    card.write_text(json.dumps({**content, "model_arguments": None}))
    with pytest.raises(UserError, match="MaskModel"):
        load_enhancer(copy)
    card.unlink()
    with pytest.raises(UserError, match="model_card"):
        load_enhancer(copy)
