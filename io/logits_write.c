/** \file logits_write.c
 *  Writing a logit dataset: each shard by one rank, published when whole. */
#include "io/logits_manifest.h"

#include "base/hash.h"
#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Chunks are a little larger than the cache that HDF5 has by default: of those
 *  it reads what is asked for, not the whole, as retort itself does. */
static const int64_t chunk_bytes = (1 << 20) + 1;
static const int64_t max_chunks = 1024; // looking them up costs their square

/** --- the folder --- */

/** Names of files in \a folder that are \a match: the first one into \a name
 *  ("" when none), or all removed. */
static rt_err each_file(const char *folder, bool (*match)(const char *name),
                        bool remove, char name[256])
{
  DIR *const dir = opendir(folder);
  RT_CHECK(dir != NULL, RT_ERR_LOCKED, "cannot list %s: %s", folder,
           strerror(errno));
  name[0] = '\0';
  rt_err err = RT_OK;
  for (struct dirent *e; err == RT_OK && (e = readdir(dir)) != NULL;) {
    char path[RT_PATH_MAX];
    if (!match(e->d_name))
      continue;
    if (name[0] == '\0')
      snprintf(name, 256, "%s", e->d_name);
    err = remove ? rt_path_join(path, folder, e->d_name) : RT_OK;
    if (err == RT_OK && remove)
      err = rt_path_remove(path);
  }
  closedir(dir);
  return err;
}

static bool is_shard(const char *name)
{
  return strncmp(name, "shard-", 6) == 0;
}

static bool is_temporary(const char *name)
{
  return (is_shard(name) || strncmp(name, "manifest.", 9) == 0) &&
         strstr(name, ".tmp") != NULL;
}

/** The manifest in \a folder is of an unfinished capture like \a info. */
static rt_err read_same(const char *folder, const rt_logits_info *info,
                        rt_logits_manifest *m)
{
  RT_TRY(rt_logits_manifest_read(folder, m));
  char diff[1024];
  rt_logits_info_diff(&m->info, info, diff, sizeof diff);
  const bool complete = m->complete, same = diff[0] == '\0';
  if (same && !complete)
    return RT_OK;
  rt_logits_manifest_clear(m);
  return RT_FAIL(RT_ERR_LOCKED,
                 "%s holds %s capture%s%s; choose another folder, or remove "
                 "this one",
                 folder, complete ? "a finished" : "an unfinished",
                 same ? "" : " of something else: ", diff);
}

rt_err rt_logits_create(const char *folder, const rt_logits_info *info,
                        const char *deck)
{
  char path[RT_PATH_MAX], found[256];
  RT_TRY(rt_logits_info_check("capture", info));
  RT_TRY(rt_folder_create(folder));
  RT_TRY(rt_logits_manifest_path(path, folder));
  if (rt_file_exists(path)) {
    rt_logits_manifest m;
    RT_TRY(read_same(folder, info, &m));
    rt_logits_manifest_clear(&m); // the first half's is kept: its shards have
    return RT_OK;                 // the same texts in them
  }
  RT_TRY(each_file(folder, is_shard, false, found));
  RT_CHECK(found[0] == '\0', RT_ERR_LOCKED,
           "%s holds %s but no manifest.json; choose another folder, or remove "
           "this one",
           folder, found);
  rt_logits_manifest m = {.info = *info};
  m.n_shards = rt_logits_n_shards(info);
  m.deck = strdup(deck);
  const rt_err err = m.deck != NULL
                         ? rt_logits_manifest_write(folder, &m)
                         : RT_FAIL(RT_ERR_MEM, "the deck of %s", folder);
  rt_logits_manifest_clear(&m);
  RT_TRY(err);
  return RT_OK;
}

rt_err rt_logits_done(const char *folder, const rt_logits_info *info,
                      bool *done)
{
  char path[RT_PATH_MAX], found[256];
  RT_TRY(each_file(folder, is_temporary, true, found));
  for (int64_t i = 0; i < rt_logits_n_shards(info); i++) {
    RT_TRY(rt_logits_shard_path(path, folder, i));
    done[i] = rt_file_exists(path);
    if (done[i] && rt_seal_check(MPI_COMM_SELF, path) != RT_OK) {
      rt_warn("shard %lld is written again: %s", (long long)i, rt_err_text());
      done[i] = false;
    }
  }
  return RT_OK;
}

/** --- a shard --- */

