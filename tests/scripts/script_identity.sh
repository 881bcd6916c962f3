#!/bin/bash
# A run goes on, on every rank, with the files it began with.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

make_teacher
live=(teacher.source=live teacher.weights=teacher.hf eval.rows=0)

# --- another teacher under the same name is not the checkpoint's
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
  says err.txt "the teacher is not the checkpoint's (step 5 of half.$kind)"
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
finish
