/** \file test_dataset_select.c
 *  `logits select`: which entries and rows the new dataset has, and what it
 * says of them. ranks: 1 */
#include "distill/dataset/dataset.h"
#include "support/logits_scene.h"
#include "support/rt_test_files.h"

enum { SEQ = 2, N_ROWS = 6, N = 3 };

/** Rows 0 to 5 of a capture with top_p 0.4, from \a first on in the stream, or
 *  of a teacher in training (\a lanes > 0).  Tokens have more entries than
 *  that: as if log-probs had been rounded up when they were stored. */
static void put(const char *to, int64_t first, int64_t lanes)
{
  rt_logits_info info = info_of(SEQ, 100, N_ROWS, N_ROWS / 2);
  rt_logits_writer *w;
  info.top_p = 0.4;
  info.first_row = first;
  info.lanes = lanes;
  info.step = lanes > 0;
  RT_OKAY(rt_logits_create(to, &info, "deck: 1\n"));
  RT_OKAY(rt_logits_writer_open(to, &w));
  for (int64_t i = 0; i < N_ROWS; i++) {
    uint32_t tok[] = {1, 2, 3}, count[] = {N, N};
    uint32_t ids[] = {(uint32_t)i, 20, 30, (uint32_t)i, 20, 30};
    float logp[] = {-0.7F, -1.6F, -3, -0.7F, -1.6F, -3};
    float lse[SEQ] = {0}, label[] = {-1, -1};
    const rt_logits_row row = {.tok = tok,
                               .count = count,
                               .ids = ids,
                               .logp = logp,
                               .lse = lse,
                               .label_logp = label,
                               .n_tokens = SEQ,
                               .n_entries = SEQ * N,
                               .step = i,
                               .stream_row = i};
    if (i % (N_ROWS / 2) == 0)
      RT_OKAY(rt_logits_writer_begin(w, i / (N_ROWS / 2)));
    RT_OKAY(rt_logits_writer_add(w, &row));
    if (i % (N_ROWS / 2) == N_ROWS / 2 - 1)
      RT_OKAY(rt_logits_writer_seal(w));
  }
  rt_logits_writer_close(&w);
  RT_OKAY(rt_logits_finish(to));
}

/** Select with the keys \a key [n], and open the result. */
static rt_logits *chosen(int64_t first, int64_t lanes, char *const *key, int n)
{
  char from[RT_PATH_MAX], to[RT_PATH_MAX];
  char *paths[] = {from, to};
  rt_comm *world;
  rt_deck *deck;
  rt_logits *ds;
  begin();
  rt_in(folder, "from", from);
  rt_in(folder, "to", to);
  put(from, first, lanes);
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  RT_OKAY(rt_deck_read(NULL, n, key, &deck));
  RT_OKAY(rt_logits_select_run(world, deck, paths));
  RT_OKAY(rt_logits_open(MPI_COMM_WORLD, to, RT_LOGITS_FINISHED, &ds));
  rt_deck_destroy(&deck);
  rt_comm_destroy(&world);
  return ds;
}

/** Have all tokens of row \a i n entries, of which the first is \a id? */
static bool has(const rt_logits *ds, int64_t i, uint32_t n, uint32_t id)
{
  rt_logits_row row = {0};
  RT_OKAY(rt_logits_read(ds, i, &row));
  const bool is = row.count[0] == n && row.count[1] == n && row.ids[0] == id;
  rt_logits_row_clear(&row);
  return is;
}

static void close_all(rt_logits *ds)
{
  rt_logits_close(&ds);
  scratch_remove(folder);
}

/** The capture's own top_p is not applied again; a narrower one is. */
static void test_entries(void)
{
  char p[] = "capture.top_p=0.3", k[] = "capture.top_k=2";
  rt_logits *ds = chosen(0, 0, NULL, 0);
  CU_ASSERT_TRUE(has(ds, 0, N, 0) && has(ds, N_ROWS - 1, N, N_ROWS - 1));
  close_all(ds);
  ds = chosen(0, 0, (char *[]){k}, 1);
  CU_ASSERT_TRUE(has(ds, 0, 2, 0) && has(ds, N_ROWS - 1, 2, N_ROWS - 1));
  CU_ASSERT_EQUAL(rt_logits_about(ds)->top_k, 2);
  close_all(ds);
  ds = chosen(0, 0, (char *[]){p, k}, 2);
  CU_ASSERT_TRUE(has(ds, 0, 1, 0) && has(ds, N_ROWS - 1, 1, N_ROWS - 1));
  CU_ASSERT_EQUAL(rt_logits_about(ds)->top_p, 0.3);
  close_all(ds);
}

/** Rows of a stream keep their numbers; those of a teacher in training have
 *  none. */
static void test_rows(void)
{
  char first[] = "capture.first_row=12", second[] = "capture.first_row=2",
       rows[] = "capture.rows=3";
  rt_logits *ds = chosen(10, 0, (char *[]){first, rows}, 2);
  CU_ASSERT_EQUAL(rt_logits_about(ds)->first_row, 12);
  CU_ASSERT_EQUAL(rt_logits_about(ds)->n_rows, 3);
  CU_ASSERT_TRUE(has(ds, 0, N, 2) && has(ds, 2, N, 4));
  close_all(ds);
  ds = chosen(0, 2, (char *[]){second, rows}, 2);
  CU_ASSERT_EQUAL(rt_logits_about(ds)->first_row, 0);
  CU_ASSERT_EQUAL(rt_logits_about(ds)->lanes, 1);
  CU_ASSERT_TRUE(has(ds, 0, N, 2) && has(ds, 2, N, 4));
  close_all(ds);
}

RT_TEST_MAIN("dataset_select", {"entries", test_entries}, {"rows", test_rows})
