/** \file saved.c */
#include "distill/train/saved.h"

#include "io/hf/hfconfig.h"
#include <stdio.h>
#include <string.h>

/** The outcome of reading a text of the checkpoint: what a user would have to
 *  correct in his own was written by another version here. */
static rt_err judge(rt_err err, int64_t step)
{
  if (err != RT_ERR_CONFIG)
    return err;
  return RT_FAIL(
      RT_ERR_CONFIG,
      "the checkpoint of step %lld was written by a newer retort, or "
      "another one: %s.  Use that version, or choose another "
      "output.dir",
      (long long)step, rt_err_text());
}

static rt_err read_texts(rt_saved *s, const rt_checkpoint_meta *meta)
{
  static const char config[] = "the checkpoint's config.json";
  RT_TRY(
      judge(rt_deck_parse_back("the checkpoint's deck", meta->deck, &s->deck),
            s->step));
  RT_TRY(
      judge(rt_hfconfig_parse(config, meta->arch, strlen(meta->arch), &s->arch),
            s->step));
  RT_TRY(judge(rt_arch_check(&s->arch, config), s->step));
  s->real = rt_deck_is(s->deck, RT_KEY_RUN_DTYPE, "fp64") ? RT_F64 : RT_F32;
  return RT_OK;
}

/** The tensors of a model as one rank has them. */
static rt_err lay_out(rt_saved *s)
{
  RT_TRY(rt_comm_create(MPI_COMM_SELF, &s->self));
  RT_TRY(rt_grid_init(&s->grid, s->self, 1, "tp"));
  RT_TRY(rt_arena_create("checkpoint", &s->arena));
  return rt_params_init(&s->params, &s->arch, &s->grid, s->arena,
                        rt_types_of(s->real), RT_PARAMS_FIXED);
}

rt_err rt_saved_init(rt_saved *out, const rt_checkpoint_meta *meta)
{
  *out = (rt_saved){.step = meta->step};
  RT_TRY(read_texts(out, meta));
  return lay_out(out);
}

void rt_saved_clear(rt_saved *saved)
{
  rt_params_clear(&saved->params);
  rt_arena_destroy(&saved->arena);
  rt_grid_clear(&saved->grid);
  rt_comm_destroy(&saved->self);
  rt_deck_destroy(&saved->deck);
  *saved = (rt_saved){0};
}

static void describe(const rt_param *p, char text[64])
{
  if (p == NULL)
    snprintf(text, 64, "absent");
  else
    snprintf(text, 64, "%lld x %lld", (long long)p->rows, (long long)p->cols);
}

/** RT_ERR_CONFIG if the tensor \a name differs. */
static rt_err compare(const rt_saved *s, const rt_params *now, const char *name)
{
  const rt_param *const a = rt_params_find(&s->params, name);
  const rt_param *const b = rt_params_find(now, name);
  char old[64], here[64];
  describe(a, old);
  describe(b, here);
  RT_CHECK(
      strcmp(old, here) == 0, RT_ERR_CONFIG,
      "the student does not fit the checkpoint of step %lld: %s is %s "
      "there, %s in the student of this deck.  Restore the keys student.*, "
      "or choose another output.dir (checkpoint.allow_change cannot allow "
      "this)",
      (long long)s->step, name, old, here);
  return RT_OK;
}

static const char *real_name(rt_dtype type)
{
  return type == RT_F64 ? "fp64" : "fp32";
}

rt_err rt_saved_fits(const rt_saved *s, const rt_params *now)
{
  const rt_dtype real = now->types.master;
  RT_CHECK(real == s->real, RT_ERR_CONFIG,
           "run.dtype is %s, but the checkpoint of step %lld is of a run with "
           "run.dtype %s.  Restore that value, or choose another output.dir "
           "(checkpoint.allow_change cannot allow this)",
           real_name(real), (long long)s->step, real_name(s->real));
  for (int i = 0; i < s->params.n; i++)
    RT_TRY(compare(s, now, s->params.item[i].name));
  for (int i = 0; i < now->n; i++)
    RT_TRY(compare(s, now, now->item[i].name));
  return RT_OK;
}
