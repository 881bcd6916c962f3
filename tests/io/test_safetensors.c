/** \file test_safetensors.c
 *  Weights: slices of every type, shards, damaged and lying files, writing.
 *  ranks: 1 */
#include "support/rt_test_files.h"

#include "base/log.h"
#include "io/hf/safetensors.h"

/* ---- files made by hand ------------------------------------------------ */

/** header and data as a file: \return malloc'd bytes. */
static unsigned char *make_image(const char *header, const void *data,
                                 size_t n_data, size_t *n)
{
  const uint64_t length = strlen(header);
  unsigned char *image = malloc(8 + length + n_data + 1);
  CU_ASSERT_PTR_NOT_NULL_FATAL(image);
  memcpy(image, &length, 8);
  memcpy(image + 8, header, length);
  memcpy(image + 8 + length, data, n_data);
  *n = 8 + length + n_data;
  return image;
}

static void put_image(const char *path, const char *header, const void *data,
                      size_t n_data)
{
  size_t n;
  unsigned char *image = make_image(header, data, n_data, &n);
  rt_put_bytes(path, image, n);
  free(image);
}

/** Small multiples of 1/2 are exact in every type. */
static double value_at(int64_t i)
{
  return 0.5 * (double)(i - 20);
}

static void fill(void *to, rt_dtype type, int64_t n)
{
  for (int64_t i = 0; i < n; i++) {
    const double x = value_at(i);
    rt_dtype_convert((char *)to + (size_t)i * rt_dtype_size(type), type, &x,
                     RT_F64, 1);
  }
}

/** f32 [5,7], bf16 [4,6], f16 [3,8], f32 vector [9], scalar, empty [0,4]. */
static const char header_all[] =
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[5,7],\"data_offsets\":[0,140]},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[4,6],\"data_offsets\":[140,188]},"
    "\"c\":{\"dtype\":\"F16\",\"shape\":[3,8],\"data_offsets\":[188,236]},"
    "\"__metadata__\":{\"format\":\"pt\"},"
    "\"v\":{\"dtype\":\"F32\",\"shape\":[9],\"data_offsets\":[236,272]},"
    "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[272,276]},"
    "\"e\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[272,272]},"
    "\"i\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[276,292]}}   ";
enum { DATA_ALL = 292 };

static void data_of_all(unsigned char data[DATA_ALL])
{
  memset(data, 0, DATA_ALL);
  fill(data, RT_F32, 35);
  fill(data + 140, RT_BF16, 24);
  fill(data + 188, RT_F16, 24);
  fill(data + 236, RT_F32, 9);
  fill(data + 272, RT_F32, 1);
}

/* ---- reading ----------------------------------------------------------- */

/** One slice as \a type with a wider ld; nothing beside it may change. */
static void check_slice(const rt_safetensors *st, const char *name,
                        int64_t cols, const int64_t box[4], rt_dtype type)
{
  double room[200];
  float *f = (float *)(void *)room;
  const int64_t ld = box[3] + 2;
  for (int i = 0; i < 200; i++)
    room[i] = 1e30;
  for (int i = 0; i < 400 && type == RT_F32; i++)
    f[i] = 1e30f;
  const rt_view to = {room, type, box[2], box[3], ld};
  RT_OKAY(rt_safetensors_read(st, name, box[0], box[1], to));
  bool ok = true;
  for (int64_t r = 0; r < box[2] + 1; r++)
    for (int64_t c = 0; c < ld; c++) {
      const double got =
          type == RT_F32 ? (double)f[r * ld + c] : room[r * ld + c];
      const bool in = r < box[2] && c < box[3];
      ok &=
          in ? got == value_at((box[0] + r) * cols + box[1] + c) : got > 0.9e30;
    }
  CU_ASSERT(ok);
}

