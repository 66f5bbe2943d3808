"""`[network]` of device.toml: how servers are reached, and what each of them is shown.

Secrets stand in files of their own, so that device.toml need not be one.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Final

from ota.errors import ConfigError
from ota.io.network import Credentials, Network
from ota.settings import Table

_SECRET: Final = re.compile(r"[\x20-\x7e]+")  # what a header's value may hold

_LEAST: Final = {"timeout_s": 1, "retries": 0, "max_rate": 1, "connections": 1, "in_flight": 1}


def parse(table: Table) -> Network:
    """Raises: ConfigError: naming file and key."""
    default = Network()
    network = Network(
        ca=_existing(table, "ca"),
        proxy=table.optional_text("proxy"),
        credentials={host.lower(): _credentials(shown) for host, shown in table.named_tables("credentials")},
        mirrors=table.texts("mirrors"),
        refresh=table.texts("refresh"),
        timeout_s=table.integer("timeout_s", int(default.timeout_s)),
        retries=table.integer("retries", default.retries),
        max_rate=table.optional_size("max_rate"),
        connections=table.integer("connections", default.connections),
        in_flight=table.size("in_flight", "2816K"),
    )
    table.done()
    for name, least in _LEAST.items():
        value = getattr(network, name)
        if value is not None and value < least:
            raise ConfigError(
                "config-value", f"{table.path}: network.{name}", expected=f">= {least}", found=value
            )
    for url in (*network.mirrors, *filter(None, [network.proxy])):
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                "config-value", f"{table.path}: network", expected="http:// or https://", found=url
            )
    return network


def _credentials(table: Table) -> Credentials:
    headers = {
        name: _secret(table, table.path.parent / file) for name, file in table.mapping("headers").items()
    }
    if bearer := table.optional_file("bearer"):
        headers["Authorization"] = f"Bearer {_secret(table, bearer)}"
    user, password = table.optional_text("user"), table.optional_file("password")
    if (user is None) != (password is None):
        raise ConfigError("config-key", f"{table.path}: network.credentials", expected="user and password")
    if user is not None and password is not None:
        pair = base64.b64encode(f"{user}:{_secret(table, password)}".encode())
        headers["Authorization"] = f"Basic {pair.decode()}"  # RFC 7617
    if bearer and user:
        raise ConfigError(
            "config-key", f"{table.path}: network.credentials", expected="bearer or user", found="both"
        )
    credentials = Credentials(headers, _existing(table, "certificate"), _existing(table, "key"))
    table.done()
    return credentials


def _existing(table: Table, key: str) -> Path | None:
    path = table.optional_file(key)
    if path and not path.is_file():
        raise ConfigError("file-missing", f"{table.path}: network.{key}", found=path)
    return path


def _secret(table: Table, path: Path) -> str:
    """The one line of a file."""
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("file-missing", f"{table.path}: {path} cannot be read") from error
    if not _SECRET.fullmatch(text):
        raise ConfigError("config-value", f"{table.path}: {path}", expected="one line of ASCII")
    return text
