/** \file teacher_model.h
 *  A teacher's model beside a student's, on the same ranks.  Layer:
 *  distill/teacher.  Plain data. */
#ifndef RT_TEACHER_MODEL_H
#define RT_TEACHER_MODEL_H

#include "par/grid.h"
#include "model/arch.h"
#include "dev/device.h"

/** All borrowed. */
typedef struct rt_teacher_model {
  const rt_comm *world; /**< all ranks of both grids */
  rt_dev *dev;
  const rt_grid *student, *teacher; /**< dp x tp of each */
  const rt_arch *arch;              /**< shape of the teacher */
  const char *weights;              /**< its Hugging Face folder */
  rt_types types;                   /**< of the teacher */
  int64_t student_vocab; /**< V of the student's head, with its padding */
  int64_t micro_rows;    /**< rows of a student group's micro-batch */
  int64_t seq;           /**< T */
} rt_teacher_model;

#endif
