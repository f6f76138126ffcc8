"""The page in a browser: the bits of the board, and what a visitor meets."""

import re
import shutil
import subprocess
import wave

from c_models import build, released, sound
import numpy as np
import pytest
from web_browser import bring, chromium, downloaded, opened, served

pytest.importorskip("playwright")
MISSING = [
    tool
    for tool in ("chromium", "clang", "wasm-ld", "cc", "make")
    if not shutil.which(tool)
]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {' '.join(MISSING)}"
)
MODELS = ("tcnn-120k", "lstm-110k", "nnse-72mel")
RATE = 16000
#: Fits no number of 10 ms, so that a lost piece shows as a jump of phase.
TONE_HZ = 997.0


def write_wav(path, samples, rate=RATE):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return path


def read_wav(path):
    with wave.open(str(path)) as file:
        assert file.getnchannels() == 1 and file.getsampwidth() == 2
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, "<i2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the page of the released models."""
    from deploy.web.build import build as build_page

    target = tmp_path_factory.mktemp("web") / "page"
    build_page({name: released(name, "int8") for name in MODELS}, target)
    return target


@pytest.fixture(scope="module")
def address(folder):
    with served(folder) as url:
        yield url


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    """Return a wav that the fake microphone plays, longer than any test."""
    time = np.arange(80 * 48000) / 48000
    path = tmp_path_factory.mktemp("tone") / "tone.wav"
    return write_wav(path, 8000 * np.sin(2 * np.pi * TONE_HZ * time), 48000)


@pytest.fixture(scope="module")
def browser(tone):
    with chromium(f"--use-file-for-fake-audio-capture={tone}") as started:
        yield started


@pytest.fixture
def context(browser):
    made = browser.new_context(
        accept_downloads=True, permissions=["microphone"]
    )
    made.set_default_timeout(20000)
    yield made
    made.close()


