/** \file test_tokens.c
 *  Corpora: formats, splits, packing against a plain re-implementation, blends,
 *  order, damaged and lying files.
 *  ranks: 1 */
#include "rt_test_files.h"

#include "base/rng.h"
#include "io/tokens.h"

/* ---- a corpus in memory, and its files --------------------------------- */

enum { MAX_DOCS = 64, MAX_TOKENS = 4096, EOT = 7, VOCAB = 5000 };

typedef struct text {
  int n_docs, length[MAX_DOCS];
  uint32_t tok[MAX_DOCS][64];
} text;

/** Documents of 1..30 ids, some of which end in EOT by themselves. */
static void make_text(text *x, int n_docs, uint64_t seed)
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

typedef struct buffer {
  unsigned char data[1 << 16];
  size_t n;
} buffer;

static void add(buffer *b, const void *data, size_t n)
{
  CU_ASSERT_FATAL(b->n + n <= sizeof b->data);
  memcpy(b->data + b->n, data, n);
  b->n += n;
}

static void add_u64(buffer *b, uint64_t v)
{
  add(b, &v, 8);
}

/** A Megatron pair; each document in sequences of at most \a seq ids, and an
 *  empty document after every fifth. */
static void make_megatron(const text *x, int code, int seq, buffer *bin,
                          buffer *idx)
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

static void put_megatron(const char *prefix, const text *x, int code, int seq)
{
  static buffer bin, idx;
  char path[RT_PATH_MAX + 4];
  make_megatron(x, code, seq, &bin, &idx);
  snprintf(path, sizeof path, "%s.bin", prefix);
  rt_put_bytes(path, bin.data, bin.n);
  snprintf(path, sizeof path, "%s.idx", prefix);
  rt_put_bytes(path, idx.data, idx.n);
}

/** All ids one after the other as u16 or u32, after an llm.c header or none. */
static void make_flat(const text *x, bool wide, bool llmc, buffer *to)
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

static void put_flat(const char *path, const text *x, bool wide, bool llmc)
{
  static buffer b;
  make_flat(x, wide, llmc, &b);
  rt_put_bytes(path, b.data, b.n);
}

static rt_corpus_spec spec_of(const char *const *files, int n)
{
  return (rt_corpus_spec){.n_files = n,
                          .files = files,
                          .seq = 8,
                          .vocab = VOCAB,
                          .eot = EOT,
                          .valid_fraction = 0.25,
                          .split_seed = 5};
}

/* ---- rows as one would write them down --------------------------------- */

typedef struct stream {
  int n;
  uint32_t tok[2 * MAX_TOKENS];
  int start[2 * MAX_TOKENS]; /**< where this token's document starts */
} stream;

/** The documents of one part of the \a f-th file of a corpus. */
static void plain_stream(const text *x, const rt_corpus_spec *spec, int f,
                         rt_part part, stream *s)
{
  s->n = 0;
  for (int d = 0; d < x->n_docs; d++) {
    const double u = rt_rng_uniform(spec->split_seed, RT_RNG_SPLIT, (uint64_t)f,
                                    (uint64_t)d);
    if ((u < spec->valid_fraction) != (part == RT_VALID))
      continue;
    const int start = s->n;
    for (int i = 0; i < x->length[d]; i++)
      s->tok[s->n++] = x->tok[d][i];
    if (spec->eot >= 0 && s->tok[s->n - 1] != spec->eot)
      s->tok[s->n++] = (uint32_t)spec->eot;
    for (int i = start; i < s->n; i++)
      s->start[i] = start;
  }
}

