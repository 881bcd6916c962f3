/** \file seal.c
 *  Hashes of a file's blocks in a small text next to it; specified in
 *  doc/formats.md. */
#include "io/common/seal.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/split.h"
#include "io/common/foreign.h"
#include "io/common/ranks.h"
#include "io/common/json.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t block_bytes = 1 << 20; // of seals that Retort writes
static const size_t max_seal_bytes = (size_t)1 << 30;
static const char tail_format[] = "\"seal\": \"%016" PRIx64 "\"}\n";
// lengths of a hash and of the formatted end of a text
enum { HEX = 16, TAIL = 28 };

rt_err rt_seal_text_put(const char *path, const char *text, size_t n)
{
  char *const whole = malloc(n + TAIL + 1);
  RT_CHECK(whole != NULL, RT_ERR_MEM, "%zu bytes to write %s", n, path);
  memcpy(whole, text, n);
  snprintf(whole + n, TAIL + 1, tail_format, rt_hash_xxh3(text, n));
  const rt_err err = rt_file_put(path, whole, n + TAIL);
  free(whole);
  RT_TRY(err);
  return RT_OK;
}

rt_err rt_seal_text_get(const char *path, size_t max_bytes, char **text,
                        size_t *n, uint64_t *hash)
{
  *text = NULL;
  int64_t bytes;
  RT_TRY(rt_file_size(path, &bytes));
  RT_CHECK(bytes >= TAIL, RT_ERR_DATA,
           "%s has only %lld bytes: it is truncated or damaged", path,
           (long long)bytes);
  RT_TRY(rt_file_slurp(path, max_bytes, text, n));
  // the file may have shrunk meanwhile
  const size_t body = *n < TAIL ? 0 : *n - TAIL;
  const uint64_t got = rt_hash_xxh3(*text, body);
  char tail[TAIL + 1];
  snprintf(tail, sizeof tail, tail_format, got);
  if (*n < TAIL || memcmp(*text + body, tail, TAIL) != 0) {
    // do not print the file's own end, which may contain anything
    free(*text);
    *text = NULL;
    RT_TRY(rt_foreign_refuse_pointer(path));
    return RT_FAIL(RT_ERR_DATA,
                   "%s does not end in its own hash (its %zu bytes have XXH3 "
                   "%016" PRIx64 "): it is truncated or damaged",
                   path, body, got);
  }
  if (hash != NULL)
    *hash = got;
  return RT_OK;
}

rt_err rt_seal_path(char out[RT_PATH_MAX], const char *path)
{
  const int n = snprintf(out, RT_PATH_MAX, "%s.seal", path);
  RT_CHECK(n < RT_PATH_MAX, RT_ERR_CONFIG, "path is too long: %.80s...", path);
  return RT_OK;
}

/** A seal in memory.  Checked blocks are numbered separately. */
typedef struct seal {
  int64_t bytes, block_bytes, n_raw, n_checked;
  rt_extent *raw; // owned [n_raw], sorted, disjoint
  int64_t *block; // owned [n_checked]: index of the block in the file
  uint64_t *hash; // owned [n_checked]
  char sha256[RT_SHA256_HEX]; // of the whole file; "" if not stored
} seal;

static void clear(seal *s)
{
  free(s->raw);
  free(s->block);
  free(s->hash);
  *s = (seal){0};
}

static int64_t block_end(const seal *s, int64_t i)
{
  const int64_t begin = i * s->block_bytes;
  return s->bytes - begin < s->block_bytes ? s->bytes : begin + s->block_bytes;
}

