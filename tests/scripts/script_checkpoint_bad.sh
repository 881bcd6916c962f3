#!/bin/bash
# Checkpoints that are written while training goes on, when the disk fails or time is
# short: the state is saved all the same, as soon as it can be.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# shellcheck source=tests/e2e_checkpoint.sh
. "$here/e2e_checkpoint.sh"

# less A B: is A less than B?
less() { awk "BEGIN { exit !($1 < $2) }"; }

# badly CODE HOW STEP ARGS...: from its fifth call on, the disk fails under what rank 1
# writes of the checkpoint of STEP (04), or of all steps that begin with it (0)
badly() {
  rm -rf bad
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np 2 env LD_PRELOAD="$work/fail_write.so" FAIL_AT=5 \
    FAIL_IN="bad/checkpoints/.tmp-step-000000$3" FAIL_RANK=1 FAIL_HOW="$2" \
    "$RETORT" "${train[@]}" output.dir=bad "${@:4}" >out.txt 2>err.txt
  code=$?
  [ $code = "$1" ] || fail "$2: exit $code, not $1: $(cat err.txt)"
  says err.txt "bad/checkpoints/.tmp-step-000000$3"
  says err.txt "the checkpoint needs"
  says err.txt "MiB free"
  [ -d "bad/checkpoints/step-000000$3" ] && fail "$2: published all the same"
}

# hinder HOW PART AT TIMES ARGS...: from the AT-th on, calls of rank 0 that change a file
# whose path has PART fail; the state is saved at the end
hinder() {
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np 2 env LD_PRELOAD="$work/fail_write.so" FAIL_AT="$3" FAIL_FOR="$4" \
    FAIL_IN="bad/checkpoints/$2" FAIL_RANK=0 FAIL_HOW="$1" \
    "$RETORT" "${train[@]}" output.dir=bad checkpoint.every=2 "${@:5}" >out.txt 2>err.txt
  code=$?
  [ $code = 0 ] || fail "$2, errno $1: exit $code: $(cat err.txt)"
  [ "$(last bad saved)" = $n_steps ] || fail "$2: saved $(last bad saved)"
}

expect 0 2 "${train[@]}" output.dir=off

# --- a stop before the wall limit leaves as much time for the last checkpoint as one
# has taken
slowly wall 3 checkpoint.async=false train.length=100000000 run.wall_s=7 \
  run.wall_margin_s=0 output.log_every=100000
code=$?
[ $code = 85 ] || fail "wall: exit $code, not 85: $(cat wall.err)"
less "$(sed -n 's/.*"kind": "end".*"time_s": \([0-9.]*\).*/\1/p' wall/metrics.jsonl)" 6 ||
  fail "no time was left for another checkpoint of 3 s"

# --- the disk fails under the thread: one warning, and the next is written
for how in 28 lie; do
  badly 0 "$how" 08
  [ "$(grep -c "Training goes on" err.txt)" = 1 ] || fail "$how: $(cat err.txt)"
  [ "$(last bad saved)" = $n_steps ] || fail "$how: saved $(last bad saved)"
  same_bits off bad
done
# it is noticed when the run ends: the end writes the state all the same
badly 0 28 08 train.length=9
[ "$(last bad saved)" = 9 ] || fail "the last state is lost: $(last bad saved)"
# the last one cannot be written: 74, and the one before stays
badly 74 28 12
[ "$(last bad saved)" = 8 ] || fail "saved $(last bad saved), not 8"
expect 0 2 "${train[@]}" output.dir=bad
same_bits off bad

# --- a long outage: the first failure is told, then how many there were, once a checkpoint
# is written again, or at the end
badly 0 28 0 checkpoint.every=2
[ "$(grep -c warning err.txt)" = 1 ] || fail "not one warning: $(cat err.txt)"
says err.txt "the checkpoint of step 2:"
says out.txt "written again, from step 10 on; 4 checkpoints were not written, steps 2 to 8"
[ "$(last bad saved)" = $n_steps ] || fail "saved $(last bad saved)"
badly 74 28 "" checkpoint.every=2
[ "$(grep -c "Training goes on" err.txt)" = 1 ] || fail "$(cat err.txt)"
says err.txt "warning: 5 checkpoints were not written, steps 2 to 10"

# --- a folder that has become read-only, may not be written to, or is gone, for two
# checkpoints: training goes on
for how in 30 13 2; do
  rm -rf bad
  hinder "$how" .tmp-step 1 2
  says err.txt "the checkpoint of step 2: cannot create folder bad/checkpoints/.tmp-step-"
  says out.txt "written again, from step 6 on; 2 checkpoints were not written, steps 2 to 4"
done

# --- an old one that cannot be removed: others are, and new ones are written, also by the
# next start
rm -rf bad
hinder 13 .tmp-rm-step-00000002 2 100 checkpoint.keep_last=2
[ "$(grep -c warning err.txt)" = 1 ] || fail "not one warning: $(cat err.txt)"
says err.txt "the checkpoint of step 6 is written, but older ones are left"
rm -r bad/checkpoints/step-00000012
hinder 13 .tmp-rm-step-00000002 1 100 checkpoint.keep_last=1
says err.txt "warning: cannot remove bad/checkpoints/.tmp-rm-step-00000002"
[ "$(echo bad/checkpoints/step-*)" = bad/checkpoints/step-00000012 ] ||
  fail "others stay, too: $(ls bad/checkpoints)"

# --- it is published before an evaluation, which may take long or fail
slowly eval 1 eval.rows=8 eval.every=4 &
writer=$!
wait_for 30 grep -qs '"kind": "eval"' eval/metrics.jsonl
[ -d eval/checkpoints/step-00000004 ] || fail "an evaluation comes before it"
wait $writer || fail "exit $?: $(cat eval.err)"

# --- beside long steps the rest is not put off to the end of the next: published at the
# end of the step in which it was written
soon() {
  expect 0 2 "${train[@]}" output.dir=soon train.length=4 train.batch_rows=8192 \
    checkpoint.every=2 output.log_every=1 --verbose
  sed '/ step 4\//,$d' out.txt | grep -q "checkpoint of step 2 is published" || {
    rm -rf soon
    return 1
  }
}
soon || soon || soon || fail "published late: $(grep -E " step |published" out.txt)"
finish
