/** \file newest.c */
#include "support/newest.h"

typedef struct place {
  MPI_Comm comm;
  const char *folder;
} place;

static rt_err read_meta(void *context, int64_t step)
{
  const place *const p = context;
  rt_checkpoint_meta meta;
  const rt_err err = rt_checkpoint_read_meta(p->comm, p->folder, step, &meta);
  rt_checkpoint_meta_clear(&meta);
  return err;
}

rt_err newest_step(MPI_Comm comm, const char *folder, int64_t *step)
{
  place p = {comm, folder};
  return rt_checkpoint_newest(comm, folder, read_meta, &p, step);
}
