/** \file h5_file.c */
#include "support/h5_file.h"

rt_err h5_save(rt_h5 **h5, const char *path)
{
  rt_outfile *to;
  RT_TRY(rt_outfile_create(path, &to));
  return rt_outfile_finish(rt_h5_save(h5, NULL, 0, to), &to);
}
