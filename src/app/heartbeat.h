/** \file heartbeat.h
 *  The file in which ranks see each other without MPI: a line of fixed size for
 *  each rank, written by that rank alone.  Layer: app.  Plain text, so that a
 *  person can read it too. */
#ifndef RT_HEARTBEAT_H
#define RT_HEARTBEAT_H

#include "base/file.h"
#include <stdint.h>

/** What a rank says of itself. */
typedef struct rt_pulse {
  uint64_t tick; /**< lines written so far; 0: none of this run is there */
  int pid;
  double age_s; /**< since the last beat */
  uint64_t n_collectives;
  int64_t step;
  char main; /**< state of the main thread: R runs, S sleeps, D waits for I/O;
                  W it is done and waits for others */
  char host[64], doing[64];
  char where[64]; /**< the collective that it waits in, a word; "-": in none */
} rt_pulse;

/** Caller's storage.  Not for several threads. */
typedef struct rt_heartbeat {
  const char *folder; // borrowed, "" without one
  char path[RT_PATH_MAX];
  uint64_t run; // tells this run's lines from those of one that died
  int rank, n_ranks, fd;
  bool open;
  bool one_node;  /**< has all ranks: set it when it is known */
  bool in_folder; /**< the file is in the run's folder, not the node's */
  bool everyone;  /**< all ranks that live are in the file */
  rt_pulse mine;
} rt_heartbeat;

void rt_heartbeat_init(rt_heartbeat *h, const char *folder, uint64_t run,
                       int rank, int n_ranks);
/** FOLDER/heartbeat, or a file of this node when there is no folder.  A file
 *  that cannot be written leaves \a open false: the watchdog then knows its
 *  own rank only. */
void rt_heartbeat_open(rt_heartbeat *h);
/** A rank of this node has opened the node's file, and may look for this one's
 *  line. */
bool rt_heartbeat_calls(const rt_heartbeat *h);
/** Where the node's file is. */
const char *rt_heartbeat_tmp(void);
/** Write h->mine; \a surely: also flush it to where other nodes look. */
void rt_heartbeat_write(rt_heartbeat *h, bool surely);
/** All ranks' lines into \a all [n_ranks]; tick 0 where there is none.  False:
 *  the file was removed, which is what a rank does that ends the job. */
bool rt_heartbeat_read(const rt_heartbeat *h, rt_pulse *all);
/** \a remove: also remove the file.  False: somebody else had. */
bool rt_heartbeat_close(rt_heartbeat *h, bool remove);

#endif
