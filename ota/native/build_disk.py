"""Compiles `_disk`: a system call that Python's `os` lacks."""

from cffi import FFI

builder = FFI()
builder.cdef("int syncfs(int);")
builder.set_source("ota.native._disk", "#define _GNU_SOURCE\n#include <unistd.h>\n")
