"""Write a data set out as pairs in the layout of the Valentini corpus.

``clean_testset_wav/<id>.wav`` and ``noisy_testset_wav/<id>.wav`` (16-bit
PCM), and ``mixed_testset.csv`` with what was mixed into each.
"""

from dataclasses import astuple, fields
from pathlib import Path

from edgebrain.data import audio
from edgebrain.enhancement.mixer import MixInfo
from edgebrain.errors import UserError, unknown_name
from edgebrain.progress import Progress
from edgebrain.report.tables import write_csv

SPLITS = {"train": "trainset", "valid": "validset", "test": "testset"}


def file_name(utterance_id: str) -> str:
    """Return the file name of an id, which may hold folders.

    >>> file_name("speech/test/p232/p232_001")
    'speech_test_p232_p232_001.wav'
    """
    return utterance_id.replace("/", "_").replace("\\", "_") + ".wav"


def write_pairs(
    dataset, folder: Path | str, split: str, sample_rate: int
) -> Path:
    """Write every item of a data set, at its current epoch.

    A mixing set made with ``fixed=True`` gives the same files each time.
    The two signals of a pair get no further gain, so their relation stays.

    Arguments
    ---------
    folder : Path or str
        Where to. The two folders of the split must not hold wavs yet, or
        files of another set would mix with these.

    Returns
    -------
    Path
        The csv file: a row an item, ``file`` and the fields of
        :class:`~edgebrain.enhancement.mixer.MixInfo`.

    Raises
    ------
    UserError
        For an unknown split, folders that hold wavs, ids that lead to one
        file name.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    folder = Path(folder)
    targets = {
        key: folder / f"{key}_{SPLITS[split]}_wav" for key in ("clean", "noisy")
    }
    problems = [
        f"{target}: holds wav files already; give an empty folder"
        for target in targets.values()
        if target.is_dir() and any(target.glob("*.wav"))
    ]
    names: dict[str, str] = {}
    for utterance_id in dataset.data_ids:
        name = file_name(utterance_id)
        if name in names:
            problems.append(
                f"{names[name]} and {utterance_id} would both be {name}; "
                "rename one of the files"
            )
        names[name] = utterance_id
    if problems:
        raise UserError.collect("writing pairs", problems)
    for target in targets.values():
        target.mkdir(parents=True, exist_ok=True)
    rows = []
    keys = ["id", "noisy_sig", "clean_sig", "mix_info"]
    with dataset.output_keys_as(keys):
        for index in Progress(range(len(dataset)), desc=f"{split} pairs"):
            item = dataset[index]
            name = file_name(item["id"])
            for key, target in targets.items():
                wav = item[f"{key}_sig"].numpy()
                audio.write(target / name, wav, sample_rate)
            rows.append([name, *_cells(item["mix_info"])])
    table = folder / f"mixed_{SPLITS[split]}.csv"
    columns = ["file", *(field.name for field in fields(MixInfo))]
    write_csv(table, [columns, *rows])
    return table


def _cells(info: MixInfo) -> list[object]:
    """Return the values of a row; several are joined by spaces."""
    return [
        " ".join(map(str, value)) if isinstance(value, tuple) else value
        for value in astuple(info)
    ]
