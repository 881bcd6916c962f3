/** \file test_cli.c
 *  The command line: every verb and option, and what is none.
 *  ranks: 1 */
#include "app/cli.h"
#include "support/rt_test.h"

#include <string.h>

enum { MAX_WORDS = 8 };

/** Words after "retort", separated by blanks; "_" is an empty word. */
static rt_err parse(const char *line, rt_cli *cli)
{
  static char text[256], empty[] = "", name[] = "retort";
  static char *argv[MAX_WORDS + 2];
  int argc = 0;
  argv[argc++] = name;
  snprintf(text, sizeof text, "%s", line);
  for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
    argv[argc++] = strcmp(word, "_") == 0 ? empty : word;
  argv[argc] = NULL;
  return rt_cli_parse(argc, argv, cli);
}

/** Words of \a list [n], joined by blanks. */
static const char *joined(char *const *list, int n)
{
  static char text[256];
  text[0] = '\0';
  for (int i = 0; i < n; i++) {
    const size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? " " : "",
             list[i]);
  }
  return text;
}

/** What is understood: verb, paths, overrides, and the flags' letters. */
static void test_understood(void)
{
  static const struct {
    const char *line, *verb, *paths, *overrides, *flags;
  } row[] = {
      {"train d.yaml", "train", "d.yaml", "", ""},
      {"train d.yaml a.b=1 c.d=", "train", "d.yaml", "a.b=1 c.d=", ""},
      {"train a.b=1", "train", "", "a.b=1", ""},
      {"train runs/a=b/d.yaml", "train", "runs/a=b/d.yaml", "", ""},
      {"train a.b=x/y d.yaml", "train", "d.yaml", "a.b=x/y", ""},
      {"-q train d.yaml", "train", "d.yaml", "", "q"},
      {"train d.yaml --quiet", "train", "d.yaml", "", "q"},
      {"train d.yaml --debug", "train", "d.yaml", "", "d"},
      {"train -v d.yaml", "train", "d.yaml", "", "v"},
      {"train d.yaml --verbose a.b=1", "train", "d.yaml", "a.b=1", "v"},
      {"train d.yaml --print-config", "train", "d.yaml", "", "p"},
      {"train d.yaml --print", "train", "d.yaml", "",
       "p"}, // no other so begins
      {"capture d.yaml", "capture", "d.yaml", "", ""},
      {"eval d.yaml eval.rows=1", "eval", "d.yaml", "eval.rows=1", ""},
      {"export run out", "export", "run out", "", ""},
      {"plan d.yaml", "plan", "d.yaml", "", ""},
      {"bench gemm d.yaml a.b=1", "bench", "gemm d.yaml", "a.b=1", ""},
      {"data check x y", "data", "check x y", "", ""},
      {"logits info x --all", "logits", "info x", "", "a"},
      {"logits verify x data.files=[y]", "logits", "verify x", "data.files=[y]",
       ""},
      {"train -- -odd.yaml", "train", "-odd.yaml", "", ""},
      {"--version", "", "", "", "V"},
      {"-V", "", "", "", "V"},
      {"--help", "", "", "", "h"},
      {"-h", "", "", "", "h"},
      {"help", "", "", "", "h"},
      {"--help=keys", "", "", "", "k"},
      {"train --help", "train", "", "", "h"},
      {"help train", "train", "", "", "h"},
      {"logits help", "logits", "", "", "h"},
      {"train help", "train", "help", "", ""}, // a deck of that name
      {"logits verify help", "logits", "verify help", "", ""},
  };
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    rt_cli cli;
    char flags[16];
    RT_OKAY(parse(row[i].line, &cli));
    CU_ASSERT_STRING_EQUAL(cli.verb != NULL ? cli.verb->name : "", row[i].verb);
    CU_ASSERT_STRING_EQUAL(joined(cli.paths, cli.n_paths), row[i].paths);
    CU_ASSERT_STRING_EQUAL(joined(cli.overrides, cli.n_overrides),
                           row[i].overrides);
    snprintf(flags, sizeof flags, "%s%s%s%s%s%s%s%s",
             cli.help == RT_HELP_GENERAL ? "h" : "",
             cli.help == RT_HELP_KEYS ? "k" : "", cli.version ? "V" : "",
             cli.print_config ? "p" : "", cli.debug ? "d" : "",
             cli.verbose ? "v" : "", cli.quiet ? "q" : "", cli.all ? "a" : "");
    CU_ASSERT_STRING_EQUAL(flags, row[i].flags);
    if (strcmp(flags, row[i].flags) != 0)
      fprintf(stderr, "%s: %s\n", row[i].line, flags);
    rt_cli_clear(&cli);
  }
}

