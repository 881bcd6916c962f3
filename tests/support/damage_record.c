/** \file damage_record.c */
#include "support/damage_record.h"

void damage_record(const rt_logits *ds, const char *folder, int64_t row)
{
  char path[RT_PATH_MAX], *file = NULL;
  size_t n = 0;
  rt_bytes record = {0};
  RT_OKAY(rt_logits_read_record(ds, row, &record));
  RT_OKAY(rt_logits_shard_path(path, folder,
                               row / rt_logits_about(ds)->shard_rows));
  RT_OKAY(rt_file_slurp(path, 1 << 24, &file, &n));
  char *const at = memmem(file, n, record.data, record.n);
  CU_ASSERT_PTR_NOT_NULL_FATAL(at);
  at[record.n / 2] = (char)(at[record.n / 2] ^ 16);
  rt_put_bytes(path, file, n);
  free(file);
  rt_bytes_clear(&record);
}
