/** \file app.c
 *  Steps common to several verbs. */
#include "app/app.h"

#include "app/banner.h"
#include "app/watchdog.h"
#include "base/file.h"
#include "base/log.h"
#include "io/common/digest_cache.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DECK_BYTES = 1 << 20 };

static rt_err read_text(const char *path, char **text, size_t *n)
{
  *n = 0;
  if (path[0] == '\0')
    return RT_OK;
  RT_TRY(rt_file_slurp_pipe(path, MAX_DECK_BYTES, text, n));
  RT_CHECK(memchr(*text, '\0', *n) == NULL, RT_ERR_CONFIG,
           "%s: not a deck, it contains a zero byte", path);
  return RT_OK;
}

/** Broadcast the text of rank 0's file; NULL without a file. */
static rt_err share_text(const rt_comm *world, const char *path, char **text)
{
  const bool reads = rt_comm_rank(world) == 0;
  size_t n = 0;
  RT_TRY(rt_agree(world, reads ? read_text(path, text, &n) : RT_OK));
  RT_TRY(rt_comm_bcast(world, &n, sizeof n, 0));
  rt_err err = RT_OK;
  if (*text == NULL && (*text = calloc(n + 1, 1)) == NULL)
    err = RT_FAIL(RT_ERR_MEM, "a deck of %zu bytes", n);
  RT_TRY(rt_agree(world, err));
  return n > 0 ? rt_comm_bcast(world, *text, n, 0) : RT_OK;
}

/** Give an environment variable the value (or absence) that it has on rank 0.
 */
static rt_err share_variable(const rt_comm *world, const char *name)
{
  const char *const mine = getenv(name);
  char value[RT_PATH_MAX] = "";
  int set = mine != NULL;
  const int n = snprintf(value, sizeof value, "%s", set ? mine : "");
  RT_TRY(rt_comm_bcast(world, &set, sizeof set, 0));
  RT_TRY(rt_comm_bcast(world, value, sizeof value, 0));
  rt_err err = RT_OK;
  if (rt_comm_rank(world) == 0 && n >= RT_PATH_MAX)
    err = RT_FAIL(RT_ERR_CONFIG,
                  "the variable %s has %d bytes, expected fewer than %d", name,
                  n, RT_PATH_MAX);
  if (rt_comm_rank(world) != 0 &&
      (set ? setenv(name, value, 1) : unsetenv(name)) != 0)
    err = RT_FAIL(RT_ERR_MEM, "the variable %s", name);
  return rt_agree(world, err);
}

/** Do so for all variables used in \a text, as not every launcher forwards the
 *  environment. */
static rt_err share_variables(const rt_comm *world, const char *text)
{
  char name[128];
  for (const char *p = text; (p = strstr(p, "${")) != NULL;) {
    p += 2;
    const size_t n = strcspn(p, "} \n");
    if (p[n] != '}' || n == 0 || n >= sizeof name || memchr(p, '=', n) != NULL)
      continue;
    memcpy(name, p, n);
    name[n] = '\0';
    RT_TRY(share_variable(world, name));
  }
  return RT_OK;
}

rt_err rt_app_read_deck(const rt_comm *world, const rt_cli *cli,
                        const char *path, rt_deck **out)
{
  char *text = NULL;
  *out = NULL;
  rt_err err = share_text(world, path, &text);
  if (err == RT_OK)
    err = share_variable(world, "HOME");
  if (err == RT_OK)
    err = share_variables(world, text);
  for (int i = 0; err == RT_OK && i < cli->n_overrides; i++)
    err = share_variables(world, cli->overrides[i]);
  if (err == RT_OK)
    err = rt_agree(world, path[0] != '\0'
                              ? rt_deck_parse_file(path, text, cli->n_overrides,
                                                   cli->overrides, out)
                              : rt_deck_parse("no deck", text, cli->n_overrides,
                                              cli->overrides, out));
  free(text);
  if (err == RT_OK)
    rt_watchdog_limit(rt_deck_real(*out, RT_KEY_RUN_WATCHDOG_S));
  return err;
}

/** Whatever is wrong with the cache of hashes, a run goes on without. */
static void tell_cache(const rt_comm *world)
{
  if (rt_comm_rank(world) != 0 || rt_digest_cache_check() == RT_OK)
    return;
  rt_warn("nothing is cached: %s.  Every start hashes its inputs and measures "
          "the peak again; make the folder yours, or set XDG_CACHE_HOME to "
          "another one",
          rt_err_text());
  rt_err_clear();
}

rt_err rt_app_start_job(const rt_app *app, int needs, const char *folder,
                        rt_job *job)
{
  *job = (rt_job){0};
  tell_cache(app->world);
  RT_TRY(rt_watchdog_start(app->world, folder,
                           rt_deck_real(app->deck, RT_KEY_RUN_WATCHDOG_S),
                           &job->phases));
  RT_TRY(rt_job_init(job, app->deck, app->world, &app->hooks, needs));
  return rt_banner_print(job, app->cli->verb->name);
}

void rt_app_end_job(rt_job *job)
{
  rt_watchdog_stop();
  rt_job_clear(job);
}

int rt_app_needs_of_training(const rt_deck *deck)
{
  int needs = RT_NEED_STUDENT | RT_NEED_CORPUS;
  if (rt_deck_is(deck, RT_KEY_TEA_SOURCE, "live") ||
      rt_deck_bool(deck, RT_KEY_EVAL_TEACHER))
    needs |= RT_NEED_TEACHER;
  if (rt_deck_is(deck, RT_KEY_TEA_SOURCE, "dataset"))
    needs |= RT_NEED_DATASET;
  return needs;
}
