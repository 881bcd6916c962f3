/** \file logits_open.c
 *  Opens a logit dataset: all shards are checked and all rows located once, by
 *  ranks that divide the work, so that reading a row is a single pread. */
#include "io/logits/logits_place.h"

#include "base/log.h"
#include "base/split.h"
#include "io/common/ranks.h"
#include "io/common/seal.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t max_table_bytes = 64 << 20;
/** Bound that keeps the sum over all shards from overflowing. */
static const int64_t max_shard_entries = INT64_C(1) << 42;

/** A growing array of words. */
typedef struct table {
  uint64_t *word; // owned
  int64_t n, room;
} table;

/** Append \a n words, at *at. */
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

/** Append dataset \a name of \a n u64 words. */
static rt_err add_words(const rt_h5_reader *h5, const char *name, int64_t n,
                        table *t)
{
  const rt_h5_shape expected = {
      .dtype = RT_U64, .n_dims = 1, .rows = n, .cols = 1};
  uint64_t *at = NULL;
  // checks that the file has this many
  RT_TRY(rt_h5_reader_expect(h5, name, &expected));
  RT_TRY(extend(t, n, &at));
  return rt_h5_reader_read(h5, name, 0, 0, rt_view_of(at, RT_U64, n, 1));
}

/** Append the location of the records: chunk, n_chunks, offsets. */
static rt_err add_records(const rt_h5_reader *h5, int64_t n_bytes, table *t)
{
  rt_h5_shape s = {.dtype = RT_U8, .n_dims = 1, .rows = n_bytes, .cols = 1};
  rt_extent *extents;
  int64_t n;
  uint64_t *at = NULL;
  RT_TRY(rt_h5_reader_expect(h5, "records", &s));
  RT_TRY(rt_h5_reader_look(h5, "records", &s));
  RT_TRY(rt_h5_reader_extents(h5, "records", &extents, &n));
  const rt_err err = extend(t, 2 + n, &at);
  if (err == RT_OK) {
    at[0] = (uint64_t)(s.chunk_rows > 0 ? s.chunk_rows : s.rows);
    at[1] = (uint64_t)n;
    for (int64_t i = 0; i < n; i++)
      at[2 + i] = (uint64_t)extents[i].offset;
  }
  free(extents);
  return err;
}

/** Append the codec's tables: their size, then the tables. */
static rt_err add_tables(const rt_h5_reader *h5, const char *path, table *t)
{
  rt_h5_shape s;
  uint64_t *at = NULL;
  RT_TRY(rt_h5_reader_look(h5, "tables", &s));
  RT_CHECK(s.dtype == RT_U8 && s.n_dims == 1 && s.rows <= max_table_bytes,
           RT_ERR_DATA, "%s: tables is %lld bytes, expected at most %lld", path,
           (long long)s.rows, (long long)max_table_bytes);
  RT_TRY(extend(t, 1 + (s.rows + 7) / 8, &at));
  at[0] = (uint64_t)s.rows;
  return s.rows == 0 ? RT_OK
                     : rt_h5_reader_read(h5, "tables", 0, 0,
                                         rt_view_of(at + 1, RT_U8, s.rows, 1));
}

/** Check that record_ptr starts at 0 and never decreases. */
static rt_err check_pointers(const char *path, const uint64_t *ptr, int64_t n)
{
  bool good = ptr[0] == 0 && ptr[n] <= INT64_MAX;
  for (int64_t r = 0; r < n && good; r++)
    good = ptr[r] <= ptr[r + 1];
  RT_CHECK(good, RT_ERR_DATA, "%s: record_ptr does not ascend from 0", path);
  return RT_OK;
}

/** Append the index of a shard: tokens, entries, record_ptr, row_xxh3, records,
 *  tables. */
