/** \file logits_write.c
 *  Writes a shard of a logit dataset, on one rank, and renames it when it is
 *  complete. */
#include "io/logits/logits_manifest.h"

#include "io/common/seal.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Chunks slightly larger than HDF5's default chunk cache, because HDF5 then
 *  reads only the bytes requested instead of whole chunks, as retort itself
 *  does. */
static const int64_t chunk_bytes = (1 << 20) + 1;
// the time to look them up grows with the square
static const int64_t max_chunks = 1024;
/** Sample size for the tables (or fewer tokens with RT_LOGITS_LEARN_ENTRIES
 *  entries); a larger one hardly makes records smaller. */
static const int64_t learn_tokens = 65536;

struct rt_logits_writer {
  char folder[RT_PATH_MAX];
  rt_logits_manifest m; // owned
  rt_codec_spec spec;
  // state of the current shard
  int64_t i_shard; // -1: none
  int64_t n_rows;  // rows added
  int64_t n_tokens, n_entries;
  rt_codec *codec;       // owned; NULL while rows are still being buffered
  rt_logits_row *sample; // owned [n_sample <= sample_room]
  int64_t n_sample, sample_room, sample_tokens;
  rt_bytes records;     // owned
  uint64_t *ptr, *hash; // owned [shard_rows + 1], [shard_rows]
  // the shard's file, from its layout until it is published
  rt_outfile *to; // owned until it is written
  rt_extent *raw; // owned [n_raw]: extents of the records
  int64_t n_raw;
  rt_sealing *sealing; // owned
  char path[RT_PATH_MAX], tmp[RT_PATH_MAX];
};

static void forget_file(rt_logits_writer *w)
{
  rt_outfile_drop(&w->to);
  rt_sealing_drop(&w->sealing);
  free(w->raw);
  w->raw = NULL;
  w->n_raw = 0;
}

static void forget_sample(rt_logits_writer *w)
{
  for (int64_t r = 0; r < w->n_sample; r++)
    rt_logits_row_clear(&w->sample[r]);
  w->n_sample = w->sample_tokens = 0;
}

static void forget_shard(rt_logits_writer *w)
{
  forget_sample(w);
  forget_file(w);
  rt_codec_destroy(&w->codec);
  w->records.n = 0;
  w->i_shard = -1;
  w->n_rows = w->n_tokens = w->n_entries = 0;
}

static rt_err open_writer(const char *folder, rt_logits_writer *w)
{
  RT_CHECK(strlen(folder) < sizeof w->folder, RT_ERR_CONFIG,
           "path is too long: %.80s...", folder);
  strcpy(w->folder, folder);
  RT_TRY(rt_logits_manifest_read(folder, &w->m));
  RT_CHECK(!w->m.complete, RT_ERR_LOCKED, "%s holds a finished capture",
           folder);
  RT_TRY(rt_logits_spec(folder, &w->m.info, &w->spec));
  const size_t n = (size_t)rt_logits_shard_rows(&w->m.info, 0);
  w->ptr = calloc(n + 1, sizeof *w->ptr);
  w->hash = calloc(n, sizeof *w->hash);
  RT_CHECK(w->ptr != NULL && w->hash != NULL, RT_ERR_MEM,
           "the index of %zu rows; use fewer rows per shard", n);
  return RT_OK;
}

rt_err rt_logits_writer_open(const char *folder, rt_logits_writer **out)
{
  *out = calloc(1, sizeof **out);
  RT_CHECK(*out != NULL, RT_ERR_MEM, "a writer of logits");
  (*out)->i_shard = -1;
  const rt_err err = open_writer(folder, *out);
  if (err != RT_OK)
    rt_logits_writer_close(out);
  return err;
}

void rt_logits_writer_close(rt_logits_writer **w)
{
  if (*w == NULL)
    return;
  forget_shard(*w);
  free((*w)->sample);
  free((*w)->ptr);
  free((*w)->hash);
  rt_bytes_clear(&(*w)->records);
  rt_logits_manifest_clear(&(*w)->m);
  free(*w);
  *w = NULL;
}

