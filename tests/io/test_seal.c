/** \file test_seal.c
 *  Seals: what they detect, and what they leave to others.
 *  ranks: 1 2 4 */
#include "io/common/seal.h"

#include "support/rt_test.h"
#include "support/scratch.h"

enum { BLOCK = 1 << 20 };

static char folder[RT_PATH_MAX];
static int my_rank;

static void begin(char path[RT_PATH_MAX], int64_t bytes)
{
  MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
  scratch_create(folder);
  RT_OKAY(rt_path_join(path, folder, "data"));
  if (my_rank == 0)
    scratch_fill(path, bytes);
  MPI_Barrier(MPI_COMM_WORLD);
}

/** One rank damages a file while the others wait. */
static void flip(const char *path, int64_t offset, int mask)
{
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0)
    scratch_flip(path, offset, mask);
  MPI_Barrier(MPI_COMM_WORLD);
}

static void test_sizes(void)
{
  static const int64_t sizes[] = {0,         1,         BLOCK - 1,     BLOCK,
                                  BLOCK + 1, 3 * BLOCK, 5 * BLOCK + 77};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    char path[RT_PATH_MAX];
    begin(path, sizes[i]);
    RT_OKAY(rt_seal_write(MPI_COMM_WORLD, path, NULL, 0, RT_SEAL_BLOCKS));
    RT_OKAY(rt_seal_check(MPI_COMM_WORLD, path));
    RT_OKAY(rt_seal_check(MPI_COMM_SELF, path)); // by any number of ranks
    uint64_t together, alone;
    char sha256[RT_SHA256_HEX];
    RT_OKAY(rt_seal_hash(path, &together, sha256));
    MPI_Barrier(MPI_COMM_WORLD);
    if (my_rank == 0) {
      RT_OKAY(rt_seal_write(MPI_COMM_SELF, path, NULL, 0, RT_SEAL_BLOCKS));
      RT_OKAY(rt_seal_hash(path, &alone, sha256));
      CU_ASSERT_EQUAL(together, alone);
    }
    scratch_remove(folder);
  }
}

static void test_any_byte(void)
{
  const int64_t bytes = 4 * BLOCK + 999;
  char path[RT_PATH_MAX];
  begin(path, bytes);
  RT_OKAY(rt_seal_write(MPI_COMM_WORLD, path, NULL, 0, RT_SEAL_BLOCKS));
  for (int i = 0; i < 40; i++) {
    const int64_t at = i == 0   ? 0
                       : i == 1 ? bytes - 1
                                : scratch_random(i, bytes);
    char expected[64];
    snprintf(expected, sizeof expected, "data: block %d (bytes %d..",
             (int)(at / BLOCK), (int)(at / BLOCK * BLOCK));
    flip(path, at, 1 << i % 8);
    RT_FAILS(rt_seal_check(MPI_COMM_WORLD, path), RT_ERR_DATA, expected);
    flip(path, at, 1 << i % 8);
  }
  RT_OKAY(rt_seal_check(MPI_COMM_WORLD, path));
  scratch_remove(folder);
}

/** Raw extents 1.5..3.5 and 3.5..5 blocks: blocks 2, 3, 4 are wholly inside
 *  their union; so is the short last one, inside its own. */
static void test_raw(void)
{
  const rt_extent raw[] = {{BLOCK + BLOCK / 2, 2 * BLOCK},
                           {3 * BLOCK + BLOCK / 2, BLOCK + BLOCK / 2},
                           {6 * BLOCK + 5, 10},
                           {7 * BLOCK, BLOCK - 1}};
  char path[RT_PATH_MAX];
  begin(path, 8 * BLOCK - 1);
  RT_OKAY(rt_seal_write(MPI_COMM_WORLD, path, raw, 4, RT_SEAL_BLOCKS));
  for (int block = 0; block < 8; block++) {
    const int64_t at = (int64_t)block * BLOCK + BLOCK / 2 + 9;
    flip(path, at, 16);
    if ((block >= 2 && block <= 4) || block == 7)
      RT_OKAY(rt_seal_check(MPI_COMM_WORLD, path));
    else
      RT_FAILS(rt_seal_check(MPI_COMM_WORLD, path), RT_ERR_DATA, "block");
    flip(path, at, 16);
  }
  const rt_extent wrong[] = {{BLOCK, BLOCK}, {BLOCK, 5}};
  RT_FAILS(rt_seal_write(MPI_COMM_WORLD, path, wrong, 2, RT_SEAL_BLOCKS),
           RT_ERR_INTERNAL, "out of order");
  const rt_extent outside[] = {{7 * BLOCK, BLOCK}};
  RT_FAILS(rt_seal_write(MPI_COMM_WORLD, path, outside, 1, RT_SEAL_BLOCKS),
           RT_ERR_INTERNAL, "outside");
  scratch_remove(folder);
}

