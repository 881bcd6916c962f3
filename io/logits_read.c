/** \file logits_read.c
 *  Reading a logit dataset: everything is checked and located at open, so that
 *  a row is then six preads. */
#include "io/logits_manifest.h"

#include "base/hash.h"
#include "base/split.h"
#include "io/group.h"
#include "io/seal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t max_manifest_bytes = (size_t)256 << 20;
enum { MAX_OPEN = 256 }; // files kept open; others are opened for each row

/** One field in a file: elements in equal chunks. */
typedef struct located {
  uint64_t chunk, n_chunks; // elements of a chunk
  const uint64_t *offset;   // borrowed [n_chunks] of the file
} located;

/** A shard as rows are found in it. */
typedef struct place {
  located field[RT_LOGITS_N_FIELDS];
  const uint64_t *entry_ptr; // borrowed [n_rows + 1]
  const uint64_t *row_xxh3;  // borrowed [n_rows]
} place;

struct rt_logits {
  char folder[RT_PATH_MAX];
  rt_logits_manifest manifest; // owned
  uint64_t *words;             // owned: all shards' tables
  place *places;               // owned [n_shards]
  int64_t total_entries, total_bytes;
  atomic_int *fd;     // owned [n_shards] descriptor + 1; 0: not open
  atomic_int *n_open; // owned: how many are
};

/** --- the tables of shards, which ranks make for each other --- */

/** Words that grow. */
typedef struct table {
  uint64_t *word; // owned
  int64_t n, room;
} table;

/** Room for \a n more words at *at. */
static rt_err extend(table *t, int64_t n, uint64_t **at)
{
  if (t->n + n > t->room) {
    const int64_t room = 2 * (t->n + n);
    uint64_t *const word = realloc(t->word, (size_t)room * sizeof *word);
    RT_CHECK(word != NULL, RT_ERR_MEM, "a table of %lld rows' offsets",
             (long long)room);
    t->word = word;
    t->room = room;
  }
  *at = t->word + t->n;
  t->n += n;
  return RT_OK;
}

/** Append where a field lies: chunk, n_chunks, offsets. */
static rt_err add_field(const rt_h5 *h5, rt_logits_field f,
                        const rt_h5_shape *expected, table *t)
{
  rt_h5_shape s;
  rt_extent *extents;
  int64_t n;
  uint64_t *at = NULL;
  const char *const name = rt_logits_fields[f].name;
  RT_TRY(rt_h5_expect(h5, name, expected));
  RT_TRY(rt_h5_look(h5, name, &s));
  RT_TRY(rt_h5_extents(h5, name, &extents, &n));
  const rt_err err = extend(t, 2 + n, &at);
  if (err == RT_OK) {
    at[0] = (uint64_t)((s.chunk_rows > 0 ? s.chunk_rows : s.rows) * s.cols);
    at[1] = (uint64_t)n;
    for (int64_t i = 0; i < n; i++)
      at[2 + i] = (uint64_t)extents[i].offset;
  }
  free(extents);
  return err;
}

/** Append dataset \a name of \a n u64. */
static rt_err add_words(const rt_h5 *h5, const char *name, int64_t n, table *t)
{
  const rt_h5_shape expected = {
      .dtype = RT_U64, .n_dims = 1, .rows = n, .cols = 1};
  uint64_t *at = NULL;
  RT_TRY(rt_h5_expect(h5, name, &expected));
  RT_TRY(extend(t, n, &at));
  return rt_h5_read(h5, name, 0, 0, rt_view_of(at, RT_U64, n, 1));
}

static rt_err check_header(const rt_h5 *h5, const char *path,
                           const rt_logits_info *info, int64_t row0)
{
  char *format;
  int64_t version, got_row0, seq, vocab;
  RT_TRY(rt_h5_get_text(h5, "format", 64, &format));
  const bool ours = strcmp(format, RT_LOGITS_FORMAT) == 0;
  free(format);
  RT_TRY(rt_h5_get_int(h5, "version", &version));
  RT_TRY(rt_h5_get_int(h5, "row0", &got_row0));
  RT_TRY(rt_h5_get_int(h5, "seq", &seq));
  RT_TRY(rt_h5_get_int(h5, "vocab", &vocab));
  RT_CHECK(ours && version == RT_LOGITS_VERSION && got_row0 == row0 &&
               seq == info->seq && vocab == info->vocab,
           RT_ERR_DATA,
           "%s: version %lld, row0 %lld, seq %lld, vocab %lld; the manifest "
           "expects %s %d, %lld, %lld, %lld",
           path, (long long)version, (long long)got_row0, (long long)seq,
           (long long)vocab, RT_LOGITS_FORMAT, RT_LOGITS_VERSION,
           (long long)row0, (long long)info->seq, (long long)info->vocab);
  return RT_OK;
}

