/** \file corpus_files.h
 *  A small corpus in memory, and its files in every format. */
#ifndef RT_CORPUS_FILES_H
#define RT_CORPUS_FILES_H

#include "base/rng.h"
#include "io/corpus/corpus.h"
#include "support/rt_test_files.h"

enum { MAX_DOCS = 64, MAX_TOKENS = 4096, EOT = 7, VOCAB = 5000 };

typedef struct text {
  int n_docs, length[MAX_DOCS];
  uint32_t tok[MAX_DOCS][64];
} text;

/** Documents of 1..30 ids, some of which end in EOT by themselves. */
void make_text(text *x, int n_docs, uint64_t seed);

typedef struct buffer {
  unsigned char data[1 << 16];
  size_t n;
} buffer;

void add(buffer *b, const void *data, size_t n);

/** A Megatron pair; each document in sequences of at most \a seq ids, and an
 *  empty document after every fifth. */
void make_megatron(const text *x, int code, int seq, buffer *bin, buffer *idx);

void put_megatron(const char *prefix, const text *x, int code, int seq);

/** All ids one after the other as u16 or u32, after an llm.c header or none. */
void make_flat(const text *x, bool wide, bool llmc, buffer *to);

void put_flat(const char *path, const text *x, bool wide, bool llmc);

rt_corpus_spec spec_of(const char *const *files, int n);

#endif
