#!/bin/bash
# The disk fails during captures and selections (EIO, or full), from the n-th call on:
# exit code 74 within 10 s, naming a file.  Sealed shards stay unchanged, and the same
# command then finishes with the undisturbed result.  And a tmpfs that is really full.
#   ATS="1 3 8" tests/scripts/script_full_disk.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
# shellcheck source=tests/e2e_disk.sh
. "$here/e2e_disk.sh"

# --- a capture
from=(capture deck.yaml teacher.weights=teacher.hf capture.encoding=exact
  capture.rows=48 capture.shard_rows=16)
expect 0 1 "${from[@]}" capture.dir=whole
for at in ${ATS:-1 4 8 15 24 33}; do
  rm -rf bad
  disk_fails bad/ "$at" "${from[@]}" capture.dir=bad || continue
  before=$(identity bad/shard-*.h5)
  expect 0 2 "${from[@]}" capture.dir=bad
  all_kept "$at" "$before" bad/shard-*.h5
  expect 0 1 logits verify bad
  expect 0 1 logits diff whole bad
done
[ "$n_failed" -ge 4 ] || fail "only $n_failed captures met a bad disk"

# --- a selection: nothing is left of it, and its source is intact
n_failed=0
for at in ${ATS:-1 6 15 21}; do
  select=(logits select whole part.bad capture.rows=40 capture.encoding=packed)
  disk_fails part.bad "$at" "${select[@]}" || continue
  rm -rf part.bad
  expect 0 1 logits verify whole
done
[ "$n_failed" -ge 3 ] || fail "only $n_failed selections met a bad disk"

# --- a disk that is really full: a tmpfs of 400 KiB, where one can be mounted
mkdir disk
if mount -t tmpfs -o size=400k none disk 2>/dev/null; then
  trap 'umount -l "$work/disk"; rm -rf "$work"' EXIT
  # even the smallest possible dataset does not fit: rejected before the first write
  expect 74 2 "${from[@]}" capture.dir=disk/a capture.rows=1900
  says err.txt "the smallest dataset of 1900 rows needs"
  [ -e disk/a/manifest.json ] && fail "a capture without room was begun"
  # it might fit, but does not: sealed shards stay; with more room the capture resumes
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
  # checkpoints: room for one or two
  rm -r disk/b
  train=(train deck.yaml output.dir=disk/lm checkpoint.every=2
    checkpoint.keep_last=100 student.width=128)
  dd if=/dev/zero of=disk/filled bs=64k count=1530 status=none
  expect 74 2 "${train[@]}"
  says err.txt "no room for a checkpoint"
  rm disk/filled
  expect 0 2 "${train[@]}"
  says out.txt "resumed at step"
  # not a byte is free
  mount -o remount,size=16m disk
  dd if=/dev/zero of=disk/filled bs=64k status=none 2>dd.txt
  says dd.txt "No space left"
  expect 74 2 "${from[@]}" capture.dir=disk/c
  says err.txt "disk/c"
else
  echo "no tmpfs can be mounted here: the full disk is only simulated"
fi
finish