/** Rows of a corpus of one file against the plain stream. */
static void check_rows(const rt_corpus *c, const rt_corpus_spec *spec,
                       const text *x, rt_part part)
{
  static stream s;
  uint32_t tok[65];
  int32_t pos[64], doc_start[64];
  const int seq = (int)spec->seq;
  bool ok = true;
  plain_stream(x, spec, 0, part, &s);
  CU_ASSERT_EQUAL(rt_corpus_n_rows(c, part), s.n > 0 ? (s.n - 1) / seq : 0);
  for (int r = 0; r < rt_corpus_n_rows(c, part); r++) {
    memset(tok, 0xee, sizeof tok);
    RT_OKAY(rt_corpus_row(c, part, r, tok, pos, doc_start));
    for (int t = 0; t <= seq; t++)
      ok &= tok[t] == s.tok[r * seq + t];
    for (int t = 0; t < seq; t++) {
      const int start = s.start[r * seq + t] - r * seq;
      ok &= doc_start[t] == (start > 0 ? start : 0);
      ok &= pos[t] == t - doc_start[t];
    }
    memset(pos, 0, sizeof pos);
    RT_OKAY(rt_corpus_row(c, part, r, tok, NULL, NULL));
    RT_OKAY(rt_corpus_row(c, part, r, tok, pos, NULL));
    ok &= pos[seq - 1] == seq - 1 - doc_start[seq - 1];
  }
  CU_ASSERT(ok);
}

static void test_packing(void)
{
  char folder[RT_PATH_MAX], prefix[RT_PATH_MAX];
  text x;
  rt_corpus *c;
  rt_scratch(folder);
  rt_in(folder, "corpus", prefix);
  const char *const files[] = {prefix};
  for (int trial = 0; trial < 40; trial++) {
    rt_corpus_spec spec = spec_of(files, 1);
    make_text(&x, 2 + trial, (uint64_t)trial);
    put_megatron(prefix, &x, trial % 2 == 0 ? 8 : 4, 1 + trial % 7);
    spec.seq = 1 + trial % 13;
    spec.eot = trial % 3 == 0 ? -1 : EOT;
    spec.valid_fraction = 0.1 * (trial % 6);
    spec.split_seed = (uint64_t)trial;
    const rt_err err = rt_corpus_open(&spec, &c);
    if (err == RT_ERR_DATA && trial < 3)
      continue; // by chance all of the few documents are held out
    RT_OKAY(err);
    CU_ASSERT_EQUAL(rt_corpus_file_info(c, 0).n_docs, x.n_docs);
    check_rows(c, &spec, &x, RT_TRAIN);
    check_rows(c, &spec, &x, RT_VALID);
    RT_OKAY(rt_corpus_check(c));
    rt_corpus_close(&c);
    CU_ASSERT_PTR_NULL(c);
  }
  RT_OKAY(rt_path_remove(folder));
}

/** Every type of every format gives the same rows; documents of those without
 *  an index are what eot closes. */
static void test_formats(void)
{
  static const struct {
    const char *name, *given, *format;
    int code;
  } cases[] = {
      {"a", "a", "megatron", 3},      {"b", "b.bin", "megatron", 4},
      {"c", "c.idx", "megatron", 5},  {"d", "d", "megatron", 8},
      {"e.bin", "e.bin", "llm.c", 0}, {"f.bin", "f.bin", "llm.c", 1},
      {"g.u16", "g.u16", "u16", 0},   {"h.u32", "h.u32", "u32", 1},
  };
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], given[RT_PATH_MAX];
  text x;
  rt_corpus *c;
  rt_scratch(folder);
  make_text(&x, 40, 9);
  for (int d = 0; d < x.n_docs - 1; d++)
    x.tok[d][x.length[d] - 1] = EOT;
  x.tok[39][x.length[39] - 1] = 11; // the last need not be closed
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rt_in(folder, cases[i].name, path);
    rt_in(folder, cases[i].given, given);
    if (cases[i].code >= 2)
      put_megatron(path, &x, cases[i].code, 5);
    else
      put_flat(path, &x, cases[i].code == 1, i < 6);
    const char *const files[] = {given};
    const rt_corpus_spec spec = spec_of(files, 1);
    RT_OKAY(rt_corpus_open(&spec, &c));
    CU_ASSERT_STRING_EQUAL(rt_corpus_file_info(c, 0).format, cases[i].format);
    CU_ASSERT_EQUAL(rt_corpus_file_info(c, 0).n_docs, 40);
    check_rows(c, &spec, &x, RT_TRAIN);
    check_rows(c, &spec, &x, RT_VALID);
    rt_corpus_close(&c);
  }
  RT_OKAY(rt_path_remove(folder));
}

/* ---- split ------------------------------------------------------------- */

