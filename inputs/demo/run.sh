#!/usr/bin/env bash
# The demo: capture a teacher's logits once, train the same student in three ways
# on the same tokens, and compare them.   inputs/demo/run.sh RETORT OUT
set -euo pipefail
retort=$(realpath "${1:?usage: run.sh RETORT OUT}")
out=$(realpath -m "${2:?usage: run.sh RETORT OUT}")
cd "$(dirname "$0")/../.."
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1
teacher=inputs/demo/teacher
on2() {
  mpirun --oversubscribe --bind-to none --mca btl self,vader -n 2 "$retort" "$@"
}
say() { printf '\n== %s\n' "$*"; }
mkdir -p "$out"
ours=$out/.retort_demo # what this script made, it may make anew
[ -e "$ours" ] || [ -z "$(ls -A "$out")" ] || {
  echo "run.sh: $out holds files that the demo did not make: give an empty" \
    "folder, or none" >&2
  exit 73
}
touch "$ours"
rm -rf "$out"/{logits,lm,vanilla,pd_star,teacher} "$out"/{log,*.log,result.*}

say "1. capture: the teacher's top-0.95-100 log-probs of the training text"
on2 capture inputs/demo/student.yaml teacher.weights=$teacher \
  capture.dir="$out/logits" capture.license="public domain" | tee "$out/log" |
  grep -E "^(captured|20[^ ]+ capture 100)"

train() { # name, keys...
  local name=$1
  shift
  say "$name"
  on2 train inputs/demo/student.yaml output.dir="$out/$name" "$@" |
    tee "$out/$name.log" | grep -E "^(20[^ ]+ (step|evaluation)|finished)"
  on2 eval inputs/demo/student.yaml output.dir="$out/$name" eval.rows=0 \
    eval.teacher=true teacher.weights=$teacher >>"$out/$name.log"
}
stored=(teacher.source=dataset teacher.dataset="$out/logits")

say "2. three students on the same tokens"
train lm
# paper 1, section "preliminary": NLL, top-0.95-100, tau 1, alpha 1
train vanilla "${stored[@]}" teacher.top_p=0.95 teacher.top_k=100 \
  loss.kind=nll loss.alpha=1
# paper 1's best: KLD, top-0.95-50, tau 2, WSD on alpha (max 0.9) and on the rate
train pd_star "${stored[@]}" teacher.top_p=0.95 teacher.top_k=50 \
  loss.kind=kld loss.tau=2 loss.alpha=0.9 loss.alpha_schedule=wsd \
  loss.alpha_warmup='10 %' loss.alpha_decay='10 %' \
  train.lr_schedule=wsd train.lr_warmup='10 %' train.lr_decay='10 %'

say "3. what came of it"
on2 eval inputs/demo/student.yaml output.dir="$out/teacher" eval.rows=0 \
  student.weights=$teacher >"$out/teacher.log" 2>&1
python3 jobs/compare.py "$out/result" --teacher "$out/teacher" \
  --title "King James Bible: students of 0.4 M parameters, a teacher of 2 M" \
  "LM only=$out/lm" \
  "vanilla PD=$out/vanilla,$out/logits" \
  "PD* recipe=$out/pd_star,$out/logits"
printf '\nThree students, a logit dataset, result.json and result.png are in %s.\n' "$out"
echo "Next: inputs/smollm2 (make smollm2) does this with a real teacher; doc/tour.md shows the code."