static rt_err add_contents(const rt_h5_reader *h5, const char *path,
                           const rt_codec_spec *spec, int64_t n_rows, table *t)
{
  const int64_t max = spec->max_entries;
  int64_t count[2];
  uint64_t *at = NULL;
  RT_TRY(rt_h5_reader_int(h5, "n_tokens", &count[0]));
  RT_TRY(rt_h5_reader_int(h5, "n_entries", &count[1]));
  RT_CHECK(count[0] >= 0 && count[0] <= n_rows * spec->max_tokens &&
               count[1] >= 0 && count[1] <= max_shard_entries &&
               count[1] / max + (count[1] % max != 0) <= count[0],
           RT_ERR_DATA,
           "%s: %lld tokens and %lld entries in %lld rows of at most %lld "
           "tokens, %lld entries each",
           path, (long long)count[0], (long long)count[1], (long long)n_rows,
           (long long)spec->max_tokens, (long long)max);
  RT_TRY(extend(t, 2, &at));
  memcpy(at, count, sizeof count);
  const int64_t ptr = t->n;
  RT_TRY(add_words(h5, "record_ptr", n_rows + 1, t));
  RT_TRY(check_pointers(path, t->word + ptr, n_rows));
  RT_TRY(add_words(h5, "row_xxh3", n_rows, t));
  RT_TRY(add_records(h5, (int64_t)t->word[ptr + n_rows], t));
  return add_tables(h5, path, t);
}

/** Check that it is the file listed in the manifest. */
static rt_err check_listed(const rt_h5_reader *h5, const char *path,
                           uint64_t seal, const rt_logits_shard *s)
{
  const int64_t bytes = rt_h5_reader_bytes(h5);
  RT_CHECK(seal == s->seal && bytes == s->bytes, RT_ERR_DATA,
           "%s has %lld bytes and seal %016" PRIx64
           ", the manifest says %lld and %016" PRIx64
           ": it belongs to another dataset",
           path, (long long)bytes, seal, (long long)s->bytes, s->seal);
  return RT_OK;
}

/** Check that the seal leaves only the records without a hash: their rows are
 *  checked when they are read. */
static rt_err check_unhashed(const rt_h5_reader *h5, const char *path,
                             const rt_seal_proof *proof)
{
  rt_extent *extents = NULL;
  int64_t n = 0;
  if (proof->n_raw > 0)
    RT_TRY(rt_h5_reader_extents(h5, "records", &extents, &n));
  const rt_err err = rt_seal_proof_covers(proof, path, extents, n);
  free(extents);
  return err;
}

/** Verify shard \a i, then append its index. */
static rt_err add_shard(const rt_logits *ds, int64_t i, table *t)
{
  const rt_logits_info *const info = &ds->manifest.info;
  char path[RT_PATH_MAX];
  RT_TRY(rt_logits_shard_path(path, ds->folder, i));
  RT_CHECK(rt_file_exists(path), RT_ERR_DATA,
           "%s is listed in the manifest but missing: restore it from a "
           "copy%s; `retort logits verify` lists all missing files",
           path,
           info->step || info->source[0] != '\0'
               ? ""
               : ", or run the same capture again to recreate it");
  rt_seal_proof proof;
  rt_h5_reader *h5 = NULL;
  rt_err err = rt_h5_reader_open(path, &proof, &h5);
  if (err == RT_OK)
    err = check_listed(h5, path, proof.hash, &ds->manifest.shards[i]);
  if (err == RT_OK)
    err = rt_logits_header_check(h5, path, info, i);
  if (err == RT_OK)
    err = check_unhashed(h5, path, &proof);
  if (err == RT_OK)
    err = add_contents(h5, path, &ds->spec, rt_logits_shard_rows(info, i), t);
  rt_seal_proof_clear(&proof);
  rt_h5_reader_close(&h5);
  return err;
}