/** Number the blocks that are not completely inside raw data. */
static rt_err plan_blocks(seal *s, const char *path)
{
  const int64_t n = s->bytes / s->block_bytes + (s->bytes % s->block_bytes > 0);
  s->block = malloc((size_t)(n + 1) * sizeof *s->block);
  s->hash = calloc((size_t)n + 1, sizeof *s->hash);
  RT_CHECK(s->block != NULL && s->hash != NULL, RT_ERR_MEM,
           "hashes of %lld blocks of %s", (long long)n, path);
  int64_t i_raw = 0;
  for (int64_t i = 0; i < n; i++) {
    const int64_t begin = i * s->block_bytes, end = block_end(s, i);
    while (i_raw < s->n_raw && s->raw[i_raw].offset + s->raw[i_raw].bytes < end)
      i_raw++;
    if (i_raw == s->n_raw || s->raw[i_raw].offset > begin)
      s->block[s->n_checked++] = i;
  }
  return RT_OK;
}

/** Copy the extents, merging adjacent ones. */
static rt_err join_raw(seal *s, const char *path, const rt_extent *raw, int n)
{
  s->raw = calloc((size_t)n + 1, sizeof *s->raw);
  RT_CHECK(s->raw != NULL, RT_ERR_MEM, "%d extents of %s", n, path);
  for (int i = 0; i < n; i++) {
    rt_extent *const last = s->n_raw > 0 ? &s->raw[s->n_raw - 1] : NULL;
    const int64_t end = last == NULL ? 0 : last->offset + last->bytes;
    RT_CHECK(raw[i].offset >= end && raw[i].bytes >= 0 &&
                 raw[i].bytes <= s->bytes - raw[i].offset,
             RT_ERR_INTERNAL,
             "%s: raw extent %d at %lld of %lld bytes is out of order or "
             "outside the file of %lld bytes",
             path, i, (long long)raw[i].offset, (long long)raw[i].bytes,
             (long long)s->bytes);
    if (last != NULL && raw[i].offset == end)
      last->bytes += raw[i].bytes;
    else
      s->raw[s->n_raw++] = raw[i];
  }
  return RT_OK;
}

/** A file that this rank has opened. */
typedef struct source {
  int fd;
  const char *path;         // borrowed
  const _Atomic bool *stop; // borrowed; NULL: never
} source;

/** XXH3 of checked blocks [first, first + n) into \a hash. */
static rt_err hash_blocks(const seal *s, const source *from, int64_t first,
                          int64_t n, uint64_t *hash)
{
  const char *const path = from->path;
  if (n == 0)
    return RT_OK;
  void *const block = malloc((size_t)s->block_bytes);
  rt_err err = RT_OK;
  if (block == NULL)
    err = RT_FAIL(RT_ERR_MEM, "%lld bytes to hash %s",
                  (long long)s->block_bytes, path);
  for (int64_t i = 0; i < n && err == RT_OK; i++) {
    if (from->stop != NULL && atomic_load(from->stop)) {
      err = RT_FAIL(RT_ERR_STOPPED, "the seal of %s is given up", path);
      break;
    }
    const int64_t begin = s->block[first + i] * s->block_bytes;
    const size_t size = (size_t)(block_end(s, s->block[first + i]) - begin);
    err = rt_file_read_at(from->fd, path, block, size, begin);
    if (err == RT_OK)
      hash[i] = rt_hash_xxh3(block, size);
    rt_ranks_alive();
  }
  free(block);
  RT_TRY(err);
  return RT_OK;
}

/** Hash this rank's share of the checked blocks into a new array. */
static rt_err hash_share(MPI_Comm comm, const seal *s, const source *from,
                         int64_t *first, int64_t *n, uint64_t **hash)
{
  int rank, n_ranks;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY_MPI(MPI_Comm_size(comm, &n_ranks));
  *first = rt_split_begin(s->n_checked, n_ranks, rank);
  *n = rt_split_count(s->n_checked, n_ranks, rank);
  RT_ASSERT(s->block_bytes > 0 && s->block != NULL && s->hash != NULL);
  *hash = malloc((size_t)(*n + 1) * sizeof **hash);
  RT_CHECK(*hash != NULL, RT_ERR_MEM, "%lld hashes", (long long)*n);
  RT_TRY(hash_blocks(s, from, *first, *n, *hash));
  return RT_OK;
}

