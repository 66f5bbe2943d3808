"""Compiles `_archive`: archive.c over the system's libarchive."""

from pathlib import Path

from cffi import FFI

builder = FFI()
builder.cdef("""
struct archive;
enum outcome { DONE, END, BAD_ARCHIVE, BAD_DISK };
struct walk {
    struct archive *archive;
    struct archive *disk;
    const char *name;
    const char *hard_link;
    const char *symbolic_link;
    uint32_t kind;
    int64_t size;
    int64_t members;
    int64_t data;
    ...;
};
#define ARCHIVE_EXTRACT_OWNER ...
#define ARCHIVE_EXTRACT_PERM ...
#define ARCHIVE_EXTRACT_TIME ...
#define ARCHIVE_EXTRACT_ACL ...
#define ARCHIVE_EXTRACT_FFLAGS ...
#define ARCHIVE_EXTRACT_XATTR ...
#define ARCHIVE_EXTRACT_SECURE_NODOTDOT ...
#define ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS ...

enum outcome walk_open(struct walk *, int fd);
enum outcome walk_write_to(struct walk *, int flags);
enum outcome walk_next(struct walk *);
enum outcome walk_pass(struct walk *);
enum outcome walk_finish(struct walk *);
void walk_free(struct walk *);

const char *archive_error_string(struct archive *);
int archive_errno(struct archive *);
""")
builder.set_source(
    "ota.native._archive",
    Path(__file__).with_name("archive.c").read_text(encoding="utf-8"),
    libraries=["archive"],
    define_macros=[("_GNU_SOURCE", None), ("_FILE_OFFSET_BITS", "64")],
)
