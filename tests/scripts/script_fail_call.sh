#!/bin/bash
# During training, one call of retort fails on one of two ranks (an allocation, an open, a
# read, a write, an fsync, a rename).  Within 10 s the job ends with the exit code of that
# error and one message, which names the rank; or the call did not matter and the result
# is right.  A place is a call together with its callers; places are sampled evenly.
#   SEED=1 PLACES=all tests/scripts/script_fail_call.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
# shellcheck source=tests/e2e_call.sh
. "$here/e2e_call.sh"
make_teacher

nothing() { rm -rf o o.tmp; }
half() { rm -rf o && cp -r half o; }
same_steps() { cmp -s <(metrics o) <(metrics whole); }

taught=(train deck.yaml train.length=4 checkpoint.every=2 eval.every=2
  output.dir=o student.tp=2 teacher.tp=2 teacher.source=live
  teacher.weights=teacher.hf loss.alpha=0.5)
expect 0 2 "${taught[@]}" output.dir=whole
sweep 1 4 nothing same_steps "${taught[@]}"
plain=(train deck.yaml train.length=4 checkpoint.every=2 output.dir=o
  capture.window_start=1 capture.window_length=2 capture.dir=o/logits
  capture.shard_rows=4)
rm -rf whole
expect 0 2 "${plain[@]}" output.dir=whole capture.dir=whole/logits
sweep 0 2 nothing same_steps "${plain[@]}"
sweep 1 3 nothing same_steps "${plain[@]}"
plain=("${plain[@]:0:4}" output.dir=o)
rm -rf whole
expect 0 2 "${plain[@]}" output.dir=whole
cp -r whole half
rm -r half/checkpoints/step-00000004
sweep 1 2 half same_steps "${plain[@]}"
# the others once took the agreement of a rank without a saver for another one
try_in rt_saver_create calloc 1 half same_steps "${plain[@]}"
sweep 0 2 half same_steps "${plain[@]}"
echo "$n_runs places"
finish