static void test_every_document_once(void)
{
  char folder[RT_PATH_MAX], prefix[RT_PATH_MAX];
  static text x;
  rt_corpus *c;
  int seen[RT_N_PARTS][MAX_DOCS] = {{0}}, n_valid = 0;
  rt_scratch(folder);
  x.n_docs = MAX_DOCS; // documents [100 + d] and eot: two tokens
  for (int d = 0; d < MAX_DOCS; d++) {
    x.length[d] = 1;
    x.tok[d][0] = 100 + (uint32_t)d;
  }
  put_megatron(rt_in(folder, "p", prefix), &x, 8, 9);
  const char *const files[] = {prefix};
  rt_corpus_spec spec = spec_of(files, 1);
  spec.seq = 1;
  RT_OKAY(rt_corpus_open(&spec, &c));
  for (int p = 0; p < RT_N_PARTS; p++)
    for (int64_t r = 0; r < rt_corpus_n_rows(c, (rt_part)p); r++) {
      uint32_t tok[2];
      RT_OKAY(rt_corpus_row(c, (rt_part)p, r, tok, NULL, NULL));
      if (tok[0] != EOT)
        seen[p][tok[0] - 100]++;
    }
  for (int d = 0; d < MAX_DOCS; d++) {
    CU_ASSERT_EQUAL(seen[RT_TRAIN][d] + seen[RT_VALID][d], 1);
    n_valid += seen[RT_VALID][d];
  }
  CU_ASSERT(n_valid > 5 && n_valid < 30); // 16 expected
  rt_corpus_close(&c);
  RT_OKAY(rt_path_remove(folder));
}

/** A single document: its tail is held out, no eot at the cut. */
static void test_single_document(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  uint16_t ids[101];
  uint32_t tok[11];
  rt_corpus *c;
  rt_scratch(folder);
  for (int i = 0; i < 101; i++)
    ids[i] = (uint16_t)(i + 1000);
  rt_put_bytes(rt_in(folder, "x.u16", path), ids, sizeof ids);
  const char *const files[] = {path};
  rt_corpus_spec spec = spec_of(files, 1);
  spec.seq = 10;
  RT_OKAY(rt_corpus_open(&spec, &c));
  CU_ASSERT_EQUAL(rt_corpus_n_rows(c, RT_TRAIN), 7); // 76 tokens
  CU_ASSERT_EQUAL(rt_corpus_n_rows(c, RT_VALID), 2); // 25 and eot
  RT_OKAY(rt_corpus_row(c, RT_TRAIN, 6, tok, NULL, NULL));
  CU_ASSERT(tok[0] == 1060 && tok[10] == 1070);
  RT_OKAY(rt_corpus_row(c, RT_VALID, 1, tok, NULL, NULL));
  CU_ASSERT(tok[0] == 1086 && tok[10] == 1096);
  rt_corpus_close(&c);
  spec.seq = 4; // 76 tokens: one more, an eot at the cut, would be one more row
  RT_OKAY(rt_corpus_open(&spec, &c));
  CU_ASSERT_EQUAL(rt_corpus_n_rows(c, RT_TRAIN), 18);
  rt_corpus_close(&c);
  spec.seq = 10;
  spec.valid_fraction = 0.0;
  RT_OKAY(rt_corpus_open(&spec, &c));
  CU_ASSERT_EQUAL(rt_corpus_n_rows(c, RT_TRAIN), 10); // 101 and eot
  CU_ASSERT_EQUAL(rt_corpus_n_rows(c, RT_VALID), 0);
  rt_corpus_close(&c);
  RT_OKAY(rt_path_remove(folder));
}

/* ---- blend ------------------------------------------------------------- */

enum { MAX_FILES = 12, ROW_TOKENS = 4 };

typedef struct blend {
  char folder[RT_PATH_MAX], path[MAX_FILES][RT_PATH_MAX];
  const char *files[MAX_FILES];
  int n, rows[MAX_FILES];
} blend;

