/** \file state.c
 *  Writes and reads the student's state in checkpoints. */
#include "distill/train/state.h"

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

static rt_err place(const rt_state_spec *spec, rt_pieces *s)
{
  RT_TRY(rt_pieces_init(s, spec->dev, 3 * spec->params->n));
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

rt_err rt_state_read(const rt_state_spec *spec, const rt_checkpoint_meta *meta)
{
  rt_pieces s = {0};
  const rt_err err = read_pieces(spec, meta, &s);
  rt_pieces_clear(&s);
  return err;
}
