/** \file test_ranks.c
 *  Exchange among the ranks that share a file.
 *  ranks: 1 2 4 */
#include "io/common/ranks.h"
#include "support/rt_test.h"

#include <string.h>

static int my_rank, n_ranks;

static void begin(void)
{
  MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
  MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
}

static void test_bcast(void)
{
  begin();
  for (size_t n = 0; n < 3000; n = 3 * n + 1) {
    unsigned char *const x = malloc(n + 2);
    for (size_t i = 0; i < n + 2; i++)
      x[i] = (unsigned char)(my_rank == 0 ? 7 * i : 255);
    RT_OKAY(rt_group_bcast(MPI_COMM_WORLD, x, n));
    for (size_t i = 0; i < n; i++)
      CU_ASSERT_EQUAL(x[i], (unsigned char)(7 * i));
    if (my_rank != 0)
      CU_ASSERT(x[n] == 255 && x[n + 1] == 255); // no byte more
    free(x);
  }
}

/** Rank 0 has read a text, with zeros in it, or none. */
static void test_text(void)
{
  static const char said[] = "one\0two\n";
  begin();
  for (size_t n = 0; n < sizeof said; n++) {
    char *text = NULL;
    size_t got = 0;
    if (my_rank == 0) {
      text = malloc(n + 1);
      memcpy(text, said, n);
      text[n] = '\0';
      got = n;
    }
    RT_OKAY(rt_group_bcast_text(MPI_COMM_WORLD, RT_OK, &text, &got));
    CU_ASSERT_EQUAL(got, n);
    CU_ASSERT_EQUAL(memcmp(text, said, n), 0);
    CU_ASSERT_EQUAL(text[n], '\0');
    free(text);
  }
}

/** What rank 0 could not read nobody has, and each is told. */
static void test_text_error(void)
{
  char *text = NULL;
  size_t n = 0;
  begin();
  const rt_err mine =
      my_rank == 0 ? RT_FAIL(RT_ERR_NOINPUT, "no such text") : RT_OK;
  RT_FAILS(rt_group_bcast_text(MPI_COMM_WORLD, mine, &text, &n), RT_ERR_NOINPUT,
           "no such text");
  CU_ASSERT_PTR_NULL(text);
}

/** A text for which another rank lacks memory is no longer rank 0's either. */
static void test_text_too_long(void)
{
  char *text = NULL;
  size_t n = 0;
  begin();
  if (n_ranks == 1)
    return;
  if (my_rank == 0) {
    text = strdup("short");
    n = (size_t)1 << 62; // which is why the others have no room for it
  }
  RT_FAILS(rt_group_bcast_text(MPI_COMM_WORLD, RT_OK, &text, &n), RT_ERR_MEM,
           "bytes for a text from rank 0");
  CU_ASSERT_PTR_NULL(text);
}

/** Words of rank r: n of them, all different. */
static uint64_t word(int r, int64_t i)
{
  return (uint64_t)r << 40 | (uint64_t)(i * i + 1);
}

/** Any number from each, also none, in order of rank. */
static void test_join(void)
{
  begin();
  for (int kind = 0; kind < 4; kind++) {
    int64_t want = 0, n_all = -1, at = 0;
    uint64_t *all = NULL;
    const int64_t n_of[] = {0, 3, 1000, kind == 2 ? 0 : 1};
    const int64_t n = kind == 3 ? 0 : n_of[(my_rank + kind) % 4];
    uint64_t *const mine = malloc(((size_t)n + 1) * sizeof *mine);
    for (int64_t i = 0; i < n; i++)
      mine[i] = word(my_rank, i);
    RT_OKAY(
        rt_group_join(MPI_COMM_WORLD, n > 0 ? mine : NULL, n, &all, &n_all));
    for (int r = 0; r < n_ranks; r++) {
      const int64_t theirs = kind == 3 ? 0 : n_of[(r + kind) % 4];
      want += theirs;
      for (int64_t i = 0; i < theirs; i++, at++)
        CU_ASSERT_EQUAL_FATAL(all[at], word(r, i));
    }
    CU_ASSERT_EQUAL(n_all, want);
    CU_ASSERT_PTR_NOT_NULL(all); // also of no words
    free(all);
    free(mine);
  }
}

/** The worst of any rank, with its text. */
static void test_agree(void)
{
  begin();
  RT_OKAY(rt_group_agree(MPI_COMM_WORLD, RT_OK));
  for (int bad = 0; bad < n_ranks; bad++) {
    const rt_err mine =
        my_rank == bad ? RT_FAIL(RT_ERR_DATA, "of rank %d", bad) : RT_OK;
    CU_ASSERT_EQUAL(rt_group_agree(MPI_COMM_WORLD, mine), RT_ERR_DATA);
    char words[32];
    snprintf(words, sizeof words, "rank %d", bad);
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), words));
  }
}

RT_TEST_MAIN("ranks", {"bytes of rank 0", test_bcast},
             {"a text of rank 0", test_text},
             {"a text that is not there", test_text_error},
             {"a text too long for others", test_text_too_long},
             {"words of all", test_join}, {"the worst of all", test_agree})
