"""The developer cloud: the whole command against a stand-in on loopback."""

from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import io
import json
import threading
import zipfile

from edgebrain.errors import UserError
import pytest
from stand_in_stedgeai import C_INFO, REPORT

from deploy import stedgeai
from deploy.st import cloud
from deploy.st.targets import load_targets

FIRST, SECOND, REFRESH = "first-0123456789", "second-98765", "refresh-5555"
MODELS = "/api/file/files/models"
ANALYZE = "POST /api/10.2.0/stm32ai/analyze"
STATE = "GET /api/10.2.0/stm32ai/run/analyze-1"
ZIP = "GET /api/file/files/generated/out%201.zip"
BENCHMARK = "POST /api/benchmark/benchmark/stm32n6570-dk"
BOARDS = ("STM32N6570-DK", "STM32H747I-DISCO", "B-U585I-IOT02A")
TIME = {"graph": {"exec_time": {"duration_ms": 3.1}}}
#: The options that ST's own wrapper knows.
OPTIONS = set(
    "model type name target verbosity allocateInputs allocateOutputs "
    "optimization inputDataType outputDataType stNeuralArt atonnOptions "
    "extraCommandLineArguments".split()
)


def packed(files):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


class StandIn:
    """The services; ``breaks`` has answers to give instead, by request."""

    def __init__(self):
        self.requests, self.uploads, self.deleted = [], [], []
        self.breaks, self.models, self.posted = {}, {}, {}
        self.token, self.faults = FIRST, []
        done = {"state": "done", "result": {"report": REPORT, "info": C_INFO}}
        made = {"url": "/files/generated/out 1.zip", "report": REPORT}
        self.states = {
            "analyze": [{"state": "waiting"}, done],
            "generate": [{"state": "done", "result": made}],
            "1": [
                *({"state": s} for s in ("in_queue", "in_queue", "flashing")),
                {"state": "done", "benchmark": TIME},
            ],
        }
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                key = f"{self.command} {self.path}"
                outer.requests.append(key)
                broken = outer.breaks.get(key)
                status, answer = broken.pop(0) if broken else (0, None)
                if status == "drop":
                    return
                if not status:
                    try:
                        status, answer = outer.answer(self, key, body)
                    except (KeyError, ValueError, AssertionError) as error:
                        outer.faults.append(f"{key}: {error!r}")
                        status = 400
                if not isinstance(answer, bytes):
                    answer = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_DELETE = do_GET

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        serve = self.server.serve_forever
        threading.Thread(target=serve, args=(0.01,), daemon=True).start()

    def answer(self, handler, key, body):
        path = handler.path.split("/")
        if key == "POST /api/user_service/login/refresh":
            assert body == f"refresh_token={REFRESH}".encode()
            self.token = SECOND
            return 200, {"access_token": SECOND}
        if handler.headers["Authorization"] != f"Bearer {self.token}":
            return 401, f"bad token {handler.headers['Authorization']}"
        if key == "GET /assets/versions.json":
            latest = {"version": "10.2.0", "isLatest": True}
            return 200, [{"version": "9.1.0"}, latest]
        if key == "GET /api/benchmark/boards":
            return 200, dict.fromkeys(BOARDS, {})
        if key == f"GET {MODELS}":
            return 200, [{"name": name} for name in self.models]
        if key == f"POST {MODELS}":
            name, data = multipart(handler, body)["file"]
            assert name not in self.models
            self.models[name] = data
            self.uploads.append(name)
            return 200, {"upload": True}
        if handler.command == "DELETE":
            self.deleted.append(path[-1])
            return (200, {}) if self.models.pop(path[-1], 0) else (404, "")
        if key == ZIP:
            return 200, packed({"network.c": b"/**/", "sub/a.bin": b"\0"})
        if path[3] == "stm32ai" and handler.command == "POST":
            ((name, args),) = multipart(handler, body).values()
            assert name is None
            self.check(path[-1], json.loads(args))
            return 200, {"runtimeId": f"{path[-1]}-1"}
        if path[2] == "benchmark" and handler.command == "POST":
            values = json.loads(body)
            assert values.pop("version") == "10.2.0"
            self.check("benchmark", values | {"board": path[-1]})
            return 200, {"benchmarkId": 1}
        states = self.states[path[-1].split("-")[0]]
        return 200, states.pop(0) if len(states) > 1 else states[0]

    def check(self, name, options):
        self.posted[name] = options
        assert not set(options) - OPTIONS - {"board"}, options
        assert options["model"] in self.models
        n6 = options["target"] == "stm32n6"
        assert n6 == (options.get("stNeuralArt") == "default")
        assert n6 != (options.get("optimization") == "balanced")


