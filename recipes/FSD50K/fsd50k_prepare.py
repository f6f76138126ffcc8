"""List the clips of FSD50K with the labels that are most exact.

FSD50K (Fonseca et al., 2022, https://zenodo.org/records/4060432) propagates
each label to its parents in the AudioSet ontology. Of a clip, labels whose
direct child is there too are dropped, as the STM32 model zoo does; clips that
still have several can be left out.
"""

from collections.abc import Iterable, Mapping
import csv
import json
from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.events.listing import LabelledClip

#: Table, folder of recordings and split of each part of the corpus.
PARTS = (
    ("dev.csv", "FSD50K.dev_audio", None),
    ("eval.csv", "FSD50K.eval_audio", "test"),
)
_SPLITS = {"train": "train", "val": "valid"}


def prepare_fsd50k(
    data_folder: Path | str,
    csv_folder: Path | str | None = None,
    ontology: Path | str | None = None,
    only_keep_monolabel: bool = False,
) -> list[LabelledClip]:
    """Return the clips of the corpus with their splits.

    The data folder holds FSD50K.dev_audio and FSD50K.eval_audio, and, unless
    given, FSD50K.ground_truth (``csv_folder``) and AudioSet's ontology.json.
    ``only_keep_monolabel`` leaves out clips that have several labels after
    all.
    """
    folder = Path(data_folder)
    tables = Path(csv_folder or folder / "FSD50K.ground_truth")
    children = read_ontology(Path(ontology or folder / "ontology.json"))
    clips, missing = [], []
    for table, audio, split in PARTS:
        path = tables / table
        if not path.is_file():
            raise UserError(
                f"{path}: does not exist; get FSD50K.ground_truth, or set "
                "csv_folder"
            )
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        for row in rows:
            wav = folder / audio / f"{row['fname']}.wav"
            labels = dict(
                zip(
                    row["mids"].split(","),
                    row["labels"].split(","),
                    strict=True,
                )
            )
            kept = [labels[mid] for mid in most_exact(labels, children)]
            if only_keep_monolabel and len(kept) > 1:
                continue
            if not wav.is_file():
                missing.append(str(wav))
                continue
            clips.append(
                LabelledClip(
                    f"{audio}/{row['fname']}",
                    wav,
                    tuple(kept),
                    row["fname"],
                    split=split or _SPLITS[row["split"]],
                )
            )
    if missing:
        raise UserError.collect(
            f"{folder}: recordings of the tables are missing",
            [
                *missing[:5],
                *([f"and {len(missing) - 5} more"] * (len(missing) > 5)),
            ],
        )
    return sorted(clips, key=lambda clip: clip.id)


def read_ontology(path: Path) -> dict[str, set[str]]:
    """Return the direct children of each class, by AudioSet's ids."""
    try:
        nodes = json.loads(path.read_text(encoding="utf-8"))
        return {node["id"]: set(node["child_ids"]) for node in nodes}
    except FileNotFoundError:
        raise UserError(
            f"{path}: does not exist; get ontology.json of AudioSet "
            "(github.com/audioset/ontology), or set ontology"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is no ontology ({error!r})") from None


def most_exact(
    mids: Iterable[str], children: Mapping[str, set[str]]
) -> list[str]:
    """Return the labels none of whose direct children is there too.

    >>> most_exact(["animal", "dog"], {"animal": {"dog"}, "dog": set()})
    ['dog']
    """
    mids = list(mids)
    return [m for m in mids if not children.get(m, set()) & set(mids)]
