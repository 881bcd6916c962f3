/** \file door.h
 *  A door that one process at a time is behind.  Layer: io.
 *
 *  Opened by the system when its holder is killed, where the file system has
 *  flock, or else fcntl's locks.  Where it has neither, a second file stands
 *  for the lock: one that a killed holder left is removed after a minute. */
#ifndef RT_DOOR_H
#define RT_DOOR_H

#include "base/err.h"
#include "base/file.h"

/** How it is locked: in this order, each when the one before cannot be. */
typedef enum rt_door_way {
  RT_DOOR_FLOCK,
  RT_DOOR_FCNTL,
  RT_DOOR_NAME // a file of another name that only one process can create
} rt_door_way;

typedef struct rt_door {
  char path[RT_PATH_MAX]; // a file that is there while someone is behind it
  rt_door_way way;        // found out by the first to enter
  int fd;                 // of the file; -1 outside
} rt_door;

/** \a path [RT_PATH_MAX] and what its second name adds must fit. */
RT_MUST rt_err rt_door_init(rt_door *door, const char *path);
/** Go behind it.  The file's time is then the file system's idea of now.  False
 *  with errno: EWOULDBLOCK while another process is there.  Warns when it has
 *  to lock in another way. */
RT_MUST bool rt_door_enter(rt_door *door);
void rt_door_leave(rt_door *door);

/** Does errno \a reason say that a file system lacks an operation? */
bool rt_door_lacks(int reason);

#endif
