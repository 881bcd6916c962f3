/** \file main.c
 *  The program retort: read the command line, start MPI, run a verb, report the
 *  result. */
#include "app/app.h"
#include "app/banner.h"
#include "app/fatal.h"
#include "app/launcher.h"
#include "app/signals.h"
#include "app/watchdog.h"
#include "base/log.h"
#include "dev/device.h"
#include "io/common/h5_child.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/** Print the deck with all defaults. */
static rt_err print_config(const rt_cli *cli)
{
  rt_deck *deck = NULL;
  RT_TRY(rt_deck_read(cli->n_paths > 0 ? cli->paths[0] : NULL, cli->n_overrides,
                      cli->overrides, &deck));
  const rt_err err = rt_deck_print(deck, stdout);
  rt_deck_destroy(&deck);
  return err;
}

/** Print the answer to --help and the like, on the process that prints. */
static rt_err answer(const rt_cli *cli)
{
  if (cli->version)
    rt_banner_version(stdout);
  else if (cli->help == RT_HELP_GENERAL)
    rt_cli_print_help(cli->verb, stdout);
  else if (cli->help == RT_HELP_KEYS)
    return rt_deck_document("help", stdout);
  else
    return print_config(cli);
  return RT_OK;
}

/** Wait for the process that prints: a launcher may end all tasks when the
 *  first one ends. */
static void let_speak(void)
{
  nanosleep(&(struct timespec){.tv_nsec = 300000000L}, NULL);
}

/** Print an error that occurred before MPI started.  All ranks see an invalid
 *  command line, and one prints it; any other error belongs to one rank. */
static void print_early(const rt_cli *cli, rt_err err, const rt_launcher *l)
{
  char who[64] = "";
  const bool speaks = rt_launcher_speaks(l);
  if (err == RT_ERR_USAGE && !speaks) {
    let_speak();
    return;
  }
  if (!speaks)
    snprintf(who, sizeof who, "rank %d: ", l->task);
  rt_fatal_print(err, who);
  if (err == RT_ERR_USAGE)
    fprintf(stderr, "Try `retort%s%s --help`.\n", cli->verb != NULL ? " " : "",
            cli->verb != NULL ? cli->verb->name : "");
}

/** Handle what needs no ranks: help, version, printing a deck, an invalid
 *  command line.  On a login node or in a batch script MPI may not start at
 *  all.  True if that was all; *code is then the exit code. */
static bool answer_early(const rt_cli *cli, rt_err err, const rt_launcher *l,
                         int *code)
{
  *code = rt_err_exit_code(err);
  if (err != RT_OK) {
    print_early(cli, err, l);
    return true;
  }
  if (cli->help == RT_HELP_NONE && !cli->version && !cli->print_config)
    return false;
  if (rt_launcher_speaks(l) && (err = answer(cli)) != RT_OK)
    rt_fatal_print(err, "");
  *code = rt_err_exit_code(err);
  return true;
}

