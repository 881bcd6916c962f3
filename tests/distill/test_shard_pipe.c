/** \file test_shard_pipe.c
 *  Shards that threads encode and write: the bits of a writer that is waited
 *  for; errors reach the caller, and what was sealed stays.
 *  ranks: 1 */
#include "distill/capture/shard_pipe.h"
#include "support/logits_scene.h"

/** Rows as a teacher leaves them: entries and a batch of \a n rows. */
typedef struct micro {
  rt_entries entries;
  rt_batch batch;
  int32_t tok[64], label[64]; // at most 12 rows of 5
} micro;

static void make_entries(micro *m, int64_t n_rows)
{
  const rt_entries_spec spec = {.n = n_rows * small.seq, .k = small.top_k};
  RT_OKAY(rt_entries_create(&spec, &m->entries));
}

static void fill(micro *m, int64_t row0, int64_t n)
{
  const int64_t T = small.seq;
  m->batch = (rt_batch){.tok = m->tok, .label = m->label};
  for (int64_t r = 0; r < n; r++) {
    rt_logits_row row = make_row(&small, row0 + r);
    int64_t from = 0;
    for (int64_t t = 0; t < T; t++) {
      const int64_t at = r * T + t;
      const size_t bytes = 4 * (size_t)row.count[t];
      m->tok[at] = (int32_t)row.tok[t];
      m->label[at] = (int32_t)row.tok[t + 1];
      m->entries.count[at] = (int32_t)row.count[t];
      m->entries.lse[at] = row.lse[t];
      m->entries.label_logp[at] = row.label_logp[t];
      memcpy(m->entries.ids + at * small.top_k, row.ids + from, bytes);
      memcpy(m->entries.logp + at * small.top_k, row.logp + from, bytes);
      from += row.count[t];
    }
    rt_logits_row_clear(&row);
  }
}

/** The shards [0, n_shards) of a new dataset in \a to; the first error. */
static rt_err capture(const char *to, const rt_shard_pipe_spec *how,
                      int64_t n_shards, int64_t *sealed)
{
  micro m;
  rt_shard_pipe *pipe;
  rt_shard_pipe_spec spec = *how;
  spec.folder = to;
  spec.info = &small;
  RT_OKAY(rt_logits_create(to, &small, "deck"));
  make_entries(&m, spec.micro_rows);
  RT_OKAY(rt_shard_pipe_create(&spec, &pipe));
  rt_err err = RT_OK;
  for (int64_t s = 0; s < n_shards; s++) {
    const int64_t all = rt_logits_shard_rows(&small, s);
    for (int64_t r = 0; r < all && err == RT_OK; r += spec.micro_rows) {
      const int64_t left = all - r;
      const int64_t n = left < spec.micro_rows ? left : spec.micro_rows;
      fill(&m, s * small.shard_rows + r, n);
      err = rt_shard_pipe_take(pipe, s, &m.entries, &m.batch, n);
      fill(&m, 0, spec.micro_rows); // the next forward overwrites them
    }
  }
  if (err == RT_OK)
    err = rt_shard_pipe_drain(pipe);
  *sealed = rt_shard_pipe_sealed(pipe);
  rt_shard_pipe_destroy(&pipe);
  rt_entries_clear(&m.entries);
  return err;
}

/** Are shard \a i of two datasets and its seal the same? */
static void same_shard(const char *a, const char *b, int64_t i)
{
  char path[RT_PATH_MAX], *one, *other;
  size_t n_one, n_other;
  RT_OKAY(rt_logits_shard_path(path, a, i));
  RT_OKAY(rt_file_slurp(path, 1 << 24, &one, &n_one));
  RT_OKAY(rt_logits_shard_path(path, b, i));
  RT_OKAY(rt_file_slurp(path, 1 << 24, &other, &n_other));
  CU_ASSERT_EQUAL_FATAL(n_one, n_other);
  CU_ASSERT_EQUAL(memcmp(one, other, n_one), 0);
  free(one);
  free(other);
}

