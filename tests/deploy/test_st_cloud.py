"""The developer cloud: the whole command against a stand-in on loopback."""

import hashlib
import json
import logging
from pathlib import Path
import shlex
import stat
import sys
import zipfile

from edgebrain.errors import UserError
import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]
import stand_in_cloud  # noqa: E402
from stand_in_cloud import (  # noqa: E402
    CODE,
    FIRST,
    PASSWORD,
    REFRESH,
    SECOND,
    USERNAME,
    StandIn,
    packed,
)

from deploy import stedgeai  # noqa: E402
from deploy.st import (  # noqa: E402
    cloud,
    cloud_archive,
    cloud_client,
    cloud_http,
    cloud_job,
)
from deploy.st.cloud_http import Http, check_address  # noqa: E402
from deploy.st.cloud_login import make_tokens  # noqa: E402
from deploy.st.targets import load_targets  # noqa: E402

SECRETS = (CODE, FIRST, PASSWORD, REFRESH, SECOND, USERNAME)
VARIABLES = ("STM32AI_TOKEN", "STM32AI_USERNAME", "STM32AI_PASSWORD")
MODELS = "GET /api/file/files/models"
UPLOAD = "POST /api/file/files/models"
ANALYZE = "POST /api/10.2.0/stm32ai/analyze"
STATE = "GET /api/10.2.0/stm32ai/run/analyze-1"
ZIP = "GET /api/file/files/generated/out%201.zip"
BENCHMARK = "POST /api/benchmark/benchmark/stm32n6570-dk"
THIEF = '<form action="https://thief.example/x"><input name="lt"></form>'


@pytest.fixture
def model(quantized, tmp_path):
    """Return the path of a miniature quantized stream."""
    path = tmp_path / "my net.onnx"
    path.write_bytes(quantized("tcnn", "int8").read_bytes())
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """Return the path of a short recording: few calls to compute."""
    from c_models import SIGNAL, sound
    from edgebrain.data import audio

    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    wav = sound(2000).astype("float32") / 32768
    audio.write(path, wav, SIGNAL.sample_rate)
    return path


