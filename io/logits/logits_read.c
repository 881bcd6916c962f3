/** \file logits_read.c
 *  Reads rows of an open logit dataset, with one pread each. */
#include "io/logits/logits_place.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { MAX_OPEN = 256 }; // files kept open; others are opened for each row

const rt_logits_info *rt_logits_about(const rt_logits *ds)
{
  return &ds->manifest.info;
}

bool rt_logits_is_finished(const rt_logits *ds)
{
  return ds->manifest.complete;
}

int64_t rt_logits_n_left_out(const rt_logits *ds)
{
  return ds->n_left_out;
}

bool rt_logits_has(const rt_logits *ds, int64_t row)
{
  return row >= 0 && row < ds->manifest.info.n_rows &&
         ds->places[row / ds->manifest.info.shard_rows].record_ptr != NULL;
}

const char *rt_logits_deck(const rt_logits *ds)
{
  return ds->manifest.deck;
}

void rt_logits_proof(const rt_logits *ds, char hex[17])
{
  snprintf(hex, 17, "%016" PRIx64, ds->proof);
}

rt_logits_totals rt_logits_count(const rt_logits *ds)
{
  return ds->totals;
}

int64_t rt_logits_memory(const rt_logits *ds)
{
  const int64_t n = ds->manifest.n_shards;
  size_t max = 0;
  for (int64_t i = 0; i < n; i++) {
    const rt_logits_place *const p = &ds->places[i];
    const size_t bytes = rt_codec_bytes(&ds->spec, p->tables, p->n_table_bytes);
    max = bytes > max ? bytes : max;
  }
  return 8 * ds->n_words + (int64_t)sizeof *ds->places * n +
         (int64_t)max * (n < RT_LOGITS_DECODERS ? n : RT_LOGITS_DECODERS);
}

/** Size of the longest record, and of all records. */
static void measure_records(const rt_logits *ds, int64_t *max, int64_t *all)
{
  *max = *all = 0;
  for (int64_t i = 0; i < ds->manifest.n_shards; i++) {
    const int64_t n = rt_logits_shard_rows(&ds->manifest.info, i);
    const uint64_t *const ptr = ds->places[i].record_ptr;
    for (int64_t r = 0; ptr != NULL && r < n; r++) {
      const int64_t bytes = (int64_t)(ptr[r + 1] - ptr[r]);
      *max = bytes > *max ? bytes : *max;
      *all += bytes;
    }
  }
}

void rt_logits_row_memory(const rt_logits *ds, int64_t *record, int64_t *tokens,
                          int64_t *entries)
{
  const rt_codec_spec *const spec = &ds->spec;
  // one element of ids and of logp
  const double bytes_of_entry = 4.0 + 4.0;
  // arrays with 4 bytes per token
  const int64_t arrays = 4 + spec->entropy + spec->deviation;
  int64_t all;
  measure_records(ds, record, &all);
  const double most = (double)*record * (double)ds->totals.entries /
                      (double)(all > 0 ? all : 1);
  *entries = (int64_t)(bytes_of_entry * most);
  *tokens = 4 * arrays * (spec->max_tokens + 1);
}

/** The location of a row. */
typedef struct found {
  const rt_logits_place *place; // borrowed
  int64_t i_shard, i_row;
  int64_t begin, n; // range of its record in bytes
} found;

static rt_err find(const rt_logits *ds, int64_t row, found *x)
{
  const rt_logits_info *const info = &ds->manifest.info;
  RT_CHECK(rt_logits_has(ds, row), RT_ERR_DATA,
           "%s: row %lld was requested, but it has %lld%s", ds->folder,
           (long long)row, (long long)info->n_rows,
           ds->n_left_out > 0       ? ", and some are missing or damaged"
           : !ds->manifest.complete ? ", and not all of them yet"
                                    : "");
  x->i_shard = row / info->shard_rows;
  x->i_row = row % info->shard_rows;
  x->place = &ds->places[x->i_shard];
  x->begin = (int64_t)x->place->record_ptr[x->i_row];
  x->n = (int64_t)x->place->record_ptr[x->i_row + 1] - x->begin;
  return RT_OK;
}

/** A descriptor of the row's shard, kept open for up to MAX_OPEN shards.  If
 *  two threads open it at the same time, one descriptor is kept. */
