/** \file deck_text.c */
#include "support/deck_text.h"

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
