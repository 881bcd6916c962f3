/** \file rt_test_files.c */
#include "support/rt_test_files.h"

void rt_scratch(char folder[RT_PATH_MAX])
{
  const char *root = getenv("TMPDIR");
  RT_OKAY(rt_path_join(folder, root != NULL ? root : "/tmp", "rt_XXXXXX"));
  CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

const char *rt_in(const char *folder, const char *name, char path[RT_PATH_MAX])
{
  RT_OKAY(rt_path_join(path, folder, name));
  return path;
}

void rt_put_bytes(const char *path, const void *data, size_t n)
{
  FILE *f = fopen(path, "wb");
  CU_ASSERT_PTR_NOT_NULL_FATAL(f);
  CU_ASSERT_EQUAL_FATAL(fwrite(data, 1, n, f), n);
  CU_ASSERT_EQUAL_FATAL(fclose(f), 0);
}

void rt_put_text(const char *path, const char *text)
{
  rt_put_bytes(path, text, strlen(text));
}

/** A refusal must come with its text and be about the input: no RT_ERR_MEM from
 *  a lying size, no RT_ERR_INTERNAL. */
static void rt_check_refusal(rt_err err)
{
  const int ok =
      (err == RT_ERR_DATA || err == RT_ERR_CONFIG || err == RT_ERR_NOINPUT) &&
      strlen(rt_err_text()) > 10;
  if (!ok)
    fprintf(stderr, "error %d: %s\n", (int)err, rt_err_text());
  CU_ASSERT(ok);
}

void rt_damage(const char *path, const unsigned char *data, size_t n,
               const unsigned char *masks, int n_masks,
               rt_err (*read_all)(const void *self, bool cut), const void *self)
{
  unsigned char *bad = malloc(n + 1);
  CU_ASSERT_PTR_NOT_NULL_FATAL(bad);
  memcpy(bad, data, n);
  for (size_t length = 0; length < n; length++) {
    rt_put_bytes(path, data, length);
    const rt_err err = read_all(self, true);
    CU_ASSERT_NOT_EQUAL(err, RT_OK);
    rt_check_refusal(err);
  }
  for (size_t i = 0; i < n; i++)
    for (int m = 0; m < n_masks; m++) {
      bad[i] = (unsigned char)(data[i] ^ masks[m]);
      rt_put_bytes(path, bad, n);
      const rt_err err = read_all(self, false);
      if (err != RT_OK)
        rt_check_refusal(err);
      bad[i] = data[i];
    }
  rt_put_bytes(path, data, n);
  free(bad);
}
