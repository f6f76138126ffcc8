"""Every command in the template's README is right."""

import re
import shlex

from hyperpyyaml import load_hyperpyyaml
import numpy as np
import pytest
import soundfile
from template_runs import RATE, TEMPLATE, TINY, librispeech, run, voice

README = (TEMPLATE / "README.md").read_text(encoding="utf-8")


def blocks(*languages):
    kinds = "|".join(languages)
    return re.findall(rf"```(?:{kinds})\n(.*?)```", README, re.DOTALL)


def commands():
    """Return the commands of all blocks, words apart."""
    text = "\n".join(blocks("bash")).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.strip()]


def mentioned():
    """Return the options that the text names, words apart."""
    spans = re.findall(r"`(--[^`]+)`", re.sub(r"```.*?```", "", README))
    return [shlex.split(span) for span in spans]


def test_options_are_understood(template, copy_of_template, monkeypatch):
    """The yaml knows each key; SpeechBrain knows each flag."""
    trained = [
        words[words.index("train.py") + 1 :]
        for words in commands()
        if "train.py" in words
    ]
    plain = ["train.yaml", "--data_folder", "data"]
    given = trained + [plain + words for words in mentioned()]
    assert plain in trained and len(given) > len(trained) > 3
    monkeypatch.chdir(copy_of_template)
    outputs = set()
    for words in given:
        yaml, _, overrides = template.helpers.parse(words)
        with open(yaml, encoding="utf-8") as file:
            hparams = load_hyperpyyaml(file, overrides)
        assert set(hparams["extra_downloads"]) <= set(hparams["archives"])
        if "--output_folder" not in words:
            outputs.add(hparams["output_folder"])
    (output,) = outputs
    # What is enhanced with is what was trained, in the python block too.
    enhanced = [w for w in commands() if "enhance_file.py" in w]
    assert [words[2] for words in enhanced] == [output]
    assert f'source="{output}/export"' in "".join(blocks("python"))
    assert set(re.findall(r"results/[\w/]+\d", README)) == {output}


def test_files_are_all_listed():
    table = README.split("\n## Files\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+\.(?:py|yaml|txt))`", table))
    there = {
        path.name
        for path in TEMPLATE.iterdir()
        if path.suffix in (".py", ".yaml", ".txt")
    }
    assert named == there


@pytest.mark.slow
@pytest.mark.integration
def test_commands_run_as_they_stand(copy_of_template, train_here):
    """From pip's requirements to an enhanced file, on tiny data."""
    copy = librispeech(copy_of_template / "data").parent
    rng = np.random.default_rng(3)
    for split in ("train", "valid", "test"):
        noise = 0.1 * rng.normal(size=RATE)
        (copy / "NOISES" / split).mkdir(parents=True)
        path = copy / "NOISES" / split / "hiss.wav"
        soundfile.write(path, noise, RATE)
        room = rng.normal(size=2000) * np.exp(-np.arange(2000) / 300)
        (copy / "ROOMS" / split).mkdir(parents=True)
        path = copy / "ROOMS" / split / "room.wav"
        soundfile.write(path, room / abs(room).max(), RATE)
    noisy = voice(3) + 0.02 * rng.normal(size=len(voice(3)))
    soundfile.write(copy / "noisy.wav", noisy, RATE)
    tiny = [word for word in TINY if word != "--noprogressbar"]
    small = dict(zip(tiny[::2], tiny[1::2], strict=True))
    small["--number_of_epochs"] = "1"
    # A newcomer tries first whether everything works.
    todo = sorted(commands(), key=lambda words: "--debug" not in words)
    ran = []
    for words in todo:
        if words[0] == "pip":
            assert words[1:3] == ["install", "-r"]
            assert (copy / words[3]).is_file()
            continue
        assert words[0] == "python"
        if words[1] == "train.py":
            words = ["data" if word == "DATA" else word for word in words]
            for option, value in small.items():
                if option not in words:
                    words = [*words, option, value]
        if words[1] in ran and words[1] == "train.py":
            train_here(words[2:])
        else:
            run(copy, *words[1:])
        ran.append(words[1])
    assert ran.count("train.py") > 3 and "enhance_file.py" in ran
    enhanced, rate = soundfile.read(copy / "enhanced.wav")
    assert (rate, len(enhanced)) == (RATE, len(noisy))
    (copy / "enhanced.wav").unlink()
    (usage,) = blocks("python")
    (copy / "own.py").write_text("import guard_torchaudio\n" + usage)
    run(copy, "own.py")
    again, _ = soundfile.read(copy / "enhanced.wav")
    assert np.abs(again - enhanced).max() < 1e-4