static void print(const seal *s, FILE *to)
{
  fprintf(to,
          "{\"format\": \"retort-seal\", \"version\": 1,\n"
          "\"bytes\": %lld, \"block_bytes\": %lld,\n\"raw\": [",
          (long long)s->bytes, (long long)s->block_bytes);
  for (int64_t i = 0; i < s->n_raw; i++)
    fprintf(to, "%s[%lld, %lld]", i > 0 ? ", " : "",
            (long long)s->raw[i].offset, (long long)s->raw[i].bytes);
  fprintf(to, "],\n\"blocks\": \"");
  for (int64_t i = 0; i < s->n_checked; i++)
    fprintf(to, "%016" PRIx64, s->hash[i]);
  fprintf(to, "\",\n");
  if (s->sha256[0] != '\0')
    fprintf(to, "\"sha256\": \"%s\",\n", s->sha256);
}

/** Write the seal, on one rank that has all hashes. */
static rt_err put(const seal *s, const char *path)
{
  char to_path[RT_PATH_MAX];
  RT_TRY(rt_seal_path(to_path, path));
  char *text = NULL;
  size_t n = 0;
  FILE *const to = open_memstream(&text, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "the text of %s", to_path);
  print(s, to);
  const bool fits = ferror(to) == 0;
  rt_err err = fclose(to) == 0 && fits
                   ? rt_seal_text_put(to_path, text, n)
                   : RT_FAIL(RT_ERR_MEM, "the text of %s", to_path);
  free(text);
  RT_TRY(err);
  return RT_OK;
}

struct rt_sealing {
  MPI_Comm comm; // borrowed
  seal s;
  source from;      // opened here
  bool whole;       // this rank hashes the whole file, too
  int64_t first, n; // checked blocks that this rank hashes
  uint64_t *hash;   // owned [n]
  char path[];
};

static rt_err new_sealing(const rt_seal_spec *spec, rt_sealing **out)
{
  rt_sealing *x = calloc(1, sizeof *x + strlen(spec->path) + 1);
  *out = x;
  RT_CHECK(x != NULL, RT_ERR_MEM, "the seal of %s", spec->path);
  strcpy(x->path, spec->path);
  x->comm = spec->comm;
  x->whole = spec->hashes == RT_SEAL_SHA256;
  x->from = (source){-1, x->path, spec->stop};
  return rt_file_open(x->path, &x->from.fd);
}

/** Divide the blocks among the ranks. */
static rt_err plan_share(rt_sealing *x, const rt_extent *raw, int n_raw)
{
  seal *const s = &x->s;
  int rank, n_ranks;
  RT_TRY_MPI(MPI_Comm_rank(x->comm, &rank));
  RT_TRY_MPI(MPI_Comm_size(x->comm, &n_ranks));
  s->block_bytes = block_bytes;
  RT_TRY(join_raw(s, x->path, raw, n_raw));
  RT_TRY(plan_blocks(s, x->path));
  x->first = rt_split_begin(s->n_checked, n_ranks, rank);
  x->n = rt_split_count(s->n_checked, n_ranks, rank);
  x->hash = malloc((size_t)(x->n + 1) * sizeof *x->hash);
  RT_CHECK(x->hash != NULL, RT_ERR_MEM, "%lld hashes", (long long)x->n);
  return RT_OK;
}

void rt_sealing_drop(rt_sealing **out)
{
  rt_sealing *const x = *out;
  *out = NULL;
  if (x == NULL)
    return;
  if (x->from.fd >= 0)
    close(x->from.fd);
  clear(&x->s);
  free(x->hash);
  free(x);
}