rt_err rt_logits_writer_begin(rt_logits_writer *w, int64_t i_shard)
{
  RT_CHECK(i_shard >= 0 && i_shard < w->m.n_shards, RT_ERR_INTERNAL,
           "%s: shard %lld of %lld", w->folder, (long long)i_shard,
           (long long)w->m.n_shards);
  forget_shard(w);
  w->i_shard = i_shard;
  return RT_OK;
}

static rt_err encode(rt_logits_writer *w, int64_t r, const rt_logits_row *row)
{
  const size_t begin = w->records.n;
  w->ptr[r] = begin;
  const rt_err err = rt_codec_encode(w->codec, row, &w->records);
  if (err != RT_OK)
    // discard the partial record; earlier rows are unaffected
    w->records.n = begin;
  RT_TRY(err);
  w->ptr[r + 1] = w->records.n;
  w->hash[r] = rt_hash_xxh3(w->records.data + begin, w->records.n - begin);
  return RT_OK;
}

/** Build tables from the buffered rows, then encode these rows. */
static rt_err learn(rt_logits_writer *w)
{
  RT_TRY(rt_codec_learn(&w->spec, w->sample, w->n_sample, &w->codec));
  for (int64_t r = 0; r < w->n_sample; r++)
    RT_TRY(encode(w, r, &w->sample[r]));
  forget_sample(w);
  return RT_OK;
}

static rt_err keep_for_sample(rt_logits_writer *w, const rt_logits_row *row)
{
  char name[96];
  snprintf(name, sizeof name, "shard %lld, row %lld", (long long)w->i_shard,
           (long long)w->n_rows);
  RT_TRY(rt_codec_check_row(&w->spec, name, row));
  if (w->n_sample == w->sample_room) {
    const int64_t room = 2 * w->sample_room + 16;
    rt_logits_row *const more = realloc(w->sample, (size_t)room * sizeof *more);
    RT_CHECK(more != NULL, RT_ERR_MEM, "%lld rows of logits", (long long)room);
    w->sample = more;
    w->sample_room = room;
  }
  w->sample[w->n_sample] = (rt_logits_row){0};
  w->n_sample++;
  w->sample_tokens += row->n_tokens;
  return rt_logits_row_copy(row, &w->sample[w->n_sample - 1]);
}

rt_err rt_logits_writer_add(rt_logits_writer *w, const rt_logits_row *row)
{
  RT_CHECK(w->i_shard >= 0 &&
               w->n_rows < rt_logits_shard_rows(&w->m.info, w->i_shard),
           RT_ERR_INTERNAL, "%s: row %lld of shard %lld", w->folder,
           (long long)w->n_rows, (long long)w->i_shard);
  if (w->codec == NULL)
    RT_TRY(keep_for_sample(w, row));
  else // also checks the row
    RT_TRY(encode(w, w->n_rows, row));
  w->n_rows++;
  w->n_tokens += row->n_tokens;
  w->n_entries += row->n_entries;
  const bool enough =
      w->n_rows == rt_logits_shard_rows(&w->m.info, w->i_shard) ||
      w->spec.kind == RT_CODEC_EXACT || w->sample_tokens >= learn_tokens ||
      w->n_entries >= RT_LOGITS_LEARN_ENTRIES;
  return w->codec == NULL && enough ? learn(w) : RT_OK;
}

int64_t rt_logits_writer_bytes(const rt_logits_writer *w)
{
  // metadata, tables and seal; rows not encoded yet count as if `exact`
  return (int64_t)w->records.n + 16 * w->n_rows + (1 << 17) +
         (w->codec == NULL ? 16 * w->n_tokens + 8 * w->n_entries : 0);
}

static rt_err write_set(rt_h5 *h5, const char *name, rt_dtype dtype, void *data,
                        int64_t n)
{
  const rt_h5_shape shape = {.dtype = dtype, .n_dims = 1, .rows = n, .cols = 1};
  RT_TRY(rt_h5_declare(h5, name, &shape));
  return rt_h5_write(h5, name, 0, 0, rt_view_of(data, dtype, n, 1));
}

