/** \file test_logits_cache.c
 *  The cache of decoders: returns the right one, is bounded, evicts the least
 *  recently used.
 *  ranks: 1 */
#include "io/logits/logits_cache.h"

#include "support/logits_rows.h"
#include "support/rt_test.h"
#include <pthread.h>
#include <string.h>

enum { KEPT = RT_LOGITS_DECODERS, N = KEPT + 8, N_THREADS = KEPT + 4 };

/** A shard of one row. */
typedef struct shard {
  rt_logits_row row;       // owned arrays
  rt_bytes tables, record; // owned
} shard;

typedef struct scene {
  rt_codec_spec spec;
  shard *shards;          // owned [N]
  rt_logits_cache *cache; // owned
} scene;

/** Each shard has its own tables; with another's, a row decodes differently or
 *  not at all. */
static void create_shard(const rt_codec_spec *spec, int64_t i, shard *out)
{
  rt_codec *codec;
  *out = (shard){.row = make_row(&small, 7 * i)};
  RT_OKAY(rt_codec_learn(spec, &out->row, 1, &codec));
  RT_OKAY(rt_codec_store(codec, &out->tables));
  RT_OKAY(rt_codec_encode(codec, &out->row, &out->record));
  rt_codec_destroy(&codec);
}

static void create(scene *s)
{
  rt_logits_info info = small;
  strcpy(info.encoding, "packed");
  RT_OKAY(rt_logits_spec("test", &info, &s->spec));
  s->shards = calloc(N, sizeof *s->shards);
  CU_ASSERT_PTR_NOT_NULL_FATAL(s->shards);
  for (int i = 0; i < N; i++)
    create_shard(&s->spec, i, &s->shards[i]);
  RT_OKAY(rt_logits_cache_create(&s->cache));
}

static void clear(scene *s)
{
  for (int i = 0; i < N; i++) {
    rt_logits_row_clear(&s->shards[i].row);
    rt_bytes_clear(&s->shards[i].tables);
    rt_bytes_clear(&s->shards[i].record);
  }
  free(s->shards);
  rt_logits_cache_destroy(&s->cache);
  CU_ASSERT_PTR_NULL(s->cache);
}

static rt_err get(const scene *s, int i, rt_logits_loan *out)
{
  const rt_logits_tables tables = {.i_shard = i,
                                   .spec = &s->spec,
                                   .data = s->shards[i].tables.data,
                                   .n = s->shards[i].tables.n,
                                   .path = "test"};
  return rt_logits_cache_get(s->cache, &tables, out);
}

/** The loan decodes shard \a i's row: its ids and tokens are exact. */
static bool is_right(const scene *s, int i, const rt_logits_loan *loan)
{
  const shard *const x = &s->shards[i];
  rt_logits_row got = {0};
  bool good = rt_codec_decode(loan->codec, x->record.data, x->record.n, "test",
                              &got) == RT_OK;
  good = good && got.n_tokens == x->row.n_tokens &&
         got.n_entries == x->row.n_entries &&
         memcmp(got.tok, x->row.tok, 4 * (size_t)(got.n_tokens + 1)) == 0 &&
         memcmp(got.count, x->row.count, 4 * (size_t)got.n_tokens) == 0;
  rt_logits_row_clear(&got);
  return good;
}

/** Use shard \a i once. */
static bool use(const scene *s, int i)
{
  rt_logits_loan loan;
  if (get(s, i, &loan) != RT_OK)
    return false;
  const bool good = is_right(s, i, &loan);
  rt_logits_cache_put(s->cache, &loan);
  return good;
}

static void test_least_recent_goes(void)
{
  scene s;
  create(&s);
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < KEPT; i++)
      CU_ASSERT_TRUE(use(&s, i));
  CU_ASSERT_EQUAL(rt_logits_cache_n_made(s.cache), KEPT); // once each
  CU_ASSERT_TRUE(use(&s, 0)); // now 1 is what was not used for longest
  CU_ASSERT_TRUE(use(&s, KEPT));
  CU_ASSERT_EQUAL(rt_logits_cache_n_kept(s.cache), KEPT);
  CU_ASSERT_TRUE(use(&s, 0));
  CU_ASSERT_TRUE(use(&s, 2));
  CU_ASSERT_EQUAL(rt_logits_cache_n_made(s.cache), KEPT + 1);
  CU_ASSERT_TRUE(use(&s, 1));
  CU_ASSERT_EQUAL(rt_logits_cache_n_made(s.cache), KEPT + 2);
  for (int k = 0; k < 3 * N; k++)
    CU_ASSERT_TRUE(use(&s, k % N));
  CU_ASSERT_EQUAL(rt_logits_cache_n_kept(s.cache), KEPT);
  clear(&s);
}

/** A decoder that is lent remains, however many others are requested. */
static void test_all_lent(void)
{
  scene s;
  rt_logits_loan loans[N];
  create(&s);
  for (int i = 0; i < N; i++)
    RT_OKAY(get(&s, i, &loans[i]));
  for (int i = 0; i < N; i++)
    CU_ASSERT_TRUE(is_right(&s, i, &loans[i]));
  CU_ASSERT_EQUAL(rt_logits_cache_n_kept(s.cache), KEPT);
  for (int i = 0; i < N; i++)
    rt_logits_cache_put(s.cache, &loans[i]);
  CU_ASSERT_TRUE(use(&s, N - 1));
  clear(&s);
}

/** The error of a damaged shard is returned, and nothing is cached. */
static void test_damaged(void)
{
  scene s;
  rt_logits_loan loan;
  create(&s);
  s.shards[0].tables.n /= 2;
  RT_FAILS(get(&s, 0, &loan), RT_ERR_DATA, "test");
  CU_ASSERT_EQUAL(rt_logits_cache_n_kept(s.cache), 0);
  clear(&s);
}

static void *use_many(void *scene_)
{
  const scene *s = scene_;
  bool good = true;
  for (int k = 0; k < 3 * N; k++)
    good = good && use(s, (k * 7 + k / N) % N);
  return good ? scene_ : NULL;
}

static void test_threads(void)
{
  scene s;
  pthread_t thread[N_THREADS];
  void *good;
  create(&s);
  for (int i = 0; i < N_THREADS; i++)
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, use_many, &s), 0);
  for (int i = 0; i < N_THREADS; i++) {
    CU_ASSERT_EQUAL(pthread_join(thread[i], &good), 0);
    CU_ASSERT_PTR_NOT_NULL(good);
  }
  CU_ASSERT_EQUAL(rt_logits_cache_n_kept(s.cache), KEPT);
  clear(&s);
}

RT_TEST_MAIN("logits_cache",
             {"the least recently used one goes", test_least_recent_goes},
             {"what is lent stays", test_all_lent},
             {"damaged tables", test_damaged}, {"many threads", test_threads})
