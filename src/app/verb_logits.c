/** \file verb_logits.c
 *  retort logits info|verify FOLDER. */
#include "app/app.h"

#include "base/log.h"
#include <string.h>

static void print_info(const rt_logits *ds, const char *folder)
{
  const rt_logits_info *i = rt_logits_about(ds);
  const double tokens = (double)i->n_rows * (double)i->seq;
  rt_info("%s", folder);
  rt_info("  %lld rows of %lld tokens (%.0f), vocabulary %lld, top-%g-%lld",
          (long long)i->n_rows, (long long)i->seq, tokens, (long long)i->vocab,
          i->top_p, (long long)i->top_k);
  rt_info("  %.2f entries and %.1f bytes a token, all files counted",
          (double)rt_logits_total_entries(ds) / tokens,
          (double)rt_logits_total_bytes(ds) / tokens);
  rt_info("  teacher %s (%s)", i->teacher, i->teacher_hash);
  rt_info("  tokenizer %s", i->tokenizer_hash);
  rt_info("  corpus %s, eot %lld, held out %g (seed %llu)%s", i->corpus_hash,
          (long long)i->eot, i->valid_fraction,
          (unsigned long long)i->split_seed,
          i->mask_documents ? ", documents masked" : "");
  rt_info("  licence: %s; made by %s, %s", i->license, i->creator, i->created);
}

/** Every row: its hash and its invariants; ranks take a share each. */
static rt_err verify(const rt_comm *world, const rt_logits *ds)
{
  const int64_t n_rows = rt_logits_about(ds)->n_rows;
  rt_logits_row row = {0};
  rt_err err = RT_OK;
  for (int64_t r = rt_comm_rank(world); err == RT_OK && r < n_rows;
       r += rt_comm_size(world))
    err = rt_logits_read(ds, r, &row);
  rt_logits_row_clear(&row);
  RT_TRY(rt_agree(world, err));
  rt_info("  verified: %lld rows, every hash and every entry",
          (long long)n_rows);
  return RT_OK;
}

rt_err rt_verb_logits(const rt_comm *world, const rt_cli *cli)
{
  const bool check = strcmp(cli->words[0], "verify") == 0;
  RT_CHECK(check || strcmp(cli->words[0], "info") == 0, RT_ERR_USAGE,
           "retort logits takes info or verify, got '%s'", cli->words[0]);
  rt_logits *ds = NULL;
  rt_err err = rt_logits_open(rt_comm_mpi(world), cli->words[1], &ds);
  if (err == RT_OK)
    print_info(ds, cli->words[1]);
  if (err == RT_OK && check)
    err = verify(world, ds);
  rt_logits_close(&ds);
  return err;
}
