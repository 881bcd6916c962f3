/** \file deck_print.c
 *  Prints decks and the table of keys. */
#include "deck/deck_parts.h"

#include "base/file.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Must this character be escaped in YAML 1.1? */
static bool needs_escape(uint32_t c)
{
  return (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
         c == 0xfffe || c == 0xffff;
}

/** Print \a text in double quotes for YAML.  Values of a deck are valid UTF-8
 *  without control characters (deck_value.c). */
static void print_quoted(const char *text, FILE *to)
{
  const unsigned char *p = (const unsigned char *)text;
  fputc('"', to);
  while (*p != '\0') {
    const int n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    uint32_t c = n == 1 ? *p : *p & (0x7fu >> n);
    for (int i = 1; i < n; i++)
      c = c << 6 | (p[i] & 0x3fu);
    if (needs_escape(c))
      fprintf(to, "\\u%04" PRIx32, c);
    else if (c == '"' || c == '\\')
      fprintf(to, "\\%c", (int)c);
    else
      fwrite(p, 1, (size_t)n, to);
    p += n;
  }
  fputc('"', to);
}

void rt_deck_value_print(rt_key key, const rt_deck_value *value, FILE *to)
{
  char number[32];
  const rt_key_type type = rt_key_row_of(key)->type;
  switch (type) {
  case RT_KEY_TYPE_INT:
    fprintf(to, "%" PRId64, value->whole);
    break;
  case RT_KEY_TYPE_REAL:
    rt_deck_real_text(value->real, number);
    fputs(number, to);
    break;
  case RT_KEY_TYPE_BOOL:
    fputs(value->whole != 0 ? "true" : "false", to);
    break;
  case RT_KEY_TYPE_CHOICE:
  case RT_KEY_TYPE_LENGTH:
    // only letters, digits, blanks and "%", which need no quotes
    fputs(value->text, to);
    break;
  case RT_KEY_TYPE_TEXT:
    print_quoted(value->text, to);
    break;
  case RT_KEY_TYPE_TEXTS:
  case RT_KEY_TYPE_REALS:
    fputc('[', to);
    for (int i = 0; i < value->n; i++) {
      fputs(i > 0 ? ", " : "", to);
      if (type == RT_KEY_TYPE_TEXTS) {
        print_quoted(value->texts[i], to);
      } else {
        rt_deck_real_text(value->reals[i], number);
        fputs(number, to);
      }
    }
    fputc(']', to);
    break;
  }
}

/** Length of "train" in "train.lr". */
static size_t section_length(const char *path)
{
  return strcspn(path, ".");
}

static bool is_of_section(rt_key key, const char *section)
{
  const char *path = rt_key_path(key);
  const size_t n = section_length(path);
  return strlen(section) == n && memcmp(path, section, n) == 0;
}

static void print_source(const rt_deck *deck, const rt_deck_value *value,
                         FILE *to)
{
  if (value->source == RT_FROM_DEFAULT)
    fputs("default", to);
  else if (value->source == RT_FROM_COMMAND_LINE)
    fputs("command line", to);
  else {
    // print any name on one line
    for (const char *p = deck->name; *p != '\0'; p++)
      fputc(*p >= 0x20 && *p < 0x7f ? *p : '?', to);
    fprintf(to, ":%d", value->line);
  }
}

/** Print "  key: value", then blanks up to the column of comments. */
static rt_err print_pair(rt_key key, const rt_deck_value *value, FILE *to)
{
  char *text = NULL;
  size_t n = 0;
  FILE *memory = open_memstream(&text, &n);
  RT_CHECK(memory != NULL, RT_ERR_MEM, "no memory to print a deck");
  rt_deck_value_print(key, value, memory);
  const bool failed = ferror(memory) != 0;
  if (fclose(memory) != 0 || failed) {
    free(text);
    return RT_FAIL(RT_ERR_MEM, "no memory to print a deck");
  }
  const char *path = rt_key_path(key);
  const int used =
      fprintf(to, "  %s: %s", path + section_length(path) + 1, text);
  free(text);
  fprintf(to, "%*s# ", used < 38 ? 40 - used : 2, "");
  return RT_OK;
}

/** A copy of a path, or of a list of them, joined to \a folder.  The caller
 *  clears it, also after an error. */
static rt_err copy_from(const rt_deck_value *value, rt_key key,
                        const char *folder, rt_deck_value *out)
{
  *out = (rt_deck_value){.source = value->source, .line = value->line};
  if (value->text != NULL) {
    out->text = strdup(value->text);
    RT_CHECK(out->text != NULL, RT_ERR_MEM, "no memory for a path");
    RT_TRY(rt_deck_path_join(folder, key, &out->text));
  }
  out->texts = calloc((size_t)value->n + 1, sizeof *out->texts);
  RT_CHECK(out->texts != NULL, RT_ERR_MEM, "a list of %d paths", value->n);
  for (int i = 0; value->texts != NULL && i < value->n; i++) {
    out->texts[i] = strdup(value->texts[i]);
    RT_CHECK(out->texts[i] != NULL, RT_ERR_MEM, "no memory for a path");
    out->n++;
    RT_TRY(rt_deck_path_join(folder, key, &out->texts[i]));
  }
  return RT_OK;
}

/** One line; paths as seen from \a folder. */
static rt_err print_line(const rt_deck *deck, rt_key key, const char *folder,
                         FILE *to)
{
  const rt_deck_value *const value = &deck->values[key];
  rt_deck_value copy = {0};
  const bool joins = folder[0] != '\0' && rt_key_is_path(key);
  rt_err err = joins ? copy_from(value, key, folder, &copy) : RT_OK;
  if (err == RT_OK)
    err = print_pair(key, joins ? &copy : value, to);
  rt_deck_value_clear(&copy);
  RT_TRY(err);
  print_source(deck, value, to);
  fputc('\n', to);
  return RT_OK;
}

static rt_err print_deck(const rt_deck *deck, const char *folder, FILE *to)
{
  const char *section;
  for (int i = 0; (section = rt_deck_section(i, NULL)) != NULL; i++) {
    fprintf(to, "%s%s:\n", i > 0 ? "\n" : "", section);
    for (int k = 0; k < RT_N_KEYS; k++) {
      if (!is_of_section((rt_key)k, section))
        continue;
      RT_TRY(print_line(deck, (rt_key)k, folder, to));
    }
  }
  RT_CHECK(ferror(to) == 0, RT_ERR_IO, "cannot write the resolved deck");
  return RT_OK;
}

/** The working directory, in front of relative paths. */
static rt_err find_here(char here[RT_PATH_MAX])
{
  RT_CHECK(getcwd(here, RT_PATH_MAX) != NULL, RT_ERR_IO,
           "cannot tell the working directory: %s", strerror(errno));
  return RT_OK;
}

rt_err rt_deck_print(const rt_deck *deck, FILE *to)
{
  char here[RT_PATH_MAX];
  RT_TRY(find_here(here));
  return print_deck(deck, here, to);
}

static rt_err to_text(const rt_deck *deck, const char *folder, char **text)
{
  *text = NULL;
  size_t n = 0;
  FILE *memory = open_memstream(text, &n);
  RT_CHECK(memory != NULL, RT_ERR_MEM, "no memory to print a deck");
  const rt_err err = print_deck(deck, folder, memory);
  const bool failed = fclose(memory) != 0;
  if (err != RT_OK || failed) {
    free(*text);
    *text = NULL;
    RT_TRY(err);
    return RT_FAIL(RT_ERR_MEM, "no memory to print a deck");
  }
  return RT_OK;
}

rt_err rt_deck_to_text(const rt_deck *deck, char **text)
{
  return to_text(deck, "", text);
}

rt_err rt_deck_to_file_text(const rt_deck *deck, char **text)
{
  char here[RT_PATH_MAX];
  *text = NULL;
  RT_TRY(find_here(here));
  return to_text(deck, here, text);
}

/** Describe the range "range 1 to 8 rows", or the choices, or the unit. */
static void describe_limits(rt_key key, char *out, size_t n)
{
  const rt_key_row *row = rt_key_row_of(key);
  if (row->choices[0] == '\0') {
    rt_key_range(key, out, n);
    return;
  }
  size_t used = 0;
  for (const char *p = row->choices; *p != '\0' && used < n;) {
    const size_t length = strcspn(p, " ");
    used += (size_t)snprintf(out + used, n - used, "%s%.*s",
                             used > 0 ? ", " : "", (int)length, p);
    p += length;
    p += strspn(p, " ");
  }
}

static void print_markdown_row(const rt_deck *deck, rt_key key, FILE *to)
{
  const rt_key_row *row = rt_key_row_of(key);
  static const char *const restart[] = {[RT_KEY_KEPT] = "kept",
                                        [RT_KEY_FREE] = "free",
                                        [RT_KEY_CONTENT] = "content"};
  char limits[160];
  describe_limits(key, limits, sizeof limits);
  fprintf(to, "| `%s` | %s | `", row->path, rt_key_type_name(row->type));
  rt_deck_value_print(key, &deck->values[key], to);
  fprintf(to, "` | %s | %s | %s |\n", limits, restart[row->restart], row->help);
}

static rt_err print_yaml_row(const rt_deck *deck, rt_key key, FILE *to)
{
  const rt_key_row *row = rt_key_row_of(key);
  char limits[160];
  describe_limits(key, limits, sizeof limits);
  RT_TRY(print_pair(key, &deck->values[key], to));
  fprintf(to, "%s%s%s%s\n", row->help, limits[0] != '\0' ? " (" : "", limits,
          limits[0] != '\0' ? ")" : "");
  return RT_OK;
}

static void print_help_row(const rt_deck *deck, rt_key key, FILE *to)
{
  const rt_key_row *row = rt_key_row_of(key);
  char limits[160];
  describe_limits(key, limits, sizeof limits);
  fprintf(to, "  %s=", row->path);
  rt_deck_value_print(key, &deck->values[key], to);
  fprintf(to, "  (%s%s%s)\n      %s\n", rt_key_type_name(row->type),
          limits[0] != '\0' ? ", " : "", limits, row->help);
}

typedef enum document_kind { MARKDOWN, YAML, HELP } document_kind;

static void print_section_head(document_kind kind, const char *section,
                               const char *help, FILE *to)
{
  if (kind == MARKDOWN)
    fprintf(
        to,
        "\n## %s\n\n%s.\n\n| key | type | default | limits | restart | what |\n"
        "|---|---|---|---|---|---|\n",
        section, help);
  else if (kind == YAML)
    fprintf(to, "\n# %s\n%s:\n", help, section);
  else
    fprintf(to, "\n%s: %s\n", section, help);
}

static void print_preamble(document_kind kind, FILE *to)
{
  if (kind == MARKDOWN)
    fputs("# Deck keys\n\n"
          "Generated from `src/deck/deck_keys.h` by `make docs`; do not edit."
          "\n\n"
          "A deck is YAML; any key can be given on the command line too, as\n"
          "`section.key=value`, which wins.  Lists are `[a, b]`, on the "
          "command line also\n"
          "`a,b`.  Numbers are plain: `1000`, `6e-4`, and `3e6` where a whole "
          "number is\n"
          "expected.  A length is a number of steps, or of tokens (`3e6 "
          "tokens`, rounded\n"
          "up to whole steps), or a share of the run (`10 %`), or where it "
          "says so a time\n"
          "(`90 s`, `30 min`, `2 h`, `1 d`, or as Slurm writes it: "
          "`04:00:00`, `1-12:00:00`);\n"
          "so are numbers of seconds.  Paths in a deck are relative to the "
          "deck's folder, on the\n"
          "command line to the working directory.\n\n"
          "`restart`: when a run is resumed from a checkpoint, `free` keys may "
          "have other values,\n"
          "as the model is the same up to rounding.  `kept` keys must not "
          "change, unless\n"
          "`checkpoint.allow_change` names them; of `content` keys, the path "
          "may change, but not\n"
          "what the files contain.\n",
          to);
  else if (kind == YAML)
    fputs("# Every deck key with its default.  Generated from\n"
          "# src/deck/deck_keys.h by `make docs`; do not edit.\n",
          to);
}

static rt_err document(document_kind kind, const rt_deck *deck, FILE *to)
{
  const char *section, *help;
  print_preamble(kind, to);
  for (int i = 0; (section = rt_deck_section(i, &help)) != NULL; i++) {
    print_section_head(kind, section, help, to);
    for (int k = 0; k < RT_N_KEYS; k++) {
      if (!is_of_section((rt_key)k, section))
        continue;
      if (kind == MARKDOWN)
        print_markdown_row(deck, (rt_key)k, to);
      else if (kind == YAML)
        RT_TRY(print_yaml_row(deck, (rt_key)k, to));
      else
        print_help_row(deck, (rt_key)k, to);
    }
  }
  RT_CHECK(ferror(to) == 0, RT_ERR_IO, "cannot write the list of deck keys");
  return RT_OK;
}

rt_err rt_deck_document(const char *kind, FILE *to)
{
  static const char *const kinds[] = {"markdown", "yaml", "help"};
  int found = 0;
  while (found < 3 && strcmp(kinds[found], kind) != 0)
    found++;
  RT_CHECK(found < 3, RT_ERR_USAGE,
           "kind of document: got \"%s\", expected markdown, yaml or help",
           kind);
  rt_deck *deck;
  RT_TRY(rt_deck_read(NULL, 0, NULL, &deck));
  const rt_err err = document((document_kind)found, deck, to);
  rt_deck_destroy(&deck);
  RT_TRY(err);
  return RT_OK;
}
