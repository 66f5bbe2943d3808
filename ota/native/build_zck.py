"""Compiles `_zck`: libzck, for tests."""

from cffi import FFI

builder = FFI()
builder.cdef("""
typedef struct zckCtx zckCtx;
typedef struct zckChunk zckChunk;

const char *zck_get_error(zckCtx *);

zckCtx *zck_create(void);
void zck_free(zckCtx **);

bool zck_init_read(zckCtx *, int fd);
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
