"""Who is trusted, who is shown what: TLS, credentials, redirects, a proxy."""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
import urllib3

from ota.errors import ConfigError, NetworkError
from ota.interfaces import Range
from ota.io import session
from ota.io.http import HttpSource
from ota.io.network import Credentials, Network, origin
from ota.io.servers import Servers
from ota.tests.odd import Odd, Request

FILE = bytes(range(256)) * 40
WANTED = [Range(10, 500)]


class Vendor:
    """An authority, and servers over TLS that note which credentials they saw."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.seen: list[tuple[str, str | None, str | None]] = []  # path, Authorization, X-Api-Key
        self.target = ""

    def context(self, name: str = "localhost", *, wants_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name).configure_cert(context)
        if wants_client:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def answer(self, request: Request) -> None:
        shown = request.headers.get("Authorization"), request.headers.get("X-Api-Key")
        self.seen.append((request.path, *shown))
        if self.target and request.path == "/file":
            return request.answer(302, b"", Location=self.target)
        request.properly()


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    return Vendor(tmp_path)


@pytest.fixture
def server(vendor: Vendor) -> Iterator[Odd]:
    with Odd(FILE, vendor.answer, vendor.context()) as odd:
        yield odd


def fetch(url: str, network: Network) -> HttpSource:
    source = HttpSource(url, len(FILE), network, Servers(None))
    pieces = sorted(source.fetch(WANTED))
    assert b"".join(data for _, data in pieces) == FILE[10:500]
    source.close()
    return source


SECRETS = Credentials({"Authorization": "Bearer secret", "X-Api-Key": "key"})
SHOWN = ("Bearer secret", "key")


def test_credentials_are_shown_to_their_own_server(vendor: Vendor, server: Odd) -> None:
    fetch(server.url, Network(ca=vendor.ca, credentials={origin(server.url): SECRETS}))
    assert vendor.seen == [("/file", *SHOWN)]


def test_another_port_is_another_server(vendor: Vendor, server: Odd) -> None:
    fetch(server.url, Network(ca=vendor.ca, credentials={"localhost": SECRETS, "localhost:1": SECRETS}))
    assert vendor.seen == [("/file", None, None)]


def test_credentials_stay_with_a_redirect_on_the_same_server(vendor: Vendor, server: Odd) -> None:
    vendor.target = "/elsewhere"
    source = fetch(server.url, Network(ca=vendor.ca, credentials={origin(server.url): SECRETS}))
    assert vendor.seen == [("/file", *SHOWN), ("/elsewhere", *SHOWN)]
    assert source.requests == 2


def test_credentials_never_follow_a_redirect_to_another_server(vendor: Vendor, server: Odd) -> None:
    with Odd(FILE, vendor.answer, vendor.context()) as other:
        vendor.target = other.url.replace("/file", "/elsewhere")
        fetch(server.url, Network(ca=vendor.ca, credentials={origin(server.url): SECRETS}))
    assert vendor.seen == [("/file", *SHOWN), ("/elsewhere", None, None)]


def test_a_redirect_may_lead_to_a_server_with_credentials_of_its_own(vendor: Vendor, server: Odd) -> None:
    with Odd(FILE, vendor.answer, vendor.context()) as other:
        vendor.target = other.url.replace("/file", "/elsewhere")
        fetch(server.url, Network(ca=vendor.ca, credentials={origin(other.url): SECRETS}))
    assert vendor.seen == [("/file", None, None), ("/elsewhere", *SHOWN)]


def test_where_a_redirect_led_to_is_not_asked_for_again(vendor: Vendor, server: Odd) -> None:
    vendor.target = "/elsewhere"
    source = HttpSource(server.url, len(FILE), Network(ca=vendor.ca), Servers(None), request=100)
    assert sum(len(data) for _, data in source.fetch([Range(0, 1000)])) == 1000
    source.close()
    asked = [path for path, *_ in vendor.seen]
    assert asked.count("/elsewhere") == 10
    assert asked.count("/file") == source.requests - 10 < 4


def test_a_redirect_out_of_tls_is_refused(vendor: Vendor, server: Odd) -> None:
    with Odd(FILE, vendor.answer) as plain:
        vendor.target = plain.url.replace("/file", "/elsewhere")
        with pytest.raises(NetworkError) as caught:
            fetch(server.url, Network(ca=vendor.ca, retries=0))
    assert caught.value.code == "tls"
    assert [path for path, *_ in vendor.seen] == ["/file"]


def test_redirects_that_never_end_are_refused(vendor: Vendor, server: Odd) -> None:
    vendor.target = "/file"
    with pytest.raises(NetworkError) as caught:
        fetch(server.url, Network(ca=vendor.ca))
    assert caught.value.code == "http-protocol"


def test_nothing_is_shown_in_the_clear(vendor: Vendor) -> None:
    with Odd(FILE, vendor.answer) as plain:
        fetch(plain.url, Network(credentials={origin(plain.url): SECRETS}))
    assert vendor.seen == [("/file", None, None)]


def client(vendor: Vendor, folder: Path) -> Credentials:
    issued = vendor.authority.issue_cert("device-17")
    issued.cert_chain_pems[0].write_to_path(folder / "device.pem")
    issued.private_key_pem.write_to_path(folder / "device.key")
    return Credentials({}, folder / "device.pem", folder / "device.key")


def test_a_client_certificate_opens_its_server(vendor: Vendor, tmp_path: Path) -> None:
    shown = client(vendor, tmp_path)
    with Odd(FILE, vendor.answer, vendor.context(wants_client=True)) as strict:
        fetch(strict.url, Network(ca=vendor.ca, credentials={origin(strict.url): shown}))
        with pytest.raises(NetworkError):
            fetch(strict.url, Network(ca=vendor.ca, retries=0))
        with pytest.raises(NetworkError):
            fetch(strict.url, Network(ca=vendor.ca, retries=0, credentials={"localhost:1": shown}))


def test_a_certificate_that_is_none_is_the_configurations_fault(vendor: Vendor, server: Odd) -> None:
    vendor.ca.write_text("no certificate")
    with pytest.raises(ConfigError) as caught:
        fetch(server.url, Network(ca=vendor.ca))
    assert caught.value.code == "config-value"


def test_the_systems_authorities_are_not_trusted_beside_ones_own(vendor: Vendor, server: Odd) -> None:
    stranger = trustme.CA()
    stranger.cert_pem.write_to_path(vendor.ca)
    with pytest.raises(NetworkError) as caught:
        fetch(server.url, Network(ca=vendor.ca))
    assert caught.value.code == "tls"
    assert not vendor.seen


def test_no_bundle_is_added_to_the_authorities_that_are_configured() -> None:
    """urllib3 1.26 of Debian 12 names the system's bundle in every pool, whether that is there or not."""
    pool = urllib3.HTTPSConnectionPool("localhost", ca_certs="/etc/ssl/certs/ca-certificates.crt")
    session._Adapter(session._context(None), 1).cert_verify(pool, "https://localhost/", True, None)
    assert pool.ca_certs is None