/** What is wrong, with what was probably meant. */
static void test_refused(void)
{
  static const struct {
    const char *line, *says;
  } row[] = {
      {"", "no verb"},
      {"--quiet", "no verb"},
      {"trian d.yaml", "unknown verb \"trian\", did you mean train?"},
      {"zzzzzzzz", "unknown verb \"zzzzzzzz\""},
      {"d.yaml train", "unknown verb \"d.yaml\""},
      {"a.b=1 train", "unknown verb \"a.b=1\""},
      {"train", "`retort train` needs a deck"},
      {"plan --quiet", "`retort plan` needs a deck"},
      {"train a.yaml b.yaml", "takes one deck, got \"a.yaml\" and \"b.yaml\""},
      {"train a.yaml lr = 1", "key=value, without blanks"},
      {"train a.yaml _", "argument 3 is empty"},
      {"_", "argument 1 is empty"},
      {"train a.yaml --quite", "unknown option \"--quite\", did you mean "
                               "--quiet?"},
      {"train a.yaml -x", "unknown option"},
      {"train a.yaml --quiet=1", "--quiet takes no value, got \"--quiet=1\""},
      {"train a.yaml --ver", "unknown option \"--ver\""}, // verbose or version
      {"train a.yaml --all", "--all is for `retort logits info`, not for "
                             "`retort train`"},
      {"export run out --print-config", "`retort export` takes no deck, so "
                                        "--print-config has nothing to print"},
      {"--help=kyes", "unknown help \"kyes\": --help, --help=keys"},
  };
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    rt_cli cli;
    RT_FAILS(parse(row[i].line, &cli), RT_ERR_USAGE, row[i].says);
    rt_cli_clear(&cli);
    rt_cli_clear(&cli);
  }
}

/** Which verbs stop at a signal and take a deck: main.c believes the table. */
static void test_verbs(void)
{
  static const struct {
    const char *name;
    bool takes_deck, stops;
  } row[] = {{"train", true, true},  {"capture", true, true},
             {"eval", true, false},  {"export", false, false},
             {"plan", true, false},  {"bench", false, false},
             {"data", false, false}, {"logits", false, false}};
  CU_ASSERT_EQUAL(sizeof row / sizeof row[0], RT_N_VERBS);
  for (int i = 0; i < RT_N_VERBS; i++) {
    rt_cli cli;
    char line[32];
    snprintf(line, sizeof line, "%s x", row[i].name);
    RT_OKAY(parse(line, &cli));
    CU_ASSERT_EQUAL((int)cli.verb->id, i);
    CU_ASSERT_EQUAL(cli.verb->takes_deck, row[i].takes_deck);
    CU_ASSERT_EQUAL(cli.verb->stops, row[i].stops);
    rt_cli_clear(&cli);
  }
}

/** The watchdog's first limit is what the deck will say: a number or a time. */
static void test_watchdog_s(void)
{
  static const struct {
    const char *text;
    double limit_s;
  } row[] = {{"7", 7.0},
             {"0", 0.0},
             {"2 h", 7200.0},
             {"30 min", 1800.0},
             {"00:30:00", 1800.0},
             {"1-00:00:00", 86400.0},
             {"1-00:00:00x", 600.0},
             {"-1", 600.0},
             {"2 steps", 600.0},
             {"", 600.0}};
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    rt_cli cli;
    char name[] = "retort", verb[] = "train", deck[] = "deck.yaml";
    char other[] = "train.length=nonsense", first[] = "run.watchdog_s=3";
    char last[64];
    snprintf(last, sizeof last, "run.watchdog_s=%s", row[i].text);
    char *argv[] = {name, verb, deck, first, other, last, NULL};
    RT_OKAY(rt_cli_parse(6, argv, &cli));
    CU_ASSERT_EQUAL(rt_cli_watchdog_s(&cli), row[i].limit_s);
    rt_cli_clear(&cli);
  }
  rt_cli cli;
  RT_OKAY(parse("train deck.yaml", &cli));
  CU_ASSERT_EQUAL(rt_cli_watchdog_s(&cli), 600.0);
  rt_cli_clear(&cli);
}

/** Help names every verb, option and exit code; a verb's, its arguments. */
static void test_help(void)
{
  char *text = NULL;
  size_t n = 0;
  rt_cli cli;
  FILE *to = open_memstream(&text, &n);
  rt_cli_print_help(NULL, to);
  fclose(to);
  static const char *const words[] = {
      "train",   "capture",        "eval",      "export", "plan",
      "bench",   "data",           "logits",    "--help", "--version",
      "--debug", "--print-config", "--verbose", "--all",  "--quiet",
      "  65  ",  "  75  ",         "  85  "};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    CU_ASSERT_PTR_NOT_NULL(strstr(text, words[i]));
  free(text);
  RT_OKAY(parse("export a b", &cli));
  to = open_memstream(&text, &n);
  rt_cli_print_help(cli.verb, to);
  fclose(to);
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "Usage: retort export RUN OUT"));
  CU_ASSERT_PTR_NULL(strstr(text, "DECK is a YAML file"));
  free(text);
  rt_cli_clear(&cli);
}

RT_TEST_MAIN("cli", {"what is understood", test_understood},
             {"what is refused", test_refused}, {"verbs", test_verbs},
             {"the first limit of the watchdog", test_watchdog_s},
             {"help", test_help})
