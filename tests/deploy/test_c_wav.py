"""The wav example: whole files, damaged ones, and files that stay."""

import shutil
import subprocess

from c_models import sound
import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.skipif(
    not (shutil.which("cc") and shutil.which("make")),
    reason="no C compiler (cc) or make on this machine",
)


@pytest.fixture
def enhance(generated, tmp_path):
    """Return a function that runs enhance_wav in a folder of its own."""
    _, folder = generated("tcnn", "int8")
    soundfile.write(tmp_path / "noisy.wav", sound(1001, 3), 16000)

    def run(noisy, enhanced):
        return subprocess.run(
            [folder / "enhance_wav", noisy, enhanced],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=20,
        )

    run.folder = tmp_path
    assert not run("noisy.wav", "whole.wav").returncode
    return run


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 501])
def test_as_many_samples_come_out(enhance, count):
    pcm = sound(1001, 3)[:count]
    soundfile.write(enhance.folder / "short.wav", pcm, 16000)
    assert not enhance("short.wav", "out.wav").returncode
    assert soundfile.info(enhance.folder / "out.wav").frames == count


def test_input_and_output_may_be_the_same_file(enhance):
    assert not enhance("noisy.wav", "noisy.wav").returncode
    same = (enhance.folder / "noisy.wav").read_bytes()
    assert same == (enhance.folder / "whole.wav").read_bytes()


def test_a_header_that_says_too_much(enhance):
    """As of a wav that was written to a pipe, or cut off."""
    data = bytearray((enhance.folder / "noisy.wav").read_bytes())
    data[40:44] = b"\xff\xff\xff\xff"
    (enhance.folder / "pipe.wav").write_bytes(data)
    done = enhance("pipe.wav", "out.wav")
    assert not done.returncode and "ends after 1001 of" in done.stderr
    whole = (enhance.folder / "whole.wav").read_bytes()
    assert (enhance.folder / "out.wav").read_bytes() == whole


def test_what_follows_the_samples_is_no_sound(enhance):
    data = bytearray((enhance.folder / "noisy.wav").read_bytes())
    data += b"LIST" + (400).to_bytes(4, "little") + bytes(range(200)) * 2
    (enhance.folder / "more.wav").write_bytes(data)
    assert not enhance("more.wav", "out.wav").returncode
    whole = (enhance.folder / "whole.wav").read_bytes()
    assert (enhance.folder / "out.wav").read_bytes() == whole


@pytest.mark.parametrize("kind", ["stereo", "rate", "24 bits", "text", "none"])
def test_a_refused_file_leaves_the_older_output(enhance, kind):
    path, pcm = enhance.folder / "bad.wav", sound(300)
    if kind == "stereo":
        soundfile.write(path, np.stack([pcm, pcm], 1), 16000)
    elif kind == "rate":
        soundfile.write(path, pcm, 8000)
    elif kind == "24 bits":
        soundfile.write(path, pcm, 16000, subtype="PCM_24")
    elif kind == "text":
        path.write_text("no sound at all, but long enough for a header")
    before = (enhance.folder / "whole.wav").read_bytes()
    assert enhance("bad.wav", "whole.wav").returncode
    assert (enhance.folder / "whole.wav").read_bytes() == before
    assert not list(enhance.folder.glob("*.part"))
