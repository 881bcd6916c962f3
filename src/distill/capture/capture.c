/** \file capture.c
 *  Code common to both kinds of capture. */
#include "distill/capture/capture.h"
#include "distill/capture/capture_size.h"

#include "base/file.h"
#include "base/log.h"
#include "distill/job/known_by.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void rt_capture_name(const char *folder, char *name, size_t n)
{
  size_t len = strlen(folder);
  while (len > 1 && folder[len - 1] == '/')
    len--;
  size_t at = len;
  while (at > 0 && folder[at - 1] != '/')
    at--;
  snprintf(name, n, "%.*s", (int)(len - at), folder + at);
}

/** The version of the existing dataset, or else the newest. */
static rt_err find_version(const char *folder, int64_t *version)
{
  rt_logits_info old = {.version = RT_LOGITS_VERSION};
  char *deck = NULL;
  RT_TRY(rt_logits_peek(folder, &old, &deck));
  free(deck);
  *version = old.version;
  return RT_OK;
}

rt_err rt_capture_hash(const rt_comm *world, const rt_corpus *corpus,
                       const char *folder, const char *weights,
                       rt_capture_hashes *out)
{
  const bool first = rt_comm_rank(world) == 0;
  *out = (rt_capture_hashes){0};
  RT_TRY(rt_agree(world, first ? find_version(folder, &out->version) : RT_OK));
  RT_TRY(rt_comm_bcast(world, out, sizeof *out, 0));
  RT_TRY(rt_known_corpus(world, out->version, corpus, out->corpus));
  return weights != NULL
             ? rt_known_weights(world, out->version, weights, out->teacher)
             : RT_OK;
}

void rt_capture_identify(const rt_capture_hashes *hashes, rt_logits_info *info)
{
  info->version = hashes->version;
  memcpy(info->corpus_hash, hashes->corpus, sizeof info->corpus_hash);
  memcpy(info->teacher_hash, hashes->teacher, sizeof info->teacher_hash);
}

rt_err rt_capture_rows(int64_t there, int64_t seq, int64_t first, int64_t *n)
{
  RT_CHECK(first < there, RT_ERR_CONFIG,
           "capture.first_row is %lld, the training stream has %lld rows of "
           "%lld tokens, the first is 0",
           (long long)first, (long long)there, (long long)seq);
  RT_CHECK(*n <= there - first, RT_ERR_CONFIG,
           "capture.rows is %lld from row %lld on, the training stream has "
           "%lld rows of %lld tokens",
           (long long)*n, (long long)first, (long long)there, (long long)seq);
  *n = *n > 0 ? *n : there - first;
  return RT_OK;
}

/** Choose the number of rows per shard.  There should be enough shards for
 *  groups to get about the same number, but no small ones, because each has its
 *  own tables and is opened separately.  Large ones cost memory of their
 *  writer, and more is lost when a group is killed.  The choice depends on the
 *  rows only, so that a capture can be resumed on any number of ranks. */
static int64_t choose_shard_rows(const rt_logits_info *info)
{
  const int64_t few_shards = 64, few_rows = 128;
  const double most_bytes = 0x1p28; // top-100: a million tokens
  const double tokens = (double)info->seq;
  const double row_bytes =
      tokens *
      rt_capture_size_of(info, (double)rt_capture_max_entries(info)).likely;
  const double most = most_bytes / row_bytes;
  int64_t rows = (info->n_rows - 1) / few_shards + 1;
  rows = rows > few_rows ? rows : few_rows;
  rows = (double)rows < most ? rows : (int64_t)most;
  return rows > 1 ? rows : 1;
}

void rt_capture_complete(rt_logits_info *info)
{
  if (info->draws > 0)
    info->top_k = info->vocab;
  if (info->shard_rows == 0)
    info->shard_rows = choose_shard_rows(info);
}

/** Bytes per entry: while it is buffered; for its two symbols while its row is
 *  encoded (words and bits including their growth, measured); for its id while
 *  tables are built. */
static const double row_entry = 8.0, encoding_entry = 15.0,
                    learning_entry = 4.0;
/** Tables of a codec, HDF5 and the seal: measured, up to 5.5 MiB. */
static const double writing_bytes = 0x1p20 * 6.0;

double rt_capture_records_bytes(const rt_logits_info *info)
{
  const double most = (double)rt_capture_max_entries(info);
  return (double)rt_logits_shard_rows(info, 0) * (double)info->seq *
         rt_capture_size_of(info, most).likely;
}

/** The maximum of two moments: when tables are built from the buffered rows,
 *  which are then encoded; and when the last row of the shard is encoded. */
double rt_capture_writer_bytes(const rt_logits_info *info)
{
  const double rows = (double)rt_logits_shard_rows(info, 0);
  const double most = (double)rt_capture_max_entries(info);
  const double row = (double)info->seq * most; // entries
  const double records = rt_capture_records_bytes(info);
  // read back one row at a time
  const double read_back = records + records / rows;
  const double in_hand = writing_bytes + row_entry * row;
  if (strcmp(info->encoding, "exact") == 0)
    return in_hand + fmax(read_back, 2.0 * row_entry * row);
  const double waiting = fmin(rows * row, RT_LOGITS_LEARN_ENTRIES + row);
  const double encoded = records * waiting / (rows * row);
  const double learning =
      row_entry * waiting +
      fmax(learning_entry * waiting, encoding_entry * row + encoded);
  return in_hand +
         fmax(learning, fmax(encoding_entry * row + records, read_back));
}

