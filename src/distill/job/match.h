/** \file match.h
 *  Does a dataset belong to the corpus and tokenizer of a run?  Layer: distill.
 */
#ifndef RT_MATCH_H
#define RT_MATCH_H

#include "io/corpus/corpus.h"
#include "io/logits/logits.h"

enum { RT_MATCH_TEXT = 256 };

/** The objects to compare.  All borrowed. */
typedef struct rt_match_spec {
  const rt_logits *dataset;
  const char *folder;      /**< of the dataset, for messages */
  const rt_corpus *corpus; /**< the run's, rows of any length; NULL: none */
  const char *corpus_hash; /**< hash of its files (known_by.h); "": unknown */
  const char *tokenizer_hash; /**< the run's tokenizer; "": unknown */
} rt_match_spec;

/** Compare tokenizer, corpus and split of the dataset with those of the run.
 *  RT_ERR_CONFIG with both hashes and the first row whose ids differ.  Rows are
 *  read only if something differs.  Not collective. */
RT_MUST rt_err rt_match_dataset(const rt_match_spec *spec);
/** Compare row \a i of \a ds, read into \a stored, with \a corpus, whose rows
 *  have the same length.  Thread-safe.
 *  \param tok  [T + 1] scratch
 *  \param where  the difference as text; "": they are equal */
RT_MUST rt_err rt_match_row(const rt_logits *ds, int64_t i,
                            const rt_logits_row *stored,
                            const rt_corpus *corpus, uint32_t *tok,
                            char where[RT_MATCH_TEXT]);

#endif
