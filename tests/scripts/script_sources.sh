#!/bin/bash
# Where two sources of one setting disagree (files of a model folder, keys of the deck),
# the run is rejected: none wins silently.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

make_teacher
live=(teacher.source=live teacher.weights=teacher.hf eval.rows=0)

# --- model folders that contradict themselves
"$PYTHON" - <<'PY' || fail "cannot make odd folders"
import json, os, shutil, struct
def read(path):
    data = open(path, "rb").read()
    n = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:n]), data[n:]
def odd(name, tensor, value, shape):
    """teacher.hf with one tensor of f32 more"""
    shutil.copytree("teacher.hf", name)
    header, data = read(name + "/model.safetensors")
    header.pop("__metadata__", None)
    header[tensor] = {"dtype": "F32", "shape": shape,
                      "data_offsets": [len(data), len(data) + len(value)]}
    text = json.dumps(header).encode()
    with open(name + "/model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data + value)
header, data = read("teacher.hf/model.safetensors")
embed = header["model.embed_tokens.weight"]
begin, end = embed["data_offsets"]
same = data[begin:end]
odd("head-same", "lm_head.weight", same, embed["shape"])
odd("head-own", "lm_head.weight", same[:-4] + struct.pack("<f", 0.5),
    embed["shape"])
dim = json.load(open("teacher.hf/config.json"))["head_dim"]
for name, theta in ("turns-same", 1e4), ("turns-other", 5e5):
    freq = [theta ** (-2 * i / dim) for i in range(dim // 2)]
    odd(name, "model.layers.0.self_attn.rotary_emb.inv_freq",
        struct.pack(f"<{len(freq)}f", *freq), [len(freq)])
PY
expect 0 1 train deck.yaml output.dir=plain "${live[@]}" train.length=2
for same in head-same turns-same; do
  expect 0 2 train deck.yaml "output.dir=run-$same" "${live[@]}" train.length=2 \
    teacher.tp=2 student.tp=2 "teacher.weights=$same"
  close_to plain "run-$same"
done
for tp in 1 2; do # of tp 2 the last row, the other one, is rank 1's
  expect 65 2 train deck.yaml "${live[@]}" teacher.tp="$tp" \
    teacher.weights=head-own
  says err.txt "says tie_word_embeddings true, but lm_head.weight is not"
done
expect 65 1 train deck.yaml student.weights=head-own
says err.txt "has a head of its own"
expect 65 2 train deck.yaml "${live[@]}" teacher.weights=turns-other
says err.txt "inv_freq has other rotary frequencies than config.json"

# --- student.weights and a student.config of another shape
cp -r teacher.hf other-shape
sed -i 's/"intermediate_size": 48/"intermediate_size": 96/' \
  other-shape/config.json
expect 78 2 train deck.yaml student.weights=teacher.hf student.config=other-shape
says err.txt "student.weights is teacher.hf and student.config is other-shape"
expect 0 1 train deck.yaml student.weights=teacher.hf train.length=1 \
  student.config=teacher.hf/config.json eval.rows=0 student.rope_theta=5e5
says err.txt "student.rope_theta 500000 (it has 10000)"

# --- a student that could not be exported is rejected before the first step
for keys in student.qkv_bias=true "student.width=30 student.head_dim=8" \
  "student.heads=2048 student.head_dim=4096 student.width=2048"; do
  read -ra bad <<<"$keys"
  expect 78 2 train deck.yaml output.dir=unwritable checkpoint.every=2 "${bad[@]}"
  says err.txt "student.*"
  [ -e unwritable ] && fail "$keys: a refused run left its folder"
  expect 78 1 plan deck.yaml "${bad[@]}"
done

# --- a tokenizer whose ids do not fit the deck or the model
mkdir words
echo '{"model": {"vocab": {"a": 0, "b": 69}}}' >words/tokenizer.json
echo '{"eos_token_id": [3, 5]}' >words/generation_config.json
expect 0 1 train deck.yaml data.tokenizer=words train.length=1 output.dir=spoken
says err.txt "words has ids up to 69, but the model has 64 ids"
expect 0 1 train deck.yaml data.tokenizer=words train.length=1 eval.rows=0 \
  student.vocab=80 data.vocab=64
says err.txt "words has ids up to 69, but data.vocab is 64"
expect 0 1 export spoken spoken.hf
says err.txt "eos_token_id is 0 in config.json"
finish
