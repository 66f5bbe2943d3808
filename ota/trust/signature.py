"""Who signed a sw-description: the one proof that everything else in a package hangs on.

Two forms, as in SWUpdate's signed_images.rst: a detached CMS in DER, checked against certificates, and a bare
RSA PKCS#1 v1.5 signature with sha256, checked against public keys. Any one of what is trusted suffices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.errors import ConfigError, TrustError

MAX_SIGNATURE: Final = 256 * 1024  # bytes; a CMS with a chain of ten RSA-4096 certificates has some 20 KB
_DER_SEQUENCE: Final = b"\x30"


@dataclass(frozen=True, slots=True)
class Trust:
    """What a device trusts: PEM files."""

    certificates: tuple[Path, ...]  # each may hold several
    public_keys: tuple[Path, ...]  # each holds one SubjectPublicKeyInfo


def verify(description: bytes, signature: bytes, trust: Trust) -> str:
    """Who signed `description`: the signer's certificate subject, or the name of the key's file.

    Raises:
        TrustError: signature-invalid: nobody who is trusted signed it; certificate: a trusted file cannot be
            used.
        ConfigError: config-key: nothing is trusted.
    """
    from ota.native import crypto  # loads libcrypto, which no look at the device needs

    if not trust.certificates and not trust.public_keys:
        raise ConfigError(
            "config-key",
            "nothing is trusted",
            expected="certificates or public_keys in [trust]",
            hint="name the PEM file of the key that signs your updates",
        )
    if len(signature) > MAX_SIGNATURE:
        raise _invalid("it is too long", f"at most {MAX_SIGNATURE} bytes", f"{len(signature)} bytes")
    for path in trust.public_keys:
        if _fits(path, description, signature):
            return path.name
    if not trust.certificates:
        names = ", ".join(path.name for path in trust.public_keys)
        raise _invalid("it fits no trusted key", f"an RSA signature by {names}", _form(signature))
    if not signature.startswith(_DER_SEQUENCE):
        raise _invalid("its form is wrong", "a CMS in DER", _form(signature))
    return crypto.cms_verify(description, signature, _certificates(trust.certificates))


def _fits(public_key: Path, description: bytes, signature: bytes) -> bool:
    from ota.native import crypto

    pem = _read(public_key)
    try:
        return crypto.verify(description, signature, pem)
    except TrustError as refusal:
        raise _unusable(public_key, refusal) from refusal


def _certificates(paths: tuple[Path, ...]) -> bytes:
    """All files in one; a chain may run through several of them."""
    from ota.native import crypto

    pems = []
    for path in paths:
        pems.append(_read(path))
        try:
            crypto.check_certificates(pems[-1])
        except TrustError as refusal:
            raise _unusable(path, refusal) from refusal
    return b"\n".join(pems)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrustError("certificate", f"{path} cannot be read", found=error.strerror) from error


def _unusable(path: Path, refusal: TrustError) -> TrustError:
    return TrustError(
        "certificate",
        f"{path} cannot be used",
        found=refusal.found,
        hint="certificates and public keys are PEM files",
    )


def _form(signature: bytes) -> str:
    kind = "what may be a CMS" if signature.startswith(_DER_SEQUENCE) else "no CMS"
    return f"{kind}, {len(signature)} bytes"


def _invalid(what: str, expected: str, found: str) -> TrustError:
    return TrustError(
        "signature-invalid", f"the sw-description's signature: {what}", expected=expected, found=found
    )
