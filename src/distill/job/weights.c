/** \file weights.c
 *  Loads a model's weights from a Hugging Face folder.  Redundant information
 *  in the folder must agree: config.json and the tensors, both ways. */
#include "distill/job/weights.h"

#include "base/text.h"
#include "io/hf/safetensors.h"
#include "model/rope.h"

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

/** Read rows of this rank's tile of a tensor, from its row \a r on. */
static rt_err read_rows(const rt_safetensors *st, const char *folder,
                        const rt_param *p, int64_t r, rt_view rows)
{
  RT_TRY(rt_safetensors_read(st, p->name, p->row0 + r, p->col0, rows));
  RT_CHECK(all_finite(rows), RT_ERR_DATA,
           "%s: %s holds NaN or infinity, expected finite weights: the file is "
           "damaged, or of a training that failed",
           folder, p->name);
  return RT_OK;
}

/** Load this rank's tile of a tensor, piece by piece. */
static rt_err load_tile(rt_dev *dev, const rt_safetensors *st,
                        const char *folder, const rt_param *p)
{
  const int64_t fits = (1 << 20) / p->n_cols;
  const int64_t n_piece = fits < 1 ? 1 : fits < p->n_rows ? fits : p->n_rows;
  const rt_dtype type = p->w.dtype == RT_F64 ? RT_F64 : RT_F32;
  rt_view piece = rt_view_of(NULL, type, n_piece, p->n_cols);
  piece.data = malloc(rt_view_bytes(&piece) + 1);
  rt_err err = piece.data != NULL ? RT_OK
                                  : RT_FAIL(RT_ERR_MEM, "%lld rows of %s",
                                            (long long)n_piece, p->name);
  for (int64_t r = 0; err == RT_OK && r < p->n_rows; r += n_piece) {
    const int64_t n = p->n_rows - r < n_piece ? p->n_rows - r : n_piece;
    const rt_view rows = rt_view_rows(piece, 0, n);
    err = read_rows(st, folder, p, r, rows);
    if (err == RT_OK)
      err = rt_param_put(p, dev, r, rows);
  }
  free(piece.data);
  if (err == RT_OK && p->pad_rows > 0)
    RT_RUN(dev, fill, .y = rt_view_rows(p->w, p->n_rows, p->pad_rows));
  return err == RT_OK ? rt_dev_sync(dev) : err;
}

static void print_shape(char text[128], int n_dims, const int64_t *shape)
{
  int used = snprintf(text, 128, "[");
  for (int i = 0; i < n_dims && used < 100; i++)
    used += snprintf(text + used, 128 - (size_t)used, "%s%lld",
                     i > 0 ? ", " : "", (long long)shape[i]);
  snprintf(text + used, 128 - (size_t)used, "]");
}

/** Check that the file's tensor has the model's shape. */
static rt_err check_shape(const rt_safetensors *st, const char *folder,
                          const rt_param *p)
{
  const rt_st_tensor *t = rt_safetensors_find(st, p->name);
  RT_CHECK(t != NULL, RT_ERR_DATA,
           "%s: has no tensor %s, which config.json requires", folder, p->name);
  const int64_t want[2] = {p->vector ? p->cols : p->rows, p->cols};
  const int n_dims = p->vector ? 1 : 2;
  char is[128], makes[128];
  print_shape(is, t->n_dims, t->shape);
  print_shape(makes, n_dims, want);
  RT_CHECK(strcmp(is, makes) == 0, RT_ERR_DATA,
           "%s: %s is %s, but config.json implies %s", folder, p->name, is,
           makes);
  return RT_OK;
}

static const char embed_name[] = "model.embed_tokens.weight";
static const char head_name[] = "lm_head.weight";

static bool is_frequencies(const char *name)
{
  return rt_text_ends_with(name, "rotary_emb.inv_freq");
}

/** Is the tensor redundant (computed from config.json, or a copy of the
 *  embedding)?  Some folders contain such tensors, which must agree, see below.
 */
static bool is_derived(const char *name)
{
  return is_frequencies(name) || strcmp(name, head_name) == 0;
}

/** Check that no tensor is left over: further blocks or biases mean that
 *  config.json describes another model. */
static rt_err check_surplus(const rt_safetensors *st, const char *folder,
                            const rt_params *params)
{
  for (int t = 0; t < rt_safetensors_n(st); t++) {
    const char *const name = rt_safetensors_at(st, t)->name;
    bool wanted = rt_safetensors_at(st, t)->alias || is_derived(name);
    for (int i = 0; i < params->n && !wanted; i++)
      wanted = strcmp(params->item[i].name, name) == 0;
    RT_CHECK(wanted, RT_ERR_DATA,
             "%s: has a tensor %s that the model of config.json lacks: they "
             "belong to different models, or config.json is incomplete",
             folder, name);
  }
  return RT_OK;
}

/** Compare a rank's rows of the embedding and the head, piece by piece.
 *  \param piece  [2][n_piece][p->cols] scratch */
static rt_err compare_heads(const rt_safetensors *st, const char *folder,
                            const rt_param *p, double *piece, int64_t n_piece)
{
  for (int64_t r = 0; r < p->n_rows; r += n_piece) {
    const int64_t n = p->n_rows - r < n_piece ? p->n_rows - r : n_piece;
    double *const head = piece + n * p->cols;
    RT_TRY(rt_safetensors_read(st, embed_name, p->row0 + r, 0,
                               rt_view_of(piece, RT_F64, n, p->cols)));
    RT_TRY(rt_safetensors_read(st, head_name, p->row0 + r, 0,
                               rt_view_of(head, RT_F64, n, p->cols)));
    RT_CHECK(memcmp(piece, head, (size_t)(n * p->cols) * sizeof *piece) == 0,
             RT_ERR_DATA,
             "%s: config.json says tie_word_embeddings true, but %s is not %s: "
             "the model has a head of its own.  Set tie_word_embeddings to "
             "false to keep that head, or remove the tensor to take the "
             "embedding",
             folder, head_name, embed_name);
  }
  return RT_OK;
}

