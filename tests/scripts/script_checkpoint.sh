#!/bin/bash
# Checkpoints that are written while training goes on: it does go on; whatever
# happens meanwhile, the checkpoint before stays; the copy is planned.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# shellcheck source=tests/e2e_checkpoint.sh
. "$here/e2e_checkpoint.sh"

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