static void test_absent(void)
{
  char path[RT_PATH_MAX];
  begin(path, 100);
  RT_FAILS(rt_seal_check(MPI_COMM_WORLD, path), RT_ERR_DATA, "not sealed");
  RT_OKAY(rt_seal_write(MPI_COMM_WORLD, path, NULL, 0, RT_SEAL_BLOCKS));
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0)
    CU_ASSERT_EQUAL(truncate(path, 99), 0);
  MPI_Barrier(MPI_COMM_WORLD);
  RT_FAILS(rt_seal_check(MPI_COMM_WORLD, path), RT_ERR_DATA,
           "has 99 bytes, its seal says 100");
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0)
    CU_ASSERT_EQUAL(unlink(path), 0);
  MPI_Barrier(MPI_COMM_WORLD);
  RT_FAILS(rt_seal_check(MPI_COMM_WORLD, path), RT_ERR_NOINPUT, "data");
  scratch_remove(folder);
}

/** Every bit of the seal itself, and every truncation. */
static void test_seal_damaged(void)
{
  char path[RT_PATH_MAX], seal[RT_PATH_MAX];
  begin(path, BLOCK + 1);
  RT_OKAY(rt_seal_write(MPI_COMM_WORLD, path, NULL, 0, RT_SEAL_BLOCKS));
  RT_OKAY(rt_path_join(seal, folder, "data.seal"));
  int64_t bytes;
  RT_OKAY(rt_file_size(seal, &bytes));
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0) {
    int passed = 0;
    for (int64_t bit = 0; bit < bytes * 8; bit++) {
      scratch_flip(seal, bit / 8, 1 << bit % 8);
      passed += rt_seal_check(MPI_COMM_SELF, path) == RT_OK;
      scratch_flip(seal, bit / 8, 1 << bit % 8);
    }
    CU_ASSERT_EQUAL(passed, 0);
    RT_OKAY(rt_seal_check(MPI_COMM_SELF, path));
    for (int64_t n = bytes - 1; n >= 0; n--) {
      CU_ASSERT_EQUAL(truncate(seal, n), 0);
      passed += rt_seal_check(MPI_COMM_SELF, path) == RT_OK;
    }
    CU_ASSERT_EQUAL(passed, 0);
  }
  scratch_remove(folder);
}

/** Seals with a valid hash but invalid contents. */
static void test_seal_lies(void)
{
  static const struct {
    const char *text, *part;
  } lies[] = {
      {"{", "seal is not a retort-seal"},
      {"{\"format\": \"retort-seal\", \"version\": 2,", "of version 1"},
      {"{\"format\": \"retort-seal\", \"version\": 1, \"bytes\": 101, "
       "\"block_bytes\": 4096,",
       "its seal says 101"},
      {"{\"format\": \"retort-seal\", \"version\": 1, \"bytes\": 100, "
       "\"block_bytes\": 1,",
       "invalid"},
      {"{\"format\": \"retort-seal\", \"version\": 1, \"bytes\": 100, "
       "\"block_bytes\": 4096, \"raw\": [[0, 101]], \"blocks\": \"\",",
       "raw extent 0"},
      {"{\"format\": \"retort-seal\", \"version\": 1, \"bytes\": 100, "
       "\"block_bytes\": 4096, \"raw\": [[9, 1], [9, 1]], \"blocks\": \"\",",
       "raw extent 1"},
      {"{\"format\": \"retort-seal\", \"version\": 1, \"bytes\": 100, "
       "\"block_bytes\": 4096, \"raw\": [[0, 99]], \"blocks\": \"\",",
       "not contain the 1 hashes"},
      {"{\"format\": \"retort-seal\", \"version\": 1, \"bytes\": 100, "
       "\"block_bytes\": 4096, \"raw\": [], \"blocks\": \"0123456789ABCDEF\",",
       "not contain the 1 hashes"},
      {"{\"format\": \"retort-seal\", \"version\": 1, \"bytes\": 100, "
       "\"block_bytes\": 4096, \"raw\": [], \"blocks\": \"0123456789abcdef\",",
       "expected 0123456789abcdef"},
      {"[1,", "data.seal:"},
  };
  char path[RT_PATH_MAX], seal[RT_PATH_MAX];
  begin(path, 100);
  RT_OKAY(rt_path_join(seal, folder, "data.seal"));
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
    MPI_Barrier(MPI_COMM_WORLD);
    if (my_rank == 0)
      RT_OKAY(rt_seal_text_put(seal, lies[i].text, strlen(lies[i].text)));
    MPI_Barrier(MPI_COMM_WORLD);
    RT_FAILS(rt_seal_check(MPI_COMM_WORLD, path), RT_ERR_DATA, lies[i].part);
  }
  scratch_remove(folder);
}

RT_TEST_MAIN("seal", {"files of any size", test_sizes},
             {"any damaged byte is named", test_any_byte},
             {"blocks inside raw extents are not read", test_raw},
             {"absent and truncated files", test_absent},
             {"every bit and length of the seal", test_seal_damaged},
             {"seals that lie", test_seal_lies})
