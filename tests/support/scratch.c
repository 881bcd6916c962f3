/** \file scratch.c */
#include "support/scratch.h"

void scratch_create(char folder[RT_PATH_MAX])
{
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  memset(folder, 0, RT_PATH_MAX);
  if (rank == 0) {
    const char *const tmp = getenv("TMPDIR");
    snprintf(folder, RT_PATH_MAX, "%s/retort_test_XXXXXX", tmp ? tmp : "/tmp");
    if (mkdtemp(folder) == NULL) {
      perror(folder);
      abort();
    }
  }
  MPI_Bcast(folder, RT_PATH_MAX, MPI_BYTE, 0, MPI_COMM_WORLD);
}

void scratch_remove(const char *folder)
{
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0 && rt_path_remove(folder) != RT_OK)
    fprintf(stderr, "%s\n", rt_err_text());
}

int64_t scratch_random(int i, int64_t n)
{
  uint32_t bits[4];
  rt_rng_bits(7, RT_RNG_TEST, 0, (uint64_t)i, bits);
  return (int64_t)(((uint64_t)bits[0] << 32 | bits[1]) % (uint64_t)n);
}

void scratch_flip(const char *path, int64_t offset, int mask)
{
  unsigned char c = 0;
  const int fd = open(path, O_RDWR);
  if (fd < 0 || pread(fd, &c, 1, offset) != 1) {
    perror(path);
    abort();
  }
  c = (unsigned char)(c ^ mask);
  if (pwrite(fd, &c, 1, offset) != 1)
    abort();
  close(fd);
}

void scratch_fill(const char *path, int64_t n)
{
  unsigned char *const data = malloc((size_t)n + 1);
  for (int64_t i = 0; i < n; i++)
    data[i] = (unsigned char)(i * 7 + (i >> 8));
  if (rt_file_put(path, data, (size_t)n) != RT_OK)
    abort();
  free(data);
}
