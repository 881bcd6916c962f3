#!/bin/bash
# Capture: the same entries on 1 and 2 ranks, training on them, and resuming an
# interrupted capture.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

make_teacher
for _ in {1..30}; do cat corpus.u16; done >many.u16 # 1.2 M rows of a token
from=(teacher.weights=teacher.hf capture.rows=88 capture.shard_rows=16
  capture.micro_rows=6 capture.encoding=exact)

# --- rejected for lack of memory: no dataset is left
expect 71 2 capture deck.yaml "${from[@]}" capture.dir=none run.memory_gib=0.01
[ -e none ] && fail "a refused capture left $(echo none/*)"

# --- data parallel: bit-identical entries
expect 0 1 capture deck.yaml "${from[@]}" capture.dir=a
says out.txt "captured 88 rows, 1408 tokens"
says out.txt "entries"
grep -qE '^20[0-9]{2}-[0-9-]{5}T[0-9:]{8} capture 100\.0%' out.txt ||
  fail "no time in a line of progress"
expect 0 2 capture deck.yaml "${from[@]}" capture.dir=b
expect 0 1 logits verify b
# --- tensor parallel: the same up to rounding
expect 0 2 capture deck.yaml "${from[@]}" capture.dir=c teacher.tp=2
stored=(teacher.source=dataset)
for d in a b c; do
  expect 0 2 train deck.yaml output.dir="run-$d" "${stored[@]}" \
    teacher.dataset="$d"
done
# the teacher is not run
says out.txt "stored logits"
grep -q "teacher forward" out.txt && fail "stored logits are called forward"
same_bits run-a run-b
close_to run-a run-c

# --- all entries stored: training gives the same bits as with the live teacher, for
# any micro-batch on either side
whole=(teacher.top_p=1 teacher.top_k=64 data.rows=88 train.length=50)
expect 0 2 capture deck.yaml "${from[@]}" capture.dir=all capture.top_p=1 \
  capture.top_k=64
says out.txt "64.00 entries"
for micro in 1 4; do
  expect 0 2 train deck.yaml output.dir="stored-$micro" "${stored[@]}" \
    teacher.dataset=all "${whole[@]}" train.micro_rows="$micro"
  expect 0 2 train deck.yaml output.dir="live-$micro" teacher.source=live \
    teacher.weights=teacher.hf "${whole[@]}" train.micro_rows="$micro"
  same_bits "stored-$micro" "live-$micro"
done

# --- no target of a step, live or stored, makes the host wait for its device
waits() { sed -n 's/.*"host_waits_per_step": \([0-9.]*\).*/\1/p' "$1/metrics.jsonl"; }
live=(teacher.source=live teacher.weights=teacher.hf)
asked() { # NAME KEYS...
  expect 0 1 train deck.yaml output.dir="waits-$1" run.device=check \
    data.rows=88 train.length=2 "${@:2}"
}
asked none teacher.source=none
asked dataset "${stored[@]}" teacher.dataset=all teacher.top_k=64
asked sparse "${live[@]}" loss.chunk_mib=0.002
asked sampled "${live[@]}" teacher.target=sampled
asked full "${live[@]}" teacher.target=full
none=$(waits waits-none)
for of in none dataset sparse sampled full; do
  now=$(waits "waits-$of")
  [[ "$now" && "$now" = "$none" ]] ||
    fail "$of: $now waits a step, without targets $none"
done

# --- shorter rows: rejected, or cut as the deck says.  With the teacher as student, KL
# is 0 where both saw the same context: at the beginning of rows
kd() { metrics "$1" | cut -d ' ' -f 4; }
short=("${stored[@]}" teacher.dataset=all student.weights=teacher.hf data.seq=8
  train.length=1 train.batch_rows=88 teacher.top_p=1 teacher.top_k=64)
expect 78 1 train deck.yaml "${short[@]}" output.dir=short
says err.txt "teacher.row_cut"
for cut in beginning pieces; do
  expect 0 2 train deck.yaml "${short[@]}" output.dir="short-$cut" \
    teacher.row_cut="$cut"
  says "short-$cut/deck.yaml" "row_cut: $cut"
done
says out.txt "all: 2 rows of 8 tokens are obtained from each row of 16"
"$PYTHON" -c 'import sys; a, b = map(float, sys.argv[1:]); sys.exit(
  not (abs(a) < 1e-6 and b > 1e-3))' "$(kd short-beginning)" \
  "$(kd short-pieces)" ||
  fail "KL of beginnings $(kd short-beginning), of pieces $(kd short-pieces)"

# --- the same files as another stream: the message gives the keys to set, in few
# digits
expect 78 1 train deck.yaml "${stored[@]}" teacher.dataset=all output.dir=other \
  teacher.top_k=64 data.valid_fraction=0.1
says err.txt "captured with data.eot=0 data.bos=-1 data.valid_fraction=0.05 data.split_seed="
says err.txt "the ids of its first 88 rows are equal"
expect 78 1 train deck.yaml "${stored[@]}" teacher.dataset=all output.dir=other \
  teacher.top_k=64 data.split_seed=3
says err.txt "differs from token"
# --- the same for another blend; weights in the same proportion are the same blend
head -c 20000 corpus.u16 >half.u16
blend=(data.files="[half.u16, corpus.u16]" teacher.source=dataset
  teacher.dataset=blend train.length=2)
expect 0 2 capture deck.yaml "${from[@]}" capture.dir=blend "${blend[0]}" \
  data.weights="[3, 1]"
expect 0 1 train deck.yaml "${blend[@]}" output.dir=blend.1 data.weights="[6, 2]"
expect 78 1 train deck.yaml "${blend[@]}" output.dir=blend.2 \
  data.weights="[3, 1.1]"
says err.txt "data.files and data.weights hash to"
says err.txt "differs from token"
expect 78 1 train deck.yaml "${blend[@]}" output.dir=blend.2
says err.txt "differs from token"
expect 0 2 logits verify blend "${blend[0]}" data.weights="[3, 1]"
expect 65 2 logits verify blend "${blend[0]}"
says err.txt "differs from token"

# --- starting a finished capture again changes nothing
state() { (cd a && stat -c '%n %i %Y %s' ./*); }
before=$(state)
expect 0 2 capture deck.yaml "${from[@]}" capture.dir=a
says out.txt "nothing to do: this capture is finished: 88 rows"
[ "$(state)" = "$before" ] || fail "a finished dataset was changed"
expect 73 2 capture deck.yaml "${from[@]}" capture.dir=a capture.top_k=3
says err.txt "a holds a finished capture of something else: top_k is"

# --- invalid requests
expect 78 1 capture deck.yaml "${from[@]}" capture.dir=d capture.rows=1000000
says err.txt "capture.rows"
expect 78 1 capture deck.yaml "${from[@]}"
says err.txt "capture.dir"
expect 78 1 capture deck.yaml teacher.weights=teacher.hf capture.dir=many \
  data.seq=1 capture.shard_rows=1 data.files=[many.u16]
says err.txt "expected at most 1048576"
[ -e many ] && fail "too many shards left a folder"
expect 78 1 capture deck.yaml "${from[@]}" capture.dir=long data.seq=20
says err.txt "teacher.hf: rows of 20 tokens (data.seq), but the model has 16"
[ -e long ] && fail "rows that are too long left a folder"
finish
