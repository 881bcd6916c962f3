/** \file node_limits.c
 *  Totals over the ranks that share a limit: those of a cgroup, a job, or a
 *  node. */
#include "par/node_limits.h"

#include <stdlib.h>

/** What a rank sends to the other ranks of its node. */
typedef struct needs {
  double need;
  int64_t n;
  uint64_t group[RT_LIMITS_MAX];
} needs;

static bool is_under(const needs *one, uint64_t group)
{
  for (int64_t i = 0; i < one->n; i++)
    if (one->group[i] == group)
      return true;
  return false;
}

static rt_err gather(const rt_comm *world, const rt_comm *node,
                     const needs *mine, needs **all)
{
  *all = calloc((size_t)rt_comm_size(node), sizeof **all);
  RT_TRY(rt_agree(world, *all != NULL
                             ? RT_OK
                             : RT_FAIL(RT_ERR_MEM, "limits of %d ranks",
                                       rt_comm_size(node))));
  return rt_comm_allgather(node, mine, sizeof *mine, *all);
}

rt_err rt_limits_total(const rt_comm *world, const rt_limits *mine, double need,
                       double total[RT_LIMITS_MAX])
{
  needs me = {.need = need, .n = mine->n}, *all = NULL;
  rt_comm *node = NULL;
  for (int i = 0; i < mine->n; i++)
    me.group[i] = mine->limit[i].group;
  rt_err err = rt_comm_split_node(world, &node);
  if (err == RT_OK)
    err = gather(world, node, &me, &all);
  for (int i = 0; err == RT_OK && i < mine->n; i++) {
    total[i] = me.group[i] == 0 ? need : 0.0;
    for (int r = 0; me.group[i] != 0 && r < rt_comm_size(node); r++)
      total[i] += is_under(&all[r], me.group[i]) ? all[r].need : 0.0;
  }
  free(all);
  rt_comm_destroy(&node);
  return err;
}
