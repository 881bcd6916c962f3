/** \file fuzz_shard.c
 *  libFuzzer target: a shard with a valid seal but invalid contents; the bytes
 *  say how it differs from a valid one.  Opening and reading must reject it, or
 *  give rows that satisfy every invariant.  Damaged metadata is tested by
 *  test_hostile. */
#include "support/h5_file.h"
#include "support/must.h"
#include "io/logits/logits_manifest.h"

#include "io/common/h5_child.h"
#include "io/common/seal.h"
#include <sanitizer/allocator_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { N_ROWS = 3, MAX_EDITS = 8, MAX_BYTES = 1 << 12 };

static char folder[] = "/dev/shm/fuzz_shard_XXXXXX";
static rt_logits_info info; // of the dataset
static rt_bytes records, tables;
static uint64_t ptr[N_ROWS + 1], hash[N_ROWS];

/** A row of 4 tokens with 0 to 3 entries. */
static rt_err make_row(int64_t i, rt_logits_row *row)
{
  RT_TRY(rt_logits_row_tokens(row, 4));
  RT_TRY(rt_logits_row_entries(row, 16));
  row->n_tokens = 4;
  row->n_entries = 0;
  for (uint32_t t = 0; t <= 4; t++) {
    row->tok[t] = (t * 7 + (uint32_t)i) % 50;
    if (t == 4)
      break;
    row->count[t] = t;
    row->lse[t] = 10.0F;
    row->label_logp[t] = -3.0F;
    for (uint32_t k = 0; k < t; k++) {
      row->ids[row->n_entries] = 5 * k + t;
      row->logp[row->n_entries++] = -1.5F - 0.5F * (float)k;
    }
  }
  return RT_OK;
}

/** Records and tables of a good shard. */
static rt_err make_good(void)
{
  rt_codec_spec spec;
  rt_codec *codec = NULL;
  rt_logits_row row[N_ROWS] = {0};
  info = (rt_logits_info){.version = RT_LOGITS_VERSION,
                          .seq = 4,
                          .vocab = 50,
                          .n_rows = N_ROWS,
                          .shard_rows = N_ROWS,
                          .encoding = "packed",
                          .top_p = 1.0,
                          .top_k = 8,
                          .temperature = 1.0};
  RT_TRY(rt_logits_spec("good", &info, &spec));
  for (int i = 0; i < N_ROWS; i++)
    RT_TRY(make_row(i, &row[i]));
  RT_TRY(rt_codec_learn(&spec, row, N_ROWS, &codec));
  RT_TRY(rt_codec_store(codec, &tables));
  for (int i = 0; i < N_ROWS; i++) {
    RT_TRY(rt_codec_encode(codec, &row[i], &records));
    ptr[i + 1] = records.n;
    hash[i] = rt_hash_xxh3(records.data + ptr[i], records.n - ptr[i]);
    rt_logits_row_clear(&row[i]);
  }
  rt_codec_destroy(&codec);
  return RT_OK;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  must(rt_h5_child_start() == RT_OK, "no process for HDF5");
  MPI_Init(argc, argv);
  must(mkdtemp(folder) != NULL && make_good() == RT_OK, "a good shard");
  return 0;
}

/** The fuzzer's bytes; 0 after the last. */
typedef struct source {
  const uint8_t *data;
  size_t n;
} source;

static unsigned take(source *s)
{
  if (s->n == 0)
    return 0;
  s->n--;
  return *s->data++;
}

/** Small numbers around the valid value, or arbitrary ones. */
static int64_t take_number(source *s, int64_t right)
{
  const unsigned how = take(s);
  if (how < 128)
    return right + (int64_t)how - 64;
  uint64_t x = 0;
  for (unsigned i = 0; i < 8; i++)
    x = x << 8 | take(s);
  return (int64_t)(x >> (how % 64));
}

/** A modification of the shard. */
typedef struct edit {
  enum {
    NONE,
    ATTRIBUTE,
    ABSENT,
    POINTER,
    HASH,
    TABLES,
    RECORDS,
    SIZE,
    CLAIM // an attribute that the manifest repeats
  } what;
  unsigned which;
  int64_t value;
} edit;

