"""Attributes of one element (sw-description.rst, "Attribute reference")."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Mapping
from typing import Final

import zstandard
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from ota.tests.conformance.case import (
    BOOT,
    DATA,
    DISK,
    FOLDER,
    KEY,
    SLOT,
    SLOT_SIZE,
    TEXT,
    Case,
    Rest,
    Stock,
    image,
    images,
    in_json,
)  # fmt: skip

_WRONG_TYPE: Final = "a wrong type is a mistake; stock ignores the attribute and installs something else"
_EARLIER: Final = "refused before the first write; stock finds out half way"


def _raw(group: str, name: str, more: str, members: Mapping[str, bytes] | None = None, **rest: Rest) -> Case:
    return Case(group, name, images(image(more)), members or {"a": DATA}, **rest)


def _refused(group: str, name: str, more: str, code: str = "description-content", **rest: Rest) -> Case:
    """Both refuse it, before anything was written."""
    return _raw(group, name, more, stock=Stock.REFUSED, code=code, **rest)


def _stricter(group: str, name: str, more: str, reason: str = _WRONG_TYPE, **rest: Rest) -> Case:
    """Stock warns, or does not, and installs it."""
    return _raw(group, name, more, code="description-content", reason=reason, **rest)


def _lua(group: str, name: str, more: str, reason: str) -> Case:
    return _raw(group, name, more, code="feature-absent", reason=reason)


def encrypted(data: bytes, ivt: str | None = None) -> bytes:
    """AES-256-CBC with the device's key, as `openssl enc -aes-256-cbc` does it."""
    key, vector = KEY.split()
    cipher = Cipher(AES(bytes.fromhex(key)), CBC(bytes.fromhex(ivt or vector))).encryptor()
    padder = padding.PKCS7(128).padder()
    return cipher.update(padder.update(data) + padder.finalize()) + cipher.finalize()


