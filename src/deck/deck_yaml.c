/** \file deck_yaml.c
 *  YAML text to a flat list of (path, scalars, place).  The only user of
 *  libyaml: its events, because they carry line and column.
 *
 *  A deck is plain data: anchors, aliases, tags and further documents are
 *  refused, so that a deck means what it shows and cannot grow when read. */
#include "deck/deck_parts.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 8, MAX_LIST = 4096, MAX_PATH = 200 };

typedef struct reader {
  yaml_parser_t parser; // owned
  yaml_event_t event;   // the current one, owned
  const char *text;     // borrowed
  size_t n;
  rt_deck_issues *issues; // borrowed
  rt_deck_items *items;   // borrowed
  bool stopped;           /**< nothing sensible can follow */
} reader;

static rt_place place_of(yaml_mark_t mark)
{
  return (rt_place){.line = (int)mark.line + 1, .column = (int)mark.column + 1};
}

/** libyaml gives only an offset for bytes that it cannot decode. */
static rt_place place_at(const char *text, size_t offset)
{
  rt_place place = {1, 1};
  for (size_t i = 0; i < offset; i++) {
    if (text[i] == '\n')
      place = (rt_place){place.line + 1, 1};
    else if (((unsigned char)text[i] & 0xc0) != 0x80) // one per character
      place.column++;
  }
  return place;
}

static rt_err note_syntax_error(reader *r)
{
  const yaml_parser_t *p = &r->parser;
  r->stopped = true;
  RT_CHECK(p->error != YAML_MEMORY_ERROR, RT_ERR_MEM,
           "no memory to read a deck of %zu bytes", r->n);
  if (p->error == YAML_READER_ERROR) {
    const size_t at = p->problem_offset < r->n ? p->problem_offset : r->n;
    rt_deck_issue(r->issues, place_at(r->text, at),
                  "not text: %s; a deck is UTF-8", p->problem);
    return RT_OK;
  }
  const size_t at = p->problem_mark.index; // in characters, exact for ASCII
  const bool tab = at < r->n && r->text[at] == '\t';
  char context[160] = "";
  if (p->context != NULL)
    snprintf(context, sizeof context, "%s (from line %d), ", p->context,
             (int)p->context_mark.line + 1);
  rt_deck_issue(r->issues, place_of(p->problem_mark), "not YAML: %s%s%s",
                context, p->problem != NULL ? p->problem : "unknown problem",
                tab ? " (a tab; indent with spaces)" : "");
  return RT_OK;
}

/** Go to the next event; on a syntax error the reader stops. */
static rt_err next(reader *r)
{
  yaml_event_delete(&r->event);
  if (yaml_parser_parse(&r->parser, &r->event) == 0)
    RT_TRY(note_syntax_error(r));
  return RT_OK;
}

/** Anchors and tags of the current event are refused, one message each. */
static void refuse_extras(reader *r)
{
  const yaml_event_t *e = &r->event;
  const yaml_char_t *anchor = NULL, *tag = NULL;
  if (e->type == YAML_SCALAR_EVENT) {
    anchor = e->data.scalar.anchor;
    tag = e->data.scalar.tag;
  } else if (e->type == YAML_SEQUENCE_START_EVENT) {
    anchor = e->data.sequence_start.anchor;
    tag = e->data.sequence_start.tag;
  } else if (e->type == YAML_MAPPING_START_EVENT) {
    anchor = e->data.mapping_start.anchor;
    tag = e->data.mapping_start.tag;
  } else if (e->type == YAML_ALIAS_EVENT) {
    anchor = e->data.alias.anchor;
  }
  char quoted[RT_QUOTE_BYTES];
  const rt_place place = place_of(e->start_mark);
  if (anchor != NULL)
    rt_deck_issue(r->issues, place,
                  "got the %s %s, expected plain values; write the value out",
                  e->type == YAML_ALIAS_EVENT ? "alias" : "anchor",
                  rt_deck_quote(quoted, (const char *)anchor));
  if (tag != NULL)
    rt_deck_issue(r->issues, place,
                  "got the tag %s, expected plain values; remove the tag",
                  rt_deck_quote(quoted, (const char *)tag));
}

