"""Artifacts that only devices with the key can read: compressed first, then AES-CBC, then named by sha256.

Every artifact has an IV of its own, derived from the key and from what is encrypted. So the same release
gives the same bytes, and no two contents share an IV; whoever sees two packages learns only which artifacts
are equal. Format: SWUpdate's encrypted_images.rst.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from pathlib import Path
from typing import Final

from ota.io.readers import blocks
from ota.native.aes import BLOCK, Cipher
from ota.trust.decryption import Key
from packager.interfaces import Artifact

SUFFIX: Final = ".enc"

_PURPOSE: Final = b"otakit: initialization vector of an artifact\0"


def encrypt(artifact: Artifact, folder: Path, key: Key) -> Artifact:
    """The same artifact encrypted, in `folder`; what else was made there for it is gone."""
    member = artifact.member + SUFFIX
    file = folder / member
    with artifact.file.open("rb") as source:
        iv = derive_iv(key, hashlib.file_digest(source, "sha256").digest())
        source.seek(0)
        cipher = Cipher(key.key, iv, encrypt=True)
        with file.open("wb") as output:
            output.writelines(map(cipher.update, blocks(source)))
            output.write(cipher.finish())
    if artifact.file.parent == folder:
        artifact.file.unlink()
    return replace(artifact, member=member, file=file, ivt=iv.hex())


def derive_iv(key: Key, digest: bytes) -> bytes:
    """The IV for what has this sha256; nobody without the key can tell it beforehand, as CBC asks for."""
    return hmac.digest(key.key, _PURPOSE + digest, "sha256")[:BLOCK]