#define RUN_OF(name, takes_deck, stops, arguments, summary, help)              \
  [RT_VERB_##name] = rt_verb_##name,
static rt_err (*const run_of[RT_N_VERBS])(const rt_app *app) = {
    RT_VERBS(RUN_OF)};

/** Run the verb, with its deck. */
static rt_err run_verb(const rt_cli *cli, const rt_comm *world)
{
  rt_deck *deck = NULL;
  rt_err err = RT_OK;
  if (cli->verb->takes_deck)
    err = rt_app_read_deck(world, cli, cli->n_paths > 0 ? cli->paths[0] : "",
                           &deck);
  const rt_app app = {.cli = cli,
                      .world = world,
                      .deck = deck,
                      .hooks = {.fatal = rt_fatal_abort,
                                .beat = rt_watchdog_beat,
                                .waits = rt_watchdog_wait,
                                .stop_asked = rt_signals_stop_asked}};
  if (err == RT_OK)
    err = run_of[cli->verb->id](&app);
  rt_deck_destroy(&deck);
  return err;
}

static void set_up_log(const rt_cli *cli, const rt_comm *world)
{
  char who[RT_FATAL_WHO];
  rt_fatal_who(who);
  rt_log_name(who);
  rt_log_setup(cli->debug || cli->verbose ? RT_LOG_DEBUG
               : cli->quiet               ? RT_LOG_QUIET
                                          : RT_LOG_INFO,
               rt_comm_rank(world) == 0 ? RT_LOG_SPEAKS : RT_LOG_SILENT);
}

/** Everything between MPI_Init and MPI_Finalize; returns the exit code.  \a
 *  ready: error of this rank before MPI started. */
static int run(const rt_cli *cli, rt_err ready)
{
  rt_comm *world = NULL;
  if (cli->debug)
    rt_fatal_show_traces();
  const rt_err watched =
      rt_watchdog_begin(MPI_COMM_WORLD, rt_cli_watchdog_s(cli));
  rt_err err = rt_comm_create(MPI_COMM_WORLD, &world);
  if (err != RT_OK)
    rt_fatal_abort(err);
  set_up_log(cli, world);
  err = rt_agree(world, ready != RT_OK ? ready : watched);
  if (err == RT_OK)
    err = run_verb(cli, world);
  err = rt_fatal_meet(world, err);
  rt_watchdog_stop();
  // skip MPI_Finalize, in which HDF5 1.10 would retry a failed write and crash
  if (err == RT_ERR_IO)
    rt_fatal_quit(err);
  if (err != RT_OK && rt_comm_rank(world) == 0)
    rt_fatal_print(err, "");
  rt_comm_destroy(&world);
  return rt_err_exit_code(err);
}

/** Everything between MPI_Init and MPI_Finalize, or the reason for not
 *  starting. */
static int run_or_refuse(const rt_cli *cli, const rt_launcher *launcher,
                         rt_err ready)
{
  int n_ranks = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
  const rt_err err = rt_launcher_check(launcher, n_ranks);
  // again, as libraries loaded by MPI may have installed handlers
  if (err == RT_OK)
    return run(cli, cli->verb->stops && ready == RT_OK ? rt_signals_install()
                                                       : ready);
  // one task prints for all; if the first cannot know, the second does
  if (launcher->task == (launcher->counted ? 0 : 1))
    rt_fatal_print(err, "");
  else
    let_speak();
  return rt_err_exit_code(err);
}

int main(int argc, char **argv)
{
  rt_cli cli;
  int code, level = MPI_THREAD_SINGLE;
  // 1.  The command line; requests that need no ranks are handled here.
  const rt_launcher launcher = rt_launcher_read();
  const rt_err err = rt_cli_parse(argc, argv, &cli);
  // line buffering, also for output through mpirun's pipe
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (cli.version)
    rt_dev_wake_library(argv); // it names what a run computes with
  if (answer_early(&cli, err, &launcher, &code)) {
    rt_cli_clear(&cli);
    return code;
  }
  rt_dev_wake_library(argv);
  // 2.  Ranks.  Only the main thread calls MPI; other threads compute and read.
  // Signals are handled from here on if the verb can stop: starting many ranks
  // takes a while.
  rt_signals_keep_writing();
  // Folders are locked by io/common/lock.h.  Some file systems reject HDF5's
  // own locks, which this variable would enable.
  setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1);
  rt_err ready = rt_h5_child_start(); // forks, so before MPI and its threads
  if (ready == RT_OK && cli.verb->stops)
    ready = rt_signals_install();
  rt_launcher_free_shell(&launcher);
  // Return large blocks to the system when they are freed, as the memory plan
  // assumes; glibc would raise the threshold.
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (level < MPI_THREAD_FUNNELED)
    rt_warn("MPI does not support MPI_THREAD_FUNNELED: the run may crash or "
            "hang");
  // 3. The verb.
  code = run_or_refuse(&cli, &launcher, ready);
  // 4. The end, with one exit code for all.
  MPI_Finalize();
  rt_h5_child_stop();
  rt_log_release();
  rt_cli_clear(&cli);
  return code;
}
