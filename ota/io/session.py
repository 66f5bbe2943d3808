"""HTTP sessions: TLS always verified, credentials shown to their own server and to no other.

What requests calls an adapter decides here which certificates are trusted; so neither a redirect nor an
environment variable can change that. Credentials belong to an origin (`host` or `host:port`, over TLS): a
request, redirected or not, carries those of the origin that it goes to.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
import urllib3.util
from requests.adapters import HTTPAdapter

from ota.errors import ConfigError, NetworkError
from ota.io.network import BrokenError, Credentials, ExpiredError, Network, origin

MAX_REDIRECTS: Final = 5
MAX_WAIT_S: Final = 300.0  # that a server may ask for by Retry-After

_RETRIED_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})
# S3 clients upload in a framing that some stores go on to name, though they took it off.
_PLAIN: Final = frozenset({"identity", "aws-chunked"})
_REFUSED_STATUS: Final = frozenset({401, 403})


class Session(requests.Session):
    """One pool of connections for all requests of a source; threads may share it.

    Raises:
        ConfigError: "config-value": a certificate file cannot be used.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network
        # REQUESTS_CA_BUNDLE would override what is trusted, and a .netrc would add credentials.
        self.trust_env = False
        self.max_redirects = MAX_REDIRECTS
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update({"Accept-Encoding": "identity", "User-Agent": "otakit"})
        if network.proxy:
            self.proxies.update({"http": network.proxy, "https": network.proxy})
        self.mount("https://", _Adapter(_context(network.ca), network.connections))
        self.mount("http://", _Adapter(None, network.connections))
        for place, shown in network.credentials.items():
            if shown.certificate:
                context = _context(network.ca, shown)
                self.mount(f"https://{place}/", _Adapter(context, network.connections))

    def ask(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        """A GET whose body is still to be read; refused unless it is 200 or 206.

        Raises:
            NetworkError: "http-status", "http-protocol", "server-content", "tls".
            BrokenError, ExpiredError: see there.
        """
        if not url.startswith(("http://", "https://")):
            raise NetworkError("http-protocol", "URL", expected="http:// or https://", found=url)
        with translated(url):
            response = self.get(
                url,
                headers={**headers, **self._shown_to(url)},
                stream=True,
                timeout=self._network.timeout_s,
            )
        try:
            _check(response, url)
        except BaseException:
            response.close()
            raise
        return response

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Called by requests for each redirect: the new origin is shown its own credentials, if any."""
        target = prepared_request.url or ""
        if (response.url or "").startswith("https://") and not target.startswith("https://"):
            raise NetworkError("tls", f"{response.url} redirects out of TLS", found=target)
        names = {name for shown in self._network.credentials.values() for name in shown.headers}
        for name in (*names, "Authorization"):
            prepared_request.headers.pop(name, None)
        prepared_request.headers.update(self._shown_to(target))

    def _shown_to(self, url: str) -> Mapping[str, str]:
        parts = urlsplit(url)
        if parts.scheme != "https":  # a credential in the clear is one lost
            return {}
        shown = self._network.credentials.get(origin(url))
        return shown.headers if shown else {}


class _Adapter(HTTPAdapter):
    """Connections whose server certificate is checked by one context, and by nothing else.

    Args:
        context: None where there is no TLS.
        connections: that are kept alive.
    """

    def __init__(self, context: ssl.SSLContext | None, connections: int) -> None:
        self._context = context
        super().__init__(pool_maxsize=connections)

    # Any: whatever urllib3's pool managers take; only the context is added.
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, **options)

    def close(self) -> None:
        """urllib3 alone would leave idle connections open until their pool is garbage."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in tuple(manager.pools.keys()):
                manager.pools[key].close()
        super().close()

    def cert_verify(self, conn: Any, url: str, verify: object, cert: object) -> None:
        """requests would load its own bundle into the context: what is trusted is already in there.

        Debian's urllib3 would load the system's, by default.
        """
        assert verify is True, "TLS is always verified"
        if self._context:
            conn.cert_reqs = "CERT_REQUIRED"
            conn.ca_certs = None


class _Context(ssl.SSLContext):
    """urllib3 before 2.0, as in Debian 12, does not say whom it asks where that is an address: the peer."""

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        options["server_hostname"] = options.get("server_hostname") or sock.getpeername()[0]
        return super().wrap_socket(sock, *arguments, **options)


def _context(ca: Path | None, shown: Credentials | None = None) -> ssl.SSLContext:
    try:
        context = _Context(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
        if ca:
            context.load_verify_locations(ca)
        else:
            context.load_default_certs()
        if shown and shown.certificate:
            context.load_cert_chain(shown.certificate, shown.key)
    except OSError as error:  # an SSLError is one
        files = [path for path in (ca, shown and shown.certificate, shown and shown.key) if path]
        names = ", ".join(map(str, files))
        raise ConfigError("config-value", f"[network]: {error.strerror}", found=names) from error
    return context


def _check(response: requests.Response, url: str) -> None:
    status = response.status_code
    if status in _RETRIED_STATUS:
        raise BrokenError(f"status {status}", _retry_after(response, url))
    if status == 416:  # RFC 9110 §15.5.17: the file is shorter than the range
        raise NetworkError(
            "server-content",
            f"{url} is another file: it has none of these bytes",
            found=response.headers.get("Content-Range"),
            hint="publish the .zck that this package was built with",
        )
    if status not in (200, 206):
        found = f"{status} {response.reason}"
        error = NetworkError("http-status", url, expected="200 or 206", found=found)
        raise ExpiredError(error) if status in _REFUSED_STATUS else error
    if (coding := response.headers.get("Content-Encoding", "identity")) not in _PLAIN:
        raise NetworkError("http-protocol", f"{url}: content encoding", expected="identity", found=coding)


def _retry_after(response: requests.Response, url: str) -> float:
    """Seconds that the server wants us to stay away (RFC 9110 §10.2.3: seconds or a date)."""
    text = response.headers.get("Retry-After", "0")
    try:
        wait_s = float(urllib3.util.Retry().parse_retry_after(text))
    except urllib3.exceptions.InvalidHeader:
        return 0.0
    if wait_s > MAX_WAIT_S:
        raise NetworkError(
            "http-status",
            f"{url}: the server is busy for {wait_s:.0f} s",
            expected="200 or 206",
            found=response.status_code,
            hint="run it again later; what is there is kept",
        )
    return wait_s


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Foreign exceptions become ours: BrokenError where another try may help."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if refused := _certificate_error(error):
            raise NetworkError(
                "tls",
                f"{url}: {refused.verify_message}",
                hint="[network] ca names the certificates that may sign the server's",
            ) from error
        if isinstance(error, requests.TooManyRedirects):
            raise NetworkError(
                "http-protocol", f"{url}: redirects", expected=f"<= {MAX_REDIRECTS}"
            ) from error
        if isinstance(error, ValueError):  # requests' way to say that a URL is none
            raise NetworkError("http-protocol", f"URL: {error}", found=url) from error
        raise BrokenError(_innermost(error)) from error


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    return next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError)), None)


def _innermost(error: BaseException) -> str:
    """The text of the first cause; what requests and urllib3 wrap around it names memory addresses."""
    *_, first = _causes(error)
    return getattr(first, "strerror", None) or str(first) or type(first).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it was made from: chained, or, as urllib3 does it, as arguments."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        reason = getattr(current, "reason", None)
        inner = [value for value in (reason, *current.args) if isinstance(value, BaseException)]
        current = inner[0] if inner else current.__cause__ or current.__context__
