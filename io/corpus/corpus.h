/** \file corpus.h
 *  Corpora of token ids: Megatron .bin/.idx, llm.c .bin, raw u16/u32; blended,
 *  split by document, packed into rows of T + 1 tokens.  Layer: io.
 *
 *  A *stream* of one file is its documents of one part (train or validation),
 *  each closed by end-of-text, joined.  Row i of a file is stream positions
 *  [i T, i T + T]; where every row begins with a beginning-of-text token, that
 *  and positions [i (T - 1), i (T - 1) + T - 1].  Row j of the *corpus*
 * interleaves the files' rows by blend weight; it is a function of j alone. All
 * of it is read-only and may be used by several threads.
 *
 *  By size, an epoch has every row once.  By weight, a file's rows start again
 *  when they are used up, and an epoch ends when every file was seen whole.
 *  Files without an index are cut into documents at eot; a file of one document
 *  gives the last valid_fraction of its tokens to validation.  Opening looks at
 *  the last token of every document (it may lack eot). */
#ifndef RT_TOKENS_H
#define RT_TOKENS_H

#include "base/err.h"
#include "base/hash.h"
#include <mpi.h>
#include <stdint.h>

typedef enum rt_part { RT_TRAIN, RT_VALID, RT_N_PARTS } rt_part;

/** Where a beginning-of-text token is put. */
typedef enum rt_bos_at {
  RT_BOS_NOWHERE,
  RT_BOS_DOCUMENTS, /**< before each document that does not begin with it */
  RT_BOS_ROWS,      /**< before each row, which then takes T - 1 tokens of the
                         stream as input */
  RT_N_BOS_AT
} rt_bos_at;
/** As decks and datasets name it; "" for nowhere. */
const char *rt_bos_at_name(rt_bos_at at);
/** RT_N_BOS_AT: none of them. */
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
  double valid_fraction; /**< of documents */
  uint64_t split_seed;
} rt_corpus_spec;

typedef struct rt_corpus rt_corpus;

/** Open and validate (headers, sizes, monotonic pointers; ids are checked row
 *  by row when read and by rt_corpus_check).  Files are mapped, not read. */
RT_MUST rt_err rt_corpus_open(const rt_corpus_spec *spec, rt_corpus **out);
void rt_corpus_close(rt_corpus **c);
/** The same files and blend once more, in rows of \a seq tokens. */
RT_MUST rt_err rt_corpus_reopen(const rt_corpus *c, int64_t seq,
                                rt_corpus **out);
/** As it was opened, but without the names of its files. */
rt_corpus_spec rt_corpus_spec_of(const rt_corpus *c);

/** Rows of one epoch of a part; fewer than one row in the training part is
 *  RT_ERR_DATA at open. */
int64_t rt_corpus_n_rows(const rt_corpus *c, rt_part part);

/** One row.  pos[t] counts from its document's start (or the row's start when
 *  the document began earlier), doc_start[t] is that start's index in the row.
 *  Thread-safe.  \param tok [T + 1]  \param pos, doc_start [T], may be NULL */
RT_MUST rt_err rt_corpus_row(const rt_corpus *c, rt_part part, int64_t row,
                             uint32_t *tok, int32_t *pos, int32_t *doc_start);

/** Which corpus row is the c-th consumed: a permutation per epoch of the first
 *  n rows, a function of (seed, c) only. */
int64_t rt_corpus_order(uint64_t seed, int64_t n_rows, int64_t consumed);

/** SHA-256 over a text, a line for each file in order: the digest
 *  (io/common/digest.h) of its tokens, and of its index ("-": none); then, if
 *  several files are blended by weight, the slots of each (io/corpus/blend.h),
 *  in decimal.  The ranks share the reading.  Collective. */
RT_MUST rt_err rt_corpus_digest(MPI_Comm comm, const rt_corpus *c,
                                char hex[RT_SHA256_HEX]);
/** As datasets of version 3 have it: SHA-256 over u64 size and bytes of every
 *  file and of its index (size 0: none), in order, then the u64 slots.  One
 *  rank, which reads all. */
RT_MUST rt_err rt_corpus_hash(const rt_corpus *c, char hex[RT_SHA256_HEX]);

/** What a person wants to know of one file. */
typedef struct rt_corpus_info {
  const char *path;   /**< of its tokens; borrowed */
  const char *format; /**< "megatron", "llm.c", "u16", "u32" */
  int64_t n_tokens, n_docs;
  int64_t first_id, last_id; /**< of the first document */
  int64_t n_first, n_last;   /**< documents that begin, end with it */
  int64_t n_rows[RT_N_PARTS];
  double weight; /**< normalised */
} rt_corpus_info;
int rt_corpus_n_files(const rt_corpus *c);
/** Files on disk: of each file of the corpus its tokens, and its index. */
int rt_corpus_n_paths(const rt_corpus *c);
/** \a i of these, tokens and index in turn; "" for an index that is not there.
 */
const char *rt_corpus_path(const rt_corpus *c, int i);
rt_corpus_info rt_corpus_file_info(const rt_corpus *c, int i_file);
/** Read every id; RT_ERR_DATA names file, document and position of the first
 *  that is not below vocab. */
RT_MUST rt_err rt_corpus_check(const rt_corpus *c);

#endif
