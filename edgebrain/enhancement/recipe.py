"""What the recipes of speech enhancement share: keys of the yaml, data."""

from pathlib import Path

from edgebrain.checks import Name, Number
from edgebrain.data.batching import (
    STRATEGIES,
    train_loader_kwargs,
)
from edgebrain.data.embedded.corpus import make_embedded_corpus
from edgebrain.data.manifest import PreparedData, prepare_folder
from edgebrain.data.sources import load_manifest
from edgebrain.enhancement.datasets import mixing_dataset, paired_dataset
from edgebrain.enhancement.mixing import MixingSettings
from edgebrain.training.experiment import Data, prepare_once
from edgebrain.training.keys import Built, whether
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import if_main_process

#: Top-level keys of a yaml that only enhancement reads.
KEYS = {
    "batching": Name("batching", STRATEGIES),
    "crop_seconds": Number(above=0, optional=True),
    "max_batch_seconds": Number(above=0, optional=True),
    "train_mixing": Built(MixingSettings),
    "eval_mixing": Built(MixingSettings),
    "one_stream": whether,
    "save_enhanced": whether,
    "wav_augment": None,
}


def make_datasets(hparams, prepare=None) -> Data:
    """Prepare the data and build the sets.

    Arguments
    ---------
    prepare : callable, optional
        ``prepare(hparams)`` returns a PreparedData; called on one process
        only. Left out: the data folder, or the embedded corpus, as it is.
    """
    return build_datasets(hparams, prepare_once(prepare or _folder, hparams))


def _folder(hparams) -> PreparedData:
    source = hparams.get("data_folder")
    cache = Path(hparams["cache_folder"])
    if source is None:
        print("No data_folder given: the embedded corpus is used.")
        source = make_embedded_corpus(
            cache / "embedded_corpus", sample_rate=hparams["sample_rate"]
        )
    return prepare_folder(
        source,
        Path(hparams["output_folder"]) / "manifests",
        hparams["sample_rate"],
        cache,
        hparams["seed"],
        skip_bad=hparams.get("skip_bad", False),
    )


def build_datasets(hparams, prepared) -> Data:
    """Build training, validation and test sets from manifests."""
    seed, rate = hparams["seed"], hparams["sample_rate"]
    crops = hparams["batching"] == "crops"
    crop_seconds = hparams["crop_seconds"] if crops else None
    common = {"sample_rate": rate, "seed": seed}
    sets, manifests = {}, prepared.manifests
    for split in ("train", "valid", "test"):
        train = split == "train"
        options = {
            **common,
            "crop_seconds": crop_seconds if train else None,
            "fixed": not train,
            "data_root": prepared.data_root,
        }
        if "paired" in manifests:
            # Of a mixing, pairs take the random level in training alone.
            levels = hparams.get("train_mixing") if train else None
            sets[split] = paired_dataset(
                manifests["paired"][split], settings=levels, **options
            )
            continue
        key = "train_mixing" if train else "eval_mixing"
        sets[split] = mixing_dataset(
            manifests["speech"][split],
            manifests.get("noise", {}).get(split),
            manifests.get("rir", {}).get(split),
            _possible(hparams[key], prepared, split, key),
            **options,
        )
    train_loader = train_loader_kwargs(
        sets["train"],
        hparams["batching"],
        hparams["batch_size"],
        seed,
        hparams["num_workers"],
        hparams.get("max_batch_seconds"),
    )
    # One clip a batch: padding could change what a score is made of.
    eval_loader = {
        "batch_size": 1,
        "num_workers": min(hparams["num_workers"], 1),
        "collate_fn": PaddedBatch,
    }
    return Data(**sets, train_loader=train_loader, eval_loader=eval_loader)


def _possible(mixing, prepared, split, key):
    """Switch off what the data folder has no recordings for, and say so."""
    manifests = prepared.manifests
    speech = load_manifest(manifests["speech"][split], prepared.data_root)
    speakers = {entry.get("speaker") for entry in speech.values()}
    missing = {
        "noise": "noise" not in manifests and mixing.noise_prob > 0,
        "reverb": "rir" not in manifests and mixing.reverb_prob > 0,
        "babble": len(speakers) < 2 and mixing.babble_prob > 0,
    }
    reasons = {
        "noise": "there is no noise/ folder",
        "reverb": "there is no rir/ folder",
        "babble": "there is one speaker",
    }
    for what, absent in missing.items():
        if absent and if_main_process():
            print(f"{key}, {split}: no {what}, for {reasons[what]}")
    return mixing.without(**missing)
