#!/bin/bash
# The disk fails under a capture (EIO, or full) at each of its first calls, one
# at a time: exit 74 within 10 s, naming a file; sealed shards stay as they are,
# and the same command then goes on to the end.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/e2e.sh"

${CC:-cc} -std=c17 -D_GNU_SOURCE -fPIC -shared -o fail.so "$here/fail_write.c" \
  -ldl || exit 1
make_teacher
from=(capture deck.yaml teacher.weights=teacher.hf capture.encoding=exact capture.rows=48
  capture.shard_rows=16)
expect 0 1 "${from[@]}" capture.dir=whole

identity() { stat -c '%n %i %Y %s' bad/shard-*.h5 2>/dev/null; }

# disk_fails AT ERRNO RANKS: the AT-th call fails, and every later one
disk_fails() {
  local began=$SECONDS before
  before=$(identity)
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np "$3" env LD_PRELOAD="$work/fail.so" \
    FAIL_IN=/bad/shard- FAIL_AT="$1" FAIL_ERRNO="$2" \
    "$RETORT" "${from[@]}" capture.dir=bad >out.txt 2>err.txt </dev/null
  code=$?
  [ "$code" = 0 ] && return 1
  [ "$code" = 74 ] || fail "call $1, errno $2: exit $code, not 74: $(cat err.txt)"
  [ $((SECONDS - began)) -le 10 ] || fail "call $1: over 10 s to the end"
  says err.txt "bad/shard-"
  [ -z "$before" ] || [ "$(identity | grep -cxF "$before")" = \
    "$(wc -l <<<"$before")" ] || fail "call $1: a sealed shard was lost"
}

n_failed=0
for at in ${ATS:-1 2 3 5 8 12 16 20 24 28 32 36 40 60 80}; do
  rm -rf bad
  disk_fails "$at" $((at % 2 ? 5 : 28)) $((at % 3 + 1)) || continue
  n_failed=$((n_failed + 1))
  expect 0 2 "${from[@]}" capture.dir=bad
  expect 0 1 logits verify bad
  expect 0 1 logits diff whole bad
done
echo "the disk failed in $n_failed captures"
[ "$n_failed" -ge 8 ] || fail "only $n_failed captures met a bad disk"

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
