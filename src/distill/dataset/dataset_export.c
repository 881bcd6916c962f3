/** \file dataset_export.c
 *  `retort logits export`: rows of a dataset for numpy, or as JSON lines. */
#include "distill/dataset/dataset.h"
#include "base/draft.h"
#include "base/log.h"
#include "base/outfile.h"
#include <stdlib.h>
#include <string.h>

/** Arrays of all rows, concatenated.  X(member, numpy type, elements of a row
 *  of T tokens and n entries); for a teacher captured during its training also
 *  step and stream row, one element each per row. */
#define ARRAYS(X)                                                              \
  X(tok, "<u4", T + 1)                                                         \
  X(count, "<u4", T)                                                           \
  X(lse, "<f4", T)                                                             \
  X(label_logp, "<f4", T)                                                      \
  X(entropy, "<f4", T)                                                         \
  X(deviation, "<f4", T)                                                       \
  X(ids, "<u4", n)                                                             \
  X(logp, "<f4", n)

/** A file with an array that grows; its header is written last. */
typedef struct npy {
  rt_outfile *file; // owned; NULL: the dataset does not have this field
  int64_t n;        // elements
} npy;

#define NAME(member, type, elements) #member,
static const char *const names[] = {ARRAYS(NAME) "step", "stream_row"};
#undef NAME
#define TYPE(member, type, elements) type,
static const char *const types[] = {ARRAYS(TYPE) "<i8", "<i8"};
#undef TYPE
enum { N_ARRAYS = sizeof names / sizeof names[0], NPY_HEADER = 128 };

/** Does the dataset have this array? */
static bool has(const rt_logits_info *info, const char *name)
{
  if (strcmp(name, "entropy") == 0)
    return info->entropy;
  if (strcmp(name, "deviation") == 0)
    return info->deviation;
  if (strcmp(name, "step") == 0 || strcmp(name, "stream_row") == 0)
    return info->step;
  return true;
}

/** Format the header, version 1.0: magic, length, a Python dict padded with
 *  blanks. */
static void make_header(const char *type, int64_t n, char out[NPY_HEADER])
{
  static const unsigned char magic[10] = {0x93, 'N', 'U', 'M',  'P',
                                          'Y',  1,   0,   0x76, 0};
  memset(out, ' ', NPY_HEADER);
  memcpy(out, magic, sizeof magic);
  const int used = snprintf(out + 10, NPY_HEADER - 10,
                            "{'descr': '%s', 'fortran_order': False, "
                            "'shape': (%lld,), }",
                            type, (long long)n);
  out[10 + used] = ' ';
  out[NPY_HEADER - 1] = '\n';
}

static rt_err open_npy(const char *folder, const char *name, npy *out)
{
  char file[64], path[RT_PATH_MAX];
  snprintf(file, sizeof file, "%s.npy", name);
  RT_TRY(rt_path_join(path, folder, file));
  RT_TRY(rt_outfile_create(path, &out->file));
  rt_outfile_seek(out->file, NPY_HEADER);
  return RT_OK;
}

static rt_err put(npy *to, const void *data, size_t size, int64_t n)
{
  if (to->file == NULL || n == 0)
    return RT_OK;
  to->n += n;
  return rt_outfile_append(to->file, data, size * (size_t)n);
}

static rt_err close_npy(rt_err err, npy *x, const char *type)
{
  char header[NPY_HEADER];
  make_header(type, x->n, header);
  if (err == RT_OK && x->file != NULL)
    err = rt_outfile_put_at(x->file, header, NPY_HEADER, 0);
  return rt_outfile_finish(err, &x->file);
}

static rt_err put_row(npy to[N_ARRAYS], const rt_logits_row *row)
{
  const int64_t T = row->n_tokens, n = row->n_entries;
  int i = 0;
#define PUT(member, type, elements)                                            \
  RT_TRY(put(&to[i++], row->member, sizeof *row->member, elements));
  ARRAYS(PUT)
#undef PUT
  RT_TRY(put(&to[i++], &row->step, sizeof row->step, 1));
  return put(&to[i], &row->stream_row, sizeof row->stream_row, 1);
}

static rt_err write_arrays(const rt_logits *ds, int64_t begin, int64_t end,
                           npy to[N_ARRAYS])
{
  rt_logits_row row = {0};
  rt_err err = RT_OK;
  for (int64_t r = begin; err == RT_OK && r < end; r++) {
    err = rt_logits_read(ds, r, &row);
    if (err == RT_OK)
      err = put_row(to, &row);
  }
  rt_logits_row_clear(&row);
  return err;
}

/** Write a description of the arrays and the dataset, since terms of use must
 *  accompany the data. */
