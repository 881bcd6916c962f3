/** \file app.h
 *  The arguments of every verb, and steps common to several verbs.  Layer: app.
 */
#ifndef RT_APP_H
#define RT_APP_H

#include "app/cli.h"
#include "deck/deck.h"
#include "distill/job/job.h"

typedef struct rt_app {
  const rt_cli *cli;    // borrowed
  const rt_comm *world; // borrowed
  const rt_deck *deck;  // borrowed; NULL for verbs that take none
  rt_hooks hooks;
} rt_app;

#define RT_VERB_RUN(name, takes_deck, stops, arguments, summary, help)         \
  RT_MUST rt_err rt_verb_##name(const rt_app *app);
RT_VERBS(RT_VERB_RUN)
#undef RT_VERB_RUN

/** Rank 0 reads \a path ("": no file); all ranks parse the same text with the
 *  overrides of the command line.  Errors are agreed upon.  Collective. */
RT_MUST rt_err rt_app_read_deck(const rt_comm *world, const rt_cli *cli,
                                const char *path, rt_deck **out);

/** Start watchdog and job, and print the banner.  \a folder: where the run
 *  writes, or "".  The caller ends \a job with rt_app_end_job, even after an
 *  error.  Collective; errors are agreed upon. */
RT_MUST rt_err rt_app_start_job(const rt_app *app, int needs,
                                const char *folder, rt_job *job);
void rt_app_end_job(rt_job *job);

/** What a training run with this deck needs (for train and plan). */
int rt_app_needs_of_training(const rt_deck *deck);

#endif
