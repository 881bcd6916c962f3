/** \file door.h
 *  A mutex between processes, held by one process at a time.  Layer: io.
 *
 *  The system releases it when its holder is killed, if the file system
 *  supports flock or fcntl locks.  Otherwise the existence of a second file
 *  represents the lock; one left by a killed holder is removed after a minute.
 */
#ifndef RT_DOOR_H
#define RT_DOOR_H

#include "base/err.h"
#include "base/file.h"

/** Locking methods, in order of preference; the next is used if one is
 *  unsupported. */
typedef enum rt_door_way {
  RT_DOOR_FLOCK,
  RT_DOOR_FCNTL,
  RT_DOOR_NAME // a second file that only one process can create
} rt_door_way;

typedef struct rt_door {
  char path[RT_PATH_MAX]; // a file that exists while a process holds the mutex
  rt_door_way way;        // determined by the first rt_door_enter
  int fd;                 // of the file; -1 while not held
} rt_door;

/** Fails if \a path with the suffix of the second name exceeds RT_PATH_MAX. */
RT_MUST rt_err rt_door_init(rt_door *door, const char *path);
/** Acquire the mutex.  The file's modification time is then the file system's
 *  current time.  False with errno set: EWOULDBLOCK if another process holds
 *  it.  Warns when it falls back to another method. */
RT_MUST bool rt_door_enter(rt_door *door);
void rt_door_leave(rt_door *door);

/** Does errno \a reason mean that the file system lacks an operation? */
bool rt_door_lacks(int reason);

#endif