/** libyaml takes quadratic time in the depth: go no deeper. */
static void refuse_depth(reader *r)
{
  rt_deck_issue(r->issues, place_of(r->event.start_mark),
                "got sections or lists nested more than %d deep, expected "
                "section.key",
                MAX_DEPTH);
  r->stopped = true;
}

/** Pass over the node that begins at the current event. */
static rt_err skip_node(reader *r)
{
  int depth = 0;
  do {
    refuse_extras(r);
    const yaml_event_type_t type = r->event.type;
    depth +=
        type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
    depth -= type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT;
    if (depth > MAX_DEPTH)
      refuse_depth(r);
    else
      RT_TRY(next(r));
  } while (depth > 0 && !r->stopped);
  return RT_OK;
}

/** Copy the current scalar event to the end of \a item and pass over it. */
static rt_err take_scalar(reader *r, rt_deck_item *item)
{
  const yaml_event_t *e = &r->event;
  const char *value = (const char *)e->data.scalar.value;
  refuse_extras(r);
  if (strlen(value) != e->data.scalar.length)
    rt_deck_issue(r->issues, place_of(e->start_mark),
                  "got a text with a NUL character, expected none");
  rt_deck_scalar *more =
      realloc(item->scalars, ((size_t)item->n + 1) * sizeof *item->scalars);
  RT_CHECK(more != NULL, RT_ERR_MEM, "a deck list of %d values", item->n + 1);
  item->scalars = more;
  char *copy = strdup(value);
  RT_CHECK(copy != NULL, RT_ERR_MEM, "a deck value of %zu bytes",
           e->data.scalar.length);
  item->scalars[item->n++] = (rt_deck_scalar){.text = copy,
                                              .quoted = e->data.scalar.style !=
                                                        YAML_PLAIN_SCALAR_STYLE,
                                              .place = place_of(e->start_mark)};
  return next(r);
}

static rt_err take_list(reader *r, rt_deck_item *item)
{
  refuse_extras(r);
  const rt_place place = place_of(r->event.start_mark);
  RT_TRY(next(r));
  while (!r->stopped && r->event.type != YAML_SEQUENCE_END_EVENT) {
    if (item->n == MAX_LIST) {
      rt_deck_issue(r->issues, place, "%s: got more than %d values in a list",
                    item->path, MAX_LIST);
      r->stopped = true;
    } else if (r->event.type == YAML_SCALAR_EVENT) {
      RT_TRY(take_scalar(r, item));
    } else {
      if (r->event.type != YAML_ALIAS_EVENT) // skip_node reports it
        rt_deck_issue(r->issues, place_of(r->event.start_mark),
                      "%s: got a list or section inside a list, expected "
                      "single values",
                      item->path);
      RT_TRY(skip_node(r));
    }
  }
  return r->stopped ? RT_OK : next(r);
}

/** Append an item without scalars; \a out stays valid until the next one. */
static rt_err add_item(rt_deck_items *items, const char *path,
                       rt_item_kind kind, rt_place place, rt_deck_item **out)
{
  if (items->n == items->capacity) {
    const int capacity = items->capacity == 0 ? 64 : 2 * items->capacity;
    rt_deck_item *more =
        realloc(items->at, (size_t)capacity * sizeof *items->at);
    RT_CHECK(more != NULL, RT_ERR_MEM, "a deck of %d keys", capacity);
    items->at = more;
    items->capacity = capacity;
  }
  char *copy = strdup(path);
  RT_CHECK(copy != NULL, RT_ERR_MEM, "a deck key of %zu bytes", strlen(path));
  *out = &items->at[items->n++];
  **out = (rt_deck_item){.path = copy, .kind = kind, .place = place};
  return RT_OK;
}

static rt_err read_mapping(reader *r, const char *prefix, rt_place place,
                           int depth);

/** Read the value of \a path, whose key is at \a place. */
static rt_err read_node(reader *r, const char *path, rt_place place, int depth)
{
  rt_deck_item *item;
  switch (r->event.type) {
  case YAML_SCALAR_EVENT:
    RT_TRY(add_item(r->items, path, RT_ITEM_SCALAR, place, &item));
    return take_scalar(r, item);
  case YAML_SEQUENCE_START_EVENT:
    RT_TRY(add_item(r->items, path, RT_ITEM_LIST, place, &item));
    return take_list(r, item);
  case YAML_MAPPING_START_EVENT:
    if (depth < MAX_DEPTH)
      return read_mapping(r, path, place, depth + 1);
    refuse_depth(r);
    return RT_OK;
  default:
    return skip_node(r); // an alias
  }
}

