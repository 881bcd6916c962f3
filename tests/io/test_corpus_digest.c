/** \file test_corpus_digest.c
 *  What a corpus is known by: the same on any number of ranks, another one as
 *  soon as a byte, an index, the order or a share is another.
 *  ranks: 1 2 4 */
#include "io/common/digest.h"
#include "support/corpus_files.h"
#include "support/scratch.h"

#include <sys/stat.h>

static char folder[RT_PATH_MAX], pair[RT_PATH_MAX], flat[RT_PATH_MAX];
static int my_rank;
static text x;

/** A Megatron pair and a flat file, and a cache of this test's own. */
static void begin(void)
{
  char cache[RT_PATH_MAX];
  MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
  scratch_create(folder);
  RT_OKAY(rt_path_join(cache, folder, "cache"));
  setenv("XDG_CACHE_HOME", cache, 1);
  RT_OKAY(rt_path_join(pair, folder, "p"));
  RT_OKAY(rt_path_join(flat, folder, "r.u16"));
  make_text(&x, 20, 4);
  if (my_rank == 0) {
    put_megatron(pair, &x, 8, 9);
    put_flat(flat, &x, false, false);
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

static void digest(rt_corpus_spec spec, char hex[RT_SHA256_HEX])
{
  rt_corpus *c = NULL;
  RT_OKAY(rt_corpus_open(&spec, &c));
  RT_OKAY(rt_corpus_digest(MPI_COMM_WORLD, c, hex));
  rt_corpus_close(&c);
}

/** What corpus.h says, by hand. */
static void definition(const char *shares, char hex[RT_SHA256_HEX])
{
  char bin[RT_PATH_MAX + 4], idx[RT_PATH_MAX + 4], lines[1024];
  char each[3][RT_SHA256_HEX];
  snprintf(bin, sizeof bin, "%s.bin", pair);
  snprintf(idx, sizeof idx, "%s.idx", pair);
  const char *const paths[] = {bin, idx, flat};
  RT_OKAY(rt_files_digest(MPI_COMM_WORLD, "test", paths, 3, each));
  const int n = snprintf(lines, sizeof lines, "%s\n%s\n%s\n-\n%s", each[0],
                         each[1], each[2], shares);
  RT_OKAY(rt_hash_text(lines, (size_t)n, hex));
}

static void test_definition(void)
{
  char hex[RT_SHA256_HEX], want[RT_SHA256_HEX];
  begin();
  const char *const files[] = {pair, flat};
  rt_corpus_spec spec = spec_of(files, 2);
  digest(spec, hex);
  definition("", want);
  CU_ASSERT_STRING_EQUAL(hex, want);
  // on any number of ranks
  CU_ASSERT_STRING_EQUAL(
      hex, "a171e8d6c7bf2329c260c8c43f65c86d305e90a119a1506d9548a08271b6fbf3");
  spec.weights = (const double[]){1, 3};
  digest(spec, hex);
  definition("262144\n786432\n", want);
  CU_ASSERT_STRING_EQUAL(hex, want);
  spec.weights = (const double[]){2, 6};
  digest(spec, want);
  CU_ASSERT_STRING_EQUAL(hex, want); // the same shares
  scratch_remove(folder);
}

/** Rank 0 changes one byte and leaves the times as they were. */
static void flip(const char *path, int64_t at)
{
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0) {
    struct stat s;
    unsigned char byte;
    const int fd = open(path, O_RDWR);
    CU_ASSERT_FATAL(fd >= 0 && fstat(fd, &s) == 0);
    RT_OKAY(rt_file_read_at(fd, path, &byte, 1, at));
    byte ^= 1;
    RT_OKAY(rt_file_write_at(fd, path, &byte, 1, at));
    const struct timespec times[2] = {s.st_atim, s.st_mtim};
    CU_ASSERT_EQUAL(futimens(fd, times), 0);
    close(fd);
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

/** Any byte, of an index, too, also after the hash was remembered. */
static void test_bytes(void)
{
  char bin[RT_PATH_MAX + 4], first[RT_SHA256_HEX], hex[RT_SHA256_HEX];
  begin();
  snprintf(bin, sizeof bin, "%s.bin", pair);
  const char *const files[] = {pair, flat}, *const turned[] = {flat, pair};
  digest(spec_of(turned, 2), hex);
  usleep(2100000); // old enough to be remembered
  digest(spec_of(files, 2), first);
  CU_ASSERT_STRING_NOT_EQUAL(first, hex);
  digest(spec_of(files, 2), hex);
  CU_ASSERT_STRING_EQUAL(first, hex);
  const char *const change[] = {bin, flat};
  for (int i = 0; i < 2; i++) {
    flip(change[i], 6);
    digest(spec_of(files, 2), hex);
    CU_ASSERT_STRING_NOT_EQUAL(first, hex);
    flip(change[i], 6);
    digest(spec_of(files, 2), hex);
    CU_ASSERT_STRING_EQUAL(first, hex);
  }
  if (my_rank == 0) // the same text in other sequences: another index only
    put_megatron(pair, &x, 8, 7);
  MPI_Barrier(MPI_COMM_WORLD);
  digest(spec_of(files, 2), hex);
  CU_ASSERT_STRING_NOT_EQUAL(first, hex);
  scratch_remove(folder);
}

/** Each rank has its own copy: alike they are one corpus, else none. */
static void test_copies(void)
{
  char name[64], first[RT_SHA256_HEX], hex[RT_SHA256_HEX];
  char back[RT_PATH_MAX], here[RT_PATH_MAX];
  int n_ranks;
  rt_corpus *c = NULL;
  begin();
  MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
  snprintf(name, sizeof name, "node%d", my_rank);
  RT_OKAY(rt_path_join(here, folder, name));
  CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(back, sizeof back));
  CU_ASSERT_FATAL(mkdir(here, 0700) == 0 && chdir(here) == 0);
  put_flat("r.u16", &x, false, false);
  const char *const mine[] = {"r.u16"}, *const shared[] = {flat};
  const rt_corpus_spec spec = spec_of(mine, 1);
  digest(spec_of(shared, 1), first);
  digest(spec, hex);
  CU_ASSERT_STRING_EQUAL(hex, first);
  if (my_rank == n_ranks - 1) {
    x.tok[3][0]++;
    put_flat("r.u16", &x, false, false);
  }
  RT_OKAY(rt_corpus_open(&spec, &c));
  const rt_err err = rt_corpus_digest(MPI_COMM_WORLD, c, hex);
  CU_ASSERT_EQUAL(err, n_ranks > 1 ? RT_ERR_DATA : RT_OK);
  CU_ASSERT(n_ranks == 1 ||
            strstr(rt_err_text(), "r.u16 differs from rank 0's file") != NULL);
  rt_corpus_close(&c);
  CU_ASSERT_EQUAL(chdir(back), 0);
  scratch_remove(folder);
}

RT_TEST_MAIN("corpus digest", {"its definition", test_definition},
             {"another byte", test_bytes}, {"copies of ranks", test_copies})