@pytest.fixture
def page(context, address):
    made = opened(context, address)
    yield made
    assert not made.faults


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Return a clip with silence, bursts and overdriven samples."""
    pcm = sound(5 * RATE + 77).astype(int)
    pcm[30000:34000] *= 8
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    return write_wav(path, np.clip(pcm, -32768, 32767))


@pytest.fixture(scope="module")
def on_host(clip, tmp_path_factory):
    """Return a maker of the file that enhance_wav writes of the clip."""
    from deploy.c.generator.generate import generate

    made = {}

    def make(name):
        if name not in made:
            target = tmp_path_factory.mktemp("host") / "c"
            generate(released(name, "int8"), target, "net")
            build(target, "enhance_wav")
            made[name] = target / "enhanced.wav"
            command = ["./enhance_wav", clip, made[name]]
            subprocess.run(command, cwd=target, check=True)
        return made[name]

    return make


# -- The bits -----------------------------------------------------------------
@pytest.mark.parametrize("code", ["vectors", "plain"])
@pytest.mark.parametrize("name", MODELS)
def test_a_file_gets_the_bits_of_the_board(
    name, code, context, address, folder, clip, on_host, tmp_path
):
    loaded = []
    stem = name.replace("-", "_")

    def plain(route):
        loaded.append(route.request.url)
        path = folder / "models" / f"{stem}{'-simd' * (code == 'vectors')}.wasm"
        route.fulfill(path=path)

    context.route(f"**/{stem}-simd.wasm", plain)
    page = opened(context, address)
    page.get_by_label("Model").select_option(name)
    bring(page, clip)
    assert loaded
    got = downloaded(page, tmp_path / "got.wav")
    assert got.read_bytes() == on_host(name).read_bytes()
    enhanced = read_wav(got)
    assert len(enhanced) == 5 * RATE + 77
    assert np.abs(enhanced.astype(int) - read_wav(clip)).max() > 100


#: Leads a clip through the audio thread, faster than it would play.
OFFLINE = """async ([samples, rate, path, share]) => {
  const context = new OfflineAudioContext(1, samples.length, rate);
  await context.audioWorklet.addModule("worklet.js");
  const node = new AudioWorkletNode(context, "edgebrain-player", {
    outputChannelCount: [1], channelCount: 1, channelCountMode: "explicit"});
  const bytes = await (await fetch(path)).arrayBuffer();
  const settings = { share, volume: 1, gain: 1 };
  node.port.postMessage({ what: "live", bytes, ...settings });
  const buffer = new AudioBuffer({
    length: samples.length, sampleRate: rate });
  buffer.copyToChannel(Float32Array.from(samples), 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(node).connect(context.destination);
  source.start();
  await new Promise((done) => setTimeout(done, 100)); // the message arrives
  const heard = await context.startRendering();
  return Array.from(heard.getChannelData(0));
}"""


def through_thread(page, samples, rate, share=1):
    path = "models/tcnn_120k-simd.wasm"
    given = [samples.tolist(), rate, path, share]
    return np.array(page.evaluate(OFFLINE, given))


def test_the_audio_thread_gives_the_same_bits(page, clip, on_host):
    """Late by the hop and the delay, after the first 20 ms, which fade in."""
    heard = through_thread(page, read_wav(clip) / 32768, RATE) * 32768
    late = 160 + 8 + 240
    want = read_wav(on_host("tcnn-120k"))[: len(heard) - late]
    np.testing.assert_array_equal(heard[late + 320 :], want[320:])
    dry = through_thread(page, read_wav(clip) / 32768, RATE, 0) * 32768
    np.testing.assert_array_equal(
        dry[late + 320 :], read_wav(clip)[320 : len(heard) - late]
    )


@pytest.mark.parametrize("rate", [48000, 44100])
def test_a_context_of_another_rate_sounds_alike(page, rate):
    """The original, there and back through the resampler."""
    time = np.arange(rate) / rate
    wav = sum(0.1 * np.sin(2 * np.pi * f * time) for f in (200, 997, 5000))
    heard = through_thread(page, wav, rate, 0)
    seconds = 400 / RATE + 2 * 24 / RATE
    late = seconds + 8 / rate
    at = slice(rate // 4, rate * 3 // 4)
    spectrum = 2 * np.abs(
        np.exp(-2j * np.pi * np.outer([200, 997, 5000], time[at]))
        @ heard[at]
        / (rate // 2)
    )
    np.testing.assert_allclose(spectrum, 0.1, rtol=2e-3)
    want = sum(
        0.1 * np.sin(2 * np.pi * f * (time - late)) for f in (200, 997, 5000)
    )
    error = (heard - want)[at]
    # What is left is the rounding to 16 bits.
    assert 20 * np.log10(np.std(error) / np.std(want)) < -60


#: The gain of the filter for tones, and what is left beside them, in dB.
FILTER = """async ([from, to, tones]) => {
  const { Resampler } = await import("/resample.js");
  return tones.map((hertz) => {
    const resampler = new Resampler(from, to);
    const wave = Float32Array.from({ length: from }, (_, n) =>
      Math.sin((2 * Math.PI * hertz * n) / from));
    const parts = [];
    for (let at = 0; at < from; at += 128) {
      parts.push(...resampler.push(wave.subarray(at, at + 128)));
    }
    return parts;
  });
}"""


@pytest.mark.parametrize("rate", [48000, 44100])
def test_the_error_of_the_resampler_is_as_stated(page, rate):
    inside, outside = [100, 1000, 4000, 6999], [9001, 10500, 14999]
    for start, end, tones in (
        (rate, RATE, inside + outside),
        (RATE, rate, inside),
    ):
        results = page.evaluate(FILTER, [start, end, tones])
        for hertz, result in zip(tones, results, strict=True):
            wave = np.array(result)
            assert len(wave) == end
            wave = wave[1000:-1000]
            time = np.arange(len(wave)) / end
            basis = np.stack(
                [np.sin(2 * np.pi * hertz * time)]
                + [np.cos(2 * np.pi * hertz * time)],
                1,
            )
            fit = np.linalg.lstsq(basis, wave, rcond=None)[0]
            rest = np.sqrt(2) * np.std(wave - basis @ fit)
            if hertz in inside:
                assert abs(20 * np.log10(np.hypot(*fit))) < 0.01, hertz
                assert 20 * np.log10(rest) < -80, hertz
            else:
                assert np.abs(wave).max() < 1e-4, hertz


#: Two tracks far apart, and a switch between them in the middle.
SWITCH = """async () => {
  const rate = 16000;
  const context = new OfflineAudioContext(1, rate, rate);
  await context.audioWorklet.addModule("worklet.js");
  const node = new AudioWorkletNode(context, "edgebrain-player", {
    outputChannelCount: [1]});
  const dry = new Int16Array(rate).fill(16000);
  const wet = new Int16Array(rate).fill(-16000);
  const settings = { share: 0, volume: 1, gain: 1 };
  node.port.postMessage({ what: "clip", dry, wet, rate, at: 0, ...settings });
  node.connect(context.destination);
  await new Promise((done) => setTimeout(done, 100));
  context.suspend(0.512).then(() => {
    node.port.postMessage({ what: "set", ...settings, share: 1 });
    return new Promise((done) => setTimeout(done, 50));
  }).then(() => context.resume());
  return Array.from((await context.startRendering()).getChannelData(0));
}"""


def test_the_switch_and_the_start_do_not_click(page):
    heard = np.array(page.evaluate(SWITCH))
    assert heard[8000] == pytest.approx(16000 / 32768)
    assert heard[12000] == pytest.approx(-16000 / 32768)
    assert np.abs(np.diff(heard)).max() < 1.01 * (32000 / 32768) / 320
    assert abs(heard[0]) < 0.002


# -- The microphone -----------------------------------------------------------
def jumps(wave):
    """Return where a tone of TONE_HZ breaks off: x[n+1] = 2cx[n] - x[n-1]."""
    wave = wave.astype(float)
    factor = 2 * np.cos(2 * np.pi * TONE_HZ / RATE)
    rest = wave[2:] - factor * wave[1:-1] + wave[:-2]
    return np.flatnonzero(np.abs(rest) > 12)


def test_jumps_are_noticed():
    tone = 8000 * np.sin(2 * np.pi * TONE_HZ / RATE * np.arange(RATE))
    whole = np.rint(tone).astype(np.int16)
    assert not len(jumps(whole))
    for size in (1, 128, 160):
        assert len(jumps(np.delete(whole, slice(5000, 5000 + size))))
    whole[5000:5128] = 0
    assert len(jumps(whole))


@pytest.mark.parametrize(
    "seconds, query",
    [
        (5, ""),
        (3, "?context_rate=48000"),
        pytest.param(60, "", marks=pytest.mark.slow),
    ],
)
def test_the_microphone_runs_without_a_dropout(
    seconds, query, context, address, tmp_path
):
    """Twice more if need be: a machine full of tests may starve a browser."""
    for _ in range(3):
        page = opened(context, address, query)
        page.get_by_role("button", name="Use the microphone").click()
        page.wait_for_selector("#status:has-text('microphone runs')")
        page.get_by_label("Hear it while it runs").check()
        page.wait_for_timeout(1000 * seconds)
        lost = page.text_content("#dropouts") != "0"
        page.get_by_role("button", name="Stop the microphone").click()
        page.wait_for_selector("#status:has-text('Ready: Recording')")
        # The original alone: what the microphone gave.
        page.get_by_label("Mix").fill("0")
        heard = read_wav(downloaded(page, tmp_path / "heard.wav"))
        assert seconds <= len(heard) / RATE < seconds + 4
        # The first moment is the filter's of the browser.
        tone = heard[RATE // 4 :]
        assert np.abs(tone).max() > 3000
        assert not page.faults
        page.close()
        if not lost and not len(jumps(tone)):
            return
    pytest.fail("three recordings, each with dropouts")


#: Keeps what a page was given, to look at its end.
STREAMS = """() => {
  window.streams = [];
  const devices = navigator.mediaDevices;
  const get = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wanted) => {
    const stream = await get(wanted);
    window.streams.push(new WeakRef(stream.getAudioTracks()[0]));
    window.asked = wanted.audio;
    return stream;
  };
}"""


def held(page):
    """Return what a page holds after its garbage was collected."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.get_by_role("button", name="Voice and fan").click()
    page.wait_for_selector("#status:has-text('Ready: Voice and fan')")
    for _ in range(2):
        session.send("HeapProfiler.collectGarbage")
        # The audio thread lets go of its part while it runs.
        page.get_by_role("button", name="Play").click()
        page.wait_for_timeout(200)
        page.get_by_role("button", name="Pause").click()
    found = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    values = {entry["name"]: entry["value"] for entry in found}
    names = ("AudioHandlers", "AudioWorkletProcessors", "JSEventListeners")
    counts = {name: values[name] for name in names}
    return counts, values["JSHeapUsedSize"]


