/** \file hffolder.c
 *  Folders found in practice: hub caches, clones without LFS, weights in other
 *  formats. */
#include "io/hf/hffolder.h"

#include "base/log.h"
#include "base/text.h"
#include "io/common/foreign.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool begins_with(const char *text, const char *begin)
{
  return strncmp(text, begin, strlen(begin)) == 0;
}

static bool in_folder(const char *folder, const char *name)
{
  char path[RT_PATH_MAX];
  return rt_path_join(path, folder, name) == RT_OK && rt_path_exists(path);
}

/** Find the first name in \a folder with this beginning and end; \return found.
 */
static bool first_name(const char *folder, const char *begin, const char *end,
                       char name[256])
{
  DIR *dir = opendir(folder);
  const struct dirent *e;
  name[0] = '\0';
  while (dir != NULL && (e = readdir(dir)) != NULL)
    if (begins_with(e->d_name, begin) && rt_text_ends_with(e->d_name, end) &&
        e->d_name[0] != '.' && (name[0] == '\0' || strcmp(e->d_name, name) < 0))
      snprintf(name, 256, "%s", e->d_name);
  if (dir != NULL)
    closedir(dir);
  return name[0] != '\0';
}

/** Read the commit that refs/main names. */
static rt_err read_ref(const char *folder, char commit[128])
{
  char path[RT_PATH_MAX], *text;
  size_t n;
  RT_TRY(rt_path_join(path, folder, "refs/main"));
  RT_CHECK(rt_file_exists(path), RT_ERR_NOINPUT,
           "%s is a folder of the Hugging Face cache without refs/main: give "
           "the path of the snapshot, %s/snapshots/...",
           folder, folder);
  RT_TRY(rt_file_slurp(path, 100, &text, &n));
  snprintf(commit, 128, "%.*s", (int)strcspn(text, " \r\n"), text);
  free(text);
  RT_CHECK(commit[0] != '\0' && strchr(commit, '/') == NULL && commit[0] != '.',
           RT_ERR_DATA, "%s does not contain a commit name", path);
  return RT_OK;
}

rt_err rt_hffolder_find(const char *name, char folder[RT_PATH_MAX])
{
  char snapshots[RT_PATH_MAX], commit[128];
  RT_TRY(rt_path_join(folder, "", name));
  if (in_folder(name, "config.json") || !in_folder(name, "snapshots"))
    return RT_OK;
  RT_TRY(read_ref(name, commit));
  RT_TRY(rt_path_join(snapshots, name, "snapshots"));
  RT_TRY(rt_path_join(folder, snapshots, commit));
  RT_CHECK(rt_folder_exists(folder), RT_ERR_NOINPUT,
           "%s/refs/main names the snapshot %s, which is not there: download "
           "the model again, or give the path of a snapshot",
           name, folder);
  return RT_OK;
}

/** What a folder may contain instead of weights or a configuration, most
 *  specific first. */
static const struct {
  const char *begin, *end; /**< of the file name */
  const char *what;
} others[] = {
    {"adapter_", ".json",
     "an adapter (LoRA): merge it into its model first "
     "(peft: merge_and_unload, save_pretrained)"},
    {"", ".gguf",
     "GGUF, which is not read: take the model's Hugging Face "
     "folder, with config.json and model.safetensors"},
    {"pytorch_model", ".bin",
     "in PyTorch's format: load the model with "
     "transformers and save it again "
     "(save_pretrained) as safetensors"},
    {"consolidated", "",
     "in the format of the model's makers: take its Hugging "
     "Face folder, with config.json and "
     "model.safetensors"},
    {"", ".pth",
     "in PyTorch's format: load the model with transformers and "
     "save it again (save_pretrained) as safetensors"},
    {"", ".pt",
     "in PyTorch's format: load the model with transformers and "
     "save it again (save_pretrained) as safetensors"},
    {"", ".h5",
     "in TensorFlow's format: load the model with transformers "
     "and save it again (save_pretrained) as safetensors"},
    {"", ".msgpack",
     "in Flax's format: load the model with transformers and "
     "save it again (save_pretrained) as safetensors"},
    {"", ".safetensors",
     "neither called model.safetensors nor listed in a "
     "model.safetensors.index.json, which is required if there are several "
     "files"},
};

/** Error if the folder is a hub cache that contains models. */
static rt_err refuse_cache(const char *folder, const char *model)
{
  return RT_FAIL(RT_ERR_NOINPUT,
                 "%s is a cache of the Hugging Face hub, not a model: give the "
                 "path of one of its models, such as %s/%s",
                 folder, folder, model);
}

/** Is it a model name of the hub, ORG/NAME? */
static bool is_hub_name(const char *name)
{
  const char *slash = strchr(name, '/');
  return slash != NULL && slash != name && slash[1] != '\0' &&
         strchr(slash + 1, '/') == NULL && name[0] != '.' && name[0] != '~';
}

rt_err rt_hffolder_refuse(const char *folder, const char *wanted)
{
  char name[256];
  RT_CHECK(rt_folder_exists(folder) || !is_hub_name(folder), RT_ERR_NOINPUT,
           "%s: no such folder, and retort does not download models: run `hf "
           "download %s --local-dir FOLDER`, then use that folder",
           folder, folder);
  RT_CHECK(rt_folder_exists(folder), RT_ERR_NOINPUT,
           "%s: no such file or folder", folder);
  if (first_name(folder, "models--", "", name))
    return refuse_cache(folder, name);
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
    if (first_name(folder, others[i].begin, others[i].end, name))
      return RT_FAIL(RT_ERR_NOINPUT, "%s has no %s; %s is %s", folder, wanted,
                     name, others[i].what);
  return RT_FAIL(RT_ERR_NOINPUT,
                 "%s has no %s: expected the Hugging Face folder of a model, "
                 "as saved by transformers (save_pretrained)",
                 folder, wanted);
}