/** File f holds rows[f] rows; the first token of row r is 1000 f + r. */
static void make_blend(blend *b, int n, const int *rows)
{
  rt_scratch(b->folder);
  b->n = n;
  for (int f = 0; f < n; f++) {
    char name[16];
    uint32_t ids[1000 * ROW_TOKENS + 1];
    for (int i = 0; i <= rows[f] * ROW_TOKENS; i++)
      ids[i] = (uint32_t)(1000 * f + i / ROW_TOKENS);
    snprintf(name, sizeof name, "%d.u32", f);
    rt_put_bytes(rt_in(b->folder, name, b->path[f]), ids,
                 4 * (size_t)(rows[f] * ROW_TOKENS + 1));
    b->files[f] = b->path[f];
    b->rows[f] = rows[f];
  }
}

static rt_corpus *open_blend(const blend *b, const double *weights)
{
  rt_corpus *c;
  const rt_corpus_spec spec = {.n_files = b->n,
                               .files = b->files,
                               .weights = weights,
                               .seq = ROW_TOKENS,
                               .vocab = 1000 * MAX_FILES,
                               .eot = -1};
  RT_OKAY(rt_corpus_open(&spec, &c));
  return c;
}

/** File and row of every corpus row; each file's share of every run from 0 is
 *  right to within half the files and one, and rows come in turn. */
static void check_shares(const blend *b, const rt_corpus *c,
                         int seen[MAX_FILES][1000])
{
  int64_t draws[MAX_FILES] = {0};
  bool in_turn = true;
  double worst = 0.0;
  memset(seen, 0, sizeof(int[MAX_FILES][1000]));
  for (int64_t j = 0; j < rt_corpus_n_rows(c, RT_TRAIN); j++) {
    uint32_t tok[ROW_TOKENS + 1];
    RT_OKAY(rt_corpus_row(c, RT_TRAIN, j, tok, NULL, NULL));
    const int f = (int)tok[0] / 1000, r = (int)tok[0] % 1000;
    in_turn &= r == draws[f]++ % b->rows[f];
    seen[f][r]++;
    for (int g = 0; g < b->n; g++) {
      const double want = (double)(j + 1) * rt_corpus_file_info(c, g).weight;
      const double off = (double)draws[g] - want;
      worst = off > worst ? off : -off > worst ? -off : worst;
    }
  }
  CU_ASSERT(in_turn);
  CU_ASSERT(worst <= 1.0 + 0.5 * b->n);
}

static void test_blend_by_size(void)
{
  static const int rows[][MAX_FILES] = {
      {1},
      {5, 5},
      {7, 1},
      {300, 7, 40},
      {3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3},
      {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 999, 3}};
  static const int n[] = {1, 2, 2, 3, 12, 12};
  static int seen[MAX_FILES][1000];
  blend b;
  for (int i = 0; i < 6; i++) {
    int total = 0;
    bool once = true;
    make_blend(&b, n[i], rows[i]);
    rt_corpus *c = open_blend(&b, NULL);
    check_shares(&b, c, seen);
    for (int f = 0; f < n[i]; f++) {
      total += rows[i][f];
      for (int r = 0; r < rows[i][f]; r++)
        once &= seen[f][r] == 1;
      CU_ASSERT_EQUAL(rt_corpus_file_info(c, f).n_rows[RT_TRAIN], rows[i][f]);
    }
    CU_ASSERT(once);
    CU_ASSERT_EQUAL(rt_corpus_n_rows(c, RT_TRAIN), total);
    rt_corpus_close(&c);
    RT_OKAY(rt_path_remove(b.folder));
  }
}

static void test_blend_by_weight(void)
{
  static const int rows[] = {10, 100, 37};
  static const double weights[][3] = {
      {1, 1, 1}, {0.5, 0.25, 0.25}, {3, 0, 1}, {1e-3, 1, 2}, {20, 30, 0.7}};
  static int seen[MAX_FILES][1000];
  blend b;
  make_blend(&b, 3, rows);
  for (int i = 0; i < 5; i++) {
    rt_corpus *c = open_blend(&b, weights[i]);
    const double sum = weights[i][0] + weights[i][1] + weights[i][2];
    int least = 1 << 30;
    check_shares(&b, c, seen);
    for (int f = 0; f < 3; f++) {
      CU_ASSERT_DOUBLE_EQUAL(rt_corpus_file_info(c, f).weight,
                             weights[i][f] / sum, 1e-6);
      for (int r = 0; r < rows[f] && weights[i][f] > 0; r++)
        least = seen[f][r] < least ? seen[f][r] : least;
      CU_ASSERT(weights[i][f] > 0 || seen[f][0] == 0);
    }
    CU_ASSERT_EQUAL(least, 1); // an epoch sees all, and ends when it has
    rt_corpus_close(&c);
  }
  RT_OKAY(rt_path_remove(b.folder));
}

