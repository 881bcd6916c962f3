#!/bin/bash
# A resumed run uses the files that it began with, and all ranks use the same files.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

make_teacher
live=(teacher.source=live teacher.weights=teacher.hf eval.rows=0)

# --- another teacher under the same name is rejected at a restart
expect 0 1 train deck.yaml output.dir=teacher2 train.length=30 run.seed=8 \
  student.width=48 eval.rows=0
expect 0 1 export teacher2 teacher2.hf
for which in teacher teacher2; do
  expect 0 2 capture deck.yaml "teacher.weights=$which.hf" \
    "capture.dir=$which.logits" capture.rows=96 capture.shard_rows=32
done
cp -r teacher.hf changing.hf
cp -r teacher.logits changing.logits
change() { # NAME FROM
  rm -r "changing.$1"
  cp -r "$2.$1" "changing.$1"
}
for kind in hf logits; do
  args=("output.dir=run.$kind" eval.rows=0 checkpoint.every=5)
  if [ "$kind" = hf ]; then
    args+=("${live[@]}" teacher.weights=changing.hf)
  else
    args+=(teacher.source=dataset teacher.dataset=changing.logits)
  fi
  expect 0 2 train deck.yaml "${args[@]}"
  cp -r "run.$kind" "half.$kind"
  rm -r "half.$kind"/checkpoints/step-00000010
  change "$kind" teacher2
  expect 78 2 train deck.yaml "${args[@]}" "output.dir=half.$kind"
  says err.txt "the teacher differs from that of the checkpoint (step 5 of half.$kind)"
  says err.txt "changing.$kind"
  [ -d "half.$kind/checkpoints/step-00000010" ] && fail "$kind: it went on"
  change "$kind" teacher
  expect 0 2 train deck.yaml "${args[@]}" "output.dir=half.$kind"
  same_bits "run.$kind" "half.$kind"
done
rm -r half.hf/checkpoints/step-00000010
change hf teacher2
expect 0 2 train deck.yaml "${live[@]}" eval.rows=0 teacher.weights=changing.hf \
  output.dir=half.hf checkpoint.allow_change=teacher.weights

# --- two nodes with different copies of a file: the message names it, nothing is
# trained
# apart CODE ARGS...: two ranks, each in a folder of its own
apart() {
  local want=$1
  shift
  # shellcheck disable=SC2086
  timeout 100 $MPIRUN -np 1 -wdir "$work/node0" "$RETORT" "$@" \
    : -np 1 -wdir "$work/node1" "$RETORT" "$@" >out.txt 2>err.txt </dev/null
  code=$?
  [ "$code" = "$want" ] || fail "exit $code, expected $want, apart: $*"
}
both() {
  rm -rf node0 node1
  mkdir node0 node1
  for node in node0 node1; do
    cp -r deck.yaml corpus.u16 teacher.hf "$node"
    mkdir "$node/words"
    echo '{"words": 1}' >"$node/words/tokenizer.json"
  done
}
differs() { # WHAT: on rank 1, as the message says
  grep -qE "rank 1 on [^ ]+: $1 differs from rank 0's file" \
    err.txt || fail "not told of $1: $(grep retort: err.txt)"
}
run=(train deck.yaml "output.dir=$work/apart" train.length=4 eval.rows=0
  checkpoint.every=2)
all=("${run[@]}" "${live[@]}" data.tokenizer=words)
both
apart 0 "${all[@]}" student.tp=2 teacher.tp=2
rm -r apart
LC_ALL=C tr '\001\002' '\002\001' <corpus.u16 >node1/corpus.u16
for tp in 1 2; do
  apart 65 "${all[@]}" "student.tp=$tp" "teacher.tp=$tp"
  differs corpus.u16
done
apart 65 capture deck.yaml teacher.weights=teacher.hf "capture.dir=$work/c"
differs corpus.u16
[ -e c ] && fail "a refused capture left its folder"
both
cp teacher2.hf/model.safetensors node1/teacher.hf
apart 65 "${all[@]}"
differs teacher.hf
both
echo '{"words": 2}' >node1/words/tokenizer.json
apart 65 "${all[@]}"
differs words
both
sed -i 's/"rms_norm_eps": [^,]*/"rms_norm_eps": 1e-3/' node1/teacher.hf/config.json
apart 65 "${run[@]}" student.config=teacher.hf
differs teacher.hf

# a copy that differs between the positions that are sampled
"$PYTHON" - <<'PY'
import random
rng = random.Random(3)
n, looks = 4 << 20, 128
data = bytearray(b"".join(bytes((rng.randrange(1, 64), 0)) for _ in range(n // 2)))
open("node0/corpus.u16", "wb").write(data)
for i in range(looks - 1):
    at = i * (n - 4096) // (looks - 1)
    end = (i + 1) * (n - 4096) // (looks - 1)
    for k in range((at + 4097) // 2 * 2, end // 2 * 2, 2):
        data[k] = 1 + data[k] % 63
open("node1/corpus.u16", "wb").write(data)
PY
rm -rf apart
apart 65 "${run[@]}" student.tp=2
says err.txt "step 1: ranks of a tp group have read different rows"
apart 65 "${run[@]}"
differs data.files
[ -d apart/checkpoints ] && fail "a checkpoint of two texts was written"
# where the corpus is hashed, the difference is found before any output exists
cp teacher.hf/config.json node1/teacher.hf
apart 65 capture deck.yaml teacher.weights=teacher.hf "capture.dir=$work/c"
differs corpus.u16
[ -e c ] && fail "a capture of two texts left its folder"
finish