static void print_card(const rt_logits_info *info, int64_t begin, int64_t end,
                       FILE *to)
{
  fprintf(to,
          "# Teacher logits as arrays\n\nRows %lld to %lld (exclusive) of a "
          "dataset written by Retort, exported by `retort\nlogits export`. "
          "Each array contains all rows, concatenated. A row of T tokens with "
          "n\nentries contributes\n\n| file | type | elements |\n"
          "|---|---|---|\n",
          (long long)begin, (long long)end);
#define LINE(member, type, elements)                                           \
  if (has(info, #member))                                                      \
    fprintf(to, "| " #member ".npy | " type " | " #elements " |\n");
  ARRAYS(LINE)
#undef LINE
  if (info->step)
    fputs("| step.npy | <i8 | 1 |\n| stream_row.npy | <i8 | 1 |\n", to);
  fputs("\n`count` is the number of entries of each token, which are stored in "
        "ids and logp, most\nprobable first.\n\nThe dataset:\n\n| key | value "
        "|\n|---|---|\n",
        to);
  rt_logits_info_print(info, to);
}

static rt_err write_card(const rt_logits_info *info, int64_t begin, int64_t end,
                         const char *folder)
{
  char path[RT_PATH_MAX], *text = NULL;
  size_t n = 0;
  RT_TRY(rt_path_join(path, folder, "README.md"));
  FILE *const to = open_memstream(&text, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "the text of %s", path);
  print_card(info, begin, end, to);
  const rt_err err = fclose(to) == 0
                         ? rt_file_put(path, text, n)
                         : RT_FAIL(RT_ERR_MEM, "the text of %s", path);
  free(text);
  return err;
}

/** Write arrays to the existing \a folder. */
static rt_err export_numpy(const rt_logits *ds, int64_t begin, int64_t end,
                           const char *folder)
{
  const rt_logits_info *info = rt_logits_about(ds);
  npy to[N_ARRAYS] = {0};
  rt_err err = write_card(info, begin, end, folder);
  for (int i = 0; err == RT_OK && i < N_ARRAYS; i++)
    if (has(info, names[i]))
      err = open_npy(folder, names[i], &to[i]);
  if (err == RT_OK)
    err = write_arrays(ds, begin, end, to);
  for (int i = 0; i < N_ARRAYS; i++)
    err = close_npy(err, &to[i], types[i]);
  return err;
}

/** Print [id, log-prob] for entries [begin, end). */
static void print_entries(const rt_logits_row *row, int64_t begin, int64_t end,
                          FILE *to)
{
  for (int64_t e = begin; e < end; e++)
    fprintf(to, "%s[%lu,%.9g]", e > begin ? "," : "",
            (unsigned long)row->ids[e], (double)row->logp[e]);
}

/** Print one line per token. */
static void print_row(int64_t i_row, bool with_step, const rt_logits_row *row,
                      FILE *to)
{
  int64_t begin = 0;
  for (int64_t t = 0; t < row->n_tokens; t++) {
    fprintf(to,
            "{\"row\":%lld,\"position\":%lld,\"token\":%lu,\"next\":%lu,"
            "\"lse\":%.9g,\"next_logp\":%.9g,",
            (long long)i_row, (long long)t, (unsigned long)row->tok[t],
            (unsigned long)row->tok[t + 1], (double)row->lse[t],
            (double)row->label_logp[t]);
    if (with_step)
      fprintf(to, "\"step\":%lld,", (long long)row->step);
    if (row->entropy != NULL)
      fprintf(to, "\"entropy\":%.9g,", (double)row->entropy[t]);
    if (row->deviation != NULL)
      fprintf(to, "\"deviation\":%.9g,", (double)row->deviation[t]);
    fputs("\"entries\":[", to);
    print_entries(row, begin, begin + row->count[t], to);
    fputs("]}\n", to);
    begin += row->count[t];
  }
}

/** Append the lines of one row to \a to. */
static rt_err put_lines(int64_t i_row, bool with_step, const rt_logits_row *row,
                        rt_outfile *to)
{
  char *text = NULL;
  size_t n = 0;
  FILE *const lines = open_memstream(&text, &n);
  RT_CHECK(lines != NULL, RT_ERR_MEM, "the lines of row %lld",
           (long long)i_row);
  print_row(i_row, with_step, row, lines);
  const bool good = ferror(lines) == 0;
  const rt_err err =
      fclose(lines) == 0 && good
          ? rt_outfile_append(to, text, n)
          : RT_FAIL(RT_ERR_MEM, "the lines of row %lld", (long long)i_row);
  free(text);
  return err;
}

static rt_err export_lines(const rt_logits *ds, int64_t begin, int64_t end,
                           const char *path)
{
  const int64_t first = rt_logits_about(ds)->first_row;
  const bool with_step = rt_logits_about(ds)->step;
  rt_logits_row row = {0};
  rt_outfile *to = NULL;
  rt_err err = rt_outfile_open(path, &to);
  for (int64_t r = begin; err == RT_OK && r < end; r++) {
    err = rt_logits_read(ds, r, &row);
    if (err == RT_OK)
      err = put_lines(with_step ? row.stream_row : first + r, with_step, &row,
                      to);
  }
  rt_logits_row_clear(&row);
  return rt_outfile_finish(err, &to);
}

/** Export under a temporary name that is renamed when complete. */
static rt_err export(const rt_deck *deck, const rt_logits *ds, const char *out)
{
  rt_draft draft;
  int64_t begin, end;
  RT_TRY(rt_logits_range(ds, deck, &begin, &end));
  const size_t n = strlen(out);
  const bool lines = n > 6 && strcmp(out + n - 6, ".jsonl") == 0;
  RT_TRY(lines ? rt_draft_file(out, &draft) : rt_draft_folder(out, &draft));
  const rt_err err = lines ? export_lines(ds, begin, end, draft.tmp)
                           : export_numpy(ds, begin, end, draft.tmp);
  RT_TRY(rt_draft_conclude(err, &draft));
  rt_info("%lld rows in %s", (long long)(end - begin), draft.path);
  return RT_OK;
}

rt_err rt_logits_export_run(const rt_comm *world, const rt_deck *deck,
                            char *const *paths)
{
  rt_logits *ds = NULL;
  RT_TRY(rt_logits_open(rt_comm_mpi(world), paths[0], RT_LOGITS_SOUND, &ds));
  const rt_err err = rt_agree(
      world, rt_comm_rank(world) == 0 ? export(deck, ds, paths[1]) : RT_OK);
  rt_logits_close(&ds);
  return err;
}
