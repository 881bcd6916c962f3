/** \file verb_export.c
 *  retort export RUN OUT. */
#include "app/app.h"

#include "base/log.h"
#include "distill/run.h"

rt_err rt_verb_export(const rt_comm *world, const rt_cli *cli)
{
  RT_TRY(rt_run_export(world, cli->words[0], cli->words[1]));
  rt_info("%s: a Hugging Face folder; transformers loads it with "
          "AutoModelForCausalLM.from_pretrained",
          cli->words[1]);
  return RT_OK;
}
