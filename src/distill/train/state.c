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
