/** \file window.c */
#include "distill/capture/window.h"

/** Reject keys that only `retort capture` uses. */
static rt_err check_alone(const rt_deck *d)
{
  static const rt_key others[] = {RT_KEY_CAP_FIRST, RT_KEY_CAP_ROWS};
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
    RT_CHECK(rt_deck_int(d, others[i]) == 0, RT_ERR_CONFIG,
             "%s applies to `retort capture` only; a window of a training run "
             "consists of the rows of its steps. Remove the key",
             rt_key_path(others[i]));
  RT_CHECK(!rt_deck_bool(d, RT_KEY_CAP_COUNT), RT_ERR_CONFIG,
           "capture.count_only applies to `retort capture` only. Let the run "
           "store its window, then count entries with `retort logits info`");
  return RT_OK;
}

rt_err rt_window_init(int64_t first, int64_t n_steps, int64_t run_steps,
                      rt_window *w)
{
  *w = (rt_window){.first = first};
  if (n_steps == 0) {
    RT_CHECK(first == 0, RT_ERR_CONFIG,
             "capture.window_start is set without capture.window_length: set "
             "the length, or remove window_start");
    return RT_OK;
  }
  RT_CHECK(first < run_steps, RT_ERR_CONFIG,
           "capture.window_start is step %lld, but the run ends at step %lld: "
           "choose an earlier start or a longer train.length",
           (long long)first, (long long)run_steps);
  w->n_steps = n_steps < run_steps - first ? n_steps : run_steps - first;
  return RT_OK;
}

rt_err rt_window_read(const rt_deck *d, int64_t tokens_per_step, rt_window *w)
{
  const int64_t tokens = tokens_per_step;
  const int64_t run = rt_deck_steps(d, RT_KEY_TRAIN_LENGTH, tokens, 0);
  const int64_t n = rt_deck_steps(d, RT_KEY_CAP_WINDOW_LENGTH, tokens, run);
  if (n > 0)
    RT_TRY(check_alone(d));
  return rt_window_init(rt_deck_steps(d, RT_KEY_CAP_WINDOW_START, tokens, run),
                        n, run, w);
}

void rt_window_cut(rt_window *w, int64_t most_steps)
{
  const int64_t end = w->first + w->n_steps;
  int64_t max = most_steps < w->n_steps ? most_steps : w->n_steps;
  max = max < 1 ? 1 : max;
  w->shard_steps = max;
  for (int64_t s = max - 1; s >= (max + 1) / 2; s--)
    if (w->n_steps % s < w->n_steps % w->shard_steps)
      w->shard_steps = s;
  w->left_out = w->n_steps % w->shard_steps;
  w->n_steps -= w->left_out;
  w->first = end - w->n_steps;
}
