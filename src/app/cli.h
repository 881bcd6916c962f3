/** \file cli.h
 *  The command line: a verb, paths, key=value overrides, a few options.
 *
 *  Layer: app.  It is read before MPI starts, so that --help and typing errors
 *  are answered on a login node, where MPI may not start. */
#ifndef RT_CLI_H
#define RT_CLI_H

#include "base/err.h"

#include <stdbool.h>
#include <stdio.h>

/** V(name, takes a deck, stops on a signal, arguments, summary, details).  The
 *  list of verbs, which main.c runs. */
// clang-format off
#define RT_VERBS(V)                                                            \
  V(train, true, true, "DECK [KEY=VALUE ...]",                                 \
    "train a student, with or without a teacher",                              \
    "Language modelling only, distillation from a live teacher, or from a\n"   \
    "captured dataset (teacher.source).  Goes on from the newest checkpoint\n" \
    "in output.dir.  SIGTERM, SIGUSR1, SIGHUP, one Ctrl-C: checkpoint and stop\n"\
    "with exit code 85; a file output.dir/stop: the same with 86.\n")                             \
  V(capture, true, true, "DECK [KEY=VALUE ...]",                               \
    "run a teacher over a corpus and store its logits",                            \
    "teacher.weights over data.files into the dataset capture.dir.  An\n"      \
    "interrupted capture resumes where it stopped.\n")                         \
  V(eval, true, false, "DECK [KEY=VALUE ...]",                                 \
    "measure held-out loss, perplexity, calibration",                          \
    "The newest checkpoint of output.dir, else student.weights, on the\n"      \
    "held-out part of the corpus; eval.teacher adds KL to the teacher.\n")     \
  V(export, false, false, "RUN OUT",                                           \
    "write a checkpoint as a Hugging Face folder",                             \
    "The newest checkpoint of the run in folder RUN becomes the new folder\n"  \
    "OUT, which transformers loads; tokenizer files are copied along.\n")      \
  V(plan, true, false, "DECK [KEY=VALUE ...]",                                 \
    "predict what a run needs, without running it",                          \
    "Memory per rank, work, disk and communication.  Start it with as many\n"  \
    "ranks as the run would have.\n")                                          \
  V(bench, false, false, "gemm|teacher|loss DECK [KEY=VALUE ...]",             \
    "measure parts of a deck's step on this machine",                          \
    "gemm: seconds of the matrix products of one step alone.  teacher: of a\n" \
    "live teacher's forward over one step's rows.  loss: memory that the\n"    \
    "loss needs beyond its inputs and outputs.\n")                             \
  V(data, false, false, "check|info PATH ... [KEY=VALUE ...]",                 \
    "describe or check a corpus before submitting a job",                              \
    "PATH is a corpus (data.files), or a deck (.yaml) that names some.\n"      \
    "info: formats, sizes, rows.  check: also reads every id and compares\n"   \
    "it with the vocabulary (data.vocab, else student.vocab).\n")              \
  V(logits, false, false, "info|verify PATH | diff|select|export PATH PATH [KEY=VALUE ...]", \
    "describe, verify, compare or convert logit datasets",                                  \
    "info: contents, provenance, size per token, the entries of up to\n"\
    "4,096 rows (--all: of every row).  verify: every hash and every rule of\n"\
    "every row, also of an unfinished capture; with data.files=[...] every id,\n"\
    "too.  diff: compares two, field by field; exit code 0 when they are the\n"\
    "same bit for bit.  select: a new dataset of rows (capture.first_row,\n"   \
    "capture.rows), with a narrower capture.top_p or capture.top_k, without\n" \
    "padding (data.vocab), in another capture.encoding.  export: rows as numpy\n"\
    "arrays in a new folder, or in a new file as JSON lines (PATH.jsonl).\n"   \
    "Ranks share the work.\n")
// clang-format on

#define RT_VERB_ENUM(name, takes_deck, stops, arguments, summary, help)        \
  RT_VERB_##name,
typedef enum rt_verb_id { RT_VERBS(RT_VERB_ENUM) RT_N_VERBS } rt_verb_id;
#undef RT_VERB_ENUM

typedef struct rt_verb {
  rt_verb_id id;
  const char *name, *arguments, *summary, *help;
  bool takes_deck, stops;
} rt_verb;

/** The kind of help requested. */
typedef enum rt_help { RT_HELP_NONE, RT_HELP_GENERAL, RT_HELP_KEYS } rt_help;

typedef struct rt_cli {
  const rt_verb *verb; // NULL: none named
  char **paths;     // owned [n_paths], elements borrowed: arguments of the verb
  char **overrides; // owned [n_overrides], elements borrowed: key.path=value
  int n_paths, n_overrides;
  rt_help help;
  bool version, print_config, debug, verbose, quiet, all;
} rt_cli;

/** Parse \a argv, which getopt reorders.  RT_ERR_USAGE: the text suggests what
 *  was meant.
 *  \param[out] cli  to be cleared by the caller, even after an error */
RT_MUST rt_err rt_cli_parse(int argc, char **argv, rt_cli *cli);
void rt_cli_clear(rt_cli *cli);

/** run.watchdog_s before the deck is read: from the command line (the last one
 *  wins), otherwise, and if that is invalid, the default.  Invalid values are
 *  reported with the deck. */
double rt_cli_watchdog_s(const rt_cli *cli);

/** Print the general help, or that of \a verb if it is not NULL. */
void rt_cli_print_help(const rt_verb *verb, FILE *to);

/** RT_ERR_USAGE: \a got is not a \a what ("verb"); suggests the nearest of \a
 *  names [n]. */
RT_MUST rt_err rt_cli_unknown(const char *what, const char *got,
                              const char *const *names, int n);

#endif