static rt_err begin_sealing(rt_sealing *x, const rt_extent *raw, int n_raw)
{
  seal *const s = &x->s;
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(x->comm, &rank));
  x->whole = x->whole && rank == 0;
  const rt_err err =
      rank == 0 ? rt_file_size_of(x->from.fd, x->path, &s->bytes) : RT_OK;
  RT_TRY(rt_group_agree(x->comm, err));
  RT_TRY(rt_group_bcast(x->comm, &s->bytes, sizeof s->bytes));
  return rt_group_agree(x->comm, plan_share(x, raw, n_raw));
}

rt_err rt_sealing_begin(const rt_seal_spec *spec, rt_sealing **out)
{
  rt_err err = rt_group_agree(spec->comm, new_sealing(spec, out));
  if (err == RT_OK && *out != NULL)
    err = begin_sealing(*out, spec->raw, spec->n_raw);
  if (err == RT_OK)
    return RT_OK;
  rt_sealing_drop(out);
  return rt_err_forward(err, __FILE__, __LINE__);
}

rt_err rt_sealing_hash(rt_sealing *x)
{
  if (x->whole)
    RT_TRY(rt_hash_file(x->path, x->s.sha256));
  return hash_blocks(&x->s, &x->from, x->first, x->n, x->hash);
}

/** Collect the hashes of all ranks, and write the seal on one. */
static rt_err join_and_put(rt_sealing *x)
{
  int rank;
  int64_t n_all;
  uint64_t *all = NULL;
  RT_TRY_MPI(MPI_Comm_rank(x->comm, &rank));
  RT_TRY(rt_group_join(x->comm, x->hash, x->n, &all, &n_all));
  free(x->s.hash);
  x->s.hash = all;
  return rt_group_agree(x->comm, rank == 0 ? put(&x->s, x->path) : RT_OK);
}

rt_err rt_sealing_finish(rt_err err, rt_sealing **x)
{
  err = rt_group_agree((*x)->comm, err);
  if (err == RT_OK)
    err = join_and_put(*x);
  rt_sealing_drop(x);
  return err == RT_OK ? RT_OK : rt_err_forward(err, __FILE__, __LINE__);
}

rt_err rt_seal_write(MPI_Comm comm, const char *path, const rt_extent *raw,
                     int n_raw, rt_seal_hashes hashes)
{
  const rt_seal_spec spec = {comm, path, raw, n_raw, hashes, NULL};
  rt_sealing *x;
  RT_TRY(rt_sealing_begin(&spec, &x));
  return rt_sealing_finish(rt_sealing_hash(x), &x);
}

static rt_err parse_raw(seal *s, const char *name, const rt_json *list)
{
  const size_t n = rt_json_n(list);
  s->raw = calloc(n + 1, sizeof *s->raw);
  RT_CHECK(s->raw != NULL, RT_ERR_MEM, "%zu extents of %s", n, name);
  int64_t end = 0;
  for (size_t i = 0; i < n; i++) {
    rt_extent *const x = &s->raw[i];
    const rt_json *const pair = rt_json_at(list, i);
    RT_CHECK(rt_json_int(rt_json_at(pair, 0), &x->offset) &&
                 rt_json_int(rt_json_at(pair, 1), &x->bytes) &&
                 x->offset >= end && x->bytes >= 0 && x->offset <= s->bytes &&
                 x->bytes <= s->bytes - x->offset,
             RT_ERR_DATA,
             "%s: raw extent %zu is not [offset, bytes] in order and inside "
             "the file of %lld bytes",
             name, i, (long long)s->bytes);
    end = x->offset + x->bytes;
    s->n_raw++;
  }
  return RT_OK;
}

/** Parse a hash as written by print(): lower case only. */
static bool parse_hex(const char *text, uint64_t *hash)
{
  static const char digits[] = "0123456789abcdef";
  *hash = 0;
  for (int i = 0; i < HEX; i++) {
    const char *const digit = text[i] ? strchr(digits, text[i]) : NULL;
    if (digit == NULL)
      return false;
    *hash = *hash << 4 | (uint64_t)(digit - digits);
  }
  return true;
}

