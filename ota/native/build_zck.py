"""Compiles `_zck`: libzck, for the build side and for tests."""

from cffi import FFI

builder = FFI()
builder.cdef("""
typedef struct zckCtx zckCtx;
typedef struct zckChunk zckChunk;
typedef enum { ZCK_HASH_SHA256, ... } zck_hash;
typedef enum { ZCK_COMP_ZSTD, ... } zck_comp;
typedef enum { ZCK_HASH_CHUNK_TYPE, ZCK_UNCOMP_HEADER, ZCK_COMP_TYPE, ZCK_ZSTD_COMP_LEVEL, ... } zck_ioption;

const char *zck_get_error(zckCtx *);

zckCtx *zck_create(void);
bool zck_set_ioption(zckCtx *, zck_ioption, ssize_t value);
bool zck_init_write(zckCtx *, int fd);
ssize_t zck_write(zckCtx *, const char *data, const size_t size);
bool zck_close(zckCtx *);
void zck_free(zckCtx **);

bool zck_init_read(zckCtx *, int fd);
ssize_t zck_get_header_length(zckCtx *);
zckChunk *zck_get_first_chunk(zckCtx *);
zckChunk *zck_get_next_chunk(zckChunk *);
ssize_t zck_get_chunk_start(zckChunk *);
ssize_t zck_get_chunk_size(zckChunk *);
ssize_t zck_get_chunk_comp_size(zckChunk *);
char *zck_get_chunk_digest(zckChunk *);
char *zck_get_chunk_digest_uncompressed(zckChunk *);
void free(void *);
""")
builder.set_source(
    "ota.native._zck",
    "#include <stdbool.h>\n#include <stdlib.h>\n#include <zck.h>",
    libraries=["zck"],
)
