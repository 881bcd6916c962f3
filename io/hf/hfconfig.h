/** \file hfconfig.h
 *  config.json and the tokenizer files of Hugging Face folders.  Layer: io. */
#ifndef RT_HFCONFIG_H
#define RT_HFCONFIG_H

#include "base/err.h"
#include "base/hash.h"
#include "base/model_shape.h"

/** Read config.json of \a path (a folder, or the file).  transformers 4
 *  (rope_theta, rope_scaling) and 5 (rope_parameters) are understood; a field
 *  that retort would ignore but that changes the numbers (sliding window,
 *  another activation, another rope type, logit scaling ...) is refused by
 *  name. */
RT_MUST rt_err rt_hfconfig_read(const char *path, rt_arch *arch);
/** The same from text in memory; \a where stands for the file in messages. */
RT_MUST rt_err rt_hfconfig_parse(const char *where, const char *text, size_t n,
                                 rt_arch *arch);
/** "default", "linear" ..., as transformers calls it. */
const char *rt_rope_kind_name(rt_rope_kind kind);
/** The eos_token_id of generation_config.json: \a eos where that is it, or one
 *  of its list, else the first; \a eos, too, when there is no such file or id.
 */
RT_MUST rt_err rt_generation_eos(const char *folder, int64_t eos, int64_t *out);
/** The text of a config.json that transformers 4, 5 and rt_hfconfig_read read;
 *  RT_ERR_CONFIG when \a arch is none that they know.  The caller frees.
 *  \param where  has the model, for messages */
RT_MUST rt_err rt_hfconfig_text(const rt_arch *arch, const char *where,
                                char **text);
/** Write it as \a folder/config.json. */
RT_MUST rt_err rt_hfconfig_write(const char *folder, const rt_arch *arch);

/** SHA-256 over the tokenizer's files (tokenizer.json, else the vocabulary
 *  files); RT_ERR_NOINPUT when the folder has none. */
RT_MUST rt_err rt_tokenizer_hash(const char *folder, char hex[RT_SHA256_HEX]);
/** Ids of a tokenizer.json, the largest plus one, added tokens included; 0: the
 *  folder has none that can be read. */
RT_MUST rt_err rt_tokenizer_size(const char *folder, int64_t *n);
/** Copy tokenizer files and generation_config.json that are there; *n = how
 *  many. */
RT_MUST rt_err rt_tokenizer_copy(const char *from, const char *to, int *n);

#endif
