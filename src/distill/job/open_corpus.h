/** \file open_corpus.h
 *  The corpus that a deck names.  Layer: distill. */
#ifndef RT_OPEN_CORPUS_H
#define RT_OPEN_CORPUS_H

#include "deck/deck.h"
#include "io/corpus/corpus.h"

/** Open the files of \a spec, or those of data.files when it has none, blended
 *  by data.weights; all else is as \a spec says.  RT_ERR_CONFIG when the keys
 * do not fit together.  Not collective. */
RT_MUST rt_err rt_open_corpus(const rt_deck *deck, rt_corpus_spec spec,
                              rt_corpus **out);

#endif
