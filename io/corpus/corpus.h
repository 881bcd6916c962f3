/** \file corpus.h
 *  Corpora of token ids: Megatron .bin/.idx, llm.c .bin, raw u16/u32; blended,
 *  split by document, packed into rows of T + 1 tokens.  Layer: io.
 *
 *  The *stream* of a file is the concatenation of its documents of one part
 *  (train or validation), each followed by end-of-text.  Row i of a file is
 *  stream positions [i T, i T + T]; if every row begins with a
 *  beginning-of-text token, it is that token and positions [i (T - 1), i (T -
 *  1) + T - 1].  Row j of the *corpus* interleaves the files' rows by blend
 *  weight; it is a function of j only.  Everything is read-only and may be used
 *  by several threads.
 *
 *  By size, an epoch contains every row once.  By weight, a file's rows start
 *  again when they are used up, and an epoch ends when every file has been used
 *  completely.  Files without an index are divided into documents at eot; a
 *  file with a single document gives the last valid_fraction of its tokens to
 *  validation.  Opening examines the last token of every document (it may lack
 *  eot). */
#ifndef RT_CORPUS_H
#define RT_CORPUS_H

#include "base/err.h"
#include "base/hash.h"
#include <mpi.h>
#include <stdint.h>

typedef enum rt_part { RT_TRAIN, RT_VALID, RT_N_PARTS } rt_part;

/** Where beginning-of-text tokens are inserted. */
typedef enum rt_bos_at {
  RT_BOS_NOWHERE,
  RT_BOS_DOCUMENTS, /**< before each document that does not begin with one */
  RT_BOS_ROWS, /**< before each row, which then takes T - 1 tokens of the stream
                  as input */
  RT_N_BOS_AT
} rt_bos_at;
/** Name in decks and datasets; "" for nowhere. */
const char *rt_bos_at_name(rt_bos_at at);
/** The value of a name; RT_N_BOS_AT if unknown. */
rt_bos_at rt_bos_at_parse(const char *name);

typedef struct rt_corpus_spec {
  int n_files;
  const char *const *files;
  const double *weights; /**< [n_files], or NULL: by size */
  int64_t seq;           /**< T */
  int64_t vocab;         /**< ids must be below this */
  int64_t eot;           /**< -1: none */
  rt_bos_at bos_at;
  int64_t bos;           /**< its id, unless nowhere */
  double valid_fraction; /**< fraction of documents */
  uint64_t split_seed;
} rt_corpus_spec;

typedef struct rt_corpus rt_corpus;

/** Open and validate (headers, sizes, monotonic pointers; ids are checked when
 *  rows are read, and by rt_corpus_check).  Files are mapped, not read. */
RT_MUST rt_err rt_corpus_open(const rt_corpus_spec *spec, rt_corpus **out);
void rt_corpus_close(rt_corpus **c);
/** Open the same files and blend with rows of \a seq tokens. */
RT_MUST rt_err rt_corpus_reopen(const rt_corpus *c, int64_t seq,
                                rt_corpus **out);
/** The spec with which it was opened, without the names of its files. */
rt_corpus_spec rt_corpus_spec_of(const rt_corpus *c);

/** Number of rows of one epoch of a part.  Fewer than one row of training is
 *  RT_ERR_DATA on opening. */
int64_t rt_corpus_n_rows(const rt_corpus *c, rt_part part);

/** Get one row.  pos[t] counts from the start of its document (or of the row,
 *  if the document began earlier); doc_start[t] is the index of that start in
 *  the row.  Thread-safe.
 *  \param tok  [T + 1]
 *  \param pos, doc_start  [T], may be NULL */
RT_MUST rt_err rt_corpus_row(const rt_corpus *c, rt_part part, int64_t row,
                             uint32_t *tok, int32_t *pos, int32_t *doc_start);

/** The corpus row that is consumed c-th: a permutation per epoch of the first n
 *  rows, a function of (seed, c) only. */
int64_t rt_corpus_order(uint64_t seed, int64_t n_rows, int64_t consumed);

/** SHA-256 over a text with one line per file, in order: the digest
 *  (io/common/digest.h) of its tokens, and of its index ("-": none); then, if
 *  several files are blended by weight, the slots of each (io/corpus/blend.h),
 *  in decimal.  The ranks divide the reading.  Collective. */
RT_MUST rt_err rt_corpus_digest(MPI_Comm comm, const rt_corpus *c,
                                char hex[RT_SHA256_HEX]);
/** The hash in datasets of version 3: SHA-256 over u64 size and bytes of every
 *  file and of its index (size 0: none), in order, then the u64 slots.  Called
 *  on one rank, which reads everything. */
RT_MUST rt_err rt_corpus_hash(const rt_corpus *c, char hex[RT_SHA256_HEX]);

/** Summary of one file. */
typedef struct rt_corpus_info {
  const char *path;   /**< of the token file; borrowed */
  const char *format; /**< "megatron", "llm.c", "u16", "u32" */
  int64_t n_tokens, n_docs;
  int64_t first_id, last_id; /**< first and last token of the first document */
  int64_t n_first,
      n_last; /**< number of documents that begin, and end, with them */
  int64_t n_rows[RT_N_PARTS];
  double weight; /**< normalised */
} rt_corpus_info;
int rt_corpus_n_files(const rt_corpus *c);
/** Number of files on disk: token file and index of each file of the corpus. */
int rt_corpus_n_paths(const rt_corpus *c);
/** File \a i of these, tokens and index alternating; "" for a missing index. */
const char *rt_corpus_path(const rt_corpus *c, int i);
rt_corpus_info rt_corpus_file_info(const rt_corpus *c, int i_file);
/** Read every id; RT_ERR_DATA names file, document and position of the first id
 *  that is not below vocab. */
RT_MUST rt_err rt_corpus_check(const rt_corpus *c);

#endif