@pytest.mark.slow
def test_fifty_starts_and_stops_leak_nothing(page):
    page.evaluate(STREAMS)

    def start_and_stop(times):
        for _ in range(times):
            page.get_by_role("button", name="Use the microphone").click()
            page.wait_for_selector("#status:has-text('microphone runs')")
            page.wait_for_timeout(50)
            page.get_by_role("button", name="Stop the microphone").click()
            page.wait_for_selector("#status:has-text('Ready: Recording')")

    start_and_stop(5)
    counts, heap = held(page)
    start_and_stop(50)
    after, heap_after = held(page)
    assert after == counts
    # A start that leaked one buffer of its own would leave far more.
    assert heap_after - heap < 200_000
    left = "streams.filter((s) => s.deref()?.readyState === 'live').length"
    assert page.evaluate(left) == 0
    assert page.evaluate("streams.length") == 55
    # The browser's own noise suppression must not be in front of ours.
    for name in ("noiseSuppression", "echoCancellation", "autoGainControl"):
        assert page.evaluate(f"asked.{name}") is False


# -- What goes wrong ----------------------------------------------------------
def trouble(page):
    page.wait_for_selector("#trouble:visible")
    return page.get_by_role("alert").inner_text()


def test_a_refused_microphone_gives_a_sentence(browser, address):
    context = browser.new_context(permissions=[])
    page = opened(context, address)
    page.get_by_role("button", name="Use the microphone").click()
    assert "microphone was refused: allow it" in trouble(page)
    # The page goes on.
    page.get_by_role("button", name="Play").click()
    page.wait_for_selector("#time:has-text('0:01 /')")
    context.close()


