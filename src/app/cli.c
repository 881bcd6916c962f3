/** \file cli.c
 *  Reads the command line. */
#include "app/cli.h"

#include "base/nearest.h"
#include "deck/deck.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define VERB_ROW(name_, takes_deck_, stops_, arguments_, summary_, help_)      \
  {.id = RT_VERB_##name_,                                                      \
   .name = #name_,                                                             \
   .arguments = (arguments_),                                                  \
   .summary = (summary_),                                                      \
   .help = (help_),                                                            \
   .takes_deck = (takes_deck_),                                                \
   .stops = (stops_)},
static const rt_verb verbs[] = {RT_VERBS(VERB_ROW)};

/** O(name, argument, letter, help): letters above 255 have no short form. */
#define OPTIONS(O)                                                             \
  O("help", optional_argument, 'h',                                            \
    "this text; --help=keys: list all deck keys")                              \
  O("version", no_argument, 'V', "version, compiler and libraries")            \
  O("print-config", no_argument, 256,                                          \
    "print the deck with every default "                                       \
    "and where each value is from")                                            \
  O("debug", no_argument, 257,                                                 \
    "like --verbose; print the source lines of errors")                        \
  O("verbose", no_argument, 'v',                                               \
    "print more, e.g. the parts of the memory plan")                           \
  O("quiet", no_argument, 'q',                                                 \
    "print nothing but warnings and errors, both to stderr")                   \
  O("all", no_argument, 259, "logits info: count all rows instead of a sample")

#define OPTION_ROW(name, argument, letter, help)                               \
  {(name), (argument), NULL, (letter)},
static const struct option options[] = {OPTIONS(OPTION_ROW){0}};
#define OPTION_NAME(name, argument, letter, help) ("--" name),
static const char *const option_names[] = {OPTIONS(OPTION_NAME)};
#define OPTION_HELP(name, argument, letter, help) (help),
static const char *const option_helps[] = {OPTIONS(OPTION_HELP)};
enum { N_OPTIONS = sizeof option_names / sizeof option_names[0] };

rt_err rt_cli_unknown(const char *what, const char *got,
                      const char *const *names, int n)
{
  int best = rt_nearest_limit(got) + 1;
  const char *near = NULL;
  for (int i = 0; i < n; i++) {
    const int distance = rt_nearest_distance(got, names[i]);
    if (distance < best) {
      best = distance;
      near = names[i];
    }
  }
  if (near != NULL)
    return RT_FAIL(RT_ERR_USAGE, "unknown %s \"%s\", did you mean %s?", what,
                   got, near);
  return RT_FAIL(RT_ERR_USAGE, "unknown %s \"%s\"", what, got);
}

static rt_err find_verb(const char *name, const rt_verb **out)
{
  const char *names[RT_N_VERBS];
  for (int i = 0; i < RT_N_VERBS; i++) {
    names[i] = verbs[i].name;
    if (strcmp(name, names[i]) == 0) {
      *out = &verbs[i];
      return RT_OK;
    }
  }
  return rt_cli_unknown("verb", name, names, RT_N_VERBS);
}

static rt_err set_help(rt_cli *cli, const char *topic)
{
  RT_CHECK(topic == NULL || strcmp(topic, "keys") == 0, RT_ERR_USAGE,
           "unknown help \"%s\": --help, --help=keys or VERB --help", topic);
  cli->help = topic == NULL ? RT_HELP_GENERAL : RT_HELP_KEYS;
  return RT_OK;
}

/** Report an option that getopt did not find, or one with an unexpected
 *  argument. */
static rt_err refuse_option(const char *word)
{
  char bare[64];
  snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word, "="), word);
  for (int i = 0; i < N_OPTIONS; i++)
    RT_CHECK(strcmp(bare, option_names[i]) != 0, RT_ERR_USAGE,
             "%s takes no value, got \"%s\"", bare, word);
  return rt_cli_unknown("option", word, option_names, N_OPTIONS);
}

static rt_err read_options(int argc, char **argv, rt_cli *cli)
{
  int letter;
  optind = 0; // parse from the start, even in a second call
  // Retort prints the message itself: with the nearest option, and on one rank
  opterr = 0;
  while ((letter = getopt_long(argc, argv, "hVvq", options, NULL)) != -1) {
    switch (letter) {
    case 'h':
      RT_TRY(set_help(cli, optarg));
      break;
    case 'V':
      cli->version = true;
      break;
    case 256:
      cli->print_config = true;
      break;
    case 257:
      cli->debug = true;
      break;
    case 'v':
      cli->verbose = true;
      break;
    case 'q':
      cli->quiet = true;
      break;
    case 259:
      cli->all = true;
      break;
    default:
      return refuse_option(argv[optind - 1]);
    }
  }
  return RT_OK;
}

/** "train.lr=1", but not "runs/a=b/deck.yaml". */
static bool is_override(const char *word)
{
  const size_t n = strcspn(word, "=/");
  return word[n] == '=';
}

