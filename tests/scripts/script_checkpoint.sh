#!/bin/bash
# Checkpoints that are written while training goes on: it does go on; whatever
# happens meanwhile, the checkpoint before stays; the copy is planned.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

preload fail_write
n_steps=12
train=(train deck.yaml "train.length=$n_steps" checkpoint.every=4
  checkpoint.keep_last=100 eval.rows=0)

# slowly RUN SECONDS ARGS...: two ranks; a write of rank 1's thread to the
# checkpoint of step 4 takes so long
slowly() {
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np 2 env LD_PRELOAD="$work/fail_write.so" FAIL_AT=5 \
    FAIL_IN="$1/checkpoints/.tmp-step-00000004" FAIL_RANK=1 FAIL_SLOW_S="$2" \
    "$RETORT" "${train[@]}" output.dir="$1" "${@:3}" >"$1.out" 2>"$1.err" \
    </dev/null
}

# step_s RUN N: seconds that step N took
step_s() {
  "$PYTHON" - "$1/metrics.jsonl" "$2" <<'PY'
import json, sys
rows = map(json.loads, open(sys.argv[1]))
at = {x["step"]: x["time_s"] for x in rows if x["kind"] == "train"}
print(at[int(sys.argv[2])] - at[int(sys.argv[2]) - 1])
PY
}

# less A B: is A less than B?
less() { awk "BEGIN { exit !($1 < $2) }"; }

# --- the training goes on, and waits only for the thread before the next one
slowly on 3 || fail "exit $? of a slow disk: $(cat on.err)"
slowly off 3 checkpoint.async=false || fail "exit $?: $(cat off.err)"
less "$(step_s on 5)" 2 || fail "step 5 waited for the checkpoint of step 4"
less 2 "$(step_s off 5)" || fail "checkpoint.async=false did not wait"
less 2 "$(step_s on 9)" || fail "step 9 did not wait for the thread"
same_bits off on
for run in on off; do
  for step in 04 08 12; do
    [ -e "$run/checkpoints/step-000000$step/state.h5.seal" ] ||
      fail "$run: no checkpoint of step $step"
  done
done

# --- from what was written meanwhile, the run goes on with the same bits
cp -r on again
rm -r again/checkpoints/step-000000{08,12}
expect 0 2 "${train[@]}" output.dir=again
says out.txt "resumed at step 4 of $n_steps"
same_bits off again

# --- killed while the thread writes: the checkpoint before is the newest
(slowly killed 20 checkpoint.every=2) &
writer=$!
for ((i = 0; i < 200; i++)); do
  grep -qs '"step": 5' killed/metrics.jsonl && break
  sleep 0.1
done
kill -KILL "$(sed -n 's/^pid=//p' killed/lock)" # the launcher ends the others
wait $writer && fail "the run was not killed"
[ -d killed/checkpoints/step-00000002 ] || fail "the one before is gone"
[ -d killed/checkpoints/step-00000004 ] && fail "published before it was whole"
expect 0 2 "${train[@]}" output.dir=killed checkpoint.every=2
says out.txt "resumed at step 2 of $n_steps"
same_bits off killed
[ -z "$(find killed/checkpoints -name '.tmp*')" ] || fail "a draft is left"

# --- stopped while the thread writes: both are there
(slowly stopped 4) &
writer=$!
for ((i = 0; i < 200; i++)); do
  grep -qs '"step": 5' stopped/metrics.jsonl && break
  sleep 0.1
done
touch stopped/stop
wait $writer
code=$?
[ $code = 86 ] || fail "stopped: exit $code, not 86: $(cat stopped.err)"
[ -d stopped/checkpoints/step-00000004 ] || fail "the pending one was dropped"
[ "$(last stopped saved)" -gt 4 ] || fail "the last one was not written"

# badly CODE HOW STEP ARGS...: from its fifth call on, the disk fails under what rank 1
# writes of the checkpoint of STEP
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
  says err.txt "MiB are free"
  [ -d "bad/checkpoints/step-000000$3" ] && fail "$2: published all the same"
}

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

# --- it is published before an evaluation, which may take long or fail
slowly eval 1 eval.rows=8 eval.every=4 &
writer=$!
wait_for 30 grep -qs '"kind": "eval"' eval/metrics.jsonl
[ -d eval/checkpoints/step-00000004 ] || fail "an evaluation comes before it"
wait $writer || fail "exit $?: $(cat eval.err)"

# --- beside long steps the rest is not put off to the end of the next: published at the
# end of the step in which it was written
soon() {
  expect 0 2 "${train[@]}" output.dir=soon train.length=6 train.batch_rows=2048 \
    output.log_every=1 --verbose
  sed '/ step 6./,$d' out.txt | grep -q "checkpoint of step 4 is published" || {
    rm -rf soon
    return 1
  }
}
soon || soon || soon || fail "published late: $(grep -E " step |published" out.txt)"

# --- the copy is planned; without memory for it, training waits
big=(deck.yaml student.width=512 student.ffn=1024 checkpoint.every=1
  output.dir=big train.length=2 eval.rows=0 train.batch_rows=1)
mib() { sed -n 's/^.*memory plan: \([0-9.]*\) MiB.*/\1/p' out.txt; }
expect 0 1 plan "${big[@]}"
says out.txt "copy of the state to be saved"
with=$(mib)
expect 0 1 plan "${big[@]}" checkpoint.async=false
without=$(mib)
less "$without + 40" "$with" || fail "planned $with MiB, $without without"
gib=$(awk "BEGIN { print ($with + $without) / 2048 }")
expect 0 1 train "${big[@]}" run.memory_gib="$gib"
says out.txt "training waits while a checkpoint is written"
expect 0 1 train "${big[@]}" output.dir=big2
grep -q "training waits" out.txt && fail "waits although there is memory"
finish
