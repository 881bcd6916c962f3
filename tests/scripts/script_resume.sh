#!/bin/bash
# Restarts: k steps, a restart and N - k steps give the bits of N steps.  Damaged
# checkpoints, changed decks, the stop file.
#   RESTARTS=20 SEED=1: also at that many random steps of 40, with a live and a stored
#   teacher, on dp 2 and tp 2 (make soak)
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# cut RUN COPY K: copy RUN as if it had been killed right after step K
cut() {
  rm -rf "$2"
  cp -r "$1" "$2"
  for folder in "$2"/checkpoints/step-*; do
    [ "$((10#${folder##*-}))" -le "$3" ] || rm -r "$folder"
  done
}

n_steps=10
every=(checkpoint.every=1 checkpoint.keep_last=100)

# restarts NAME N_RANKS "STEPS" ARGS...: restart a run after each of STEPS
restarts() {
  local name=$1 n=$2 steps=$3
  shift 3
  expect 0 "$n" train deck.yaml "output.dir=$name" "${every[@]}" "$@"
  for k in $steps; do
    cut "$name" "$name-$k" "$k"
    expect 0 "$n" train deck.yaml "output.dir=$name-$k" "${every[@]}" "$@"
    says out.txt "resumed at step $k of $n_steps"
    same_bits "$name" "$name-$k"
  done
}

# --- same layout: the same bits
make_teacher
live=(teacher.source=live teacher.weights=teacher.hf)
expect 0 2 capture deck.yaml "${live[@]}" capture.dir=logits capture.rows=96 \
  capture.shard_rows=32
stored=(teacher.source=dataset teacher.dataset=logits)
restarts lm 2 "1 6"
restarts live 2 "3 9" student.tp=2 "${live[@]}"
restarts stored 2 "4 7" "${stored[@]}"
restarts stored-tp 2 "5" student.tp=2 "${stored[@]}"

if [ -n "${RESTARTS:-}" ]; then
  n_steps=40
  for tp in 1 2; do
    at=$(shuf -i 1-39 -n "$RESTARTS" --random-source=<(yes "${SEED:-1}$tp"))
    restarts "live-tp$tp" 2 "$at" train.length=40 student.tp="$tp" "${live[@]}"
    restarts "stored-tp$tp" 2 "$at" train.length=40 student.tp="$tp" \
      "${stored[@]}"
  done
  n_steps=10
fi

# --- another layout: the same rows, losses equal up to rounding
cut lm other 5
expect 0 1 train deck.yaml output.dir=other "${every[@]}"
close_to lm other
cut lm other-tp 5
expect 0 2 train deck.yaml output.dir=other-tp "${every[@]}" student.tp=2
close_to lm other-tp

# --- a device with memory of its own (the deferring check device)
cut lm lazy 5
expect 0 2 train deck.yaml output.dir=lazy "${every[@]}" run.device=check
same_bits lm lazy

