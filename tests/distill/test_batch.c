/** \file test_batch.c
 *  Micro-batches: rows of a corpus, of a dataset, of both; documents, cuts.
 *  ranks: 1 */
#include "distill/data/batch.h"
#include "support/corpus_dataset.h"
#include "support/damage_record.h"

enum { SEQ = 8, N_ROWS = 10, FIRST_ROW = 3, N_IDS = 400 };

typedef struct scene {
  char folder[RT_PATH_MAX], file[RT_PATH_MAX], ds_folder[RT_PATH_MAX];
  rt_corpus *corpus;
  rt_logits *ds;
  rt_rows rows; // of both
} scene;

static void begin(scene *s)
{
  rt_scratch(s->folder);
  rt_in(s->folder, "a.u16", s->file);
  rt_in(s->folder, "ds", s->ds_folder);
  put_ids(s->file, N_IDS, 100);
  const char *const files[] = {s->file};
  const rt_corpus_spec spec = plain_spec(files, SEQ);
  RT_OKAY(rt_corpus_open(&spec, &s->corpus));
  const rt_logits_info info = info_of_corpus(s->corpus, FIRST_ROW, N_ROWS);
  put_dataset(s->ds_folder, &info, s->corpus);
  RT_OKAY(
      rt_logits_open(MPI_COMM_WORLD, s->ds_folder, RT_LOGITS_FINISHED, &s->ds));
  s->rows = (rt_rows){.seq = SEQ,
                      .corpus = s->corpus,
                      .dataset = s->ds,
                      .folder = "the_dataset",
                      .first_row = FIRST_ROW};
}

static void end(scene *s)
{
  rt_logits_close(&s->ds);
  rt_corpus_close(&s->corpus);
  RT_OKAY(rt_path_remove(s->folder));
}

/** Id \a i of the file, as put_ids made it. */
static int32_t id_at(int64_t i)
{
  return i % 29 == 28 ? EOT : 100 + (int32_t)(i % 97);
}

static rt_batch *batch_of(const rt_rows *rows, int64_t n)
{
  rt_batch *b = NULL;
  RT_OKAY(rt_batch_create(rows, n, &b));
  return b;
}

/** Tokens of place \a r are those of the file from \a first on. */
static void check_text(const rt_batch *b, int64_t r, int64_t first)
{
  for (int64_t t = 0; t < b->seq; t++) {
    const int64_t at = r * b->seq + t;
    CU_ASSERT_EQUAL(b->tok[at], id_at(first + t));
    CU_ASSERT_EQUAL(b->label[at], id_at(first + t + 1));
    CU_ASSERT_EQUAL(b->weight[at], 1.0F);
  }
}

static void test_corpus(void)
{
  scene s;
  const int64_t take[] = {7, 0, 7};
  begin(&s);
  s.rows.dataset = NULL;
  s.rows.first_row = 0;
  rt_batch *b = batch_of(&s.rows, 3);
  for (int again = 0; again < 2; again++) { // the same arrays
    RT_OKAY(rt_batch_fill(b, RT_TRAIN, take, 3, NULL));
    for (int64_t r = 0; r < 3; r++) {
      CU_ASSERT_EQUAL(b->row[r], take[r]);
      CU_ASSERT_EQUAL(rt_batch_stream_row(b, r), take[r]);
      check_text(b, r, take[r] * SEQ);
      for (int64_t t = 0; t < SEQ; t++) {
        CU_ASSERT_EQUAL(b->pos[r * SEQ + t], t);
        CU_ASSERT_EQUAL(b->doc_start[r * SEQ + t], 0);
      }
    }
  }
  const int64_t beyond = rt_corpus_n_rows(s.corpus, RT_TRAIN);
  CU_ASSERT_NOT_EQUAL(rt_batch_fill(b, RT_TRAIN, &beyond, 1, NULL), RT_OK);
  rt_batch_destroy(&b);
  rt_batch_destroy(&b); // none is none
  end(&s);
}

