"""`[network]` of device.toml: what is read from it, what is refused."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ota import network as networks
from ota import settings
from ota.errors import ConfigError
from ota.io.network import MIN_CONNECTIONS, MIN_IN_FLIGHT, Network


def parse(folder: Path, text: str) -> Network:
    path = folder / "device.toml"
    path.write_text(text)
    table = settings.read(path)
    network = networks.parse(table.table("network"))
    table.done()
    return network


def test_nothing_has_to_be_said(tmp_path: Path) -> None:
    assert parse(tmp_path, "") == Network()


def test_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    network = parse(
        tmp_path,
        """
        [network]
        ca = "ca.pem"
        proxy = "http://proxy:3128"
        mirrors = ["https://one/", "http://two/x"]
        refresh = ["sign", "--fast"]
        timeout_s = 7
        retries = 0
        max_rate = "500K"
        connections = 3
        in_flight = "1M"
        """,
    )
    assert network == Network(
        ca=tmp_path / "ca.pem",
        proxy="http://proxy:3128",
        mirrors=("https://one/", "http://two/x"),
        refresh=("sign", "--fast"),
        timeout_s=7,
        retries=0,
        max_rate=500 << 10,
        connections=3,
        in_flight=1 << 20,
    )


def test_secrets_come_from_files(tmp_path: Path) -> None:
    for name in ("device.pem", "device.key"):
        (tmp_path / name).touch()
    (tmp_path / "token").write_text("s3cret\n")
    network = parse(
        tmp_path,
        """
        [network.credentials."a:8443"]
        bearer = "token"
        headers = { X-Api-Key = "token" }
        certificate = "device.pem"
        key = "device.key"
        [network.credentials.B]
        user = "me"
        password = "token"
        """,
    )
    shown = network.credentials["a:8443"]
    assert shown.headers == {"X-Api-Key": "s3cret", "Authorization": "Bearer s3cret"}
    assert (shown.certificate, shown.key) == (tmp_path / "device.pem", tmp_path / "device.key")
    basic = network.credentials["b"].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(basic) == b"me:s3cret"


REFUSED = {
    "an unknown key": ('[network]\nmirror = "x"', "config-key"),
    "an unknown credential": ('[network.credentials.a]\ntoken = "x"', "config-key"),
    "no such ca": ('[network]\nca = "none.pem"', "file-missing"),
    "no such token": ('[network.credentials.a]\nbearer = "none"', "file-missing"),
    "a token of two lines": ('[network.credentials.a]\nbearer = "lines"', "config-value"),
    "a user without password": ('[network.credentials.a]\nuser = "me"', "config-key"),
    "two ways to log in": (
        '[network.credentials.a]\nuser = "me"\npassword = "token"\nbearer = "token"', "config-key",
    ),
    "a mirror that is no URL": ('[network]\nmirrors = ["/mnt"]', "config-value"),
    "a proxy that is no URL": ('[network]\nproxy = "proxy:3128"', "config-value"),
    "no rate at all": ('[network]\nmax_rate = "0"', "config-value"),
    "no connection at all": ("[network]\nconnections = 0", "config-value"),
    "less than no retries": ("[network]\nretries = -1", "config-value"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "lines").write_text("one\ntwo")
    with pytest.raises(ConfigError) as caught:
        parse(tmp_path, text)
    assert caught.value.code == code


def test_what_is_in_flight_fits_into_memory_but_never_is_nothing() -> None:
    network = Network()
    assert network.within(1 << 30) == network
    small = network.within(2 << 20)
    assert small.in_flight == 2 << 20
    assert small.connections == MIN_CONNECTIONS
    none = network.within(-1000)
    assert (none.in_flight, none.connections) == (MIN_IN_FLIGHT, MIN_CONNECTIONS)
