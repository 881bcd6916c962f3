/** \file file.h
 *  Files and folders.  Every error message names the path and the system's
 *  reason.  Layer: base. */
#ifndef RT_FILE_H
#define RT_FILE_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/** Longest path that Retort accepts, including the terminating 0. */
#define RT_PATH_MAX 4096

/** Join with a "/"; RT_ERR_CONFIG if the result is too long. */
RT_MUST rt_err rt_path_join(char out[RT_PATH_MAX], const char *folder,
                            const char *name);
/** Does anything of that name exist, including a device or a dangling link? */
bool rt_path_exists(const char *path);
bool rt_file_exists(const char *path);
bool rt_folder_exists(const char *path);
RT_MUST rt_err rt_file_size(const char *path, int64_t *bytes);
/** The same of the open file \a fd, called \a path. */
RT_MUST rt_err rt_file_size_of(int fd, const char *path, int64_t *bytes);

/** Open a regular file for reading.  Anything else is RT_ERR_NOINPUT; opening a
 *  pipe could block. */
RT_MUST rt_err rt_file_open(const char *path, int *fd);
/** Read a whole regular file of at most \a max_bytes, 0-terminated; the caller
 *  frees it. */
RT_MUST rt_err rt_file_slurp(const char *path, size_t max_bytes, char **text,
                             size_t *n);
/** The same for a file that may also be a pipe, i.e. one that the user names
 *  and that is read once. */
RT_MUST rt_err rt_file_slurp_pipe(const char *path, size_t max_bytes,
                                  char **text, size_t *n);
/** Read exactly \a n bytes at \a offset of an open file; fewer bytes are
 *  RT_ERR_DATA ("truncated").  \a path is used in messages. */
RT_MUST rt_err rt_file_read_at(int fd, const char *path, void *to, size_t n,
                               int64_t offset);

/** Open for writing with the given \a flags of open(). */
RT_MUST rt_err rt_file_open_output(const char *path, int flags, int *fd);
/** Write exactly \a n bytes, continuing after interrupted and short writes.
 *  The messages of this function and of the next two state the space needed and
 *  the space free; \a path is used in messages. */
RT_MUST rt_err rt_file_write_at(int fd, const char *path, const void *from,
                                size_t n, int64_t offset);
/** ftruncate. */
RT_MUST rt_err rt_file_cut(int fd, const char *path, int64_t bytes);
/** fsync. */
RT_MUST rt_err rt_file_flush(int fd, const char *path);
/** Close a written file, checking errors: NFS may report a full disk only here.
 */
RT_MUST rt_err rt_file_close(int fd, const char *path);

/** A read-only mapping of a whole file. */
typedef struct rt_map {
  const unsigned char *data; // [bytes], NULL for an empty file
  size_t bytes;
} rt_map;
RT_MUST rt_err rt_map_open(const char *path, rt_map *out);
void rt_map_close(rt_map *map);

/** mkdir -p. */
RT_MUST rt_err rt_folder_create(const char *path);
/** Remove a file, or a folder with its contents.  Not an error if absent. */
RT_MUST rt_err rt_path_remove(const char *path);
/** fsync a file or folder by name. */
RT_MUST rt_err rt_path_sync(const char *path);

/** Drafts: files and folders are written as PATH.tmp.HOST.PID and renamed when
 *  all of their data is on disk.  No two processes use the same draft name, so
 *  none can write, rename or remove a draft of another.  This function gives
 *  this process's draft name for \a path. */
RT_MUST rt_err rt_path_draft(char draft[RT_PATH_MAX], const char *path);
/** Rename \a draft to \a path, replacing it, and sync both to disk. */
RT_MUST rt_err rt_path_publish(const char *draft, const char *path);
/** Publish the draft if \a err is RT_OK.  Otherwise, or if that fails, remove
 *  the draft (a file, or a folder with its contents).  Returns the first error.
 */
RT_MUST rt_err rt_path_conclude(rt_err err, const char *draft,
                                const char *path);

/** Write a small file, replacing an existing one. */
RT_MUST rt_err rt_file_put(const char *path, const void *data, size_t n);
/** Copy a file. */
RT_MUST rt_err rt_file_copy(const char *from, const char *to);

/** Bytes available to this user on the file system of \a folder. */
RT_MUST rt_err rt_disk_free(const char *folder, int64_t *bytes);
/** Add to the text of an I/O error how much space \a what needs in \a folder,
 * and how much is free there.  Returns \a err, which may be any. */
RT_MUST rt_err rt_disk_needs(rt_err err, const char *folder, const char *what,
                             int64_t bytes);
/** Largest file that this process may write (ulimit -f); INT64_MAX if
 *  unlimited. */
int64_t rt_file_most_bytes(void);
/** Describe in \a text [160] why a write failed: the system's reason, and the
 *  file size limit if that is the cause.  \a reason 0: only the limit, or "".
 */
const char *rt_write_reason(int reason, char *text);

#endif
