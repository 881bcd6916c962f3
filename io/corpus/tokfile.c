/** \file tokfile.c
 *  Opens the corpus formats, treating files as untrusted. */
#include "io/corpus/tokfile.h"

#include "base/text.h"
#include "io/common/foreign.h"
#include "io/common/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "token files are little-endian and mapped without conversion");

enum { LLMC_HEADER = 1024, IDX_HEADER = 9 + 8 + 1 + 8 + 8 };

static const int64_t type_bytes[] = {
    [RT_TOK_U8] = 1,  [RT_TOK_I8] = 1,  [RT_TOK_I16] = 2, [RT_TOK_U16] = 2,
    [RT_TOK_I32] = 4, [RT_TOK_U32] = 4, [RT_TOK_I64] = 8};

int64_t rt_tokfile_at(const rt_tokfile *f, int64_t i)
{
  const unsigned char *at = f->tok + i * type_bytes[f->type];
  union {
    int8_t i8;
    uint16_t u16;
    int16_t i16;
    uint32_t u32;
    int32_t i32;
    int64_t i64;
  } v = {0};
  memcpy(&v, at, (size_t)type_bytes[f->type]);
  switch (f->type) {
  case RT_TOK_U8:
    return *at;
  case RT_TOK_I8:
    return v.i8;
  case RT_TOK_I16:
    return v.i16;
  case RT_TOK_U16:
    return v.u16;
  case RT_TOK_I32:
    return v.i32;
  case RT_TOK_U32:
    return v.u32;
  case RT_TOK_I64:
    return v.i64;
  }
  return -1;
}

/** The document that contains token \a i. */
static int64_t doc_of(const rt_tokfile *f, int64_t i)
{
  int64_t low = 0, high = f->n_docs; // begin[low] <= i < begin[high]
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    if (f->begin[middle] <= i)
      low = middle;
    else
      high = middle;
  }
  return low;
}

rt_err rt_tokfile_copy(const rt_tokfile *f, int64_t i, int64_t n, int64_t vocab,
                       uint32_t *to)
{
  for (int64_t k = 0; k < n; k++) {
    const int64_t id = rt_tokfile_at(f, i + k);
    if (id < 0 || id >= vocab) {
      const int64_t doc = doc_of(f, i + k);
      return RT_FAIL(RT_ERR_DATA,
                     "%s: id %lld at token %lld (document %lld, its token "
                     "%lld), expected 0..%lld; the corpus was made with "
                     "another tokenizer or is damaged",
                     f->path, (long long)id, (long long)(i + k), (long long)doc,
                     (long long)(i + k - f->begin[doc]), (long long)vocab - 1);
    }
    to[k] = (uint32_t)id;
  }
  return RT_OK;
}

static rt_err alloc_begin(rt_tokfile *f, int64_t n_docs)
{
  f->begin = calloc((size_t)n_docs + 1, sizeof *f->begin);
  RT_CHECK(f->begin != NULL, RT_ERR_MEM,
           "%lld bytes for the %lld documents of %s",
           (long long)(n_docs + 1) * 8, (long long)n_docs, f->path);
  return RT_OK;
}

/** First position in [i, end) that contains \a eot, or \a end.  Whole files are
 *  searched on opening, so the inner loop does not branch on the type. */
static int64_t search(const rt_tokfile *f, int64_t i, int64_t end, int64_t eot)
{
  const void *tok = f->tok; // mapped, therefore aligned
  if (f->type == RT_TOK_U16)
    while (i < end && ((const uint16_t *)tok)[i] != eot)
      i++;
  else
    while (i < end && ((const uint32_t *)tok)[i] != eot)
      i++;
  return i;
}

/** First position from \a i on that contains \a eot, or n_tokens. */
static int64_t find_eot(const rt_tokfile *f, int64_t i, int64_t eot)
{
  const int64_t piece = 1 << 20;
  while (eot >= 0 && i < f->n_tokens) {
    const int64_t end = f->n_tokens - i < piece ? f->n_tokens : i + piece;
    i = search(f, i, end, eot);
    rt_ranks_alive();
    if (i < end)
      return i;
  }
  return f->n_tokens;
}

/** Documents of a file without an index (u16 or u32): each ends with an eot;
 *  the last one may lack it. */
static rt_err split_at_eot(rt_tokfile *f, int64_t eot)
{
  int64_t n = 0; // two passes, to allocate exactly what is needed
  for (int64_t i = 0; i < f->n_tokens; n++)
    i = find_eot(f, i, eot) + 1;
  RT_TRY(alloc_begin(f, n));
  for (int64_t i = 0; i < f->n_tokens; i = f->begin[f->n_docs]) {
    const int64_t end = find_eot(f, i, eot) + 1;
    f->begin[++f->n_docs] = end < f->n_tokens ? end : f->n_tokens;
  }
  return RT_OK;
}

