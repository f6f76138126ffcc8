"""The copyable SpeechBrain template, run the way a person runs it."""

import ast
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import importlib
import io
import json
import math
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from types import SimpleNamespace
import zipfile

import numpy as np
import pytest
import soundfile

TEMPLATE = Path(__file__).parents[2] / "templates" / "enhancement"
RATE = 16000
PARTS = {"train-clean-5": 3, "dev-clean-2": 2, "test-clean": 2}
TINY = [
    "--model",
    "{projection: 16, rnn_size: 16, layers: 2}",
    "--mixing",
    "{segment_seconds: 1.0}",
    "--train_loader_options",
    "{batch_size: 2, num_workers: 0}",
    "--valid_loader_options",
    "{batch_size: 2, num_workers: 0}",
    "--test_loader_options",
    "{num_workers: 0}",
    "--download",
    "False",
    "--noprogressbar",
    "--device",
    "cpu",
]


def voice(seed, seconds=1.5):
    """Return harmonics of a wandering pitch in syllables, with pauses."""
    rng = np.random.default_rng(seed)
    time_axis = np.arange(int(seconds * RATE)) / RATE
    pitch = rng.uniform(90, 220) * (
        1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 3) * time_axis)
    )
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = rng.uniform([300, 900, 2200], [800, 2000, 3000])
    wav = np.zeros_like(time_axis)
    for harmonic in range(1, 25):
        gain = sum(
            np.exp(-(((harmonic * pitch - f) / 200) ** 2)) for f in formants
        )
        wav += (gain + 0.02) * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 3 * time_axis + seed), 0, None)
    wav *= syllables
    return 0.3 * wav / np.abs(wav).max()


