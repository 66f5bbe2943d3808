"""Who makes packages by hand, with the programs that SWUpdate's documentation names: openssl and GNU cpio."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

FindTool = Callable[[str], Path]


class Vendor:
    """A signing key and its certificate, made afresh in `folder`.

    Args:
        folder: is there.
        tool: finds programs.
        identity: the certificate and the key, where they are there already.
    """

    def __init__(self, folder: Path, tool: FindTool, identity: tuple[Path, Path] | None = None) -> None:
        self._workplace = folder / "pack"
        self._tool = tool
        if identity:
            self.certificate, self.key = identity
            return
        self.certificate, self.key = folder / "signer.pem", folder / "signer.key"
        self._openssl(f"req -x509 -newkey rsa:2048 -nodes -subj /CN=vendor -days 3650 -out {self.certificate}"
                      f" -keyout {self.key}")  # fmt: skip

    def pack(self, description: str, members: Mapping[str, bytes], package: Path) -> Path:
        """Sign a sw-description and put it into an archive with its members."""
        folder = self._workplace
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "sw-description").write_text(description)
        (folder / "sw-description.sig").write_bytes(self.sign(description.encode()))
        for name, data in members.items():
            (folder / name).write_bytes(data)
        names = ["sw-description", "sw-description.sig", *members]
        packed = subprocess.run(
            [self._tool("cpio"), "-o", "-H", "crc", "--quiet"],
            input="\n".join(names).encode() + b"\n",
            capture_output=True,
            cwd=folder,
            check=True,
        )
        package.write_bytes(packed.stdout)
        return package

    def sign(self, description: bytes) -> bytes:
        """The signature of a sw-description."""
        text, signature = self._workplace.with_name("signed"), self._workplace.with_name("signature")
        text.write_bytes(description)
        self._openssl(f"cms -sign -in {text} -out {signature} -binary"
                      f" -signer {self.certificate} -inkey {self.key} -outform DER -nosmimecap")  # fmt: skip
        return signature.read_bytes()

    def _openssl(self, arguments: str) -> None:
        subprocess.run([self._tool("openssl"), *arguments.split()], check=True, capture_output=True)