static void check_all_slices(const rt_safetensors *st, const char *name,
                             int64_t rows, int64_t cols)
{
  for (int64_t r = 0; r < rows; r++)
    for (int64_t n = 0; n <= rows - r; n++)
      for (int64_t c = 0; c < cols; c++)
        for (int64_t m = 0; m <= cols - c; m++) {
          const int64_t box[4] = {r, c, n, m};
          check_slice(st, name, cols, box, RT_F32);
          check_slice(st, name, cols, box, RT_F64);
        }
}

static void test_slices(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  unsigned char data[DATA_ALL];
  rt_safetensors *st;
  rt_scratch(folder);
  data_of_all(data);
  put_image(rt_in(folder, "model.safetensors", path), header_all, data,
            DATA_ALL);
  RT_OKAY(rt_safetensors_open(folder, &st));
  CU_ASSERT_EQUAL(rt_safetensors_n(st), 7);
  CU_ASSERT_STRING_EQUAL(rt_safetensors_at(st, 0)->name, "a");
  CU_ASSERT_PTR_NULL(rt_safetensors_find(st, "__metadata__"));
  CU_ASSERT_PTR_NULL(rt_safetensors_find(st, "A"));
  const rt_st_tensor *b = rt_safetensors_find(st, "b");
  CU_ASSERT_PTR_NOT_NULL_FATAL(b);
  CU_ASSERT(b->dtype == RT_BF16 && b->n_dims == 2 && b->shape[0] == 4 &&
            b->shape[1] == 6);
  check_all_slices(st, "a", 5, 7);
  check_all_slices(st, "b", 4, 6);
  check_all_slices(st, "c", 3, 8);
  check_all_slices(st, "v", 1, 9);
  check_all_slices(st, "s", 1, 1);
  float x[8];
  RT_OKAY(rt_safetensors_read(st, "e", 0, 0, rt_view_of(x, RT_F32, 0, 4)));
  RT_FAILS(rt_safetensors_read(st, "a", 1, 0, rt_view_of(x, RT_F32, 5, 1)),
           RT_ERR_DATA, "tensor a is [5, 7]");
  RT_FAILS(rt_safetensors_read(st, "a", 0, 7, rt_view_of(x, RT_F32, 1, 1)),
           RT_ERR_DATA, "disagree");
  RT_FAILS(
      rt_safetensors_read(st, "a", INT64_MAX, 0, rt_view_of(x, RT_F32, 1, 1)),
      RT_ERR_DATA, "disagree");
  RT_FAILS(rt_safetensors_read(st, "x", 0, 0, rt_view_of(x, RT_F32, 1, 1)),
           RT_ERR_DATA, "no tensor x");
  RT_FAILS(rt_safetensors_read(st, "i", 0, 0, rt_view_of(x, RT_F32, 1, 2)),
           RT_ERR_DATA, "I64");
  rt_safetensors_close(&st);
  CU_ASSERT_PTR_NULL(st);
  RT_OKAY(rt_safetensors_open(path, &st)); // the file itself
  rt_safetensors_close(&st);
  RT_OKAY(rt_path_remove(folder));
}

/** Larger than one piece of reading, in both ways of reading. */
static void test_large(void)
{
  enum { ROWS = 1300, COLS = 1024 };
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], header[200];
  rt_safetensors *st;
  const size_t n = (size_t)ROWS * COLS;
  uint32_t *bits = malloc(n * 4), *got = malloc(n * 4);
  CU_ASSERT_FATAL(bits != NULL && got != NULL);
  for (size_t i = 0; i < n; i++)
    bits[i] = (uint32_t)i; // denormals: the bits must survive
  snprintf(header, sizeof header,
           "{\"w\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,"
           "%zu]}}",
           ROWS, COLS, n * 4);
  rt_scratch(folder);
  put_image(rt_in(folder, "model.safetensors", path), header, bits, n * 4);
  RT_OKAY(rt_safetensors_open(folder, &st));
  RT_OKAY(
      rt_safetensors_read(st, "w", 0, 0, rt_view_of(got, RT_F32, ROWS, COLS)));
  CU_ASSERT_EQUAL(memcmp(bits, got, n * 4), 0);
  RT_OKAY(rt_safetensors_read(st, "w", 100, 512,
                              rt_view_of(got, RT_F32, 1200, 512)));
  size_t wrong = 0;
  for (size_t r = 0; r < 1200; r++)
    for (size_t c = 0; c < 512; c++)
      wrong += got[r * 512 + c] != (r + 100) * COLS + c + 512;
  CU_ASSERT_EQUAL(wrong, 0);
  rt_safetensors_close(&st);
  free(bits);
  free(got);
  RT_OKAY(rt_path_remove(folder));
}

