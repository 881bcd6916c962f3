/** \file test_base.c
 *  Hashes, files, numbers and splits.
 *  ranks: 1 */
#include "support/rt_test.h"

#include "base/clock.h"
#include "base/dtype.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/nearest.h"
#include "base/rng.h"
#include "base/spawn.h"
#include "base/split.h"
#include "base/view.h"
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/** A new folder, which the test removes. */
static void make_scratch(char folder[RT_PATH_MAX])
{
  const char *root = getenv("TMPDIR");
  RT_OKAY(rt_path_join(folder, root != NULL ? root : "/tmp", "rt_base_XXXXXX"));
  CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static void test_hash_vectors(void)
{
  CU_ASSERT(rt_hash_xxh3("", 0) == UINT64_C(0x2d06800538d394c2));
  CU_ASSERT(rt_hash_xxh3("a", 1) == UINT64_C(0xe6c632b61e964e1f));
  rt_sha256 *h;
  char hex[RT_SHA256_HEX];
  RT_OKAY(rt_sha256_create(&h));
  rt_sha256_update(h, "a", 1);
  rt_sha256_update(h, "bc", 2);
  rt_sha256_finish(&h, hex);
  CU_ASSERT_PTR_NULL(h);
  CU_ASSERT_STRING_EQUAL(
      hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  RT_OKAY(rt_sha256_create(&h));
  rt_sha256_finish(&h, hex);
  CU_ASSERT_STRING_EQUAL(
      hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_hash_of_file(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], hex[RT_SHA256_HEX];
  make_scratch(folder);
  RT_OKAY(rt_path_join(path, folder, "abc"));
  RT_OKAY(rt_file_put(path, "abc", 3));
  RT_OKAY(rt_hash_file(path, hex));
  CU_ASSERT_STRING_EQUAL(
      hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  RT_OKAY(rt_path_join(path, folder, "absent"));
  RT_FAILS(rt_hash_file(path, hex), RT_ERR_NOINPUT, path);
  CU_ASSERT_STRING_EQUAL(hex, "");
  RT_FAILS(rt_hash_file(folder, hex), RT_ERR_NOINPUT, "not a regular file");
  RT_OKAY(rt_path_remove(folder));
}

static void test_file_put_and_slurp(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], copy[RT_PATH_MAX];
  make_scratch(folder);
  RT_OKAY(rt_path_join(path, folder, "file"));
  RT_OKAY(rt_path_join(copy, folder, "copy"));
  CU_ASSERT_FALSE(rt_file_exists(path));
  RT_OKAY(rt_file_put(path, "old", 3));
  RT_OKAY(rt_file_put(path, "hello", 5)); // replaces
  RT_OKAY(rt_file_copy(path, copy));
  char *text;
  size_t n;
  int64_t bytes;
  RT_OKAY(rt_file_slurp(copy, 5, &text, &n));
  CU_ASSERT_EQUAL(n, 5);
  CU_ASSERT_STRING_EQUAL(text, "hello");
  free(text);
  RT_OKAY(rt_file_size(copy, &bytes));
  CU_ASSERT_EQUAL(bytes, 5);
  RT_FAILS(rt_file_slurp(copy, 4, &text, &n), RT_ERR_DATA, "larger than");
  CU_ASSERT_PTR_NULL(text);
  RT_FAILS(rt_file_slurp(folder, 4, &text, &n), RT_ERR_NOINPUT, folder);
  RT_OKAY(rt_path_join(copy, folder, "no/such"));
  RT_FAILS(rt_file_slurp(copy, 4, &text, &n), RT_ERR_NOINPUT, "No such file");
  RT_FAILS(rt_file_put(copy, "x", 1), RT_ERR_LOCKED, "No such file");
  RT_FAILS(rt_file_copy(copy, path), RT_ERR_NOINPUT, "No such file");
  RT_OKAY(rt_file_slurp("/proc/self/status", 65536, &text, &n));
  CU_ASSERT(n > 100);
  free(text);
  RT_OKAY(rt_path_remove(folder));
}

static void test_file_publish(void)
{
  char folder[RT_PATH_MAX], tmp[RT_PATH_MAX], path[RT_PATH_MAX];
  make_scratch(folder);
  RT_OKAY(rt_path_join(tmp, folder, "a/b.tmp"));
  RT_OKAY(rt_path_join(path, folder, "a/b"));
  RT_OKAY(rt_folder_create(tmp)); // a folder can be published as well
  CU_ASSERT_TRUE(rt_folder_exists(tmp));
  RT_OKAY(rt_path_publish(tmp, path));
  CU_ASSERT_FALSE(rt_folder_exists(tmp));
  CU_ASSERT_TRUE(rt_folder_exists(path));
  RT_FAILS(rt_path_publish(tmp, path), RT_ERR_LOCKED, tmp);
  RT_OKAY(rt_path_join(path, folder, "a/b/file"));
  RT_OKAY(rt_file_put(path, "", 0));
  RT_FAILS(rt_folder_create(path), RT_ERR_LOCKED, "file: Not a directory");
  RT_OKAY(rt_path_remove(folder));
  CU_ASSERT_FALSE(rt_folder_exists(folder));
  RT_OKAY(rt_path_remove(folder)); // absent is fine
}

static void test_file_at(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], got[8] = "";
  make_scratch(folder);
  RT_OKAY(rt_path_join(path, folder, "file"));
  const int fd = open(path, O_RDWR | O_CREAT, 0666);
  CU_ASSERT_FATAL(fd >= 0);
  RT_OKAY(rt_file_write_at(fd, path, "xyz", 3, 4));
  RT_OKAY(rt_file_read_at(fd, path, got, 4, 3));
  CU_ASSERT(memcmp(got, "\0xyz", 4) == 0);
  RT_FAILS(rt_file_read_at(fd, path, got, 4, 4), RT_ERR_DATA,
           "truncated: it ends at byte 7");
  close(fd);
  rt_map map;
  RT_OKAY(rt_map_open(path, &map));
  CU_ASSERT_EQUAL(map.bytes, 7);
  CU_ASSERT_EQUAL(map.data[6], 'z');
  rt_map_close(&map);
  CU_ASSERT_PTR_NULL(map.data);
  RT_OKAY(rt_file_put(path, "", 0));
  RT_OKAY(rt_map_open(path, &map));
  CU_ASSERT_EQUAL(map.bytes, 0);
  rt_map_close(&map);
  RT_FAILS(rt_map_open(folder, &map), RT_ERR_NOINPUT, "not a regular file");
  int64_t bytes = 0;
  RT_OKAY(rt_disk_free(folder, &bytes));
  CU_ASSERT(bytes > 0);
  RT_OKAY(rt_path_remove(folder));
}

static void test_path_too_long(void)
{
  static char name[RT_PATH_MAX + 1];
  char out[RT_PATH_MAX];
  memset(name, 'n', RT_PATH_MAX - 3);
  RT_OKAY(rt_path_join(out, "f", name)); // "f/", name and 0 just fit
  CU_ASSERT_EQUAL(strlen(out), RT_PATH_MAX - 1);
  name[RT_PATH_MAX - 3] = 'n';
  RT_FAILS(rt_path_join(out, "f", name), RT_ERR_CONFIG, "too long");
  RT_OKAY(rt_path_join(out, "f/", "g"));
  CU_ASSERT_STRING_EQUAL(out, "f/g");
}

static void test_splits(void)
{
  for (int64_t n = 0; n < 40; n++) {
    for (int parts = 1; parts < 9; parts++) {
      CU_ASSERT_EQUAL(rt_split_begin(n, parts, 0), 0);
      CU_ASSERT_EQUAL(rt_split_begin(n, parts, parts), n);
      for (int i = 0; i < parts; i++) {
        const int64_t count = rt_split_count(n, parts, i);
        CU_ASSERT_EQUAL(count, n / parts + (i < n % parts));
        CU_ASSERT_EQUAL(rt_split_begin(n, parts, i) + count,
                        rt_split_begin(n, parts, i + 1));
      }
    }
  }
  CU_ASSERT_EQUAL(rt_round_up(0, 32), 0);
  CU_ASSERT_EQUAL(rt_round_up(1, 32), 32);
  CU_ASSERT_EQUAL(rt_round_up(64, 32), 64);
}

static void test_chunks(void)
{
  CU_ASSERT_EQUAL(rt_chunk_rows(2048, 1e9), 2048); // all at once
  CU_ASSERT_EQUAL(rt_chunk_rows(2048, 2048.0), 2048);
  CU_ASSERT_EQUAL(rt_chunk_rows(2048, 341.3), 304); // 7 chunks, not 6 + 32
  CU_ASSERT_EQUAL(rt_chunk_rows(2048, 170.9), 160);
  CU_ASSERT_EQUAL(rt_chunk_rows(100, 15.9), 15); // too few for multiples
  CU_ASSERT_EQUAL(rt_chunk_rows(100, 0.2), 1);
  for (int64_t n = 1; n < 200; n++)
    for (int64_t most = 1; most < 200; most++) {
      const int64_t rows = rt_chunk_rows(n, (double)most);
      CU_ASSERT(rows >= 1 && rows <= most && rows <= n);
    }
}

static void test_views(void)
{
  float x[4 * 6];
  const rt_view all = rt_view_of(x, RT_F32, 4, 6);
  CU_ASSERT_EQUAL(all.ld, 6);
  CU_ASSERT_EQUAL(rt_view_size(&all), 24);
  CU_ASSERT_EQUAL(rt_view_bytes(&all), 96);
  const rt_view part = rt_view_cols(rt_view_rows(all, 1, 2), 2, 3);
  CU_ASSERT_PTR_EQUAL(part.data, x + 1 * 6 + 2);
  CU_ASSERT(part.rows == 2 && part.cols == 3 && part.ld == 6);
  CU_ASSERT_EQUAL(rt_view_size(&part), 6);
}

/** Round \a x to 16 bits and back; the bits must be these. */
static void check_16(rt_dtype type, double x, uint16_t bits, double back)
{
  uint16_t h;
  double y;
  rt_dtype_convert(&h, type, &x, RT_F64, 1);
  rt_dtype_convert(&y, RT_F64, &h, type, 1);
  CU_ASSERT_EQUAL(h, bits);
  CU_ASSERT(y == back);
}

static void test_dtype_known_values(void)
{
  check_16(RT_BF16, 1.0, 0x3f80, 1.0);
  check_16(RT_BF16, -2.0, 0xc000, -2.0);
  check_16(RT_BF16, 1.0 + 0x1p-8, 0x3f80, 1.0);            // tie to even
  check_16(RT_BF16, 1.0 + 0x3p-8, 0x3f82, 1.0 + 0x1p-6);   // tie to even
  check_16(RT_BF16, 1.0 + 0x1.1p-8, 0x3f81, 1.0 + 0x1p-7); // above the tie
  check_16(RT_BF16, 3.4e38, 0x7f80, (double)INFINITY);     // rounds up to it
  check_16(RT_F16, 1.0, 0x3c00, 1.0);
  check_16(RT_F16, 65504.0, 0x7bff, 65504.0);
  check_16(RT_F16, 65519.9, 0x7bff, 65504.0);
  check_16(RT_F16, 65520.0, 0x7c00, (double)INFINITY);
  check_16(RT_F16, 0x1p-24, 0x0001, 0x1p-24); // smallest subnormal
  check_16(RT_F16, 0x1p-25, 0x0000, 0.0);     // tie to even
  check_16(RT_F16, 0x1p-14, 0x0400, 0x1p-14); // smallest normal
  check_16(RT_F16, 2047.0 / 2048.0 * 0x1p-14, 0x0400, 0x1p-14);
  check_16(RT_F16, -1.0 - 0x1p-11, 0xbc00, -1.0); // tie to even
  CU_ASSERT_EQUAL(rt_dtype_size(RT_BF16), 2);
  CU_ASSERT_EQUAL(rt_dtype_size(RT_U64), 8);
  CU_ASSERT_STRING_EQUAL(rt_dtype_name(RT_F16), "f16");
}

/** Every 16-bit number except NaN survives the conversion to f64 and back. */
static void test_dtype_every_16_bits(void)
{
  const rt_dtype types[] = {RT_BF16, RT_F16};
  for (int t = 0; t < 2; t++) {
    int n_wrong = 0, n_nan = 0;
    for (uint32_t i = 0; i < 65536; i++) {
      const uint16_t h = (uint16_t)i;
      uint16_t again;
      double x;
      rt_dtype_convert(&x, RT_F64, &h, types[t], 1);
      rt_dtype_convert(&again, types[t], &x, RT_F64, 1);
      double back;
      rt_dtype_convert(&back, RT_F64, &again, types[t], 1);
      n_nan += isnan(x) != 0;
      n_wrong += isnan(x) ? !isnan(back) : again != h;
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
    CU_ASSERT_EQUAL(n_nan, t == 0 ? 2 * 127 : 2 * 1023);
  }
}

static void test_permutation_is_a_bijection(void)
{
  const uint64_t sizes[] = {1, 2, 3, 7, 16, 17, 100, 1000, 4097};
  for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
    const uint64_t n = sizes[s];
    unsigned char *seen = calloc(n, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(seen);
    uint64_t n_hit = 0, n_still = 0, n_same = 0;
    for (uint64_t i = 0; i < n; i++) {
      const uint64_t p = rt_rng_permute(5, 0, n, i);
      CU_ASSERT_FATAL(p < n);
      n_hit += !seen[p];
      seen[p] = 1;
      n_still += p == i;
      n_same += p == rt_rng_permute(5, 1, n, i);
    }
    CU_ASSERT_EQUAL(n_hit, n);
    if (n >= 100) // it shuffles, and each epoch anew: ~1 place agrees by chance
      CU_ASSERT(n_still < 10 && n_same < 10);
    free(seen);
  }
}

static void test_rng_moments(void)
{
  enum { N = 100000 };
  double sum = 0.0, square = 0.0, low = 1.0, high = 0.0, mean = 0.0;
  for (uint64_t i = 0; i < N; i++) {
    const double z = rt_rng_normal(3, RT_RNG_TEST, 1, i);
    const double u = rt_rng_uniform(3, RT_RNG_TEST, 2, i);
    sum += z;
    square += z * z;
    mean += u;
    low = fmin(low, u);
    high = fmax(high, u);
  }
  CU_ASSERT_DOUBLE_EQUAL(sum / N, 0.0, 5.0 / sqrt(N));
  CU_ASSERT_DOUBLE_EQUAL(square / N, 1.0, 5.0 * sqrt(2.0 / N));
  CU_ASSERT_DOUBLE_EQUAL(mean / N, 0.5, 5.0 * sqrt(1.0 / 12.0 / N));
  CU_ASSERT(low >= 0.0 && low < 1e-3 && high < 1.0 && high > 0.999);
}

static void test_rng_streams_differ(void)
{
  uint32_t a[4], b[4];
  rt_rng_bits(1, RT_RNG_TEST, 2, 3, a);
  rt_rng_bits(1, RT_RNG_TEST, 2, 3, b);
  CU_ASSERT(memcmp(a, b, sizeof a) == 0);
  rt_rng_bits(2, RT_RNG_TEST, 2, 3, b);
  CU_ASSERT(memcmp(a, b, sizeof a) != 0);
  rt_rng_bits(1, RT_RNG_INIT, 2, 3, b);
  CU_ASSERT(memcmp(a, b, sizeof a) != 0);
  rt_rng_bits(1, RT_RNG_TEST, 3, 2, b);
  CU_ASSERT(memcmp(a, b, sizeof a) != 0);
  rt_rng_bits(1, RT_RNG_TEST, 2, UINT64_C(3) << 32, b);
  CU_ASSERT(memcmp(a, b, sizeof a) != 0);
}

static rt_err fail_below(void)
{
  RT_CHECK(1 > 2, RT_ERR_DATA, "got %d, expected more than %d", 1, 2);
  return RT_OK;
}

static rt_err forward_it(void)
{
  RT_TRY(fail_below());
  return RT_OK;
}

static void test_error_record(void)
{
  RT_FAILS(forward_it(), RT_ERR_DATA, "got 1, expected more than 2");
  CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_trace(), "test_base.c"));
  CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_trace(), " < "));
  CU_ASSERT_EQUAL(rt_err_exit_code(RT_ERR_CONFIG), 78);
  CU_ASSERT_STRING_EQUAL(rt_err_meaning(RT_ERR_HANG), "a rank hung");
  rt_err_clear();
  CU_ASSERT_STRING_EQUAL(rt_err_text(), "");
}

