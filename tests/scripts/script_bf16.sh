#!/bin/bash
# Training in bf16: losses near those in fp32, on any layout; a restart has the
# bits of an uninterrupted run; a run continues in the other type if it is told
# to; a teacher in bf16; old names of the key.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

every=(checkpoint.every=4 checkpoint.keep_last=100)

# final RUN: loss of the evaluation at the end
final() {
  "$PYTHON" - "$1/metrics.jsonl" <<'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
print([x["loss"] for x in lines if x["kind"] == "eval"][-1])
PY
}

# near A B SHARE: their losses at the end differ by at most this share
near() {
  "$PYTHON" -c 'import sys
a, b, share = map(float, sys.argv[1:])
sys.exit(abs(a - b) > share * b)' "$(final "$1")" "$(final "$2")" "$3" ||
    fail "losses of $1 and $2 differ: $(final "$1") and $(final "$2")"
}

# --- near fp32, on 1 and 2 ranks
expect 0 1 train deck.yaml output.dir=wide train.length=20 "${every[@]}"
expect 0 1 train deck.yaml output.dir=low train.length=20 "${every[@]}" \
  run.dtype=bf16
says out.txt "cpu, bf16"
near low wide 0.005
for tp in 1 2; do
  expect 0 2 train deck.yaml "output.dir=low-$tp" train.length=20 \
    "${every[@]}" run.dtype=bf16 "student.tp=$tp"
  near "low-$tp" wide 0.005
done

# --- and after 50 steps
for type in fp32 bf16; do
  expect 0 1 train deck.yaml "output.dir=long-$type" train.length=50 \
    run.dtype=$type
done
near long-bf16 long-fp32 0.005

# --- with less of the processor: without AMX, Intel's bf16 is slower than f32
for isa in AVX512_CORE_BF16 AVX2; do
  export ONEDNN_MAX_CPU_ISA=$isa
  expect 0 1 train deck.yaml "output.dir=$isa" train.length=20 run.dtype=bf16
  unset ONEDNN_MAX_CPU_ISA
  near "$isa" wide 0.005
  if [ $isa = AVX2 ] || grep -q GenuineIntel /proc/cpuinfo; then
    says out.txt "bf16 by CBLAS in f32"
  fi
done

# --- a restart, also with deferred kernels and on another layout
cut() {
  cp -r "$1" "$2"
  for folder in "$2"/checkpoints/step-*; do
    [ "$((10#${folder##*-}))" -le 8 ] || rm -r "$folder"
  done
}
cut low-1 again
expect 0 2 train deck.yaml output.dir=again train.length=20 "${every[@]}" \
  run.dtype=bf16
says out.txt "resumed at step 8 of 20"
same_bits low-1 again
cut low-1 lazy
expect 0 2 train deck.yaml output.dir=lazy train.length=20 "${every[@]}" \
  run.dtype=bf16 run.device=check
same_bits low-1 lazy
cut low-1 other
expect 0 2 train deck.yaml output.dir=other train.length=20 "${every[@]}" \
  run.dtype=bf16 student.tp=2
near other low-1 0.005

# --- in the other type: only if told to
cut low-1 wider
expect 78 1 train deck.yaml output.dir=wider train.length=20 "${every[@]}"
says err.txt "run.dtype: bf16 -> fp32"
expect 0 1 train deck.yaml output.dir=wider train.length=20 "${every[@]}" \
  'checkpoint.allow_change=[run.dtype]'
near wider wide 0.005
cut wide lower
expect 0 1 train deck.yaml output.dir=lower train.length=20 "${every[@]}" \
  run.dtype=bf16 'checkpoint.allow_change=[run.dtype]'
near lower wide 0.005

# --- evaluation and export; weights of a file become masters
expect 0 2 eval deck.yaml output.dir=low-1 run.dtype=bf16 \
  'checkpoint.allow_change=[train.length]'
expect 0 1 export low-1 low.hf
expect 0 1 train deck.yaml output.dir=more student.weights=low.hf \
  run.dtype=bf16 train.length=4 train.lr=0
expect 0 1 export more more.hf
cmp low.hf/model.safetensors more.hf/model.safetensors ||
  fail "a learning rate of 0 changed weights"

# --- a teacher in bf16, sparse and full, and captured
live=(teacher.source=live teacher.weights=low.hf teacher.dtype=bf16)
expect 0 2 train deck.yaml output.dir=taught "${live[@]}"
says out.txt "cpu, fp32; the teacher in bf16"
expect 0 2 train deck.yaml output.dir=full "${live[@]}" teacher.target=full \
  run.dtype=bf16 teacher.tp=2
expect 0 1 capture deck.yaml "${live[@]}" capture.dir=logits capture.rows=96 \
  run.dtype=bf16
expect 0 2 train deck.yaml output.dir=stored teacher.source=dataset \
  teacher.dataset=logits run.dtype=bf16

# --- the old name of the key and its values; a pair that does not fit
expect 0 1 train deck.yaml output.dir=old train.length=1 run.real=f64
says out.txt "cpu, fp64"
expect 78 1 train deck.yaml output.dir=no "${live[@]}" run.dtype=fp64
says err.txt "run.dtype is fp64, teacher.dtype bf16"
finish