/** Report text files that have not been tokenised. */
static rt_err refuse_text(const char *name)
{
  const char *kind = rt_file_exists(name) ? rt_foreign_file(name) : NULL;
  const bool text = kind != NULL && strcmp(kind, "text") == 0;
  RT_CHECK(!text, RT_ERR_DATA,
           "%s is text: tokenise it first, with inputs/prepare/tokenize.py "
           "--tokenizer FOLDER --out PREFIX%s %s",
           name,
           rt_text_ends_with(name, ".jsonl") || rt_text_ends_with(name, ".json")
               ? " --json-key KEY"
               : "",
           name);
  RT_CHECK(kind == NULL, RT_ERR_DATA, "%s is %s", name, kind);
  return RT_OK;
}

/** All bytes of the file from \a offset on are tokens of \a type. */
static rt_err take_tokens(rt_tokfile *f, size_t offset, rt_tok_type type)
{
  const size_t bytes = f->data.bytes - offset;
  const size_t size = (size_t)type_bytes[type];
  RT_CHECK(bytes % size == 0, RT_ERR_DATA,
           "%s is truncated: %zu bytes of tokens are not a multiple of %zu",
           f->path, bytes, size);
  f->type = type;
  f->tok = bytes == 0 ? NULL : f->data.data + offset;
  f->n_tokens = (int64_t)(bytes / size);
  return RT_OK;
}

/** Check the width of ids, which a raw file does not record.  If u32 ids are
 *  read as u16, every second one is the upper half of an id, which is small if
 *  V is. */
static rt_err check_width(const rt_tokfile *f)
{
  enum { LOOK_AT = 4096, AT_LEAST = 64, SMALL = 16 };
  const int64_t n = f->n_tokens < LOOK_AT ? f->n_tokens : LOOK_AT;
  int64_t n_large = 0;
  for (int64_t i = 0; i < n; i++) {
    const bool large = rt_tokfile_at(f, i) >= SMALL;
    if (large && i % 2 == 1)
      return RT_OK;
    n_large += large;
  }
  RT_CHECK(n < AT_LEAST || n_large < n / 4, RT_ERR_DATA,
           "%s: every second id of the first %lld is below %d, as when ids of "
           "4 bytes are read as 2: name the file *.u32",
           f->path, (long long)n, SMALL);
  return RT_OK;
}

static rt_err open_raw(rt_tokfile *f, const char *name, int64_t eot)
{
  const bool wide = rt_text_ends_with(name, ".u32");
  f->format = wide ? "u32" : "u16";
  RT_TRY(rt_path_join(f->path, "", name));
  RT_TRY(rt_map_open(name, &f->data));
  RT_TRY(take_tokens(f, 0, wide ? RT_TOK_U32 : RT_TOK_U16));
  if (!wide)
    RT_TRY(check_width(f));
  return split_at_eot(f, eot);
}

static rt_err open_llmc(rt_tokfile *f, const char *name, int64_t eot)
{
  static const struct {
    int32_t magic, version;
    rt_tok_type type;
  } kinds[] = {{20240520, 1, RT_TOK_U16}, {20240801, 7, RT_TOK_U32}};
  int32_t h[3] = {0}; // magic, version, tokens
  f->format = "llm.c";
  RT_TRY(rt_path_join(f->path, "", name));
  RT_TRY(rt_map_open(name, &f->data));
  if (f->data.bytes >= LLMC_HEADER)
    memcpy(h, f->data.data, sizeof h);
  const int kind = h[0] == kinds[1].magic;
  if (h[0] != kinds[kind].magic)
    RT_TRY(refuse_text(name));
  RT_CHECK(h[0] == kinds[kind].magic, RT_ERR_DATA,
           "%s: there is no .idx for it, and it does not start with the header "
           "of llm.c (magic %d or %d, got %d); name raw tokens *.u16 or *.u32, "
           "or give the prefix of a Megatron pair",
           name, kinds[0].magic, kinds[1].magic, h[0]);
  RT_CHECK(h[1] == kinds[kind].version, RT_ERR_DATA,
           "%s: llm.c version %d, expected %d for magic %d", name, h[1],
           kinds[kind].version, h[0]);
  RT_TRY(take_tokens(f, LLMC_HEADER, kinds[kind].type));
  RT_CHECK(f->n_tokens == h[2], RT_ERR_DATA,
           "%s: the header says %d tokens, the file has %lld; it is truncated "
           "or damaged",
           name, h[2], (long long)f->n_tokens);
  return split_at_eot(f, eot);
}

