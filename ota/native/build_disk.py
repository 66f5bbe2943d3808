"""Compiles `_disk`: system calls that Python's `os` lacks."""

from cffi import FFI

builder = FFI()
builder.cdef("int syncfs(int); int unshare(int); static const int CLONE_FS;")
builder.set_source("ota.native._disk", "#define _GNU_SOURCE\n#include <sched.h>\n#include <unistd.h>\n")