/* ---- shards ------------------------------------------------------------ */

static const char header_1[] =
    "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}";
static const char header_2[] =
    "{\"y\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}";
static const char index_good[] = "{\"metadata\":{\"total_size\":40},\"weight_"
                                 "map\":{\"x\":\"m-1.safetensors\""
                                 ",\"y\":\"m-2.safetensors\"}}";

static void put_shards(const char *folder)
{
  char path[RT_PATH_MAX];
  float data[6];
  fill(data, RT_F32, 6);
  put_image(rt_in(folder, "m-1.safetensors", path), header_1, data, 24);
  put_image(rt_in(folder, "m-2.safetensors", path), header_2, data, 16);
  rt_put_text(rt_in(folder, "model.safetensors.index.json", path), index_good);
}

static void test_shards(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  char hex[RT_SHA256_HEX], want[RT_SHA256_HEX];
  rt_safetensors *st;
  rt_sha256 *h;
  rt_scratch(folder);
  put_shards(folder);
  RT_OKAY(rt_safetensors_open(folder, &st));
  CU_ASSERT_EQUAL(rt_safetensors_n(st), 2);
  check_all_slices(st, "x", 2, 3);
  check_all_slices(st, "y", 1, 4);
  rt_safetensors_close(&st);
  RT_OKAY(rt_sha256_create(&h));
  static const char *const names[] = {"m-1.safetensors", "m-2.safetensors"};
  for (int i = 0; i < 2; i++) {
    char *bytes;
    size_t n;
    RT_OKAY(rt_file_slurp(rt_in(folder, names[i], path), 1000, &bytes, &n));
    rt_sha256_update(h, bytes, n);
    free(bytes);
  }
  rt_sha256_finish(&h, want);
  RT_OKAY(rt_safetensors_hash(folder, hex));
  CU_ASSERT_STRING_EQUAL(hex, want);
  RT_OKAY(rt_path_remove(folder));
}

/** What others count otherwise is told, but the shards prove themselves. */
static void test_total_size(void)
{
  static const char *const sizes[] = {"41", "\"40\"", "null", "1e300"};
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], text[200];
  rt_safetensors *st;
  rt_scratch(folder);
  put_shards(folder);
  rt_in(folder, "model.safetensors.index.json", path);
  rt_log_setup(RT_LOG_INFO, RT_LOG_SILENT);
  for (int i = 0; i < 4; i++) {
    snprintf(text, sizeof text,
             "{\"metadata\":{\"total_size\":%s},\"weight_map\":{\"x\":"
             "\"m-1.safetensors\",\"y\":\"m-2.safetensors\"}}",
             sizes[i]);
    rt_put_text(path, text);
    RT_OKAY(rt_safetensors_open(folder, &st));
    check_all_slices(st, "y", 1, 4);
    rt_safetensors_close(&st);
  }
  rt_log_setup(RT_LOG_INFO, RT_LOG_SPEAKS);
  RT_OKAY(rt_path_remove(folder));
}

