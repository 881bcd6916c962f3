/** \file err.h
 *  Errors: one list, one thread-local record, three macros.
 *
 *  Layer: base.  A function that can fail returns rt_err and is RT_MUST.
 *  RT_ASSERT: our own bug (debug builds).  RT_CHECK: the outside world, always
 *  on; its text says what, where, got, expected, remedy.  RT_TRY: forwards a
 *  callee's error and adds this file and line to the trace. */
#ifndef RT_ERR_H
#define RT_ERR_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/** X(name, process exit code, meaning).  Exit codes follow sysexits.h, plus 75,
 *  76, 85 and 86 (README "Exit codes"). */
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

/** Record an error of this thread, replacing the last one. Returns \a err. */
rt_err rt_err_set(rt_err err, const char *file, int line, const char *fmt, ...)
    RT_PRINTF(4, 5);

/** Add one "file:line" to the trace of this thread's error.  Returns \a err. */
rt_err rt_err_forward(rt_err err, const char *file, int line);

/** Text of this thread's last error; "" when none.  Valid until the next. */
const char *rt_err_text(void);
/** Where it passed, "file:line < file:line < ...". */
const char *rt_err_trace(void);
/** Forget this thread's error. */
void rt_err_clear(void);

/** This thread's error is known to a group of ranks (ranks/agree.h); \a mine:
 * it is this rank's own.  A new error is known to nobody, which is group 0. */
void rt_err_shared(uint64_t group, bool mine);
uint64_t rt_err_shared_by(void);
/** Keep this thread's error as it is, with who knows it, over calls that may
 *  record another; and have it back: returns \a err.  One at a time. */
void rt_err_keep(void);
rt_err rt_err_restore(rt_err err);
/** Did it happen on this rank? */
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

#ifdef __clang_analyzer__ // it cannot see that these return what they are given
#define rt_err_set(err, ...) ((rt_err_set)((err), __VA_ARGS__), (err))
#define rt_err_forward(err, ...) ((rt_err_forward)((err), __VA_ARGS__), (err))
#endif

#endif
