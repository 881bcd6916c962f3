/** \file hosts.c
 *  Host names of all ranks. */
#include "par/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOST = 64, HOSTS_SHOWN = 4 };

static void count(const char (*all)[HOST], int n_ranks, rt_hosts *out)
{
  for (int r = 0; r < n_ranks; r++) {
    int s = 0;
    while (s < r && strcmp(all[s], all[r]) != 0)
      s++;
    out->n_ranks += s == 0;
    if (s < r)
      continue; // counted already
    out->n++;
    const size_t used = strlen(out->names);
    if (out->n <= HOSTS_SHOWN)
      snprintf(out->names + used, sizeof out->names - used, "%s%s",
               out->n > 1 ? ", " : "", all[r]);
    else if (out->n == HOSTS_SHOWN + 1)
      snprintf(out->names + used, sizeof out->names - used, ", ...");
  }
}

rt_err rt_hosts_find(const rt_comm *world, rt_hosts *out)
{
  const int n_ranks = rt_comm_size(world);
  char mine[HOST] = "";
  *out = (rt_hosts){0};
  gethostname(mine, sizeof mine - 1);
  char(*all)[HOST] = calloc((size_t)n_ranks, sizeof *all);
  rt_err err = RT_OK;
  if (all == NULL)
    err = RT_FAIL(RT_ERR_MEM, "host names of %d ranks", n_ranks);
  err = rt_agree(world, err);
  if (err == RT_OK)
    err = rt_comm_allgather(world, mine, sizeof mine, all);
  if (err == RT_OK && all != NULL)
    count((const char(*)[HOST])all, n_ranks, out);
  free(all);
  return err;
}