/** Two parts of several files, split by file and document. */
static void test_parts_of_files(void)
{
  char folder[RT_PATH_MAX], path[2][RT_PATH_MAX];
  static text x[2];
  static stream s;
  rt_corpus *c;
  rt_scratch(folder);
  make_text(&x[0], 50, 1);
  make_text(&x[1], 30, 2);
  put_megatron(rt_in(folder, "0", path[0]), &x[0], 8, 4);
  put_megatron(rt_in(folder, "1", path[1]), &x[1], 4, 4);
  const char *const files[] = {path[0], path[1]};
  const rt_corpus_spec spec = spec_of(files, 2);
  RT_OKAY(rt_corpus_open(&spec, &c));
  CU_ASSERT_EQUAL(rt_corpus_n_files(c), 2);
  for (int p = 0; p < RT_N_PARTS; p++)
    for (int f = 0; f < 2; f++) {
      plain_stream(&x[f], &spec, f, (rt_part)p, &s);
      CU_ASSERT_EQUAL(rt_corpus_file_info(c, f).n_rows[p], (s.n - 1) / 8);
    }
  CU_ASSERT_EQUAL(rt_corpus_n_rows(c, RT_VALID),
                  rt_corpus_file_info(c, 0).n_rows[RT_VALID] +
                      rt_corpus_file_info(c, 1).n_rows[RT_VALID]);
  rt_corpus_close(&c);
  RT_OKAY(rt_path_remove(folder));
}

static void test_order(void)
{
  static const int64_t sizes[] = {1, 2, 3, 17, 64, 1000};
  for (int i = 0; i < 6; i++) {
    const int64_t n = sizes[i];
    int moved = 0, differs = 0;
    for (int64_t epoch = 0; epoch < 3; epoch++) {
      char seen[1000] = {0};
      for (int64_t k = 0; k < n; k++) {
        const int64_t row = rt_corpus_order(3, n, epoch * n + k);
        CU_ASSERT_FATAL(row >= 0 && row < n);
        seen[row]++;
        moved += row != k;
        differs += row != rt_corpus_order(3, n, k);
      }
      for (int64_t k = 0; k < n; k++)
        CU_ASSERT_EQUAL(seen[k], 1);
    }
    CU_ASSERT(n < 17 || moved > 2 * n);
    CU_ASSERT(n < 17 || differs > n);
  }
  CU_ASSERT_NOT_EQUAL(rt_corpus_order(3, 1000, 1), rt_corpus_order(4, 1000, 1));
}

/* ---- bad input --------------------------------------------------------- */

/** Open and read every row of both parts; a file that was only changed, not
 *  cut, may still be a corpus: then every id must be a legal one. */
static rt_err read_everything(const void *name, bool cut)
{
  const char *const files[] = {name};
  rt_corpus *c;
  rt_err err = RT_OK;
  const rt_corpus_spec spec = spec_of(files, 1);
  (void)cut;
  RT_TRY(rt_corpus_open(&spec, &c));
  for (int p = 0; p < RT_N_PARTS; p++)
    for (int64_t r = 0; r < rt_corpus_n_rows(c, (rt_part)p) && err == RT_OK;
         r++) {
      uint32_t tok[9];
      int32_t pos[8], doc_start[8];
      err = rt_corpus_row(c, (rt_part)p, r, tok, pos, doc_start);
      for (int t = 0; t < 9 && err == RT_OK; t++)
        CU_ASSERT_FATAL(tok[t] < VOCAB);
    }
  if (err == RT_OK)
    err = rt_corpus_check(c);
  rt_corpus_close(&c);
  return err;
}

/** A changed file that is still accepted, or cut to nothing left to train on,
 *  is fine for raw ids: nothing in them says how many there should be. */