def librispeech(folder, parts=PARTS):
    """Lay out a tiny LibriSpeech: speaker/chapter/speaker-chapter-n.flac."""
    for part, (name, speakers) in enumerate(parts.items()):
        for speaker in range(1, speakers + 1):
            chapter = folder / "LibriSpeech" / name / f"{speaker}" / "7"
            chapter.mkdir(parents=True)
            for n in range(3):
                wav = voice(100 * part + 10 * speaker + n)
                soundfile.write(chapter / f"{speaker}-7-000{n}.flac", wav, RATE)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return librispeech(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def copy_of_template(tmp_path_factory):
    """Return a copy outside the repository, as a user has it."""
    folder = tmp_path_factory.mktemp("user") / "my project"
    shutil.copytree(
        TEMPLATE, folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder


@pytest.fixture(scope="module")
def template(copy_of_template):
    """Import the copy's modules, and forget them again afterwards."""
    names = [path.stem for path in TEMPLATE.glob("*.py")]
    before = {n: sys.modules.pop(n) for n in names if n in sys.modules}
    sys.path.insert(0, str(copy_of_template))
    yield SimpleNamespace(**{n: importlib.import_module(n) for n in names})
    sys.path.remove(str(copy_of_template))
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def environment():
    keep = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return {**keep, "OMP_NUM_THREADS": "1"}


def start(folder, script, *arguments):
    return subprocess.Popen(
        [sys.executable, script, *map(str, arguments)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder, script, *arguments, status=0):
    process = start(folder, script, *arguments)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == status, output
    return output


def train(folder, data, output, *arguments, **kwargs):
    return run(
        folder,
        "train.py",
        "train.yaml",
        "--data_folder",
        data,
        "--output_folder",
        output,
        "--number_of_epochs",
        3,
        *TINY,
        *arguments,
        **kwargs,
    )


@pytest.fixture(scope="module")
def trained(copy_of_template, data):
    output = copy_of_template / "results" / "whole"
    text = train(copy_of_template, data, output)
    return SimpleNamespace(folder=output, text=text)


def weights(output):
    import torch

    return torch.load(output / "export" / "enhance_model.ckpt")


def test_template_stands_alone():
    """No module of it imports this repository, and pip has the rest."""
    own = {path.stem for path in TEMPLATE.glob("*.py")}
    listed = (TEMPLATE / "extra_requirements.txt").read_text().lower()
    for path in TEMPLATE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module]
            for name in {n.split(".")[0] for n in names}:
                known = name in sys.stdlib_module_names or name in own
                assert known or name.split("_")[0] in listed, (path, name)


@pytest.mark.slow
@pytest.mark.integration
def test_training_writes_scores_and_a_table(trained):
    report = json.loads((trained.folder / "test_scores.json").read_text())
    rows = trained.text.splitlines()
    noisy = next(i for i, r in enumerate(rows) if r.startswith("noisy "))
    assert rows[noisy + 1].startswith("enhanced ")
    for signal_name in ("noisy", "enhanced"):
        assert 0 < report[signal_name]["stoi"]["average"] <= 1
        assert report[signal_name]["pesq"]["clips"] == 6
    assert f"{report['enhanced']['stoi']['average']:.4f}" in rows[noisy + 1]
    per_clip = (trained.folder / "test_per_clip.csv").read_text().splitlines()
    assert len(per_clip) == 1 + 6


@pytest.mark.slow
@pytest.mark.integration
def test_test_only_repeats_the_scores(trained, copy_of_template, data):
    before = (trained.folder / "test_scores.json").read_bytes()
    (trained.folder / "test_scores.json").unlink()
    # Another batch size must not matter either.
    train(
        copy_of_template,
        data,
        trained.folder,
        "--test_only",
        "True",
        "--skip_prep",
        "True",
    )
    assert (trained.folder / "test_scores.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.integration
def test_killed_run_resumes_to_the_same_end(trained, copy_of_template, data):
    """Kill -9 in mid-epoch; the resumed run ends bit for bit the same."""
    output = copy_of_template / "results" / "killed"
    arguments = ["--ckpt_interval_steps", 1, "--ckpt_interval_minutes", 0]
    process = start(
        copy_of_template,
        "train.py",
        "train.yaml",
        "--data_folder",
        data,
        "--output_folder",
        output,
        "--number_of_epochs",
        3,
        *TINY,
        *arguments,
    )
    deadline = time.time() + 120
    while not list((output / "save").glob("CKPT*")):
        assert process.poll() is None, process.communicate()[0]
        assert time.time() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (output / "test_scores.json").exists()
    train(copy_of_template, data, output, *arguments)
    resumed, whole = weights(output), weights(trained.folder)
    assert resumed.keys() == whole.keys()
    for key in whole:
        assert (resumed[key] == whole[key]).all(), key
    scores = [
        (o / "test_scores.json").read_bytes() for o in (output, trained.folder)
    ]
    assert scores[0] == scores[1]


CLEAN_PROCESS = """
import sys
sys.path.insert(0, sys.argv[4])
import guard_torchaudio
sys.path.remove(sys.argv[4])
import numpy as np, torch
from speechbrain.inference.enhancement import SpectralMaskEnhancement
model = SpectralMaskEnhancement.from_hparams(
    source=sys.argv[1], hparams_file="inference.yaml"
)
noisy = torch.from_numpy(np.load(sys.argv[2]))[None]
np.save(sys.argv[3], model.enhance_batch(noisy, torch.ones(1))[0].numpy())
assert "edgebrain" not in sys.modules
assert "custom_model" not in sys.modules
print(*sys.path)
"""


@pytest.mark.slow
@pytest.mark.integration
def test_export_loads_with_speechbrain_alone(trained, template, tmp_path):
    """A moved export, in a clean process, equals the trained network."""
    import torch

    moved = tmp_path / "moved" / "here"
    shutil.copytree(trained.folder / "export", moved)
    (moved / "custom_model.py").unlink()  # it is there to be read only
    # Only the guard against an unusable torchaudio goes with it.
    guard = tmp_path / "guard"
    guard.mkdir()
    shutil.copy(TEMPLATE / "guard_torchaudio.py", guard)
    noisy = (0.3 * voice(5) + 0.02 * np.random.default_rng(1).normal(
        size=len(voice(5)))).astype(np.float32)  # fmt: skip
    np.save(tmp_path / "noisy.npy", noisy)
    (tmp_path / "clean.py").write_text(CLEAN_PROCESS)
    path = run(
        tmp_path / "moved",
        tmp_path / "clean.py",
        moved,
        tmp_path / "noisy.npy",
        tmp_path / "enhanced.npy",
        guard,
    )
    assert str(TEMPLATE.parents[1]) not in path.splitlines()[-1].split()
    model = template.custom_model.CustomModel(257, 16, 16, 2)
    best = max(
        (trained.folder / "save").glob("CKPT*"),
        key=lambda p: float(
            next(
                line.split()[1]
                for line in (p / "CKPT.yaml").read_text().splitlines()
                if line.startswith("stoi:")
            )
        ),
    )
    model.load_state_dict(torch.load(best / "model.ckpt"))
    model.eval()
    window = torch.hann_window(400)
    spec = torch.stft(
        torch.from_numpy(noisy),
        512,
        160,
        400,
        window,
        pad_mode="constant",
        return_complex=True,
    )
    with torch.no_grad():
        feats = torch.log1p(spec.abs())
        mask = model(feats.T[None])[0].T
        enhanced = torch.istft(
            torch.polar(torch.expm1(mask * feats), spec.angle()),
            512,
            160,
            400,
            window,
            length=len(noisy),
        )
    got = np.load(tmp_path / "enhanced.npy")
    assert np.abs(got - enhanced.numpy()).max() < 1e-4
    assert np.abs(got).max() < 0.9 * np.abs(noisy).max()  # not normalised


@pytest.mark.slow
@pytest.mark.integration
def test_enhance_file_at_another_rate(trained, copy_of_template, tmp_path):
    noisy = tmp_path / "noisy.wav"
    stereo = np.stack([voice(3, 1.0).repeat(3)] * 2, axis=1)
    soundfile.write(noisy, stereo, 48000)
    out = run(
        copy_of_template,
        "enhance_file.py",
        trained.folder,
        noisy,
        tmp_path / "out" / "enhanced.wav",
    )
    assert "from 48000 Hz" in out
    wav, rate = soundfile.read(tmp_path / "out" / "enhanced.wav")
    assert (rate, wav.shape) == (RATE, (RATE,))
    assert np.abs(wav).max() > 1e-3


@pytest.mark.slow
@pytest.mark.integration
def test_debug_run_leaves_no_trace_in_the_results(
    trained, copy_of_template, data
):
    before = weights(trained.folder)
    scores = (trained.folder / "test_scores.json").read_bytes()
    train(copy_of_template, data, trained.folder, "--debug")
    after = weights(trained.folder)
    assert all((after[k] == before[k]).all() for k in before)
    assert (trained.folder / "test_scores.json").read_bytes() == scores


@pytest.mark.slow
@pytest.mark.integration
def test_test_only_without_checkpoint_is_refused(copy_of_template, data):
    output = copy_of_template / "results" / "nothing"
    text = train(copy_of_template, data, output, "--test_only", status=2)
    assert "no scored checkpoint" in text
    assert "Traceback" not in text


# Mixing


def mixer(template, data, training=True, speech=None, **settings):
    prepare = template.mini_librispeech_prepare
    root = data / "LibriSpeech" / "train-clean-5"
    entries = prepare._speech_manifest(root, data)
    for entry in entries.values():
        entry["wav"] = entry["wav"].format(data_root=data)
    if speech is not None:
        entries = {k: v for k, v in entries.items() if speech(k)}
    return template.mixing.Mixer(
        template.mixing.MixingSettings(
            sample_rate=RATE, **{"segment_seconds": 1.0, **settings}
        ),
        11,
        entries,
        {},
        {},
        training,
    )


def test_items_depend_on_seed_epoch_and_id_alone(template, data):
    first, second = (mixer(template, data) for _ in range(2))
    ids = sorted(first.speech)
    for one in (first, second):
        one.set_epoch(2)
    forward = {i: first(i)[0] for i in ids}
    for i in reversed(ids):
        assert (second(i)[0] == forward[i]).all()
    second.set_epoch(3)
    assert not (second(ids[0])[0] == forward[ids[0]]).all()
    fixed = mixer(template, data, training=False)
    before = fixed(ids[0])[0]
    fixed.set_epoch(9)
    assert (fixed(ids[0])[0] == before).all()


def test_babble_never_has_the_target(template, data):
    mix = mixer(template, data, babble_talkers=(1, 3))
    rng = np.random.default_rng(0)
    for target in mix.speech:
        for _ in range(20):
            ids = mix.babble_ids(target, rng)
            speakers = {mix.speech[i]["speaker"] for i in ids}
            assert ids and mix.speech[target]["speaker"] not in speakers
    alone = mixer(template, data, speech=lambda k: "/1/" in k)
    for target in alone.speech:
        assert target not in alone.babble_ids(target, rng)


@pytest.mark.parametrize("noise, babble", [(1, 0), (0, 1), (1, 1)])
def test_snr_is_the_one_asked_for(template, data, noise, babble):
    mix = mixer(
        template,
        data,
        snr_db=(5, 5),
        noise_prob=noise,
        babble_prob=babble,
        reverb_prob=0,
    )
    noisy, clean = (x.double().numpy() for x in mix(sorted(mix.speech)[0]))
    snr = 10 * np.log10(np.sum(clean**2) / np.sum((noisy - clean) ** 2))
    assert snr == pytest.approx(5, abs=1e-3)
    assert 10 ** (-30 / 20) * 0.999 < np.abs(noisy).max() < 1


def test_reverberation_is_linear_and_in_time(template, data):
    mix = mixer(
        template, data, noise_prob=0, babble_prob=0, reverb_prob=1, early_ms=0
    )
    name = sorted(mix.speech)[0]
    noisy, clean = (x.double().numpy() for x in mix(name))
    dry = template.mixing.read_segment(
        mix.speech[name]["wav"], RATE, mix.item_rng(name), RATE
    )
    assert np.corrcoef(dry, clean)[0, 1] > 0.9999
    assert np.abs(noisy - clean).max() > 1e-3
    impulse = np.zeros(RATE)
    impulse[-100] = 1
    wet, _ = mix._reverberate(impulse, np.random.default_rng(0))
    assert np.abs(wet[:-100]).max() < 1e-9  # nothing wraps to the start


def test_wrong_sample_rate_is_named(template, tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, voice(1), 8000)
    with pytest.raises(template.errors.UserError, match=r"x\.wav.*8000 Hz"):
        template.mixing.read_segment(str(path), RATE)


# Scores and checkpoints


def test_failing_clips_are_counted(template):
    import torch

    stats = template.scores.CountingStats(template.scores.pesq(RATE))
    good = torch.from_numpy(voice(2, 2.0).astype(np.float32))
    stats.append(
        ids=["good", "silent"],
        predict=torch.stack([good, torch.zeros_like(good)]),
        target=torch.stack([good, torch.zeros_like(good)]),
        lengths=torch.ones(2),
    )
    summary = stats.summarize()
    assert summary["failures"] == 1 and summary["clips"] == 2
    assert list(summary["reasons"]) == ["silent"]
    assert summary["average"] > 4
    short = template.scores.CountingStats(template.scores.stoi(RATE))
    short.append(
        ids=["short"],
        predict=good[None, :1000],
        target=good[None, :1000],
        lengths=torch.ones(1),
    )
    assert short.summarize("failures") == 1
    assert math.isnan(short.summarize("average"))


def test_nan_epoch_is_never_best(template, tmp_path):
    import torch

    brain = template.train.SEBrain(
        modules={"enhance_model": torch.nn.Linear(2, 2)},
        opt_class=lambda p: torch.optim.SGD(p, lr=0.1),
        hparams={
            "lr_annealing": lambda epoch: (0.1, 0.1),
            "train_logger": SimpleNamespace(log_stats=lambda **kwargs: None),
        },
        run_opts={"device": "cpu"},
        checkpointer=template.checkpointing.AtomicCheckpointer(tmp_path),
    )
    brain.init_optimizers()
    brain.train_loss = 0.0
    stage = template.train.sb.Stage.VALID
    for epoch, value in enumerate([0.5, 0.6, math.nan, 0.4], start=1):
        stats = template.scores.CountingStats(lambda p, t, v=value: v)
        stats.append(
            ids=["a"], predict=torch.zeros(1, 4), target=torch.zeros(1, 4)
        )
        brain.stats = {("enhanced", "stoi"): stats}
        brain.on_stage_end(stage, torch.tensor(0.0), epoch)
    best = brain.checkpointer.find_checkpoint(max_key="stoi")
    assert best.meta["stoi"] == 0.6
    latest = brain.checkpointer.find_checkpoint()
    assert latest.meta["stoi"] == 0.4
    assert len(brain.checkpointer.list_checkpoints()) == 2


def test_broken_save_leaves_no_checkpoint(template, tmp_path):
    state = SimpleNamespace(broken=False)

    def save(obj, path):
        if state.broken:
            raise KeyboardInterrupt
        path.write_text("x")

    checkpointer = template.checkpointing.AtomicCheckpointer(tmp_path)
    checkpointer.add_recoverable(
        "thing", state, custom_save_hook=save, custom_load_hook=print
    )
    first = checkpointer.save_checkpoint(meta={"stoi": 0.5})
    assert first.paramfiles["thing"].read_text() == "x"
    state.broken = True
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save_checkpoint(meta={"stoi": 0.9})
    assert checkpointer.find_checkpoint(max_key="stoi").path == first.path
    state.broken = False
    checkpointer.save_and_keep_only(meta={"stoi": 0.4}, max_keys=["stoi"])
    assert len(list(tmp_path.iterdir())) == 2  # best, latest, no leftovers


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--tes"], "did you mean --test_only"),
        (["--lr"], "no value"),
        (["--noise_folder", "a=b"], "equals sign"),
        (["--noise_folder=a=b"], "equals sign"),
        (["--debug=maybe"], "True or False"),
        (["--optimizer_step_limit", "many"], "whole number"),
    ],
)
def test_garbled_command_lines_are_refused(template, arguments, message):
    with pytest.raises(template.errors.UserError, match=message):
        template.command_line.parse(["train.yaml", *arguments])


def test_command_line_reads_what_is_meant(template):
    _, options, overrides = template.command_line.parse(
        ["train.yaml", "--test_only", "True", "--debug=False", "--skip_prep"]
        + ["--optimizer_step_limit", "7", "--lr=0.1"]
    )
    assert options.test_only and not options.debug
    assert options.optimizer_step_limit == 7
    assert overrides.split() == ["skip_prep:", "True", "lr:", "0.1"]


# Download and preparation


class Server:
    """Serve bytes on loopback, with the faults a test asks for."""

    def __init__(self):
        self.files = {}
        self.faults = []  # one is used up by each request
        self.requests = []
        self.ranges = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, handler):
        asked = handler.headers.get("Range")
        self.requests.append((handler.path, asked))
        fault = self.faults.pop(0) if self.faults else None
        body = self.files.get(handler.path.lstrip("/"))
        if body is None or fault in (404, 503):
            handler.send_error(fault or 404)
            return
        if fault == "corrupt":
            body = body[:10] + bytes([body[10] ^ 1]) + body[11:]
        begin = 0
        if asked and self.ranges:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            if begin >= len(body):
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header(
                "Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}"
            )
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) - begin))
        handler.end_headers()
        end = (begin + len(body)) // 2 if fault == "break" else len(body)
        handler.wfile.write(body[begin:end])