@pytest.fixture
def service(monkeypatch):
    """Return the stand-in; what it did not understand fails the test."""
    for name in (*VARIABLES, "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(cloud_job, "POLL_SECONDS", 0)
    monkeypatch.setattr(cloud_http, "BACKOFF_SECONDS", 0)
    stand_in = StandIn()
    monkeypatch.setenv("SSO_URL", stand_in.url)
    yield stand_in
    stand_in.close()
    assert stand_in.faults == []


@pytest.fixture
def run(service, model, clip, tmp_path, monkeypatch, capsys, caplog):
    """Return a function that runs the command; no secret may come out."""
    caplog.set_level(logging.INFO)
    folder = tmp_path / "p"

    def command(*words, token=FIRST, target="stm32n6"):
        if token is not None:
            monkeypatch.setenv("STM32AI_TOKEN", token)
        arguments = [str(model), "--target", target, "--cloud", "--vectors"]
        arguments += ["3", "--audio", str(clip), "--cloud_url", service.url]
        arguments += ["--output_folder", str(folder), *words]
        try:
            status = stedgeai.main(arguments)
        except UserError as error:
            status = error
        out = capsys.readouterr()
        command.text = out.out
        said = [out.out, out.err, caplog.text, str(status), repr(status)]
        if isinstance(status, UserError):
            assert status.__cause__ is None
            assert status.__context__ is None or status.__suppress_context__
        for path in tmp_path.rglob("*"):
            if path.is_file():
                said.append(path.read_bytes().decode("latin-1"))
                said.append(path.read_bytes().decode("utf-8", "replace"))
        for secret in SECRETS:
            assert not any(secret in text for text in said), secret
        return status

    command.folder = folder
    command.text = ""
    return command


def refused(run, pattern, *words, **more):
    """Run, want a UserError before the package, and return its text."""
    status = run(*words, **more)
    assert isinstance(status, UserError), status
    with pytest.raises(UserError, match=pattern):
        raise status
    assert not run.folder.exists()
    return str(status)


def fails(run, service, pattern, *words, **more):
    """Run, want a step that fails, the package kept, the model deleted."""
    assert run(*words, **more) == 3, run.text
    text = run.text
    line = next(x for x in text.splitlines() if "FAILED" in x)
    assert pattern in line, line
    assert "the package stays" in text
    assert (run.folder / "model.onnx").is_file()
    assert not (run.folder / "tool" / "figures.json").exists()
    step = line.split()[0]
    log = (run.folder / "tool" / f"{step}.log").read_text()
    assert pattern in log
    assert service.models == {} and service.deleted == service.uploads
    return text


# -- what goes well --------------------------------------------------------


def test_measures_on_the_board_and_leaves_no_model(run, service, model):
    assert run() == 0
    text = run.text
    digest = hashlib.sha256(model.read_bytes()).hexdigest()[:12]
    name = f"edgebrain-my_net-{digest}.onnx"
    assert service.uploads == service.deleted == [name]
    assert service.models == {}
    tool = run.folder / "tool"
    for file in (
        "analyze/network_c_info.json",
        "analyze/network_report.json",
        "generate/network.c",
        "generate/sub/network_data.bin",
        "generate/network_report.json",
        "benchmark/result.json",
    ):
        assert (tool / file).is_file(), file
    steps = ["upload", "analyze", "generate", "benchmark"]
    assert sorted(p.stem for p in tool.glob("*.log")) == sorted(steps)
    assert not list(tool.rglob("*.zip")) and not (tool / "upload").exists()
    figures = json.loads((tool / "figures.json").read_text())
    assert figures["ram_bytes"] == 102_400 + 1028 + 1028
    assert figures["macc"] == 65_200_000
    assert (figures["hardware_nodes"], figures["software_nodes"]) == (2, 1)
    assert figures["milliseconds"] == 3.1
    assert "3.1 ms" in text and "version 10.2.0" in text
    assert service.posted["benchmark"]["board"] == "stm32n6570-dk"
    assert all(p["model"] == name for p in service.posted.values())
    # Each state once, whatever the order they come back in.
    assert text.count("benchmark in queue") == 1
    assert text.count("benchmark building") == 1
    log = (tool / "benchmark.log").read_text()
    assert log.count("state in_queue") == 2


def test_generated_code_takes_what_the_local_tool_makes(run, service):
    assert run("--cloud_board", "none") == 0
    words = service.posted["generate"]["extraCommandLineArguments"]
    package = json.loads((run.folder / "package.json").read_text())
    local = package["commands"]["generate"]
    assert "--inputs-ch-position chfirst" in words
    assert set(shlex.split(words)) <= set(shlex.split(local))
    assert service.posted["generate"]["inputDataType"] == "float32"
    assert "inputDataType" not in service.posted["analyze"]
    assert "benchmark" not in service.posted
    assert "not measured" in run.text
    assert not any("benchmark" in key for key in service.requests)


@pytest.mark.parametrize("target", ["stm32h7", "stm32u5"])
def test_each_target_has_its_board(run, service, target):
    assert run(target=target) == 0
    board = load_targets()[target].cloud["board"]
    assert service.posted["benchmark"]["board"] == board.lower()


def test_a_target_without_board_is_not_measured(run, service, tmp_path):
    extra = tmp_path / "t.toml"
    extra.write_text('[mine]\nlike = "stm32n6"\ncloud = { board = "none" }\n')
    assert load_targets()["stm32"].cloud == {}
    assert run("--targets_file", str(extra), target="mine") == 0
    assert "benchmark" not in service.posted
    extra.write_text('[mine]\nlike = "stm32"\ncloud = { bord = "x" }\n')
    words = ("--targets_file", str(extra))
    run.folder.rename(tmp_path / "first")
    refused(run, "cloud takes one key", *words, target="mine")


def test_board_and_version_are_chosen(run, service):
    words = ("--cloud_version", "9.1.0", "--cloud_board", "b-u585i-iot02a")
    assert run(*words, "--json") == 0
    result = json.loads(run.text)
    assert result["cloud"] == {
        "url": service.url,
        "version": "9.1.0",
        "board": "B-U585I-IOT02A",
    }
    assert result["figures"]["milliseconds"] == 3.1
    assert [s["ok"] for s in result["tool"]] == [True] * 4
    assert "POST /api/9.1.0/stm32ai/analyze" in service.requests


def test_without_a_latest_version_the_highest_counts(run, service, monkeypatch):
    plain = [{"version": v["version"]} for v in stand_in_cloud.VERSIONS]
    monkeypatch.setattr(stand_in_cloud, "VERSIONS", plain)
    assert run("--cloud_board", "none") == 0
    assert ANALYZE in service.requests


def test_an_old_service_takes_options_as_text(run, service):
    service.old_benchmark = True
    del service.last["benchmark"]["benchmark"]["info"]
    try:
        assert run() == 0
    finally:
        service.last["benchmark"]["benchmark"]["info"] = {}
    assert "3.1 ms" in run.text


def test_a_model_of_the_same_name_is_only_used_if_it_is_the_same(
    run, service, model
):
    stale = "edgebrain-my_net-000000000000.onnx"
    service.models = {stale: b"old", "model.onnx": b"old"}
    assert run("--cloud_board", "none") == 0
    assert service.posted["analyze"]["model"] not in (stale, "model.onnx")
    assert set(service.models) == {stale, "model.onnx"}  # not ours: stays
    same = service.uploads[0]
    service.models[same] = model.read_bytes()
    assert run("--cloud_board", "none") == 0
    assert service.uploads == [same]  # the one of the first run
    assert same in service.models and "there already" in run.text


# -- credentials -----------------------------------------------------------


def test_logs_in_by_password(run, service, monkeypatch):
    monkeypatch.setenv("STM32AI_USERNAME", USERNAME)
    monkeypatch.setenv("STM32AI_PASSWORD", PASSWORD)
    assert run(token=None) == 0
    assert len(service.logins) == 1
    assert "GET /callback" not in service.requests


def test_a_refused_login_is_tried_once(run, service, monkeypatch):
    monkeypatch.setenv("STM32AI_USERNAME", USERNAME)
    monkeypatch.setenv("STM32AI_PASSWORD", "guess-1234")
    text = refused(run, "wrong STM32AI_USERNAME", token=None)
    assert len(service.logins) == 1 and "guess-1234" not in text
    assert service.uploads == []


@pytest.mark.parametrize(
    "key, broken, message",
    [
        ("POST /cas/login/submit", (200, "exceeded 5 login attempts"), "block"),
        ("POST /cas/login/submit", (200, "terms"), "web page to see why"),
        ("POST /cas/login/submit", (503, "busy"), "with a code"),
        ("POST /cas/login/submit", "drop", "no connection"),
        ("GET /cas/login/page", (200, "<form></form>"), "no form"),
        ("GET /cas/login/page", (403, "no"), "no login page"),
        ("GET /as/hop", (302, "http://sso.example/x"), "in clear text"),
        ("GET /cas/login/page", (200, THIEF), "password to thief.example"),
        ("GET /cas/back", (200, "accept the terms"), "with a code"),
        ("GET /cas/back", (503, "busy"), "with a code"),
        (
            "POST /api/user_service/login/callback",
            (200, {"access_token": "two words"}),
            "no token",
        ),
        (
            "POST /api/user_service/login/callback",
            (400, f"bad {CODE} of {USERNAME}"),
            "no token",
        ),
    ],
)
def test_a_login_that_goes_wrong_is_not_repeated(
    run, service, monkeypatch, key, broken, message
):
    monkeypatch.setenv("STM32AI_USERNAME", USERNAME)
    monkeypatch.setenv("STM32AI_PASSWORD", PASSWORD)
    service.breaks[key] = [broken]
    refused(run, message, token=None)
    assert service.asked("POST /cas/login/submit") <= 1
    assert service.asked("GET /as/authorization.oauth2") == 1
    assert service.asked("GET /cas/back") <= 1


@pytest.mark.parametrize("token", ["", FIRST + "x", '{"a": 1}', "{", "a b"])
def test_bad_or_missing_credentials_stop_before_any_work(run, service, token):
    if token == FIRST + "x":
        text = refused(run, "401.*copy a new one", token=token)
        assert service.requests == ["GET /assets/versions.json", MODELS]
        assert token not in text
        return
    pattern = "neither an access token" if token else "STM32AI_PASSWORD"
    text = refused(run, pattern, token=token)
    assert service.requests == [] and not (token and token in text)
    assert "Settings" in text


def test_an_expired_token_is_refreshed_where_it_can_be(run, service):
    tokens = json.dumps({"access_token": "expired-1", "refresh_token": REFRESH})
    assert run(token=tokens) == 0
    assert service.refreshes == 1
    service.tokens.clear()  # SECOND too has expired, and is not renewed
    service.breaks["POST /api/user_service/login/refresh"] = [(400, "no")]
    run.folder.rename(run.folder.with_name("first"))
    refused(run, "401", token=tokens)
    assert service.refreshes == 1


def test_a_token_that_expires_in_the_queue_is_refreshed(run, service):
    both = json.dumps({"access_token": FIRST, "refresh_token": REFRESH})
    service.breaks["GET /api/benchmark/benchmark/1"] = [None, (401, "late")]
    service.last["benchmark"]["message"] = f"signed by {SECOND}"
    assert run(token=both) == 0
    assert service.refreshes == 1


def test_secrets_that_a_service_repeats_are_not_written(run, service):
    service.last["analyze"]["result"] = {
        "report": {"cli_parameters": f"user {FIRST}"},
        "info": None,
    }
    service.states["benchmark"] = [{"state": "error", "message": FIRST}]
    assert run() == 3
    report = run.folder / "tool" / "analyze" / "network_report.json"
    assert "user ***" in report.read_text()


def test_a_netrc_replaces_no_token(run, service, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login x password y\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert run("--cloud_board", "none") == 0


def test_texts_are_scrubbed_in_every_spelling():
    http = Http([PASSWORD])
    for text in (
        PASSWORD,
        "pass%26word%3C1%3E%C3%96x",
        "pass&amp;word&lt;1&gt;Öx",
        "pass&word<1>\\u00d6x",
    ):
        assert http.scrub(f"a {text} b") == "a *** b"
    tokens = make_tokens(f"Bearer {FIRST}")
    assert tokens.access == FIRST and FIRST not in repr(tokens)


# -- wrong use -------------------------------------------------------------


@pytest.mark.parametrize(
    "words, message",
    [
        (("--stedgeai", "x"), "--cloud and --stedgeai contradict"),
        (("--board", "serial"), "--board"),
        (("--no_run",), "--no_run"),
        (("--check_only",), "--check_only"),
        (("--cloud_version", "10.3.0"), "did you mean 10.*known: 10.0.0, 10.2"),
        (("--cloud_board", "STM32N6570"), "did you mean STM32N6570-DK"),
        (("--cloud_board", "nowhere"), "B-U585I-IOT02A, STM32H747I-DISCO"),
        (("--cloud_url", "http://st.example"), "in clear text"),
        (("--cloud_url", "st.example"), "no address"),
        (("--cloud_url", "https://u:p@st.example"), "no address"),
    ],
)
def test_wrong_use_is_refused_before_the_package(run, service, words, message):
    refused(run, message, *words)
    assert service.uploads == [] and "POST" not in str(service.requests)


def test_options_of_the_cloud_want_the_cloud(model):
    words = [str(model), "--target", "stm32", "--cloud_board", "x"]
    with pytest.raises(UserError, match="--cloud_board: goes with --cloud"):
        stedgeai.main(words)


def test_a_model_that_fails_the_check_is_not_sent(
    run, service, model, onnx_folder
):
    model.write_bytes((onnx_folder / "stream.onnx").read_bytes())
    assert run() == 1
    assert service.requests == []


def test_requests_is_loaded_for_the_cloud_alone():
    for path in (ROOT / "deploy").rglob("*.py"):
        if not path.name.startswith("cloud"):
            text = path.read_text()
            assert "import requests" not in text, path
            assert text.count("import Cloud") == (path.name == "stedgeai.py")


# -- the network -----------------------------------------------------------


def test_reading_is_repeated_and_writing_is_not(run, service):
    service.breaks = {
        MODELS: ["drop", (503, "busy"), None],
        STATE: [(502, "busy"), "drop", "drop"],
        "GET /assets/versions.json": [(500, "x")],
    }
    assert run("--cloud_board", "none") == 0
    assert len(service.uploads) == 1
    service.breaks = {ANALYZE: [(503, "busy")]}
    run.folder.rename(run.folder.with_name("first"))
    fails(run, service, "(503): the service has a fault: 'busy'")
    assert service.asked(ANALYZE) == 2  # one each run


def test_silence_ends(run, service, monkeypatch):
    monkeypatch.setattr(cloud_http, "TIMEOUT", (5, 0.1))
    service.breaks[MODELS] = ["stall"] * 9
    refused(run, "no answer in time")
    assert service.asked(MODELS) == cloud_http.ATTEMPTS


def test_nobody_there_and_no_tls(run, service, monkeypatch):
    service.breaks["GET /assets/versions.json"] = ["drop"] * 9
    refused(run, "no connection to 127.0.0.1")
    assert service.asked("GET /assets/versions.json") == cloud_http.ATTEMPTS
    tls = service.url.replace("http:", "https:")
    refused(run, "TLS.*REQUESTS_CA_BUNDLE", "--cloud_url", tls)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    refused(run, "nowhere.pem", "--cloud_url", tls)


@pytest.mark.parametrize(
    "key, broken, message",
    [
        (MODELS, (401, "no"), "token is refused"),
        (MODELS, (403, "Please accept"), "must be accepted once, by you"),
        (MODELS, (451, "licence not accepted"), "must be accepted once"),
        (MODELS, (404, "Cannot GET"), "may have changed.*GET 127.0.0.1/api"),
        (MODELS, (302, "/login"), "interface may have changed"),
        (MODELS, (200, "<html>login</html>"), "no JSON: 'login'"),
        (MODELS, (200, {"a": 1}), "lists no models"),
        (MODELS, (418, "teapot"), "refused: 'teapot'"),
        ("GET /assets/versions.json", (200, [{}]), "lists no versions"),
        ("GET /api/benchmark/boards", (200, []), "lists no boards"),
        ("GET /api/benchmark/boards", (200, {}), "no board at present"),
    ],
)
def test_what_fails_before_the_upload_leaves_no_package(
    run, service, key, broken, message
):
    service.breaks[key] = [broken] * 5
    refused(run, message)
    assert service.uploads == []


@pytest.mark.parametrize(
    "key, broken, message",
    [
        (UPLOAD, (200, {"upload": False}), "was not stored"),
        (UPLOAD, (413, "too large"), "too large"),
        (UPLOAD, "drop after", "no connection"),
        (ANALYZE, (200, {"status": "ko", "error": "no licence"}), "by you"),
        (ANALYZE, (200, {"status": "ko", "error": "bad model"}), "bad model"),
        (ANALYZE, (404, "Cannot POST"), "the interface may have changed"),
        (ANALYZE, (403, "no"), "must be accepted once"),
        (ANALYZE, (200, {}), "refused: {}"),
        (STATE, (200, "<p>hm"), "answered no JSON: 'hm'"),
        (STATE, (200, {"state": "ERROR", "message": "out of RAM"}), "of RAM"),
        (STATE, (200, {"state": "error"}), "gives no reason"),
        (STATE, (200, {"result": "x"}), "is no table"),
        (STATE, (200, {"result": {}}), "gave no network_c_info.json or"),
        (
            STATE,
            (200, {"result": {"report": {"log": "a\nTOOL ERROR: pad\nb"}}}),
            "TOOL ERROR: pad",
        ),
        (ZIP, (200, "no zip"), "is no whole zip file"),
        (ZIP, (404, "gone"), "the interface may have changed"),
        (BENCHMARK, (400, {"errors": ["wrong option"]}), "wrong option"),
        (BENCHMARK, (200, {"model": "m"}), "refused"),
    ],
)
def test_a_step_that_fails_says_why_and_deletes_the_model(
    run, service, key, broken, message
):
    service.breaks[key] = [broken]
    fails(run, service, message)


def test_a_run_that_does_not_end(run, service, monkeypatch):
    monkeypatch.setattr(cloud, "BENCHMARK_SECONDS", 0)
    fails(run, service, "did not end: waiting_for_build for 0 s")
    monkeypatch.setattr(cloud, "RUN_SECONDS", 0)
    run.folder.rename(run.folder.with_name("first"))
    service.states["analyze"] = [{"state": "waiting"}]
    fails(run, service, "did not end: waiting for 0 s")


def test_a_benchmark_that_fails_or_says_no_time(run, service):
    service.states["benchmark"] += [{"state": "error", "message": "no board"}]
    fails(run, service, "no board")
    service.last["benchmark"] = {"state": "done", "benchmark": {"info": None}}
    run.folder.rename(run.folder.with_name("first"))
    fails(run, service, "says no time")


def test_ctrl_c_deletes_the_model(run, service, monkeypatch):
    def stop(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud_job.time, "sleep", stop)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(service.deleted) == 1 and service.models == {}
    assert (run.folder / "model.onnx").is_file()


def test_a_model_that_cannot_be_deleted_is_named(run, service, monkeypatch):
    delete = cloud_client.Client.delete

    def broken(self, name):
        service.breaks[f"DELETE /api/file/files/models/{name}"] = [
            (500, "busy")
        ]
        return delete(self, name)

    monkeypatch.setattr(cloud_client.Client, "delete", broken)
    assert run("--cloud_board", "none") == 0
    assert f"could not delete {service.uploads[0]}" in run.text


# -- the archive -----------------------------------------------------------


def _link(_):
    entry = zipfile.ZipInfo("network.c")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return packed({"a.c": b"x", entry: b"/etc/passwd"})


def _damaged(_):
    data = bytearray(packed({"network.c": b"text " * 99}))
    data[60] ^= 1
    return bytes(data)


def _twice(_):
    twin = zipfile.ZipInfo("network.c")
    return packed({"network.c": b"x", twin: b"y"})


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "archive, message",
    [
        (lambda folder: packed({f"{folder}/evil.c": b"x"}), "outside"),
        (lambda _: packed({"a/../../evil.c": b"x"}), "outside"),
        (lambda _: packed({"..\\evil.c": b"x"}), "outside"),
        (lambda _: packed({"C:/evil.c": b"x"}), "outside"),
        (_link, "outside"),
        (_damaged, "no whole zip"),
        (_twice, "no whole zip"),
        (lambda _: packed({"network.c": b"x"})[:-30], "no whole zip"),
        (lambda _: packed({"a": b"x", "a/b": b"x"}), "no whole zip"),
        (lambda _: packed({f"{n}": b"x" for n in range(21)}), "holds 21 files"),
        (lambda _: packed({"network.c": b"x" * 2001}), "unpacks to 2,001"),
    ],
)
def test_an_archive_is_unpacked_whole_or_not_at_all(
    monkeypatch, tmp_path, archive, message
):
    monkeypatch.setattr(cloud_archive, "MAX_FILES", 20)
    monkeypatch.setattr(cloud_archive, "MAX_BYTES", 2000)
    folder, path = tmp_path / "a" / "generate", tmp_path / "x.zip"
    path.write_bytes(archive(tmp_path))
    with pytest.raises(UserError, match=message):
        cloud_archive.unpack(path, folder)
    assert {p.name for p in tmp_path.rglob("*")} == {"a", "generate", "x.zip"}


@pytest.mark.parametrize(
    "archive, message",
    [
        (packed({"network.c": b"x", "../../evil.c": b"x"}), "outside"),
        (packed({"network.c": bytes(9000)}), "more than 4,000 bytes"),
        (packed({"readme.txt": b"x"}), "gave no network.c"),
    ],
)
def test_a_bad_archive_fails_the_step(
    run, service, monkeypatch, tmp_path, archive, message
):
    monkeypatch.setattr(cloud_client, "MAX_DOWNLOAD", 4000)
    service.archive = archive
    fails(run, service, message)
    assert not list(tmp_path.rglob("evil.c"))
    left = {p.name for p in (run.folder / "tool").rglob("*") if p.is_file()}
    assert "generate.zip" not in left and "network.c" not in left


# -- small things ----------------------------------------------------------


def test_addresses_are_judged():
    assert check_address("https://a.example/x/", "u") == "https://a.example/x"
    assert check_address("http://localhost:1", "u") == "http://localhost:1"
    for url in ("", "ftp://a", "https://", "https://[", "https://a:x"):
        with pytest.raises(UserError, match="no address"):
            check_address(url, "u")
