/** \file json.h
 *  Strict reading of JSON (duplicate keys, deep nesting and excess size are
 *  rejected), and helpers to write it.  Layer: io.
 *
 *  The only interface to jansson.  Values are borrowed from their document,
 *  which the root owns.  All functions accept NULL values as "absent". */
#ifndef RT_JSON_H
#define RT_JSON_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/** Maximum nesting of objects and arrays; files that retort reads have a few
 *  levels. */
#define RT_JSON_MAX_DEPTH 64

typedef struct rt_json rt_json; /**< a value; the root is owned by the caller */

typedef enum rt_json_kind {
  RT_JSON_ABSENT,
  RT_JSON_NULL,
  RT_JSON_BOOL,
  RT_JSON_INT,
  RT_JSON_REAL,
  RT_JSON_TEXT,
  RT_JSON_ARRAY,
  RT_JSON_OBJECT
} rt_json_kind;

/** Parse \a n bytes that contain one value.  RT_ERR_DATA as "name:line:column:
 *  what" for invalid syntax or UTF-8, a NUL in a text, numbers beyond int64 or
 *  double, duplicate keys, too deep nesting, or anything but blanks after the
 *  value.
 *  \param[out] out  the root; the caller frees it with rt_json_free */
RT_MUST rt_err rt_json_parse(const char *name, const char *text, size_t n,
                             rt_json **out);
/** The same for a file of at most \a max_bytes. */
RT_MUST rt_err rt_json_read(const char *path, size_t max_bytes, rt_json **out);
/** Free a root and all its values; sets it to NULL; NULL is accepted. */
void rt_json_free(rt_json **root);

rt_json_kind rt_json_kind_of(const rt_json *value);
/** Format a value as compact ASCII text of at most \a n - 1 >= 3 bytes for
 *  messages: "absent" for NULL, ending in "..." if truncated. */
void rt_json_show(const rt_json *value, char *to, size_t n);

/** Member of an object; NULL if absent or if \a object is not an object. */
const rt_json *rt_json_get(const rt_json *object, const char *key);
/** Number of elements of an array or members of an object; 0 for anything else.
 */
size_t rt_json_n(const rt_json *value);
/** Element of an array; NULL beyond its end. */
const rt_json *rt_json_at(const rt_json *array, size_t i);

/** An iterator over the members of an object, in the order of the text: start
 *  from {0} and continue while rt_json_next returns true. */
typedef struct rt_json_member {
  const char *key;      // borrowed
  const rt_json *value; // borrowed
  void *place;
} rt_json_member;
bool rt_json_next(const rt_json *object, rt_json_member *member);

/** Get the value if it has that type; otherwise return false (NULL) and leave
 *  \a to unchanged.  A real may be written as an integer, but not the reverse.
 */
bool rt_json_bool(const rt_json *value, bool *to);
bool rt_json_int(const rt_json *value, int64_t *to);
bool rt_json_real(const rt_json *value, double *to);
const char *rt_json_text(const rt_json *value);

/** Write a text with quotes and escapes, or a finite real such that it reads
 *  back exactly, always with a decimal point or an exponent. */
void rt_json_put_text(FILE *to, const char *text);
void rt_json_put_real(FILE *to, double value);

#endif
