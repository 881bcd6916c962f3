/** \file work.c
 *  From a deck to a running job and back: what train, capture, eval and plan
 *  have in common. */
#include "app/app.h"

#include "app/watchdog.h"
#include "base/file.h"
#include "base/log.h"
#include "io/lock.h"
#include <stdlib.h>

enum { MOST_DECK = 1 << 20 };

/** Text of the deck's file on every rank; rank 0 reads.  The caller frees. */
static rt_err share_text(const rt_comm *world, const char *path, char **text)
{
  size_t n = 0;
  rt_err err = RT_OK;
  *text = NULL;
  if (rt_comm_rank(world) == 0)
    err = rt_file_slurp(path, MOST_DECK, text, &n);
  RT_TRY(rt_agree(world, err));
  RT_TRY(rt_comm_bcast(world, &n, sizeof n, 0));
  if (*text == NULL)
    *text = calloc(n + 1, 1);
  RT_TRY(
      rt_agree(world, *text != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "%s", path)));
  return rt_comm_bcast(world, *text, n, 0);
}

rt_err rt_app_deck(const rt_comm *world, const rt_cli *cli, int i_word,
                   rt_deck **deck, bool *done)
{
  char *text = NULL;
  rt_err err = RT_OK;
  *done = false;
  if (cli->n_words > i_word)
    err = share_text(world, cli->words[i_word], &text);
  if (err == RT_OK)
    err = rt_deck_parse(text != NULL ? cli->words[i_word] : "defaults",
                        text != NULL ? text : "", cli->n_overrides,
                        cli->overrides, deck);
  free(text);
  if (err == RT_OK && cli->print_config) {
    *done = true;
    if (rt_comm_rank(world) == 0)
      err = rt_deck_print(*deck, stdout);
  }
  return err;
}

/** What a run holds in its output folder. */
typedef struct folder {
  const char *path; // borrowed; "" for none
  rt_lock *lock;    // owned by rank 0
  bool watched;     // the heartbeat file is ours to remove
} folder;

static rt_err open_folder(const rt_comm *world, const rt_deck *deck, bool locks,
                          folder *f)
{
  const int rank = rt_comm_rank(world);
  char beats[RT_PATH_MAX] = "";
  rt_err err = RT_OK;
  if (f->path[0] != '\0' && rank == 0) {
    err = rt_folder_create(f->path);
    if (err == RT_OK && locks)
      err = rt_lock_take(f->path, &f->lock);
  }
  RT_TRY(rt_agree(world, err));
  if (f->path[0] != '\0')
    RT_TRY(rt_path_join(beats, f->path, "heartbeat"));
  return rt_agree(world,
                  rt_watchdog_start(beats, rank, rt_comm_size(world),
                                    rt_deck_real(deck, RT_KEY_RUN_WATCHDOG_S)));
}

static void close_folder(folder *f)
{
  char beats[RT_PATH_MAX];
  rt_watchdog_stop();
  if (f->watched && rt_path_join(beats, f->path, "heartbeat") == RT_OK &&
      rt_path_remove(beats) != RT_OK)
    rt_warn("%s", rt_err_text());
  rt_lock_release(&f->lock);
}

static rt_err run_job(const rt_comm *world, const rt_deck *deck,
                      const rt_cli *cli, const rt_work *work)
{
  rt_job job = {0};
  rt_err err =
      rt_job_init(&job, deck, world, rt_app_hooks(), work->needs(deck));
  folder f = {.path = work->folder(deck)};
  if (err == RT_OK)
    err = open_folder(world, deck, work->locks, &f);
  f.watched = err == RT_OK && f.path[0] != '\0' && rt_comm_rank(world) == 0;
  if (err == RT_OK)
    err = rt_app_banner(&job, cli->verb);
  if (err == RT_OK)
    err = work->run(&job);
  close_folder(&f);
  rt_job_clear(&job);
  return err;
}

rt_err rt_app_work(const rt_comm *world, const rt_cli *cli, int i_word,
                   const rt_work *work)
{
  rt_deck *deck = NULL;
  bool done;
  rt_err err = rt_app_deck(world, cli, i_word, &deck, &done);
  rt_app_catch_signals();
  if (err == RT_OK && !done)
    err = run_job(world, deck, cli, work);
  rt_deck_destroy(&deck);
  return err;
}
