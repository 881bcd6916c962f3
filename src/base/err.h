/** \file err.h
 *  Errors: one list of codes, one record per thread, three macros.
 *
 *  Layer: base.  Every function that can fail returns rt_err and is RT_MUST.
 *  RT_ASSERT checks for bugs in Retort (debug builds only).  RT_CHECK checks
 *  inputs and the environment and is always enabled; its text says what failed,
 *  where, what was found, what was expected, and the remedy.  RT_TRY forwards
 *  an error of a callee and adds this file and line to its trace. */
#ifndef RT_ERR_H
#define RT_ERR_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/** X(name, exit code of the process, meaning).  Exit codes follow sysexits.h,
 *  extended by 75, 76, 85 and 86 (README, "Exit codes"). */
#define RT_ERROR_LIST(X)                                                       \
  X(RT_OK, 0, "success")                                                       \
  X(RT_ERR_USAGE, 64, "wrong command line")                                    \
  X(RT_ERR_DATA, 65, "bad data in an input file")                              \
  X(RT_ERR_NOINPUT, 66, "an input is missing or unreadable")                   \
  X(RT_ERR_INTERNAL, 70, "a bug in retort")                                    \
  X(RT_ERR_MEM, 71, "not enough memory")                                       \
  X(RT_ERR_LOCKED, 73, "cannot create, or locked by another run")              \
  X(RT_ERR_IO, 74, "reading or writing failed")                                \
  X(RT_ERR_HANG, 75, "a rank hung")                                            \
  X(RT_ERR_NUMBER, 76, "NaN, Inf or a spike")                                  \
  X(RT_ERR_PERM, 77, "permission denied")                                      \
  X(RT_ERR_CONFIG, 78, "bad deck or model configuration")                      \
  X(RT_ERR_STOPPED, 85, "stopped early with a checkpoint: run again")          \
  X(RT_ERR_HALTED, 86, "stopped by the stop file, with a checkpoint")

#define RT_ERROR_ENUM(name, code, text) name,
typedef enum rt_err { RT_ERROR_LIST(RT_ERROR_ENUM) RT_N_ERR } rt_err;
#undef RT_ERROR_ENUM

#define RT_MUST __attribute__((warn_unused_result))
#define RT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/** Exit code of \a err, and its meaning in a few words. */
int rt_err_exit_code(rt_err err);
const char *rt_err_meaning(rt_err err);

/** Record an error for this thread, replacing the previous one.  Returns \a
 *  err. */
rt_err rt_err_set(rt_err err, const char *file, int line, const char *fmt, ...)
    RT_PRINTF(4, 5);

/** Append "file:line" to the trace of this thread's error.  Returns \a err. */
rt_err rt_err_forward(rt_err err, const char *file, int line);

/** Append to the text of this thread's error; the ranks that know it stay
 *  the same.  Returns \a err. */
rt_err rt_err_add(rt_err err, const char *fmt, ...) RT_PRINTF(2, 3);

/** Text of this thread's last error; "" if none.  Valid until the next error.
 */
const char *rt_err_text(void);
/** Its trace, "file:line < file:line < ...". */
const char *rt_err_trace(void);
/** Clear this thread's error. */
void rt_err_clear(void);

/** Where an error occurred. */
typedef enum rt_err_origin { RT_ERR_MINE, RT_ERR_OF_PEER } rt_err_origin;
/** Note that this thread's error is known to a group of ranks (ranks/agree.h).
 *  A new error is known to no other rank (group 0). */
void rt_err_shared(uint64_t group, rt_err_origin origin);
uint64_t rt_err_shared_by(void);
/** Save this thread's error, with the group that knows it, across calls that
 *  may record another one; and restore it, returning \a err.  Only one can be
 *  saved. */
void rt_err_keep(void);
rt_err rt_err_restore(rt_err err);
/** Did this thread's error occur on this rank? */
bool rt_err_is_mine(void);

#define RT_FAIL(code, ...) rt_err_set((code), __FILE__, __LINE__, __VA_ARGS__)

#define RT_CHECK(condition, code, ...)                                         \
  do {                                                                         \
    if (!(condition))                                                          \
      return RT_FAIL(code, __VA_ARGS__);                                       \
  } while (0)

#define RT_TRY(call)                                                           \
  do {                                                                         \
    const rt_err rt_try_err_ = (call);                                         \
    if (rt_try_err_ != RT_OK)                                                  \
      return rt_err_forward(rt_try_err_, __FILE__, __LINE__);                  \
  } while (0)

#define RT_ASSERT(condition) assert(condition)

#ifdef __clang_analyzer__ // the analyzer cannot see that these return their
                          // argument
#define rt_err_set(err, ...) ((rt_err_set)((err), __VA_ARGS__), (err))
#define rt_err_forward(err, ...) ((rt_err_forward)((err), __VA_ARGS__), (err))
#define rt_err_add(err, ...) ((rt_err_add)((err), __VA_ARGS__), (err))
#endif

#endif
