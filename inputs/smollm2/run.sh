#!/usr/bin/env bash
# SmolLM2-135M as teacher over real text: capture, then LM only, offline and live
# students on the same tokens.   inputs/smollm2/run.sh RETORT FOLDER
# FOLDER holds teacher/ and docs.bin from prepare.sh; results go there too.
set -euo pipefail
retort=$(realpath "${1:?usage: run.sh RETORT FOLDER}")
out=$(realpath "${2:?usage: run.sh RETORT FOLDER}")
cd "$(dirname "$0")/../.."
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1
deck=inputs/smollm2/student.yaml
common=(data.files="[$out/docs]" data.tokenizer="$out/teacher")
on2() {
  mpirun --oversubscribe --bind-to none --mca btl self,vader -n 2 "$retort" \
    "$1" $deck "${common[@]}" "${@:2}"
}
say() { printf '\n== %s (%s)\n' "$*" "$(date -u +%T)"; }

say "capture: top-0.95-100 of 204,800 tokens"
[ -f "$out/logits/README.md" ] ||
  on2 capture teacher.weights="$out/teacher" capture.dir="$out/logits"
"$retort" logits info "$out/logits"

train() { # name, keys...
  local name=$1
  shift
  say "train $name"
  on2 train output.dir="$out/$name" "$@" | tee "$out/$name.log"
  on2 eval output.dir="$out/$name" eval.rows=32 eval.teacher=true \
    teacher.weights="$out/teacher" | tee -a "$out/$name.log"
}
train lm
train offline teacher.source=dataset teacher.dataset="$out/logits" \
  teacher.top_k=50 loss.alpha=0.9
train live teacher.source=live teacher.weights="$out/teacher" \
  teacher.target=full loss.alpha=0.9

say "result"
on2 eval output.dir="$out/teacher.eval" eval.rows=32 \
  student.weights="$out/teacher" >"$out/teacher.log" 2>&1
python3 jobs/compare.py "$out/result" --teacher "$out/teacher.eval" \
  --title "Students of SmolLM2-135M" \
  "LM only=$out/lm" \
  "offline top-0.95-50=$out/offline,$out/logits" "live full KL=$out/live"