@pytest.fixture
def server():
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()


BODY = np.random.default_rng(0).bytes(50_000)
MD5 = hashlib.md5(BODY).hexdigest()


def fetch(template, server, path, md5=MD5, mirrors=("",), **kwargs):
    server.files["a/x.bin"] = BODY
    kwargs = {"wait": 0.0, "timeout": 5, "retries": 3, **kwargs}
    template.download.download(
        [f"{server.url}{m}/a/x.bin" for m in mirrors], path, md5, **kwargs
    )
    assert path.read_bytes() == BODY
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("md5", [MD5, None])
def test_broken_transfer_continues(template, server, tmp_path, ranges, md5):
    server.faults = ["break", "break"] if ranges else ["break"]
    server.ranges = ranges
    fetch(template, server, tmp_path / "x.bin", md5)
    asked = [r for _, r in server.requests]
    assert asked[:2] == [None, "bytes=25000-"]
    assert len(asked) == (3 if ranges else 2)


def test_earlier_part_is_continued(template, server, tmp_path):
    (tmp_path / "x.bin.part").write_bytes(BODY[:1234])
    fetch(template, server, tmp_path / "x.bin")
    assert [r for _, r in server.requests] == ["bytes=1234-"]


def test_part_of_another_file_is_started_anew(template, server, tmp_path):
    (tmp_path / "x.bin.part").write_bytes(b"z" * 60_000)
    fetch(template, server, tmp_path / "x.bin")
    (tmp_path / "x.bin").rename(tmp_path / "x.bin.part")
    (tmp_path / "x.bin.part").write_bytes(b"z" * 100)
    fetch(template, server, tmp_path / "x.bin")


