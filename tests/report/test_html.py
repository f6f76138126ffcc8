"""The page: what it says, that it is one file, and how a browser sees it."""

import base64
import io
import math
from pathlib import Path
import re
import shutil
import subprocess
from types import SimpleNamespace
from xml.etree import ElementTree

from edgebrain.enhancement import report as enhancement
from edgebrain.report import charts, html, media
from edgebrain.report.scores import ClipScores, least_gains, worst_first
import numpy as np
import pytest
import soundfile

RATE = 16000
MODELS = ["tcnn <int8>", "lstm"]


def scores(seed, shift):
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(12):
        pesq = 1.5 + 0.1 * k + shift * rng.random()
        values = {"pesq": pesq, "stoi": 0.8 + 0.01 * k, "snr": k + 5 * shift}
        rows.append(ClipScores(f"clip/{k:02d}", values))
    return rows


@pytest.fixture(scope="module")
def result():
    rows = {"noisy": scores(0, 0.0), MODELS[0]: scores(1, 0.5)}
    rows[MODELS[1]] = scores(2, -0.2)
    rows[MODELS[1]][3] = ClipScores(
        "clip/03",
        {"pesq": math.nan, "stoi": 0.5, "snr": 0.0},
        {"pesq": "silent estimate"},
    )
    clips = {
        f"clip/{k:02d}": SimpleNamespace(
            seconds=3.0, level_db=-50.0 + 3 * k, snr_db=2.0 * k - 3
        )
        for k in range(12)
    }
    return SimpleNamespace(
        sample_rate=RATE,
        gain_db=0.0,
        rows=rows,
        levels={-20.0: rows, 0.0: rows},
        clips=clips,
    )


def read_clip(clip_id):
    rng = np.random.default_rng(int(clip_id[-2:]))
    time = np.arange(8 * RATE) / RATE
    clean = 0.2 * np.sin(2 * np.pi * 440 * time) * (time > 1.5)
    waves = {"noisy": clean + 0.02 * rng.standard_normal(len(time))}
    waves |= {name: clean * 0.9 for name in MODELS}
    return {**waves, "clean": clean}


@pytest.fixture(scope="module")
def page(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    facts = {
        name: {
            "form": form,
            "precision": "float32",
            "latency_samples": 400,
            "checkpoint_sha256": "ab" * 32,
            "parameters": 121257,
            "file_bytes": 234_567,
            "model_class": "edgebrain.models.x.Net",
            "source": f"results/{form}.onnx",
        }
        for name, form in zip(MODELS, ("stream", "offline"), strict=True)
    }
    enhancement.report(path, result, facts, read_clip, n_clips=4)
    return path


def test_one_file_that_needs_no_other(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", text)
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text and "@import" not in text
    assert [p.name for p in page.parent.iterdir()] == ["report.html"]
    assert page.stat().st_size < 5e6


def test_scores_and_models_are_in_the_tables(page):
    text = page.read_text(encoding="utf-8")
    assert "tcnn &lt;int8&gt;" in text and "tcnn <int8>" not in text
    assert "PESQ-wb" in text and "abababababab<" in text
    assert "25.0" in text and "whole clip" in text
    assert "<td>121,257</td>" in text and "<td>235</td>" in text
    assert "silent estimate (1)" in text
    rows = re.findall(r'<tr><th scope="row">noisy</th>(.*?)</tr>', text)
    assert "<b>2.05</b>" in rows[0]  # the mean of 1.5 ... 2.6


def test_worst_clips_come_first(page, result):
    order = worst_first(least_gains(result.rows, "pesq", True), 4)
    gains = {
        clip.id: clip.values["pesq"] - before.values["pesq"]
        for clip, before in zip(
            result.rows["lstm"], result.rows["noisy"], strict=True
        )
    }
    # A clip without a score is the worst.
    assert order[0] == ("clip/03", "worst 1")
    rest = sorted((g, c) for c, g in gains.items() if math.isfinite(g))
    assert order[1] == (rest[0][1], "worst 2")
    assert [why for _, why in order[2:]] == ["median", "best"]
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"<h3>(.*?)</h3>", text)
    assert shown == [clip for clip, _ in order]


def test_players_hold_the_audio(page):
    text = page.read_text(encoding="utf-8")
    urls = re.findall(r'<audio[^>]*src="data:audio/flac;base64,([^"]*)"', text)
    assert len(urls) == 4 * 4
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(urls[0])))
    assert rate == RATE and len(samples) == enhancement.CLIP_SECONDS * RATE
    assert 0.8 < np.abs(samples).max() <= 0.91
    # The piece with most speech, not the silent start.
    assert "2.0 to 8.0 s" in text


def test_everything_has_a_name_for_screen_readers(page):
    text = page.read_text(encoding="utf-8")
    assert text.startswith('<!doctype html>\n<html lang="en">')
    for tag in ("audio", "svg"):
        for opening in re.findall(rf"<{tag}\b[^>]*>", text):
            assert "aria-label=" in opening
    for opening in re.findall(r"<img\b[^>]*>", text):
        assert 'alt="Spectrogram' in opening
    assert text.count("<th") == text.count("<th scope=") + text.count("<thead")


def test_media_are_bounded(result, tmp_path, monkeypatch):
    monkeypatch.setattr(html, "MEDIA_BYTES", 1)
    enhancement.report(tmp_path / "r.html", result, {}, read_clip, n_clips=4)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count("<article") == 1 and "3 more were left out" in text