/** Set the pointers of all places into the concatenated indices. */
static void index_tables(rt_logits *ds)
{
  const rt_logits_info *const info = &ds->manifest.info;
  RT_ASSERT(ds->words != NULL && ds->places != NULL);
  const uint64_t *at = ds->words;
  for (int64_t i = 0; i < ds->manifest.n_shards; i++) {
    if (ds->manifest.shards[i].bytes == 0)
      continue;
    const int64_t n = rt_logits_shard_rows(info, i);
    rt_logits_place *const p = &ds->places[i];
    ds->totals.rows += n;
    ds->totals.tokens += (int64_t)at[0];
    ds->totals.entries += (int64_t)at[1];
    p->record_ptr = at + 2;
    p->row_xxh3 = p->record_ptr + n + 1;
    at = p->row_xxh3 + n;
    p->chunk = at[0];
    p->n_chunks = at[1];
    p->offset = at + 2;
    at = p->offset + p->n_chunks;
    p->n_table_bytes = at[0];
    p->tables = at + 1;
    at += 1 + (p->n_table_bytes + 7) / 8;
  }
}

/** Rank 0 reads the manifest and broadcasts it; all ranks parse it. */
static rt_err open_manifest(MPI_Comm comm, rt_logits_state state, rt_logits *ds)
{
  RT_ASSERT(ds != NULL); // the ranks have agreed
  char path[RT_PATH_MAX], *text = NULL;
  size_t n = 0;
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY(rt_logits_manifest_path(path, ds->folder));
  rt_err err = RT_OK;
  if (rank == 0 && !rt_file_exists(path))
    err = RT_FAIL(RT_ERR_NOINPUT,
                  "\"%s\" is not a logit dataset: it has no manifest.json",
                  ds->folder);
  else if (rank == 0)
    err = rt_seal_text_get(path, RT_LOGITS_MANIFEST_MAX, &text, &n, &ds->proof);
  RT_TRY(rt_group_bcast_text(comm, err, &text, &n));
  err = rt_logits_manifest_parse(path, text, n, &ds->manifest);
  free(text);
  RT_TRY(rt_group_agree(comm, err));
  RT_TRY(rt_group_bcast(comm, &ds->proof, sizeof ds->proof));
  RT_CHECK(ds->manifest.complete || state != RT_LOGITS_FINISHED, RT_ERR_DATA,
           "%s is an unfinished capture: run the same capture again to finish "
           "it",
           ds->folder);
  ds->totals.bytes = (int64_t)n;
  return rt_logits_spec(ds->folder, &ds->manifest.info, &ds->spec);
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
  for (size_t i = 0; i < n; i++) {
    char path[RT_PATH_MAX];
    RT_TRY(rt_logits_shard_path(path, ds->folder, (int64_t)i));
    ds->places[i].path = strdup(path);
    RT_CHECK(ds->places[i].path != NULL, RT_ERR_MEM, "%s", path);
  }
  return rt_logits_cache_create(&ds->decoders);
}

/** Sum the sizes of shards [first, first + n) and their seals. */
static rt_err size_shards(const rt_logits *ds, int64_t first, int64_t n,
                          int64_t *bytes)
{
  *bytes = 0;
  for (int64_t i = first; i < first + n; i++) {
    char path[RT_PATH_MAX], seal[RT_PATH_MAX];
    int64_t one;
    if (ds->manifest.shards[i].bytes == 0)
      continue;
    RT_TRY(rt_logits_shard_path(path, ds->folder, i));
    RT_TRY(rt_seal_path(seal, path));
    RT_TRY(rt_file_size(seal, &one));
    *bytes += one + ds->manifest.shards[i].bytes;
  }
  return RT_OK;
}

/** Verify the shards [first, first + n) of the list and append their indices.
 *  left_out [n_shards] marks damaged or missing shards, where \a state allows
 *  these; running out of memory is an error in any case. */
static rt_err add_shards(rt_logits *ds, rt_logits_state state, int64_t first,
                         int64_t n, table *mine, unsigned char *left_out)
{
  for (int64_t i = first; i < first + n; i++) {
    const int64_t before = mine->n;
    if (ds->manifest.shards[i].bytes == 0)
      continue;
    const rt_err err = add_shard(ds, i, mine);
    if (err != RT_OK && (state != RT_LOGITS_SOUND || err == RT_ERR_MEM))
      return err;
    if (err == RT_OK)
      continue;
    rt_found("%s", rt_err_text());
    mine->n = before;
    left_out[i] = 1;
    ds->manifest.shards[i].bytes = 0;
  }
  return RT_OK;
}