def lz4(line: bytes, times: int) -> bytes:
    """An LZ4 frame of one block that says: this line, then copy it (lz4: doc/lz4_Frame_format.md)."""
    copied = len(line) * (times - 1) - 5  # the last five bytes have to be literals
    assert 15 <= len(line) < 15 + 255 and len(line) * times <= 1 << 16
    tail = line[-5:]
    block = bytes([0xFF, len(line) - 15]) + line + len(line).to_bytes(2, "little")
    block += b"\xff" * ((copied - 4 - 15) // 255) + bytes([(copied - 4 - 15) % 255, 5 << 4]) + tail
    header = bytes.fromhex("04224d18604082")  # independent blocks of at most 64 KiB
    return header + len(block).to_bytes(4, "little") + block + bytes(4)


_IVT: Final = "00112233445566778899aabbccddeeff"

_OFFSETS: Final = (
    _raw("offset", "none", ""),
    _raw("offset", "number", "offset = 4096;"),
    _raw("offset", "odd number", "offset = 777;"),
    _raw("offset", "64-bit number", "offset = 4096L;"),
    _raw("offset", "hexadecimal number", "offset = 0x1000;"),
    _raw("offset", "string", 'offset = "4096";'),
    _raw("offset", "string, K", 'offset = "64K";'),
    _raw("offset", "string, M", 'offset = "1M";'),
    _raw("offset", "string, lower case", 'offset = "64k";'),
    _raw("offset", "string, KiB", 'offset = "64KiB";'),
    _raw("offset", "string, hexadecimal", 'offset = "0x1000";'),
    _raw("offset", "empty string", 'offset = "";'),
    _stricter("offset", "string, octal", 'offset = "010000";', "an octal number is hardly meant"),
    _refused("offset", "string, no number", 'offset = "many";'),
    _refused("offset", "string, wrong suffix", 'offset = "64X";'),
    _stricter("offset", "truth value", "offset = true;"),
    _raw("offset", "beyond the end", 'offset = "1G";', stock=Stock.REFUSED, code="slot-size", differs=(BOOT,),
         reason=_EARLIER),
    _raw("offset", "too large for what is left", f"offset = {SLOT_SIZE - 4096};", stock=Stock.REFUSED,
         code="slot-size", differs=(BOOT, DISK), reason=_EARLIER),
    _raw("offset", "negative", "offset = -4096;", stock=Stock.REFUSED, code="description-content", differs=(BOOT,),
         reason=_EARLIER),
)  # fmt: skip

_SIZES: Final = (
    _raw("size", "right", f"size = {len(DATA)};"),
    _raw("size", "right, 64-bit", f"size = {len(DATA)}L;"),
    _raw("size", "right, as a string", f'size = "{len(DATA)}";'),
    _raw("size", "zero", "size = 0;"),
    _refused("size", "wrong", "size = 300000;", "member-size"),
    _raw("size", "empty file", "", {"a": b""}, changes=()),
    _raw("size", "one byte", "", {"a": b"x"}),
    _raw("size", "fills the slot", "", {"a": b"\x5a" * SLOT_SIZE}),
    _raw("size", "a byte more than the slot", "", {"a": b"\x5a" * (SLOT_SIZE + 1)}, stock=Stock.REFUSED,
         code="slot-size", differs=(BOOT, DISK), reason=_EARLIER),
)  # fmt: skip

_GZIP: Final = {"a": gzip.compress(TEXT, mtime=0)}
_ZSTD: Final = {"a": zstandard.compress(TEXT)}
_NO_XZ: Final = "Debian builds stock without it"
_COMPRESSED: Final = (
    _raw("compressed", "zlib", 'compressed = "zlib";', _GZIP),
    _raw("compressed", "true, which is zlib", "compressed = true;", _GZIP),
    _raw("compressed", "zstd", 'compressed = "zstd";', _ZSTD),
    _raw("compressed", "false", "compressed = false;"),
    _raw("compressed", "zstd, two frames", 'compressed = "zstd";', {"a": _ZSTD["a"] * 2}),
    _raw("compressed", "zlib, two members", 'compressed = "zlib";', {"a": _GZIP["a"] * 2}, code="payload-format",
         reason="stock installs the first and drops the rest"),
    _raw("compressed", "zlib, offset", 'compressed = "zlib"; offset = 777;', _GZIP),
    _raw("compressed", "zlib of nothing", 'compressed = "zlib";', {"a": gzip.compress(b"", mtime=0)}, changes=()),
    _refused("compressed", "another word", 'compressed = "bzip2";'),
    _refused("compressed", "none", 'compressed = "none";'),
    _stricter("compressed", "a number", "compressed = 1;"),
    _raw("compressed", "zlib without gzip's wrapper", 'compressed = "zlib";', {"a": zlib.compress(TEXT)},
         stock=Stock.REFUSED, code="payload-format", differs=(BOOT,), reason=_EARLIER),
    _raw("compressed", "zlib, but it is not", 'compressed = "zlib";', stock=Stock.REFUSED, code="payload-format",
         differs=(BOOT,), reason=_EARLIER),
    _raw("compressed", "zstd, but it is not", 'compressed = "zstd";', stock=Stock.REFUSED, code="payload-format",
         differs=(BOOT,), reason=_EARLIER),
    _raw("compressed", "zlib, cut off", 'compressed = "zlib";', {"a": _GZIP["a"][:-100]},
         code="payload-format", reason="it is damaged; stock installs what there is of it"),
    _raw("compressed", "zstd, cut off", 'compressed = "zstd";', {"a": _ZSTD["a"][:-5]},
         code="payload-format", reason="it is damaged; stock installs what there is of it"),
    _raw("compressed", "xz", 'compressed = "xz";', {"a": lzma.compress(TEXT), "plain": TEXT}, stock=Stock.REFUSED,
         twin=images(image(name="plain")), reason=_NO_XZ),
    _raw("compressed", "lz4", 'compressed = "lz4";', {"a": lz4(TEXT[:28], 2000), "plain": TEXT[:56000]},
         stock=Stock.REFUSED,
         twin=images(image(name="plain")), reason=_NO_XZ),
)  # fmt: skip

_CIPHERED: Final = {"a": encrypted(DATA)}
_ENCRYPTED: Final = (
    _raw("encrypted", "true", "encrypted = true;", _CIPHERED, key=True),
    _raw("encrypted", "true, own ivt", f'encrypted = true; ivt = "{_IVT}";', {"a": encrypted(DATA, _IVT)}, key=True),
    _raw("encrypted", "true, zlib", 'encrypted = true; compressed = "zlib";', {"a": encrypted(_GZIP["a"])}, key=True),
    _raw("encrypted", "true, zstd", 'encrypted = true; compressed = "zstd";', {"a": encrypted(_ZSTD["a"])}, key=True),
    _raw("encrypted", "true, a whole block of padding", "encrypted = true;", {"a": encrypted(DATA[:4096])}, key=True),
    _raw("encrypted", "true, nothing", "encrypted = true;", {"a": encrypted(b"")}, key=True, changes=()),
    _raw("encrypted", "false", "encrypted = false;", key=True),
    _raw("encrypted", "key not used", "", key=True),
    _raw("encrypted", "aes-cbc", 'encrypted = "aes-cbc";', _CIPHERED, key=True, differs=(DISK,),
         reason="the word of later versions; 2024.12 ignores it and installs what is still encrypted"),
    _raw("encrypted", "true, without a key", "encrypted = true;", _CIPHERED, stock=Stock.REFUSED, code="config-key",
         differs=(BOOT,), reason=_EARLIER),
    _raw("encrypted", "true, but it is not", "encrypted = true;", {"a": DATA}, key=True, stock=Stock.REFUSED,
         code="payload-format", differs=(BOOT, DISK), reason=_EARLIER),
    _raw("encrypted", "true, wrong ivt", f'encrypted = true; ivt = "{_IVT}";', _CIPHERED, key=True),
    _raw("encrypted", "ivt too short", 'encrypted = true; ivt = "0011";', _CIPHERED, key=True, stock=Stock.REFUSED,
         code="description-content", differs=(BOOT,), reason=_EARLIER),
)  # fmt: skip

_DIGESTS: Final = (
    Case("sha256", "none", images(f'{{ filename = "a"; device = "{SLOT}"; type = "raw"; }}'), stock=Stock.REFUSED,
         code="digest-missing"),
    Case("sha256", "wrong", images(image(name="b").replace("@b", "@a")), {"a": DATA, "b": TEXT}, stock=Stock.REFUSED,
         code="digest-mismatch"),
    Case("sha256", "too short", images(f'{{ filename = "a"; device = "{SLOT}"; type = "raw"; sha256 = "00"; }}'),
         stock=Stock.REFUSED, code="description-content"),
    Case("sha256", "not hexadecimal",
         images(f'{{ filename = "a"; device = "{SLOT}"; type = "raw"; sha256 = "{"z" * 64}"; }}'),
         stock=Stock.REFUSED, code="description-content"),
)  # fmt: skip

_FILES: Final = (
    Case("filename", "not in the archive", images(image(name="b").replace("@b", "@a"))
         .replace("raw", "raw"), stock=Stock.REFUSED, code="member-missing"),
    Case("filename", "none", images(f'{{ type = "raw"; device = "{SLOT}"; offset = 4096; }}', image())),
    Case("filename", "none in the only element", images(f'{{ type = "raw"; device = "{SLOT}"; }}'),
         stock=Stock.REFUSED, code="description-content"),
    Case("filename", "one file for two places", images(image(), image("offset = 1048576;"))),
    Case("filename", "one file for two places, compressed", images(image('compressed = "zlib";'),
         image('compressed = "zlib"; offset = 1048576;')), _GZIP),
    Case("filename", "one file, compressed for one of two", images(image('compressed = "zlib";'),
         image("offset = 1048576;")), _GZIP),
    Case("filename", "two files over one another", images(image(name="b"), image()), {"a": DATA, "b": TEXT},
         code="target-doubled", reason="the second destroys the first: a mistake"),
    Case("filename", "archive in another order", images(image(), image("offset = 1048576;", "b")),
         {"b": TEXT, "a": DATA}),
    Case("filename", "a file that nobody needs", images(image()), {"x": TEXT, "a": DATA, "y": TEXT}),
    Case("filename", "with a folder", images(image(name="d/a").replace("@d/a", "@a")), stock=Stock.REFUSED,
         code="member-name"),
)  # fmt: skip

_TYPES: Final = (
    Case("type", "image with a device, none", images(image().replace('type = "raw";', ""))),
    Case("type", "image without a device, none", images('{ filename = "a"; sha256 = "@a"; }'),
         stock=Stock.REFUSED, code="description-content"),
    Case("type", "file, none", 'files: ( { filename = "a"; sha256 = "@a"; path = "/mnt/etc/new"; } );',
         changes=(FOLDER,)),
    Case("type", "image with a volume, none", images('{ filename = "a"; sha256 = "@a"; volume = "v"; }'),
         stock=Stock.CRASHES, code="feature-absent"),
    Case("type", "unknown", images(image().replace('"raw"', '"nosuch"')), stock=Stock.REFUSED,
         code="description-type"),
    Case("type", "unknown, in a mode that is not selected",
         images(image()) + f' stable = {{ other = {{ {images(image().replace("raw", "nosuch"))} }}; }};'),
    Case("type", "file handler among images", 'images: ( { filename = "a"; sha256 = "@a"; type = "rawfile"; '
         'path = "/mnt/etc/new"; } );', changes=(FOLDER,)),
    Case("type", "image handler among files", f"files: ( {image()} );"),
    Case("type", "image handler among scripts", f"scripts: ( {image()} );", stock=Stock.REFUSED,
         code="description-type"),
    Case("type", "script handler among images", images(image().replace("raw", "shellscript")), stock=Stock.REFUSED,
         code="description-type"),
    Case("type", "image handler among partitions", f"partitions: ( {image()} ); {images(image())}",
         stock=Stock.REFUSED, code="description-type"),
    Case("type", "script, none, which is Lua", 'scripts: ( { filename = "a"; sha256 = "@a"; } );',
         {"a": b"function preinst() return true, 'fine' end\nfunction postinst() return true, 'fine' end\n"},
         changes=(), code="feature-absent", reason="no Lua here"),
)  # fmt: skip

_STREAMED: Final = (
    _raw("installed-directly", "true", "installed-directly = true;"),
    _raw("installed-directly", "false", "installed-directly = false;"),
    _raw("installed-directly", "true, zlib, offset", 'installed-directly = true; compressed = "zlib"; offset = 777;', _GZIP),
    Case("installed-directly", "one of two", images(image(), image("installed-directly = true; offset = 1048576;", "b")),
         {"a": TEXT, "b": DATA}),
    Case("installed-directly", "one file twice", images(image("installed-directly = true;"),
         image("installed-directly = true; offset = 1048576;")), stock=Stock.REFUSED,
         twin=images(image(), image("offset = 1048576;")), reason="nothing is streamed here, so it can be"),
    Case("installed-directly", "wrong digest", images(image("installed-directly = true;", "b").replace("@b", "@a")),
         {"a": DATA, "b": TEXT}, stock=Stock.REFUSED, code="digest-mismatch", differs=(BOOT, DISK),
         reason="proved before the first write; stock has written it by then"),
    Case("installed-directly", "then a file is missing",
         images(image("installed-directly = true;"), image(name="b").replace("@b", "@a")),
         stock=Stock.REFUSED, code="member-missing", differs=(BOOT, DISK), reason=_EARLIER),
)  # fmt: skip

_PROPERTIES: Final = (
    _raw("properties", "unknown ones", 'properties: { one = "1"; two = [ "1", "2" ]; };'),
    _raw("properties", "none", "properties: { };"),
    _stricter("properties", "a number", "properties: { one = 1; };", "stock drops it without a word"),
    _stricter("properties", "a truth value", "properties: { one = true; };", "stock drops it without a word"),
    _stricter("properties", "list of numbers", "properties: { one = [ 1, 2 ]; };", "stock drops it without a word"),
)  # fmt: skip

_TYPES_OF_VALUES: Final = tuple(
    _stricter("wrong type", f"{name} = {value}", f"{name} = {value};")
    for name, value in (
        ("name", "5"), ("version", "1.0"), ("path", "true"), ("filesystem", "5"), ("data", "5"), ("volume", "5"),
        ("installed-directly", '"true"'), ("installed-directly", "1"), ("preserve-attributes", '"true"'),
        ("install-if-different", '"true"'), ("install-if-higher", "1"), ("encrypted", "1"), ("ivt", "5"),
        ("properties", '"x"'), ("size", "true"), ("size", "1.5"),
    )
)  # fmt: skip

_WRONG_TYPES: Final = (
    *_TYPES_OF_VALUES,
    Case("wrong type", "filename = 5", images(f'{{ filename = 5; sha256 = "@a"; device = "{SLOT}"; }}', image()),
         code="description-content", reason=_WRONG_TYPE),
    Case("wrong type", "device = 5", images(image().replace(f'"{SLOT}"', "5")), stock=Stock.REFUSED,
         code="description-content", differs=(BOOT,), reason=_EARLIER),
    Case("wrong type", "type = 5", images(image().replace('"raw"', "5")), code="description-content",
         reason=_WRONG_TYPE),
    Case("wrong type", "sha256 = 5", images(image().replace('"@a"', "5")), stock=Stock.REFUSED,
         code="description-content"),
    Case("wrong type", "images is a string", 'images = "a";', stock=Stock.REFUSED, code="description-content"),
    Case("wrong type", "an image is a string", 'images: ( "a" );', stock=Stock.REFUSED, code="description-content"),
    Case("wrong type", "an image is a string, another is none", images('"a"', image()), code="description-content",
         reason=_WRONG_TYPE),
    Case("wrong type", "version is a number", f'software = {{ version = 1; hardware-compatibility: [ "1.0" ]; {images(image())} }};',
         code="description-content", reason=_WRONG_TYPE),
)  # fmt: skip

_LONG: Final = (
    _raw("unknown attribute", "a string", 'nosuch = "x";'),
    _raw("unknown attribute", "a group", 'nosuch = { a = "b"; };'),
    _stricter("too long", "name of 300 characters", f'name = "{"n" * 300}";', "stock cuts it"),
    _stricter("too long", "data of 300 characters", f'data = "{"n" * 300}";', "stock cuts it"),
    Case("too long", "device of 300 characters", images(image(device="/dev/" + "x" * 300)), stock=Stock.REFUSED,
         code="description-content", differs=(BOOT,), reason=_EARLIER),
    Case("too long", "description of 3000 characters", f'description = "{"n" * 3000}"; {images(image())}'),
)  # fmt: skip

_LUA: Final = (
    Case("Lua", "embedded-script", f'embedded-script = "x = 1"; {images(image())}', code="feature-absent",
         reason="no Lua here"),
    _lua("Lua", "hook without a script", 'hook = "f";', "no Lua here"),
    Case("Lua", "embedded-script and hook", images(image('hook = "f";')) +
         ' embedded-script = "function f(image)\\n image.offset = \\"4096\\"\\n return true, image\\nend";',
         code="feature-absent", reason="no Lua here"),
    _lua("Lua", "preinstall", 'preinstall = "f";', "no Lua here; 2024.12 knows no such attribute"),
    _lua("Lua", "postinstall", 'postinstall = "f";', "no Lua here; 2024.12 knows no such attribute"),
    Case("Lua", "embedded-script with an error", f'embedded-script = "this is no Lua"; {images(image())}',
         stock=Stock.REFUSED, code="feature-absent"),
)  # fmt: skip

_JSON: Final = (*_OFFSETS[:3], *_OFFSETS[5:7], *_SIZES[:3], *_COMPRESSED[:4], *_ENCRYPTED[:2], *_FILES[1:4],
                *_TYPES[:3], *_STREAMED[:1], *_PROPERTIES, *_TYPES_OF_VALUES, *_WRONG_TYPES[-2:], *_LONG[:4], *_LUA[:4])  # fmt: skip

ATTRIBUTES: Final = (
    *_OFFSETS, *_SIZES, *_COMPRESSED, *_ENCRYPTED, *_DIGESTS, *_FILES, *_TYPES, *_STREAMED, *_PROPERTIES,
    *_WRONG_TYPES, *_LONG, *_LUA, *map(in_json, _JSON),
)  # fmt: skip
