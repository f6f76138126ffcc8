"""What a visitor meets: sentences for troubles, keys, small screens."""

import re

import pytest
from web_browser import RATE, bring, downloaded, opened, read_wav, write_wav


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
