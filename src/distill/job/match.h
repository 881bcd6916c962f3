/** \file match.h
 *  Does a dataset belong to the corpus and tokenizer of a run?  Layer: distill.
 */
#ifndef RT_MATCH_H
#define RT_MATCH_H

#include "io/corpus/corpus.h"
#include "io/logits/logits.h"

enum { RT_MATCH_TEXT = 256 };

/** What is compared.  All borrowed. */
typedef struct rt_match_spec {
  const rt_logits *dataset;
  const char *folder;         /**< of the dataset, for messages */
  const rt_corpus *corpus;    /**< of the run, rows of any length; NULL: none */
  const char *corpus_hash;    /**< of its files (known_by.h); "": not known */
  const char *tokenizer_hash; /**< of the run; "": not known */
} rt_match_spec;

/** Tokenizer, corpus and split of the dataset against those of the run:
 *  RT_ERR_CONFIG with both hashes and the first row whose ids differ.  Rows
 *  are read only when something differs.  Not collective. */
RT_MUST rt_err rt_match_dataset(const rt_match_spec *spec);
/** Row \a i of \a ds, which was read into \a stored, against \a corpus, whose
 *  rows are as long.  Thread-safe.
 *  \param tok  [T + 1] to work in  \param where  how they differ, "": they are
 *  equal */
RT_MUST rt_err rt_match_row(const rt_logits *ds, int64_t i,
                            const rt_logits_row *stored,
                            const rt_corpus *corpus, uint32_t *tok,
                            char where[RT_MATCH_TEXT]);

#endif