/** Ids 0..28 are the first document, the second begins at 29, in row 3. */
static void test_documents(void)
{
  scene s;
  const int64_t take[] = {3, 2};
  begin(&s);
  s.rows.dataset = NULL;
  s.rows.first_row = 0;
  s.rows.mask_documents = true;
  rt_batch *b = batch_of(&s.rows, 2);
  RT_OKAY(rt_batch_fill(b, RT_TRAIN, take, 2, NULL));
  check_text(b, 0, 3 * SEQ);
  for (int64_t t = 0; t < SEQ; t++) {
    const int64_t start = 3 * SEQ + t < 29 ? 0 : 29 - 3 * SEQ;
    CU_ASSERT_EQUAL(b->doc_start[t], start);
    CU_ASSERT_EQUAL(b->pos[t], t - start);
    CU_ASSERT_EQUAL(b->doc_start[SEQ + t], 0); // row 2 lies in one document
    CU_ASSERT_EQUAL(b->pos[SEQ + t], t);
  }
  rt_batch_destroy(&b);
  s.rows.dataset = s.ds;
  s.rows.corpus = NULL;
  b = batch_of(&s.rows, 1);
  RT_FAILS(rt_batch_fill(b, RT_TRAIN, take, 1, NULL), RT_ERR_CONFIG,
           "data.mask_documents needs data.files");
  rt_batch_destroy(&b);
  end(&s);
}

/** Entries of dataset row \a i are make_row's. */
static void check_entries(const rt_batch *b, int64_t r, int64_t i)
{
  rt_logits_row want = make_row(rt_logits_about(b->from.dataset), i);
  const rt_logits_row *const got = &b->logits[r];
  CU_ASSERT_EQUAL(got->n_entries, want.n_entries);
  CU_ASSERT_EQUAL(memcmp(got->count, want.count, SEQ * 4), 0);
  CU_ASSERT_EQUAL(memcmp(got->ids, want.ids, (size_t)want.n_entries * 4), 0);
  CU_ASSERT_EQUAL(memcmp(got->logp, want.logp, (size_t)want.n_entries * 4), 0);
  rt_logits_row_clear(&want);
}

static void test_dataset(void)
{
  scene s;
  const int64_t take[] = {4, 9};
  rt_bytes record[2] = {{0}, {0}};
  begin(&s);
  for (int with_corpus = 0; with_corpus < 2; with_corpus++) {
    s.rows.corpus = with_corpus == 1 ? s.corpus : NULL;
    rt_batch *b = batch_of(&s.rows, 2);
    for (int r = 0; r < 2; r++)
      RT_OKAY(rt_logits_read_record(s.ds, rt_rows_in_dataset(&s.rows, take[r]),
                                    &record[r]));
    for (int given = 0; given < 2; given++) {
      RT_OKAY(rt_batch_fill(b, RT_TRAIN, take, 2, given == 1 ? record : NULL));
      for (int64_t r = 0; r < 2; r++) {
        CU_ASSERT_EQUAL(rt_batch_stream_row(b, r), FIRST_ROW + take[r]);
        check_text(b, r, (FIRST_ROW + take[r]) * SEQ);
        check_entries(b, r, take[r]);
      }
    }
    rt_batch_destroy(&b);
  }
  rt_bytes_clear(&record[0]);
  rt_bytes_clear(&record[1]);
  end(&s);
}

/** A corpus that says otherwise is told with row and token. */
static void test_other_corpus(void)
{
  scene s;
  char path[RT_PATH_MAX];
  const int64_t row = 2;
  begin(&s);
  put_ids(rt_in(s.folder, "b.u16", path), N_IDS, 200);
  const char *const files[] = {path};
  const rt_corpus_spec spec = plain_spec(files, SEQ);
  rt_corpus *other;
  RT_OKAY(rt_corpus_open(&spec, &other));
  s.rows.corpus = other;
  rt_batch *b = batch_of(&s.rows, 1);
  RT_FAILS(rt_batch_fill(b, RT_TRAIN, &row, 1, NULL), RT_ERR_DATA,
           "the_dataset: row 2 token 0 is 140, the corpus has 240");
  rt_batch_destroy(&b);
  rt_corpus_close(&other);
  end(&s);
}

