/** \file logits_log.c
 *  The log of a shard that is not sealed yet. */
#include "io/logits/logits_log.h"

#include "base/file.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEAD = 16 }; // bytes before each record: its length and hash

struct rt_logits_log {
  char path[RT_PATH_MAX];
  int fd;
  int64_t at;      // offset at which the next row is read or written
  bool adding;     // appending: nothing follows `at`
  bool unsynced;   // a sync failed: what is on disk is unknown
  rt_codec *codec; // owned, `exact`
  rt_bytes bytes;  // owned: buffer for one row
};

static rt_err open_log(const char *folder, const rt_logits_info *info,
                       int64_t i_shard, rt_logits_log *log)
{
  char name[48];
  rt_codec_spec spec;
  snprintf(name, sizeof name, "rows-%06lld.log", (long long)i_shard);
  RT_TRY(rt_path_join(log->path, folder, name));
  RT_TRY(rt_logits_spec(folder, info, &spec));
  spec.kind = RT_CODEC_EXACT;
  spec.n_draws = 0;
  RT_TRY(rt_codec_learn(&spec, NULL, 0, &log->codec));
  RT_TRY(rt_file_open_output(log->path, O_RDWR | O_CREAT, &log->fd));
  return rt_path_sync(folder); // make the file name durable, too
}

rt_err rt_logits_log_open(const char *folder, const rt_logits_info *info,
                          int64_t i_shard, rt_logits_log **out)
{
  *out = calloc(1, sizeof **out);
  RT_CHECK(*out != NULL, RT_ERR_MEM, "a log of logits");
  (*out)->fd = -1;
  const rt_err err = open_log(folder, info, i_shard, *out);
  if (err != RT_OK)
    rt_logits_log_close(out);
  return err;
}

void rt_logits_log_close(rt_logits_log **log)
{
  if (*log == NULL)
    return;
  if ((*log)->fd >= 0)
    close((*log)->fd);
  rt_codec_destroy(&(*log)->codec);
  rt_bytes_clear(&(*log)->bytes);
  free(*log);
  *log = NULL;
}

rt_err rt_logits_log_remove(rt_logits_log **log)
{
  if (*log == NULL)
    return RT_OK;
  const rt_err err = rt_path_remove((*log)->path);
  rt_logits_log_close(log);
  return err;
}

rt_err rt_logits_log_next(rt_logits_log *log, rt_logits_row *row)
{
  uint64_t head[2];
  int64_t size;
  RT_ASSERT(!log->adding);
  RT_TRY(rt_file_size(log->path, &size));
  RT_TRY(rt_file_read_at(log->fd, log->path, head, HEAD, log->at));
  RT_CHECK(head[0] <= (uint64_t)(size - log->at - HEAD), RT_ERR_DATA,
           "%s: ends within the row at byte %lld", log->path,
           (long long)log->at);
  const size_t n = (size_t)head[0];
  log->bytes.n = 0;
  RT_TRY(rt_bytes_room(&log->bytes, n));
  RT_TRY(
      rt_file_read_at(log->fd, log->path, log->bytes.data, n, log->at + HEAD));
  RT_CHECK(rt_hash_xxh3(log->bytes.data, n) == head[1], RT_ERR_DATA,
           "%s: the row at byte %lld was damaged after it was written",
           log->path, (long long)log->at);
  RT_TRY(rt_codec_decode(log->codec, log->bytes.data, n, log->path, row));
  log->at += HEAD + (int64_t)n;
  return RT_OK;
}

rt_err rt_logits_log_add(rt_logits_log *log, const rt_logits_row *row)
{
  static const unsigned char none[HEAD];
  if (!log->adding)
    RT_TRY(rt_file_cut(log->fd, log->path, log->at));
  log->adding = true;
  log->bytes.n = 0;
  RT_TRY(rt_bytes_room(&log->bytes, HEAD));
  memcpy(log->bytes.data, none, HEAD);
  log->bytes.n = HEAD;
  RT_TRY(rt_codec_encode(log->codec, row, &log->bytes));
  const size_t n = log->bytes.n - HEAD;
  const uint64_t head[2] = {n, rt_hash_xxh3(log->bytes.data + HEAD, n)};
  memcpy(log->bytes.data, head, HEAD);
  RT_TRY(rt_file_write_at(log->fd, log->path, log->bytes.data, log->bytes.n,
                          log->at));
  log->at += (int64_t)log->bytes.n;
  return RT_OK;
}

/** Write the row at \a at again, as read back from memory.  Returns its
 *  length, with its head, in *bytes. */
static rt_err write_again(rt_logits_log *log, int64_t at, int64_t *bytes)
{
  uint64_t head[2];
  RT_TRY(rt_file_read_at(log->fd, log->path, head, HEAD, at));
  RT_CHECK(head[0] <= (uint64_t)(log->at - at - HEAD), RT_ERR_IO,
           "%s: the disk has lost the row at byte %lld", log->path,
           (long long)at);
  const size_t n = (size_t)head[0] + HEAD;
  log->bytes.n = 0;
  RT_TRY(rt_bytes_room(&log->bytes, n));
  RT_TRY(rt_file_read_at(log->fd, log->path, log->bytes.data, n, at));
  RT_CHECK(rt_hash_xxh3(log->bytes.data + HEAD, n - HEAD) == head[1], RT_ERR_IO,
           "%s: the disk has lost the row at byte %lld", log->path,
           (long long)at);
  *bytes = (int64_t)n;
  return rt_file_write_at(log->fd, log->path, log->bytes.data, n, at);
}

/** After a failed sync the system may count data as written that is not, so all
 *  rows are written again. */
rt_err rt_logits_log_sync(rt_logits_log *log)
{
  int64_t n = 0;
  for (int64_t at = 0; log->unsynced && at < log->at; at += n)
    RT_TRY(write_again(log, at, &n));
  const rt_err err = rt_file_flush(log->fd, log->path);
  log->unsynced = err != RT_OK;
  return err;
}