def test_wrong_checksum_is_fetched_again(template, server, tmp_path):
    server.faults = ["corrupt"]
    fetch(template, server, tmp_path / "x.bin")
    assert [r for _, r in server.requests] == [None, None]


def test_next_mirror_is_tried(template, server, tmp_path):
    fetch(template, server, tmp_path / "x.bin", mirrors=("/gone", ""))
    assert len(server.requests) == 2  # a 404 is not asked for again


def test_hopeless_download_names_every_failure(template, server, tmp_path):
    server.files["a/x.bin"] = BODY
    with pytest.raises(template.errors.UserError) as caught:
        template.download.download(
            [f"{server.url}/gone", f"{server.url}/a/x.bin"],
            tmp_path / "x.bin",
            "0" * 32,
            retries=1,
            wait=0,
        )
    assert "404" in str(caught.value) and MD5 in str(caught.value)
    assert not list(tmp_path.iterdir())


def tar_of(folder, *extra):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, "LibriSpeech")
        for member in extra:
            tar.addfile(member)
    return buffer.getvalue()


@pytest.fixture
def archives(tmp_path):
    """Return one archive of the real layout for each part."""
    found = {}
    for name in PARTS:
        folder = librispeech(tmp_path / "made" / name, {name: 2})
        found[name] = tar_of(folder / "LibriSpeech")
    return found