/** Chunk size that divides the data evenly, so that the last chunk wastes
 *  nothing. */
static int64_t even_chunk(int64_t bytes)
{
  int64_t n = bytes / chunk_bytes;
  n = n < 1 ? 1 : n > max_chunks ? max_chunks : n;
  return (bytes + n - 1) / n;
}

/** Lay out all of the shard except the records. */
static rt_err lay_out(rt_h5 *h5, rt_logits_writer *w)
{
  rt_bytes tables = {0};
  RT_TRY(rt_h5_put_text(h5, "format", RT_LOGITS_FORMAT));
  RT_TRY(rt_h5_put_int(h5, "version", w->m.info.version));
  RT_TRY(rt_h5_put_int(h5, "row0", w->i_shard * w->m.info.shard_rows));
  RT_TRY(rt_h5_put_int(h5, "n_tokens", w->n_tokens));
  RT_TRY(rt_h5_put_int(h5, "n_entries", w->n_entries));
  RT_TRY(rt_logits_info_put(h5, &w->m.info));
  RT_TRY(rt_h5_put_text(h5, "deck", w->m.deck));
  RT_TRY(write_set(h5, "record_ptr", RT_U64, w->ptr, w->n_rows + 1));
  RT_TRY(write_set(h5, "row_xxh3", RT_U64, w->hash, w->n_rows));
  rt_err err = rt_codec_store(w->codec, &tables);
  if (err == RT_OK)
    err = write_set(h5, "tables", RT_U8, tables.data, (int64_t)tables.n);
  rt_bytes_clear(&tables);
  RT_TRY(err);
  const int64_t n = (int64_t)w->records.n;
  const rt_h5_shape records = {.dtype = RT_U8,
                               .n_dims = 1,
                               .rows = n,
                               .cols = 1,
                               .chunk_rows = even_chunk(n)};
  RT_TRY(rt_h5_declare(h5, "records", &records));
  return rt_h5_extents(h5, "records", &w->raw, &w->n_raw);
}

/** Write the records to their extents; excess bytes of the last chunk remain 0.
 */
static rt_err put_records(const rt_logits_writer *w)
{
  int64_t done = 0;
  for (int64_t i = 0; i < w->n_raw; i++) {
    const int64_t left = (int64_t)w->records.n - done;
    const int64_t n = left < w->raw[i].bytes ? left : w->raw[i].bytes;
    RT_TRY(rt_outfile_put_at(w->to, w->records.data + done, (size_t)n,
                             w->raw[i].offset));
    done += n;
  }
  return RT_OK;
}

/** Create the file with all of the shard except the records. */
static rt_err create_file(rt_logits_writer *w)
{
  rt_h5 *h5 = NULL;
  rt_err err = rt_h5_create(w->tmp, &h5);
  if (err == RT_OK)
    err = lay_out(h5, w);
  if (err == RT_OK)
    err = rt_outfile_create(w->tmp, &w->to);
  if (err == RT_OK)
    err = rt_h5_save(&h5, w->raw, w->n_raw, w->to);
  rt_h5_close(&h5); // the layout has been saved
  return err;
}

/** Read \a n bytes of the records from byte \a begin on. */
static rt_err read_records(int fd, const char *path, const rt_extent *raw,
                           int64_t begin, int64_t n, unsigned char *to)
{
  RT_ASSERT(raw != NULL || n == 0);
  while (n > 0) { // all extents have the same size
    const int64_t i = begin / raw[0].bytes, at = begin % raw[0].bytes;
    const int64_t left = raw[0].bytes - at, size = n < left ? n : left;
    RT_TRY(rt_file_read_at(fd, path, to, (size_t)size, raw[i].offset + at));
    to += size;
    begin += size;
    n -= size;
  }
  return RT_OK;
}

/** Check that the rows of the file have the hashes computed when they were
 *  encoded. */