/** The rows of one shard, on their way into a file. */
typedef struct shard {
  const rt_logits_info *info; // borrowed
  const rt_logits_row *rows;  // borrowed [n_rows]
  int64_t i_shard, n_rows, n_entries;
} shard;

static rt_err check_rows(const shard *s)
{
  char name[32];
  rt_logits_shard_name(name, s->i_shard);
  const int64_t row0 = s->i_shard * s->info->shard_rows;
  for (int64_t r = 0; r < s->n_rows; r++)
    RT_TRY(rt_logits_row_check(s->info, name, row0 + r, &s->rows[r]));
  return RT_OK;
}

/** Even chunks: no part of the last one is wasted. */
static int64_t chunk_rows(int64_t rows, int64_t row_bytes)
{
  int64_t n = rows * row_bytes / chunk_bytes;
  n = n < 1 ? 1 : n > max_chunks ? max_chunks : n;
  return (rows + n - 1) / n;
}

/** One field of all rows as one dataset. */
static rt_err write_field(rt_h5 *h5, const shard *s, rt_logits_field f)
{
  const bool per_entry = f == RT_LOGITS_ids || f == RT_LOGITS_logp;
  rt_h5_shape shape = {.dtype = rt_logits_fields[f].dtype,
                       .n_dims = per_entry ? 1 : 2,
                       .rows = per_entry ? s->n_entries : s->n_rows,
                       .cols =
                           per_entry ? 1 : rt_logits_width(f, s->info->seq, 0)};
  shape.chunk_rows = chunk_rows(shape.rows, 4 * shape.cols);
  RT_TRY(rt_h5_declare(h5, rt_logits_fields[f].name, &shape));
  uint32_t *const all = malloc((size_t)(shape.rows * shape.cols + 1) * 4);
  RT_CHECK(all != NULL, RT_ERR_MEM,
           "%lld bytes to gather the %s of a shard: fewer rows in a shard",
           (long long)(shape.rows * shape.cols * 4), rt_logits_fields[f].name);
  int64_t used = 0;
  for (int64_t r = 0; r < s->n_rows; r++) {
    const int64_t n = rt_logits_width(f, s->info->seq, s->rows[r].n_entries);
    if (n > 0)
      memcpy(all + used, rt_logits_array(&s->rows[r], f), (size_t)n * 4);
    used += n;
  }
  const rt_err err =
      rt_h5_write(h5, rt_logits_fields[f].name, 0, 0,
                  rt_view_of(all, shape.dtype, shape.rows, shape.cols));
  free(all);
  RT_TRY(err);
  return RT_OK;
}

/** XXH3 of a row's fields, one behind the other in \a words. */
static uint64_t hash_row(const shard *s, int64_t r, uint32_t *words)
{
  const rt_logits_row *const row = &s->rows[r];
  size_t used = 0;
  for (int f = 0; f < RT_LOGITS_N_FIELDS; f++) {
    const size_t n = (size_t)rt_logits_width((rt_logits_field)f, s->info->seq,
                                             row->n_entries);
    if (n > 0)
      memcpy(words + used, rt_logits_array(row, (rt_logits_field)f), n * 4);
    used += n;
  }
  return rt_hash_xxh3(words, used * 4);
}

static rt_err write_words(rt_h5 *h5, const char *name, uint64_t *words,
                          int64_t n)
{
  const rt_h5_shape shape = {
      .dtype = RT_U64, .n_dims = 1, .rows = n, .cols = 1};
  RT_TRY(rt_h5_declare(h5, name, &shape));
  return rt_h5_write(h5, name, 0, 0, rt_view_of(words, RT_U64, n, 1));
}

/** entry_ptr and row_xxh3: what the seal covers of the data. */
static rt_err write_index(rt_h5 *h5, const shard *s)
{
  int64_t most = 0;
  for (int64_t r = 0; r < s->n_rows; r++)
    if (s->rows[r].n_entries > most)
      most = s->rows[r].n_entries;
  const size_t n = (size_t)s->n_rows;
  uint64_t *const ptr = malloc((n + 1) * sizeof *ptr);
  uint64_t *const hash = malloc(n * sizeof *hash);
  uint32_t *const words =
      malloc((size_t)rt_logits_row_words(s->info->seq, most) * 4);
  rt_err err = RT_OK;
  if (ptr == NULL || hash == NULL || words == NULL)
    err = RT_FAIL(RT_ERR_MEM, "the index of %zu rows", n);
  else {
    ptr[0] = 0;
    for (int64_t r = 0; r < s->n_rows; r++) {
      ptr[r + 1] = ptr[r] + (uint64_t)s->rows[r].n_entries;
      hash[r] = hash_row(s, r, words);
    }
    err = write_words(h5, "entry_ptr", ptr, s->n_rows + 1);
    if (err == RT_OK)
      err = write_words(h5, "row_xxh3", hash, s->n_rows);
  }
  free(ptr);
  free(hash);
  free(words);
  RT_TRY(err);
  return RT_OK;
}