/** Fill in \a s from JSON; the expected hashes go to s->hash. */
static rt_err parse(const rt_json *j, const source *from, const char *name,
                    seal *s)
{
  int64_t bytes;
  RT_TRY(rt_file_size_of(from->fd, from->path, &bytes));
  const char *const format = rt_json_text(rt_json_get(j, "format"));
  int64_t version = 0;
  RT_CHECK(format != NULL && strcmp(format, "retort-seal") == 0 &&
               rt_json_int(rt_json_get(j, "version"), &version) && version == 1,
           RT_ERR_DATA, "%s is not a retort-seal of version 1", name);
  RT_CHECK(rt_json_int(rt_json_get(j, "bytes"), &s->bytes) && s->bytes >= 0 &&
               rt_json_int(rt_json_get(j, "block_bytes"), &s->block_bytes) &&
               s->block_bytes >= 4096 && s->block_bytes <= 1 << 30,
           RT_ERR_DATA, "%s: bytes or block_bytes is absent or invalid", name);
  if (bytes != s->bytes)
    RT_TRY(rt_foreign_refuse_pointer(from->path));
  RT_CHECK(bytes == s->bytes, RT_ERR_DATA,
           "%s has %lld bytes, its seal says %lld: truncated or overwritten",
           from->path, (long long)bytes, (long long)s->bytes);
  RT_TRY(parse_raw(s, name, rt_json_get(j, "raw")));
  RT_TRY(plan_blocks(s, name));
  const char *const blocks = rt_json_text(rt_json_get(j, "blocks"));
  bool good = blocks != NULL && strlen(blocks) == (size_t)s->n_checked * HEX;
  for (int64_t i = 0; i < s->n_checked && good; i++)
    good = parse_hex(blocks + i * HEX, &s->hash[i]);
  RT_CHECK(good, RT_ERR_DATA,
           "%s: blocks does not contain the %lld hashes expected", name,
           (long long)s->n_checked);
  const char *const digits = rt_json_text(rt_json_get(j, "sha256"));
  snprintf(s->sha256, sizeof s->sha256, "%s", digits != NULL ? digits : "");
  return RT_OK;
}

/** Read PATH.seal on rank 0, parse it everywhere. */
static rt_err get(MPI_Comm comm, const source *from, seal *s, uint64_t *hash)
{
  const char *const path = from->path;
  char name[RT_PATH_MAX], *text = NULL;
  size_t n = 0;
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY(rt_seal_path(name, path));
  rt_err err = RT_OK;
  if (rank == 0 && !rt_file_exists(name))
    err = RT_FAIL(RT_ERR_DATA,
                  "%s is not sealed (there is no %s): it was not finished",
                  path, name);
  else if (rank == 0)
    err = rt_seal_text_get(name, max_seal_bytes, &text, &n, hash);
  RT_TRY(rt_group_bcast_text(comm, err, &text, &n));
  rt_json *j = NULL;
  err = rt_json_parse(name, text, n, &j);
  if (err == RT_OK)
    err = parse(j, from, name, s);
  rt_json_free(&j);
  free(text);
  RT_TRY(rt_group_agree(comm, err));
  return rt_group_bcast(comm, hash, sizeof *hash);
}

static rt_err compare(MPI_Comm comm, const source *from, const seal *s)
{
  const char *const path = from->path;
  int64_t first = 0, n = 0;
  uint64_t *got = NULL;
  rt_err err = hash_share(comm, s, from, &first, &n, &got);
  for (int64_t i = 0; i < n && err == RT_OK; i++)
    if (got[i] != s->hash[first + i]) {
      const int64_t b = s->block[first + i];
      err = RT_FAIL(RT_ERR_DATA,
                    "%s: block %lld (bytes %lld..%lld) has XXH3 %016" PRIx64
                    ", expected %016" PRIx64 ": it was damaged after it was "
                    "written; restore the file from a copy",
                    path, (long long)b, (long long)(b * s->block_bytes),
                    (long long)block_end(s, b), got[i], s->hash[first + i]);
    }
  free(got);
  RT_TRY(err);
  return RT_OK;
}

