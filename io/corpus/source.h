/** \file source.h
 *  One corpus file as two streams, and rows taken from them.  For the files of
 *  io/corpus only.  Layer: io.
 *
 *  A stream concatenates the documents of one part, each followed by
 *  end-of-text.  A file with a single document cannot be split by documents:
 *  its last valid_fraction of tokens is the validation part. */
#ifndef RT_SOURCE_H
#define RT_SOURCE_H

#include "io/corpus/corpus.h"
#include "io/corpus/blend.h"
#include "io/corpus/tokfile.h"

/** A contiguous range of tokens of one document. */
typedef struct rt_span {
  int64_t place;     /**< position of its first token in the stream */
  int64_t begin_add; /**< position of its first token in the file, times 4; plus
                        RT_ADD_EOT if an eot is appended, RT_ADD_BOS if a bos is
                        prepended */
} rt_span;

enum { RT_ADD_EOT = 1, RT_ADD_BOS = 2, RT_ADD_ALL = 3, RT_ADD_STEP = 4 };

typedef struct rt_stream {
  rt_span *span; // owned [n_spans + 1]; the last one has place n
  int64_t n_spans;
  int64_t n;      /**< number of tokens, including inserted ones */
  int64_t n_rows; /**< whole rows; each shares one token with the next */
} rt_stream;

typedef struct rt_source {
  rt_tokfile file;
  rt_stream stream[RT_N_PARTS];
} rt_source;

/** Set up both streams of an opened file, the \a i_file-th of the corpus. */
RT_MUST rt_err rt_source_split(rt_source *s, const rt_corpus_spec *spec,
                               int i_file);
void rt_source_clear(rt_source *s);

/** Destination and parameters of a row. */
typedef struct rt_row {
  int64_t seq, vocab, eot, bos;
  bool begins;   /**< with a bos that does not belong to the stream */
  uint32_t *tok; // borrowed [seq + 1]
  int32_t *pos, *doc_start; // borrowed [seq], or NULL
} rt_row;
/** Get row \a i < n_rows of a part. */
RT_MUST rt_err rt_source_row(const rt_source *s, rt_part part, int64_t i,
                             const rt_row *to);

#endif
