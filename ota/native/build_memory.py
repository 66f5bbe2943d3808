"""Compiles `_memory`: one setting of the C library's allocator."""

from cffi import FFI

builder = FFI()
builder.cdef("void share_arena(void);")
builder.set_source(
    "ota.native._memory",
    """
    #include <malloc.h>

    static void share_arena(void)
    {
    #ifdef M_ARENA_MAX  /* of glibc; musl has but one */
        mallopt(M_ARENA_MAX, 1);
    #endif
    }
    """,
)
