#!/bin/bash
# The disk is full for a while under what a run writes besides its checkpoints: its
# metrics, its log, last_run, the rows of a captured window.  Training goes on with one
# warning, and nothing is missing at the end.  If it stays full, that is said at the end.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

preload fail_write
train=(train deck.yaml train.length=12 train.batch_rows=6 checkpoint.every=4 eval.every=4)
window=("${train[@]}" capture.window_start=2 capture.window_length=9
  capture.shard_rows=54)

# fully CODE RANKS PART AT FOR ARGS...: into "full"; from the AT-th call on that changes a
# path with PART, FOR of them fail (0: all), as on a full disk
fully() {
  rm -rf full
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np "$2" env LD_PRELOAD="$work/fail_write.so" FAIL_IN="full/$3" \
    FAIL_AT="$4" FAIL_FOR="$5" FAIL_RANK=0 FAIL_HOW=full FAIL_COUNT="$work/count" \
    "$RETORT" "${@:6}" output.dir=full >out.txt 2>err.txt </dev/null
  code=$?
  [ $code = "$1" ] || fail "$3: exit $code, not $1: $(cat err.txt)"
  [ "$4" = 0 ] || {
    says err.txt "full/$3"
    says err.txt "No space left"
  }
}

# all_lines RUN: step and kind of each line of the metrics
all_lines() { sed 's/, "\(date\|tokens\|loss\)".*//; s/, "[a-z_]*_s".*//' "$1/metrics.jsonl"; }

# nothing_missing: the run in "full" has what the one in "whole" has, and one warning
nothing_missing() {
  [ "$(grep -c warning err.txt)" = 1 ] || fail "$1: not one warning: $(cat err.txt)"
  cmp <(all_lines whole) <(all_lines full) || fail "$1: metrics are missing"
  same_bits whole full
  [ "$(last full state)" = finished ] || fail "$1: last_run: $(cat full/last_run)"
  [ "$(grep -c ' step ' full/retort.log)" = "$(grep -c ' step ' whole/retort.log)" ] ||
    fail "$1: lines of the log are missing"
}

# --- for a while: the part of a line that was written is cut off, or completed
expect 0 2 "${train[@]}" output.dir=whole
fully 0 2 metrics.jsonl 4 6 "${train[@]}"
says err.txt "bytes are needed"
nothing_missing metrics
fully 0 2 retort.log 6 5 "${train[@]}"
nothing_missing log
# last_run: one record is a number of calls; the second one, and a part of the third fail
fully 0 2 last_run 0 0 "${train[@]}"
n=$(($(grep -c "full/last_run" count) / 5))
fully 0 2 last_run $((n + 1)) 2 "${train[@]}"
nothing_missing last_run

# --- the rows of a window: no checkpoint is written before they are on disk
expect 0 2 "${window[@]}" output.dir=whole.win capture.dir=whole.win/logits
rm count
fully 0 2 logits/rows- 0 0 "${window[@]}" capture.dir=full/logits
at=$(grep "^0 .*rows-" count | grep -n "sync" | head -n 1 | cut -d: -f1)
fully 0 2 logits/rows- "$at" 1 "${window[@]}" capture.dir=full/logits
says err.txt "Training goes on"
[ -d full/checkpoints/step-00000004 ] && fail "a checkpoint without the rows before it"
expect 0 1 logits diff whole.win/logits full/logits
says out.txt "bit for bit"
same_bits whole full

# --- to the end: the state is saved, an evaluation is made, and it is said
fully 74 2 metrics.jsonl 9 0 "${train[@]}"
grep -q "metrics.jsonl lacks [0-9]* lines" err.txt || fail "what is missing is not said"
says err.txt "The state of step 12 is saved"
says out.txt "evaluation at step 12"
[ "$(last full saved)" = 12 ] || fail "saved $(last full saved), not 12"
rm -rf full.hf
expect 0 1 export full full.hf
cmp whole.hf/model.safetensors full.hf/model.safetensors || fail "another model"
fully 0 2 retort.log 9 0 "${train[@]}"
says err.txt "retort.log lacks its last"

# --- to an end without a look at what is kept: a bad step; the last checkpoint fails, too
fully 76 2 metrics.jsonl 4 0 "${train[@]}" train.spike_factor=1.5
grep -q "metrics.jsonl lacks [0-9]* lines" err.txt || fail "what a bad step leaves is not said"
rm count
fully 0 2 "" 0 0 "${train[@]}"
at=$(sed -n 's/^0 \([0-9]*\) write .*metrics.jsonl$/\1/p' count | sed -n 7p)
fully 74 2 "" "$at" 0 "${train[@]}"
says err.txt "metrics.jsonl lacks"
says err.txt "retort.log lacks its last"

finish