/** Pointers to the parts of an index, which are unaligned. */
typedef struct idx {
  const char *path;
  uint64_t n_seqs, n_marks;
  const unsigned char *length; // i32 [n_seqs]
  const unsigned char *offset; // i64 [n_seqs]
  const unsigned char *mark;   // i64 [n_marks]
} idx;

static int64_t load_i64(const unsigned char *array, uint64_t i)
{
  int64_t v;
  memcpy(&v, array + i * sizeof v, sizeof v);
  return v;
}

static int64_t load_i32(const unsigned char *array, uint64_t i)
{
  int32_t v;
  memcpy(&v, array + i * sizeof v, sizeof v);
  return v;
}

static rt_err read_idx_type(const idx *x, int code, rt_tok_type *type)
{
  static const struct {
    int code;
    rt_tok_type type;
  } codes[] = {{1, RT_TOK_U8},  {2, RT_TOK_I8},  {3, RT_TOK_I16},
               {4, RT_TOK_I32}, {5, RT_TOK_I64}, {8, RT_TOK_U16}};
  for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
    if (codes[i].code == code) {
      *type = codes[i].type;
      return RT_OK;
    }
  return RT_FAIL(
      RT_ERR_DATA,
      "%s: type code %d is not an integer type, expected 1, 2, 3, 4, 5 or 8",
      x->path, code);
}

/** Read the header, and check that the arrays fill the file exactly. */
static rt_err read_idx_header(rt_tokfile *f, idx *x)
{
  static const char magic[9] = "MMIDIDX\0";
  const unsigned char *p = f->index.data;
  const size_t bytes = f->index.bytes;
  uint64_t version, need = IDX_HEADER, part;
  RT_CHECK(bytes >= IDX_HEADER && memcmp(p, magic, sizeof magic) == 0,
           RT_ERR_DATA,
           "%s: its %zu bytes do not start with MMIDIDX: not a Megatron index, "
           "or truncated",
           x->path, bytes);
  memcpy(&version, p + 9, 8);
  memcpy(&x->n_seqs, p + 18, 8);
  memcpy(&x->n_marks, p + 26, 8);
  RT_CHECK(version == 1, RT_ERR_DATA, "%s: version %llu, expected 1", x->path,
           (unsigned long long)version);
  RT_TRY(read_idx_type(x, p[17], &f->type));
  const bool fits = !__builtin_mul_overflow(x->n_seqs, 12, &part) &&
                    !__builtin_add_overflow(need, part, &need) &&
                    !__builtin_mul_overflow(x->n_marks, 8, &part) &&
                    !__builtin_add_overflow(need, part, &need);
  RT_CHECK(fits && need == bytes, RT_ERR_DATA,
           "%s: %llu sequences and %llu document marks need %llu bytes, the "
           "file has %zu; it is truncated, damaged or has modes of several "
           "media, which are not read",
           x->path, (unsigned long long)x->n_seqs,
           (unsigned long long)x->n_marks, fits ? (unsigned long long)need : 0,
           bytes);
  x->length = p + IDX_HEADER;
  x->offset = x->length + x->n_seqs * 4;
  x->mark = x->offset + x->n_seqs * 8;
  return RT_OK;
}

/** Check that sequences are contiguous in the .bin, up to its end. */
static rt_err check_sequences(const rt_tokfile *f, const idx *x)
{
  const int64_t size = type_bytes[f->type];
  int64_t at = 0;
  for (uint64_t i = 0; i < x->n_seqs; i++) {
    const int64_t length = load_i32(x->length, i);
    const int64_t offset = load_i64(x->offset, i);
    RT_CHECK(length >= 0 && offset == at, RT_ERR_DATA,
             "%s: sequence %llu has %lld tokens from byte %lld, expected a "
             "count and byte %lld, where the one before it ends",
             x->path, (unsigned long long)i, (long long)length,
             (long long)offset, (long long)at);
    // no overflow: at most 2^31 tokens of 8 bytes, and at <= bytes in a file
    at += length * size;
    RT_CHECK(at <= (int64_t)f->data.bytes, RT_ERR_DATA,
             "%s is truncated: %zu bytes, but sequence %llu of its .idx ends "
             "at byte %lld",
             f->path, f->data.bytes, (unsigned long long)i, (long long)at);
  }
  RT_CHECK(at == (int64_t)f->data.bytes, RT_ERR_DATA,
           "%s: the sequences of its .idx end at byte %lld, the file has %zu; "
           "they are not of one pair",
           f->path, (long long)at, f->data.bytes);
  return RT_OK;
}

/** Convert marks to first tokens.  Marks must ascend from 0 to the number of
 *  sequences. */
