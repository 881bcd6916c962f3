/** \file test_arch.c
 *  Shapes: what is refused, and counts that others published.
 *  ranks: 1 */
#include "model/arch.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>

static rt_arch smollm2(void)
{
  return (rt_arch){.family = "llama",
                   .vocab = 49152,
                   .width = 576,
                   .n_blocks = 30,
                   .n_heads = 9,
                   .n_kv_heads = 3,
                   .head_dim = 64,
                   .ffn = 1536,
                   .max_positions = 8192,
                   .norm_eps = 1e-5,
                   .rope_theta = 1e5,
                   .tied = true,
                   .init_std = 0.02,
                   .bos_id = -1,
                   .eos_id = -1};
}

static void test_check(void)
{
  const rt_arch good = smollm2();
  RT_OKAY(rt_arch_check(&good, "here"));
  rt_arch a = good;
  strcpy(a.family, "mpt");
  RT_FAILS(rt_arch_check(&a, "c.json"), RT_ERR_CONFIG, "c.json: model family");
  a = good, a.width = 0;
  RT_FAILS(rt_arch_check(&a, "c.json"), RT_ERR_CONFIG, "hidden_size is 0");
  a = good, a.vocab = INT64_C(1) << 40;
  RT_FAILS(rt_arch_check(&a, "c.json"), RT_ERR_CONFIG, "vocab_size is 1099");
  a = good, a.n_kv_heads = 2;
  RT_FAILS(rt_arch_check(&a, "c.json"), RT_ERR_CONFIG, "num_key_value_heads");
  a = good, a.head_dim = 63;
  RT_FAILS(rt_arch_check(&a, "c.json"), RT_ERR_CONFIG, "head_dim is 63");
  a = good, a.rope_theta = (double)NAN;
  RT_FAILS(rt_arch_check(&a, "c.json"), RT_ERR_CONFIG, "rope_theta");
  a = good, a.norm_eps = (double)NAN;
  RT_FAILS(rt_arch_check(&a, "c.json"), RT_ERR_CONFIG, "rms_norm_eps");
  a = good, a.init_std = (double)INFINITY;
  RT_FAILS(rt_arch_check(&a, "c.json"), RT_ERR_CONFIG, "initializer_range");
  a = good, a.width = a.ffn = 1 << 24, a.n_blocks = 100000;
  RT_FAILS(rt_arch_check(&a, "c.json"), RT_ERR_CONFIG, "more than 1e15");
}

static void test_check_scaling(void)
{
  rt_arch a = smollm2();
  a.rope_scaling = (rt_rope_scaling){RT_ROPE_LLAMA3, 8.0, 1.0, 4.0, 8192};
  RT_OKAY(rt_arch_check(&a, "here"));
  a.rope_scaling.factor = 0.5;
  RT_FAILS(rt_arch_check(&a, "here"), RT_ERR_CONFIG, "factor is 0.5");
  a.rope_scaling = (rt_rope_scaling){RT_ROPE_LLAMA3, 8.0, 4.0, 4.0, 8192};
  RT_FAILS(rt_arch_check(&a, "here"), RT_ERR_CONFIG, "0 < low < high");
  a.rope_scaling = (rt_rope_scaling){RT_ROPE_LLAMA3, 8.0, 1.0, 4.0, 0};
  RT_FAILS(rt_arch_check(&a, "here"), RT_ERR_CONFIG, "original_max_position");
}

static void test_tp(void)
{
  rt_arch a = smollm2();
  RT_OKAY(rt_arch_check_tp(&a, 1, "teacher.tp"));
  RT_OKAY(rt_arch_check_tp(&a, 3, "teacher.tp"));
  RT_OKAY(rt_arch_check_tp(&a, 1, "teacher.tp"));
  RT_FAILS(rt_arch_check_tp(&a, 2, "teacher.tp"), RT_ERR_CONFIG,
           "teacher.tp is 2, which does not suit 9 heads, 3 key/value heads");
  // 9 divides the heads, but not the inner width
  RT_FAILS(rt_arch_check_tp(&a, 9, "teacher.tp"), RT_ERR_CONFIG,
           "valid values: 1 3");
  a.n_heads = 12, a.n_kv_heads = 4;
  RT_OKAY(rt_arch_check_tp(&a, 12, "teacher.tp")); // replicated
  RT_FAILS(rt_arch_check_tp(&a, 6, "teacher.tp"), RT_ERR_CONFIG,
           "valid values: 1 2 4 12");
}

static void test_counts(void)
{
  rt_arch a = smollm2();
  CU_ASSERT_EQUAL(rt_arch_n_params(&a), 134515008); // as published
  a.tied = false;
  CU_ASSERT_EQUAL(rt_arch_n_params(&a), 134515008 + 49152 * 576);
  a.tied = true;
  a.qkv_bias = a.o_bias = a.mlp_bias = true;
  CU_ASSERT_EQUAL(rt_arch_n_params(&a),
                  134515008 + 30 * (576 + 2 * 192 + 576 + 2 * 1536 + 576));
  // one block: projections, causal half of the scores, head
  a.n_blocks = 1;
  const double block = 2.0 * (2 * 576 * 576 + 2 * 192 * 576 + 3 * 1536 * 576);
  const double attention = 2.0 * 2.0 * 9 * 64 * (512 + 1) / 2.0;
  const double head = 2.0 * 49152 * 576;
  CU_ASSERT_DOUBLE_EQUAL(rt_arch_flops_fwd(&a, 512), block + attention + head,
                         0.5);
}

RT_TEST_MAIN("arch", {"shapes are checked", test_check},
             {"rope scaling is checked", test_check_scaling},
             {"tp is checked, valid values listed", test_tp},
             {"parameters and flops are counted", test_counts})
