"""Calls over the network: time-outs, retries, errors, nothing secret said."""

import html
import json
import re
import time
from urllib.parse import quote, quote_plus, urlsplit

from edgebrain.errors import UserError
import requests

#: Seconds to connect, and to wait for the next bytes.
TIMEOUT = (10, 60)
#: Of a GET; the pause doubles each time.
ATTEMPTS = 4
BACKOFF_SECONDS = 1.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SHOWN = 300


class CloudError(UserError):
    """What the developer cloud, or the way to it, refused."""


def check_address(url: str, what: str) -> str:
    """Return an address without its last slash.

    Arguments
    ---------
    url : str
    what : str
        Where it is from, for the error.

    Raises
    ------
    UserError
        When it is none, or would send credentials in clear text.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise CloudError(f"{what}: no address such as https://host")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise CloudError(
            f"{what}: http://{host} would send credentials in clear text: "
            "take https"
        )
    return url.rstrip("/")


class Http:
    """Sends requests; what it says never holds one of its secrets.

    Redirects are not followed, and no password of a .netrc is sent.

    Arguments
    ---------
    secrets : iterable of str
    """

    def __init__(self, secrets=()):
        self._secrets: set[str] = set()
        self.hide(*secrets)
        self._session = requests.Session()
        self._session.auth = lambda request: request  # keeps .netrc away

    def hide(self, *secrets: str) -> None:
        """Add secrets, in every spelling a text may have them in."""
        for secret in filter(None, secrets):
            self._secrets |= {
                secret,
                quote(secret, safe=""),
                quote_plus(secret),
                html.escape(secret),
                json.dumps(secret)[1:-1],
            }

    def scrub(self, value):
        """Return a text, or JSON values, without the secrets."""
        if isinstance(value, str):
            for secret in sorted(self._secrets, key=len, reverse=True):
                value = value.replace(secret, "***")
            return value
        if isinstance(value, list):
            return [self.scrub(item) for item in value]
        if isinstance(value, dict):
            return {key: self.scrub(item) for key, item in value.items()}
        return value

    def send(
        self, method: str, url: str, retry: bool | None = None, **more
    ) -> requests.Response:
        """Return the answer, whatever its status.

        Arguments
        ---------
        method : str
        url : str
        retry : bool, optional
            Ask again where nobody answers, or with a 5xx (default: of a GET).
        **more
            As ``requests.request`` takes them.

        Raises
        ------
        CloudError
            When there is no answer.
        """
        check_address(url, f"{method} {place(url)}")
        retry = method == "GET" if retry is None else retry
        for attempt in range(1, ATTEMPTS + 1):
            last = not retry or attempt == ATTEMPTS
            error = None
            try:
                answer = self._session.request(
                    method, url, timeout=TIMEOUT, allow_redirects=False, **more
                )
                if last or answer.status_code < 500:
                    return answer
                answer.close()
            except OSError as caught:
                error, again = self._explain(caught, method, url)
                last = last or not again
            except (ValueError, RuntimeError) as caught:
                # What requests lets through of the layers below it.
                error, last = self._explain(caught, method, url)[0], True
            if error is not None and last:
                # Outside of the except: no trace of what was being sent.
                raise error
            time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
        raise AssertionError("not reached")

    def _explain(self, error, method, url) -> tuple[CloudError, bool]:
        """Return the error to raise, and whether asking again may help."""
        known = requests.exceptions
        where = f"{method} {place(url)}"
        host = urlsplit(url).hostname
        if isinstance(error, known.SSLError):
            text = (
                f"TLS with {host} failed: behind a proxy that has its own "
                "certificate name that in REQUESTS_CA_BUNDLE, and look at the "
                "clock and the address"
            )
            return CloudError(text), False
        if isinstance(error, known.ProxyError):
            text = f"the proxy on the way to {host}: look at https_proxy"
            return CloudError(text), True
        if isinstance(error, known.Timeout):
            text = f"{where}: no answer in time: try again later"
            return CloudError(text), True
        transfer = known.ChunkedEncodingError, known.ContentDecodingError
        if isinstance(error, transfer):
            text = f"{where}: the answer broke off: try again"
            return CloudError(text), True
        if isinstance(error, known.ConnectionError):
            text = (
                f"no connection to {host}: look at the network, https_proxy "
                "and the address"
            )
            return CloudError(text), True
        if isinstance(error, known.RequestException | ValueError):
            text = f"{where}: cannot be asked ({type(error).__name__})"
            return CloudError(text), False
        return CloudError(f"{where}: {self.scrub(str(error))}"), False

    def json(self, answer: requests.Response):
        """Return the values of an answer, without secrets.

        Raises
        ------
        CloudError
            When it is no JSON.
        """
        try:
            return answer.json()
        except (ValueError, RecursionError):
            text = self.excerpt(answer)
        raise CloudError(f"{route(answer)}: answered no JSON: {text!r}")

    def excerpt(self, answer: requests.Response) -> str:
        """Return the beginning of an answer on one line, without secrets."""
        text = re.sub(r"<[^>]*>", " ", self.scrub(answer.text))
        return " ".join(text.split())[:_SHOWN]


def place(url: str) -> str:
    """Return an address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path}"


def route(answer: requests.Response) -> str:
    """Return what was asked, as ``GET host/path``."""
    return f"{answer.request.method} {place(answer.request.url)}"
