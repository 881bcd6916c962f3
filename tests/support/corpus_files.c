/** \file corpus_files.c */
#include "support/corpus_files.h"

void make_text(text *x, int n_docs, uint64_t seed)
{
  x->n_docs = n_docs;
  for (int d = 0; d < n_docs; d++) {
    uint32_t r[4];
    rt_rng_bits(seed, RT_RNG_TEST, (uint64_t)d, 0, r);
    x->length[d] = 1 + (int)(r[0] % 30);
    for (int i = 0; i < x->length[d]; i++)
      x->tok[d][i] = 10 + (uint32_t)((d * 64 + i) % (VOCAB - 10));
    if (r[1] % 3 == 0)
      x->tok[d][x->length[d] - 1] = EOT;
  }
}

/** Bytes of an id by Megatron's type code. */
static size_t put_id(unsigned char *to, int code, uint32_t id)
{
  const int64_t wide = id;
  const size_t size = code == 8 || code == 3 ? 2 : code == 4 ? 4 : 8;
  memcpy(to, &wide, size); // little-endian
  return size;
}

void add(buffer *b, const void *data, size_t n)
{
  CU_ASSERT_FATAL(b->n + n <= sizeof b->data);
  memcpy(b->data + b->n, data, n);
  b->n += n;
}

static void add_u64(buffer *b, uint64_t v)
{
  add(b, &v, 8);
}

void make_megatron(const text *x, int code, int seq, buffer *bin, buffer *idx)
{
  int32_t lengths[MAX_TOKENS];
  int64_t offsets[MAX_TOKENS], marks[2 * MAX_DOCS + 1];
  int n_seqs = 0, n_marks = 0;
  bin->n = idx->n = 0;
  marks[n_marks++] = 0;
  for (int d = 0; d < x->n_docs; d++) {
    for (int i = 0; i < x->length[d]; i++) {
      unsigned char id[8];
      const size_t size = put_id(id, code, x->tok[d][i]);
      if (i % seq == 0) {
        lengths[n_seqs] = 0;
        offsets[n_seqs++] = (int64_t)bin->n;
      }
      lengths[n_seqs - 1]++;
      add(bin, id, size);
    }
    marks[n_marks++] = n_seqs;
    if (d % 5 == 4)
      marks[n_marks++] = n_seqs;
  }
  const unsigned char type = (unsigned char)code;
  add(idx, "MMIDIDX\0", 9);
  add_u64(idx, 1);
  add(idx, &type, 1);
  add_u64(idx, (uint64_t)n_seqs);
  add_u64(idx, (uint64_t)n_marks);
  add(idx, lengths, (size_t)n_seqs * 4);
  add(idx, offsets, (size_t)n_seqs * 8);
  add(idx, marks, (size_t)n_marks * 8);
}

void put_megatron(const char *prefix, const text *x, int code, int seq)
{
  static buffer bin, idx;
  char path[RT_PATH_MAX + 4];
  make_megatron(x, code, seq, &bin, &idx);
  snprintf(path, sizeof path, "%s.bin", prefix);
  rt_put_bytes(path, bin.data, bin.n);
  snprintf(path, sizeof path, "%s.idx", prefix);
  rt_put_bytes(path, idx.data, idx.n);
}

void make_flat(const text *x, bool wide, bool llmc, buffer *to)
{
  int32_t header[256] = {0};
  to->n = 0;
  for (int d = 0; d < x->n_docs; d++)
    header[2] += x->length[d];
  header[0] = wide ? 20240801 : 20240520;
  header[1] = wide ? 7 : 1;
  if (llmc)
    add(to, header, sizeof header);
  for (int d = 0; d < x->n_docs; d++)
    for (int i = 0; i < x->length[d]; i++)
      add(to, &x->tok[d][i], wide ? 4 : 2);
}

void put_flat(const char *path, const text *x, bool wide, bool llmc)
{
  static buffer b;
  make_flat(x, wide, llmc, &b);
  rt_put_bytes(path, b.data, b.n);
}

rt_corpus_spec spec_of(const char *const *files, int n)
{
  return (rt_corpus_spec){.n_files = n,
                          .files = files,
                          .seq = 8,
                          .vocab = VOCAB,
                          .eot = EOT,
                          .valid_fraction = 0.25,
                          .split_seed = 5};
}