static rt_err write_contents(rt_h5 *h5, const shard *s, const char *deck)
{
  RT_TRY(rt_h5_put_text(h5, "format", RT_LOGITS_FORMAT));
  RT_TRY(rt_h5_put_int(h5, "version", RT_LOGITS_VERSION));
  RT_TRY(rt_h5_put_int(h5, "row0", s->i_shard * s->info->shard_rows));
  RT_TRY(rt_logits_info_put(h5, s->info));
  RT_TRY(rt_h5_put_text(h5, "deck", deck));
  RT_TRY(write_index(h5, s));
  for (int f = 0; f < RT_LOGITS_N_FIELDS; f++)
    RT_TRY(write_field(h5, s, (rt_logits_field)f));
  return RT_OK;
}

static int by_offset(const void *a, const void *b)
{
  const int64_t x = ((const rt_extent *)a)->offset;
  const int64_t y = ((const rt_extent *)b)->offset;
  return (x > y) - (x < y);
}

/** All extents of the per-row fields, sorted; \a raw has room. */
static rt_err raw_extents(const rt_h5 *h5, rt_extent *raw, int *n_raw)
{
  for (int f = 0; f < RT_LOGITS_N_FIELDS; f++) {
    rt_extent *extents;
    int64_t n;
    RT_TRY(rt_h5_extents(h5, rt_logits_fields[f].name, &extents, &n));
    if (n > 0)
      memcpy(raw + *n_raw, extents, (size_t)n * sizeof *raw);
    *n_raw += (int)n;
    free(extents);
  }
  qsort(raw, (size_t)*n_raw, sizeof *raw, by_offset);
  return RT_OK;
}

/** Write \a tmp and its seal. */
static rt_err write_file(const char *tmp, const shard *s, const char *deck)
{
  rt_extent *const raw =
      malloc((size_t)(max_chunks + 1) * RT_LOGITS_N_FIELDS * sizeof *raw);
  RT_CHECK(raw != NULL, RT_ERR_MEM, "extents of %s", tmp);
  int n_raw = 0;
  rt_h5 *h5;
  rt_err err = rt_h5_create(tmp, MPI_COMM_NULL, &h5);
  if (err == RT_OK)
    err = write_contents(h5, s, deck);
  if (err == RT_OK)
    err = raw_extents(h5, raw, &n_raw);
  if (err != RT_OK)
    (void)!rt_h5_close(&h5); // the first error counts
  else
    err = rt_h5_close(&h5);
  if (err == RT_OK)
    err = rt_seal_write(MPI_COMM_SELF, tmp, raw, n_raw);
  free(raw);
  RT_TRY(err);
  return RT_OK;
}

/** The seal first: a shard is there when its file is. */
static rt_err publish(const char *tmp, const char *path)
{
  char from[RT_PATH_MAX], to[RT_PATH_MAX];
  RT_TRY(rt_seal_path(from, tmp));
  RT_TRY(rt_seal_path(to, path));
  RT_CHECK(unlink(path) == 0 || errno == ENOENT, RT_ERR_IO,
           "cannot remove %s: %s", path, strerror(errno));
  RT_TRY(rt_path_publish(from, to));
  return rt_path_publish(tmp, path);
}

static rt_err write_shard(const char *folder, const rt_logits_manifest *m,
                          shard *s)
{
  char path[RT_PATH_MAX], name[48], tmp[RT_PATH_MAX];
  s->info = &m->info;
  RT_CHECK(s->i_shard >= 0 && s->i_shard < m->n_shards &&
               s->n_rows == rt_logits_shard_rows(s->info, s->i_shard),
           RT_ERR_INTERNAL, "%s: shard %lld of %lld with %lld rows", folder,
           (long long)s->i_shard, (long long)m->n_shards, (long long)s->n_rows);
  RT_TRY(check_rows(s));
  RT_TRY(rt_logits_shard_path(path, folder, s->i_shard));
  rt_logits_shard_name(name, s->i_shard);
  strcat(name, ".tmp");
  RT_TRY(rt_path_join(tmp, folder, name));
  const rt_err err = write_file(tmp, s, m->deck);
  if (err != RT_OK)
    unlink(tmp);
  RT_TRY(err);
  return publish(tmp, path);
}

