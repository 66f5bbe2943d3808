/* What otakit needs of libarchive: members of an archive that comes through a pipe, counted or written to disk.
 *
 * Formats: tar, cpio, zip; no filter, so that nothing is decompressed here. Names are bytes; where a format says
 * that they are UTF-8, they stay so whatever the locale is.
 */

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdint.h>
#include <archive.h>
#include <archive_entry.h>

#define BLOCK (256 * 1024) /* bytes that are read at a time */

enum outcome { DONE, END, BAD_ARCHIVE, BAD_DISK };

struct walk {
    struct archive *archive;
    struct archive *disk; /* NULL: data are only counted */
    struct archive_entry *entry;
    /* Of the member that is next, until the next one. */
    const char *name; /* NULL where it cannot be told, as the links */
    const char *hard_link;
    const char *symbolic_link;
    uint32_t kind; /* S_IFMT */
    int64_t size;  /* bytes, with holes; 0 where the archive says it only behind the data */
    /* Of all so far. */
    int64_t members;
    int64_t data; /* bytes of files, without holes */
};

/* libarchive turns names into the locale's characters, and refuses those that it has not. */
static locale_t enter_locale(void)
{
    static locale_t utf8;

    if (utf8 == (locale_t)0)
        utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    return uselocale(utf8);
}

static enum outcome walk_open(struct walk *walk, int fd)
{
    struct archive *archive = walk->archive = archive_read_new();

    if (archive == NULL)
        return BAD_DISK;
    archive_read_support_format_tar(archive);
    archive_read_support_format_cpio(archive);
    archive_read_support_format_zip_streamable(archive);
    archive_read_support_format_empty(archive);
    return archive_read_open_fd(archive, fd, BLOCK) == ARCHIVE_OK ? DONE : BAD_ARCHIVE;
}

static enum outcome walk_write_to(struct walk *walk, int flags)
{
    walk->disk = archive_write_disk_new();
    if (walk->disk == NULL || archive_write_disk_set_options(walk->disk, flags) != ARCHIVE_OK)
        return BAD_DISK;
    return DONE;
}

static void describe(struct walk *walk)
{
    walk->name = archive_entry_pathname(walk->entry);
    walk->hard_link = archive_entry_hardlink(walk->entry);
    walk->symbolic_link = archive_entry_symlink(walk->entry);
    walk->kind = archive_entry_filetype(walk->entry);
    walk->size = archive_entry_size(walk->entry);
    walk->members++;
}

/* ARCHIVE_RETRY would go on behind what is damaged. */
static enum outcome walk_next(struct walk *walk)
{
    locale_t before = enter_locale();
    int result = archive_read_next_header(walk->archive, &walk->entry);

    if (result == ARCHIVE_OK || result == ARCHIVE_WARN)
        describe(walk);
    uselocale(before);
    if (result == ARCHIVE_EOF)
        return END;
    return result == ARCHIVE_OK || result == ARCHIVE_WARN ? DONE : BAD_ARCHIVE;
}

static enum outcome pass_data(struct walk *walk)
{
    const void *block;
    size_t size;
    int64_t offset;
    int result;

    while ((result = archive_read_data_block(walk->archive, &block, &size, &offset)) != ARCHIVE_EOF) {
        if (result != ARCHIVE_OK)
            return BAD_ARCHIVE;
        if (walk->disk != NULL && archive_write_data_block(walk->disk, block, size, offset) != ARCHIVE_OK)
            return BAD_DISK;
        walk->data += (int64_t)size;
    }
    return DONE;
}

/* Passes the member that walk_next() found. */
static enum outcome walk_pass(struct walk *walk)
{
    locale_t before = enter_locale();
    enum outcome outcome = DONE;

    if (walk->disk != NULL && archive_write_header(walk->disk, walk->entry) != ARCHIVE_OK)
        outcome = BAD_DISK;
    if (outcome == DONE)
        outcome = pass_data(walk);
    if (outcome == DONE && walk->disk != NULL && archive_write_finish_entry(walk->disk) != ARCHIVE_OK)
        outcome = BAD_DISK;
    uselocale(before);
    return outcome;
}

/* What is left to do at the end: attributes of folders. */
static enum outcome walk_finish(struct walk *walk)
{
    return walk->disk == NULL || archive_write_close(walk->disk) == ARCHIVE_OK ? DONE : BAD_DISK;
}

static void walk_free(struct walk *walk)
{
    archive_read_free(walk->archive);
    archive_write_free(walk->disk);
    walk->archive = walk->disk = NULL;
}
