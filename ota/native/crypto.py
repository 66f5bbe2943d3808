"""Signatures through the system's libcrypto: CMS over a certificate chain, and bare RSA.

Nothing here opens a file, asks for a passphrase or keeps state. Refusals carry OpenSSL's own words.
"""

from __future__ import annotations

from typing import Any, Final

from ota.errors import TrustError
from ota.native._crypto import ffi, lib

MAX_INPUT: Final = 64 * 1024 * 1024  # bytes of any argument; OpenSSL's own lengths are C ints


def cms_verify(content: bytes, signature: bytes, certificates: bytes) -> str:
    """Who signed `content`: the subject of every signer's certificate, on one line.

    Accepts what SWUpdate's OpenSSL build accepts: each signer's certificate has to lead to a self-signed one
    among `certificates` (itself, if it is there), be valid now and be fit for S/MIME signing.

    Args:
        content: what was signed.
        signature: a detached CMS in DER; may carry the signer's and intermediate certificates.
        certificates: the trusted ones, concatenated PEM.

    Raises:
        TrustError: signature-invalid, or certificate where `certificates` cannot be read.
    """
    return _answer(lib.verify_cms, content, signature, certificates).decode(errors="replace")


def cms_sign(
    content: bytes, certificate: bytes, key: bytes, *, signing_time: int, chain: bytes = b""
) -> bytes:
    """A detached CMS in DER, as `openssl cms -sign -binary -nosmimecap -outform DER` makes it.

    With an RSA key, equal arguments give equal bytes.

    Args:
        content: what to sign.
        certificate: the signer's, PEM; the first in it is taken.
        key: the signer's, PEM, without a passphrase.
        signing_time: seconds since 1970; stated in the signature, checked by nobody.
        chain: further certificates to enclose (intermediates), concatenated PEM.

    Raises:
        TrustError: certificate.
    """
    return _answer(lib.sign_cms, signing_time, content, certificate, key, chain)


def check_certificates(certificates: bytes) -> None:
    """Refuse what is not a concatenation of at least one PEM certificate.

    Raises:
        TrustError: certificate.
    """
    _answer(lib.check_certificates, certificates)


def verify(content: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether `signature` is that of `public_key` (PEM) over `content`: RSA PKCS#1 v1.5 with sha256.

    Raises:
        TrustError: certificate where `public_key` cannot be used.
    """
    try:
        _answer(lib.verify_raw, content, signature, public_key)
    except TrustError as refusal:
        if refusal.code == "signature-invalid":
            return False
        raise
    return True


def sign(content: bytes, key: bytes) -> bytes:
    """The signature of `key` (PEM, without a passphrase) over `content`, as `openssl dgst -sha256 -sign`.

    Raises:
        TrustError: certificate where `key` cannot be used.
    """
    return _answer(lib.sign_raw, content, key)


def _answer(function: Any, *arguments: bytes | int) -> bytes:
    """What a function of crypto.c (a C function) answers; each bytes argument takes its length along."""
    flat: list[bytes | int] = []
    for argument in arguments:
        flat += (argument, len(argument)) if isinstance(argument, bytes) else (argument,)
    assert all(len(argument) <= MAX_INPUT for argument in arguments if isinstance(argument, bytes))
    result = ffi.gc(ffi.new("struct bytes *"), lib.release)
    reason = ffi.new("char[]", lib.REASON_SIZE)
    blame = function(*flat, result, reason)
    if blame == lib.DONE:
        return bytes(ffi.buffer(result.data, result.size))
    code, what = _BLAME[blame]
    raise TrustError(code, what, found=ffi.string(reason).decode(errors="replace"))


_BLAME: Final = {
    lib.BAD_CERTIFICATE: ("certificate", "a certificate cannot be used"),
    lib.BAD_KEY: ("certificate", "a key cannot be used"),
    lib.BAD_SIGNATURE: ("signature-invalid", "the signature does not hold"),
}
