"""What is heard in the page: the bits of the board, and no click."""

import subprocess

from c_models import ENHANCERS, build, released
import numpy as np
import pytest
from web_browser import RATE, bring, downloaded, opened, read_wav


@pytest.fixture(scope="session")
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


@pytest.mark.parametrize("code", ["vectors", "plain"])
@pytest.mark.parametrize("name", ENHANCERS)
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
    quiet = read_wav(downloaded(page, tmp_path / "quiet.wav"))
    assert np.abs(quiet - noisy).max() <= 5.01
    assert np.abs(quiet - noisy).max() > 3