static rt_err read_marks(rt_tokfile *f, const idx *x)
{
  RT_CHECK(x->n_marks >= 1, RT_ERR_DATA, "%s: no document marks", x->path);
  RT_TRY(alloc_begin(f, (int64_t)x->n_marks));
  int64_t before = 0;
  for (uint64_t i = 0; i < x->n_marks; i++) {
    const int64_t mark = load_i64(x->mark, i);
    RT_CHECK(i == 0 ? mark == 0 : mark >= before && (uint64_t)mark <= x->n_seqs,
             RT_ERR_DATA,
             "%s: document mark %llu is %lld, expected %s%lld and at most "
             "%llu sequences",
             x->path, (unsigned long long)i, (long long)mark,
             i == 0 ? "" : "at least ", (long long)before,
             (unsigned long long)x->n_seqs);
    const int64_t begin =
        (uint64_t)mark == x->n_seqs
            ? f->n_tokens
            : load_i64(x->offset, (uint64_t)mark) / type_bytes[f->type];
    if (begin > f->begin[f->n_docs]) // skips empty documents
      f->begin[++f->n_docs] = begin;
    before = mark;
  }
  RT_CHECK((uint64_t)before == x->n_seqs, RT_ERR_DATA,
           "%s: the last document mark is %lld, expected %llu, the number of "
           "sequences",
           x->path, (long long)before, (unsigned long long)x->n_seqs);
  return RT_OK;
}

static rt_err open_megatron(rt_tokfile *f, const char *prefix)
{
  const int n = snprintf(f->path, sizeof f->path, "%s.bin", prefix);
  RT_CHECK(n > 0 && n < RT_PATH_MAX, RT_ERR_CONFIG, "path is too long: %.80s",
           prefix);
  snprintf(f->index_path, sizeof f->index_path, "%s.idx", prefix);
  f->format = "megatron";
  RT_TRY(rt_map_open(f->path, &f->data));
  RT_TRY(rt_map_open(f->index_path, &f->index));
  idx x = {.path = f->index_path};
  RT_TRY(read_idx_header(f, &x));
  RT_TRY(take_tokens(f, 0, f->type));
  RT_TRY(check_sequences(f, &x));
  return read_marks(f, &x);
}

/** Does PREFIX.idx exist?  \a prefix is \a name without its last \a n bytes. */
static bool has_index(const char *name, size_t n, char prefix[RT_PATH_MAX])
{
  char index_path[RT_PATH_MAX];
  const int length = (int)(strlen(name) - n);
  snprintf(prefix, RT_PATH_MAX, "%.*s", length, name);
  const int m = snprintf(index_path, sizeof index_path, "%s.idx", prefix);
  return m < RT_PATH_MAX && rt_file_exists(index_path);
}

static rt_err open_any(const char *name, int64_t eot, rt_tokfile *f)
{
  char prefix[RT_PATH_MAX];
  const size_t n = strlen(name);
  RT_CHECK(n > 0 && n < RT_PATH_MAX - 8, RT_ERR_CONFIG,
           "name of a corpus of %zu bytes, expected 1..%d: \"%.80s\"", n,
           RT_PATH_MAX - 9, name);
  if (rt_text_ends_with(name, ".u16") || rt_text_ends_with(name, ".u32"))
    return open_raw(f, name, eot);
  if (rt_text_ends_with(name, ".bin") || rt_text_ends_with(name, ".idx"))
    return has_index(name, 4, prefix) ? open_megatron(f, prefix)
                                      : open_llmc(f, name, eot);
  if (has_index(name, 0, prefix))
    return open_megatron(f, prefix);
  RT_CHECK(!rt_folder_exists(name), RT_ERR_NOINPUT,
           "%s is a folder: name the corpora in it, as in \"%s/*.bin\"", name,
           name);
  RT_TRY(refuse_text(name));
  return RT_FAIL(rt_file_exists(name) ? RT_ERR_DATA : RT_ERR_NOINPUT,
                 "%s: no such corpus: expected %s.bin with %s.idx (Megatron), "
                 "or a name that ends in .bin (Megatron or llm.c), .u16 or "
                 ".u32 (raw ids)",
                 name, name, name);
}

rt_err rt_tokfile_open(const char *name, int64_t eot, rt_tokfile *f)
{
  *f = (rt_tokfile){0};
  RT_TRY(open_any(name, eot, f));
  RT_CHECK(f->n_docs > 0, RT_ERR_DATA, "%s holds no tokens", f->path);
  return RT_OK;
}

void rt_tokfile_close(rt_tokfile *f)
{
  rt_map_close(&f->data);
  rt_map_close(&f->index);
  free(f->begin);
  *f = (rt_tokfile){0};
}