/** A writer that is waited for, row by row. */
static void capture_alone(const char *to)
{
  micro m;
  rt_logits_row row = {0};
  rt_logits_writer *w;
  RT_OKAY(rt_logits_create(to, &small, "deck"));
  make_entries(&m, 1);
  RT_OKAY(rt_logits_writer_open(to, &w));
  for (int64_t s = 0; s < 3; s++) {
    RT_OKAY(rt_logits_writer_begin(w, s));
    for (int64_t r = 0; r < rt_logits_shard_rows(&small, s); r++) {
      fill(&m, s * small.shard_rows + r, 1);
      RT_OKAY(rt_entries_row(&m.entries, 0, m.tok, m.label, small.seq, &row));
      RT_OKAY(rt_logits_writer_add(w, &row));
    }
    RT_OKAY(rt_capture_seal(to, s, w));
  }
  rt_logits_writer_close(&w);
  rt_logits_row_clear(&row);
  rt_entries_clear(&m.entries);
}

/** With one writer and two, with any micro-rows: the same files. */
static void test_same(void)
{
  static const rt_shard_pipe_spec ways[] = {{.micro_rows = 1, .n_writers = 1},
                                            {.micro_rows = 1, .n_writers = 2},
                                            {.micro_rows = 3, .n_writers = 2},
                                            {.micro_rows = 12, .n_writers = 2}};
  char alone[RT_PATH_MAX], to[RT_PATH_MAX], name[64];
  int64_t sealed;
  begin();
  RT_OKAY(rt_path_join(alone, folder, "alone"));
  capture_alone(alone);
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
    snprintf(name, sizeof name, "ds%zu", i);
    RT_OKAY(rt_path_join(to, folder, name));
    RT_OKAY(capture(to, &ways[i], 3, &sealed));
    CU_ASSERT_EQUAL(sealed, small.n_rows);
    for (int s = 0; s < 3; s++)
      same_shard(alone, to, s);
    RT_OKAY(rt_logits_finish(to)); // every seal is checked
  }
  scratch_remove(folder);
}

/** The disk loses what was laid out while the records are written: the error
 *  says the space needed, the shard before stays, and no draft is left. */
static void test_fails(void)
{
  char to[RT_PATH_MAX], path[RT_PATH_MAX], draft[RT_PATH_MAX];
  rt_logits_writer *w;
  begin();
  RT_OKAY(rt_path_join(to, folder, "ds"));
  RT_OKAY(rt_logits_create(to, &small, "deck"));
  RT_OKAY(write_shard(to, &small, 0));
  RT_OKAY(rt_logits_writer_open(to, &w));
  RT_OKAY(rt_logits_writer_begin(w, 1));
  for (int64_t r = 8; r < 16; r++) {
    rt_logits_row row = make_row(&small, r);
    RT_OKAY(rt_logits_writer_add(w, &row));
    rt_logits_row_clear(&row);
  }
  RT_OKAY(rt_capture_seal_begin(to, 1, w));
  RT_OKAY(rt_logits_shard_path(path, to, 1));
  RT_OKAY(rt_path_draft(draft, path));
  CU_ASSERT_TRUE(rt_path_exists(draft));
  CU_ASSERT_EQUAL(truncate(draft, 100), 0); // the disk loses it meanwhile
  const rt_err err = rt_logits_writer_put(w);
  CU_ASSERT_EQUAL(err, RT_ERR_IO);
  CU_ASSERT_TRUE(strstr(rt_err_text(), "do not read back") != NULL);
  RT_FAILS(rt_capture_seal_end(err, to, 1, w), RT_ERR_IO, "shard 1 needs");
  CU_ASSERT_FALSE(rt_path_exists(draft));
  CU_ASSERT_FALSE(rt_path_exists(path));
  RT_OKAY(rt_logits_shard_path(path, to, 0));
  CU_ASSERT_TRUE(rt_path_exists(path));
  rt_logits_writer_close(&w);
  scratch_remove(folder);
}

RT_TEST_MAIN("shard_pipe", {"the bits of a writer alone", test_same},
             {"a shard that cannot be written", test_fails})
