/** \file h5_file.c */
#include "support/h5_file.h"

rt_err h5_save(rt_h5 **h5, const char *path)
{
  rt_outfile *to;
  RT_TRY(rt_outfile_create(path, &to));
  return rt_outfile_finish(rt_h5_save(h5, NULL, 0, to), &to);
}

rt_err h5_open(const char *path, rt_h5_reader **out)
{
  rt_seal_proof proof;
  *out = NULL;
  RT_TRY(rt_seal_write(MPI_COMM_SELF, path, NULL, 0, RT_SEAL_BLOCKS));
  const rt_err err = rt_h5_reader_open(path, &proof, out);
  rt_seal_proof_clear(&proof);
  return err;
}
