/** \file blend.h
 *  The order in which the rows of several files are interleaved.  For the files
 *  of io/corpus only.  Layer: io.
 *
 *  Rows come in patterns of n_slots rows, of which file f has slots[f]; its
 *  k-th slot is at (k + 1/2) / slots[f] of the pattern, ties by file.  So any
 *  run of rows contains each file's share to within a few rows.
 *
 *  By size: slots[f] is the file's number of rows; one pattern is one epoch and
 *  contains each row once.  By weight: 2^20 slots are divided by the
 *  largest-remainder method; a file's rows start again when they are used up,
 *  and an epoch ends when every file has been used completely. */
#ifndef RT_BLEND_H
#define RT_BLEND_H

#include "base/err.h"
#include <stdint.h>

typedef struct rt_blend {
  int n_files;
  int64_t *slots; // owned [n_files]
  int64_t *rows;  // owned [n_files]
  int64_t n_slots;
  int64_t n_rows; /**< of one epoch; 0 if no file has rows */
} rt_blend;

/** \param rows  [n_files] rows of each file
 *  \param weights  [n_files], not negative, or NULL for by size; a file without
 *  rows gets no slot.  The caller clears, also after an error. */
RT_MUST rt_err rt_blend_init(rt_blend *b, int n_files, const int64_t *rows,
                             const double *weights);
void rt_blend_clear(rt_blend *b);
/** Find the file, and the row within it, of row \a row >= 0 of the blend. */
RT_MUST rt_err rt_blend_find(const rt_blend *b, int64_t row, int *i_file,
                             int64_t *file_row);

#endif
