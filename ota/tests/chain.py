"""A vendor who keeps the root offline: root, intermediate and the signer's certificate, made with openssl.

A CMS lists the certificates that it encloses the shortest first (X.690, 11.6: a SET OF in DER is sorted), and
there is a reader that minds the order. So a comment makes one of the two longer.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Written out, so that the machine's own openssl.cnf adds nothing.
_CONFIG: Final = "[req]\nprompt = no\ndistinguished_name = dn\n[dn]\n"
_AUTHORITY: Final = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
_SIGNER: Final = (
    "basicConstraints=critical,CA:FALSE",
    "keyUsage=critical,digitalSignature",
    "extendedKeyUsage=emailProtection",
)


@dataclass(frozen=True, slots=True)
class Chain:
    """PEM files."""

    root: Path
    intermediate: Path
    certificate: Path
    key: Path


def make(folder: Path, *, longer: str = "signer") -> Chain:
    """Make the three in `folder`.

    Args:
        longer: "signer" or "intermediate", the one that a CMS lists last.
    """
    folder.mkdir()
    (folder / "req.cnf").write_text(_CONFIG)
    comment = {longer: (f"nsComment={'long ' * 50}",)}
    root = _certificate(folder, "root", None, _AUTHORITY)
    intermediate = _certificate(folder, "intermediate", root, _AUTHORITY + comment.get("intermediate", ()))
    certificate = _certificate(folder, "signer", intermediate, _SIGNER + comment.get("signer", ()))
    return Chain(root, intermediate, certificate, certificate.with_suffix(".key"))


def _certificate(folder: Path, name: str, issuer: Path | None, extensions: tuple[str, ...]) -> Path:
    path = folder / f"{name}.pem"
    command: list[str | Path] = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"]
    command += ["-config", folder / "req.cnf", "-subj", f"/CN={name}"]
    command += ["-out", path, "-keyout", path.with_suffix(".key")]
    if issuer:
        command += ["-CA", issuer, "-CAkey", issuer.with_suffix(".key")]
    for extension in extensions:
        command += ["-addext", extension]
    subprocess.run(command, check=True, capture_output=True)
    return path