static rt_err read_raw(const void *name, bool cut)
{
  const rt_err err = read_everything(name, cut);
  return cut && err == RT_OK ? RT_FAIL(RT_ERR_DATA, "cut at a whole id") : err;
}

static void test_damage(void)
{
  static const unsigned char masks[] = {0x01, 0x02, 0x08, 0x40, 0x80, 0xff};
  static buffer bin, idx;
  char folder[RT_PATH_MAX], prefix[RT_PATH_MAX], path[RT_PATH_MAX];
  static text x;
  rt_scratch(folder);
  make_text(&x, 12, 4);
  make_megatron(&x, 4, 6, &bin, &idx);
  rt_put_bytes(rt_in(folder, "p.bin", path), bin.data, bin.n);
  rt_put_bytes(rt_in(folder, "p.idx", path), idx.data, idx.n);
  rt_in(folder, "p", prefix);
  RT_OKAY(read_everything(prefix, false));
  rt_damage(path, idx.data, idx.n, masks, sizeof masks, read_everything,
            prefix);
  rt_damage(rt_in(folder, "p.bin", path), bin.data, bin.n, masks, sizeof masks,
            read_everything, prefix);
  make_flat(&x, true, true, &bin);
  rt_put_bytes(rt_in(folder, "l.bin", path), bin.data, bin.n);
  RT_OKAY(read_everything(path, false));
  rt_damage(path, bin.data, bin.n, masks, sizeof masks, read_everything, path);
  make_flat(&x, false, false, &bin);
  rt_put_bytes(rt_in(folder, "r.u16", path), bin.data, bin.n);
  RT_OKAY(read_everything(path, false));
  rt_damage(path, bin.data, bin.n, masks, sizeof masks, read_raw, path);
  RT_OKAY(rt_path_remove(folder));
}

/** One number of a good index replaced: \a at bytes from its start. */
static void check_lie(const char *folder, const text *x, size_t at,
                      const void *lie, size_t n, const char *part)
{
  static buffer bin, idx;
  char path[RT_PATH_MAX];
  rt_corpus *c;
  make_megatron(x, 4, 1000, &bin, &idx);
  memcpy(idx.data + at, lie, n);
  rt_put_bytes(rt_in(folder, "p.bin", path), bin.data, bin.n);
  rt_put_bytes(rt_in(folder, "p.idx", path), idx.data, idx.n);
  rt_in(folder, "p", path);
  const char *const files[] = {path};
  const rt_corpus_spec spec = spec_of(files, 1);
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, part);
  CU_ASSERT_PTR_NULL(c);
}

static void test_lying_index(void)
{
  static const uint64_t huge[] = {UINT64_MAX, UINT64_C(1) << 61,
                                  UINT64_C(1) << 62, UINT64_MAX / 12 + 2, 5};
  char folder[RT_PATH_MAX];
  static text x;
  rt_scratch(folder);
  make_text(&x, 4, 4); // 4 sequences, 5 marks: header 34, 16, 32, 40 bytes
  const int64_t back = -4, far = INT64_MAX, five = 5, two = 2;
  const int32_t minus = -1, top = INT32_MAX;
  for (int i = 0; i < 5; i++) {
    check_lie(folder, &x, 18, &huge[i], 8, "need");
    if (huge[i] != 5)
      check_lie(folder, &x, 26, &huge[i], 8, "need");
  }
  check_lie(folder, &x, 0, "X", 1, "MMIDIDX");
  check_lie(folder, &x, 9, "\2", 1, "version 2, expected 1");
  check_lie(folder, &x, 17, "\7", 1, "type code 7 is no integer");
  check_lie(folder, &x, 17, "\5", 1, ".idx");
  check_lie(folder, &x, 34, &minus, 4, "sequence 0 has -1");
  check_lie(folder, &x, 34, &top, 4, "truncated");
  check_lie(folder, &x, 34 + 16 + 8, &back, 8, "sequence 1");
  check_lie(folder, &x, 34 + 16 + 8, &far, 8, "sequence 1");
  check_lie(folder, &x, 34 + 48, &two, 8, "mark 0 is 2, expected 0");
  check_lie(folder, &x, 34 + 48 + 8, &far, 8, "mark 1");
  check_lie(folder, &x, 34 + 48 + 8, &back, 8, "mark 1 is -4");
  check_lie(folder, &x, 34 + 48 + 16, &five, 8, "mark 2 is 5");
  check_lie(folder, &x, 34 + 48 + 32, &two, 8, "mark 4 is 2");
  const int64_t three = 3;
  check_lie(folder, &x, 34 + 48 + 32, &three, 8, "last document mark is 3");
  static buffer bin, idx; // bytes after the last mark: modes, or rubbish
  char path[RT_PATH_MAX];
  rt_corpus *c;
  make_megatron(&x, 4, 1000, &bin, &idx);
  add(&idx, "\0\0\0\0", 4);
  rt_put_bytes(rt_in(folder, "p.idx", path), idx.data, idx.n);
  const char *const files[] = {path};
  const rt_corpus_spec spec = spec_of(files, 1);
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "the file has 126");
  RT_OKAY(rt_path_remove(folder));
}

