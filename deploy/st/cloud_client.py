"""The REST interface of ST's developer cloud, call by call.

From ST's public Python wrapper and the OpenAPI pages of the services, read;
never run against the real service.
"""

from pathlib import Path, PurePosixPath
import re
from urllib.parse import quote, urlsplit

import requests

from deploy.st.cloud_http import CloudError, Http, check_address, route
from deploy.st.cloud_login import Credentials, log_in, refreshed

URL = "https://stedgeai-dc.st.com"
#: Of the archive of generated files, packed.
MAX_DOWNLOAD = 256 << 20
_LICENCE = re.compile(r"licen[cs]e", re.IGNORECASE)


class Client:
    """Calls the services with a token; logs in when first needed.

    Arguments
    ---------
    base : str
        Address of the developer cloud.
    credentials : Credentials
    """

    def __init__(self, base: str, credentials: Credentials):
        self.base = check_address(base, "--cloud_url")
        self.http = Http(credentials.secrets)
        self._credentials = credentials
        self._tokens = credentials.tokens

    def versions(self) -> list[dict]:
        """Return the versions of the tool, as the service lists them."""
        answer = self._checked(
            self.http.send("GET", f"{self.base}/assets/versions.json")
        )
        values = self.http.scrub(self.http.json(answer))
        if isinstance(values, list):
            values = [v for v in values if isinstance(v, dict)]
            if values and all(
                isinstance(v.get("version"), str) for v in values
            ):
                return values
        raise self._changed(answer, "lists no versions")

    def boards(self) -> dict[str, dict]:
        """Return the boards of the farm by name."""
        answer = self._call("GET", "/api/benchmark/boards")
        return self._table(answer, "lists no boards")

    def models(self) -> list[str]:
        """Return the names of the models that the account has there."""
        answer = self._call("GET", "/api/file/files/models")
        values = self.http.scrub(self.http.json(answer))
        if not isinstance(values, list):
            raise self._changed(answer, "lists no models")
        return [str(v.get("name")) for v in values if isinstance(v, dict)]

    def upload(self, name: str, data: bytes) -> None:
        """Store a model under a name."""
        file = (name, data, "application/octet-stream")
        path = "/api/file/files/models"
        answer = self._call("POST", path, files={"file": file})
        if self._table(answer, "stored nothing").get("upload") is not True:
            raise CloudError(f"{route(answer)}: {name} was not stored")

    def delete(self, name: str) -> bool:
        """Delete a model; return whether it is gone."""
        path = f"/api/file/files/models/{quote(name, safe='')}"
        answer = self._send("DELETE", path)
        if answer.status_code == 404:
            return True
        table = self._table(self._checked(answer), "deleted nothing")
        return table.get("deleted") is True

    def download(self, url: str, path: Path) -> None:
        """Write an archive of generated files.

        Arguments
        ---------
        url : str
            As the service says it; its last part is the name.
        path : Path
        """
        name = PurePosixPath(urlsplit(url).path).name
        if not name:
            raise CloudError(f"the answer names no archive ({url!r})")
        where = f"/api/file/files/generated/{quote(name, safe='')}"
        answer = self._call("GET", where, stream=True)
        problem, size = "", 0
        try:
            with path.open("wb") as file:
                for part in answer.iter_content(1 << 16):
                    size += len(part)
                    if size > MAX_DOWNLOAD:
                        problem = f"sends more than {MAX_DOWNLOAD:,} bytes"
                        break
                    file.write(part)
        except requests.RequestException:
            problem = "the download broke off: run this again"
        finally:
            answer.close()
        if problem:
            raise CloudError(f"{route(answer)}: {problem}")

    def start(self, version: str, command: str, fields: dict) -> str:
        """Start a command of the tool; return the id of the run.

        Arguments
        ---------
        version : str
        command : str
            analyze, generate or validate.
        fields : dict of str to str
            Of the form.
        """
        # A part without file name is a field: always multipart.
        parts = {name: (None, text) for name, text in fields.items()}
        path = f"{self._tool(version)}/{command}"
        answer = self._call("POST", path, files=parts)
        return self._id(answer, "runtimeId")

    def state(self, version: str, run: str) -> dict:
        """Return the state, and in the end the result, of a run."""
        path = f"{self._tool(version)}/run/{quote(run, safe='')}"
        return self._table(self._call("GET", path), "says no state")

    def start_benchmark(self, board: str, body: dict) -> str:
        """Queue a benchmark; return its id."""
        path = f"/api/benchmark/benchmark/{quote(board.lower(), safe='')}"
        answer = self._call("POST", path, json=body)
        return self._id(answer, "benchmarkId")

    def benchmark(self, run: str) -> dict:
        """Return the state, and in the end the result, of a benchmark."""
        path = f"/api/benchmark/benchmark/{quote(run, safe='')}"
        return self._table(self._call("GET", path), "says no state")

    def takes_text(self) -> bool:
        """Tell whether benchmarks want their options as JSON text.

        Old services did; their description says so. Without one: no.
        """
        answer = self.http.send("GET", f"{self.base}/api/benchmark/api")
        try:
            values = answer.json()["paths"]["/benchmark/{queue}"]["post"]
            body = values["requestBody"]["content"]["application/json"]
            return set(body["schema"]["properties"]) == {"model", "args"}
        except (ValueError, KeyError, TypeError):
            return False

    def _tool(self, version: str) -> str:
        return f"/api/{quote(version, safe='')}/stm32ai"

    def _send(self, method: str, path: str, **more) -> requests.Response:
        """Send with the token; where it has expired renew it once."""
        if self._tokens is None:
            self._keep(log_in(self.base, self._credentials))
        for renewed in (False, True):
            head = {"Authorization": f"Bearer {self._tokens.access}"}
            answer = self.http.send(
                method, self.base + path, headers=head, **more
            )
            expired = answer.status_code == 401
            if renewed or not expired or not self._tokens.refresh:
                return answer
            new = refreshed(self.base, self.http, self._tokens)
            if new is None:
                return answer
            self._keep(new)
        return answer

    def _keep(self, tokens) -> None:
        self._tokens = tokens
        self.http.hide(tokens.access, tokens.refresh)

    def _call(self, method: str, path: str, **more) -> requests.Response:
        return self._checked(self._send(method, path, **more))

    def _checked(self, answer: requests.Response) -> requests.Response:
        """Return an answer of success.

        Raises
        ------
        CloudError
            For every other.
        """
        status = answer.status_code
        if status < 300:
            return answer
        said = f"{route(answer)} ({status})"
        text = self.http.excerpt(answer)
        if status == 401:
            raise CloudError(
                f"{said}: the token is refused, or has expired: copy a new "
                "one into STM32AI_TOKEN, or unset that and give "
                "STM32AI_USERNAME and STM32AI_PASSWORD"
            )
        if status == 403 or _LICENCE.search(text):
            raise CloudError(f"{said}: not allowed: {text!r}. {self.licence}")
        if status == 404 or status < 400:
            raise CloudError(
                f"the interface may have changed: {said}: {text!r}"
            )
        if status >= 500:
            raise CloudError(
                f"{said}: the service has a fault: {text!r}: try again later"
            )
        raise CloudError(f"{said}: refused: {text!r}")

    @property
    def licence(self) -> str:
        """Where the licence is accepted."""
        return (
            "The licence of the developer cloud must be accepted once, by "
            f"you: log in at {self.base}"
        )

    def _table(self, answer: requests.Response, fault: str) -> dict:
        values = self.http.scrub(self.http.json(answer))
        if not isinstance(values, dict):
            raise self._changed(answer, fault)
        return values

    def _id(self, answer: requests.Response, key: str) -> str:
        values = self._table(answer, "started nothing")
        if values.get("status") == "ko" or values.get(key) in (None, ""):
            said = values.get("error") or values.get("errors") or values
            text = str(said)[:500]
            hint = f". {self.licence}" if _LICENCE.search(text) else ""
            raise CloudError(f"{route(answer)}: refused: {text}{hint}")
        return str(values[key])

    def _changed(self, answer: requests.Response, fault: str) -> CloudError:
        return CloudError(
            f"the interface may have changed: {route(answer)} {fault}"
        )