static void test_spawn(void)
{
  char text[16];
  RT_OKAY(rt_spawn_read((char *[]){"echo", "1-02:03", NULL}, 20.0, text,
                        sizeof text));
  CU_ASSERT_STRING_EQUAL(text, "1-02:03\n");
  RT_OKAY(rt_spawn_read((char *[]){"seq", "100000", NULL}, 20.0, text,
                        sizeof text)); // more than a pipe and the text hold
  CU_ASSERT_EQUAL(strlen(text), sizeof text - 1);
  RT_FAILS(rt_spawn_read((char *[]){"no-such-program", NULL}, 20.0, text,
                         sizeof text),
           RT_ERR_NOINPUT, "no-such-program cannot be run");
  RT_FAILS(rt_spawn_read((char *[]){"false", NULL}, 20.0, text, sizeof text),
           RT_ERR_NOINPUT, "false failed");
  const double since = rt_now_s();
  RT_FAILS(rt_spawn_read((char *[]){"sh", "-c", "sleep 60 & sleep 60", NULL},
                         0.2, text, sizeof text),
           RT_ERR_NOINPUT, "sh gave no answer in 0.2 s");
  CU_ASSERT(rt_now_s() - since < 30.0);
}

static void test_distances(void)
{
  CU_ASSERT_EQUAL(rt_nearest_distance("", ""), 0);
  CU_ASSERT_EQUAL(rt_nearest_distance("abc", ""), 3);
  CU_ASSERT_EQUAL(rt_nearest_distance("kitten", "sitting"), 3);
  CU_ASSERT_EQUAL(rt_nearest_distance("train", "trian"), 1); // a swap
  CU_ASSERT_EQUAL(rt_nearest_distance("Train", "train"), 0);
  char longer[200];
  memset(longer, 'x', sizeof longer - 1);
  longer[sizeof longer - 1] = '\0';
  CU_ASSERT_EQUAL(rt_nearest_distance(longer, "x"), 62);
}

