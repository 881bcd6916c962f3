/** \file err.c
 *  The thread-local error record. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
  char text[16384]; // a faulty deck produces up to 50 lines at once
  char trace[1024];
  uint64_t group; // group of ranks that know this error; 0: none
  rt_err_origin origin;
} record, kept;

#define ERROR_CODE(name, code, text) [name] = (code),
static const int exit_codes[] = {RT_ERROR_LIST(ERROR_CODE)};
#define ERROR_TEXT(name, code, text) [name] = (text),
static const char *const meanings[] = {RT_ERROR_LIST(ERROR_TEXT)};

int rt_err_exit_code(rt_err err)
{
  return exit_codes[err];
}

const char *rt_err_meaning(rt_err err)
{
  return meanings[err];
}

// in parentheses, because err.h defines macros of these names for the analyzer
rt_err(rt_err_set)(rt_err err, const char *file, int line, const char *fmt, ...)
{
  char text[sizeof record.text]; // a separate buffer: an argument may point
                                 // into the old record
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  memcpy(record.text, text, sizeof text);
  snprintf(record.trace, sizeof record.trace, "%s:%d", file, line);
  rt_err_shared(0, RT_ERR_MINE);
  return err;
}

rt_err(rt_err_forward)(rt_err err, const char *file, int line)
{
  const size_t used = strlen(record.trace);
  snprintf(record.trace + used, sizeof record.trace - used, " < %s:%d", file,
           line);
  return err;
}

rt_err(rt_err_add)(rt_err err, const char *fmt, ...)
{
  const size_t used = strlen(record.text);
  va_list args;
  va_start(args, fmt);
  vsnprintf(record.text + used, sizeof record.text - used, fmt, args);
  va_end(args);
  return err;
}

const char *rt_err_text(void)
{
  return record.text;
}

const char *rt_err_trace(void)
{
  return record.trace;
}

void rt_err_shared(uint64_t group, rt_err_origin origin)
{
  record.group = group;
  record.origin = origin;
}

uint64_t rt_err_shared_by(void)
{
  return record.group;
}

bool rt_err_is_mine(void)
{
  return record.origin == RT_ERR_MINE;
}

void rt_err_keep(void)
{
  kept = record;
}

rt_err rt_err_restore(rt_err err)
{
  record = kept;
  return err;
}

void rt_err_clear(void)
{
  rt_err_shared(0, RT_ERR_MINE);
  record.text[0] = record.trace[0] = '\0';
}
