#!/bin/bash
# The disk fails under a capture or a training (EIO, or full) at one of its first
# calls and ever after: exit 74 within 10 s, naming a file; what was published
# stays as it is, and the same command then goes on to the undisturbed end.
#   ATS="1 3 8" tests/scripts/script_full_disk.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

${CC:-cc} -std=c17 -D_GNU_SOURCE -fPIC -shared -o fail.so "$here/fail_write.c" \
  -ldl || exit 1
make_teacher

# identity FILE...: of those that are there
identity() { stat -c '%n %i %Y %s' "$@" 2>/dev/null; }

# disk_fails PART AT ARGS...: the AT-th call on PART fails, and every later one;
# EIO and ENOSPC, 1 to 3 ranks in turn.  Returns 1 when it came to its end.
n_failed=0
disk_fails() {
  local began=$SECONDS part=$1 at=$2
  shift 2
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np $((at % 3 + 1)) env LD_PRELOAD="$work/fail.so" \
    FAIL_IN="$part" FAIL_AT="$at" FAIL_HOW=$((at % 2 ? 5 : 28)) \
    "$RETORT" "$@" >out.txt 2>err.txt </dev/null
  code=$?
  [ "$code" = 0 ] && return 1
  [ "$code" = 74 ] || fail "call $at: exit $code, not 74: $(cat err.txt)"
  [ $((SECONDS - began)) -le 10 ] || fail "call $at: over 10 s to the end"
  says err.txt "$part"
  n_failed=$((n_failed + 1))
}

# --- a capture
from=(capture deck.yaml teacher.weights=teacher.hf capture.encoding=exact
  capture.rows=48 capture.shard_rows=16)
expect 0 1 "${from[@]}" capture.dir=whole
for at in ${ATS:-1 4 8 15 24 33}; do
  rm -rf bad
  disk_fails bad/ "$at" "${from[@]}" capture.dir=bad || continue
  before=$(identity bad/shard-*.h5)
  expect 0 2 "${from[@]}" capture.dir=bad
  [ "$(identity bad/shard-*.h5 | grep -cxF "$before")" -ge \
    "$(grep -c . <<<"$before")" ] || fail "call $at: a sealed shard was lost"
  expect 0 1 logits verify bad
  expect 0 1 logits diff whole bad
done
[ "$n_failed" -ge 4 ] || fail "only $n_failed captures met a bad disk"

# --- a selection: nothing is left of it, or it goes on; its source is read
n_failed=0
for at in ${ATS:-1 6 15 21}; do
  select=(logits select whole part.bad capture.rows=40 capture.encoding=packed)
  disk_fails part.bad "$at" "${select[@]}" || continue
  rm -rf part.bad
  expect 0 1 logits verify whole
done
[ "$n_failed" -ge 3 ] || fail "only $n_failed selections met a bad disk"

# --- the logits of a model in training
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
  [ "$(identity win/logits/shard-*.h5 | grep -cxF "$before")" -ge \
    "$(grep -c . <<<"$before")" ] || fail "call $at: a sealed shard was lost"
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
  [ "$(identity lm/checkpoints/step-*/* | grep -cxF "$before")" -ge \
    "$(grep -c . <<<"$before")" ] || fail "call $at: a checkpoint was lost"
  [ -d "lm-$n" ] || expect 0 "$n" "${train[@]}" output.dir="lm-$n"
  same_bits "lm-$n" lm
done
[ "$n_failed" -ge 3 ] || fail "only $n_failed trainings met a bad disk"

# --- a disk that is really full, of 400 KiB, where one may be mounted
mkdir disk
if mount -t tmpfs -o size=400k none disk 2>/dev/null; then
  trap 'umount -l "$work/disk"; rm -rf "$work"' EXIT
  # the smallest dataset cannot fit: refused before anything is written
  expect 74 2 "${from[@]}" capture.dir=disk/a capture.rows=1900
  says err.txt "the smallest dataset of 1900 rows needs"
  [ -e disk/a/manifest.json ] && fail "a capture without room was begun"
  # it may fit, and does not: what is sealed stays; with room it goes on
  for n in 3 2; do
    began=$SECONDS
    expect 74 "$n" "${from[@]}" capture.dir=disk/b capture.rows=480
    [ $((SECONDS - began)) -le 10 ] || fail "$n ranks: over 10 s to the end"
    says err.txt "MiB free"
    says err.txt "disk/b"
    expect 0 1 logits verify disk/b
  done
  mount -o remount,size=100m disk
  expect 0 2 "${from[@]}" capture.dir=disk/b capture.rows=480
  expect 0 1 logits verify disk/b
  # checkpoints: there is room for one or two
  rm -r disk/b
  train=(train deck.yaml output.dir=disk/lm checkpoint.every=2
    checkpoint.keep_last=100 student.width=128)
  dd if=/dev/zero of=disk/filled bs=64k count=1530 status=none
  expect 74 2 "${train[@]}"
  says err.txt "no room for a checkpoint"
  rm disk/filled
  expect 0 2 "${train[@]}"
  says out.txt "resumed at step"
  # not a byte is left
  mount -o remount,size=16m disk
  dd if=/dev/zero of=disk/filled bs=64k status=none 2>dd.txt
  says dd.txt "No space left"
  expect 74 2 "${from[@]}" capture.dir=disk/c
  says err.txt "disk/c"
else
  echo "no tmpfs can be mounted here: the full disk is only imitated"
fi
finish
