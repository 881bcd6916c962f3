/** \file bench_read.c
 *  Compares reading rows in random order by the library with pread of the same
 *  bytes; prints JSON:
 *    mpirun -n N bench_read FOLDER...
 *  The folders are copies of one dataset, so that together they exceed the
 *  processor's cache, like real datasets.  All ranks run at the same time, each
 *  over all rows in its own order.  The two sides alternate over the same rows
 *  and the same buffer, with a warm page cache; a side takes as long as its
 *  slowest rank. */
#include "base/clock.h"
#include "base/rng.h"
#include "io/common/h5_child.h"
#include "io/common/ranks.h"
#include "io/logits/logits_manifest.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_ROUNDS = 9 };
static const int64_t round_bytes = (int64_t)1 << 30; // bytes per rank and side

/** A contiguous range of bytes in a file. */
typedef struct piece {
  int fd; // owned by the bench
  int64_t offset;
  size_t n;
} piece;

typedef struct bench {
  rt_logits **ds;           // owned [n_sets], each owned
  int64_t n_sets, n_shards; // shards of a set
  int64_t set_rows, n_rows; // rows of a set; R, of all
  int64_t *order;           // owned [R], of this rank
  int *fd;                  // owned [n_sets, n_shards], each owned
  piece *piece;             // owned [room]: of row 0, of row 1, ...
  int64_t *piece_ptr;       // owned [R + 1]
  int64_t n, room, bytes;
  rt_bytes to; // owned: one record
} bench;