/** entry_ptr starts at 0, never falls and ends at the number of entries. */
static rt_err check_pointers(const char *path, const uint64_t *ptr, int64_t n,
                             int64_t n_entries)
{
  bool good = ptr[0] == 0 && ptr[n] == (uint64_t)n_entries;
  for (int64_t r = 0; r < n && good; r++)
    good = ptr[r] <= ptr[r + 1];
  RT_CHECK(good, RT_ERR_DATA,
           "%s: entry_ptr does not rise from 0 to the %lld entries", path,
           (long long)n_entries);
  return RT_OK;
}

/** Append a shard's table: entry_ptr, row_xxh3, then each field. */
static rt_err add_contents(const rt_h5 *h5, const char *path,
                           const rt_logits_info *info, int64_t n_rows, table *t)
{
  rt_h5_shape ids;
  RT_TRY(rt_h5_look(h5, "ids", &ids));
  const int64_t at = t->n;
  RT_TRY(add_words(h5, "entry_ptr", n_rows + 1, t));
  RT_TRY(check_pointers(path, t->word + at, n_rows, ids.rows));
  RT_TRY(add_words(h5, "row_xxh3", n_rows, t));
  for (int f = 0; f < RT_LOGITS_N_FIELDS; f++) {
    const bool per_entry = f == RT_LOGITS_ids || f == RT_LOGITS_logp;
    const int64_t width =
        rt_logits_width((rt_logits_field)f, info->seq, ids.rows);
    const rt_h5_shape expected = {.dtype = rt_logits_fields[f].dtype,
                                  .n_dims = per_entry ? 1 : 2,
                                  .rows = per_entry ? width : n_rows,
                                  .cols = per_entry ? 1 : width};
    RT_TRY(add_field(h5, (rt_logits_field)f, &expected, t));
  }
  return RT_OK;
}

/** Prove shard \a i, then append its table. */
static rt_err add_shard(const rt_logits *ds, int64_t i, table *t)
{
  const rt_logits_shard *const s = &ds->manifest.shards[i];
  char path[RT_PATH_MAX];
  uint64_t seal;
  int64_t bytes;
  RT_TRY(rt_logits_shard_path(path, ds->folder, i));
  RT_CHECK(rt_file_exists(path), RT_ERR_DATA,
           "%s is missing, although the manifest lists it", path);
  RT_TRY(rt_file_size(path, &bytes));
  RT_TRY(rt_seal_check(MPI_COMM_SELF, path));
  RT_TRY(rt_seal_hash(path, &seal));
  RT_CHECK(seal == s->seal && bytes == s->bytes, RT_ERR_DATA,
           "%s has %lld bytes and seal %016" PRIx64
           ", the manifest says %lld and %016" PRIx64
           ": it is of another dataset",
           path, (long long)bytes, seal, (long long)s->bytes, s->seal);
  rt_h5 *h5;
  RT_TRY(rt_h5_open(path, &h5));
  rt_err err = check_header(h5, path, &ds->manifest.info, s->row0);
  if (err == RT_OK)
    err = add_contents(h5, path, &ds->manifest.info, s->n_rows, t);
  if (err != RT_OK)
    (void)!rt_h5_close(&h5); // the first error counts
  else
    err = rt_h5_close(&h5);
  return err;
}

/** Point the places into the joined tables. */
static void index_tables(rt_logits *ds)
{
  RT_ASSERT(ds->words != NULL && ds->places != NULL);
  const uint64_t *at = ds->words;
  for (int64_t i = 0; i < ds->manifest.n_shards; i++) {
    const int64_t n = ds->manifest.shards[i].n_rows;
    place *const p = &ds->places[i];
    p->entry_ptr = at;
    p->row_xxh3 = at + n + 1;
    at += 2 * n + 1;
    for (int f = 0; f < RT_LOGITS_N_FIELDS; f++) {
      p->field[f] = (located){at[0], at[1], at + 2};
      at += 2 + at[1];
    }
    ds->total_entries += (int64_t)p->entry_ptr[n];
  }
}

