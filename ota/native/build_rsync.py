"""Compiles `_rsync`: librsync's jobs, and the callback that reads the base."""

from cffi import FFI

builder = FFI()
builder.cdef("""
typedef struct rs_job rs_job_t;
typedef struct rs_signature rs_signature_t;
typedef struct {
    char *next_in;
    size_t avail_in;
    int eof_in;
    char *next_out;
    size_t avail_out;
    ...;
} rs_buffers_t;
typedef enum { RS_DONE, RS_BLOCKED, ... } rs_result;
typedef enum { RS_RK_BLAKE2_SIG_MAGIC, ... } rs_magic_number;
typedef enum { RS_LOG_EMERG, ... } rs_loglevel;

void rs_trace_set_level(rs_loglevel);
const char *rs_strerror(rs_result);
rs_job_t *rs_sig_begin(size_t block_len, size_t strong_len, rs_magic_number);
rs_job_t *rs_loadsig_begin(rs_signature_t **);
rs_result rs_build_hash_table(rs_signature_t *);
void rs_free_sumset(rs_signature_t *);
rs_job_t *rs_delta_begin(rs_signature_t *);
rs_result rs_job_iter(rs_job_t *, rs_buffers_t *);
rs_result rs_job_free(rs_job_t *);

struct base { int fd; int64_t size; bool passed; int error; };
rs_job_t *patch_begin(struct base *);
""")
builder.set_source(
    "ota.native._rsync",
    """
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>
#include <librsync.h>

struct base {
    int fd;
    int64_t size; /* bytes that belong to the base, whatever follows them in the file */
    bool passed;  /* the delta asked for more than that, or the file is shorter */
    int error;    /* errno of a read that failed */
};

/* In C, so that no exception can happen inside librsync and no Python frame is needed for each copy. */
static rs_result read_base(void *opaque, rs_long_t position, size_t *length, void **space)
{
    struct base *base = opaque;
    size_t done = 0;

    if (position < 0 || position > base->size || *length > (uint64_t)(base->size - position)) {
        base->passed = true;
        return RS_CORRUPT;
    }
    while (done < *length) {
        ssize_t got = pread(base->fd, (char *)*space + done, *length - done, position + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            base->error = errno;
            return RS_IO_ERROR;
        }
        if (got == 0) {
            base->passed = true;
            return RS_CORRUPT;
        }
        done += (size_t)got;
    }
    return RS_DONE;
}

static rs_job_t *patch_begin(struct base *base)
{
    return rs_patch_begin(read_base, base);
}
""",
    libraries=["rsync"],
    define_macros=[("_FILE_OFFSET_BITS", "64")],
)