def prepare(template, folder, server=None, archives=None, **kwargs):
    entries = {
        name: {
            "path": f"31/{name}.tar.gz",
            "folder": f"LibriSpeech/{name}",
            "md5": archives and hashlib.md5(archives[name]).hexdigest(),
        }
        for name in PARTS
    }
    parts = dict(zip(("train", "valid", "test"), PARTS, strict=True))
    template.mini_librispeech_prepare.prepare_mini_librispeech(
        folder,
        folder / "manifests",
        parts,
        RATE,
        entries,
        [server.url] if server else [],
        retries=2,
        timeout=5,
        **kwargs,
    )


def test_prepare_downloads_what_is_missing_once(
    template, server, archives, tmp_path
):
    server.files = {f"31/{n}.tar.gz": a for n, a in archives.items()}
    # One archive lies there already: it is unpacked, not fetched.
    data = tmp_path / "data"
    data.mkdir()
    (data / "test-clean.tar.gz").write_bytes(archives["test-clean"])
    prepare(template, data, server, archives)
    asked = [path for path, _ in server.requests]
    assert asked == ["/31/train-clean-5.tar.gz", "/31/dev-clean-2.tar.gz"]
    text = (data / "manifests" / "speech_train.json").read_text()
    manifest = json.loads(text)
    assert len(manifest) == 6
    assert "train-clean-5/1/7/1-7-0000" in manifest
    assert str(data) not in text  # the manifest moves with the data
    prepare(template, data, server, archives)
    prepare(template, data, server, archives, skip_prep=True)
    assert len(server.requests) == 2  # with the data in place: no network


