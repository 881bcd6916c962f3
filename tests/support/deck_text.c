/** \file deck_text.c */
#include "support/deck_text.h"

#include "support/rt_test.h"
#include <string.h>

const char deck_sample[] = "# a deck with something of everything\n"
                           "run:\n"
                           "  device: check\n"
                           "  seed: 72057594037927935\n"
                           "train: {lr: 0.1234567890123456789, clip: 1e-300}\n"
                           "loss:\n"
                           "  alpha_warmup: 3e6 tokens\n"
                           "data:\n"
                           "  files: [a, 'it''s', \"q\\\"\\\\\\u2028#: é\"]\n"
                           "  weights: [0.1, 3, 1e22]\n"
                           "  mask_documents: yes\n"
                           "output:\n"
                           "  dir: \"true\"\n"
                           "capture:\n"
                           "  dir: |-\n"
                           "    block\n";

rt_err deck_of(const char *text, rt_deck **deck)
{
  return rt_deck_parse("d.yaml", text, 0, NULL, deck);
}

void deck_diff(const rt_deck *old_deck, const rt_deck *now, char lines[1000])
{
  char *text = NULL;
  lines[0] = '\0';
  RT_OKAY(rt_deck_to_text(old_deck, &text));
  const rt_err err = rt_deck_same_run(now, text, "old", RT_KEY_OUT_DIR);
  free(text);
  CU_ASSERT(err == RT_OK || err == RT_ERR_CONFIG);
  if (err == RT_OK)
    return;
  const char *const first = strchr(rt_err_text(), '\n');
  const char *const after = strstr(rt_err_text(), "Restore these keys");
  CU_ASSERT_FATAL(first != NULL && after != NULL && after - first < 1000);
  snprintf(lines, 1000, "%.*s", (int)(after - first - 1), first + 1);
}
