/** \file test_schedules.c
 *  Every schedule key against its text, in runs of 1, 2, 20 and 1000 steps.
 *  ranks: 1 */
#include "distill/train/schedules.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>

/** A deck's keys, and the expected values at some steps of a run. */
typedef struct line {
  const char *keys;
  int64_t n_steps, step;
  double want;
} line;

typedef rt_schedule make_fn(const rt_deck *deck, int64_t tokens, int64_t n);

static void check(make_fn *make, const char *section, const line *lines,
                  size_t n)
{
  for (size_t i = 0; i < n; i++) {
    char text[256];
    rt_deck *deck = NULL;
    snprintf(text, sizeof text, "%s: {%s}", section, lines[i].keys);
    RT_OKAY(rt_deck_parse("test", text, 0, NULL, &deck));
    const rt_schedule s = make(deck, 1, lines[i].n_steps);
    const double got = rt_schedule_at(&s, lines[i].step);
    const bool same = fabs(got - lines[i].want) < 1e-12;
    CU_ASSERT(same);
    if (!same)
      fprintf(stderr, "%s, step %lld of %lld: %.15g, expected %.15g\n", text,
              (long long)lines[i].step, (long long)lines[i].n_steps, got,
              lines[i].want);
    rt_deck_destroy(&deck);
  }
}
#define CHECK(make, section, lines)                                            \
  check(make, section, lines, sizeof(lines) / sizeof(lines)[0])

/** constant is loss.alpha throughout, regardless of wsd's lengths. */
static void test_alpha_constant(void)
{
  static const line lines[] = {
      {"", 1, 0, 0.9},
      {"", 2, 0, 0.9},
      {"", 2, 1, 0.9},
      {"", 20, 0, 0.9},
      {"", 20, 19, 0.9},
      {"", 1000, 0, 0.9},
      {"", 1000, 50, 0.9},
      {"", 1000, 999, 0.9},
      {"alpha: 1", 1000, 0, 1.0},
      {"alpha_warmup: 50 %, alpha_decay: 50 %", 20, 0, 0.9},
      {"alpha_warmup: 50 %, alpha_decay: 50 %", 20, 19, 0.9}};
  CHECK(rt_alpha_schedule, "loss", lines);
}

static void test_alpha_linear(void)
{
#define UP "alpha_schedule: linear_up, alpha: 0.8, alpha_warmup: 50 %"
#define DOWN "alpha_schedule: linear_down, alpha: 0.8, alpha_decay: 50 %"
  static const line lines[] = {{UP, 1, 0, 0.0},
                               {UP, 2, 0, 0.0},
                               {UP, 2, 1, 0.8},
                               {UP, 20, 0, 0.0},
                               {UP, 20, 1, 0.8 / 19},
                               {UP, 20, 19, 0.8},
                               {UP, 1000, 333, 0.8 / 3},
                               {UP, 1000, 999, 0.8},
                               {DOWN, 1, 0, 0.8},
                               {DOWN, 2, 0, 0.8},
                               {DOWN, 2, 1, 0.0},
                               {DOWN, 20, 0, 0.8},
                               {DOWN, 20, 19, 0.0},
                               {DOWN, 20, 1, 0.8 * 18 / 19},
                               {DOWN, 1000, 333, 1.6 / 3},
                               {DOWN, 1000, 999, 0.0}};
  CHECK(rt_alpha_schedule, "loss", lines);
}

/** Warm-up 10 %, decay 1 % of the run, at least a step each. */
static void test_alpha_wsd(void)
{
#define WSD "alpha_schedule: wsd, alpha: 0.8"
  static const line lines[] = {
      {WSD, 1, 0, 0.8},
      {WSD, 2, 0, 0.8},
      {WSD, 2, 1, 0.0},
      {WSD, 20, 0, 0.4},
      {WSD, 20, 1, 0.8},
      {WSD, 20, 18, 0.8},
      {WSD, 20, 19, 0.0},
      {WSD, 1000, 0, 0.008},
      {WSD, 1000, 99, 0.8},
      {WSD, 1000, 989, 0.8},
      {WSD, 1000, 994, 0.4},
      {WSD, 1000, 999, 0.0},
      {WSD ", alpha_warmup: 0, alpha_decay: 0", 20, 0, 0.8},
      {WSD ", alpha_warmup: 0, alpha_decay: 0", 20, 19, 0.8}};
  CHECK(rt_alpha_schedule, "loss", lines);
}