def test_offline_without_data_says_what_to_put_where(template, tmp_path):
    with pytest.raises(template.errors.UserError) as caught:
        prepare(template, tmp_path, download=False)
    for name in PARTS:
        assert str(tmp_path / "LibriSpeech" / name) in str(caught.value)
        assert str(tmp_path / f"{name}.tar.gz") in str(caught.value)
    with pytest.raises(template.errors.UserError, match="speech_train.json"):
        prepare(template, tmp_path, skip_prep=True)


def test_noise_folder_is_split_without_overlap(template, data, tmp_path):
    noises = tmp_path / "noises"
    noises.mkdir()
    for n in range(12):
        soundfile.write(noises / f"{n}.wav", voice(n), RATE)
    found = template.mini_librispeech_prepare._split_folder(
        noises, [], "noise_folder"
    )[1]
    assert [len(found[s]) for s in ("train", "valid", "test")] == [10, 1, 1]
    assert len(set().union(*found.values())) == 12
    for split in ("train", "valid", "test"):
        (noises / split).mkdir()
        soundfile.write(noises / split / "n.wav", voice(1), RATE)
    found = template.mini_librispeech_prepare._split_folder(
        noises, [], "noise_folder"
    )[1]
    assert list(found["valid"]) == ["valid/n"]


