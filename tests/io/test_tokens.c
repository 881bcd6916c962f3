/** \file test_tokens.c
 *  Corpora: formats, splits, packing against a plain re-implementation, blends,
 *  order.
 *  ranks: 1 */
#include "support/corpus_files.h"

#include "ranks/agree.h"

#include <unistd.h>

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
    if (spec->bos_at == RT_BOS_DOCUMENTS && x->tok[d][0] != spec->bos)
      s->tok[s->n++] = (uint32_t)spec->bos;
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
  const int seq = (int)spec->seq, own = spec->bos_at == RT_BOS_ROWS;
  const int stride = seq - own;
  bool ok = true;
  plain_stream(x, spec, 0, part, &s);
  CU_ASSERT_EQUAL(rt_corpus_n_rows(c, part), s.n > 0 ? (s.n - 1) / stride : 0);
  for (int r = 0; r < rt_corpus_n_rows(c, part); r++) {
    memset(tok, 0xee, sizeof tok);
    RT_OKAY(rt_corpus_row(c, part, r, tok, pos, doc_start));
    ok &= own == 0 || tok[0] == spec->bos;
    for (int t = own; t <= seq; t++)
      ok &= tok[t] == s.tok[r * stride + t - own];
    ok &= seq == 64 || tok[seq + 1] == 0xeeeeeeee; // not one more
    for (int t = 0; t < seq; t++) {
      const int at = t > own ? t - own : 0; // the row's bos joins what follows
      const int start = s.start[r * stride + at] - r * stride;
      ok &= doc_start[t] == (start > 0 ? start + own : 0);
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
    spec.bos_at = (rt_bos_at)(trial / 2 % RT_N_BOS_AT);
    spec.bos = 9;
    for (int d = 0; d < x.n_docs; d += 3) // some have it, some nothing else
      x.tok[d][0] = 9;
    put_megatron(prefix, &x, trial % 2 == 0 ? 8 : 4, 1 + trial % 7);
    spec.seq = 1 + (spec.bos_at == RT_BOS_ROWS) + trial % 13;
    spec.eot = trial % 3 == 0 ? -1 : EOT;
    spec.valid_fraction = 0.1 * (trial % 6);
    spec.split_seed = (uint64_t)trial;
    const rt_err err = rt_corpus_open(&spec, &c);
    if (err == RT_ERR_DATA && trial < 3)
      continue; // by chance all of the few documents are held out
    RT_OKAY(err);
    const rt_corpus_info info = rt_corpus_file_info(c, 0);
    CU_ASSERT_EQUAL(info.n_docs, x.n_docs);
    CU_ASSERT_EQUAL(info.first_id, 9);
    CU_ASSERT_EQUAL(info.n_first, (x.n_docs + 2) / 3);
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

/** The same files, blend and split in rows of another length. */
static void test_reopen(void)
{
  static const int rows[] = {10, 100, 37};
  static const double weights[] = {0.5, 0.2, 0.3};
  uint32_t a[65], b[65];
  char hex[2][RT_SHA256_HEX];
  blend x;
  rt_corpus *again, *back;
  make_blend(&x, 3, rows);
  rt_corpus *c = open_blend(&x, weights);
  const int64_t seq = rt_corpus_spec_of(c).seq;
  RT_OKAY(rt_corpus_reopen(c, 2 * seq, &again));
  RT_OKAY(rt_corpus_reopen(again, seq, &back));
  CU_ASSERT_EQUAL(rt_corpus_spec_of(again).seq, 2 * seq);
  CU_ASSERT_EQUAL(rt_corpus_n_rows(back, RT_TRAIN),
                  rt_corpus_n_rows(c, RT_TRAIN));
  CU_ASSERT(rt_corpus_n_rows(again, RT_TRAIN) < rt_corpus_n_rows(c, RT_TRAIN));
  for (int64_t r = 0; r < rt_corpus_n_rows(c, RT_TRAIN); r++) {
    RT_OKAY(rt_corpus_row(c, RT_TRAIN, r, a, NULL, NULL));
    RT_OKAY(rt_corpus_row(back, RT_TRAIN, r, b, NULL, NULL));
    CU_ASSERT_EQUAL(memcmp(a, b, (size_t)(seq + 1) * sizeof *a), 0);
  }
  RT_OKAY(rt_corpus_hash(c, hex[0]));
  RT_OKAY(rt_corpus_hash(back, hex[1]));
  CU_ASSERT_STRING_EQUAL(hex[0], hex[1]);
  rt_corpus_close(&again);
  RT_FAILS(rt_corpus_reopen(c, 0, &again), RT_ERR_CONFIG, "data.seq is 0");
  rt_corpus_close(&back);
  rt_corpus_close(&c);
  RT_OKAY(rt_path_remove(x.folder));
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
  spec = good, spec.bos_at = RT_BOS_ROWS, spec.bos = 2000;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_CONFIG, "data.bos is 2000");
  spec.bos = 5, spec.seq = 1;
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_CONFIG, "expected at least 2");
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

/** Weights change the hash; the same shares in other numbers do not. */
static void check_weights_in_hash(rt_corpus_spec spec, const char *by_size)
{
  const double weights[][2] = {{1, 3}, {2, 6}, {3, 1}};
  char hex[3][RT_SHA256_HEX];
  for (int i = 0; i < 3; i++) {
    rt_corpus *c;
    spec.weights = weights[i];
    RT_OKAY(rt_corpus_open(&spec, &c));
    RT_OKAY(rt_corpus_hash(c, hex[i]));
    rt_corpus_close(&c);
  }
  CU_ASSERT_STRING_EQUAL(hex[0], hex[1]);
  CU_ASSERT_STRING_NOT_EQUAL(hex[0], hex[2]);
  CU_ASSERT_STRING_NOT_EQUAL(hex[0], by_size);
}

/** Opening and hashing read a whole file, each piece with a sign of life: of a
 *  large file also where no document ends. */
static void test_signs(void)
{
  enum { BYTES = 40 << 20, PIECE = 4 << 20 };
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], hex[RT_SHA256_HEX];
  rt_corpus *c;
  rt_scratch(folder);
  rt_in(folder, "zeros.u16", path);
  FILE *const f = fopen(path, "w");
  CU_ASSERT_FATAL(f != NULL && ftruncate(fileno(f), BYTES) == 0);
  fclose(f);
  const char *const files[] = {path};
  rt_corpus_spec spec = spec_of(files, 1);
  spec.eot = 1;
  const uint64_t before = rt_ranks_signs();
  RT_OKAY(rt_corpus_open(&spec, &c));
  const uint64_t opened = rt_ranks_signs();
  CU_ASSERT(opened >= before + BYTES / PIECE);
  RT_OKAY(rt_corpus_hash(c, hex));
  CU_ASSERT(rt_ranks_signs() >= opened + BYTES / PIECE);
  rt_corpus_close(&c);
  RT_OKAY(rt_path_remove(folder));
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
  const uint64_t size[] = {bin.n, idx.n, raw.n, 0};
  rt_sha256_update(h, &size[0], 8);
  rt_sha256_update(h, bin.data, bin.n);
  rt_sha256_update(h, &size[1], 8);
  rt_sha256_update(h, idx.data, idx.n);
  rt_sha256_update(h, &size[2], 8);
  rt_sha256_update(h, raw.data, raw.n);
  rt_sha256_update(h, &size[3], 8);
  rt_sha256_finish(&h, want);
  RT_OKAY(rt_corpus_hash(c, hex));
  CU_ASSERT_STRING_EQUAL(hex, want);
  rt_corpus_close(&c);
  check_weights_in_hash(spec, want);
  RT_OKAY(rt_path_remove(folder));
}

RT_TEST_MAIN("tokens", {"rows as written down plainly", test_packing},
             {"every format", test_formats},
             {"every document in exactly one part", test_every_document_once},
             {"a single document", test_single_document},
             {"blend by size", test_blend_by_size},
             {"blend by weight", test_blend_by_weight},
             {"opened again in other rows", test_reopen},
             {"parts of several files", test_parts_of_files},
             {"order is a permutation", test_order},
             {"bad spec", test_bad_spec}, {"signs of life", test_signs},
             {"hash of all bytes", test_hash})