/** A shard skipped by any rank is skipped by all. */
static rt_err leave_out(MPI_Comm comm, rt_logits *ds, unsigned char *left_out)
{
  RT_TRY_MEETING("all-reduce", MPI_Allreduce(MPI_IN_PLACE, left_out,
                                             (int)ds->manifest.n_shards,
                                             MPI_UNSIGNED_CHAR, MPI_MAX, comm));
  for (int64_t i = 0; i < ds->manifest.n_shards; i++)
    if (left_out[i] != 0) {
      ds->manifest.shards[i].bytes = 0;
      ds->n_left_out++;
    }
  return RT_OK;
}

/** Each shard is verified and located by one rank; all ranks receive all
 *  indices. */
static rt_err share_shards(MPI_Comm comm, rt_logits_state state, rt_logits *ds,
                           unsigned char *left_out)
{
  RT_ASSERT(left_out != NULL); // the ranks have agreed
  int rank, n_ranks;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY_MPI(MPI_Comm_size(comm, &n_ranks));
  const int64_t n = ds->manifest.n_shards;
  const int64_t first = rt_split_begin(n, n_ranks, rank);
  const int64_t count = rt_split_count(n, n_ranks, rank);
  table mine = {0};
  int64_t bytes = 0;
  rt_err err = add_shards(ds, state, first, count, &mine, left_out);
  if (err == RT_OK)
    err = size_shards(ds, first, count, &bytes);
  err = rt_group_agree(comm, err);
  if (err == RT_OK)
    err = rt_group_join(comm, mine.word, mine.n, &ds->words, &ds->n_words);
  free(mine.word);
  RT_TRY(err);
  RT_TRY(leave_out(comm, ds, left_out));
  RT_TRY_MEETING("all-reduce", MPI_Allreduce(MPI_IN_PLACE, &bytes, 1,
                                             MPI_INT64_T, MPI_SUM, comm));
  ds->totals.bytes += bytes;
  index_tables(ds);
  return RT_OK;
}

static rt_err open_shards(MPI_Comm comm, rt_logits_state state, rt_logits *ds)
{
  RT_ASSERT(ds != NULL);
  unsigned char *const left_out = calloc((size_t)ds->manifest.n_shards, 1);
  rt_err err = left_out != NULL ? new_places(ds)
                                : RT_FAIL(RT_ERR_MEM, "a list of shards");
  err = rt_group_agree(comm, err);
  if (err == RT_OK)
    err = share_shards(comm, state, ds, left_out);
  free(left_out);
  return err;
}

rt_err rt_logits_open(MPI_Comm comm, const char *folder, rt_logits_state state,
                      rt_logits **out)
{
  *out = NULL;
  rt_logits *ds = calloc(1, sizeof *ds);
  rt_err err = ds != NULL ? rt_path_join(ds->folder, "", folder)
                          : RT_FAIL(RT_ERR_MEM, "%zu bytes to open %.80s",
                                    sizeof *ds, folder);
  err = rt_group_agree(comm, err);
  if (err == RT_OK)
    err = open_manifest(comm, state, ds);
  if (err == RT_OK)
    err = open_shards(comm, state, ds);
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
  for (int64_t i = 0; i < (*ds)->manifest.n_shards; i++) {
    if ((*ds)->fd != NULL && (*ds)->fd[i] != 0)
      close((*ds)->fd[i] - 1);
    if ((*ds)->places != NULL)
      free((*ds)->places[i].path);
  }
  rt_logits_cache_destroy(&(*ds)->decoders);
  free((*ds)->fd);
  free((*ds)->n_open);
  free((*ds)->places);
  free((*ds)->words);
  rt_logits_manifest_clear(&(*ds)->manifest);
  free(*ds);
  *ds = NULL;
}