/** `retort help`, `retort help VERB`, `retort logits help`: not a file. */
static bool is_help(char *const *argv, int i, int argc, const rt_cli *cli)
{
  if (strcmp(argv[i], "help") != 0)
    return false;
  return cli->verb == NULL ||
         (!cli->verb->takes_deck && cli->n_paths == 0 && i == argc - 1);
}

static rt_err check(const rt_cli *cli)
{
  if (cli->help != RT_HELP_NONE || cli->version)
    return RT_OK;
  RT_CHECK(cli->verb != NULL, RT_ERR_USAGE, "no verb given");
  const char *name = cli->verb->name;
  RT_CHECK(cli->verb->takes_deck || !cli->print_config, RT_ERR_USAGE,
           "`retort %s` takes no deck, so --print-config has nothing to print",
           name);
  RT_CHECK(!cli->all || cli->verb->id == RT_VERB_logits, RT_ERR_USAGE,
           "--all is for `retort logits info`, not for `retort %s`", name);
  if (!cli->verb->takes_deck)
    return RT_OK; // the verb checks its own arguments
  RT_CHECK(cli->n_paths <= 1, RT_ERR_USAGE,
           "`retort %s` takes one deck, got \"%s\" and \"%s\"; set keys with "
           "key=value, without blanks",
           name, cli->paths[0], cli->paths[1]);
  RT_CHECK(cli->n_paths + cli->n_overrides > 0, RT_ERR_USAGE,
           "`retort %s` needs a deck", name);
  return RT_OK;
}

rt_err rt_cli_parse(int argc, char **argv, rt_cli *cli)
{
  *cli = (rt_cli){0};
  cli->paths = calloc((size_t)argc + 1, sizeof *cli->paths);
  cli->overrides = calloc((size_t)argc + 1, sizeof *cli->overrides);
  RT_CHECK(cli->paths != NULL && cli->overrides != NULL, RT_ERR_MEM,
           "a list of %d arguments", argc);
  RT_TRY(read_options(argc, argv, cli));
  for (int i = optind; i < argc; i++) {
    RT_CHECK(argv[i][0] != '\0', RT_ERR_USAGE,
             "argument %d is empty: is a shell variable not set?", i);
    if (is_help(argv, i, argc, cli))
      cli->help = RT_HELP_GENERAL;
    else if (cli->verb == NULL)
      RT_TRY(find_verb(argv[i], &cli->verb));
    else if (is_override(argv[i]))
      cli->overrides[cli->n_overrides++] = argv[i];
    else
      cli->paths[cli->n_paths++] = argv[i];
  }
  return check(cli);
}

void rt_cli_clear(rt_cli *cli)
{
  free(cli->paths);
  free(cli->overrides);
  *cli = (rt_cli){0};
}

static void print_options(FILE *to)
{
  fputs("\nOptions:\n", to);
  for (int i = 0; i < N_OPTIONS; i++)
    fprintf(to, "  %-16s %s\n", option_names[i], option_helps[i]);
}

void rt_cli_print_help(const rt_verb *verb, FILE *to)
{
  if (verb != NULL) {
    fprintf(to, "Usage: retort %s %s\n\nTo %s.\n\n%s", verb->name,
            verb->arguments, verb->summary, verb->help);
    if (verb->takes_deck)
      fputs("\nDECK is a YAML file; key.path=value sets a key and overrides "
            "the deck.\nAll keys: retort --help=keys\n",
            to);
    print_options(to);
    return;
  }
  fputs("Retort distils large language models during pre-training.\n\n"
        "Usage: [mpirun -n RANKS] retort VERB ARGUMENTS [KEY=VALUE ...]\n\n"
        "Verbs:\n",
        to);
  for (int i = 0; i < RT_N_VERBS; i++)
    fprintf(to, "  %-8s %s\n           %s\n", verbs[i].name, verbs[i].arguments,
            verbs[i].summary);
  print_options(to);
  fputs("\nExit codes:\n", to);
  for (int e = 0; e < RT_N_ERR; e++)
    fprintf(to, "  %2d  %s\n", rt_err_exit_code((rt_err)e),
            rt_err_meaning((rt_err)e));
}

double rt_cli_watchdog_s(const rt_cli *cli)
{
  const rt_key_row *const row = rt_key_row_of(RT_KEY_RUN_WATCHDOG_S);
  const size_t n = strlen(row->path);
  double limit_s = strtod(row->dflt, NULL);
  rt_deck *deck = NULL;
  int last = -1;
  for (int i = 0; i < cli->n_overrides; i++)
    if (strncmp(cli->overrides[i], row->path, n) == 0 &&
        cli->overrides[i][n] == '=')
      last = i;
  // alone in a deck: it may be a time, and other keys may be wrong
  if (last >= 0 && rt_deck_read(NULL, 1, &cli->overrides[last], &deck) == RT_OK)
    limit_s = rt_deck_real(deck, RT_KEY_RUN_WATCHDOG_S);
  rt_deck_destroy(&deck);
  return limit_s;
}
