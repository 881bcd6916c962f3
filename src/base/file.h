/** \file file.h
 *  Files as the outside world gives them.  Layer: base.  Every error names the
 *  path and the system's reason. */
#ifndef RT_FILE_H
#define RT_FILE_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/** Longest path that retort takes. */
#define RT_PATH_MAX 4096

/** Join with a "/"; RT_ERR_CONFIG when it does not fit. */
RT_MUST rt_err rt_path_join(char out[RT_PATH_MAX], const char *folder,
                            const char *name);
/** Anything of that name, also a device or a link to nothing. */
bool rt_path_exists(const char *path);
bool rt_file_exists(const char *path);
bool rt_folder_exists(const char *path);
RT_MUST rt_err rt_file_size(const char *path, int64_t *bytes);
/** The same of the open file \a fd, called \a path. */
RT_MUST rt_err rt_file_size_of(int fd, const char *path, int64_t *bytes);

/** Open a regular file for reading: anything else is RT_ERR_NOINPUT, for a pipe
 *  would be waited for. */
RT_MUST rt_err rt_file_open(const char *path, int *fd);
/** A whole regular file, at most \a max_bytes, 0-terminated; the caller frees.
 */
RT_MUST rt_err rt_file_slurp(const char *path, size_t max_bytes, char **text,
                             size_t *n);
/** The same of what may be a pipe: what a user names to be read once. */
RT_MUST rt_err rt_file_slurp_pipe(const char *path, size_t max_bytes,
                                  char **text, size_t *n);
/** Read exactly \a n bytes at \a offset of an open file; short = RT_ERR_DATA
 *  "truncated".  \a path is for the message. */
RT_MUST rt_err rt_file_read_at(int fd, const char *path, void *to, size_t n,
                               int64_t offset);

/** Open for writing with open()'s \a flags. */
RT_MUST rt_err rt_file_open_output(const char *path, int flags, int *fd);
/** Write exactly \a n bytes, however often the system stops on the way.  It and
 *  the next two say what is needed and free; \a path is for the message. */
RT_MUST rt_err rt_file_write_at(int fd, const char *path, const void *from,
                                size_t n, int64_t offset);
/** ftruncate. */
RT_MUST rt_err rt_file_cut(int fd, const char *path, int64_t bytes);
/** fsync. */
RT_MUST rt_err rt_file_flush(int fd, const char *path);
/** Close what was written: NFS tells of a full disk here. */
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
/** Remove a file or a folder with all in it; absent is fine. */
RT_MUST rt_err rt_path_remove(const char *path);
/** fsync a file or folder by name. */
RT_MUST rt_err rt_path_sync(const char *path);
/** --- files and folders that bear their name when all of them is on disk ---
 */

/** Until then they are drafts, PATH.tmp.HOST.PID: no two processes have the
 *  same one, so that none writes, renames or removes another's.  This is the
 *  name of this process's draft of \a path. */
RT_MUST rt_err rt_path_draft(char draft[RT_PATH_MAX], const char *path);
/** Rename \a draft to \a path, which it replaces: both are on disk. */
RT_MUST rt_err rt_path_publish(const char *draft, const char *path);
/** Publish when \a err is RT_OK; else, or when that fails, remove the draft (a
 *  file, or a folder with all in it).  The first error, its text kept. */
RT_MUST rt_err rt_path_conclude(rt_err err, const char *draft,
                                const char *path);

/** Write a small file, or replace it. */
RT_MUST rt_err rt_file_put(const char *path, const void *data, size_t n);
/** Copy a file. */
RT_MUST rt_err rt_file_copy(const char *from, const char *to);

/** Free bytes for us on the file system of \a folder. */
RT_MUST rt_err rt_disk_free(const char *folder, int64_t *bytes);
/** Largest file that this process may write (ulimit -f); INT64_MAX: any. */
int64_t rt_file_most_bytes(void);
/** Why a write failed, in \a text [160]: the system's reason, and where it is a
 *  file's size that limit.  \a reason 0: the limit alone, "" without one. */
const char *rt_write_reason(int reason, char *text);

#endif
