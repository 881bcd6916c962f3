/** \file rows.c */
#include "distill/data/rows.h"

int64_t rt_rows_in_dataset(const rt_rows *rows, int64_t row)
{
  return rows->pieces > 0 ? row / rows->pieces : row;
}