/** --- open and close --- */

/** Rank 0 reads the manifest, all ranks parse it. */
static rt_err open_manifest(MPI_Comm comm, rt_logits *ds)
{
  RT_ASSERT(ds != NULL); // the ranks have agreed
  char path[RT_PATH_MAX], *text = NULL;
  size_t n = 0;
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY(rt_logits_manifest_path(path, ds->folder));
  rt_err err = RT_OK;
  if (rank == 0 && !rt_file_exists(path))
    err = RT_FAIL(RT_ERR_NOINPUT, "%s is no logit dataset: it has no %s",
                  ds->folder, strrchr(path, '/') + 1);
  else if (rank == 0)
    err = rt_seal_text_get(path, max_manifest_bytes, &text, &n, NULL);
  RT_TRY(rt_group_bcast_text(comm, err, &text, &n));
  err = rt_logits_manifest_parse(path, text, n, &ds->manifest);
  free(text);
  RT_TRY(rt_group_agree(comm, err));
  RT_CHECK(ds->manifest.complete, RT_ERR_DATA,
           "%s is an unfinished capture: run the same capture again to finish "
           "it",
           ds->folder);
  ds->total_bytes = (int64_t)n;
  return RT_OK;
}

static rt_err new_places(rt_logits *ds)
{
  const size_t n = (size_t)ds->manifest.n_shards;
  RT_ASSERT(n > 0);
  ds->places = calloc(n, sizeof *ds->places);
  ds->fd = calloc(n, sizeof *ds->fd);
  ds->n_open = calloc(1, sizeof *ds->n_open);
  RT_CHECK(ds->places != NULL && ds->fd != NULL && ds->n_open != NULL,
           RT_ERR_MEM, "places of %zu shards", n);
  return RT_OK;
}

/** Bytes of the seals of shards [first, first + n). */
static rt_err size_seals(const rt_logits *ds, int64_t first, int64_t n,
                         int64_t *bytes)
{
  *bytes = 0;
  for (int64_t i = first; i < first + n; i++) {
    char path[RT_PATH_MAX], seal[RT_PATH_MAX];
    int64_t one;
    RT_TRY(rt_logits_shard_path(path, ds->folder, i));
    RT_TRY(rt_seal_path(seal, path));
    RT_TRY(rt_file_size(seal, &one));
    *bytes += one + ds->manifest.shards[i].bytes;
  }
  return RT_OK;
}

/** Each shard is checked and located by one rank; all get all tables. */
static rt_err open_shards(MPI_Comm comm, rt_logits *ds)
{
  RT_ASSERT(ds != NULL);
  int rank, n_ranks;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY_MPI(MPI_Comm_size(comm, &n_ranks));
  const int64_t n = ds->manifest.n_shards;
  const int64_t first = rt_split_begin(n, n_ranks, rank);
  const int64_t count = rt_split_count(n, n_ranks, rank);
  table mine = {0};
  int64_t bytes = 0, n_words;
  rt_err err = new_places(ds);
  for (int64_t i = first; i < first + count && err == RT_OK; i++)
    err = add_shard(ds, i, &mine);
  if (err == RT_OK)
    err = size_seals(ds, first, count, &bytes);
  err = rt_group_agree(comm, err);
  if (err == RT_OK)
    err = rt_group_join(comm, mine.word, mine.n, &ds->words, &n_words);
  free(mine.word);
  RT_TRY(err);
  RT_TRY_MPI(
      MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_INT64_T, MPI_SUM, comm));
  ds->total_bytes += bytes;
  index_tables(ds);
  return RT_OK;
}

