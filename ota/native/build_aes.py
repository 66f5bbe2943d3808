"""Compiles `_aes`: AES in CBC mode by the system's libcrypto."""

from cffi import FFI

builder = FFI()
builder.cdef("""
typedef ... EVP_CIPHER_CTX;
typedef ... EVP_CIPHER;
typedef ... ENGINE;
EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *);
const EVP_CIPHER *EVP_aes_128_cbc(void);
const EVP_CIPHER *EVP_aes_192_cbc(void);
const EVP_CIPHER *EVP_aes_256_cbc(void);
int EVP_CipherInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, ENGINE *,
                      const uint8_t *key, const uint8_t *iv, int encrypt);
int EVP_CipherUpdate(EVP_CIPHER_CTX *, uint8_t *out, int *size, const uint8_t *in, int);
int EVP_CipherFinal_ex(EVP_CIPHER_CTX *, uint8_t *out, int *size);
void ERR_clear_error(void);
""")
builder.set_source(
    "ota.native._aes",
    "#include <openssl/err.h>\n#include <openssl/evp.h>\n",
    libraries=["crypto"],
)