static int by_size(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/** Locate the rows from the description in doc/formats.md, independently of the
 *  library. */

static rt_err add_piece(bench *b, int fd, uint64_t offset, uint64_t n)
{
  if (b->n == b->room) {
    const int64_t room = 2 * b->room + 64;
    piece *const p = realloc(b->piece, (size_t)room * sizeof *p);
    RT_CHECK(p != NULL, RT_ERR_MEM, "%lld pieces", (long long)room);
    b->piece = p;
    b->room = room;
  }
  b->piece[b->n++] = (piece){fd, (int64_t)offset, (size_t)n};
  b->bytes += (int64_t)n;
  return RT_OK;
}

/** Rows [row0, row0 + n), whose records begin at \a ptr [n + 1] of the shard's
 *  records, which lie in chunks. */
static rt_err add_rows(bench *b, int fd, int64_t row0, int64_t n,
                       const uint64_t *ptr, uint64_t chunk,
                       const rt_extent *extents)
{
  for (int64_t r = 0; r < n; r++) {
    b->piece_ptr[row0 + r] = b->n;
    for (uint64_t at = ptr[r]; at < ptr[r + 1];) {
      const uint64_t chunk_end = (at / chunk + 1) * chunk;
      const uint64_t end = ptr[r + 1] < chunk_end ? ptr[r + 1] : chunk_end;
      const uint64_t begin = (uint64_t)extents[at / chunk].offset + at % chunk;
      RT_TRY(add_piece(b, fd, begin, end - at));
      at = end;
    }
  }
  b->piece_ptr[row0 + n] = b->n;
  return RT_OK;
}

/** Shard \a i of set \a set, which is open as \a h5 and \a fd. */
static rt_err locate(bench *b, const rt_h5_reader *h5, int fd, int64_t set,
                     int64_t i)
{
  const rt_logits_info *const info = rt_logits_about(b->ds[set]);
  const int64_t n = rt_logits_shard_rows(info, i);
  rt_h5_shape s;
  rt_extent *extents = NULL;
  int64_t n_extents;
  uint64_t *const ptr = calloc((size_t)n + 1, sizeof *ptr);
  RT_CHECK(ptr != NULL, RT_ERR_MEM, "offsets of %lld rows", (long long)n);
  rt_err err = rt_h5_reader_read(h5, "record_ptr", 0, 0,
                                 rt_view_of(ptr, RT_U64, n + 1, 1));
  if (err == RT_OK)
    err = rt_h5_reader_look(h5, "records", &s);
  if (err == RT_OK)
    err = rt_h5_reader_extents(h5, "records", &extents, &n_extents);
  if (err == RT_OK)
    err =
        add_rows(b, fd, set * b->set_rows + i * info->shard_rows, n, ptr,
                 (uint64_t)(s.chunk_rows > 0 ? s.chunk_rows : s.rows), extents);
  free(extents);
  free(ptr);
  return err;
}

static rt_err open_shard(bench *b, const char *folder, int64_t set, int64_t i)
{
  int *const fd = &b->fd[set * b->n_shards + i];
  char path[RT_PATH_MAX];
  rt_h5_reader *h5 = NULL;
  rt_seal_proof proof;
  RT_TRY(rt_logits_shard_path(path, folder, i));
  *fd = open(path, O_RDONLY | O_CLOEXEC);
  RT_CHECK(*fd >= 0, RT_ERR_NOINPUT, "cannot open %s", path);
  rt_err err = rt_h5_reader_open(path, &proof, &h5);
  rt_seal_proof_clear(&proof);
  if (err == RT_OK)
    err = locate(b, h5, *fd, set, i);
  rt_h5_reader_close(&h5);
  return err;
}

static rt_err open_sets(bench *b, char **folders)
{
  for (int64_t s = 0; s < b->n_sets; s++) {
    RT_TRY(rt_logits_open(MPI_COMM_SELF, folders[s], RT_LOGITS_FINISHED,
                          &b->ds[s]));
    const rt_logits_info *const info = rt_logits_about(b->ds[s]);
    RT_CHECK(s == 0 || info->n_rows == b->set_rows, RT_ERR_DATA,
             "%s has %lld rows, %s %lld: not copies of one dataset", folders[s],
             (long long)info->n_rows, folders[0], (long long)b->set_rows);
    b->set_rows = info->n_rows;
    b->n_shards = rt_logits_n_shards(info);
  }
  b->n_rows = b->n_sets * b->set_rows;
  return RT_OK;
}

static rt_err prepare(bench *b, char **folders, int64_t n_sets)
{
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  b->n_sets = n_sets;
  b->ds = calloc((size_t)n_sets, sizeof(rt_logits *));
  RT_CHECK(b->ds != NULL, RT_ERR_MEM, "%lld datasets", (long long)n_sets);
  RT_TRY(open_sets(b, folders));
  b->order = calloc((size_t)b->n_rows, sizeof *b->order);
  b->piece_ptr = calloc((size_t)b->n_rows + 1, sizeof *b->piece_ptr);
  b->fd = calloc((size_t)(n_sets * b->n_shards), sizeof *b->fd);
  RT_CHECK(b->order && b->piece_ptr && b->fd, RT_ERR_MEM, "%lld rows",
           (long long)b->n_rows);
  for (int64_t i = 0; i < b->n_rows; i++)
    b->order[i] = (int64_t)rt_rng_permute(7, (uint64_t)rank,
                                          (uint64_t)b->n_rows, (uint64_t)i);
  for (int64_t i = 0; i < n_sets * b->n_shards; i++)
    RT_TRY(open_shard(b, folders[i / b->n_shards], i / b->n_shards,
                      i % b->n_shards));
  return RT_OK;
}

/** The two sides, each over all rows once. */

static rt_err read_row(bench *b, int64_t row)
{
  return rt_logits_read_record(b->ds[row / b->set_rows], row % b->set_rows,
                               &b->to);
}

static rt_err by_library(bench *b)
{
  for (int64_t i = 0; i < b->n_rows; i++)
    RT_TRY(read_row(b, b->order[i]));
  return RT_OK;
}

static rt_err pread_row(bench *b, int64_t row)
{
  unsigned char *to = b->to.data;
  for (int64_t k = b->piece_ptr[row]; k < b->piece_ptr[row + 1]; k++) {
    const piece *const p = &b->piece[k];
    RT_CHECK(pread(p->fd, to, p->n, p->offset) == (ssize_t)p->n, RT_ERR_IO,
             "pread of row %lld fell short", (long long)row);
    to += p->n;
  }
  return RT_OK;
}

static rt_err by_pread(bench *b)
{
  for (int64_t i = 0; i < b->n_rows; i++)
    RT_TRY(pread_row(b, b->order[i]));
  return RT_OK;
}

static rt_err time_side(bench *b, rt_err (*side)(bench *), double *seconds)
{
  const int64_t n = round_bytes / b->bytes + 1;
  RT_TRY_MPI(MPI_Barrier(MPI_COMM_WORLD));
  const double since = rt_now_s();
  for (int64_t i = 0; i < n; i++)
    RT_TRY(side(b));
  *seconds = rt_now_s() - since;
  RT_TRY_MPI(MPI_Allreduce(MPI_IN_PLACE, seconds, 1, MPI_DOUBLE, MPI_MAX,
                           MPI_COMM_WORLD));
  return RT_OK;
}

/** Check that pread of the pieces gives the record. */
static rt_err compare(bench *b)
{
  for (int64_t r = 0; r < b->n_rows; r++) {
    RT_TRY(read_row(b, r));
    const uint64_t expected = rt_hash_xxh3(b->to.data, b->to.n);
    memset(b->to.data, 0, b->to.n);
    RT_TRY(pread_row(b, r));
    RT_CHECK(rt_hash_xxh3(b->to.data, b->to.n) == expected, RT_ERR_INTERNAL,
             "the pieces of row %lld are not its record", (long long)r);
  }
  return RT_OK;
}

static rt_err measure(bench *b)
{
  double library[N_ROUNDS], bare[N_ROUNDS], ratio[N_ROUNDS];
  int rank, n_ranks;
  RT_TRY_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  RT_TRY_MPI(MPI_Comm_size(MPI_COMM_WORLD, &n_ranks));
  for (int i = 0; i < N_ROUNDS; i++) {
    RT_TRY(time_side(b, by_library, &library[i]));
    RT_TRY(time_side(b, by_pread, &bare[i]));
    ratio[i] = bare[i] / library[i];
  }
  double *const all[] = {library, bare, ratio};
  for (int i = 0; i < 3; i++)
    qsort(all[i], N_ROUNDS, sizeof(double), by_size);
  const double gb =
      (double)(round_bytes / b->bytes + 1) * (double)b->bytes * n_ranks * 1e-9;
  if (rank == 0)
    printf("{\"ranks\": %d, \"bytes\": %lld, \"library_gb_per_s\": "
           "%.3f, \"pread_gb_per_s\": %.3f, \"read_over_pread\": %.4f}\n",
           n_ranks, (long long)b->bytes, gb / library[N_ROUNDS / 2],
           gb / bare[N_ROUNDS / 2], ratio[N_ROUNDS / 2]);
  return RT_OK;
}

static rt_err run(int argc, char **argv, bench *b)
{
  RT_CHECK(argc >= 2, RT_ERR_USAGE, "usage: bench_read FOLDER...");
  RT_TRY(prepare(b, argv + 1, argc - 1));
  RT_TRY(compare(b));
  return measure(b);
}

int main(int argc, char **argv)
{
  bench b = {0};
  rt_err err = rt_h5_child_start();
  MPI_Init(&argc, &argv);
  if (err == RT_OK)
    err = run(argc, argv, &b);
  if (err != RT_OK) { // the other ranks may wait at a barrier
    fprintf(stderr, "bench_read: %s\n", rt_err_text());
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  for (int64_t i = 0; i < b.n_sets * b.n_shards; i++)
    close(b.fd[i]);
  for (int64_t s = 0; s < b.n_sets; s++)
    rt_logits_close(&b.ds[s]);
  free(b.ds);
  free(b.fd);
  free(b.order);
  free(b.piece);
  free(b.piece_ptr);
  rt_bytes_clear(&b.to);
  MPI_Finalize();
  rt_h5_child_stop();
  return 0;
}
