/** \file text.h
 *  Comparisons of names.  Layer: base. */
#ifndef RT_TEXT_H
#define RT_TEXT_H

#include <stdbool.h>

bool rt_text_ends_with(const char *text, const char *end);
/** Order of strings by their bytes, independent of the locale, for qsort over
 *  an array of char pointers. */
int rt_text_compare(const void *a, const void *b);

#endif