def test_broken_and_empty_clips_do_no_harm(result, tmp_path):
    def read(clip_id):
        waves = read_clip(clip_id)
        if clip_id == "clip/03":
            return {name: wav[:0] for name, wav in waves.items()}
        return {**waves, "lstm": np.full(len(waves["clean"]), np.nan)}

    enhancement.report(tmp_path / "r.html", result, {}, read, n_clips=3)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count("<article") == 2 and "clip/03</h3>" not in text


def test_charts_are_sound_svg(result):
    series = {"a & b": [(1.0, 0.2, 'x "<y>"')], "c": [(2.0, -0.1, "z")]}
    chart = charts.scatter(series, "T <&>", "x", "y")
    root = ElementTree.fromstring(chart)
    circles = root.findall("circle")
    assert [c.get("class") for c in circles] == ["s0", "s1"]
    # A gain lies above the zero line, a loss below it.
    zero = float(root.find("line[@class='zero']").get("y1"))
    assert float(circles[0].get("cy")) < zero < float(circles[1].get("cy"))
    lines = charts.lines(
        {"noisy": [1.0, 2.0, 3.0], "m": [1.0, math.nan, 2.0]},
        ["a", "b", "c"],
        "T",
        "x",
        "y",
    )
    paths = ElementTree.fromstring(lines).findall("path")
    assert [p.get("class") for p in paths] == ["line noisy", "line s0"]
    assert paths[1].get("d").count("M") == 2  # a gap
    alone = charts.lines(
        {"noisy": [1.0, 2.0, 3.0]}, list("abc"), "T", "x", "y", [True, 0, True]
    )
    root = ElementTree.fromstring(alone)
    assert root.find("path").get("d").count("M") == 2
    assert len(root.findall("circle")) == 3
    assert charts.ticks(1.0, 1.0)[0] < 1 < charts.ticks(1.0, 1.0)[-1]


def test_points_at_one_place_are_seen():
    series = {name: [(1.0, 0.5, name)] for name in "abc"}
    root = ElementTree.fromstring(charts.scatter(series, "T", "x", "y"))
    sizes = [float(c.get("r")) for c in root.findall("circle")]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3


@pytest.mark.parametrize(
    "count, most, columns",
    [(5, 5, 5), (6, 5, 3), (7, 5, 4), (5, 3, 3), (4, 3, 2)],
)
def test_rows_of_players_are_even(count, most, columns):
    assert html._columns(count, most) == columns


def test_breakdown_puts_clips_in_bins(result):
    edges = (-math.inf, 0, 5, 10, 15, math.inf)
    places, counts, series = enhancement.binned(result, "stoi", "snr_db", edges)
    assert counts == [2, 2, 3, 2, 3]
    assert places == [
        "< 0\nn = 2",
        "0 … 5\nn = 2",
        "5 … 10\nn = 3",
        "10 … 15\nn = 2",
        "> 15\nn = 3",
    ]
    assert series["noisy"][0] == pytest.approx(0.805)


def test_spectrogram_is_a_picture_with_low_notes_below():
    from PIL import Image

    tone = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)
    url = media.spectrogram_url(tone, RATE)
    content = base64.b64decode(url.partition(",")[2])
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    brightest = picture.astype(float).mean(1).argmax()
    assert brightest > 0.9 * len(picture)


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def browse(tmp_path, page, *words):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--disable-quic", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking"]
    command += ["--disable-component-update", "--hide-scrollbars"]
    command += [f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=10000", *words, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_browser_plays_and_shows_it(page, tmp_path):
    # A copy that writes what it finds into its own title.
    probe = tmp_path / "probe.html"
    script = """<script>
    window.addEventListener("load", () => setTimeout(() => {
      const all = (q) => [...document.querySelectorAll(q)];
      document.title = JSON.stringify({
        audio: all("audio").map((a) => a.duration),
        images: all("img").map((i) => i.naturalWidth),
        wide: document.documentElement.scrollWidth > innerWidth,
        dots: all("svg circle").map((c) => getComputedStyle(c).fill),
        errors: window.failures || [],
      });
    }, 3000));
    </script>"""
    early = '<script>window.failures=[];addEventListener("error",(e)=>'
    early += "failures.push(e.message),true);</script>"
    text = page.read_text(encoding="utf-8")
    text = text.replace("<title>", f"{early}<title>", 1)
    probe.write_text(text.replace("</body>", f"{script}</body>"), "utf-8")
    done = browse(tmp_path, probe, "--window-size=1100,900", "--dump-dom")
    import html as library
    import json

    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)[1]
    found = json.loads(library.unescape(title))
    assert found["audio"] == [pytest.approx(6.0, abs=0.01)] * 16
    assert len(found["images"]) == 16 and min(found["images"]) > 100
    assert found["errors"] == [] and not found["wide"]
    assert len(set(found["dots"])) == 3  # noisy and two models


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
@pytest.mark.parametrize(("scheme", "dark"), [(1, False), (0, True)])
def test_light_and_dark(page, tmp_path, scheme, dark):
    from PIL import Image

    shot = tmp_path / "shot.png"
    browse(
        tmp_path,
        page,
        "--window-size=1100,900",
        f"--blink-settings=preferredColorScheme={scheme}",
        f"--screenshot={shot}",
    )
    picture = np.asarray(Image.open(shot).convert("L"), float)
    assert picture.shape == (900, 1100)
    assert (np.median(picture) < 60) == dark
    assert picture.std() > 10  # not an empty page


def test_style_and_script_are_shipped():
    folder = Path(html.__file__).parent / "page"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["clip.html.j2", "page.css", "page.html.j2", "page.js"]