/** Names that safetensors.torch.save_model left out of the tensors. */
static void test_aliases(void)
{
  static const char header[] =
      "{\"__metadata__\":{\"format\":\"pt\",\"other\":\"x\",\"note\":\"z\","
      "\"y\":\"x\"},\"x\":{\"dtype\":\"F32\",\"shape\":[2,3],"
      "\"data_offsets\":[0,24]},\"y\":{\"dtype\":\"F32\",\"shape\":[4],"
      "\"data_offsets\":[24,40]}}";
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  float data[10];
  rt_safetensors *st;
  rt_scratch(folder);
  fill(data, RT_F32, 6);
  fill(data + 6, RT_F32, 4);
  put_image(rt_in(folder, "model.safetensors", path), header, data, 40);
  RT_OKAY(rt_safetensors_open(folder, &st));
  CU_ASSERT_EQUAL(rt_safetensors_n(st), 3);
  CU_ASSERT_PTR_NULL(rt_safetensors_find(st, "note")); // names no tensor
  CU_ASSERT_FALSE(rt_safetensors_find(st, "x")->alias);
  CU_ASSERT_TRUE(rt_safetensors_find(st, "other")->alias);
  check_all_slices(st, "other", 2, 3);
  check_all_slices(st, "y", 1, 4); // a tensor goes before an alias
  rt_safetensors_close(&st);
  RT_OKAY(rt_path_remove(folder));
}

static void test_bad_index(void)
{
#define MAP(text) "{\"weight_map\":{" text "}}"
#define X "\"x\":\"m-1.safetensors\""
#define Y "\"y\":\"m-2.safetensors\""
  static const struct {
    const char *index;
    rt_err err;
    const char *part;
  } cases[] = {
      {MAP(X ",\"y\":\"../m-2.safetensors\""), RT_ERR_DATA, "same folder"},
      {MAP(X ",\"y\":\"/m-2.safetensors\""), RT_ERR_DATA, "same folder"},
      {MAP(X ",\"y\":\"a/m-2.safetensors\""), RT_ERR_DATA, "same folder"},
      {MAP(X ",\"y\":\"..\""), RT_ERR_DATA, "same folder"},
      {MAP(X ",\"y\":\"\""), RT_ERR_DATA, "same folder"},
      {MAP(X ",\"y\":3"), RT_ERR_DATA, "puts y into 3"},
      {MAP(X ",\"y\":\"m-3.safetensors\""), RT_ERR_NOINPUT,
       "names m-3.safetensors, which is not there"},
      {MAP(X ",\"y\":\"m-1.safetensors\""), RT_ERR_DATA, "does not hold it"},
      {MAP("\"x\":\"m-2.safetensors\",\"y\":\"m-1.safetensors\""), RT_ERR_DATA,
       "weight_map puts tensor x into m-2.safetensors, but m-1"},
      {MAP(X "," Y ",\"z\":\"m-2.safetensors\""), RT_ERR_DATA,
       "z into m-2.safetensors, which does not"},
      {MAP("\"q\":\"m-1.safetensors\"," Y), RT_ERR_DATA, "into no file"},
      {MAP(X "," Y "," X), RT_ERR_DATA, "duplicate"},
      {MAP(""), RT_ERR_DATA, "not empty"},
      {"{\"weight_map\":[]}", RT_ERR_DATA, "weight_map"},
      {"[]", RT_ERR_DATA, "weight_map"},
      {"{\"weight_map\":\n {" X " " Y "}}", RT_ERR_DATA, "index.json:2:"},
  };
#undef MAP
#undef X
#undef Y
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  rt_safetensors *st;
  rt_scratch(folder);
  put_shards(folder);
  rt_in(folder, "model.safetensors.index.json", path);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rt_put_text(path, cases[i].index);
    RT_FAILS(rt_safetensors_open(folder, &st), cases[i].err, cases[i].part);
    CU_ASSERT_PTR_NULL(st);
  }
  put_shards(folder); // the same tensor in both shards
  put_image(rt_in(folder, "m-2.safetensors", path), header_1, "", 0);
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA, "m-2");
  float data[6] = {0};
  put_image(path, header_1, data, 24);
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA,
           "is in m-1.safetensors and again in m-2.safetensors");
  RT_OKAY(rt_path_remove(folder));
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_NOINPUT, "no such");
  RT_OKAY(rt_folder_create(folder));
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_NOINPUT, "save_pretrained");
  RT_OKAY(rt_path_remove(folder));
}