rt_err rt_capture_check(const rt_logits_info *info)
{
  const rt_err err = rt_logits_info_check("capture", info);
  return err == RT_OK ? RT_OK : RT_FAIL(RT_ERR_CONFIG, "%s", rt_err_text());
}

int64_t rt_capture_max_entries(const rt_logits_info *info)
{
  if (info->draws > 0)
    return info->draws;
  return info->top_k < info->vocab ? info->top_k : info->vocab;
}

/** Size of the logs of the current shards of a model being trained, which hold
 *  their rows until they are sealed (io/logits/logits_log.h). */
static rt_capture_size size_of_logs(const rt_logits_info *info, int64_t rows)
{
  rt_logits_info as = *info;
  const int64_t in_hand = info->lanes * info->shard_rows;
  const double tokens =
      (double)(in_hand < rows ? in_hand : rows) * (double)info->seq;
  snprintf(as.encoding, sizeof as.encoding, "exact");
  const rt_capture_size one =
      rt_capture_size_of(&as, (double)rt_capture_max_entries(info));
  return (rt_capture_size){tokens * one.least, tokens * one.likely,
                           tokens * one.most};
}

/** Log how large the dataset may become, and refuse what cannot fit in any
 *  case. */
static rt_err preflight(const char *folder, const rt_logits_info *info,
                        const bool *done)
{
  const int64_t n_shards = rt_logits_n_shards(info);
  const int64_t most_entries = rt_capture_max_entries(info);
  int64_t rows = 0, free_bytes;
  for (int64_t i = 0; i < n_shards; i++)
    if (!done[i])
      rows += rt_logits_shard_rows(info, i);
  const double tokens = (double)rows * (double)info->seq;
  const rt_capture_size size = rt_capture_size_of(info, (double)most_entries);
  const rt_capture_size logs = size_of_logs(info, rows);
  const double most = tokens * size.likely + logs.likely;
  const double least = tokens * size.least + logs.least;
  RT_TRY(rt_disk_free(folder, &free_bytes));
  const double free_mib = (double)free_bytes * 0x1p-20;
  rt_info("capture: %lld rows of %lld tokens, top-p %g, top-k %lld, %lld "
          "shards in %s; %lld rows to do, at most about %.3f MiB, %.3f MiB are "
          "free",
          (long long)info->n_rows, (long long)info->seq, info->top_p,
          (long long)most_entries, (long long)n_shards, folder, (long long)rows,
          most * 0x1p-20, free_mib);
  RT_CHECK(least <= (double)free_bytes, RT_ERR_IO,
           "%s has %.3f MiB free, the smallest dataset of %lld rows needs "
           "%.3f MiB: free some, or capture fewer rows",
           folder, free_mib, (long long)rows, least * 0x1p-20);
  if (most > (double)free_bytes)
    rt_warn("%s may run full: %.3f MiB free, up to %.3f MiB needed", folder,
            free_mib, most * 0x1p-20);
  return RT_OK;
}

rt_err rt_capture_begin(const rt_deck *deck, const char *folder,
                        const rt_logits_info *info, bool *done, bool *finished)
{
  char *text = NULL;
  RT_TRY(rt_folder_create(folder));
  RT_TRY(rt_logits_look(folder, info, done, finished));
  if (*finished)
    return RT_OK;
  RT_TRY(preflight(folder, info, done));
  RT_TRY(rt_deck_to_text(deck, &text));
  rt_err err = rt_logits_create(folder, info, text);
  if (err == RT_OK)
    err = rt_logits_done(folder, info, done);
  free(text);
  return err;
}

/** Add to an I/O error the space that a shard needs. */
static rt_err say_needs(rt_err err, const char *folder, int64_t i_shard,
                        int64_t bytes)
{
  char what[32];
  snprintf(what, sizeof what, "shard %lld", (long long)i_shard);
  return rt_disk_needs(err, folder, what, bytes);
}

rt_err rt_capture_seal_begin(const char *folder, int64_t i_shard,
                             rt_logits_writer *w)
{
  const int64_t bytes = rt_logits_writer_bytes(w);
  int64_t free_bytes;
  RT_TRY(rt_disk_free(folder, &free_bytes));
  RT_CHECK(bytes <= free_bytes, RT_ERR_IO,
           "%s has %.3f MiB free, shard %lld needs %.3f MiB: free some and run "
           "again, finished shards are kept",
           folder, (double)free_bytes * 0x1p-20, (long long)i_shard,
           (double)bytes * 0x1p-20);
  return say_needs(rt_logits_writer_lay_out(w), folder, i_shard, bytes);
}

rt_err rt_capture_seal_end(rt_err err, const char *folder, int64_t i_shard,
                           rt_logits_writer *w)
{
  const int64_t bytes = rt_logits_writer_bytes(w);
  return say_needs(rt_logits_writer_publish(err, w), folder, i_shard, bytes);
}

rt_err rt_capture_seal(const char *folder, int64_t i_shard, rt_logits_writer *w)
{
  RT_TRY(rt_capture_seal_begin(folder, i_shard, w));
  return rt_capture_seal_end(rt_logits_writer_put(w), folder, i_shard, w);
}