static void test_bad_files(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  const char *files[] = {path};
  rt_corpus *c;
  static text x;
  int32_t header[300] = {20240520, 2, 88};
  rt_scratch(folder);
  make_text(&x, 12, 4);
  const rt_corpus_spec spec = spec_of(files, 1);
  rt_in(folder, "absent", path);
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_NOINPUT, "absent.idx");
  rt_in(folder, "absent.bin", path);
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_NOINPUT, "absent.bin");
  rt_in(folder, "absent.u16", path);
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_NOINPUT, "absent.u16");
  rt_put_text(rt_in(folder, "x.txt", path), "In the beginning");
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, ".u32 (raw ids)");
  rt_put_text(rt_in(folder, "only.bin", path), "abc");
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "no .idx lies beside it");
  rt_put_text(rt_in(folder, "only.idx", path), "abc");
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "MMIDIDX");
  rt_put_text(rt_in(folder, "odd.u16", path), "abc");
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "no multiple of 2");
  rt_put_text(rt_in(folder, "empty.u32", path), "");
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "holds no tokens");
  uint32_t wide[100]; // as a user may name it
  for (uint32_t i = 0; i < 100; i++)
    wide[i] = 10 + i;
  rt_put_bytes(rt_in(folder, "wide.u16", path), wide, sizeof wide);
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "name the file *.u32");
  rt_put_text(rt_in(folder, "small.u32", path), "abcd");
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "fewer than one row of 9");
  rt_in(folder, "l.bin", path);
  rt_put_bytes(path, header, sizeof header);
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "version 2, expected 1");
  header[1] = 1;
  header[2] = 89;
  rt_put_bytes(path, header, sizeof header);
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA,
           "header says 89 tokens, the file has 88");
  header[2] = 87;
  rt_put_bytes(path, header, sizeof header);
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "header says 87 tokens");
  RT_OKAY(rt_path_remove(folder));
}

/** The first bad id is named, with file, document and place. */
static void test_bad_ids(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  rt_corpus *c;
  static text x;
  uint32_t tok[9];
  static buffer bin, idx;
  rt_scratch(folder);
  make_text(&x, 12, 4);
  x.length[1] = 9;
  x.tok[1][5] = VOCAB;
  put_megatron(rt_in(folder, "p", path), &x, 8, 100);
  const char *const files[] = {path};
  rt_corpus_spec spec = spec_of(files, 1);
  spec.valid_fraction = 0.0;
  RT_OKAY(rt_corpus_open(&spec, &c));
  RT_FAILS(rt_corpus_check(c), RT_ERR_DATA, "id 5000 at token");
  RT_FAILS(rt_corpus_check(c), RT_ERR_DATA, "(document 1, its token 5)");
  RT_FAILS(rt_corpus_check(c), RT_ERR_DATA, "p.bin");
  const int64_t row =
      (x.length[0] + (x.tok[0][x.length[0] - 1] != EOT) + 5) / 8;
  RT_FAILS(rt_corpus_row(c, RT_TRAIN, row, tok, NULL, NULL), RT_ERR_DATA,
           "(document 1, its token 5)");
  RT_FAILS(rt_corpus_row(c, RT_TRAIN, -1, tok, NULL, NULL), RT_ERR_INTERNAL,
           "row -1");
  rt_corpus_close(&c);
  x.tok[1][5] = 12;
  make_megatron(&x, 4, 100, &bin, &idx); // a negative i32
  memset(bin.data + 4 * x.length[0], 0xff, 4);
  rt_put_bytes(rt_in(folder, "q.bin", path), bin.data, bin.n);
  rt_put_bytes(rt_in(folder, "q.idx", path), idx.data, idx.n);
  RT_OKAY(rt_corpus_open(&spec, &c));
  RT_FAILS(rt_corpus_check(c), RT_ERR_DATA, "id -1 at token");
  rt_corpus_close(&c);
  RT_OKAY(rt_path_remove(folder));
}

