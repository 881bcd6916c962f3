#!/bin/bash
# The disk fails during training (EIO, or full), from the n-th call on: exit code 74
# within 10 s, naming a file.  Checkpoints and captured shards stay unchanged, and the
# same command then finishes with the undisturbed result.
#   ATS="1 3 8" tests/scripts/script_full_disk_train.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
# shellcheck source=tests/e2e_disk.sh
. "$here/e2e_disk.sh"

# --- logits captured during training
window=(train deck.yaml capture.window_start=2 capture.window_length=6
  capture.shard_rows=8 train.batch_rows=6 checkpoint.every=1)
n_failed=0
for at in ${ATS:-1 6 16 24 45}; do
  n=$((at % 3 + 1))
  rm -rf win
  disk_fails win/logits/ "$at" "${window[@]}" output.dir=win \
    capture.dir=win/logits || continue
  before=$(identity win/logits/shard-*.h5)
  expect 0 "$n" "${window[@]}" output.dir=win capture.dir=win/logits
  all_kept "$at" "$before" win/logits/shard-*.h5
  expect 0 1 logits verify win/logits
  [ -d "win-$n" ] || expect 0 "$n" "${window[@]}" output.dir="win-$n" \
    capture.dir="win-$n/logits"
  expect 0 1 logits diff "win-$n/logits" win/logits
  says out.txt "bit for bit"
done
[ "$n_failed" -ge 4 ] || fail "only $n_failed windows met a bad disk"

# --- checkpoints
n_failed=0
for at in ${ATS:-1 8 30 90}; do
  n=$((at % 3 + 1))
  rm -rf lm
  train=(train deck.yaml output.dir=lm checkpoint.every=2 train.batch_rows=6)
  disk_fails lm/checkpoints/ "$at" "${train[@]}" || continue
  before=$(identity lm/checkpoints/step-*/*)
  expect 0 "$n" "${train[@]}" checkpoint.keep_last=100
  grep "checkpoints/step-" err.txt && fail "call $at: a bad checkpoint is left"
  all_kept "$at" "$before" lm/checkpoints/step-*/*
  [ -d "lm-$n" ] || expect 0 "$n" "${train[@]}" output.dir="lm-$n"
  same_bits "lm-$n" lm
done
[ "$n_failed" -ge 3 ] || fail "only $n_failed trainings met a bad disk"

finish