# --- a damaged checkpoint: the previous one is used, with a warning
cut lm damaged 6
"$PYTHON" - damaged/checkpoints/step-00000006/state.h5 <<'PY'
import os, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(os.path.getsize(sys.argv[1]) // 2)
    c = f.read(1)
    f.seek(-1, 1)
    f.write(bytes([c[0] ^ 1]))
PY
expect 0 2 train deck.yaml output.dir=damaged "${every[@]}"
says err.txt "warning"
says err.txt "step-00000006"
says out.txt "resumed at step 5 of 10"
same_bits lm damaged

# --- a changed deck: rejected with the differences, unless the key is allowed
cut lm changed 5
expect 78 2 train deck.yaml output.dir=changed "${every[@]}" train.lr=1e-3
says err.txt "train.lr"
says err.txt "->"
expect 0 2 train deck.yaml output.dir=changed "${every[@]}" train.lr=1e-3 \
  'checkpoint.allow_change=[train.lr]'
expect 78 2 train deck.yaml output.dir=lm checkpoint.resume=false
says err.txt "checkpoint.resume"

# --- the stop file: a checkpoint and exit code 86; the same command resumes
mkdir stopped
touch stopped/stop
expect 86 2 train deck.yaml output.dir=stopped
says err.txt "the same command resumes it"
[ -e stopped/stop ] && fail "the stop file is still there"
expect 0 2 train deck.yaml output.dir=stopped
same_bits lm stopped

# --- starting a finished run again does nothing
expect 0 2 train deck.yaml output.dir=stopped
says out.txt "finished at step 10 of 10: 0 tokens"
same_bits lm stopped

# --- another corpus under the same name
cp corpus.u16 own.u16
expect 0 2 train deck.yaml output.dir=own data.files=own.u16 "${every[@]}"
cut own own-5 5
head -c 79000 corpus.u16 >own.u16
expect 78 2 train deck.yaml output.dir=own-5 data.files=own.u16 "${every[@]}"
says err.txt "the training stream differs from that of the checkpoint (step 5 of own-5)"
LC_ALL=C tr '\001\002' '\002\001' <corpus.u16 >own.u16
expect 78 2 train deck.yaml output.dir=own-5 data.files=own.u16 "${every[@]}"
says err.txt "with other tokens"
expect 0 2 train deck.yaml output.dir=own-5 data.files=own.u16 "${every[@]}" \
  checkpoint.allow_change=data.files
cp corpus.u16 own.u16
cut own own-5 5
expect 0 2 train deck.yaml output.dir=own-5 data.files=own.u16 "${every[@]}"
same_bits own own-5

# --- the run stops before the wall limit
expect 85 2 train deck.yaml output.dir=wall run.wall_s=0.001 run.wall_margin_s=0
says err.txt "wall limit"
expect 78 2 train deck.yaml output.dir=none run.wall_s=60
says err.txt "no time is left"
[ -e none ] && fail "a refused run left its folder"

# --- old checkpoints are deleted
expect 0 1 train deck.yaml output.dir=pruned checkpoint.every=2 \
  checkpoint.keep_last=1 checkpoint.keep_every=4
[ "$(cd pruned/checkpoints && echo step-*)" = \
  "step-00000004 step-00000008 step-00000010" ] ||
  fail "checkpoints left: $(cd pruned/checkpoints && echo *)"

# --- damaged checkpoints do not count, and the newest is never deleted
expect 0 1 train deck.yaml output.dir=worn checkpoint.every=2 eval.rows=0 \
  checkpoint.keep_last=9
for step in 08 10; do
  truncate -s -1 "worn/checkpoints/step-000000$step/state.h5"
done
touch worn/stop # after one step
expect 86 1 train deck.yaml output.dir=worn checkpoint.keep_last=2 eval.rows=0
says out.txt "resumed at step 6 of 10"
says err.txt "step-00000010 is kept as worn/checkpoints/step-00000010.damaged"
left=$(cd worn/checkpoints && echo step-*)
[ "$left" = "step-00000006 step-00000007 step-00000008.damaged \
step-00000010.damaged" ] || fail "checkpoints left: $left"

# --- a stop does not wait for an evaluation; the next start does it
mkdir soon
for at in 1 2; do # of 2: also at the end
  touch soon/stop
  expect 86 2 train deck.yaml output.dir=soon train.length=2 eval.every=1
  grep -q "evaluation at step $at" out.txt &&
    fail "the stop at step $at waited for an evaluation"
done
says out.txt "evaluation at step 1:"
expect 0 2 train deck.yaml output.dir=soon train.length=2 eval.every=1
says out.txt "evaluation at step 2:"
expect 0 2 train deck.yaml output.dir=soon train.length=2 eval.every=1
grep -q "evaluation at" out.txt && fail "evaluated twice"
[ "$(grep -c '"eval"' soon/metrics.jsonl)" = 2 ] || fail "not two evaluations"
finish
