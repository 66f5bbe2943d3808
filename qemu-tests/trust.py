"""Keys and certificates of the tests: who signs releases, and who runs the server that guests ask.

They are made once and kept, since images hold the public halves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import artefacts
import trustme

from packager import keys

SIGNER, SIGNER_KEY = keys.CERTIFICATE, keys.KEY
SERVERS: Final = "servers.pem"  # who signs servers' certificates
SERVER: Final = "server.pem"  # a server's certificates and key, in one file
ADDRESSES: Final = ("10.0.2.2", "127.0.0.1", "localhost")  # this machine, as guests see it and as it does


def trust() -> Path:
    """The folder with all of them."""
    return artefacts.made("trust", _make)


def _make(folder: Path) -> None:
    keys.development(folder)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / SERVERS)
    authority.issue_cert(*ADDRESSES).private_key_and_cert_chain_pem.write_to_path(folder / SERVER)
