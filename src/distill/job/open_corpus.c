/** \file open_corpus.c */
#include "distill/job/open_corpus.h"

#include "io/corpus/pattern.h"

#include <stdlib.h>

/** The files by name: patterns stand for those that match. */
static rt_err name_files(const rt_deck *deck, const rt_corpus_spec *spec,
                         rt_names *names)
{
  const bool given = spec->n_files > 0;
  const int n = given ? spec->n_files : rt_deck_n(deck, RT_KEY_DATA_FILES);
  RT_CHECK(n > 0, RT_ERR_CONFIG,
           "data.files is empty: name at least one tokenised corpus");
  for (int i = 0; i < n; i++)
    RT_TRY(rt_names_add(names,
                        given ? spec->files[i]
                              : rt_deck_text_at(deck, RT_KEY_DATA_FILES, i)));
  return RT_OK;
}

static rt_err read_weights(const rt_deck *deck, int n, double **weights)
{
  const int n_weights = rt_deck_n(deck, RT_KEY_DATA_WEIGHTS);
  RT_CHECK(n_weights == 0 || n_weights == n, RT_ERR_CONFIG,
           "data.weights has %d numbers for %d files: give one for each, or "
           "none to blend by size",
           n_weights, n);
  if (n_weights == 0)
    return RT_OK;
  *weights = calloc((size_t)n, sizeof **weights);
  RT_CHECK(*weights != NULL, RT_ERR_MEM, "weights of %d corpora", n);
  for (int i = 0; i < n; i++)
    (*weights)[i] = rt_deck_real_at(deck, RT_KEY_DATA_WEIGHTS, i);
  return RT_OK;
}

rt_err rt_open_corpus(const rt_deck *deck, rt_corpus_spec spec, rt_corpus **out)
{
  rt_names names = {0};
  double *weights = NULL;
  *out = NULL;
  rt_err err = name_files(deck, &spec, &names);
  if (err == RT_OK)
    err = read_weights(deck, names.n, &weights);
  spec.n_files = names.n;
  spec.files = (const char *const *)names.at;
  spec.weights = weights;
  if (err == RT_OK)
    err = rt_corpus_open(&spec, out);
  rt_names_clear(&names);
  free(weights);
  return err;
}
