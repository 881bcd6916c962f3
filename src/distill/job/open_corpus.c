/** \file open_corpus.c */
#include "distill/job/open_corpus.h"

#include <stdlib.h>

rt_err rt_open_corpus(const rt_deck *deck, rt_corpus_spec spec, rt_corpus **out)
{
  const bool given = spec.n_files > 0;
  const int n = given ? spec.n_files : rt_deck_n(deck, RT_KEY_DATA_FILES);
  const int n_weights = rt_deck_n(deck, RT_KEY_DATA_WEIGHTS);
  *out = NULL;
  RT_CHECK(n > 0, RT_ERR_CONFIG,
           "data.files is empty: name at least one tokenised corpus");
  RT_CHECK(n_weights == 0 || n_weights == n, RT_ERR_CONFIG,
           "data.weights has %d numbers for %d files: give one for each, or "
           "none to blend by size",
           n_weights, n);
  const char **files = calloc((size_t)n, sizeof *files);
  double *weights = calloc((size_t)n, sizeof *weights);
  rt_err err = RT_OK;
  if (files == NULL || weights == NULL)
    err = RT_FAIL(RT_ERR_MEM, "%d names of corpora", n);
  for (int i = 0; err == RT_OK && i < n; i++) {
    files[i] =
        given ? spec.files[i] : rt_deck_text_at(deck, RT_KEY_DATA_FILES, i);
    weights[i] =
        n_weights > 0 ? rt_deck_real_at(deck, RT_KEY_DATA_WEIGHTS, i) : 0.0;
  }
  spec.n_files = n;
  spec.files = files;
  spec.weights = n_weights > 0 ? weights : NULL;
  if (err == RT_OK)
    err = rt_corpus_open(&spec, out);
  free(files);
  free(weights);
  return err;
}
