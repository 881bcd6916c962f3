/** \file test_tokens_damage.c
 *  Corpora that are damaged, or lie.
 *  ranks: 1 */
#include "support/corpus_files.h"

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
  check_lie(folder, &x, 17, "\7", 1, "type code 7 is not an integer");
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
  rt_put_text(rt_in(folder, "x.txt", path), "\x01\x02\x80 no text");
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, ".u32 (raw ids)");
  rt_put_text(rt_in(folder, "x.txt", path), "In the beginning");
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "is text");
  rt_put_text(rt_in(folder, "only.bin", path), "\x01\x02\x80");
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "there is no .idx for it");
  rt_put_text(rt_in(folder, "only.idx", path), "abc");
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "MMIDIDX");
  rt_put_text(rt_in(folder, "odd.u16", path), "abc");
  RT_FAILS(rt_corpus_open(&spec, &c), RT_ERR_DATA, "not a multiple of 2");
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

RT_TEST_MAIN("tokens_damage", {"every cut, flips of every byte", test_damage},
             {"lying index", test_lying_index}, {"bad files", test_bad_files},
             {"bad ids", test_bad_ids})