/** One file and shards beside it are two models; a left-over index is none. */
static void test_two_sets(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  rt_safetensors *st = NULL;
  float data[6] = {0};
  rt_scratch(folder);
  put_shards(folder);
  put_image(rt_in(folder, "model.safetensors", path), header_1, data, 24);
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA,
           "two sets of weights");
  RT_OKAY(rt_path_remove(rt_in(folder, "m-1.safetensors", path)));
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA, "m-2.safetensors");
  RT_OKAY(rt_path_remove(rt_in(folder, "m-2.safetensors", path)));
  RT_OKAY(rt_safetensors_open(folder, &st));
  rt_safetensors_close(&st);
  rt_put_text(rt_in(folder, "model.safetensors.index.json", path),
              "{\"weight_map\":{\"x\":\"model.safetensors\"}}");
  RT_OKAY(rt_safetensors_open(folder, &st));
  rt_safetensors_close(&st);
  RT_OKAY(rt_path_remove(folder));
}

/* ---- lies in the header ------------------------------------------------ */

#define T(name, dtype, shape, offsets)                                         \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape                     \
  ",\"data_offsets\":" offsets "}"
static const struct {
  const char *header, *part;
} bad_headers[] = {
    {"{" T("a", "F32", "[2]", "[0,8]") "}", "tensors need 8 bytes"},
    {"{" T("a", "F32", "[6]", "[0,24]") "}", "within the 16 bytes"},
    {"{" T("a", "F32", "[4]", "[0,-16]") "}", "data_offsets are [0,-16]"},
    {"{" T("a", "F32", "[4]", "[16,0]") "}", "data_offsets are [16,0]"},
    {"{" T("a", "F32", "[4]", "[0]") "}", "data_offsets are [0]"},
    {"{" T("a", "F32", "[4]", "[0,16.0]") "}", "data_offsets are"},
    {"{" T("a", "F32", "[4]", "[0,99999999999999999999]") "}", "too big"},
    {"{" T("a", "F32", "[3]", "[0,16]") "}", "need 96 bits"},
    {"{" T("a", "F99", "[4]", "[0,16]") "}", "dtype is \"F99\""},
    {"{" T("a", "f32", "[4]", "[0,16]") "}", "dtype is \"f32\""},
    {"{" T("a", "F4", "[31]", "[0,16]") "}", "need 124 bits"},
    {"{" T("a", "F32", "[-4]", "[0,16]") "}", "an invalid size"},
    {"{" T("a", "F32", "4", "[0,16]") "}", "shape is 4"},
    {"{" T("a", "F32", "[4294967296,4294967296]", "[0,16]") "}", "63"},
    {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,4]", "[0,16]") "}", "at most 8"},
    {"{" T("a", "F32", "[2]", "[0,8]") "," T("b", "F32", "[2]", "[4,12]") "}",
     "overlaps"},
    {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[2]", "[8,16]") "}",
     "hole"},
    {"{" T("a", "F32", "[2]", "[8,16]") "}", "hole"},
    {"{" T("a", "F32", "[4]", "[0,16]") "," T("a", "F32", "[4]", "[0,16]") "}",
     "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[4],"
     "\"data_offsets\":[0,16]}}",
     "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],"
     "\"more\":1}}",
     "nothing else"},
    {"{\"a\":4}", "nothing else"},
    {"{\"__metadata__\":{\"format\":1}," T("a", "F32", "[4]", "[0,16]") "}",
     "texts only"},
    {"[]", "must start with '{'"},
    {" {}", "must start with '{'"},
    {"{}\n", "end with '}'"},
    {"{}x}", "1:3"},
    {"{\"a\\u0000b\":{}}", "\\u0000"},
    {"{\"\xff\":{}}", "unable to decode byte 0xff"},
    {"{}", "need 0 bytes"},
    {"", "must start"},
};
#undef T