@pytest.mark.parametrize(
    "name, data, said",
    [
        ("noise.mp3", b"\x00\x12ID3" * 999, "noise.mp3 is no sound"),
        ("<img src=x>.wav", b"RIFF", "<img src=x>.wav is no sound"),
        ("empty.wav", b"", "empty.wav is no sound"),
    ],
)
def test_a_damaged_file_gives_a_sentence(name, data, said, page, tmp_path):
    path = tmp_path / name
    path.write_bytes(data)
    bring(page, path, ready=False)
    assert said in trouble(page)
    assert page.get_by_role("button", name="Play").is_enabled()
    page.get_by_role("button", name="Voice and keyboard").click()
    page.wait_for_selector("#status:has-text('Ready: Voice and keyboard')")
    assert not page.is_visible("#trouble")


def test_a_wav_without_samples_gives_a_sentence(page, tmp_path):
    bring(page, write_wav(tmp_path / "silent.wav", []), ready=False)
    assert "silent.wav holds no sound" in trouble(page)


def test_a_wav_that_was_cut_gives_what_is_there(page, clip, tmp_path):
    path = tmp_path / "cut.wav"
    path.write_bytes(clip.read_bytes()[: 44 + 2 * RATE + 1])
    bring(page, path)
    assert len(read_wav(downloaded(page, tmp_path / "out.wav"))) == RATE


@pytest.mark.parametrize("status, body", [(404, b""), (200, b"\x00asm no")])
def test_code_that_is_missing_or_damaged_gives_a_sentence(
    status, body, context, address
):
    page = opened(context, address)
    answer = {"status": status, "body": body}
    context.route("**/lstm*.wasm", lambda route: route.fulfill(**answer))
    page.get_by_label("Model").select_option("lstm-110k")
    said = "lstm_110k-simd.wasm is " + ("missing" if status == 404 else "dam")
    assert said in trouble(page)
    assert "build the page again" in trouble(page)