static rt_err get_fd(const rt_logits *ds, const found *x, int *fd, bool *keep)
{
  atomic_int *const slot = &ds->fd[x->i_shard];
  const int had = atomic_load(slot);
  *keep = true;
  *fd = had - 1;
  if (had != 0)
    return RT_OK;
  RT_TRY(rt_file_open(x->place->path, fd));
  *keep = atomic_fetch_add(ds->n_open, 1) < MAX_OPEN;
  int none = 0;
  *keep = *keep && atomic_compare_exchange_strong(slot, &none, *fd + 1);
  if (!*keep)
    atomic_fetch_sub(ds->n_open, 1);
  return RT_OK;
}

/** Read a record that may cross chunk boundaries. */
static rt_err read_bytes(const found *x, int fd, unsigned char *to)
{
  const rt_logits_place *const p = x->place;
  for (int64_t done = 0; done < x->n;) {
    const uint64_t at = (uint64_t)(x->begin + done);
    const uint64_t in_chunk = at % p->chunk;
    int64_t part = (int64_t)(p->chunk - in_chunk);
    if (part > x->n - done)
      part = x->n - done;
    RT_TRY(rt_file_read_at(fd, x->place->path, to + done, (size_t)part,
                           (int64_t)(p->offset[at / p->chunk] + in_chunk)));
    done += part;
  }
  return RT_OK;
}

static rt_err check_record(const found *x, int64_t row, const rt_bytes *bytes)
{
  RT_CHECK(bytes->n == (size_t)x->n, RT_ERR_INTERNAL,
           "%s: row %lld is given as %zu bytes, it has %lld", x->place->path,
           (long long)row, bytes->n, (long long)x->n);
  const uint64_t expected = x->place->row_xxh3[x->i_row];
  const uint64_t got = rt_hash_xxh3(bytes->data, bytes->n);
  RT_CHECK(got == expected, RT_ERR_DATA,
           "%s: row %lld has XXH3 %016" PRIx64 ", expected %016" PRIx64
           ": it was damaged after it was written",
           x->place->path, (long long)row, got, expected);
  return RT_OK;
}

/** Read a record without checking it. */
static rt_err fetch(const rt_logits *ds, const found *x, rt_bytes *out)
{
  int fd;
  bool keep;
  RT_TRY(rt_bytes_fit(out, (size_t)x->n));
  RT_TRY(get_fd(ds, x, &fd, &keep));
  const rt_err err = read_bytes(x, fd, out->data);
  if (!keep)
    close(fd);
  out->n = err == RT_OK ? (size_t)x->n : 0;
  return err;
}

rt_err rt_logits_record_bytes(const rt_logits *ds, int64_t row, size_t *n)
{
  found x = {0};
  RT_TRY(find(ds, row, &x));
  *n = (size_t)x.n;
  return RT_OK;
}

rt_err rt_logits_read_record(const rt_logits *ds, int64_t row, rt_bytes *out)
{
  found x = {0};
  RT_TRY(find(ds, row, &x));
  RT_TRY(fetch(ds, &x, out));
  return check_record(&x, row, out);
}

static rt_err borrow(const rt_logits *ds, const found *x, rt_logits_loan *loan)
{
  const rt_logits_tables tables = {.i_shard = x->i_shard,
                                   .spec = &ds->spec,
                                   .data = x->place->tables,
                                   .n = x->place->n_table_bytes,
                                   .path = x->place->path};
  return rt_logits_cache_get(ds->decoders, &tables, loan);
}

static rt_err decode(const rt_logits *ds, const found *x, int64_t row,
                     const rt_bytes *bytes, rt_logits_row *out)
{
  char name[RT_PATH_MAX + 32];
  rt_logits_loan loan;
  snprintf(name, sizeof name, "%s, row %lld", x->place->path, (long long)row);
  RT_TRY(borrow(ds, x, &loan));
  const rt_err err =
      rt_codec_decode(loan.codec, bytes->data, bytes->n, name, out);
  rt_logits_cache_put(ds->decoders, &loan);
  return err;
}

rt_err rt_logits_decode(const rt_logits *ds, int64_t row,
                        const rt_bytes *record, rt_logits_row *out)
{
  found x = {0};
  RT_TRY(find(ds, row, &x));
  RT_TRY(check_record(&x, row, record));
  return decode(ds, &x, row, record, out);
}

