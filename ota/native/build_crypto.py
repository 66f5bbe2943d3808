"""Compiles `_crypto`: crypto.c over the system's libcrypto."""

from pathlib import Path

from cffi import FFI

builder = FFI()
builder.cdef("""
enum blame { DONE, BAD_CERTIFICATE, BAD_KEY, BAD_SIGNATURE };
#define REASON_SIZE ...
struct bytes { uint8_t *data; size_t size; };
void release(struct bytes *);
enum blame verify_cms(const uint8_t *content, size_t, const uint8_t *signature, size_t,
                      const uint8_t *certificates, size_t, struct bytes *result, char *reason);
enum blame sign_cms(int64_t seconds, const uint8_t *content, size_t, const uint8_t *certificate, size_t,
                    const uint8_t *key, size_t, const uint8_t *chain, size_t,
                    struct bytes *result, char *reason);
enum blame check_certificates(const uint8_t *certificates, size_t, struct bytes *result, char *reason);
enum blame verify_raw(const uint8_t *content, size_t, const uint8_t *signature, size_t,
                      const uint8_t *public_key, size_t, struct bytes *result, char *reason);
enum blame sign_raw(const uint8_t *content, size_t, const uint8_t *key, size_t,
                    struct bytes *result, char *reason);
""")
builder.set_source(
    "ota.native._crypto",
    Path(__file__).with_name("crypto.c").read_text(encoding="utf-8"),
    libraries=["crypto"],
)