rt_err rt_logits_write_shard(const char *folder, const rt_logits_info *info,
                             int64_t i_shard, const rt_logits_row *rows,
                             int64_t n_rows)
{
  shard s = {.rows = rows, .i_shard = i_shard, .n_rows = n_rows};
  for (int64_t r = 0; r < n_rows; r++)
    s.n_entries += rows[r].n_entries;
  rt_logits_manifest m;
  RT_TRY(read_same(folder, info, &m));
  const rt_err err = write_shard(folder, &m, &s);
  rt_logits_manifest_clear(&m);
  RT_TRY(err);
  return RT_OK;
}

/** --- the end --- */

static rt_err list_shards(const char *folder, rt_logits_manifest *m)
{
  for (int64_t i = 0; i < m->n_shards; i++) {
    rt_logits_shard *const s = &m->shards[i];
    char path[RT_PATH_MAX];
    RT_TRY(rt_logits_shard_path(path, folder, i));
    RT_CHECK(rt_file_exists(path), RT_ERR_DATA,
             "%s: shard %lld of %lld is not written yet", path, (long long)i,
             (long long)m->n_shards);
    s->row0 = i * m->info.shard_rows;
    s->n_rows = rt_logits_shard_rows(&m->info, i);
    RT_TRY(rt_file_size(path, &s->bytes));
    RT_TRY(rt_seal_hash(path, &s->seal));
  }
  return RT_OK;
}

static void print_readme(const rt_logits_manifest *m, FILE *to)
{
  fprintf(to,
          "# Teacher logits\n\n"
          "Sparse next-token log-probabilities of a language model over a "
          "corpus, made\nby Retort (format %s %d, doc/formats.md): HDF5 "
          "shards that plain h5py\nreads, each with a seal (hashes), listed "
          "in manifest.json.\n\n"
          "The log-probs are natural and of the teacher's full softmax; each "
          "token keeps\nthe smallest set with mass top_p, then at most top_k, "
          "most probable first.\n\n| key | value |\n|---|---|\n",
          RT_LOGITS_FORMAT, RT_LOGITS_VERSION);
  rt_logits_info_print(&m->info, to);
  fprintf(to,
          "\n```python\n"
          "import h5py\n"
          "f = h5py.File(\"shard-000000.h5\")  # rows f.attrs[\"row0\"] and "
          "on\n"
          "tok, count = f[\"tok\"][0], f[\"count\"][0]  # row 0: T + 1 ids, T "
          "counts\n"
          "a, b = f[\"entry_ptr\"][0], f[\"entry_ptr\"][1]\n"
          "ids, logp = f[\"ids\"][a:b], f[\"logp\"][a:b]  # count[0] of token "
          "0, then ...\n"
          "```\n");
}

static rt_err write_readme(const char *folder, const rt_logits_manifest *m)
{
  char path[RT_PATH_MAX], *text = NULL;
  size_t n = 0;
  RT_TRY(rt_path_join(path, folder, "README.md"));
  FILE *const to = open_memstream(&text, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "the text of %s", path);
  print_readme(m, to);
  const rt_err err = fclose(to) == 0
                         ? rt_file_put(path, text, n)
                         : RT_FAIL(RT_ERR_MEM, "the text of %s", path);
  free(text);
  RT_TRY(err);
  return RT_OK;
}

static rt_err finish(const char *folder, const char *deck,
                     rt_logits_manifest *m)
{
  free(m->shards);
  m->shards = calloc((size_t)m->n_shards, sizeof *m->shards);
  free(m->deck);
  m->deck = strdup(deck);
  RT_CHECK(m->shards != NULL && m->deck != NULL, RT_ERR_MEM,
           "a list of %lld shards", (long long)m->n_shards);
  RT_TRY(list_shards(folder, m));
  RT_TRY(write_readme(folder, m));
  m->complete = true;
  return rt_logits_manifest_write(folder, m);
}

rt_err rt_logits_finish(const char *folder, const rt_logits_info *info,
                        const char *deck)
{
  rt_logits_manifest m;
  RT_TRY(read_same(folder, info, &m));
  const rt_err err = finish(folder, deck, &m);
  rt_logits_manifest_clear(&m);
  RT_TRY(err);
  return RT_OK;
}
