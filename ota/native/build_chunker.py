"""Compiles `_chunker`: chunker.c, which needs no library."""

from pathlib import Path

from cffi import FFI

builder = FFI()
builder.cdef("""
struct chunker { uint32_t length; ...; };
size_t chunker_feed(struct chunker *, const uint8_t *data, size_t size, uint32_t *lengths);
uint32_t byte_sum(const uint8_t *data, size_t size, uint32_t sum);
""")
builder.set_source(
    "ota.native._chunker",
    Path(__file__).with_name("chunker.c").read_text(encoding="utf-8"),
    extra_compile_args=["-O3"],
)
