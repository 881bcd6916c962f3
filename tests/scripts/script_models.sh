#!/bin/bash
# Models from users: Llamas with unusual config keys, whose loss is checked against
# numpy (tests/llama.py), and what an export preserves.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

head -c 2000 corpus.u16 >short.u16
cat >eval.yaml <<'YAML'
run: {threads: 1}
data: {files: [short.u16], seq: 16, valid_fraction: 0}
train: {batch_rows: 4}
eval: {part: train, rows: 0}
YAML

# loss: the loss printed by the last eval
loss() {
  sed -n 's/^loss  *\([0-9.]*\) nats per token$/\1/p' out.txt
}

# agrees NAME T WANT ARGS...: retort's loss for the model in folder NAME is WANT
agrees() {
  local name=$1 t=$2 want=$3
  shift 3
  expect 0 1 eval eval.yaml student.weights="$name" data.seq="$t" "$@" || return
  "$PYTHON" -c 'import sys
a, b = map(float, sys.argv[1:]); sys.exit(not abs(a - b) < 3e-6)' \
    "$(loss)" "$want" || fail "$name: loss $(loss), expected $want"
}

# model NAME T WORDS...: create a model and check its loss; numpy's is in $want
model() {
  local name=$1 t=$2
  shift 2
  rm -rf "$name"
  want=$("$PYTHON" "$here/llama.py" "$name" short.u16 "$t" "$@") ||
    fail "$name was not made"
  agrees "$name" "$t" "$want"
}

# --- the same model with other config keys
model plain 16
plain=$want
same=(pretraining_tp=8 'layer_types=["full_attention","full_attention"]'
  attention_dropout=0.1 hidden_dropout=0.1 eos_token_id=64
  'eos_token_id=[2,64]' 'architectures=["LLaMAForCausalLM"]' head_dim=null
  sliding_window=null torch_dtype=null 'dtype="float32"'
  'rope_scaling={"type":"dynamic","factor":4.0}' alias shards
  'rope_parameters={"rope_type":"default","rope_theta":100.0}')
for word in "${same[@]}"; do
  model other 16 "$word"
  [ "$want" = "$plain" ] || fail "$word: $want is not $plain"
done
model other 16 shards total=4711
says err.txt "total_size differs"
model other 16 eos_token_id=64
says err.txt "eos_token_id has the id 64"

# --- other models: rope as in transformers 4 and 5, untied, without grouped heads
model untied 16 tie_word_embeddings=null num_key_value_heads=null
linear='"factor":4.0,"rope_type":"linear"'
model linear 16 'rope_scaling={"type":"linear","factor":4.0}'
[ "$want" != "$plain" ] || fail "linear rope changes nothing"
model linear 16 "rope_parameters={$linear,\"rope_theta\":100.0}" rope_theta=null
dynamic='rope_scaling={"rope_type":"dynamic","factor":4.0}'
model dynamic 100 "$dynamic" # three times its positions
model llama3 16 'rope_scaling={"rope_type":"llama3","factor":8.0,
  "low_freq_factor":1.0,"high_freq_factor":4.0,
  "original_max_position_embeddings":16}'
expect 78 1 eval eval.yaml student.weights=dynamic data.seq=129
says err.txt "the model has 128 positions"
expect 78 1 eval eval.yaml student.weights=dynamic data.seq=100 \
  data.mask_documents=true
says err.txt "dynamic rope scaling"

# --- an export is the same model
for name in linear dynamic; do
  want=$("$PYTHON" "$here/llama.py" $name short.u16 16 'eos_token_id=[2,7]' \
    attention_dropout=0.1 "rope_scaling={\"type\":\"$name\",\"factor\":4.0}")
  expect 0 1 train eval.yaml student.weights=$name output.dir=run-$name \
    train.length=1 train.lr=0 train.weight_decay=0
  says err.txt "trained without dropout"
  expect 0 1 export run-$name $name.hf
  agrees $name.hf 16 "$want"
  says $name.hf/config.json "\"rope_type\": \"$name\""
  says $name.hf/config.json '"eos_token_id": [2, 7]'
  says $name.hf/config.json '"attention_dropout": 0.1'
done

# --- the root of a model in the hub's cache
mkdir -p models--org--tiny/{blobs,refs,snapshots/abc}
for file in config.json model.safetensors; do
  cp plain/$file models--org--tiny/blobs/$file
  ln -s ../../blobs/$file models--org--tiny/snapshots/abc/$file
done
printf abc >models--org--tiny/refs/main
agrees models--org--tiny 16 "$plain"
rm models--org--tiny/blobs/model.safetensors
expect 66 1 eval eval.yaml student.weights=models--org--tiny
says err.txt "a link to ../../blobs/model.safetensors, which is not there"

# --- unsupported inputs are named
expect 66 1 eval eval.yaml student.weights=org/tiny
says err.txt "hf download org/tiny"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' \
  >plain/model.safetensors
expect 65 2 eval eval.yaml student.weights=plain
says err.txt "a Git LFS pointer"
expect 78 1 eval eval.yaml run.device=cuda student.weights=untied
says err.txt "not computed on yet"
finish