static rt_err check_rows(int fd, const char *tmp, const rt_logits_writer *w,
                         const rt_extent *raw)
{
  rt_bytes got = {0};
  rt_err err = RT_OK;
  for (int64_t r = 0; err == RT_OK && r < w->n_rows; r++) {
    const int64_t begin = (int64_t)w->ptr[r],
                  n = (int64_t)w->ptr[r + 1] - begin;
    err = rt_bytes_fit(&got, (size_t)n);
    if (err == RT_OK)
      err = read_records(fd, tmp, raw, begin, n, got.data);
    if (err == RT_OK && rt_hash_xxh3(got.data, (size_t)n) != w->hash[r])
      err = RT_FAIL(RT_ERR_IO,
                    "%s: row %lld does not read back as it was written; check "
                    "the disk and run again",
                    tmp, (long long)r);
  }
  rt_bytes_clear(&got);
  return err;
}

static rt_err read_back(const rt_logits_writer *w)
{
  int fd;
  RT_TRY(rt_file_open(w->tmp, &fd));
  const rt_err err = check_rows(fd, w->tmp, w, w->raw);
  close(fd);
  return err;
}

/** Rename the seal first, because a shard exists once its file does. */
static rt_err publish(const char *tmp, const char *path)
{
  char from[RT_PATH_MAX], to[RT_PATH_MAX];
  RT_TRY(rt_seal_path(from, tmp));
  RT_TRY(rt_seal_path(to, path));
  RT_TRY(rt_path_remove(path));
  RT_TRY(rt_path_publish(from, to));
  return rt_path_publish(tmp, path);
}

/** Remove the files written before \a err, which is returned. */
static rt_err forget_files(rt_err err, const char *tmp)
{
  char seal[RT_PATH_MAX];
  rt_err_keep();
  unlink(tmp); // leftovers are removed when the capture is run again
  if (rt_seal_path(seal, tmp) == RT_OK)
    unlink(seal);
  return rt_err_restore(err);
}

static rt_err begin_file(rt_logits_writer *w)
{
  RT_TRY(create_file(w));
  const rt_seal_spec spec = {.comm = MPI_COMM_SELF,
                             .path = w->tmp,
                             .raw = w->raw,
                             .n_raw = (int)w->n_raw,
                             .hashes = RT_SEAL_SHA256};
  return rt_sealing_begin(&spec, &w->sealing); // the file has its final size
}

rt_err rt_logits_writer_lay_out(rt_logits_writer *w)
{
  RT_CHECK(w->i_shard >= 0 && w->codec != NULL &&
               w->n_rows == rt_logits_shard_rows(&w->m.info, w->i_shard),
           RT_ERR_INTERNAL, "%s: shard %lld of %lld with %lld rows", w->folder,
           (long long)w->i_shard, (long long)w->m.n_shards,
           (long long)w->n_rows);
  RT_TRY(rt_logits_shard_path(w->path, w->folder, w->i_shard));
  RT_TRY(rt_path_draft(w->tmp, w->path));
  const rt_err err = begin_file(w);
  if (err == RT_OK)
    return RT_OK;
  forget_file(w);
  return forget_files(err, w->tmp);
}

rt_err rt_logits_writer_put(rt_logits_writer *w)
{
  RT_TRY(rt_outfile_finish(put_records(w), &w->to));
  RT_TRY(read_back(w));
  return rt_sealing_hash(w->sealing);
}

rt_err rt_logits_writer_publish(rt_err err, rt_logits_writer *w)
{
  err = rt_sealing_finish(err, &w->sealing);
  if (err == RT_OK)
    err = publish(w->tmp, w->path);
  if (err == RT_OK)
    forget_shard(w);
  else
    forget_file(w);
  return err == RT_OK ? RT_OK : forget_files(err, w->tmp);
}

rt_err rt_logits_writer_seal(rt_logits_writer *w)
{
  RT_TRY(rt_logits_writer_lay_out(w));
  return rt_logits_writer_publish(rt_logits_writer_put(w), w);
}