/** The attributes of a valid shard, in this order. */
enum { VERSION, ROW0, TOKENS, ENTRIES, SEQ, VOCAB, ROWS, TOP_K, DRAWS, LANES };
static const int64_t good[] = {
    RT_LOGITS_VERSION, 0, 12, 18, 4, 50, N_ROWS, 8, 0, 0};
enum { N_ATTRIBUTES = sizeof good / sizeof good[0] };

/** A good dataset's description after the edits; *v [N_ATTRIBUTES] the
 *  numbers.  What only the shard says: \a all. */
static rt_logits_info describe(const edit *e, int n, bool all,
                               int64_t v[N_ATTRIBUTES])
{
  rt_logits_info said = info;
  memcpy(v, good, sizeof good);
  for (int i = 0; i < n; i++)
    if (e[i].what == CLAIM || (all && e[i].what == ATTRIBUTE))
      v[e[i].which % N_ATTRIBUTES] = e[i].value;
  said.seq = v[SEQ];
  said.vocab = v[VOCAB];
  said.n_rows = v[ROWS];
  if (said.shard_rows < said.n_rows) // one shard, whatever its rows
    said.shard_rows = said.n_rows;
  said.top_k = v[TOP_K];
  said.draws = v[DRAWS];
  said.lanes = v[LANES];
  return said;
}

static rt_err put_attributes(rt_h5 *h5, const edit *e, int n)
{
  int64_t v[N_ATTRIBUTES];
  const rt_logits_info said = describe(e, n, true, v);
  RT_TRY(rt_h5_put_text(h5, "format", RT_LOGITS_FORMAT));
  RT_TRY(rt_h5_put_int(h5, "version", v[VERSION]));
  RT_TRY(rt_h5_put_int(h5, "row0", v[ROW0]));
  RT_TRY(rt_h5_put_int(h5, "n_tokens", v[TOKENS]));
  RT_TRY(rt_h5_put_int(h5, "n_entries", v[ENTRIES]));
  RT_TRY(rt_logits_info_put(h5, &said));
  return rt_h5_put_text(h5, "deck", "");
}

static rt_err put_set(rt_h5 *h5, const char *name, rt_dtype dtype, void *data,
                      int64_t n, int64_t chunk)
{
  const rt_h5_shape shape = {
      .dtype = dtype, .n_dims = 1, .rows = n, .cols = 1, .chunk_rows = chunk};
  RT_TRY(rt_h5_declare(h5, name, &shape));
  return rt_h5_write(h5, name, 0, 0, rt_view_of(data, dtype, n, 1));
}

/** Is dataset \a i left out?  Else its length after the edits. */
static int64_t length(const edit *e, int n, unsigned i, int64_t right)
{
  for (int k = 0; k < n; k++) {
    if (e[k].what == ABSENT && e[k].which % 4 == i)
      return -1;
    if (e[k].what == SIZE && e[k].which % 4 == i)
      return e[k].value < 1 ? 1 : e[k].value > right ? right : e[k].value;
  }
  return right;
}

