"""Run ST Edge AI Core on a package in ST's developer cloud.

Built from ST's public Python wrapper and the OpenAPI pages of its services;
never run against the real service.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
import hashlib
import io
import json
from pathlib import Path, PurePosixPath
import re
import shlex
import time
from urllib.parse import quote, urlsplit
import zipfile
import zlib

from edgebrain.errors import UserError, unknown_name
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from deploy.st.commands import MODEL, OUTPUT, Step
from deploy.st.figures import BENCHMARK, benchmark_milliseconds
from deploy.st.targets import Target
from deploy.st.tool import FAILURES, StepResult, missing

URL = "https://stedgeai-dc.st.com"
NO_BOARD = "none"
#: To connect, and to wait for the next bytes; before a GET is sent again.
TIMEOUT, RETRIES, BACKOFF_SECONDS = (10, 60), 3, 1.0
#: How long a state may last; how often it is asked for.
RUN_SECONDS, BENCHMARK_SECONDS, POLL_SECONDS = 300, 1800, 3
#: Of the generated files together, unpacked.
MAX_BYTES = 1 << 30
_TOKEN, _MODELS = "STM32AI_TOKEN", "/api/file/files/models"
_RESULT = Path(BENCHMARK).name
#: Keys of the services for options of a local command; some have no meaning.
_NO_KEY = ("-m", "-o", "--workspace", "--st-neural-art")
_KEYS = {
    "--target": "target",
    "--optimization": "optimization",
    "--input-data-type": "inputDataType",
    "--output-data-type": "outputDataType",
}


class CloudError(UserError):
    """What the developer cloud, or the way to it, refused."""


class Service:
    """The REST interface at an address, signed with a token."""

    def __init__(self, base: str, text: str):
        parts = urlsplit(base)
        # Elsewhere http would send the token in clear text.
        safe = parts.scheme == "https" or parts.hostname == "127.0.0.1"
        if not parts.hostname or "@" in parts.netloc or not safe:
            raise UserError("--cloud_url: give an address as https://host")
        self.base = base.rstrip("/")
        self._access, self._refresh = _tokens(text)
        self._session = requests.Session()
        # Without it a password of .netrc would replace the token.
        self._session.auth = lambda request: request
        retry = Retry(
            RETRIES,
            backoff_factor=BACKOFF_SECONDS,
            status_forcelist=(500, 502, 503, 504),
            allowed_methods=["GET"],
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def call(self, method: str, path: str, kind: type = dict, **more):
        """Return the answer to a call: JSON of a kind, or bytes."""
        answer = self._send(method, path, **more)
        if answer.status_code == 401 and self._refresh:
            self._renew()
            answer = self._send(method, path, **more)
        said = f"{method} {path} ({answer.status_code})"
        text = " ".join(re.sub("<[^>]*>", " ", answer.text).split())[:300]
        for secret in filter(None, (self._access, self._refresh)):
            text = text.replace(secret, "***")
        refused = f"{said}: refused: {text!r}"
        if answer.status_code == 401:
            raise CloudError(
                f"{said}: the token is refused or has expired: copy a new "
                f"one into {_TOKEN}"
            )
        if answer.status_code in (302, 404, 405):
            raise CloudError(f"the interface may have changed: {said}")
        if answer.status_code == 403:
            raise CloudError(
                f"{refused}. The licence of the developer cloud must be "
                f"accepted once, by you: log in at {self.base}"
            )
        if answer.status_code >= 300:
            raise CloudError(refused)
        if kind is bytes:
            return answer.content
        try:
            values = answer.json()
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, kind):
            raise CloudError(
                f"the interface may have changed: {said} answered {text!r}"
            )
        if kind is dict and values.get("status") == "ko":
            raise CloudError(refused)
        return values

    def _send(self, method: str, path: str, **more) -> requests.Response:
        host = urlsplit(self.base).hostname
        try:
            return self._session.request(
                method,
                self.base + path,
                headers={"Authorization": f"Bearer {self._access}"},
                timeout=TIMEOUT,
                allow_redirects=False,
                **more,
            )
        except OSError as error:  # of requests all, and bad certificates
            name = type(error).__name__
        # Outside of the except: no trace of the token.
        raise CloudError(
            f"no answer from {host} ({name}): look at the network, the address,"
            " https_proxy, and REQUESTS_CA_BUNDLE for a proxy's certificate"
        )

    def _renew(self) -> None:
        path, data = "/api/user_service/login/refresh", self._refresh
        answer = self._send("POST", path, data={"refresh_token": data})
        self._refresh = ""
        if answer.status_code == 200:
            self._access, self._refresh = _tokens(answer.text)


class Cloud:
    """The developer cloud for one model; nothing is asked before connect.

    ``board`` is ``none`` for no benchmark, by default that of the target. The
    environment holds the token, or the JSON that the web page copies, whose
    refresh token gets a new one when it expires.
    """

    def __init__(
        self,
        target: Target,
        board: str | None,
        version: str | None,
        url: str | None,
        environ: Mapping[str, str],
    ):
        token = environ.get(_TOKEN, "").strip()
        if not token:
            raise UserError(
                f"--cloud: {_TOKEN} is not in the environment: log in at "
                f"{URL} (an account is free), and take it from Settings, "
                '"Copy OIDC tokens to clipboard"'
            )
        self.service = Service(url or URL, token)
        self.target, self.version = target, version
        self.board = board or target.cloud.get("board", NO_BOARD)

    def connect(self) -> str:
        """Choose version and board; return one line on them."""
        listed = self.service.call("GET", "/assets/versions.json", list)
        versions = {str(v.get("version")): v for v in listed}
        latest = [n for n, v in versions.items() if v.get("isLatest")]
        self.version = self.version or next(iter(latest), "latest")
        if self.version not in versions:
            raise unknown_name(
                "version of --cloud_version", self.version, versions
            )
        named = {NO_BOARD: None}
        for name in self.service.call("GET", "/api/benchmark/boards"):
            named[name.lower()] = name
        if self.board.lower() not in named:
            raise unknown_name(
                "board of --cloud_board", self.board, map(str, named.values())
            )
        self.board = named[self.board.lower()]
        return f"developer cloud {self.version}, board: {self.board}"

    def facts(self) -> dict:
        """Return what it runs on."""
        return {"version": self.version, "board": self.board}

    def run(
        self, folder: Path, name: str, todo: Iterable[Step], say: Callable
    ) -> list[StepResult]:
        """Run steps until one fails; leave no model behind.

        Files land in the package where those of the local tool do. ``name``
        becomes part of the model's there; ``todo`` is what the local tool
        would do; ``say`` takes a line of progress.
        """
        self._say, self._uploaded = say, False
        self._data = (folder / MODEL).read_bytes()
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:40]
        # The service keeps the first file of a name: so its content names it.
        digest = hashlib.sha256(self._data).hexdigest()[:12]
        model = f"edgebrain-{plain}-{digest}.onnx"
        local = {step.name: step for step in todo}
        words, generate = local["analyze"].words, local["generate"]
        steps = [
            (self._upload, Step("upload", words, (), "")),
            (self._command, local["analyze"]),
            # Its reports are those of analyze.
            (
                self._generate,
                replace(generate, artefacts=generate.artefacts[:1]),
            ),
            (self._benchmark, Step("benchmark", words, ((_RESULT,),), "")),
        ]
        results = []
        try:
            for act, step in steps[: 4 if self.board else 3]:
                results.append(self._do(act, step, model, folder / OUTPUT))
                if not results[-1].ok:
                    break
        finally:
            if self._uploaded:
                self._delete(f"{_MODELS}/{model}")
        return results

    def _upload(self, name: str, options: dict) -> None:
        there = [m.get("name") for m in self.service.call("GET", _MODELS, list)]
        # Before the call: one that breaks off may have stored it all the same.
        self._uploaded = options["model"] not in there
        if self._uploaded:
            file = options["model"], self._data, "application/octet-stream"
            self.service.call("POST", _MODELS, files={"file": file})

    def _delete(self, path: str) -> None:
        try:
            self.service.call("DELETE", path)
            self._say(f"deleted from the cloud: {path}")
        except CloudError as error:
            self._say(f"{error}: the model is still there: delete it by hand")

    def _do(self, act, step: Step, model: str, folder: Path) -> StepResult:
        self._output = folder / step.name
        self._output.mkdir(parents=True)
        path, reason = folder / f"{step.name}.log", None
        options = make_options(step, model, self.target)
        with path.open("w", encoding="utf-8") as self._log:
            try:
                act(step.name, options)
                reason = missing(self._output, step.artefacts)
            except CloudError as error:
                reason = str(error)
            print(reason or "done", file=self._log)
        return StepResult(step.name, reason is None, reason or "", path)

    def _generate(self, name: str, options: dict) -> None:
        url = str(self._command(name, options).get("url"))
        file = quote(PurePosixPath(urlsplit(url).path).name)
        path = f"/api/file/files/generated/{file}"
        unpack(self.service.call("GET", path, bytes), self._output)

    def _command(self, name: str, options: dict) -> dict:
        """Run a command of the tool; return its result."""
        tool = f"/api/{quote(self.version, safe='')}/stm32ai"
        # A part without file name is a field: always multipart.
        answer = self._run(
            f"{tool}/{name}",
            {"files": {"args": (None, json.dumps(options))}},
            lambda started: f"{tool}/run/{started.get('runtimeId')}",
            lambda answer: isinstance(answer.get("result"), dict),
            RUN_SECONDS,
        )
        result = answer["result"]
        self._write("network_c_info.json", result.get("info"))
        self._write("network_report.json", result.get("report"))
        return result

    def _benchmark(self, name: str, options: dict) -> None:
        path = "/api/benchmark/benchmark"
        answer = self._run(
            f"{path}/{quote(self.board.lower(), safe='')}",
            {"json": options | {"version": self.version}},
            lambda started: f"{path}/{started.get('benchmarkId')}",
            lambda answer: str(answer.get("state")).lower() == "done",
            BENCHMARK_SECONDS,
        )
        if benchmark_milliseconds(answer) is None:
            raise CloudError(f"the benchmark on {self.board} says no time")
        self._write(_RESULT, answer)

    def _run(self, path, sent, where, done, seconds: float) -> dict:
        """Start a run and return its last answer."""
        print(f"{path} {sent}", file=self._log)
        path, state = where(self.service.call("POST", path, **sent)), None
        while True:
            answer = self.service.call("GET", path)
            text = json.dumps(answer)
            now = str(answer.get("state") or "not said").lower()
            if now != state:
                state, since = now, time.monotonic()
                print(f"state {state}", file=self._log)
                self._say(f"cloud: {state.replace('_', ' ')}")
            failed = [text[text.index(m) :] for m in FAILURES if m in text]
            if failed or state == "error":
                raise CloudError((failed or [text])[0][:500])
            if done(answer):
                return answer
            if time.monotonic() - since >= seconds:
                raise CloudError(f"did not end: {state} for {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def _write(self, name: str, content) -> None:
        if content:
            text = json.dumps(content, indent=2) + "\n"
            (self._output / name).write_text(text, encoding="utf-8")


def make_options(step: Step, model: str, target: Target) -> dict:
    """Return the options of a local command as the services take them.

    Only keys that ST's own wrapper has. With an accelerator it is the
    service's own profile for its board and the epoch controller, as in ST's
    benchmarks; the profile of the package stays here.
    """
    options = {
        "model": model,
        "type": "onnx",
        "name": "network",
        "verbosity": 1,
        "allocateInputs": True,
        "allocateOutputs": True,
    }
    rest, words = [], iter(step.words[1:])
    for word in words:
        if word in _KEYS:
            options[_KEYS[word]] = next(words)
        elif word in _NO_KEY:
            next(words)
        else:
            rest.append(word)
    if target.tool.get("neural_art"):
        options["stNeuralArt"] = "default"
        options["atonnOptions"] = {"enable-epoch-controller": True}
    if rest:
        options["extraCommandLineArguments"] = shlex.join(rest)
    return options


def unpack(data: bytes, folder: Path) -> None:
    """Unpack an archive; zipfile keeps its entries inside the folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > MAX_BYTES:
                raise CloudError(f"the archive unpacks to {size:,} bytes")
            archive.extractall(folder)
    # What zipfile raises for damage, encryption and unknown packing.
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError) as error:
        raise CloudError(f"the archive is no whole zip ({error})") from None


def _tokens(text: str) -> tuple[str, str]:
    """Return access and refresh token of a TokenSet or a bare token."""
    values = {"access_token": text.removeprefix("Bearer ").strip()}
    if text.startswith("{"):
        try:
            values = json.loads(text)
        except ValueError:
            values = {}
    tokens = values.get("access_token") or "", values.get("refresh_token") or ""
    # They become headers: no blank, no line break.
    if not tokens[0] or not all(re.fullmatch("[!-~]*", str(t)) for t in tokens):
        raise UserError(
            f"{_TOKEN}: neither an access token nor the JSON that the web "
            "page copies: copy it again, under Settings"
        )
    return tokens
