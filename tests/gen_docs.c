/** \file gen_docs.c
 *  Prints the table of deck keys: gen_docs markdown|yaml|help. */
#include "deck/deck.h"

int main(int argc, char **argv)
{
  if (argc == 2 && rt_deck_document(argv[1], stdout) == RT_OK)
    return 0;
  fprintf(stderr, "usage: gen_docs markdown|yaml|help\n%s\n", rt_err_text());
  return rt_err_exit_code(RT_ERR_USAGE);
}
