/** \file weights.c
 *  A model's weights from a Hugging Face folder.  What the folder says twice
 *  must agree: config.json and the tensors, both ways. */
#include "distill/job/job.h"
#include "io/hf/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool all_finite(rt_view v)
{
  const size_t n = rt_view_size(&v);
  bool good = true;
  if (v.dtype == RT_F64)
    for (size_t i = 0; i < n; i++)
      good &= isfinite(((const double *)v.data)[i]) != 0;
  else
    for (size_t i = 0; i < n; i++)
      good &= isfinite(((const float *)v.data)[i]) != 0;
  return good;
}

/** One tensor's tile, by way of host memory. */
static rt_err load_tile(rt_dev *dev, const rt_safetensors *st,
                        const char *folder, const rt_param *p)
{
  const size_t n = (size_t)(p->n_rows + p->pad_rows) * (size_t)p->n_cols;
  const rt_dtype real = rt_dev_real(dev);
  void *host = calloc(n, rt_dtype_size(real)); // padding rows stay zero
  RT_CHECK(host != NULL, RT_ERR_MEM, "%zu values of %s", n, p->name);
  const rt_view tile = rt_view_of(host, real, p->n_rows, p->n_cols);
  rt_err err = rt_safetensors_read(st, p->name, p->row0, p->col0, tile);
  if (err == RT_OK && !all_finite(tile))
    err = RT_FAIL(RT_ERR_DATA,
                  "%s: %s holds NaN or infinity, expected finite weights: the "
                  "file is damaged, or of a training that failed",
                  folder, p->name);
  if (err == RT_OK)
    err = rt_dev_put(dev, p->w, host);
  free(host);
  return err;
}

static void print_shape(char text[128], int n_dims, const int64_t *shape)
{
  int used = snprintf(text, 128, "[");
  for (int i = 0; i < n_dims && used < 100; i++)
    used += snprintf(text + used, 128 - (size_t)used, "%s%lld",
                     i > 0 ? ", " : "", (long long)shape[i]);
  snprintf(text + used, 128 - (size_t)used, "]");
}

/** The file's tensor must have the model's shape. */
static rt_err check_shape(const rt_safetensors *st, const char *folder,
                          const rt_param *p)
{
  const rt_st_tensor *t = rt_safetensors_find(st, p->name);
  RT_CHECK(t != NULL, RT_ERR_DATA,
           "%s: has no tensor %s, config.json asks for it", folder, p->name);
  const int64_t want[2] = {p->vector ? p->cols : p->rows, p->cols};
  const int n_dims = p->vector ? 1 : 2;
  char is[128], makes[128];
  print_shape(is, t->n_dims, t->shape);
  print_shape(makes, n_dims, want);
  RT_CHECK(strcmp(is, makes) == 0, RT_ERR_DATA,
           "%s: %s is %s, config.json makes it %s", folder, p->name, is, makes);
  return RT_OK;
}

static bool ends_with(const char *text, const char *end)
{
  const size_t n = strlen(text), m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

/** Computed from config.json, or the embedding once more: some folders have
 *  them beside the weights. */
static bool is_derived(const char *name)
{
  return ends_with(name, "rotary_emb.inv_freq") ||
         strcmp(name, "lm_head.weight") == 0;
}

/** No tensor may be left over: more blocks, or biases, than config.json says
 *  are another model than the one that it describes. */
static rt_err check_surplus(const rt_safetensors *st, const char *folder,
                            const rt_params *params)
{
  for (int t = 0; t < rt_safetensors_n(st); t++) {
    const char *const name = rt_safetensors_at(st, t)->name;
    bool wanted = is_derived(name);
    for (int i = 0; i < params->n && !wanted; i++)
      wanted = strcmp(params->item[i].name, name) == 0;
    RT_CHECK(wanted, RT_ERR_DATA,
             "%s: has a tensor %s that the model of config.json lacks: they "
             "are of different models, or config.json is not complete",
             folder, name);
  }
  return RT_OK;
}

static rt_err load_all(rt_dev *dev, const rt_params *params, const char *folder)
{
  rt_safetensors *st = NULL;
  rt_err err = rt_safetensors_open(folder, &st);
  for (int i = 0; err == RT_OK && i < params->n; i++)
    err = check_shape(st, folder, &params->item[i]);
  if (err == RT_OK)
    err = check_surplus(st, folder, params);
  for (int i = 0; err == RT_OK && i < params->n; i++)
    err = load_tile(dev, st, folder, &params->item[i]);
  rt_safetensors_close(&st);
  return err;
}

rt_err rt_job_load_weights(const rt_job *job, rt_model *model,
                           const char *folder)
{
  return rt_agree(job->world,
                  load_all(job->dev, rt_model_params(model), folder));
}
