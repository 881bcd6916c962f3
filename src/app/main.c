/** \file main.c
 *  retort VERB ...: find the verb, run it, leave with its exit code. */
#include "app/app.h"

#include "base/build_info.h"
#include "base/log.h"
#include "base/nearest.h"
#include "gemm.h"
#include "io/h5.h"
#include <stdlib.h>
#include <string.h>

static const rt_verb verbs[] = {
    {"train", "DECK", "train a student: LM only, live or captured teacher", 0,
     1, rt_verb_train},
    {"capture", "DECK", "run a teacher over a corpus, write a logit dataset", 0,
     1, rt_verb_capture},
    {"eval", "DECK", "held-out loss, perplexity, calibration, KL to a teacher",
     0, 1, rt_verb_eval},
    {"export", "RUN OUT", "newest checkpoint of a run as a Hugging Face folder",
     2, 2, rt_verb_export},
    {"plan", "DECK", "memory, bytes, FLOPs and communication, without running",
     0, 1, rt_verb_plan},
    {"data", "check|info DECK", "look at a corpus before a job waits for it", 1,
     2, rt_verb_data},
    {"logits", "info|verify FOLDER", "look at, or check, a logit dataset", 2, 2,
     rt_verb_logits},
};
enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static void print_help(FILE *to)
{
  fprintf(to, "Usage: [mpirun -n RANKS] retort VERB ... [key.path=value ...]\n"
              "Distil large language models while they pre-train.\n\n");
  for (int i = 0; i < N_VERBS; i++)
    fprintf(to, "  retort %-8s %-22s %s\n", verbs[i].name, verbs[i].args,
            verbs[i].help);
  fprintf(to,
          "\nEvery verb that takes a DECK (YAML) also takes overrides.\n"
          "  --print-config   the deck with every default and its source\n"
          "  --help=keys      every key: type, default, range, unit\n"
          "  --debug          traces of errors, more lines\n"
          "  --help, --version\n"
          "Exit codes: 0 done, 64 usage, 65 bad data, 66 no input, 71 memory,\n"
          "73 locked, 74 I/O, 75 hung, 76 NaN or spike, 78 deck, 85 stopped\n"
          "with a checkpoint (run again).\n");
}

static void print_version(void)
{
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING];
  int n;
  MPI_Get_library_version(mpi, &n);
  mpi[strcspn(mpi, ",\n")] = '\0';
  printf("retort (Retort) %s\ncommit %s, %s\n%s, HDF5 %s, %s\n"
         "Apache License 2.0. There is NO WARRANTY, to the extent permitted by "
         "law.\n",
         RT_VERSION, rt_build_commit(), rt_build_compiler(), mpi,
         rt_h5_version(), k_gemm_library());
}

static const rt_verb *find_verb(const char *name)
{
  for (int i = 0; i < N_VERBS; i++)
    if (strcmp(name, verbs[i].name) == 0)
      return &verbs[i];
  return NULL;
}

static rt_err unknown_verb(const char *name)
{
  const rt_verb *best = &verbs[0];
  for (int i = 1; i < N_VERBS; i++)
    if (rt_nearest_distance(name, verbs[i].name) <
        rt_nearest_distance(name, best->name))
      best = &verbs[i];
  const bool close =
      rt_nearest_distance(name, best->name) <= rt_nearest_limit(name);
  return RT_FAIL(RT_ERR_USAGE, "there is no verb '%s'%s%s%s; see retort --help",
                 name, close ? ", did you mean '" : "", close ? best->name : "",
                 close ? "'?" : "");
}

static rt_err take_option(rt_cli *cli, const char *arg)
{
  if (strcmp(arg, "--print-config") == 0)
    cli->print_config = true;
  else if (strcmp(arg, "--debug") == 0)
    cli->debug = true;
  else
    return RT_FAIL(RT_ERR_USAGE, "there is no option '%s'; see retort --help",
                   arg);
  return RT_OK;
}

/** Sort the arguments after the verb into words, overrides and options. */
static rt_err parse(const rt_verb *verb, int argc, char **argv, rt_cli *cli)
{
  cli->verb = verb->name;
  for (int i = 2; i < argc; i++) {
    if (strncmp(argv[i], "--", 2) == 0)
      RT_TRY(take_option(cli, argv[i]));
    else if (strchr(argv[i], '=') != NULL)
      cli->overrides[cli->n_overrides++] = argv[i];
    else
      cli->words[cli->n_words++] = argv[i];
  }
  RT_CHECK(cli->n_words >= verb->least_words &&
               cli->n_words <= verb->most_words,
           RT_ERR_USAGE, "retort %s takes %s, got %d words", verb->name,
           verb->args, cli->n_words);
  return RT_OK;
}

static rt_err run_verb(const rt_comm *world, int argc, char **argv, rt_cli *cli)
{
  const rt_verb *verb = find_verb(argv[1]);
  if (verb == NULL)
    return unknown_verb(argv[1]);
  RT_TRY(parse(verb, argc, argv, cli));
  rt_log_setup(cli->debug ? RT_LOG_DEBUG : RT_LOG_INFO,
               rt_comm_rank(world) == 0);
  return verb->run(world, cli);
}

/** --help, --help=keys and --version anywhere; true when one was there. */
static bool answer_questions(const rt_comm *world, int argc, char **argv,
                             rt_err *err)
{
  const bool speaks = rt_comm_rank(world) == 0;
  for (int i = 1; i < argc; i++) {
    const bool help = strcmp(argv[i], "--help") == 0;
    const bool keys = strcmp(argv[i], "--help=keys") == 0;
    const bool version = strcmp(argv[i], "--version") == 0;
    if (help && speaks)
      print_help(stdout);
    if (version && speaks)
      print_version();
    if (keys && speaks)
      *err = rt_deck_document("help", stdout);
    if (help || keys || version)
      return true;
  }
  return false;
}

int main(int argc, char **argv)
{
  int provided;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  rt_comm *world = NULL;
  rt_cli cli = {.words = calloc((size_t)argc + 1, sizeof(char *)),
                .overrides = calloc((size_t)argc + 1, sizeof(char *))};
  rt_err err = rt_comm_create(MPI_COMM_WORLD, &world);
  if (err == RT_OK && (cli.words == NULL || cli.overrides == NULL))
    err = RT_FAIL(RT_ERR_MEM, "the command line");
  if (err == RT_OK && !answer_questions(world, argc, argv, &err)) {
    if (argc < 2)
      err = RT_FAIL(RT_ERR_USAGE, "no verb; see retort --help");
    else
      err = run_verb(world, argc, argv, &cli);
  }
  const int code = rt_app_report(world, err, cli.debug);
  free(cli.words);
  free(cli.overrides);
  rt_comm_destroy(&world);
  MPI_Finalize();
  return code;
}
