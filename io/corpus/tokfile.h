/** \file tokfile.h
 *  One corpus file of any format: tokens, and the documents they form.  For the
 *  files of io/corpus only.  Layer: io.
 *
 *  Megatron: PREFIX.bin contains tokens, PREFIX.idx "MMIDIDX\0\0", u64 version
 *  1, u8 type, u64 number of sequences, u64 number of document marks, i32
 *  lengths[], i64 byte offsets[], i64 marks[] (number of sequences before each
 *  document; the last mark ends the last document).  llm.c: i32 header[256]
 *  (magic, version, tokens), then u16 (20240520) or u32 (20240801) tokens.
 *  Raw: only u16 or u32 tokens.  All little-endian. */
#ifndef RT_TOKFILE_H
#define RT_TOKFILE_H

#include "base/err.h"
#include "base/file.h"

typedef enum rt_tok_type {
  RT_TOK_U8,
  RT_TOK_I8,
  RT_TOK_I16,
  RT_TOK_U16,
  RT_TOK_I32,
  RT_TOK_U32,
  RT_TOK_I64
} rt_tok_type;

typedef struct rt_tokfile {
  char path[RT_PATH_MAX];       /**< of the token file, for messages */
  char index_path[RT_PATH_MAX]; /**< of a Megatron index, otherwise "" */
  const char *format;           /**< "megatron", "llm.c", "u16", "u32" */
  rt_map data, index;           // owned; index is empty except for Megatron
  const unsigned char *tok;     // points into data
  rt_tok_type type;
  int64_t n_tokens, n_docs;
  int64_t *begin; // owned [n_docs + 1]: first token of each document; the last
                  // is n_tokens
} rt_tokfile;

/** Open and check \a name as given in a deck.  Without an index, documents end
 *  at \a eot (a single document if eot is -1).  Documents are never empty:
 *  empty ones of a Megatron index are skipped.  The caller closes, also after
 *  an error. */
RT_MUST rt_err rt_tokfile_open(const char *name, int64_t eot, rt_tokfile *f);
void rt_tokfile_close(rt_tokfile *f);

/** The id at position \a i; may be negative in a damaged file. */
int64_t rt_tokfile_at(const rt_tokfile *f, int64_t i);
/** Copy ids [i, i + n), checking that each is in [0, vocab).
 *  \param[out] to  [n] */
RT_MUST rt_err rt_tokfile_copy(const rt_tokfile *f, int64_t i, int64_t n,
                               int64_t vocab, uint32_t *to);

#endif
