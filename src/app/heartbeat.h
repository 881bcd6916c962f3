/** \file heartbeat.h
 *  A file through which ranks observe each other without MPI: one line of fixed
 *  size per rank, written by that rank only.  Layer: app.  Plain text, so that
 *  people can read it, too. */
#ifndef RT_HEARTBEAT_H
#define RT_HEARTBEAT_H

#include "base/file.h"
#include <stdint.h>

/** The state of a rank. */
typedef struct rt_pulse {
  uint64_t tick; /**< number of lines written; 0: no line of this run */
  int pid;
  double age_s; /**< seconds since the last beat */
  uint64_t n_collectives;
  int64_t step;
  char main; /**< state of the main thread: R running, S sleeping, D waiting for
                I/O, W done and waiting for other ranks */
  char host[64], doing[64];
  char where[64]; /**< the collective in which it waits, one word; "-": none */
} rt_pulse;

/** In caller's storage.  Not thread-safe. */
typedef struct rt_heartbeat {
  const char *folder; // borrowed, "" without one
  char path[RT_PATH_MAX];
  uint64_t run; // distinguishes this run's lines from those of an earlier run
  int rank, n_ranks, fd;
  bool open;
  bool one_node;  /**< all ranks are on one node; set once known */
  bool in_folder; /**< the file is in the run's folder instead of the node's
                     /tmp */
  bool everyone;  /**< every live rank has a line in the file */
  rt_pulse mine;
} rt_heartbeat;

void rt_heartbeat_init(rt_heartbeat *h, const char *folder, uint64_t run,
                       int rank, int n_ranks);
/** Open FOLDER/heartbeat, or a file of this node if there is no folder.  If the
 *  file cannot be written, \a open remains false, and the watchdog sees only
 *  its own rank. */
void rt_heartbeat_open(rt_heartbeat *h);
/** Has a rank of this node opened the node's file?  It may be looking for this
 *  rank's line. */
bool rt_heartbeat_calls(const rt_heartbeat *h);
/** The folder of the node's file. */
const char *rt_heartbeat_tmp(void);
/** Where a line must arrive. */
typedef enum rt_heartbeat_reach {
  RT_HEARTBEAT_NODE, /**< other processes of this node see it */
  RT_HEARTBEAT_ALL   /**< flushed: other nodes see it, too */
} rt_heartbeat_reach;
/** Write h->mine. */
void rt_heartbeat_write(rt_heartbeat *h, rt_heartbeat_reach reach);
/** Read the lines of all ranks into \a all [n_ranks]; tick 0 if there is none.
 *  Returns false if the file was removed, which the rank that ends the job
 *  does. */
bool rt_heartbeat_read(const rt_heartbeat *h, rt_pulse *all);
/** Close the file, if it is open. */
void rt_heartbeat_close(rt_heartbeat *h);
/** Close and delete it.  False: another rank had deleted it. */
bool rt_heartbeat_remove(rt_heartbeat *h);

#endif
