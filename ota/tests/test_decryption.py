"""AES-CBC against the openssl program, in the form of SWUpdate's encrypted images."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from ota.errors import ConfigError, UpdateError
from ota.io.readers import blocks
from ota.native.aes import Cipher
from ota.tests.readers import Trickle
from ota.trust.decryption import Decrypt, read_key

IV = bytes(range(16))


def encrypted(data: bytes, key: bytes) -> bytes:
    """What openssl makes of `data`."""
    command = ["openssl", "enc", f"-aes-{len(key) * 8}-cbc", "-K", key.hex(), "-iv", IV.hex()]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1 << 20])
def test_it_is_what_openssl_encrypts(bits: int, size: int) -> None:
    key, data = bytes(range(bits // 8)), bytes(7 * n % 251 for n in range(size))
    stored = encrypted(data, key)
    assert bool(b"".join(blocks(Decrypt(io.BytesIO(stored), key, IV, "a.bin"))) == data)
    cipher = Cipher(key, IV, encrypt=True)
    assert bool(cipher.update(data) + cipher.finish() == stored)


def test_a_source_may_drip() -> None:
    key, data = bytes(32), b"otakit" * 100
    reader = Decrypt(Trickle(encrypted(data, key)), key, IV, "a.bin")
    assert b"".join(iter(lambda: reader.read(5), b"")) == data


@pytest.mark.parametrize("fault", ["cut", "another key", "empty"])
def test_what_does_not_end_right_is_refused(fault: str) -> None:
    key, stored = bytes(32), encrypted(b"otakit" * 100, bytes(32))
    if fault == "cut":
        stored = stored[:-1]
    elif fault == "empty":
        stored = b""
    else:
        key = bytes(31) + b"\1"
    with pytest.raises(UpdateError) as refusal:
        list(blocks(Decrypt(io.BytesIO(stored), key, IV, "a.bin")))
    assert refusal.value.code == "payload-format"


def test_a_key_file_is_that_of_swupdate(tmp_path: Path) -> None:
    file = tmp_path / "aes.key"
    file.write_text(f"{bytes(24).hex()} {IV.hex().upper()}\n")
    assert (read_key(file).key, read_key(file).iv) == (bytes(24), IV)


@pytest.mark.parametrize(
    "text", ["", "00", f"{'0' * 30} {'0' * 32}", f"{'0' * 64}", f"{'0' * 64} {'g' * 32}"]
)
def test_another_key_file_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "aes.key"
    file.write_text(text)
    with pytest.raises(ConfigError) as refusal:
        read_key(file)
    assert refusal.value.code == "config-value"
    assert not text or "000000" not in str(refusal.value)
