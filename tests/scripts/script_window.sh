#!/bin/bash
# Logits captured during training: a capture of the same weights stores the same
# entries, students train on them, and invalid requests are rejected.
#   (Restarts: script_window_restart.)
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# same_entries A.jsonl B.jsonl: B holds every token of A, with the same entries
same_entries() {
  "$PYTHON" - "$1" "$2" <<'PY' || fail "entries of $1 are not those of $2"
import json, sys

def tokens(path):
    return {(x["row"], x["position"]): x for x in map(json.loads, open(path))}

a, b = map(tokens, sys.argv[1:])
assert a and a.keys() <= b.keys(), "rows"
for at, x in a.items():
    y = b[at]
    assert (x["token"], x["next"]) == (y["token"], y["next"]), at
    assert abs(x["lse"] - y["lse"]) < 1e-4, at
    p, q = dict(x["entries"]), dict(y["entries"])
    for i in p.keys() & q.keys():
        assert abs(p[i] - q[i]) < 1e-4, (at, i)
    for i in p.keys() ^ q.keys():  # near-ties at the end of the list only
        worst = min(list(p.values()) + list(q.values()))
        assert abs({**p, **q}[i] - worst) < 1e-3, (at, i)
print(len(a), "tokens")
PY
}

make_teacher
kept=(capture.top_p=0.9 capture.top_k=20 capture.statistics=true)
window=(capture.window_start=3 capture.window_length=6 capture.shard_rows=16)

# --- with constant weights: a capture of these weights has the same entries
still=(student.weights=teacher.hf train.lr=0 "${kept[@]}" "${window[@]}"
  capture.encoding=exact)
expect 0 2 capture deck.yaml teacher.weights=teacher.hf capture.dir=whole \
  "${kept[@]}" capture.encoding=exact
expect 0 1 logits export whole whole.jsonl
expect 0 2 train deck.yaml "${still[@]}" capture.dir=dp train.micro_rows=2
# the estimate of disk space includes the logs of unfinished shards: half of all rows
size=$(sed -n 's/^capture: \([0-9]*\) rows of \([0-9]*\) tokens.* at most about \([0-9.]*\) MiB.*/\1 \2 \3/p' out.txt)
"$PYTHON" - "$size" <<'PY' || fail "the plan for the disk: $size"
import sys
rows, tokens, mib = map(float, sys.argv[1].split())
row = tokens * (16 + 8 + 20 * 8)  # exact, with both statistics, top-k 20
print(mib * 2**20 / (rows * row), "records a row")
assert abs(mib * 2**20 - 1.5 * rows * row) < 1100
PY
expect 0 2 train deck.yaml "${still[@]}" capture.dir=tp student.tp=2
for d in dp tp; do
  expect 0 1 logits verify "$d"
  says out.txt "in training, steps 3 to 9 of 10"
  says out.txt "each row records its stream row and training step"
  says "$d/README.md" "the row of the corpus that it names"
  expect 0 1 logits export "$d" "$d.jsonl"
  same_entries "$d.jsonl" whole.jsonl
  [ "$(wc -l <"$d.jsonl")" = $((6 * 8 * 16)) ] || fail "$d.jsonl's length"
done
"$PYTHON" - <<'PY' || fail "steps of the rows"
import json
steps = [json.loads(line)["step"] for line in open("dp.jsonl")]
assert sorted(set(steps)) == [3, 4, 5, 6, 7, 8] and len(steps) == 6 * 8 * 16
PY
expect 0 2 capture deck.yaml teacher.weights=teacher.hf capture.dir=drawn-all \
  capture.encoding=sampled
expect 0 1 train deck.yaml "${still[@]}" capture.dir=drawn \
  capture.encoding=sampled
expect 0 1 logits export drawn drawn.jsonl
expect 0 1 logits export drawn-all drawn-all.jsonl
"$PYTHON" - <<'PY' || fail "draws are not those of a capture"
import json
a, b = [{(x["row"], x["position"]): x["entries"]
         for x in map(json.loads, open(f))}
        for f in ("drawn.jsonl", "drawn-all.jsonl")]
same = sum(a[at] == b[at] for at in a)
assert a and same > 0.99 * len(a), (same, len(a))  # but for rounding
PY

moving=("${kept[@]}" "${window[@]}" student.width=16)
# --- a share of a short run, and steps that do not fill whole shards
expect 0 2 train deck.yaml capture.window_length='1 %' capture.dir=short
expect 0 1 logits info short
says out.txt "steps 0 to 1 of 10"
part=(train.length=25 capture.window_start=2 capture.window_length=23
  capture.shard_rows=40)
expect 0 2 plan deck.yaml "${part[@]}" capture.dir=rest
says out.txt "of steps [4, 25), 6 files"
[ -e rest ] && fail "a plan left a folder"
expect 0 2 train deck.yaml "${part[@]}" capture.dir=rest
says out.txt "the first 2 steps of the window are left out"
says out.txt "logits of steps [4, 25)"
expect 0 1 logits info rest
says out.txt "168 of 168"

# --- a student learns from such a dataset, with other ranks, seed and batch; the corpus
# is compared token by token
expect 0 2 train deck.yaml "${moving[@]}" output.dir=once \
  capture.dir=once/logits
for n in 1 3; do
  expect 0 "$n" train deck.yaml teacher.source=dataset \
    teacher.dataset=once/logits teacher.top_p=0.9 teacher.top_k=20 \
    train.batch_rows=6 train.micro_rows=1 \
    run.seed=5 output.dir="student-$n"
done
close_to student-1 student-3

# --- logits that are not finite: skipped steps leave rows without entries
expect 0 2 train deck.yaml "${window[@]}" capture.dir=bad train.lr=100 \
  train.lr_warmup=0 train.clip=0 train.weight_decay=10 train.length=10 \
  train.on_bad_step=skip train.max_skips=100
says err.txt "skipped"
expect 0 1 logits verify bad
expect 0 1 logits export bad bad.jsonl
grep -q '"entries":\[\]' bad.jsonl || fail "every token has entries"

# --- rejected: the folder of another run, no folder, a window after the end, ...
expect 78 2 train deck.yaml "${moving[@]}" train.lr=1e-3 capture.dir=once/logits
says err.txt "train.lr"
expect 78 2 train deck.yaml "${window[@]}"
says err.txt "capture.dir is empty"
expect 78 2 train deck.yaml "${window[@]}" capture.dir=same output.dir=same
says err.txt "such as same/logits"
expect 78 2 train deck.yaml "${window[@]}" capture.dir=late \
  capture.window_start=10
says err.txt "but the run ends at step 10"
expect 78 1 train deck.yaml capture.window_start=3
says err.txt "without capture.window_length"
expect 78 1 train deck.yaml "${window[@]}" capture.dir=late \
  capture.count_only=true
says err.txt "capture.count_only"
expect 78 1 train deck.yaml "${window[@]}" capture.dir=late capture.rows=9
says err.txt "capture.rows applies to"
finish
