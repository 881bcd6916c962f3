/** \file test_match.c
 *  A dataset against the corpus and tokenizer of a run.
 *  ranks: 1 */
#include "distill/job/match.h"
#include "support/corpus_dataset.h"

enum { SEQ = 8, N_ROWS = 10, FIRST_ROW = 3 };

/** Corpora `a`, `b` (token 45 of which differs) and a dataset of `a`. */
typedef struct scene {
  char folder[RT_PATH_MAX], file[RT_PATH_MAX], other[RT_PATH_MAX],
      ds_folder[RT_PATH_MAX];
  rt_corpus *corpus;
  rt_logits *ds;
} scene;

static rt_corpus *open_rows(const char *path, int64_t seq)
{
  const char *const files[] = {path};
  const rt_corpus_spec spec = plain_spec(files, seq);
  rt_corpus *c = NULL;
  RT_OKAY(rt_corpus_open(&spec, &c));
  return c;
}

static void begin(scene *s, void (*change)(rt_logits_info *))
{
  rt_scratch(s->folder);
  rt_in(s->folder, "a.u16", s->file);
  rt_in(s->folder, "b.u16", s->other);
  rt_in(s->folder, "ds", s->ds_folder);
  put_ids(s->file, 400, 100);
  put_ids(s->other, 400, 100);
  FILE *const f = fopen(s->other, "r+b");
  const uint16_t id = 4000;
  fseek(f, 45 * (long)sizeof id, SEEK_SET);
  CU_ASSERT_EQUAL(fwrite(&id, sizeof id, 1, f), 1);
  fclose(f);
  s->corpus = open_rows(s->file, SEQ);
  rt_logits_info info = info_of_corpus(s->corpus, FIRST_ROW, N_ROWS);
  if (change != NULL)
    change(&info);
  put_dataset(s->ds_folder, &info, s->corpus);
  RT_OKAY(
      rt_logits_open(MPI_COMM_WORLD, s->ds_folder, RT_LOGITS_FINISHED, &s->ds));
}

static void end(scene *s)
{
  rt_logits_close(&s->ds);
  rt_corpus_close(&s->corpus);
  RT_OKAY(rt_path_remove(s->folder));
}

static rt_err match(const scene *s, const rt_corpus *corpus,
                    const char *tokenizer)
{
  char hex[RT_SHA256_HEX] = "";
  if (corpus != NULL)
    RT_OKAY(rt_corpus_digest(MPI_COMM_SELF, corpus, hex));
  return rt_match_dataset(&(rt_match_spec){.dataset = s->ds,
                                           .folder = "the_dataset",
                                           .corpus = corpus,
                                           .corpus_hash = hex,
                                           .tokenizer_hash = tokenizer});
}

static void test_same(void)
{
  scene s;
  begin(&s, NULL);
  rt_corpus *shorter = open_rows(s.file, SEQ / 2);
  RT_OKAY(match(&s, s.corpus, "11aa"));
  RT_OKAY(match(&s, shorter, "11aa")); // the run may cut rows
  RT_OKAY(match(&s, NULL, "11aa"));
  RT_OKAY(match(&s, s.corpus, "")); // nobody knows: no difference
  rt_corpus_close(&shorter);
  end(&s);
}

/** Token 45 is token 5 of row 5, the dataset's row 2; a run of shorter rows is
 *  told so, too. */
static void test_first_difference(void)
{
  scene s;
  begin(&s, NULL);
  rt_corpus *other = open_rows(s.other, SEQ);
  rt_corpus *shorter = open_rows(s.other, 3);
  const char *const said = "its row 2 (row 5 of the corpus) differs from "
                           "token 5 on: id 145 there, 4000 here";
  RT_FAILS(match(&s, other, "11aa"), RT_ERR_CONFIG, said);
  RT_FAILS(match(&s, shorter, "11aa"), RT_ERR_CONFIG, said);
  RT_FAILS(match(&s, other, "11aa"), RT_ERR_CONFIG,
           rt_logits_about(s.ds)->corpus_hash);
  rt_corpus_close(&other);
  rt_corpus_close(&shorter);
  end(&s);
}