/** A tied model's folder may contain a copy of the head, but not a different
 *  head. */
static rt_err check_tied_head(const rt_safetensors *st, const char *folder,
                              const rt_params *params)
{
  const rt_param *const embed = rt_params_find(params, embed_name);
  if (rt_safetensors_find(st, head_name) == NULL || embed == NULL ||
      rt_params_find(params, head_name) != NULL)
    return RT_OK;
  rt_param head = *embed;
  snprintf(head.name, sizeof head.name, "%s", head_name);
  RT_TRY(check_shape(st, folder, &head));
  int64_t n = (1 << 20) / embed->cols;
  n = n < 1 ? 1 : n;
  double *const piece = malloc(2 * (size_t)(n * embed->cols) * sizeof *piece);
  RT_CHECK(piece != NULL, RT_ERR_MEM, "to compare the heads of %s", folder);
  const rt_err err = compare_heads(st, folder, embed, piece, n);
  free(piece);
  return err;
}

/** Are these the frequencies of \a arch?  They may be stored in 16 bits. */
static bool are_frequencies_of(const rt_arch *arch, const double *freq,
                               double *row)
{
  const int64_t half = arch->head_dim / 2;
  bool same = true;
  rt_rope_row(arch, 1, 1, row); // sin of an angle of at most 1
  for (int64_t i = 0; i < half; i++) {
    const double want = asin(row[half + i]);
    same &= fabs(freq[i] - want) <= 5e-3 * want + 1e-7;
  }
  return same;
}

/** Check the frequencies that old folders contain per block, with or without
 *  the scaling. */
static rt_err check_frequencies(const rt_safetensors *st, const char *folder,
                                const rt_arch *arch, double *scratch)
{
  const int64_t half = arch->head_dim / 2;
  double *const freq = scratch + arch->head_dim;
  rt_arch plain = *arch;
  memset(&plain.rope_scaling, 0, sizeof plain.rope_scaling);
  for (int t = 0; t < rt_safetensors_n(st); t++) {
    const rt_st_tensor *const x = rt_safetensors_at(st, t);
    if (!is_frequencies(x->name))
      continue;
    bool same = x->n_dims == 1 && x->shape[0] == half;
    if (same)
      RT_TRY(rt_safetensors_read(st, x->name, 0, 0,
                                 rt_view_of(freq, RT_F64, 1, half)));
    same = same && (are_frequencies_of(arch, freq, scratch) ||
                    are_frequencies_of(&plain, freq, scratch));
    RT_CHECK(same, RT_ERR_DATA,
             "%s: %s has other rotary frequencies than config.json gives "
             "(rope_theta %g, head_dim %lld): set rope_theta right, or remove "
             "the tensor if it is only a left-over",
             folder, x->name, arch->rope_theta, (long long)arch->head_dim);
  }
  return RT_OK;
}

/** Check redundant tensors. */
static rt_err check_derived(const rt_safetensors *st, const char *folder,
                            const rt_arch *arch, const rt_params *params)
{
  double *const scratch = malloc(2 * (size_t)arch->head_dim * sizeof *scratch);
  RT_CHECK(scratch != NULL, RT_ERR_MEM, "frequencies of %s", folder);
  rt_err err = check_frequencies(st, folder, arch, scratch);
  free(scratch);
  return err == RT_OK ? check_tied_head(st, folder, params) : err;
}

static rt_err load_all(rt_dev *dev, const rt_arch *arch,
                       const rt_params *params, const char *folder)
{
  rt_safetensors *st = NULL;
  rt_err err = rt_safetensors_open(folder, &st);
  for (int i = 0; err == RT_OK && i < params->n; i++)
    err = check_shape(st, folder, &params->item[i]);
  if (err == RT_OK)
    err = check_surplus(st, folder, params);
  if (err == RT_OK)
    err = check_derived(st, folder, arch, params);
  for (int i = 0; err == RT_OK && i < params->n; i++)
    err = load_tile(dev, st, folder, &params->item[i]);
  rt_safetensors_close(&st);
  return err;
}

rt_err rt_weights_load(const rt_comm *world, rt_dev *dev, rt_model *model,
                       const char *folder)
{
  return rt_agree(world, load_all(dev, rt_model_arch(model),
                                  rt_model_params(model), folder));
}

rt_err rt_weights_load_head(const rt_comm *world, rt_dev *dev,
                            const rt_arch *arch, const char *folder, int64_t v0,
                            rt_view w)
{
  const int64_t left = arch->vocab - v0;
  const int64_t n = left < 0 ? 0 : left < w.rows ? left : w.rows;
  rt_param p = {.rows = arch->vocab,
                .cols = arch->width,
                .row0 = n > 0 ? v0 : 0,
                .n_rows = n,
                .pad_rows = w.rows - n,
                .n_cols = arch->width,
                .w = w};
  rt_safetensors *st = NULL;
  snprintf(p.name, sizeof p.name, "%s", arch->tied ? embed_name : head_name);
  rt_err err = rt_safetensors_open(folder, &st);
  if (err == RT_OK)
    err = check_shape(st, folder, &p);
  if (err == RT_OK)
    err = load_tile(dev, st, folder, &p);
  rt_safetensors_close(&st);
  return rt_agree(world, err);
}