def test_all_bad_files_are_listed(template, data, tmp_path):
    folder = tmp_path / "noises"
    folder.mkdir()
    soundfile.write(folder / "low.wav", voice(1), 8000)
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(template.errors.UserError) as caught:
        template.mini_librispeech_prepare.prepare_mini_librispeech(
            data,
            tmp_path / "m",
            dict(zip(("train", "valid", "test"), PARTS, strict=True)),
            RATE,
            {},
            [],
            noise_folder=folder,
            download=False,
        )
    for name in ("low.wav", "empty.wav", "broken.wav"):
        assert name in str(caught.value)


@pytest.mark.parametrize("name", ["../evil.flac", "/tmp/evil.flac"])
def test_archive_cannot_reach_outside(template, tmp_path, name):
    folder = librispeech(tmp_path / "made", {"dev-clean-2": 1})
    archive = tmp_path / "in" / "dev-clean-2.tar.gz"
    archive.parent.mkdir()
    link = tarfile.TarInfo("LibriSpeech/dev-clean-2/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    for member in (tarfile.TarInfo(name), link):
        archive.write_bytes(tar_of(folder / "LibriSpeech", member))
        with pytest.raises(template.errors.UserError, match="not unpacked"):
            template.download.unpack(
                archive, "LibriSpeech/dev-clean-2", tmp_path / "in" / "out"
            )
    bundle = tmp_path / "in" / "x.zip"
    with zipfile.ZipFile(bundle, "w") as file:
        file.writestr(name, "x")
    with pytest.raises(template.errors.UserError, match="not unpacked"):
        template.download.unpack(bundle, "musan", tmp_path / "in" / "out")
    assert sorted(p.name for p in archive.parent.iterdir()) == [
        archive.name,
        bundle.name,
    ]


def test_truncated_archive_leaves_nothing(template, tmp_path):
    folder = librispeech(tmp_path / "made", {"dev-clean-2": 1})
    archive = tmp_path / "x.tar.gz"
    whole = tar_of(folder / "LibriSpeech")
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(template.errors.UserError, match="cannot be unpacked"):
        template.download.unpack(
            archive, "LibriSpeech/dev-clean-2", tmp_path / "out" / "dev"
        )
    assert not list((tmp_path / "out").iterdir())