/** The learning rate warms up with every schedule: 1 % of the run, at least one
 *  step. */
static void test_rate_constant(void)
{
#define FLAT "lr: 1, lr_schedule: constant"
  static const line lines[] = {
      {FLAT, 1, 0, 1.0},
      {FLAT, 2, 0, 1.0},
      {FLAT, 2, 1, 1.0},
      {FLAT, 20, 0, 1.0},
      {FLAT, 20, 19, 1.0},
      {FLAT, 1000, 0, 0.1},
      {FLAT, 1000, 9, 1.0},
      {FLAT, 1000, 10, 1.0},
      {FLAT, 1000, 999, 1.0},
      {FLAT ", lr_warmup: 0", 1000, 0, 1.0},
      {FLAT ", lr_floor: 0.5, lr_decay: 50 %", 20, 19, 1.0}};
  CHECK(rt_lr_schedule, "train", lines);
}

static void test_rate_cosine(void)
{
#define COS "lr: 1, lr_schedule: cosine"
  static const line lines[] = {{COS, 1, 0, 1.0},
                               {COS, 2, 0, 1.0},
                               {COS, 2, 1, 1.0},
                               {COS, 20, 0, 1.0},
                               {COS, 20, 1, 1.0},
                               {COS, 20, 10, 0.55},
                               {COS, 20, 19, 0.1},
                               {COS, 1000, 0, 0.1},
                               {COS, 1000, 10, 1.0},
                               {COS, 1000, 999, 0.1},
                               {COS ", lr_floor: 0", 1000, 999, 0.0},
                               {COS ", lr_decay: 50 %", 20, 10, 0.55}};
  CHECK(rt_lr_schedule, "train", lines);
}

static void test_rate_wsd(void)
{
#define PLATEAU "lr: 1, lr_schedule: wsd"
  static const line lines[] = {
      {PLATEAU, 1, 0, 1.0},       {PLATEAU, 2, 0, 1.0},
      {PLATEAU, 2, 1, 0.1},       {PLATEAU, 20, 0, 1.0},
      {PLATEAU, 20, 17, 1.0},     {PLATEAU, 20, 18, 0.55},
      {PLATEAU, 20, 19, 0.1},     {PLATEAU, 1000, 0, 0.1},
      {PLATEAU, 1000, 9, 1.0},    {PLATEAU, 1000, 899, 1.0},
      {PLATEAU, 1000, 949, 0.55}, {PLATEAU, 1000, 999, 0.1}};
  CHECK(rt_lr_schedule, "train", lines);
}

/** 0 / 0 of a parameter without gradient would be NaN. */
static void test_epsilon(void)
{
  rt_deck *deck = NULL;
  CU_ASSERT_EQUAL(rt_deck_parse("test", "train: {eps: 0}", 0, NULL, &deck),
                  RT_ERR_CONFIG);
  CU_ASSERT_EQUAL(
      rt_deck_parse("test", "student: {norm_eps: 0}", 0, NULL, &deck),
      RT_ERR_CONFIG);
  RT_OKAY(rt_deck_parse("test", "train: {eps: 1e-30}", 0, NULL, &deck));
  CU_ASSERT((float)rt_deck_real(deck, RT_KEY_TRAIN_EPS) > 0.0f);
  rt_deck_destroy(&deck);
}

RT_TEST_MAIN("schedules", {"alpha: constant is constant", test_alpha_constant},
             {"alpha: linear, without wsd's lengths", test_alpha_linear},
             {"alpha: wsd", test_alpha_wsd},
             {"rate: constant after its warm-up", test_rate_constant},
             {"rate: cosine", test_rate_cosine}, {"rate: wsd", test_rate_wsd},
             {"no epsilon is 0", test_epsilon})