rt_err rt_logits_open(MPI_Comm comm, const char *folder, rt_logits **out)
{
  *out = NULL;
  rt_logits *ds = calloc(1, sizeof *ds);
  rt_err err = RT_OK;
  if (ds == NULL || strlen(folder) >= sizeof ds->folder)
    err = RT_FAIL(RT_ERR_MEM, "no memory, or too long a path: %.80s", folder);
  else
    strcpy(ds->folder, folder);
  err = rt_group_agree(comm, err);
  if (err == RT_OK)
    err = open_manifest(comm, ds);
  if (err == RT_OK)
    err = open_shards(comm, ds);
  if (err != RT_OK) {
    rt_logits_close(&ds);
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  *out = ds;
  return RT_OK;
}

void rt_logits_close(rt_logits **ds)
{
  if (*ds == NULL)
    return;
  for (int64_t i = 0; (*ds)->fd != NULL && i < (*ds)->manifest.n_shards; i++)
    if ((*ds)->fd[i] != 0)
      close((*ds)->fd[i] - 1);
  free((*ds)->fd);
  free((*ds)->n_open);
  free((*ds)->places);
  free((*ds)->words);
  rt_logits_manifest_clear(&(*ds)->manifest);
  free(*ds);
  *ds = NULL;
}

const rt_logits_info *rt_logits_about(const rt_logits *ds)
{
  return &ds->manifest.info;
}

int64_t rt_logits_total_entries(const rt_logits *ds)
{
  return ds->total_entries;
}

int64_t rt_logits_total_bytes(const rt_logits *ds)
{
  return ds->total_bytes;
}

/** --- rows --- */

/** Where a row is, and room to assemble it in the order of its hash. */
typedef struct found {
  int64_t i_shard, i_row; // in the shard
  int64_t begin, n;       // its entries
  uint32_t *words;        // owned
  char path[RT_PATH_MAX];
} found;

static rt_err find(const rt_logits *ds, int64_t row, found *x)
{
  const rt_logits_info *const info = &ds->manifest.info;
  RT_CHECK(row >= 0 && row < info->n_rows, RT_ERR_DATA,
           "%s: row %lld is asked for, it has %lld", ds->folder, (long long)row,
           (long long)info->n_rows);
  x->i_shard = row / info->shard_rows;
  x->i_row = row % info->shard_rows;
  const place *const p = &ds->places[x->i_shard];
  x->begin = (int64_t)p->entry_ptr[x->i_row];
  x->n = (int64_t)p->entry_ptr[x->i_row + 1] - x->begin;
  RT_TRY(rt_logits_shard_path(x->path, ds->folder, x->i_shard));
  const int64_t n_words = rt_logits_row_words(info->seq, x->n);
  x->words = malloc((size_t)n_words * 4);
  RT_CHECK(x->words != NULL, RT_ERR_MEM, "%lld bytes for row %lld of %s",
           (long long)n_words * 4, (long long)row, ds->folder);
  return RT_OK;
}

/** Give \a out room for a row; the entries' room never shrinks. */
static rt_err grow_row(int64_t seq, int64_t n_entries, rt_logits_row *out)
{
  const int64_t T = seq;
  const int64_t n = n_entries > out->cap_entries ? n_entries : out->cap_entries;
#define GROW(name, type, elements)                                             \
  do {                                                                         \
    void *const more = realloc(out->name, (size_t)((elements) + 1) * 4);       \
    RT_CHECK(more != NULL, RT_ERR_MEM, "%lld bytes for a row of logits",       \
             (long long)(elements)*4);                                         \
    out->name = more;                                                          \
  } while (0);
  RT_LOGITS_FIELDS(GROW)
#undef GROW
  out->cap_entries = n;
  return RT_OK;
}

/** Check the assembled row; only then is \a out touched. */
static rt_err give(const rt_logits *ds, int64_t row, const found *x,
                   rt_logits_row *out)
{
  const int64_t seq = ds->manifest.info.seq;
  const uint64_t expected = ds->places[x->i_shard].row_xxh3[x->i_row];
  const uint64_t got =
      rt_hash_xxh3(x->words, (size_t)rt_logits_row_words(seq, x->n) * 4);
  RT_CHECK(got == expected, RT_ERR_DATA,
           "%s: row %lld has XXH3 %016" PRIx64 ", expected %016" PRIx64
           ": it was damaged after it was written",
           x->path, (long long)row, got, expected);
  const rt_logits_row r = rt_logits_row_of(x->words, seq, x->n);
  RT_TRY(rt_logits_row_check(&ds->manifest.info, x->path, row, &r));
  RT_TRY(grow_row(seq, x->n, out));
  for (int f = 0; f < RT_LOGITS_N_FIELDS; f++) {
    const size_t n = (size_t)rt_logits_width((rt_logits_field)f, seq, x->n);
    if (n > 0)
      memcpy(rt_logits_array(out, (rt_logits_field)f),
             rt_logits_array(&r, (rt_logits_field)f), n * 4);
  }
  out->n_entries = x->n;
  return RT_OK;
}

/** A descriptor of shard \a i, kept open up to MAX_OPEN.  Two threads may both
 *  open it; one of them wins. */
static rt_err get_fd(const rt_logits *ds, const found *x, int *fd, bool *keep)
{
  atomic_int *const slot = &ds->fd[x->i_shard];
  const int had = atomic_load(slot);
  *keep = true;
  *fd = had - 1;
  if (had != 0)
    return RT_OK;
  *fd = open(x->path, O_RDONLY | O_CLOEXEC);
  RT_CHECK(*fd >= 0, RT_ERR_NOINPUT, "cannot open %s: %s", x->path,
           strerror(errno));
  *keep = atomic_fetch_add(ds->n_open, 1) < MAX_OPEN;
  int none = 0;
  *keep = *keep && atomic_compare_exchange_strong(slot, &none, *fd + 1);
  if (!*keep)
    atomic_fetch_sub(ds->n_open, 1);
  return RT_OK;
}

/** Elements [begin, begin + n) of a field, across its chunks. */
static rt_err read_field(const located *l, int fd, const char *path,
                         int64_t begin, int64_t n, uint32_t *to)
{
  for (int64_t done = 0; done < n;) {
    const uint64_t at = (uint64_t)(begin + done);
    const uint64_t in_chunk = at % l->chunk;
    int64_t part = (int64_t)(l->chunk - in_chunk);
    if (part > n - done)
      part = n - done;
    RT_TRY(rt_file_read_at(fd, path, to + done, (size_t)part * 4,
                           (int64_t)(l->offset[at / l->chunk] + in_chunk * 4)));
    done += part;
  }
  return RT_OK;
}

static rt_err read_fields(const rt_logits *ds, const found *x, int fd)
{
  const int64_t seq = ds->manifest.info.seq;
  uint32_t *to = x->words;
  for (int f = 0; f < RT_LOGITS_N_FIELDS; f++) {
    const bool per_entry = f == RT_LOGITS_ids || f == RT_LOGITS_logp;
    const int64_t n = rt_logits_width((rt_logits_field)f, seq, x->n);
    RT_TRY(read_field(&ds->places[x->i_shard].field[f], fd, x->path,
                      per_entry ? x->begin : x->i_row * n, n, to));
    to += n;
  }
  return RT_OK;
}

rt_err rt_logits_read(const rt_logits *ds, int64_t row, rt_logits_row *out)
{
  found x = {0};
  int fd = -1;
  bool keep = true;
  rt_err err = find(ds, row, &x);
  if (err == RT_OK)
    err = get_fd(ds, &x, &fd, &keep);
  if (err == RT_OK)
    err = read_fields(ds, &x, fd);
  if (!keep)
    close(fd);
  if (err == RT_OK)
    err = give(ds, row, &x, out);
  free(x.words);
  RT_TRY(err);
  return RT_OK;
}

static rt_err read_fields_h5(const rt_logits *ds, const found *x,
                             const rt_h5 *h5)
{
  const int64_t seq = ds->manifest.info.seq;
  uint32_t *to = x->words;
  for (int f = 0; f < RT_LOGITS_N_FIELDS; f++) {
    const bool per_entry = f == RT_LOGITS_ids || f == RT_LOGITS_logp;
    const int64_t n = rt_logits_width((rt_logits_field)f, seq, x->n);
    const rt_view v = rt_view_of(to, rt_logits_fields[f].dtype,
                                 per_entry ? n : 1, per_entry ? 1 : n);
    RT_TRY(rt_h5_read(h5, rt_logits_fields[f].name,
                      per_entry ? x->begin : x->i_row, 0, v));
    to += n;
  }
  return RT_OK;
}

rt_err rt_logits_read_h5(const rt_logits *ds, int64_t row, rt_logits_row *out)
{
  found x = {0};
  rt_h5 *h5 = NULL;
  rt_err err = find(ds, row, &x);
  if (err == RT_OK)
    err = rt_h5_open(x.path, &h5);
  if (err == RT_OK)
    err = read_fields_h5(ds, &x, h5);
  if (err != RT_OK)
    (void)!rt_h5_close(&h5); // the first error counts
  else
    err = rt_h5_close(&h5);
  if (err == RT_OK)
    err = give(ds, row, &x, out);
  free(x.words);
  RT_TRY(err);
  return RT_OK;
}