class Proxy(socketserver.ThreadingTCPServer):
    """Knows CONNECT alone."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.asked: list[str] = []


class Tunnel(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        method, target, _ = self.rfile.readline().decode().split()
        assert method == "CONNECT"
        self.server.asked.append(target)
        while self.rfile.readline().strip():
            pass
        host, _, port = target.partition(":")
        with socket.create_connection((host, int(port))) as other:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            pair = {self.connection: other, other: self.connection}
            while True:
                for ready in select.select(list(pair), [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    pair[ready].sendall(data)


def test_a_proxy_carries_tls_and_cannot_look_into_it(vendor: Vendor, server: Odd) -> None:
    with Proxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        network = Network(
            ca=vendor.ca,
            proxy=f"http://127.0.0.1:{proxy.server_address[1]}",
            credentials={origin(server.url): SECRETS},
        )
        fetch(server.url, network)
        proxy.shutdown()
        thread.join()
    assert proxy.asked == [origin(server.url)]
    assert vendor.seen == [("/file", *SHOWN)]


@pytest.mark.parametrize(("name", "is_right"), [("127.0.0.1", True), ("127.0.0.2", False)])
def test_a_server_without_a_name_is_checked_by_its_address_where_urllib3_does_not_say_it(
    vendor: Vendor, name: str, is_right: bool
) -> None:
    """As urllib3 1.26 does, which Debian 12 has."""
    with (
        Odd(FILE, vendor.answer, vendor.context(name)) as odd,
        socket.create_connection(("127.0.0.1", odd.server_port)) as plain,
    ):
        if is_right:
            session._context(vendor.ca).wrap_socket(plain).close()
            return
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            session._context(vendor.ca).wrap_socket(plain)
