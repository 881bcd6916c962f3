/** \file test_hffolder.c
 *  Folders of models as people have them: each is found, or its message says
 *  what it is instead.
 *  ranks: 1 */
#include "support/rt_test_files.h"

#include "io/common/foreign.h"
#include "io/hf/hfconfig.h"
#include "io/hf/hffolder.h"
#include "io/hf/safetensors.h"
#include <unistd.h>

static const char config[] =
    "{\"model_type\":\"llama\",\"vocab_size\":32,\"hidden_size\":8,"
    "\"intermediate_size\":16,\"num_hidden_layers\":1,"
    "\"num_attention_heads\":2}";
static const char lfs[] = "version https://git-lfs.github.com/spec/v1\n"
                          "oid sha256:0123456789abcdef\nsize 4096\n";

static void put(const char *folder, const char *name, const char *text)
{
  char path[RT_PATH_MAX];
  rt_put_text(rt_in(folder, name, path), text);
}

static void test_hub_cache(void)
{
  char root[RT_PATH_MAX], hub[RT_PATH_MAX], model[RT_PATH_MAX];
  char snapshot[RT_PATH_MAX], path[RT_PATH_MAX], found[RT_PATH_MAX];
  rt_arch a;
  rt_scratch(root);
  rt_in(root, "hub", hub);
  rt_in(hub, "models--org--tiny", model);
  rt_in(model, "snapshots/abc", snapshot);
  RT_OKAY(rt_folder_create(snapshot));
  RT_FAILS(rt_hfconfig_read(model, &a), RT_ERR_NOINPUT, "without refs/main");
  RT_OKAY(rt_folder_create(rt_in(model, "refs", path)));
  put(model, "refs/main", "abc\n");
  RT_FAILS(rt_hfconfig_read(model, &a), RT_ERR_NOINPUT, "has no config.json");
  put(snapshot, "config.json", config);
  RT_OKAY(rt_hffolder_find(model, found));
  CU_ASSERT_STRING_EQUAL(found, snapshot);
  RT_OKAY(rt_hfconfig_read(model, &a));
  CU_ASSERT_EQUAL(a.vocab, 32);
  RT_FAILS(rt_hfconfig_read(hub, &a), RT_ERR_NOINPUT, "such as ");
  CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "hub/models--org--tiny"));
  put(model, "refs/main", "def");
  RT_FAILS(rt_hfconfig_read(model, &a), RT_ERR_NOINPUT, "snapshots/def");
  put(model, "refs/main", "../../x");
  RT_FAILS(rt_hfconfig_read(model, &a), RT_ERR_DATA,
           "does not contain a commit name");
  RT_FAILS(rt_hfconfig_read("meta-llama/Llama-2-7b-hf", &a), RT_ERR_NOINPUT,
           "hf download meta-llama/Llama-2-7b-hf");
  RT_OKAY(rt_path_remove(root));
}

/** A copy of a snapshot without the blobs that it links to. */
static void test_dangling(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], hex[RT_SHA256_HEX];
  rt_safetensors *st;
  rt_arch a;
  rt_scratch(folder);
  CU_ASSERT_EQUAL(symlink("../blobs/b1", rt_in(folder, "config.json", path)),
                  0);
  RT_FAILS(rt_hfconfig_read(folder, &a), RT_ERR_NOINPUT,
           "config.json: it is a link to ../blobs/b1, which is not there");
  symlink("../blobs/b2", rt_in(folder, "model.safetensors", path));
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_NOINPUT,
           "a link to ../blobs/b2");
  symlink("../blobs/b3", rt_in(folder, "tokenizer.json", path));
  RT_FAILS(rt_tokenizer_hash(folder, hex), RT_ERR_NOINPUT,
           "a link to ../blobs/b3");
  RT_OKAY(rt_path_remove(folder));
}

static void test_other_files(void)
{
  static const struct {
    const char *name, *part;
  } cases[] = {
      {"pytorch_model.bin", "pytorch_model.bin is in PyTorch's format"},
      {"pytorch_model-00001-of-00002.bin", "save_pretrained"},
      {"tiny.Q4_0.gguf", "tiny.Q4_0.gguf is GGUF"},
      {"adapter_config.json", "an adapter (LoRA)"},
      {"consolidated.00.pth", "of the model's makers"},
      {"model-00001-of-00002.safetensors", "model.safetensors.index.json"},
      {"notes.txt", "expected the Hugging Face folder of a model"},
  };
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  rt_safetensors *st;
  rt_arch a;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rt_scratch(folder);
    put(folder, cases[i].name, "x");
    RT_FAILS(rt_hfconfig_read(folder, &a), RT_ERR_NOINPUT, cases[i].part);
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "has no config.json"));
    RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_NOINPUT, cases[i].part);
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "has no model.safetensors"));
    RT_OKAY(rt_path_remove(rt_in(folder, cases[i].name, path)));
    RT_OKAY(rt_path_remove(folder));
  }
}

static void test_other_contents(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], hex[RT_SHA256_HEX];
  rt_safetensors *st;
  rt_arch a;
  rt_scratch(folder);
  put(folder, "model.safetensors", lfs);
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA,
           "model.safetensors is a Git LFS pointer, not the file itself");
  put(folder, "model.safetensors", "GGUF\3 and so on");
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA, "is a GGUF file");
  put(folder, "model.safetensors", "PK\3\4 and so on");
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA, "as torch.save");
  put(folder, "model.safetensors", "<!DOCTYPE html><html>");
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA, "a page of HTML");
  put(folder, "model.safetensors", "../../blobs/b2");
  RT_FAILS(rt_safetensors_open(folder, &st), RT_ERR_DATA, "text of a link");
  put(folder, "config.json", "../../blobs/b1");
  RT_FAILS(rt_hfconfig_read(folder, &a), RT_ERR_DATA, "text of a link");
  put(folder, "config.json", lfs);
  RT_FAILS(rt_hfconfig_read(folder, &a), RT_ERR_DATA, "git lfs pull");
  put(folder, "model.gguf", "GGUF\3");
  RT_FAILS(rt_hfconfig_read(rt_in(folder, "model.gguf", path), &a), RT_ERR_DATA,
           "model.gguf is a GGUF file");
  put(folder, "tokenizer.json", lfs);
  RT_FAILS(rt_tokenizer_hash(folder, hex), RT_ERR_DATA,
           "tokenizer.json is a Git LFS pointer");
  CU_ASSERT_STRING_EQUAL(hex, "");
  put(folder, "text",
      "Gr\xc3\xbc\xc3\x9f"
      "e,\n\tWelt\n");
  CU_ASSERT_STRING_EQUAL(rt_foreign_file(rt_in(folder, "text", path)), "text");
  rt_put_bytes(rt_in(folder, "ids", path), "\1\0\2\0", 4);
  CU_ASSERT_PTR_NULL(rt_foreign_file(path));
  CU_ASSERT_PTR_NULL(rt_foreign_file(rt_in(folder, "nothing", path)));
  RT_OKAY(rt_path_remove(folder));
}

RT_TEST_MAIN("hffolder", {"the cache of the hub", test_hub_cache},
             {"links to nothing", test_dangling},
             {"weights in other formats", test_other_files},
             {"contents of another kind", test_other_contents})