/** Two rows of four tokens are made of each of eight. */
static void test_pieces(void)
{
  scene s;
  const int64_t take[] = {6, 7};
  begin(&s);
  s.rows.seq = SEQ / 2;
  s.rows.pieces = 2;
  CU_ASSERT_EQUAL(rt_rows_in_dataset(&s.rows, 7), 3);
  rt_batch *b = batch_of(&s.rows, 2);
  RT_OKAY(rt_batch_fill(b, RT_TRAIN, take, 2, NULL));
  check_text(b, 0, (FIRST_ROW + 3) * SEQ);
  check_text(b, 1, (FIRST_ROW + 3) * SEQ + SEQ / 2);
  rt_logits_row want = make_row(rt_logits_about(s.ds), 3);
  int64_t at = 0;
  for (int r = 0; r < 2; r++) {
    const rt_logits_row *const got = &b->logits[r];
    int64_t n = 0;
    for (int t = 0; t < SEQ / 2; t++)
      n += got->count[t];
    CU_ASSERT_EQUAL(memcmp(got->count, want.count + r * SEQ / 2, SEQ * 2), 0);
    CU_ASSERT_EQUAL(got->n_entries, n);
    CU_ASSERT_EQUAL(memcmp(got->ids, want.ids + at, (size_t)n * 4), 0);
    at += n;
  }
  CU_ASSERT_EQUAL(at, want.n_entries);
  rt_logits_row_clear(&want);
  rt_batch_destroy(&b);
  s.rows.seq = SEQ - 1; // a run of other rows without pieces
  s.rows.pieces = 0;
  b = batch_of(&s.rows, 1);
  RT_FAILS(rt_batch_fill(b, RT_TRAIN, take, 1, NULL), RT_ERR_DATA,
           "row 6 has 8 tokens, data.seq is 7");
  rt_batch_destroy(&b);
  end(&s);
}

/** Ids from vocab_cut on are gone, the others' mass is the whole. */
static void test_vocab_cut(void)
{
  scene s;
  const int64_t cut = VOCAB / 2, row = 1;
  begin(&s);
  s.rows.vocab_cut = cut;
  rt_batch *b = batch_of(&s.rows, 1);
  RT_OKAY(rt_batch_fill(b, RT_TRAIN, &row, 1, NULL));
  rt_logits_row want = make_row(rt_logits_about(s.ds), row);
  int64_t at = 0, kept = 0;
  for (int t = 0; t < SEQ; t++) {
    uint32_t n = 0;
    for (uint32_t k = 0; k < want.count[t]; k++)
      n += want.ids[at + k] < cut;
    CU_ASSERT_EQUAL(b->logits[0].count[t], n);
    at += want.count[t];
    kept += n;
  }
  CU_ASSERT(kept > 0 && kept < want.n_entries);
  for (int64_t k = 0; k < b->logits[0].n_entries; k++)
    CU_ASSERT(b->logits[0].ids[k] < cut);
  rt_logits_row_clear(&want);
  rt_batch_destroy(&b);
  end(&s);
}

static void test_damage(void)
{
  scene s;
  const int64_t row[] = {4, 5};
  begin(&s);
  rt_batch *b = batch_of(&s.rows, 1);
  damage_record(s.ds, s.ds_folder, 5);
  RT_OKAY(rt_batch_fill(b, RT_TRAIN, &row[0], 1, NULL));
  RT_FAILS(rt_batch_fill(b, RT_TRAIN, &row[1], 1, NULL), RT_ERR_DATA, "row 5");
  rt_batch_destroy(&b);
  end(&s);
}

RT_TEST_MAIN("batch", {"rows of a corpus", test_corpus},
             {"documents", test_documents}, {"rows of a dataset", test_dataset},
             {"a corpus that differs", test_other_corpus},
             {"pieces of rows", test_pieces},
             {"a smaller vocabulary", test_vocab_cut},
             {"a damaged record", test_damage})