rt_err rt_logits_read(const rt_logits *ds, int64_t row, rt_logits_row *out)
{
  rt_bytes bytes = {0};
  rt_err err = rt_logits_read_record(ds, row, &bytes);
  if (err == RT_OK)
    err = rt_logits_decode(ds, row, &bytes, out);
  rt_bytes_clear(&bytes);
  return err;
}

int rt_logits_at_once(const rt_logits *ds)
{
  static_assert((int)RT_LOGITS_AT_ONCE == (int)RT_CODEC_AT_ONCE, "as many");
  const int64_t most = INT64_C(16) << 20;
  int64_t record, tokens, entries;
  rt_logits_row_memory(ds, &record, &tokens, &entries);
  const int64_t n = most / (record + entries + 1);
  const int best = rt_codec_at_once(ds->spec.kind);
  return n < 1 ? 1 : n < best ? (int)n : best;
}

/** One of the rows that are read at once. */
typedef struct reading {
  found x;
  rt_bytes own;           // owned: the record, if it is read here
  const rt_bytes *record; // borrowed
  rt_logits_loan loan;    // codec: NULL without one
} reading;

static rt_err prepare(const rt_logits *ds, int64_t row, const rt_bytes *given,
                      reading *out)
{
  RT_TRY(find(ds, row, &out->x));
  if (given == NULL)
    RT_TRY(fetch(ds, &out->x, &out->own));
  out->record = given != NULL ? given : &out->own;
  RT_TRY(check_record(&out->x, row, out->record));
  return borrow(ds, &out->x, &out->loan);
}

static rt_err decode_readings(const rt_logits *ds, const int64_t *rows, int n,
                              const reading *r, rt_logits_row *out)
{
  rt_codec_record records[RT_LOGITS_AT_ONCE] = {0};
  for (int i = 0; i < n; i++)
    records[i] = (rt_codec_record){.codec = r[i].loan.codec,
                                   .data = r[i].record->data,
                                   .n = r[i].record->n,
                                   .name = r[i].x.place->path,
                                   .row = &out[i]};
  if (rt_codec_decode_all(records, n) == RT_OK)
    return RT_OK;
  for (int i = 0; i < n; i++) // which one is it?
    RT_TRY(decode(ds, &r[i].x, rows[i], r[i].record, &out[i]));
  return RT_OK;
}

rt_err rt_logits_read_all(const rt_logits *ds, const int64_t *rows, int n,
                          const rt_bytes *records, rt_logits_row *out)
{
  reading r[RT_LOGITS_AT_ONCE] = {0};
  rt_err err = RT_OK;
  RT_ASSERT(n <= RT_LOGITS_AT_ONCE);
  for (int i = 0; i < n && err == RT_OK; i++)
    err = prepare(ds, rows[i], records != NULL ? &records[i] : NULL, &r[i]);
  if (err == RT_OK)
    err = decode_readings(ds, rows, n, r, out);
  for (int i = 0; i < n; i++) {
    if (r[i].loan.codec != NULL)
      rt_logits_cache_put(ds->decoders, &r[i].loan);
    rt_bytes_clear(&r[i].own);
  }
  return err;
}

rt_err rt_logits_verify_shard(const rt_logits *ds, int64_t i_shard)
{
  const rt_logits_shard *const s = &ds->manifest.shards[i_shard];
  char path[RT_PATH_MAX], got[RT_SHA256_HEX];
  if (s->bytes == 0)
    return RT_OK;
  RT_TRY(rt_logits_shard_path(path, ds->folder, i_shard));
  RT_TRY(rt_hash_file(path, got));
  RT_CHECK(strcmp(got, s->sha256) == 0, RT_ERR_DATA,
           "%s has SHA-256 %s, expected %s: it was damaged after it was "
           "written; restore it from a copy",
           path, got, s->sha256);
  return RT_OK;
}

rt_err rt_logits_verify_row(const rt_logits *ds, int64_t row,
                            const rt_logits_row *got)
{
  char name[RT_PATH_MAX + 32];
  snprintf(name, sizeof name, "%s, row %lld", ds->folder, (long long)row);
  return rt_codec_check_row(&ds->spec, name, got);
}
