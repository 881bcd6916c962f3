/** \file state.c
 *  Writes and reads the student's state in checkpoints. */
#include "distill/train/state.h"

#include <stdio.h>
#include <stdlib.h>

static rt_err gather(const rt_state_spec *spec, rt_pieces *s)
{
  RT_TRY(rt_pieces_init(s, spec->dev, 3 * spec->params->n));
  rt_pieces_add_written(s, spec->params, spec->opt);
  return rt_pieces_from_device(s);
}

static rt_err write_pieces(const rt_state_spec *spec,
                           const rt_checkpoint_meta *meta, rt_pieces *s)
{
  RT_TRY(rt_agree(spec->world, gather(spec, s)));
  return rt_checkpoint_write(rt_comm_mpi(spec->world), spec->folder, meta,
                             s->slab, s->n);
}

rt_err rt_state_write(const rt_state_spec *spec, const rt_checkpoint_meta *meta)
{
  rt_pieces s = {0};
  const rt_err err = write_pieces(spec, meta, &s);
  rt_pieces_clear(&s);
  return err;
}

/** The state of this moment in \a block. */
static rt_err copy(const rt_state_spec *spec, char *block, rt_pieces *s)
{
  RT_TRY(rt_pieces_init(s, spec->dev, 3 * spec->params->n));
  rt_pieces_add_written(s, spec->params, spec->opt);
  return rt_pieces_copy(s, block);
}

rt_err rt_state_begin(const rt_state_spec *spec, const rt_checkpoint_meta *meta,
                      char *block, rt_worker *worker, rt_state_writing *out)
{
  rt_pieces *const s = &out->pieces;
  *out = (rt_state_writing){0};
  rt_err err = rt_agree(spec->world, copy(spec, block, s));
  const rt_checkpoint_spec to = {.comm = rt_comm_mpi(spec->world),
                                 .folder = spec->folder,
                                 .meta = meta,
                                 .slabs = s->slab,
                                 .n_slabs = s->n,
                                 .worker = worker};
  if (err == RT_OK)
    err = rt_checkpoint_begin(&to, &out->writer);
  if (err != RT_OK)
    rt_state_writing_clear(out);
  return err == RT_OK ? RT_OK : rt_err_forward(err, __FILE__, __LINE__);
}

void rt_state_writing_clear(rt_state_writing *x)
{
  rt_checkpoint_abandon(&x->writer);
  rt_pieces_clear(&x->pieces);
}

/** Are weights stored as they are computed with? */
static bool has_masters(const rt_state_spec *spec)
{
  return spec->params->types.master != spec->params->types.weight;
}

static rt_err place(const rt_state_spec *spec, rt_pieces *s)
{
  RT_TRY(rt_pieces_init(s, spec->dev, 3 * spec->params->n));
  if (has_masters(spec))
    rt_pieces_add_masters(s, spec->params);
  else
    rt_pieces_add_weights(s, spec->params);
  if (spec->opt != NULL)
    rt_pieces_add_moments(s, spec->params, spec->opt);
  return rt_pieces_stage(s);
}

static rt_err read_pieces(const rt_state_spec *spec,
                          const rt_checkpoint_meta *meta, rt_pieces *s)
{
  RT_TRY(rt_agree(spec->world, place(spec, s)));
  RT_TRY(rt_checkpoint_read(rt_comm_mpi(spec->world), meta, s->slab, s->n));
  RT_TRY(rt_agree(spec->world, rt_pieces_check(s->slab, s->n)));
  return rt_agree(spec->world, rt_pieces_to_device(s));
}

/** Read this rank's tile of a tensor, and convert it. */
static rt_err read_tile(const rt_state_spec *spec,
                        const rt_checkpoint_meta *meta, const rt_param *p)
{
  char name[104];
  snprintf(name, sizeof name, "w/%s", p->name);
  rt_slab slab = {.name = name,
                  .rows = p->rows,
                  .cols = p->cols,
                  .row0 = p->n_rows > 0 ? p->row0 : 0,
                  .col0 = p->n_rows > 0 ? p->col0 : 0,
                  .data = rt_view_of(NULL, spec->params->types.master,
                                     p->n_rows, p->n_cols)};
  slab.data.data = malloc(rt_view_bytes(&slab.data) + 1);
  rt_err err =
      slab.data.data != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "tensor %s", name);
  err = rt_agree(spec->world, err);
  if (err == RT_OK)
    err = rt_checkpoint_read(rt_comm_mpi(spec->world), meta, &slab, 1);
  if (err == RT_OK)
    err = rt_agree(spec->world, rt_pieces_check(&slab, 1));
  if (err == RT_OK)
    err = rt_agree(spec->world, rt_param_put(p, spec->dev, 0, slab.data));
  free(slab.data.data);
  if (err == RT_OK && p->pad_rows > 0)
    RT_RUN(spec->dev, fill, .y = rt_view_rows(p->w, p->n_rows, p->pad_rows));
  return err;
}

rt_err rt_state_read(const rt_state_spec *spec, const rt_checkpoint_meta *meta)
{
  rt_pieces s = {0};
  rt_err err = RT_OK;
  if (has_masters(spec) && spec->opt == NULL) {
    for (int i = 0; i < spec->params->n; i++)
      RT_TRY(read_tile(spec, meta, &spec->params->item[i]));
    return RT_OK;
  }
  err = read_pieces(spec, meta, &s);
  rt_pieces_clear(&s);
  if (err == RT_OK && has_masters(spec))
    err = rt_adamw_publish(spec->opt);
  return err;
}
