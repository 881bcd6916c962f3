/** \file scratch.h
 *  A folder for the files of a test, and damage to them. */
#ifndef RT_SCRATCH_H
#define RT_SCRATCH_H

#include "base/file.h"
#include "base/rng.h"
#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** A fresh folder, the same on all ranks. */
void scratch_create(char folder[RT_PATH_MAX]);

void scratch_remove(const char *folder);

/** Number \a i of a fixed random sequence, below \a n. */
int64_t scratch_random(int i, int64_t n);

/** Exclusive or of one byte of a file. */
void scratch_flip(const char *path, int64_t offset, int mask);

/** \a n bytes of a known pattern. */
void scratch_fill(const char *path, int64_t n);

#endif
