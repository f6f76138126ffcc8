"""Stands in for ST's developer cloud and its login, on loopback.

Strict: what a service would not understand is noted in ``faults``.
"""

from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import io
import json
import re
import threading
from urllib.parse import parse_qs, parse_qsl, urlsplit
import zipfile

from stand_in_stedgeai import C_INFO, REPORT

USERNAME, PASSWORD = "ann@example.org", "pass&word<1>Öx"
FIRST, SECOND = "first-access-0123456789", "second-access-987654321"
REFRESH = "refresh-token-5555"
TICKET, CODE = 'LT-1&"2"', "code/77=secret"
VERSIONS = [
    {"version": "9.1.0", "isLatest": False, "platform": {"stm32": "9.1.0"}},
    {"version": "10.2.0", "isLatest": True, "platform": {"stm32": "10.2.0"}},
    {"version": "10.0.0", "isLatest": False, "platform": {"stm32": "10.0.0"}},
]
BOARDS = {
    "STM32N6570-DK": {"boardCount": 3, "deviceCpu": "Cortex-M55"},
    "STM32H747I-DISCO": {"boardCount": 2, "deviceCpu": "Cortex-M7"},
    "B-U585I-IOT02A": {"boardCount": 1, "deviceCpu": "Cortex-M33"},
}
OPTIONS = {
    "model",
    "type",
    "name",
    "target",
    "verbosity",
    "allocateInputs",
    "allocateOutputs",
    "optimization",
    "inputDataType",
    "outputDataType",
    "stNeuralArt",
    "atonnOptions",
    "extraCommandLineArguments",
}
EXEC_TIME = {"cycles": 2_480_000, "duration_ms": 3.1, "cycles_by_macc": 0.04}
BENCHMARK = {
    "info": {**C_INFO, "graphs": [{"exec_time": EXEC_TIME}]},
    "report": REPORT,
    "graph": {"exec_time": EXEC_TIME},
}
ARCHIVE = {
    "network.c": b"/* network */\n",
    "network.h": b"#pragma once\n",
    "sub/network_data.bin": b"\0\1",
}