void rt_seal_proof_clear(rt_seal_proof *proof)
{
  free(proof->raw);
  *proof = (rt_seal_proof){0};
}

rt_err rt_seal_check_open(MPI_Comm comm, int fd, const char *path,
                          rt_seal_proof *proof)
{
  const source from = {fd, path, NULL};
  seal s = {0};
  *proof = (rt_seal_proof){0};
  rt_err err = get(comm, &from, &s, &proof->hash);
  if (err == RT_OK) // agree, because ranks may try another file next
    err = rt_agree_ranks(comm, compare(comm, &from, &s), RT_LATE, RT_HERE);
  memcpy(proof->sha256, s.sha256, sizeof proof->sha256);
  proof->raw = s.raw;
  proof->n_raw = s.n_raw;
  s.raw = NULL;
  clear(&s);
  RT_TRY(err);
  return RT_OK;
}

rt_err rt_seal_check(MPI_Comm comm, const char *path)
{
  rt_seal_proof proof = {0};
  int fd = -1;
  rt_err err = rt_group_agree(comm, rt_file_open(path, &fd));
  if (err == RT_OK)
    err = rt_seal_check_open(comm, fd, path, &proof);
  rt_seal_proof_clear(&proof);
  if (fd >= 0)
    close(fd);
  return err;
}

static int by_offset(const void *a, const void *b)
{
  const int64_t x = ((const rt_extent *)a)->offset;
  const int64_t y = ((const rt_extent *)b)->offset;
  return (x > y) - (x < y);
}

rt_err rt_seal_proof_covers(const rt_seal_proof *proof, const char *path,
                            const rt_extent *extents, int64_t n)
{
  rt_extent *const sorted = malloc((size_t)(n + 1) * sizeof *sorted);
  RT_CHECK(sorted != NULL, RT_ERR_MEM, "%lld extents of %s", (long long)n,
           path);
  if (n > 0)
    memcpy(sorted, extents, (size_t)n * sizeof *sorted);
  qsort(sorted, (size_t)n, sizeof *sorted, by_offset);
  int64_t j = 0, bare = -1; // bare: position of a byte that nothing checks
  for (int64_t i = 0; i < proof->n_raw && bare < 0; i++) {
    int64_t at = proof->raw[i].offset;
    const int64_t end = at + proof->raw[i].bytes;
    for (; j < n && sorted[j].offset <= at && at < end; j++) {
      const int64_t to = sorted[j].offset + sorted[j].bytes;
      at = to > at ? to : at;
      if (at > end)
        break; // the next one may start here, too
    }
    bare = at < end ? at : -1;
  }
  free(sorted);
  RT_CHECK(bare < 0, RT_ERR_DATA,
           "%s: its seal has no hash of byte %lld, which is in no record: it "
           "is of another program, or forged",
           path, (long long)bare);
  return RT_OK;
}

rt_err rt_seal_hash(const char *path, uint64_t *hash,
                    char sha256[RT_SHA256_HEX])
{
  char name[RT_PATH_MAX], *text;
  size_t n;
  rt_json *j = NULL;
  RT_TRY(rt_seal_path(name, path));
  RT_TRY(rt_seal_text_get(name, max_seal_bytes, &text, &n, hash));
  const rt_err err = rt_json_parse(name, text, n, &j);
  free(text);
  RT_TRY(err);
  const char *const digits = rt_json_text(rt_json_get(j, "sha256"));
  snprintf(sha256, RT_SHA256_HEX, "%s", digits != NULL ? digits : "");
  rt_json_free(&j);
  return RT_OK;
}
