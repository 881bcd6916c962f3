#!/bin/bash
# Logits captured during training, over restarts: a run that stops after each step
# leaves the same dataset; damaged logs, other windows, runs and layouts are rejected.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

kept=(capture.top_p=0.9 capture.top_k=20 capture.statistics=true)
window=(capture.window_start=3 capture.window_length=6 capture.shard_rows=16)
moving=("${kept[@]}" "${window[@]}" student.width=16)

# --- a run that stops after each step leaves the same dataset as one that never stops
expect 0 2 train deck.yaml "${moving[@]}" output.dir=once \
  capture.dir=once/logits
mkdir often at5 # at5: a copy after step 5
for step in 1 2 3 4 5 6 7 8 9 10; do
  touch often/stop
  launch 2 train deck.yaml "${moving[@]}" output.dir=often \
    capture.dir=often/logits
  [ "$step" = 5 ] && cp -r often at5
done
ln -s ../corpus.u16 ../deck.yaml at5
# stopped NAME: a folder with the copy, which resumes from step 5 as "often"
stopped() { cp -r at5 "$1"; }
same_bits once often
expect 0 1 logits diff once/logits often/logits
says out.txt "bit for bit"
expect 0 2 logits verify often/logits data.files="[corpus.u16]"
for log in often/logits/*.log; do
  [ -e "$log" ] && fail "$log is left"
done

# --- resumed on another layout; damaged or missing logs
again=(train deck.yaml "${moving[@]}" output.dir=often
  capture.dir=often/logits)
log=often/logits/rows-000000.log
[ -s "at5/$log" ] || fail "no log: $(ls at5/often/logits)"
stopped less
cd less || exit 1
expect 0 1 "${again[@]}"
expect 0 2 logits verify often/logits
expect 0 1 logits select often/logits part capture.first_row=4 capture.rows=9
expect 0 1 logits verify part
cd ..
stopped broken
cd broken || exit 1
truncate -s -1 "$log"
expect 65 2 "${again[@]}"
says err.txt "rows-000000.log"
# other damage of the part that was written before the checkpoint
n=$(stat -c %s "../at5/$log")
for at in 0 5 8 12 16 $((n / 2)) $((n - 1)); do
  "$PYTHON" - "../at5/$log" "$log" "$at" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[int(sys.argv[3])] ^= 4
open(sys.argv[2], "wb").write(data)
PY
  expect 65 2 "${again[@]}"
  says err.txt "rows-000000.log"
done
rm -r "$log"
expect 65 2 "${again[@]}"
says err.txt "are lost"
cd ..
mkdir one
touch one/stop
launch 1 train deck.yaml "${moving[@]}" output.dir=one capture.dir=one/logits
expect 78 2 train deck.yaml "${moving[@]}" output.dir=one capture.dir=one/logits
says err.txt "1 lanes, which dp 2 does not divide"

# --- the window belongs to the checkpoint: a start without it would lose rows
stopped half
cd half || exit 1
for keys in "" "capture.window_start=3 capture.window_length=3"; do
  # shellcheck disable=SC2086
  expect 78 2 train deck.yaml "${kept[@]}" student.width=16 output.dir=often \
    capture.dir=often/logits capture.shard_rows=16 $keys
  says err.txt "captures the logits of steps [3, 9) to "
  says err.txt "/often/logits, but the deck now requests ${keys:+[3, 6)}"
done
cp -r often given-up
expect 0 2 train deck.yaml student.width=16 output.dir=given-up \
  checkpoint.allow_change='[capture.window_length]'
cd ..

# --- another run with the same deck, but other weights, is rejected
rm -rf student.hf
expect 0 1 export once student.hf
from=(student.weights=student.hf "${window[@]}" capture.window_start=0
  capture.dir=owned)
mkdir first
touch first/stop
launch 2 train deck.yaml "${from[@]}" output.dir=first
rm -rf student.hf
expect 0 1 export at5/often student.hf
expect 73 2 train deck.yaml "${from[@]}" output.dir=second
says err.txt "owned holds logits of another run"
expect 0 2 train deck.yaml "${from[@]}" output.dir=first
expect 0 2 logits verify owned
# a window that is only requested at a restart
expect 85 2 train deck.yaml output.dir=later run.wall_s=1e-3 run.wall_margin_s=0
expect 0 2 train deck.yaml "${window[@]}" output.dir=later capture.dir=asked
expect 0 1 logits verify asked

# --- the lanes of a dataset (row ranges written concurrently) must divide the batch
expect 78 1 train deck.yaml "${moving[@]}" output.dir=three \
  capture.dir=at5/often/logits \
  train.batch_rows=1 checkpoint.allow_change='[train.batch_rows]'
says err.txt "at5/often/logits has 2 lanes, which do not divide train.batch_rows 1"

# --- a run that is past the start of the window and has saved nothing of it
expect 78 2 train deck.yaml "${moving[@]}" output.dir=once capture.dir=late
says err.txt "the run is at step 10, the window began at step 3"
[ -e late ] && fail "a refused run left a folder"
finish
