"""Run ST Edge AI Core on a package in ST's developer cloud.

Built from ST's public Python wrapper and the OpenAPI pages of its services;
never run against the real service.
"""

from collections.abc import Callable, Iterable, Mapping
import hashlib
import json
from pathlib import Path
import re

from edgebrain.errors import UserError, unknown_name

from deploy.st.cloud_archive import unpack
from deploy.st.cloud_client import URL, Client
from deploy.st.cloud_http import CloudError
from deploy.st.cloud_job import Job
from deploy.st.cloud_login import read_credentials
from deploy.st.cloud_options import make_options
from deploy.st.commands import MODEL, Step
from deploy.st.results import BENCHMARK, benchmark_milliseconds
from deploy.st.targets import Target
from deploy.st.tool import StepResult

NO_BOARD = "none"
#: Of analyze and generate; of a benchmark since its state last changed.
RUN_SECONDS = 300
BENCHMARK_SECONDS = 1800


class Cloud:
    """The developer cloud for one model; nothing is asked before connect.

    Arguments
    ---------
    target : Target
    board : str, optional
        ``none`` for no benchmark; default: that of the target.
    version, url : str, optional
    environ : mapping of str to str
        Holds the credentials.

    Raises
    ------
    UserError
        When the credentials are missing or the address is none.
    """

    def __init__(
        self,
        target: Target,
        board: str | None,
        version: str | None,
        url: str | None,
        environ: Mapping[str, str],
    ):
        self.client = Client(url or URL, read_credentials(environ))
        self.target = target
        self.version = version
        self.board = board or target.cloud.get("board", NO_BOARD)
        self._uploaded: str | None = None

    def connect(self) -> str:
        """Log in, choose version and board; return one line on them.

        Raises
        ------
        UserError
            When the way, the login, the version or the board is refused.
        """
        self.version = _version(self.version, self.client.versions())
        self.client.models()  # the token is good
        measured = "no benchmark"
        if self.board.lower() == NO_BOARD:
            self.board = None
        else:
            boards = self.client.boards()
            self.board = _board(self.board, boards)
            measured = f"benchmark on {self.board}"
        return f"developer cloud: version {self.version}, {measured}"

    def facts(self) -> dict:
        """Return address, version and board."""
        return {
            "url": self.client.base,
            "version": self.version,
            "board": self.board,
        }

    def run(
        self, folder: Path, name: str, todo: Iterable[Step], say: Callable
    ) -> list[StepResult]:
        """Run the steps until one fails; leave no model behind.

        Arguments
        ---------
        folder : Path
            Of the package; reports and files land where those of the local
            tool do.
        name : str
            Of the model, part of the name it is uploaded as.
        todo : iterable of Step
            Of the local tool.
        say : callable
            Takes a line of progress.
        """
        local = {step.name: step for step in todo}
        data = (folder / MODEL).read_bytes()
        digest = hashlib.sha256(data).hexdigest()[:12]
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:40]
        # The service keeps the first file of a name: so its content names it.
        model = f"edgebrain-{plain}-{digest}.onnx"
        steps = {
            "upload": (lambda job: self._upload(job, model, data), ()),
            "analyze": (
                lambda job: self._analyze(job, model, local["analyze"]),
                local["analyze"].artefacts,
            ),
            "generate": (
                lambda job: self._generate(job, model, local["generate"]),
                # The reports are those of analyze.
                local["generate"].artefacts[:1],
            ),
        }
        if self.board is not None:
            steps["benchmark"] = (
                lambda job: self._benchmark(job, model, local["analyze"]),
                ((Path(BENCHMARK).name,),),
            )
        results = []
        try:
            for step, (act, artefacts) in steps.items():
                job = Job(folder, step, say)
                results.append(job.run(act, artefacts))
                if not results[-1].ok:
                    break
        finally:
            self._delete(say)
        return results

    def _upload(self, job: "Job", model: str, data: bytes) -> str:
        if model in self.client.models():
            return f"{model} is there already"
        # Before the call: one that breaks off may have stored it all the same.
        self._uploaded = model
        job.log(f"upload {model}, {len(data):,} bytes")
        self.client.upload(model, data)
        return model

    def _delete(self, say: Callable) -> None:
        if self._uploaded is None:
            return
        reason = "it is still there"
        try:
            if self.client.delete(self._uploaded):
                say(f"deleted {self._uploaded} from the cloud")
                return
        except CloudError as error:
            reason = str(error)
        say(
            f"could not delete {self._uploaded} from the cloud ({reason}): "
            "delete it on the web page"
        )

    def _analyze(self, job: "Job", model: str, step: Step) -> str:
        result = self._command(job, model, step)
        _write_reports(job.output, result)
        return f"ST Edge AI Core {self.version}"

    def _generate(self, job: "Job", model: str, step: Step) -> str:
        result = self._command(job, model, step)
        url = result.get("url")
        archive = job.output.with_name("generate.zip")
        try:
            self.client.download(str(url or ""), archive)
            unpack(archive, job.output)
        finally:
            archive.unlink(missing_ok=True)
        _write_reports(job.output, result)
        return ""

    def _command(self, job: "Job", model: str, step: Step) -> dict:
        """Run a command of the tool; return its result."""
        options = make_options(step, model, self.target)
        job.log(f"options {json.dumps(options)}")
        run = self.client.start(
            self.version, step.name, {"args": json.dumps(options)}
        )
        answer = job.wait(
            lambda: self.client.state(self.version, run),
            lambda answer: answer.get("result") is not None,
            RUN_SECONDS,
        )
        job.judge(answer)
        result = answer["result"]
        if not isinstance(result, dict):
            raise CloudError(f"the result of {step.name} is no table")
        return result

    def _benchmark(self, job: "Job", model: str, step: Step) -> str:
        options = make_options(step, model, self.target)
        del options["model"]
        options["version"] = self.version
        job.log(f"options {json.dumps(options)}")
        if self.client.takes_text():
            options = {"args": json.dumps(options)}
        run = self.client.start_benchmark(
            self.board, {"model": model, **options}
        )
        answer = job.wait(
            lambda: self.client.benchmark(run),
            lambda answer: str(answer.get("state")).lower() == "done",
            BENCHMARK_SECONDS,
        )
        job.judge(answer)
        if benchmark_milliseconds(answer) is None:
            raise CloudError(f"the benchmark on {self.board} says no time")
        _write(job.output / Path(BENCHMARK).name, answer)
        return self.board


def _version(wanted: str | None, known: list[dict]) -> str:
    names = [entry["version"] for entry in known]
    if wanted is not None:
        if wanted not in names:
            raise unknown_name("version of --cloud_version", wanted, names)
        return wanted
    latest = [e["version"] for e in known if e.get("isLatest") is True]
    return (latest or sorted(names, key=_numbers)[-1:])[0]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _board(wanted: str, known: dict) -> str:
    for name in known:
        if name.lower() == wanted.lower():
            return name
    if not known:
        raise UserError(
            f"the farm has no board at present: --cloud_board {NO_BOARD} "
            "analyzes and generates alone"
        )
    raise unknown_name("board of --cloud_board", wanted, [*known, NO_BOARD])


def _write_reports(folder: Path, result: dict) -> None:
    for key, name in (
        ("info", "network_c_info.json"),
        ("report", "network_report.json"),
    ):
        content = result.get(key)
        if isinstance(content, dict) and not any(folder.rglob(name)):
            _write(folder / name, content)


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