/** Times as Slurm writes them. */
static void test_clock(void)
{
  static const struct {
    const char *text;
    double seconds; // < 0: refused
  } all[] = {{"59:30", 3570},
             {"04:00:00", 14400},
             {"1-00:00:00", 86400},
             {"2-12", 216000},
             {"1-02:03", 93780},
             {"90:00", 5400},
             {"00:59:59", 3599},
             {"00:60", -1},
             {"1:00:60", -1},
             {"3600", -1},
             {"", -1},
             {"1-", -1},
             {"1:", -1},
             {"1:2:3:4", -1},
             {"1:00 ", -1},
             {"1-1-1", -1},
             {"-1:00", -1},
             {"UNLIMITED", -1},
             {"1234567890:00", -1},
             {"123456789:00", 7407407340}};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    double s = -1.0;
    CU_ASSERT_EQUAL(rt_clock_parse(all[i].text, &s), all[i].seconds >= 0.0);
    if (s != all[i].seconds)
      fprintf(stderr, "%s: %g s\n", all[i].text, s);
    CU_ASSERT_EQUAL(s, all[i].seconds);
  }
}

RT_TEST_MAIN("base", {"times of Slurm", test_clock},
             {"hashes have their published values", test_hash_vectors},
             {"a file's hash", test_hash_of_file},
             {"small files are replaced whole", test_file_put_and_slurp},
             {"publish, make and remove folders", test_file_publish},
             {"read, write and map at offsets", test_file_at},
             {"paths that do not fit", test_path_too_long},
             {"splits are even and cover", test_splits},
             {"chunks are few, alike and fit", test_chunks},
             {"views of rows and columns", test_views},
             {"16-bit types round as known", test_dtype_known_values},
             {"16-bit types survive f64", test_dtype_every_16_bits},
             {"permutations are bijections", test_permutation_is_a_bijection},
             {"random numbers have their moments", test_rng_moments},
             {"random streams differ", test_rng_streams_differ},
             {"other programs are asked", test_spawn},
             {"distances of words", test_distances},
             {"errors say what and where", test_error_record})
