"""Fetch ESC-50, which ESC-10 is a part of.

K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM
Multimedia 2015, https://github.com/karolpiczak/ESC-50.
"""

from pathlib import Path

from edgebrain.data.archives import unpack
from edgebrain.data.download import download
from edgebrain.errors import UserError

#: The repository as an archive, and a copy of it that does not change.
URLS = (
    "https://paddleaudio.bj.bcebos.com/datasets/ESC-50-master.zip",
    "https://github.com/karolpiczak/ESC-50/archive/master.zip",
)
#: As HEAR, PaddleSpeech and soundata state it.
MD5 = "7771e4b9d86d0945acce719c7a59305a"
ARCHIVE = "ESC-50-master.zip"


def fetch_esc50(data_folder: Path | str | None, urls=URLS, md5=MD5) -> Path:
    """Return the folder of the corpus, downloaded unless it is there.

    Arguments
    ---------
    data_folder : Path, str or None
        Where it is, or shall be; the archive (600 MB) lies beside it until
        it is unpacked.

    Raises
    ------
    UserError
        The folder holds something else, or the corpus cannot be had.
    """
    if data_folder is None:
        raise UserError("download: set data_folder, where ESC-50 shall be")
    folder = Path(data_folder)
    if (folder / "meta" / "esc50.csv").is_file():
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder}: is there and is not ESC-50 (no meta/esc50.csv); "
            "choose another data_folder to download to"
        )
    archive = download(urls, folder.with_name(ARCHIVE), md5)
    unpack(archive, archive.stem, folder)
    archive.unlink()
    return folder