static void test_bad_spec(void)
{
  static const int rows[] = {5, 5};
  double weights[] = {1.0, 1.0};
  blend b;
  rt_corpus *c;
  make_blend(&b, 2, rows);
  const rt_corpus_spec good = {.n_files = 2,
                               .files = b.files,
                               .weights = weights,
                               .seq = 4,
                               .vocab = 2000,
                               .eot = -1};
  rt_corpus_spec spec = good;
  RT_OKAY(rt_corpus_open(&spec, &c));
  rt_corpus_close(&c);
  spec.n_files = 0;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_CONFIG, "data.files is empty");
  spec = good, spec.seq = 0;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_CONFIG, "data.seq is 0");
  spec = good, spec.eot = 2000;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_CONFIG, "data.eot is 2000");
  spec = good, spec.vocab = 0;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_CONFIG, "vocabulary of 0");
  spec = good, spec.valid_fraction = 1.0;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_CONFIG, "valid_fraction is 1");
  spec = good, spec.seq = 100;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "fewer than one row of 101");
  spec.weights = NULL;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "and the others");
  spec = good, weights[1] = -1.0;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_CONFIG, "-1 of");
  weights[1] = 1e-9;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_CONFIG, "less than 2^-20");
  weights[0] = weights[1] = 0.0;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_CONFIG, "add up to 0");
  RT_OKAY(rt_path_remove(b.folder));
}

static void test_hash(void)
{
  char folder[RT_PATH_MAX], path[2][RT_PATH_MAX];
  char hex[RT_SHA256_HEX], want[RT_SHA256_HEX];
  static buffer bin, idx, raw;
  static text x;
  rt_corpus *c;
  rt_sha256 *h;
  rt_scratch(folder);
  make_text(&x, 20, 4);
  make_megatron(&x, 8, 9, &bin, &idx);
  put_megatron(rt_in(folder, "p", path[0]), &x, 8, 9);
  make_flat(&x, false, false, &raw);
  put_flat(rt_in(folder, "r.u16", path[1]), &x, false, false);
  const char *const files[] = {path[0], path[1]};
  const rt_corpus_spec spec = spec_of(files, 2);
  RT_OKAY(rt_corpus_open(&spec, &c));
  RT_OKAY(rt_sha256_create(&h));
  rt_sha256_update(h, bin.data, bin.n);
  rt_sha256_update(h, idx.data, idx.n);
  rt_sha256_update(h, raw.data, raw.n);
  rt_sha256_finish(&h, want);
  RT_OKAY(rt_corpus_hash(c, hex));
  CU_ASSERT_STRING_EQUAL(hex, want);
  rt_corpus_close(&c);
  RT_OKAY(rt_path_remove(folder));
}

RT_TEST_MAIN("tokens", {"rows as written down plainly", test_packing},
             {"every format", test_formats},
             {"every document in exactly one part", test_every_document_once},
             {"a single document", test_single_document},
             {"blend by size", test_blend_by_size},
             {"blend by weight", test_blend_by_weight},
             {"parts of several files", test_parts_of_files},
             {"order is a permutation", test_order},
             {"every cut, flips of every byte", test_damage},
             {"lying index", test_lying_index}, {"bad files", test_bad_files},
             {"bad ids", test_bad_ids}, {"bad spec", test_bad_spec},
             {"hash of all bytes", test_hash})
