/** \file app.h
 *  What the verbs share: the command line, the deck, the way out.  Layer: app.
 */
#ifndef RT_APP_H
#define RT_APP_H

#include "base/deck.h"
#include "distill/job.h"
#include "par/comm.h"

/** The command line after the verb. */
typedef struct rt_cli {
  const char *verb;
  int n_words;  /**< words that are neither options nor overrides */
  char **words; // borrowed from argv, [n_words]
  int n_overrides;
  char **overrides;  // key.path=value, borrowed from argv
  bool print_config; /**< --print-config */
  bool debug;        /**< --debug: traces, more lines */
} rt_cli;

/** A verb: its line in the list, its arguments, and what it does. */
typedef struct rt_verb {
  const char *name, *args, *help;
  int least_words, most_words;
  rt_err (*run)(const rt_comm *world, const rt_cli *cli);
} rt_verb;

rt_err rt_verb_train(const rt_comm *world, const rt_cli *cli);
rt_err rt_verb_capture(const rt_comm *world, const rt_cli *cli);
rt_err rt_verb_eval(const rt_comm *world, const rt_cli *cli);
rt_err rt_verb_export(const rt_comm *world, const rt_cli *cli);
rt_err rt_verb_plan(const rt_comm *world, const rt_cli *cli);
rt_err rt_verb_data(const rt_comm *world, const rt_cli *cli);
rt_err rt_verb_logits(const rt_comm *world, const rt_cli *cli);

/** The deck named by word \a i_word (absent: defaults and overrides), read by
 *  rank 0, the same on every rank.  --print-config prints it (*done = true).
 *  Collective. */
RT_MUST rt_err rt_app_deck(const rt_comm *world, const rt_cli *cli, int i_word,
                           rt_deck **deck, bool *done);

/** A verb that computes: deck, job, output folder, banner, then \a run, and all
 *  is cleared again.  Collective. */
typedef struct rt_work {
  int (*needs)(const rt_deck *deck);          /**< RT_NEED_... of this deck */
  const char *(*folder)(const rt_deck *deck); /**< its output; "" for none */
  bool locks; /**< app locks the folder (training does it itself) */
  rt_err (*run)(rt_job *job);
} rt_work;
RT_MUST rt_err rt_app_work(const rt_comm *world, const rt_cli *cli, int i_word,
                           const rt_work *work);

/** Print a banner: what runs, where, on what.  Collective. */
RT_MUST rt_err rt_app_banner(const rt_job *job, const char *verb);

/** What app lends to a job. */
const rt_hooks *rt_app_hooks(void);

/** Catch SIGUSR1 and SIGTERM from now on. */
void rt_app_catch_signals(void);

/** Print one message for \a err; every rank comes here with the same error.
 *  Returns the exit code. */
int rt_app_report(const rt_comm *world, rt_err err, bool debug);

#endif
