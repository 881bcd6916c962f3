/** \file logits_out.c */
#include "distill/eval/logits_out.h"

#include "base/draft.h"
#include "base/outfile.h"

#include <stdlib.h>

typedef struct logits_file {
  rt_dev *dev; // borrowed
  rt_head head;
  rt_outfile *file; // owned
  void *tile;       // owned [room] of the device's type
  float *tile_f32;  // owned [room]
  size_t room;      // elements
} logits_file;

static rt_err fit(logits_file *f, const rt_view *z)
{
  const size_t n = rt_view_size(z);
  if (n <= f->room)
    return RT_OK;
  free(f->tile);
  free(f->tile_f32);
  f->room = 0;
  f->tile = malloc(n * rt_dtype_size(z->dtype));
  f->tile_f32 = malloc(n * sizeof *f->tile_f32);
  RT_CHECK(f->tile && f->tile_f32, RT_ERR_MEM, "a tile of %zu logits", n);
  f->room = n;
  return RT_OK;
}

/** Write this rank's columns of a tile to their places in [rows, T, V]. */
static rt_err put_tile(void *self, rt_view z, int64_t tok0)
{
  logits_file *const f = self;
  const int64_t left = f->head.vocab - f->head.v0; // the rest is padding
  const int64_t n_cols = left < 0 ? 0 : left < z.cols ? left : z.cols;
  RT_TRY(fit(f, &z));
  RT_TRY(rt_dev_get(f->dev, f->tile, z));
  rt_dtype_convert(f->tile_f32, RT_F32, f->tile, z.dtype, rt_view_size(&z));
  for (int64_t i = 0; i < z.rows; i++)
    RT_TRY(rt_outfile_put_at(
        f->file, f->tile_f32 + i * z.cols, (size_t)n_cols * sizeof(float),
        ((tok0 + i) * f->head.vocab + f->head.v0) * (int64_t)sizeof(float)));
  return RT_OK;
}

/** Open the file; rank 0 sets its final size. */
static rt_err open_file(const rt_logits_out_spec *s, const char *path,
                        logits_file *f)
{
  const rt_evaluator_spec *const about = rt_evaluator_about(s->evaluator);
  const int64_t there = rt_corpus_n_rows(about->rows.corpus, s->part);
  const int64_t n = s->n_rows == 0 || s->n_rows > there ? there : s->n_rows;
  RT_TRY(rt_outfile_open(path, &f->file));
  return rt_comm_rank(about->world) == 0
             ? rt_outfile_resize(f->file, n * about->rows.seq * f->head.vocab *
                                              (int64_t)sizeof(float))
             : RT_OK;
}

/** Each rank writes its columns to the existing file \a path. */
static rt_err write_all(const rt_logits_out_spec *s, const char *path,
                        rt_eval_result *out)
{
  const rt_evaluator_spec *const about = rt_evaluator_about(s->evaluator);
  logits_file f = {.dev = about->dev, .head = rt_model_head(about->student)};
  rt_err err = rt_agree(about->world, open_file(s, path, &f));
  if (err == RT_OK) {
    rt_evaluator_show(s->evaluator, put_tile, &f);
    err = rt_evaluate(s->evaluator, s->part, s->n_rows, out);
    rt_evaluator_show(s->evaluator, NULL, NULL);
  }
  err = rt_agree(about->world, rt_outfile_finish(err, &f.file));
  free(f.tile);
  free(f.tile_f32);
  return err;
}

rt_err rt_logits_out(const rt_logits_out_spec *spec, rt_eval_result *out)
{
  const rt_comm *const world = rt_evaluator_about(spec->evaluator)->world;
  const bool first = rt_comm_rank(world) == 0;
  rt_draft draft = {.fd = -1};
  RT_TRY(rt_agree(world, first ? rt_draft_file(spec->path, &draft) : RT_OK));
  rt_err err = rt_comm_bcast(world, draft.tmp, sizeof draft.tmp, 0);
  if (err == RT_OK)
    err = write_all(spec, draft.tmp, out);
  return rt_agree(world, first ? rt_draft_conclude(err, &draft) : err);
}
