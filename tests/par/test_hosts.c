/** \file test_hosts.c
 *  Hosts of the ranks, with names that ranks only pretend to have, and what
 * they need together of limits that they share. ranks: 1 2 4 */
#include "par/hosts.h"

#include "par/node_limits.h"
#include "support/rt_test.h"
#include <string.h>

static const char *my_host; // NULL: the true name

/** Precedes the system's. */
int gethostname(char *name, size_t n)
{
  snprintf(name, n, "%s", my_host != NULL ? my_host : "here");
  return 0;
}

/** Ranks 0 and 2 on one host, 1 and 3 on others. */
static void test_hosts(void)
{
  static const char *const names[] = {"a", "b", "a", "c"};
  static const char *const lists[] = {"a", "a, b", "a, b", "a, b, c"};
  rt_comm *world;
  rt_hosts hosts;
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  const int n = rt_comm_size(world);
  my_host = names[rt_comm_rank(world) % 4];
  RT_OKAY(rt_hosts_find(world, &hosts));
  my_host = NULL;
  CU_ASSERT_EQUAL(hosts.n, n == 1 ? 1 : n == 2 ? 2 : 3);
  CU_ASSERT_EQUAL(hosts.n_ranks, n > 2 ? 2 : 1);
  CU_ASSERT_STRING_EQUAL(hosts.names, lists[n - 1]);
  rt_comm_destroy(&world);
}

/** One limit of each rank, one of all, one of rank 0 and the last rank. */
static void test_limits(void)
{
  rt_comm *world;
  double total[RT_LIMITS_MAX];
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  const int n = rt_comm_size(world), me = rt_comm_rank(world);
  const bool pair = me == 0 || me == n - 1;
  const rt_limits mine = {
      .n = pair ? 3 : 2,
      .limit = {{.group = 0}, {.group = RT_GROUP_NODE}, {.group = 99}}};
  const double need = 1 << me; // sums differ for any two sets of ranks
  RT_OKAY(rt_limits_total(world, &mine, need, total));
  CU_ASSERT_EQUAL(total[0], need);
  CU_ASSERT_EQUAL(total[1], (1 << n) - 1);
  CU_ASSERT_TRUE(!pair || total[2] == (n == 1 ? 1 : 1 + (1 << (n - 1))));
  rt_comm_destroy(&world);
}

RT_TEST_MAIN("hosts", {"names and numbers", test_hosts},
             {"limits of a node", test_limits})