static void test_bad_header(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  rt_safetensors *st;
  rt_scratch(folder);
  rt_in(folder, "model.safetensors", path);
  for (size_t i = 0; i < sizeof bad_headers / sizeof bad_headers[0]; i++) {
    put_image(path, bad_headers[i].header, "0123456789abcdef", 16);
    RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA,
             bad_headers[i].part);
  }
  char deep[400];
  memset(deep, '[', sizeof deep);
  memcpy(deep, "{\"a\":", 5);
  strcpy(deep + sizeof deep - 2, "}");
  put_image(path, deep, "", 0);
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA, "nesting");
  RT_OKAY(rt_path_remove(folder));
}

static void test_lying_length(void)
{
  static const uint64_t lengths[] = {
      UINT64_MAX, (uint64_t)1 << 63, ((uint64_t)32 << 20) + 1, 100, 1, 0};
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  unsigned char image[40] = {0};
  rt_safetensors *st;
  rt_scratch(folder);
  rt_in(folder, "model.safetensors", path);
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    memcpy(image, &lengths[i], 8);
    rt_put_bytes(path, image, sizeof image);
    RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA, path);
  }
  RT_OKAY(rt_path_remove(folder));
}

/** Open and read every tensor.  Every float in the file is value_at(its index),
 *  so a changed byte of data makes one wrong number, and a changed header none:
 *  it is refused, or says the same. */
static rt_err read_everything(const void *path, bool cut)
{
  double room[64];
  int n_wrong = 0;
  rt_safetensors *st;
  (void)cut;
  RT_TRY(rt_safetensors_open(path, &st));
  for (int i = 0; i < rt_safetensors_n(st); i++) {
    const rt_st_tensor *t = rt_safetensors_at(st, i);
    const int64_t rows = t->n_dims == 2 ? t->shape[0] : 1;
    const int64_t cols = t->n_dims == 0 ? 1 : t->shape[t->n_dims - 1];
    if (t->n_dims > 2 || t->dtype == RT_N_DTYPE)
      continue;
    CU_ASSERT_FATAL(rows * cols <= 64);
    RT_OKAY(rt_safetensors_read(st, t->name, 0, 0,
                                rt_view_of(room, RT_F64, rows, cols)));
    for (int64_t k = 0; k < rows * cols; k++)
      n_wrong += !(room[k] == value_at(k));
  }
  CU_ASSERT(n_wrong <= 1);
  rt_safetensors_close(&st);
  return RT_OK;
}

static void test_damage(void)
{
  static const unsigned char masks[] = {0x01, 0x02, 0x04, 0x08, 0x10,
                                        0x20, 0x40, 0x80, 0xff};
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  unsigned char data[DATA_ALL];
  size_t n;
  rt_scratch(folder);
  data_of_all(data);
  unsigned char *image = make_image(header_all, data, DATA_ALL, &n);
  rt_in(folder, "model.safetensors", path);
  rt_damage(path, image, n, masks, (int)sizeof masks, read_everything, path);
  RT_OKAY(read_everything(path, false));
  free(image);
  put_shards(folder);
  RT_OKAY(rt_path_remove(path));
  rt_in(folder, "model.safetensors.index.json", path);
  rt_damage(path, (const unsigned char *)index_good, strlen(index_good), masks,
            (int)sizeof masks, read_everything, folder);
  RT_OKAY(rt_path_remove(folder));
}

/* ---- writing ----------------------------------------------------------- */