def test_a_folder_without_its_contents_gives_a_sentence(context, address):
    context.route("**/contents.json", lambda route: route.fulfill(status=404))
    page = context.new_page()
    page.goto(address)
    assert "contents.json is missing" in trouble(page)


# -- What a visitor meets -----------------------------------------------------
def test_nothing_leaves_the_machine(context, address, clip):
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    page = opened(context, address)
    bring(page, clip)
    page.get_by_role("button", name="Play").click()
    page.wait_for_selector("#time:has-text('0:01 /')")
    assert len(asked) > 10
    assert all(re.match(f"{address}|blob:{address}", url) for url in asked)
    # The browser itself would refuse.
    refused = page.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')"
    )
    assert refused == "refused"
    assert any("Content Security Policy" in fault for fault in page.faults)


def test_the_keyboard_is_enough(page):
    page.get_by_role("button", name="Voice and fan").focus()
    order = []
    for _ in range(12):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id"))
    wanted = ["file", "microphone", "play", "position", "download", "model"]
    assert [name for name in order if name in wanted] == wanted
    page.get_by_label("Enhanced", exact=True).focus()
    page.keyboard.press("ArrowLeft")
    assert page.get_by_label("Original", exact=True).is_checked()
    page.get_by_role("slider", name="Input level").focus()
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    assert page.text_content("#level-value") == "-6 dB"
    page.get_by_role("slider", name="Position").focus()
    page.keyboard.press("End")
    page.wait_for_selector("#time:has-text('0:07 /')")


def test_mix_and_level_are_what_is_downloaded(page, clip, on_host, tmp_path):
    bring(page, clip)
    noisy = read_wav(clip).astype(int)
    enhanced = read_wav(on_host("tcnn-120k")).astype(int)
    page.get_by_label("Mix").fill("90")
    assert "at most 20.0 dB" in page.text_content("#mix-note")
    mixed = read_wav(downloaded(page, tmp_path / "mixed.wav"))
    want = noisy + 0.9 * (enhanced - noisy)
    assert np.abs(mixed - want).max() < 0.51
    page.get_by_label("Mix").fill("0")
    page.get_by_label("Input level").fill("-20")
    page.wait_for_timeout(500)
    quiet = read_wav(downloaded(page, tmp_path / "quiet.wav"))
    assert np.abs(quiet - noisy).max() <= 5.01
    assert np.abs(quiet - noisy).max() > 3


def test_settings_may_change_while_it_plays_or_listens(page):
    page.get_by_role("button", name="Play").click()
    page.get_by_label("Input level").fill("-20")
    page.get_by_label("Model").select_option("nnse-72mel")
    page.wait_for_selector("#latency:has-text('30 ms')")
    page.locator("#dry").click(position={"x": 100, "y": 50})
    page.wait_for_selector("#time:has-text('0:02 /')")
    # The microphone ends the clip, another model goes on with it.
    page.get_by_role("button", name="Use the microphone").click()
    page.wait_for_selector("#status:has-text('microphone runs')")
    page.get_by_label("Model").select_option("lstm-110k")
    page.wait_for_selector("#model-note:has-text('LSTMMask')")
    page.get_by_label("Hear it while it runs").check()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Voice and keyboard").click()
    page.wait_for_selector("#status:has-text('Ready: Voice and keyboard')")
    microphone = page.get_by_role("button", name="Use the microphone")
    for _ in range(2):  # on and off again
        microphone.or_(page.get_by_role("button", name="Stop")).click()
    page.wait_for_selector("#status:has-text('Ready')")
    assert not page.is_visible("#trouble")
    page.get_by_role("button", name="Play").click()


@pytest.mark.parametrize("width", [320, 390, 1100])
def test_it_fits_the_screen(width, context, address):
    page = opened(context, address)
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(100)
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) == width