/** Read "key: value" at the current event, the key. */
static rt_err read_pair(reader *r, const char *prefix, int depth)
{
  char path[MAX_PATH];
  const rt_place place = place_of(r->event.start_mark);
  bool fits = false;
  if (r->event.type == YAML_SCALAR_EVENT) {
    refuse_extras(r);
    const int used = snprintf(path, sizeof path, "%s%s%s", prefix,
                              prefix[0] != '\0' ? "." : "",
                              (const char *)r->event.data.scalar.value);
    fits = used >= 0 && used < MAX_PATH &&
           strlen((const char *)r->event.data.scalar.value) ==
               r->event.data.scalar.length;
    RT_TRY(next(r));
  } else {
    RT_TRY(skip_node(r));
  }
  if (r->stopped)
    return RT_OK;
  if (fits)
    return read_node(r, path, place, depth);
  rt_deck_issue(r->issues, place,
                "got a key that is not a word of fewer than "
                "%d bytes, expected section.key",
                MAX_PATH);
  return skip_node(r);
}

/** Read the pairs of the mapping that begins at the current event. */
static rt_err read_mapping(reader *r, const char *prefix, rt_place place,
                           int depth)
{
  refuse_extras(r);
  RT_TRY(next(r));
  rt_deck_item *item;
  if (!r->stopped && r->event.type == YAML_MAPPING_END_EVENT &&
      prefix[0] != '\0')
    RT_TRY(add_item(r->items, prefix, RT_ITEM_SECTION, place, &item));
  while (!r->stopped && r->event.type != YAML_MAPPING_END_EVENT)
    RT_TRY(read_pair(r, prefix, depth));
  return r->stopped ? RT_OK : next(r);
}

/** The node of the document: a mapping, or nothing at all. */
static rt_err read_root(reader *r)
{
  const yaml_event_t *e = &r->event;
  const rt_place place = place_of(e->start_mark);
  if (e->type == YAML_MAPPING_START_EVENT)
    return read_mapping(r, "", place, 1);
  if (e->type != YAML_SCALAR_EVENT || e->data.scalar.length > 0)
    rt_deck_issue(r->issues, place,
                  "got a single value or a list, expected \"section:\" lines "
                  "with \"key: value\" lines below");
  return skip_node(r);
}

static rt_err read_stream(reader *r)
{
  RT_TRY(next(r)); // the stream's start
  if (!r->stopped)
    RT_TRY(next(r)); // the document's start
  if (r->stopped || r->event.type == YAML_STREAM_END_EVENT)
    return RT_OK;
  RT_TRY(next(r));
  if (!r->stopped)
    RT_TRY(read_root(r));
  if (!r->stopped)
    RT_TRY(next(r)); // past the document's end
  if (!r->stopped && r->event.type != YAML_STREAM_END_EVENT)
    rt_deck_issue(r->issues, place_of(r->event.start_mark),
                  "got a second document, expected one; remove the \"---\"");
  return RT_OK;
}

rt_err rt_deck_yaml_read(const char *text, size_t n, rt_deck_issues *issues,
                         rt_deck_items *items)
{
  static const char bom[] = "\xef\xbb\xbf";
  if (n >= 3 && memcmp(text, bom, 3) == 0) {
    text += 3;
    n -= 3;
  }
  reader r = {.text = text, .n = n, .issues = issues, .items = items};
  RT_CHECK(yaml_parser_initialize(&r.parser) != 0, RT_ERR_MEM,
           "no memory for a YAML parser");
  yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
  const rt_err err = read_stream(&r);
  yaml_event_delete(&r.event);
  yaml_parser_delete(&r.parser);
  RT_TRY(err);
  return RT_OK;
}

void rt_deck_item_clear(rt_deck_item *item)
{
  for (int i = 0; i < item->n; i++)
    free(item->scalars[i].text);
  free(item->scalars);
  free(item->path);
  *item = (rt_deck_item){0};
}

void rt_deck_items_clear(rt_deck_items *items)
{
  for (int i = 0; i < items->n; i++)
    rt_deck_item_clear(&items->at[i]);
  free(items->at);
  *items = (rt_deck_items){0};
}
