"""What the sections share: the data they run on."""

from pathlib import Path

from edgebrain.data.embedded.corpus import make_embedded_corpus
from edgebrain.data.manifest import prepare_folder
from edgebrain.enhancement.datasets import mixing_dataset
from edgebrain.enhancement.mixing import MixingSettings
from edgebrain.enhancement.write_pairs import write_pairs

RATE = 16000
SEED = 1234
CROP_SECONDS = 4.0
#: Training items used: enough for a steady figure.
ITEMS = 120


def prepared(cache: Path):
    """Return the manifests of the embedded corpus."""
    corpus = make_embedded_corpus(cache / "embedded_corpus")
    return prepare_folder(corpus, cache / "benchmark", RATE, cache, SEED)


def training_set(cache: Path, settings: MixingSettings | None = None):
    """Return the training set of the embedded corpus in crops."""
    data = prepared(cache)
    dataset = mixing_dataset(
        data.manifests["speech"]["train"],
        data.manifests["noise"]["train"],
        data.manifests["rir"]["train"],
        settings or MixingSettings(),
        RATE,
        SEED,
        CROP_SECONDS,
        data_root=data.data_root,
    )
    return dataset.filtered_sorted(select_n=ITEMS)


def ready_pairs(cache: Path) -> list[tuple[Path, Path]]:
    """Return the training crops as (noisy, clean) files, written once."""
    folder = cache / "benchmark" / "pairs"
    names = ("noisy_trainset_wav", "clean_trainset_wav")
    if not (folder / "mixed_trainset.csv").exists():
        write_pairs(training_set(cache), folder, "train", RATE)
    noisy, clean = (sorted((folder / name).glob("*.wav")) for name in names)
    return list(zip(noisy, clean, strict=True))