def multipart(handler, body):
    """Return file name and content of each part by its field."""
    head = f"Content-Type: {handler.headers['Content-Type']}\r\n\r\n".encode()
    return {
        part.get_param("name", header="content-disposition"): (
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in BytesParser().parsebytes(head + body).get_payload()
    }


@pytest.fixture
def service(monkeypatch):
    """Return the stand-in; what it did not understand fails the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(cloud, "POLL_SECONDS", 0)
    monkeypatch.setattr(cloud, "BACKOFF_SECONDS", 0)
    stand_in = StandIn()
    yield stand_in
    stand_in.server.shutdown()
    stand_in.server.server_close()
    assert stand_in.faults == []


@pytest.fixture
def run(service, quantized, tmp_path, monkeypatch, capsys):
    """Return a function that runs the command; no token may come out."""
    model = tmp_path / "my net.onnx"
    model.write_bytes(quantized("tcnn", "int8").read_bytes())

    def command(*words, token=FIRST, target="stm32n6"):
        monkeypatch.setenv("STM32AI_TOKEN", token)
        arguments = [str(model), "--target", target, "--cloud", "--cloud_url"]
        arguments += [service.url, "--vectors", "1", "--output_folder"]
        arguments += [str(command.folder), *words]
        try:
            status = stedgeai.main(arguments)
        except UserError as error:
            status = error
        command.text = f"{status} {capsys.readouterr()}"
        logs = [p.read_text() for p in tmp_path.rglob("*.log")]
        logs += [p.read_text() for p in tmp_path.rglob("*.json")]
        for secret in (FIRST, SECOND, REFRESH):
            assert not any(secret in text for text in [command.text, *logs])
        return status

    command.folder = tmp_path / "p"
    return command


def test_measures_on_the_board_and_leaves_no_model(run, service):
    assert run() == 0
    (name,) = service.uploads
    assert name.startswith("edgebrain-my_net-") and service.deleted == [name]
    assert service.models == {}
    tool = run.folder / "tool"
    assert (tool / "analyze" / "network_c_info.json").is_file()
    assert (tool / "generate" / "sub" / "a.bin").is_file()
    figures = json.loads((tool / "figures.json").read_text())
    assert figures["milliseconds"] == 3.1 and figures["macc"] == 65_200_000
    assert service.posted["benchmark"]["board"] == "stm32n6570-dk"
    words = service.posted["generate"]["extraCommandLineArguments"]
    assert "--inputs-ch-position chfirst" in words
    log = (tool / "benchmark.log").read_text()
    assert log.count("state in_queue") == 1 and FIRST not in log


@pytest.mark.parametrize("target", ["stm32h7", "stm32u5"])
def test_each_target_has_its_board(run, service, target):
    assert run(target=target) == 0
    board = load_targets()[target].cloud["board"]
    assert service.posted["benchmark"]["board"] == board.lower()


def test_a_model_that_is_there_is_used_and_stays(run, service):
    assert run("--cloud_board", "none") == 0
    assert "benchmark" not in service.posted
    service.models = {service.uploads[0]: b""}
    assert run("--cloud_board", "none") == 0
    assert len(service.uploads) == len(service.deleted) == 1


def test_a_token_that_expires_is_renewed(run, service):
    both = json.dumps({"access_token": FIRST, "refresh_token": REFRESH})
    service.breaks["GET /api/benchmark/benchmark/1"] = [(401, "late")]
    assert run(token=both) == 0
    assert service.token == SECOND


@pytest.mark.parametrize(
    "words, token, message",
    [
        ((), "", "STM32AI_TOKEN is not in the environment"),
        ((), "a b", "neither an access token"),
        ((), '{"a": 1}', "neither an access token"),
        ((), "other", r"\(401\): the token is refused"),
        (("--board", "serial"), FIRST, "--cloud and --board contradict"),
        (("--cloud_version", "10.3.0"), FIRST, "did you mean 10.2.0"),
        (("--cloud_board", "STM32N6570"), FIRST, "did you mean STM32N6570-DK"),
        (("--cloud_url", "http://st.example"), FIRST, "as https://host"),
    ],
)
def test_wrong_use_stops_before_the_package(
    run, service, words, token, message
):
    refused = run(*words, token=token)
    with pytest.raises(UserError, match=message):
        raise refused
    assert service.uploads == [] and not run.folder.exists()


@pytest.mark.parametrize(
    "key, answer, message",
    [
        (f"POST {MODELS}", (413, "too large"), "too large"),
        (f"POST {MODELS}", ("drop", ""), "no answer from 127.0.0.1"),
        (ANALYZE, (200, {"status": "ko", "error": "bad"}), "bad"),
        (ANALYZE, (403, "no"), "must be accepted once"),
        (ANALYZE, (404, "Cannot POST"), "the interface may have changed"),
        (STATE, (200, b"<p>hm"), "answered 'hm'"),
        (STATE, (200, {"state": "error", "message": FIRST[:3]}), "fir"),
        (STATE, (200, {"result": {}}), "wrote no network_c_info.json or"),
        (STATE, (200, {"result": {"log": "a TOOL ERROR: pad"}}), "R: pad"),
        (ZIP, (200, b"no zip"), "is no whole zip"),
        (ZIP, (200, packed({"../../evil.c": b""})), "wrote no network.c"),
        (BENCHMARK, (400, {"errors": ["wrong option"]}), "wrong option"),
    ],
)
def test_a_step_that_fails_says_why_and_deletes_the_model(
    run, service, key, answer, message
):
    service.breaks[key] = [answer]
    assert run() == 3
    assert message in run.text and "the package stays" in run.text
    assert service.models == {} and len(service.deleted) == 1
    assert not list(run.folder.parent.glob("evil.c"))


def test_reading_is_repeated_and_writing_is_not(run, service):
    service.breaks = {STATE: [(502, "busy"), ("drop", ""), (503, "busy")]}
    assert run("--cloud_board", "none") == 0
    service.breaks = {ANALYZE: [(503, "busy")]}
    assert run() == 3 and service.requests.count(ANALYZE) == 2


def test_a_run_that_does_not_end_and_ctrl_c(run, service, monkeypatch):
    service.states["analyze"] = [{"state": "waiting"}]
    monkeypatch.setattr(cloud, "RUN_SECONDS", 0)
    assert run() == 3 and "did not end: waiting for 0 s" in run.text

    def stop(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud, "RUN_SECONDS", 9)
    monkeypatch.setattr(cloud.time, "sleep", stop)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert service.models == {} and len(service.deleted) == 2