static rt_err put_sets(rt_h5 *h5, const edit *e, int n)
{
  uint64_t p[N_ROWS + 1], x[N_ROWS];
  static unsigned char t[MAX_BYTES], r[MAX_BYTES];
  const size_t n_t = tables.n < MAX_BYTES ? tables.n : MAX_BYTES;
  memcpy(p, ptr, sizeof p);
  memcpy(x, hash, sizeof x);
  memcpy(t, tables.data, n_t);
  memcpy(r, records.data, records.n);
  for (int i = 0; i < n; i++) {
    const unsigned at = e[i].which;
    if (e[i].what == POINTER)
      p[at % (N_ROWS + 1)] = (uint64_t)e[i].value;
    if (e[i].what == TABLES)
      t[at * 16U % n_t] = (unsigned char)e[i].value;
    if (e[i].what == RECORDS)
      r[at % records.n] = (unsigned char)e[i].value;
  }
  for (int i = 0; i < N_ROWS; i++) // otherwise no record would pass its hash
    if (p[i] <= p[i + 1] && p[i + 1] <= records.n)
      x[i] = rt_hash_xxh3(r + p[i], p[i + 1] - p[i]);
  for (int i = 0; i < n; i++)
    if (e[i].what == HASH)
      x[e[i].which % N_ROWS] = (uint64_t)e[i].value;
  const struct {
    const char *name;
    rt_dtype dtype;
    void *data;
    int64_t n, chunk;
  } sets[] = {{"record_ptr", RT_U64, p, N_ROWS + 1, 0},
              {"row_xxh3", RT_U64, x, N_ROWS, 0},
              {"tables", RT_U8, t, (int64_t)n_t, 0},
              {"records", RT_U8, r, (int64_t)records.n, 64}};
  for (unsigned i = 0; i < 4; i++) {
    const int64_t len = length(e, n, i, sets[i].n);
    if (len > 0)
      RT_TRY(put_set(h5, sets[i].name, sets[i].dtype, sets[i].data, len,
                     sets[i].chunk < len ? sets[i].chunk : 0));
  }
  return RT_OK;
}

/** Write the shard, its seal, and a manifest that lists it. */
static rt_err write_shard(const edit *e, int n)
{
  char path[RT_PATH_MAX];
  rt_h5 *h5 = NULL;
  RT_TRY(rt_logits_shard_path(path, folder, 0));
  RT_TRY(rt_h5_create(path, &h5));
  RT_TRY(put_attributes(h5, e, n));
  RT_TRY(put_sets(h5, e, n));
  RT_TRY(h5_save(&h5, path));
  RT_TRY(rt_seal_write(MPI_COMM_SELF, path, NULL, 0, RT_SEAL_SHA256));
  rt_logits_shard s;
  RT_TRY(rt_file_size(path, &s.bytes));
  RT_TRY(rt_seal_hash(path, &s.seal, s.sha256));
  int64_t v[N_ATTRIBUTES];
  rt_logits_manifest m = {describe(e, n, false, v), true, "", &s, 1, ""};
  memset(m.readme_sha256, '0', RT_SHA256_HEX - 1);
  return rt_logits_manifest_write(folder, &m);
}

static void read_shard(void)
{
  rt_logits *ds;
  rt_logits_row row = {0};
  if (rt_logits_open(MPI_COMM_SELF, folder, RT_LOGITS_FINISHED, &ds) != RT_OK)
    return;
  for (int64_t i = 0; i < N_ROWS && rt_logits_has(ds, i); i++) {
    if (rt_logits_read(ds, i, &row) == RT_OK)
      must(rt_logits_verify_row(ds, i, &row) == RT_OK, "a bad row is taken");
  }
  rt_logits_row_clear(&row);
  rt_logits_close(&ds);
}

/** Write and read it; bytes that stay allocated. */
static int64_t try(const edit *e, int n)
{
  const size_t before = __sanitizer_get_current_allocated_bytes();
  must(write_shard(e, n) == RT_OK, "the shard is not written");
  read_shard();
  return (int64_t)__sanitizer_get_current_allocated_bytes() - (int64_t)before;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
  source s = {data, n};
  edit e[MAX_EDITS];
  int n_edits = 0;
  while (s.n > 0 && n_edits < MAX_EDITS) {
    edit *const x = &e[n_edits++];
    x->what = take(&s) % (CLAIM + 1);
    x->which = take(&s);
    const unsigned at = x->which % N_ATTRIBUTES;
    x->value =
        take_number(&s, x->what == ATTRIBUTE || x->what == CLAIM ? good[at]
                        : x->what == POINTER ? (int64_t)ptr[at % 4]
                                             : 64);
  }
  // LeakSanitizer conflicts with MPI's threads; HDF5 keeps some memory for
  // reuse, but not every time
  int times = 0;
  while (times < 5 && try(e, n_edits) > 0)
    times++;
  must(times < 5, "memory is lost");
  return 0;
}
