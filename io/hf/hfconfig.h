/** \file hfconfig.h
 *  config.json and the tokenizer files of Hugging Face folders.  Layer: io. */
#ifndef RT_HFCONFIG_H
#define RT_HFCONFIG_H

#include "base/err.h"
#include "base/hash.h"
#include "base/model_shape.h"

/** Read config.json from \a path (a folder, or the file).  Formats of
 *  transformers 4 (rope_theta, rope_scaling) and 5 (rope_parameters) are
 *  supported.  A field that Retort does not implement but that affects results
 *  (sliding window, another activation, rope type or logit scaling ...) is
 *  rejected by name. */
RT_MUST rt_err rt_hfconfig_read(const char *path, rt_arch *arch);
/** The same from a text in memory; \a where stands for the file in messages. */
RT_MUST rt_err rt_hfconfig_parse(const char *where, const char *text, size_t n,
                                 rt_arch *arch);
/** Name of a scaling type in transformers: "default", "linear" ... */
const char *rt_rope_kind_name(rt_rope_kind kind);
/** The eos_token_id of generation_config.json: \a eos if it equals that or is
 *  in its list, otherwise the first of the list; \a eos if there is no such
 *  file or id. */
RT_MUST rt_err rt_generation_eos(const char *folder, int64_t eos, int64_t *out);
/** The text of a config.json that transformers 4 and 5 and rt_hfconfig_read can
 *  read; RT_ERR_CONFIG if they do not support \a arch.  The caller frees it.
 *  \param where  source of the model, for messages */
RT_MUST rt_err rt_hfconfig_text(const rt_arch *arch, const char *where,
                                char **text);

/** SHA-256 over the tokenizer's files (tokenizer.json, or else the vocabulary
 *  files); RT_ERR_NOINPUT if the folder has none. */
RT_MUST rt_err rt_tokenizer_hash(const char *folder, char hex[RT_SHA256_HEX]);
/** Number of ids of a tokenizer.json: the largest plus one, including added
 *  tokens; 0 if the folder has none that can be read. */
RT_MUST rt_err rt_tokenizer_size(const char *folder, int64_t *n);
/** Copy the tokenizer files and generation_config.json that exist; *n = number
 *  of files. */
RT_MUST rt_err rt_tokenizer_copy(const char *from, const char *to, int *n);

#endif
