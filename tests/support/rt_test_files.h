/** \file rt_test_files.h
 *  What suites about files share: a scratch folder, bytes put quickly (no
 *  flush to disk: some tests write thousands of files), damage. */
#ifndef RT_TEST_FILES_H
#define RT_TEST_FILES_H

#include "support/rt_test.h"

#include "base/file.h"
#include <string.h>

/** A fresh folder; the test removes it with rt_path_remove. */
void rt_scratch(char folder[RT_PATH_MAX]);

/** folder/name, in the caller's storage. */
const char *rt_in(const char *folder, const char *name, char path[RT_PATH_MAX]);

void rt_put_bytes(const char *path, const void *data, size_t n);

void rt_put_text(const char *path, const char *text);

/** The file at \a path read whole with \a read_all, which returns its error:
 *  cut at every length, then with each byte changed by each of \a n_masks
 *  masks.  The file is left as it was. \a data [n] */
void rt_damage(const char *path, const unsigned char *data, size_t n,
               const unsigned char *masks, int n_masks,
               rt_err (*read_all)(const void *self, bool cut),
               const void *self);

#endif
