/** \file test_window.c
 *  The steps whose logits a run saves, cut to whole shards.
 *  ranks: 1 */
#include "distill/capture/window.h"
#include "support/rt_test.h"

#include <string.h>

static void test_within_run(void)
{
  rt_window w;
  RT_OKAY(rt_window_init(0, 0, 100, &w));
  CU_ASSERT(w.n_steps == 0 && w.first == 0);
  RT_OKAY(rt_window_init(10, 20, 100, &w));
  CU_ASSERT(w.first == 10 && w.n_steps == 20 && w.shard_steps == 0);
  RT_OKAY(rt_window_init(90, 20, 100, &w)); // as far as the run goes
  CU_ASSERT(w.first == 90 && w.n_steps == 10);
  RT_OKAY(rt_window_init(99, 1, 100, &w));
  CU_ASSERT(w.first == 99 && w.n_steps == 1);
  RT_FAILS(rt_window_init(100, 1, 100, &w), RT_ERR_CONFIG,
           "capture.window_start is step 100, but the run ends at step 100");
  RT_FAILS(rt_window_init(5, 0, 100, &w), RT_ERR_CONFIG,
           "capture.window_start is set without capture.window_length");
}

/** Every window of up to 40 steps, every shard: whole shards of at most and at
 *  least half as many steps as asked, the last step in it, and no length of
 *  those leaves out fewer. */
static void test_cut(void)
{
  for (int64_t n = 1; n <= 40; n++)
    for (int64_t most = 0; most <= 50; most++) {
      rt_window w = {.first = 7, .n_steps = n};
      int64_t top = most < 1 ? 1 : most;
      top = top < n ? top : n;
      rt_window_cut(&w, most);
      CU_ASSERT(w.shard_steps >= (top + 1) / 2 && w.shard_steps <= top);
      CU_ASSERT(w.n_steps > 0 && w.n_steps % w.shard_steps == 0);
      CU_ASSERT_EQUAL(w.n_steps + w.left_out, n);
      CU_ASSERT_EQUAL(w.first + w.n_steps, 7 + n);
      for (int64_t s = (top + 1) / 2; s <= top; s++) {
        CU_ASSERT(w.left_out <= n % s);
        CU_ASSERT(w.left_out < n % s || s <= w.shard_steps); // the longest
      }
    }
}

RT_TEST_MAIN("window", {"within the run", test_within_run},
             {"whole shards", test_cut})
