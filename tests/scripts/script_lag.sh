#!/bin/bash
# A device that lags behind the host (run.device=check): no step waits for it, and
# results, checkpoints, evaluations, bad steps and stops are those of the CPU.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# asks RUN WAITS DRAINS: what the last line of the metrics counts
asks() {
  "$PYTHON" - "$@" <<'PY' || fail "$1 waits for the device"
import json, sys
run, waits, drains = sys.argv[1:]
end = json.loads(open(f"{run}/metrics.jsonl").readlines()[-1])
print(run, end["host_waits_per_step"], end["drains"])
sys.exit(end["host_waits_per_step"] != float(waits) or end["drains"] != int(drains))
PY
}

# both NAME CODE N ARGS...: the same run on both devices, as NAME and NAME-lags
both() {
  expect "$2" "$3" train deck.yaml "output.dir=$1" "${@:4}"
  mv err.txt err-cpu.txt
  expect "$2" "$3" train deck.yaml "output.dir=$1-lags" "${@:4}" run.device=check
}

# the messages of both are the same, but for times and folders
same_words() {
  cmp <(sed -E 's/^[0-9T:-]* *//' err-cpu.txt) <(sed -E 's/^[0-9T:-]* *//' err.txt) ||
    fail "other messages: $(cat err.txt)"
}

# --- only the end needs the last step; checkpoints and evaluations do, too
both plain 0 1 eval.rows=0
same_bits plain plain-lags
asks plain-lags 0 1
both often 0 1 checkpoint.every=4 eval.every=5
same_bits often often-lags
asks often-lags 0 4
make_teacher
live=(teacher.source=live teacher.weights=teacher.hf eval.rows=0)
both full 0 1 "${live[@]}" teacher.target=full
same_bits full full-lags
asks full-lags 0 1

# --- nor do steps on several ranks wait: collectives stand in the device's queues
both dp 0 2 eval.rows=0 checkpoint.every=4
same_bits dp dp-lags
asks dp-lags 0 3
both tp 0 2 "${live[@]}" student.tp=2
same_bits tp tp-lags
asks tp-lags 0 1

# --- a stop: what is on its way is finished, and the run goes on from there
mkdir stopped
touch stopped/stop
expect 86 1 train deck.yaml output.dir=stopped run.device=check eval.rows=0
says err.txt "at step 2 of 10"
expect 0 1 train deck.yaml output.dir=stopped run.device=check eval.rows=0
same_bits plain stopped
endless=(train deck.yaml run.device=check train.length=100000000 eval.rows=0
  output.log_every=100000 run.wall_margin_s=1)
expect 85 1 "${endless[@]}" output.dir=wall run.wall_s=2
says err.txt "before the wall limit"

# --- a bad step ends the run: it is named, and those before it are in the metrics
both bad 76 1 train.lr=100 train.weight_decay=10 train.lr_warmup=0 train.length=40 \
  eval.rows=0
says err.txt "nothing was updated"
same_words
[ "$(metrics bad | wc -l)" -gt 0 ] || fail "no good step before the bad one"
cmp <(metrics bad) <(metrics bad-lags) || fail "other steps before the bad one"

# --- or it is skipped, up to a limit
both skips 0 1 train.spike_factor=0.9 train.on_bad_step=skip train.max_skips=9 \
  eval.rows=0
same_words
grep -q "skipped: loss" err.txt || fail "no step is skipped"
same_bits skips skips-lags
both spikes 76 1 train.spike_factor=1e-3 train.on_bad_step=skip train.max_skips=2
same_words
finish
