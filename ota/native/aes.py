"""AES in CBC mode with PKCS#7 padding (NIST SP 800-38A; RFC 5652 §6.3), by the system's libcrypto."""

from __future__ import annotations

from typing import Final

from ota.native._aes import ffi, lib

BLOCK: Final = 16  # bytes; also of an IV
_MODES: Final = {16: "EVP_aes_128_cbc", 24: "EVP_aes_192_cbc", 32: "EVP_aes_256_cbc"}


class Cipher:
    """One stream, encrypted or decrypted piece by piece.

    Args:
        key: 16, 24 or 32 bytes.
        iv: 16 bytes.
    """

    def __init__(self, key: bytes, iv: bytes, *, encrypt: bool) -> None:
        assert len(key) in _MODES and len(iv) == BLOCK, (len(key), len(iv))
        self._context = ffi.gc(lib.EVP_CIPHER_CTX_new(), lib.EVP_CIPHER_CTX_free)
        mode = getattr(lib, _MODES[len(key)])()
        if not lib.EVP_CipherInit_ex(self._context, mode, ffi.NULL, key, iv, encrypt):
            raise MemoryError  # libcrypto knows these modes whatever its configuration

    def update(self, data: bytes) -> bytes:
        """What can be said so far; keeps back up to a block."""
        out = ffi.new("uint8_t[]", len(data) + BLOCK)
        size = ffi.new("int *")
        if not lib.EVP_CipherUpdate(self._context, out, size, data, len(data)):
            raise MemoryError
        return bytes(ffi.buffer(out, size[0]))

    def finish(self) -> bytes:
        """The rest.

        Raises:
            ValueError: what was decrypted does not end as it must: cut short, or another key.
        """
        out = ffi.new("uint8_t[]", BLOCK)
        size = ffi.new("int *")
        if not lib.EVP_CipherFinal_ex(self._context, out, size):
            lib.ERR_clear_error()  # it would be found by whoever asks this thread's queue next
            raise ValueError("the padding is wrong")
        return bytes(ffi.buffer(out, size[0]))