static void test_writer(void)
{
  const rt_st_tensor tensors[] = {
      {"one.weight", RT_F32, 2, {5, 7}, false},
      {"two \"quoted\" \\ \xc3\xa9", RT_F32, 1, {9}, false},
      {"none", RT_F32, 2, {0, 3}, false}};
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], tmp[RT_PATH_MAX];
  float f[35];
  double d[35];
  rt_st_writer *w;
  rt_safetensors *st;
  fill(f, RT_F32, 35);
  fill(d, RT_F64, 35);
  for (int type = 0; type < 2; type++) {
    rt_st_tensor t[3];
    rt_scratch(folder);
    rt_in(folder, "model.safetensors", path);
    RT_OKAY(rt_path_draft(tmp, path));
    memcpy(t, tensors, sizeof t);
    t[0].dtype = t[1].dtype = t[2].dtype = type == 0 ? RT_F32 : RT_BF16;
    RT_OKAY(rt_st_writer_create(path, t, 3, &w));
    RT_OKAY(rt_st_writer_put(w, 1, 0, rt_view_of(d, RT_F64, 1, 9)));
    RT_OKAY(rt_st_writer_put(w, 0, 3, rt_view_of(f + 21, RT_F32, 2, 7)));
    RT_OKAY(rt_st_writer_put(w, 0, 0, rt_view_of(f, RT_F32, 2, 7)));
    RT_OKAY(rt_st_writer_put(w, 0, 1, rt_view_of(f + 7, RT_F32, 1, 7)));
    RT_FAILS(rt_st_writer_publish(w), RT_ERR_INTERNAL, "4 of 5 rows");
    CU_ASSERT_FALSE(rt_file_exists(path));
    RT_FAILS(rt_st_writer_put(w, 0, 4, rt_view_of(f, RT_F32, 2, 7)),
             RT_ERR_INTERNAL, "one.weight is [5, 7]");
    RT_OKAY(rt_st_writer_put(w, 0, 2, rt_view_of(f + 14, RT_F32, 1, 7)));
    RT_OKAY(rt_st_writer_publish(w));
    rt_st_writer_destroy(&w);
    CU_ASSERT_FALSE(rt_file_exists(tmp));
    RT_OKAY(rt_safetensors_open(folder, &st));
    CU_ASSERT_EQUAL(rt_safetensors_n(st), 3);
    check_all_slices(st, t[0].name, 5, 7);
    check_all_slices(st, t[1].name, 1, 9);
    CU_ASSERT(rt_safetensors_find(st, "none") != NULL);
    rt_safetensors_close(&st);
    RT_OKAY(rt_path_remove(folder));
  }
}

static void test_writer_gives_up(void)
{
  const rt_st_tensor t = {"x", RT_F32, 1, {4}, false};
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], tmp[RT_PATH_MAX];
  char *text;
  size_t n;
  rt_st_writer *w;
  rt_scratch(folder);
  rt_in(folder, "model.safetensors", path);
  RT_OKAY(rt_path_draft(tmp, path));
  RT_OKAY(rt_st_writer_create(path, &t, 1, &w));
  CU_ASSERT_TRUE(rt_file_exists(tmp));
  RT_OKAY(rt_file_slurp(tmp, 1000, &text, &n));
  CU_ASSERT_EQUAL(n % 8, 0); // data aligned
  CU_ASSERT_PTR_NOT_NULL(strstr(text + 8, "\"format\":\"pt\""));
  free(text);
  rt_st_writer_destroy(&w);
  CU_ASSERT_FALSE(rt_file_exists(tmp));
  rt_in(folder, "absent/model.safetensors", path);
  RT_FAILS(rt_st_writer_create(path, &t, 1, &w), RT_ERR_LOCKED, "absent");
  CU_ASSERT_PTR_NULL(w);
  RT_OKAY(rt_path_remove(folder));
}

RT_TEST_MAIN("safetensors", {"slices of every type", test_slices},
             {"tensors larger than a piece", test_large},
             {"shards and their hash", test_shards},
             {"total_size is not asked", test_total_size},
             {"aliases in the metadata", test_aliases},
             {"bad index", test_bad_index},
             {"two sets of weights", test_two_sets},
             {"bad header", test_bad_header},
             {"lying header length", test_lying_length},
             {"every cut, flips of every byte", test_damage},
             {"writing", test_writer},
             {"an unfinished file is removed", test_writer_gives_up})
