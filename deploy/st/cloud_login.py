"""Log in to ST's developer cloud: a token, or user name and password."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
import json
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from edgebrain.errors import UserError

from deploy.st.cloud_http import CloudError, Http, check_address

SSO = "https://sso.st.com"
_CLIENT = "oidc_prod_client_app_stm32ai"
_HOPS = 12
_TOKEN = "STM32AI_TOKEN"
_USER, _PASSWORD = "STM32AI_USERNAME", "STM32AI_PASSWORD"
_HINT = (
    f"or take {_TOKEN}: the web page of the cloud has it under Settings, "
    '"Copy OIDC tokens to clipboard"'
)


@dataclass(frozen=True)
class Tokens:
    """What signs the calls.

    Attributes
    ----------
    access : str
    refresh : str
        Empty where there is none.
    """

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)


@dataclass(frozen=True)
class Credentials:
    """What a person gave: tokens, or user name and password.

    Attributes
    ----------
    tokens : Tokens or None
    username, password : str
    sso : str
        Where the password is sent.
    """

    tokens: Tokens | None = field(default=None, repr=False)
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    sso: str = SSO

    @property
    def secrets(self) -> list[str]:
        """What must not be said."""
        tokens = self.tokens or Tokens("")
        every = (tokens.access, tokens.refresh, self.username, self.password)
        return [secret for secret in every if secret]


def read_credentials(environ: Mapping[str, str]) -> Credentials:
    """Return the credentials of the environment.

    Arguments
    ---------
    environ : mapping of str to str

    Raises
    ------
    UserError
        When they are missing or no credentials.
    """
    if environ.get(_TOKEN, "").strip():
        return Credentials(make_tokens(environ[_TOKEN].strip()))
    missing = [key for key in (_USER, _PASSWORD) if not environ.get(key)]
    if missing:
        raise UserError(
            f"--cloud: {' and '.join(missing)} not in the environment. Set "
            f"{_USER} and {_PASSWORD} of an account of st.com (free at "
            f"https://my.st.com), {_HINT}"
        )
    sso = check_address(environ.get("SSO_URL") or SSO, "SSO_URL")
    return Credentials(None, environ[_USER], environ[_PASSWORD], sso)


def make_tokens(text: str) -> Tokens:
    """Return the tokens of a bare access token or of a JSON TokenSet.

    Raises
    ------
    UserError
        When it is neither; the text is not repeated.
    """
    values = {"access_token": text.removeprefix("Bearer ").strip()}
    if text.startswith("{"):
        try:
            values = json.loads(text)
        except ValueError:
            values = {}
    tokens = token_set(values)
    if tokens is None:
        raise UserError(
            f"{_TOKEN}: neither an access token nor the JSON that the web "
            "page copies: copy it again, under Settings"
        )
    return tokens


def token_set(values) -> Tokens | None:
    """Return the tokens of an answer, None where it holds none."""
    if not isinstance(values, dict):
        return None
    access = values.get("access_token")
    refresh = values.get("refresh_token") or ""
    for token in (access, refresh):
        # It becomes a header: no blank, no line break.
        if not isinstance(token, str) or not token.isascii():
            return None
        if any(c.isspace() or not c.isprintable() for c in token):
            return None
    return Tokens(access, refresh) if access else None


def log_in(base: str, credentials: Credentials) -> Tokens:
    """Return tokens for a user name and password; tries them once.

    Arguments
    ---------
    base : str
        Address of the developer cloud.
    credentials : Credentials

    Raises
    ------
    CloudError
        When the login is refused or does not go as expected.
    """
    http = Http(credentials.secrets)  # cookies of the login end with it
    redirect = f"{base}/callback"
    query = urlencode(
        {
            "response_type": "code",
            "client_id": _CLIENT,
            "scope": "openid",
            "redirect_uri": redirect,
            "response_mode": "query",
        }
    )
    page = _page(
        http, f"{credentials.sso}/as/authorization.oauth2?{query}", redirect
    )
    form = _LoginForm()
    form.feed(page.text)
    if form.ticket is None or form.action is None:
        raise CloudError(f"the login page has no form that is known; {_HINT}")
    target = urljoin(page.url, form.action)
    if not _same_site(target, credentials.sso):
        raise CloudError(
            f"the login form sends the password to "
            f"{urlsplit(target).hostname}, which is not of "
            f"{credentials.sso}: not sent; {_HINT}"
        )
    answer = http.send(
        "POST",
        target,
        data={
            "username": credentials.username,
            "password": credentials.password,
            "_eventId": "Login",
            "lt": form.ticket,
        },
    )
    code = _code(http, answer, redirect)
    http.hide(code)
    answer = http.send(
        "POST",
        f"{base}/api/user_service/login/callback",
        data={"redirect_url": redirect, "code": code},
    )
    tokens = None
    if answer.status_code == 200:
        tokens = token_set(http.json(answer))
    if tokens is None:
        raise CloudError(
            f"the login gave no token (status {answer.status_code}): the "
            f"interface may have changed; {_HINT}"
        )
    return tokens


def refreshed(base: str, http: Http, tokens: Tokens) -> Tokens | None:
    """Return newer tokens, None where they are refused.

    Arguments
    ---------
    base : str
    http : Http
    tokens : Tokens
        With a refresh token.
    """
    answer = http.send(
        "POST",
        f"{base}/api/user_service/login/refresh",
        data={"refresh_token": tokens.refresh},
    )
    if answer.status_code != 200:
        return None
    new = token_set(http.json(answer))
    return new and Tokens(new.access, new.refresh or tokens.refresh)


def _page(http: Http, url: str, redirect: str):
    """Return the page that a chain of redirects ends with."""
    for _ in range(_HOPS):
        answer = http.send("GET", url)
        place = answer.headers.get("Location")
        if not answer.is_redirect:
            break
        url = urljoin(url, place)
        if url.partition("?")[0] == redirect:
            break
    if answer.status_code != 200:
        raise CloudError(
            f"no login page at {urlsplit(url).hostname} (status "
            f"{answer.status_code}): try again later, {_HINT}"
        )
    return answer


def _code(http: Http, answer, redirect: str) -> str:
    """Return the code that a login ends with."""
    if answer.status_code == 200:
        raise CloudError(_refusal(answer.text))
    for _ in range(_HOPS):
        if not answer.is_redirect:
            break
        url = urljoin(answer.url, answer.headers["Location"])
        if url.partition("?")[0] == redirect:
            code = parse_qs(urlsplit(url).query).get("code")
            if code:
                return code[0]
            break
        # A ticket in it counts once.
        answer = http.send("GET", url, retry=False)
    raise CloudError(
        f"the login did not come back with a code (status "
        f"{answer.status_code}): log in once on the web page, where terms may "
        f"have to be accepted; {_HINT}"
    )


def _refusal(page: str) -> str:
    text = page.lower()
    if "exceeded" in text and "login attempts" in text:
        return (
            "the login was refused: the account is blocked after too many "
            "attempts: unblock it at https://my.st.com"
        )
    if "wrong password" in text:
        return (
            f"the login was refused: wrong {_USER} or {_PASSWORD}. It was "
            "tried once and is not repeated, since st.com blocks an account "
            "after five attempts"
        )
    return (
        f"the login was refused: log in on the web page to see why; it is not "
        f"repeated; {_HINT}"
    )


def _same_site(one: str, other: str) -> bool:
    hosts = [urlsplit(url).hostname or "" for url in (one, other)]
    if hosts[0] == hosts[1]:
        return True
    sites = [host.split(".")[-2:] for host in hosts]
    named = not hosts[0].replace(".", "").isdigit()
    return named and len(sites[0]) == 2 and sites[0] == sites[1]


class _LoginForm(HTMLParser):
    """Finds the form that has a field named lt."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.action = self.ticket = self._open = None

    def handle_starttag(self, tag, attrs):
        """Take what a form and its fields say."""
        values = dict(attrs)
        if tag == "form":
            self._open = values.get("action") or ""
        elif tag == "input" and values.get("name") == "lt":
            self.action, self.ticket = self._open, values.get("value") or ""