static void test_tokenizer(void)
{
  scene s;
  begin(&s, NULL);
  RT_FAILS(match(&s, s.corpus, "22bb"), RT_ERR_CONFIG,
           "the_dataset was captured with tokenizer 11aa, data.tokenizer is "
           "22bb; the ids of its first 10 rows are equal");
  RT_FAILS(match(&s, NULL, "22bb"), RT_ERR_CONFIG,
           "data.files is empty, so their ids were not compared");
  end(&s);
}

static void no_hash(rt_logits_info *info)
{
  info->corpus_hash[0] = '\0';
  info->tokenizer_hash[0] = '\0';
}

static void test_unknown(void)
{
  scene s;
  begin(&s, no_hash);
  RT_OKAY(match(&s, s.corpus, "22bb"));
  rt_corpus *other = open_rows(s.other, SEQ);
  RT_OKAY(match(&s, other, "22bb")); // told row by row, when one is used
  rt_corpus_close(&other);
  end(&s);
}

static void other_split(rt_logits_info *info)
{
  info->split_seed = 77;
  info->valid_fraction = 0.125;
}

static void test_split(void)
{
  scene s;
  begin(&s, other_split);
  RT_FAILS(match(&s, s.corpus, "11aa"), RT_ERR_CONFIG,
           "data.valid_fraction=0.125 data.split_seed=77");
  RT_FAILS(match(&s, s.corpus, "11aa"), RT_ERR_CONFIG,
           "the ids of its first 10 rows are equal");
  end(&s);
}

static void with_bos(rt_logits_info *info)
{
  info->bos = 3;
  snprintf(info->bos_at, sizeof info->bos_at, "rows");
}

static void test_bos(void)
{
  scene s;
  begin(&s, with_bos);
  RT_FAILS(match(&s, s.corpus, "11aa"), RT_ERR_CONFIG,
           "data.bos=3 data.bos_at=rows ");
  rt_corpus_spec spec = rt_corpus_spec_of(s.corpus);
  const char *const files[] = {s.file};
  rt_corpus *c = NULL;
  spec.files = files;
  spec.bos_at = RT_BOS_ROWS;
  spec.bos = 3;
  RT_OKAY(rt_corpus_open(&spec, &c));
  RT_OKAY(match(&s, c, "11aa"));
  rt_corpus_close(&c);
  spec.bos = 4; // and what that does to rows is told
  RT_OKAY(rt_corpus_open(&spec, &c));
  RT_FAILS(match(&s, c, "11aa"), RT_ERR_CONFIG, "differs from token 0 on");
  rt_corpus_close(&c);
  end(&s);
}

/** One row, as verify and the batches ask. */
static void test_row(void)
{
  scene s;
  char where[RT_MATCH_TEXT];
  uint32_t tok[SEQ + 1];
  rt_logits_row row = {0};
  begin(&s, NULL);
  put_ids(s.other, 45, 100); // rows 0 to 4 of the other's
  rt_corpus *cut = open_rows(s.other, SEQ);
  CU_ASSERT_EQUAL(rt_corpus_n_rows(cut, RT_TRAIN), 5);
  for (int64_t i = 0; i < N_ROWS; i++) {
    RT_OKAY(rt_logits_read(s.ds, i, &row));
    RT_OKAY(rt_match_row(s.ds, i, &row, s.corpus, tok, where));
    CU_ASSERT_STRING_EQUAL(where, "");
    RT_OKAY(rt_match_row(s.ds, i, &row, cut, tok, where));
    CU_ASSERT_EQUAL(where[0] == '\0', i < 2);
  }
  CU_ASSERT_STRING_EQUAL(where,
                         "its row 9 is row 12 of the corpus, which has 5 here");
  row.tok[SEQ] = 9; // the label of the last token counts, too
  RT_OKAY(rt_match_row(s.ds, 9, &row, s.corpus, tok, where));
  CU_ASSERT_PTR_NOT_NULL(strstr(where, "differs from token 8 on: id 9 there"));
  rt_logits_row_clear(&row);
  rt_corpus_close(&cut);
  end(&s);
}

RT_TEST_MAIN("match", {"the same corpus and tokenizer", test_same},
             {"the first token that differs", test_first_difference},
             {"another tokenizer", test_tokenizer},
             {"a dataset that does not say", test_unknown},
             {"another split", test_split}, {"another bos", test_bos},
             {"one row", test_row})