def packed(files):
    """Return a zip file of names and contents."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


class StandIn:
    """The services and the login.

    ``breaks["GET /path"]`` has one entry a request: (status, text), "drop"
    (hangs up), "stall" (says nothing), "drop after" (done, but hangs up) or
    None (as usual).
    """

    def __init__(self):
        self.breaks, self.requests, self.faults = {}, [], []
        self.models, self.uploads, self.deleted = {}, [], []
        self.posted, self.logins = {}, []
        self.tokens, self.refreshes = {FIRST}, 0
        self.boards = dict(BOARDS)
        self.released = threading.Event()
        self.archive = packed(ARCHIVE)
        self.old_benchmark = False
        self.states = {
            "analyze": [{"state": "waiting"}, {"state": "running"}],
            "generate": [{"state": "running"}],
            "benchmark": [
                {"state": s}
                for s in (
                    "waiting_for_build",
                    "in_queue",
                    "in_queue",
                    "BUILDING",
                    "in_queue",
                    "flashing",
                    "validation",
                )
            ],
        }
        self.last = {
            "analyze": {
                "state": "done",
                "result": {"report": REPORT, "graph": {}, "info": C_INFO},
            },
            "generate": {
                "state": "done",
                "result": {
                    "url": "/files/generated/out 1.zip",
                    "report": REPORT,
                    "graph": {},
                },
            },
            "benchmark": {
                "state": "done",
                "board": "STM32N6570-DK",
                "benchmark": BENCHMARK,
            },
        }
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                stand_in.serve(self)

            do_POST = do_DELETE = do_GET

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(
            target=self.server.serve_forever, args=(0.01,), daemon=True
        ).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def asked(self, key):
        return self.requests.count(key)

    def fault(self, text):
        self.faults.append(text)
        return 400, {"errors": [text]}

    def serve(self, handler):
        path = urlsplit(handler.path).path
        key = f"{handler.command} {path}"
        self.requests.append(key)
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        planned = self.breaks.get(key, [])
        how = planned.pop(0) if planned else None
        if how == "stall":
            self.released.wait(10)
        if how in ("drop", "stall"):
            return
        if how is None or how == "drop after":
            try:
                status, answer = self.answer(handler, key, body)
            except (KeyError, ValueError, AssertionError) as error:
                status, answer = self.fault(f"{key}: {error!r}")
        else:
            status, answer = how
        if how == "drop after":
            return
        handler.send_response(status)
        if status == 302:
            handler.send_header("Location", answer)
            answer = ""
        if not isinstance(answer, bytes | str):
            answer = json.dumps(answer)
        if isinstance(answer, str):
            answer = answer.encode()
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def answer(self, handler, key, body):
        if key == "GET /assets/versions.json":
            return 200, VERSIONS
        if key == "GET /api/benchmark/api":
            return 200, self.description()
        if not key.split()[1].startswith("/api/"):
            return self.login(handler, key, body)
        if "/login/" in key:
            return self.token(handler, key, body)
        sent = handler.headers.get("Authorization", "")
        if sent.removeprefix("Bearer ") not in self.tokens or sent[:7] != (
            "Bearer "
        ):
            return 401, f"no valid token in {sent!r}"
        if key == "GET /api/benchmark/boards":
            return 200, self.boards
        if "/api/file/" in key:
            return self.files(handler, key, body)
        return self.tool(handler, key, body)

    def description(self):
        names = ["model", "args"] if self.old_benchmark else ["model", "name"]
        schema = {"properties": {name: {} for name in names}}
        post = {"requestBody": {"content": {"application/json": {}}}}
        post["requestBody"]["content"]["application/json"]["schema"] = schema
        return {"paths": {"/benchmark/{queue}": {"post": post}}}

    # -- login ------------------------------------------------------------

    def login(self, handler, key, body):
        query = dict(parse_qsl(urlsplit(handler.path).query))
        if key == "GET /as/authorization.oauth2":
            assert query == {
                "response_type": "code",
                "client_id": "oidc_prod_client_app_stm32ai",
                "scope": "openid",
                "redirect_uri": f"{self.url}/callback",
                "response_mode": "query",
            }, query
            return 302, "/as/hop"
        if key == "GET /as/hop":
            return 302, f"{self.url}/cas/login/page"
        if key == "GET /cas/login/page":
            return 200, (
                '<form action="/search"><input name="q"></form>'
                '<form id="f" method="post" action="submit?a=1&amp;b=2">'
                '<input type="hidden" name="lt" '
                'value="LT-1&amp;&quot;2&quot;"/></form>'
            )
        if key == "POST /cas/login/submit":
            assert query == {"a": "1", "b": "2"}
            form = dict(parse_qsl(body.decode()))
            self.logins.append(form)
            assert (form["lt"], form["_eventId"]) == (TICKET, "Login")
            if (form["username"], form["password"]) != (USERNAME, PASSWORD):
                return 200, "<p>wrong password, 4 attempts left</p>"
            return 302, "/cas/back?ticket=once"
        if key == "GET /cas/back":
            return 302, f"{self.url}/callback?code=code%2F77%3Dsecret"
        return self.fault(f"unexpected {key}")

    def token(self, handler, key, body):
        form = {k: v[0] for k, v in parse_qs(body.decode()).items()}
        if key == "POST /api/user_service/login/callback":
            assert form == {
                "redirect_url": f"{self.url}/callback",
                "code": CODE,
            }, form
            return 200, {"access_token": FIRST, "refresh_token": REFRESH}
        if key == "POST /api/user_service/login/refresh":
            assert form == {"refresh_token": REFRESH}, form
            self.refreshes += 1
            self.tokens.add(SECOND)
            return 200, {"access_token": SECOND}
        return self.fault(f"unexpected {key}")

    # -- files ------------------------------------------------------------

    def files(self, handler, key, body):
        if key == "GET /api/file/files/models":
            return 200, [{"name": name} for name in self.models]
        if key == "POST /api/file/files/models":
            parts = multipart(handler, body)
            assert set(parts) == {"file"}, set(parts)
            name, data = parts["file"]
            assert name not in self.models, f"{name} is there already"
            self.models[name] = data
            self.uploads.append(name)
            return 200, {"upload": True}
        if key == "GET /api/file/files/generated/out%201.zip":
            return 200, self.archive
        found = re.fullmatch(r"DELETE /api/file/files/models/([\w.-]+)", key)
        if found and self.models.pop(found[1], None) is not None:
            self.deleted.append(found[1])
            return 200, {"deleted": True}
        return 404, "Cannot " + key

    # -- the tool ----------------------------------------------------------

    def tool(self, handler, key, body):
        found = re.fullmatch(
            r"POST /api/([\d.]+)/stm32ai/(analyze|generate)", key
        )
        if found:
            assert found[1] in [v["version"] for v in VERSIONS], found[1]
            parts = multipart(handler, body)
            name, args = parts.pop("args")
            assert name is None
            options = json.loads(args)
            assert not parts, set(parts)
            self.check(options)
            code = "--c-api st-ai" in str(
                options.get("extraCommandLineArguments")
            )
            assert code == (found[2] == "generate"), options
            self.posted[found[2]] = options
            if options["model"] not in self.models:
                return 200, {"status": "ko", "error": "no such model"}
            return 200, {"runtimeId": f"{found[2]}-1"}
        found = re.fullmatch(r"GET /api/[\d.]+/stm32ai/run/(\w+)-1", key)
        if found:
            return 200, self.next(found[1])
        found = re.fullmatch(r"POST /api/benchmark/benchmark/([\w-]+)", key)
        if found and found[1] in [name.lower() for name in self.boards]:
            values = json.loads(body)
            if self.old_benchmark:
                assert set(values) == {"args", "model"}, set(values)
                values |= json.loads(values.pop("args"))
            assert values.pop("version") in [v["version"] for v in VERSIONS]
            self.check(values)
            assert values["model"] in self.models
            self.posted["benchmark"] = {"board": found[1], **values}
            return 200, {"benchmarkId": 1, "model": values["model"]}
        if key == "GET /api/benchmark/benchmark/1":
            return 200, self.next("benchmark")
        return 404, "Cannot " + key

    def check(self, options):
        unknown = set(options) - OPTIONS
        assert not unknown, unknown
        assert options["type"] == "onnx" and options["name"] == "network"
        accelerated = options["target"] == "stm32n6"
        assert accelerated == (options.get("stNeuralArt") == "default")
        if accelerated:
            assert options["atonnOptions"] == {"enable-epoch-controller": True}
        else:
            assert options.get("optimization") == "balanced"

    def next(self, name):
        waiting = self.states[name]
        return waiting.pop(0) if waiting else self.last[name]


def multipart(handler, body):
    """Return file name and content of each part by its field."""
    kind = handler.headers["Content-Type"]
    assert kind.startswith("multipart/form-data"), kind
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + body)
    return {
        part.get_param("name", header="content-disposition"): (
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in message.get_payload()
    }
