#!/bin/bash
# `retort logits`: select, export, diff, verify and info, also on unfinished datasets;
# and training on part of a stream.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

make_teacher
from=(deck.yaml teacher.weights=teacher.hf capture.shard_rows=16)
expect 0 2 capture "${from[@]}" capture.dir=all capture.rows=88 \
  capture.top_p=0.99 capture.top_k=40 capture.encoding=exact
expect 0 1 capture "${from[@]}" capture.dir=part capture.first_row=24 \
  capture.rows=40 capture.top_p=0.9 capture.top_k=10 capture.encoding=exact

# --- selecting part of a wide dataset gives what a narrow capture gives
expect 0 2 logits select all chosen capture.first_row=24 capture.rows=40 \
  capture.shard_rows=7 capture.top_p=0.9 capture.top_k=10
says out.txt "40 rows, 640 tokens"
expect 0 1 logits diff part chosen
says out.txt "the same, bit for bit"
expect 0 1 logits info chosen
says out.txt "selected    from"
says out.txt "top-p 0.9, top-k 10"
says out.txt "from row 24 of the stream"
says out.txt "entries: "
expect 0 1 logits info all
cp out.txt one.txt
expect 0 3 logits info all
cmp one.txt out.txt || fail "3 ranks count otherwise than one"
says out.txt "entries (mass) k             10             20"
says out.txt "counted     88 of 88 rows"
expect 0 1 logits info all --all
cmp one.txt out.txt || fail "--all counts otherwise than a sample of all"
expect 64 1 logits verify all --all
says err.txt "takes no --all"
expect 64 1 plan deck.yaml --all
says err.txt "not for \`retort plan\`"
grep -q "p  0.90 .*(0.[5-9]" one.txt || fail "no table of entries by p and k"
expect 65 1 logits diff all chosen
says out.txt "compared are the 40 rows from 24 on, which both have"
says out.txt "first at row 24, token 0"
expect 0 1 logits select all piece capture.first_row=24 capture.rows=40
expect 0 3 logits diff piece all
says out.txt "the same, bit for bit, in all that both of them have"
expect 0 1 logits select all end capture.first_row=64
expect 65 1 logits diff piece end
says err.txt "cannot be compared"

# --- training on its rows is training on these rows of the stream
stored=(teacher.source=dataset teacher.top_p=0.9 teacher.top_k=10
  train.length=8 eval.every=0)
expect 0 2 train deck.yaml output.dir=run-part "${stored[@]}" \
  teacher.dataset=part
expect 0 2 train deck.yaml output.dir=run-chosen "${stored[@]}" \
  teacher.dataset=chosen
same_bits run-part run-chosen

# --- packed during capture or from exact by select: the same, and close enough to
# train on
expect 0 2 capture "${from[@]}" capture.dir=packed capture.rows=88 \
  capture.top_p=0.99 capture.top_k=40
expect 0 2 logits select all packed-too capture.encoding=packed
expect 0 1 logits diff packed packed-too
expect 0 2 logits verify packed
expect 0 1 logits select packed packed-narrow capture.top_p=0.8
says out.txt "cut by rounded log-probs"
grep -q "rounded log-probs" packed-narrow/README.md || fail "no word in the card"
grep -q "rounded" packed/README.md && fail "the card of a capture is a select's"
expect 65 1 logits diff all packed
says out.txt "largest difference of a log-prob"
for d in all packed; do
  expect 0 2 train deck.yaml output.dir="run-$d" teacher.source=dataset \
    teacher.dataset="$d" teacher.top_p=0.99 teacher.top_k=40 train.length=8
done
"$PYTHON" - <<'PY' || fail "training on packed rows is not close to exact ones"
import json

def losses(run):
    with open(run + "/metrics.jsonl") as f:
        lines = [json.loads(line) for line in f]
    return [x["kd"] for x in lines if "kd" in x]

a, b = losses("run-all"), losses("run-packed")
assert len(a) == len(b) == 8 and a != b, (a, b)
worst = max(abs(x - y) / x for x, y in zip(a, b))
assert worst < 1e-2, worst  # of the KL itself, flat tiny teacher
PY

# --- what diff reports for each field
expect 0 2 capture "${from[@]}" capture.dir=spread capture.rows=88 \
  capture.top_p=0.99 capture.top_k=40 capture.encoding=exact \
  capture.statistics=true
expect 0 1 logits diff all spread
grep -q "of the entropy" out.txt && fail "an entropy that one of them lacks"
says out.txt "only the second has the field entropy: it is not compared"
says out.txt "the same, bit for bit, in all that both of them have"
expect 0 2 logits select spread spread-packed capture.encoding=packed
expect 65 1 logits diff spread spread-packed
for field in "kept mass" log-sum-exp "text's log-prob" entropy \
  "standard deviation"; do
  grep -q "largest difference.* of the $field *[1-9.]*[0-9]" out.txt ||
    fail "no difference of the $field"
  grep -q "of the $field *0$" out.txt && fail "the $field is the same"
done

# --- the plan of a capture: tokens x entries x encoding
expect 0 1 plan "${from[@]}" teacher.source=live capture.dir=new \
  capture.rows=64 capture.top_k=40
says out.txt "capture          1024 tokens in 4 files, packed, top-p 0.95"
says out.txt "20 entries a token: exact 176.0 bytes"
says out.txt "40 entries a token: exact 336.0 bytes"
grep -q "50 entries a token" out.txt && fail "more entries than top_k planned"
says out.txt "run.peak_gflops is not set"
[ -e new ] && fail "a plan left a folder"

# --- sampled draws
expect 0 2 capture "${from[@]}" capture.dir=draws capture.rows=88 \
  capture.encoding=sampled capture.draws=20 capture.draw_seed=5
expect 0 2 logits verify draws
says out.txt "20 draws from the softmax (seed 5)"
draws=(teacher.source=dataset teacher.dataset=draws train.length=8)
expect 0 2 train deck.yaml output.dir=run-draws "${draws[@]}"
expect 0 1 train deck.yaml output.dir=run-draws-1 "${draws[@]}"
close_to run-draws run-draws-1
# a live teacher makes the same draws
live=(teacher.source=live teacher.weights=teacher.hf teacher.target=sampled
  teacher.draws=20 train.length=8)
expect 0 2 train deck.yaml output.dir=live-draws "${live[@]}" data.rows=88 \
  teacher.draw_seed=5
same_bits run-draws live-draws
expect 78 1 train deck.yaml output.dir=refused "${live[@]}" loss.tau=2
says err.txt "set loss.tau=1"
expect 78 1 train deck.yaml output.dir=refused "${live[@]}" teacher.source=dataset \
  teacher.dataset=draws
says err.txt "remove teacher.target (capture.encoding"
expect 78 1 train deck.yaml output.dir=bad "${draws[@]}" loss.tau=2
says err.txt "set loss.tau=1"
expect 78 1 train deck.yaml output.dir=bad "${draws[@]}" teacher.top_k=5
says err.txt "all draws are used"
expect 78 1 logits select draws bad capture.encoding=packed
says err.txt 'draws are encoded as "sampled"'
expect 78 1 logits select all bad capture.encoding=sampled
says err.txt "draws"

# --- capture.count_only counts the entries that a capture stores, on any ranks
count=("${from[@]}" capture.count_only=true capture.rows=88 capture.top_k=40
  capture.draws=20)
expect 0 1 capture "${count[@]}" capture.dir=counted
says out.txt "counted 1408 tokens in 88 rows; k up to 40 of 64"
[ "$(ls counted)" = counts.json ] || fail "counting left $(ls counted)"
expect 0 3 capture "${count[@]}" capture.dir=counted-3
expect 0 2 capture "${count[@]}" capture.dir=counted-tp teacher.tp=2
expect 0 1 logits select all ten capture.top_p=0.9 capture.top_k=10
expect 0 1 logits export ten ten.npy
expect 0 1 logits select all half capture.top_p=0.5 # where p cuts, not k
expect 0 1 logits export half half.npy
expect 0 1 logits export draws draws.npy
expect 78 1 capture "${count[@]}"
says err.txt "capture.dir is empty"
"$PYTHON" - <<'PY' || fail "the counts are not those of datasets"
import json
import numpy as np

one, three, tp = (json.load(open(d + "/counts.json"))
                  for d in ("counted", "counted-3", "counted-tp"))
for c, rule, of in ((c, rule, of) for c in (one, three, tp)
                    for rule, of in (((0.9, 10), "ten"), ((0.5, 40), "half"))):
    count = np.load(of + ".npy/count.npy")
    mass = np.exp(np.load(of + ".npy/logp.npy").astype(float)).sum() / len(count)
    cell, = [x for x in c["cells"] if (x["top_p"], x["top_k"]) == rule]
    near = 1e-3 if c is tp else 1e-12  # tp rounds logits otherwise
    assert abs(cell["entries"] / count.mean() - 1) < near, (cell, count.mean())
    assert abs(cell["mass"] / mass - 1) < near, (cell, mass)
    if c is not tp:
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            rank = int(np.ceil(q * len(count))) - 1
            assert cell[name] == np.sort(count)[rank], (name, cell)
    assert cell["exact_bytes"] == 16 + 8 * cell["entries"]
assert len(one["cells"]) == 6 * 3 and one["widest_k"] == 40
assert one["cells"] == three["cells"] or max(
    abs(a[k] - b[k]) for a, b in zip(one["cells"], three["cells"])
    for k in a) < 1e-9
draws = np.load("draws.npy/count.npy")
assert abs(one["sampled_ids"] / draws.mean() - 1) < 0.05, draws.mean()
PY

# --- invalid requests
expect 73 1 logits select all all/
says err.txt "is the source dataset"
expect 0 1 capture "${from[@]}" capture.dir=warned capture.rows=4 capture.draws=9
says err.txt "capture.draws is given, but not used"
expect 0 1 capture "${from[@]}" capture.dir=warned-2 capture.rows=4 \
  capture.encoding=sampled capture.top_p=0.9
says err.txt "capture.top_p is given, but not used"
expect 78 1 capture "${from[@]}" capture.dir=out capture.first_row=9999
says err.txt "capture.first_row is 9999, the training stream has"
expect 78 1 plan "${from[@]}" teacher.source=live capture.dir=out \
  capture.rows=9999
says err.txt "capture.rows is 9999"
expect 0 1 plan "${from[@]}" teacher.source=live capture.dir=out \
  capture.count_only=true
says out.txt "counts only"
# the saved deck of a run lists all keys and starts the same run
expect 0 1 train run-draws/deck.yaml output.dir=run-resolved
same_bits run-draws-1 run-resolved
expect 73 1 logits select all chosen
says err.txt "chosen"
expect 78 1 logits select all wider capture.top_k=41
says err.txt "captured with 40"
expect 78 1 logits select all beyond capture.first_row=80 capture.rows=9
says err.txt "[0, 88)"
expect 64 1 logits select all other train.lr=1
says err.txt "does not use train.lr"
expect 64 1 logits verify all capture.rows=1
says err.txt "does not use capture.rows: it takes data.files, data.weights"
expect 64 1 logits info all capture.rows=1
says err.txt "no KEY=VALUE"
for d in wider beyond other bad; do
  [ -e "$d" ] && fail "a refused select left $d"
done

# --- exports
expect 0 1 logits export chosen arrays
says arrays/README.md "| ids.npy | <u4 | n |"
says arrays/README.md '| license | "unspecified" |'
expect 0 1 logits export chosen lines.jsonl capture.rows=2
expect 73 1 logits export chosen lines.jsonl
says err.txt "lines.jsonl exists"
expect 73 1 logits export chosen arrays
says err.txt "arrays exists"
ln -s nowhere link
expect 73 1 logits export chosen link
mkdir mine.tmp mine.retort
expect 0 1 logits export chosen mine/ capture.rows=1
[ -f mine/count.npy ] || fail "no export in mine/"
[ -e mine.retort-export ] && fail "export left its temporary folder"
for d in mine.tmp mine.retort; do
  [ -d $d ] || fail "export removed $d, which is not its own"
done
# a full disk leaves nothing that looks complete
mkdir disk
if mount -t tmpfs -o size=64k none disk 2>/dev/null; then
  trap 'umount -l "$work/disk"; rm -rf "$work"' EXIT
  for to in disk/arrays disk/lines.jsonl; do
    expect 74 1 logits export all "$to"
    says err.txt "No space left"
    [ -z "$(ls disk)" ] || fail "a failed export left $(ls disk)"
  done
  expect 0 1 logits export all disk/lines.jsonl capture.rows=1
else
  echo "no tmpfs can be mounted here: a full disk is not tried"
fi
"$PYTHON" - <<'PY' || fail "what was exported is not what is in the dataset"
import json
import numpy as np

a = {k: np.load("arrays/%s.npy" % k)
     for k in ("tok", "count", "lse", "label_logp", "ids", "logp")}
assert a["tok"].shape == (40 * 17,) and a["count"].shape == (640,)
assert a["count"].sum() == len(a["ids"]) == len(a["logp"])
at, lines = 0, [json.loads(x) for x in open("lines.jsonl")]
assert len(lines) == 32
for i, line in enumerate(lines):
    row, t = divmod(i, 16)
    n = int(a["count"][i])
    assert (line["row"], line["position"]) == (24 + row, t)
    assert line["token"] == a["tok"][17 * row + t]
    assert line["next"] == a["tok"][17 * row + t + 1]
    assert np.float32(line["lse"]) == a["lse"][i]
    assert np.float32(line["next_logp"]) == a["label_logp"][i]
    assert [e[0] for e in line["entries"]] == list(a["ids"][at:at + n])
    assert [np.float32(e[1]) for e in line["entries"]] == \
        list(a["logp"][at:at + n])
    at += n
PY

# --- a dataset card that was changed
cp all/README.md card
for change in 's/teacher/Teacher/' 1d 2,\$d; do
  sed -i "$change" all/README.md
  expect 65 2 logits verify all
  says err.txt "all/README.md has SHA-256"
  cp card all/README.md
done
rm all/README.md
expect 66 1 logits verify all
says err.txt "README.md"
mkfifo all/README.md # which nobody writes to
expect 66 2 logits verify all
says err.txt "README.md is not a regular file"
rm all/README.md
cp card all/README.md
expect 0 1 logits verify all
# --- other files in the folder: the deck, for people to read, and foreign files
cmp all/deck.yaml part/deck.yaml >cmp.txt && fail "two captures, one deck"
echo "# mine" >>all/deck.yaml
expect 65 1 logits verify all
says err.txt "all/deck.yaml is not the deck of the capture"
rm all/deck.yaml # the manifest has it
expect 0 1 logits verify all
cp part/shard-000000.h5 all/shard-000099.h5
expect 0 1 logits verify all
says err.txt "all/shard-000099.h5 is not in the manifest"
rm all/shard-000099.h5
expect 73 1 logits select all all/within
says err.txt "is inside another dataset"
expect 73 1 capture "${from[@]}" capture.dir=teacher.hf
says err.txt "is the folder of a model"
for d in all/within teacher.hf/manifest.json teacher.hf/lock; do
  [ -e "$d" ] && fail "a refused one left $d"
done

# --- damage: each damaged file is named; the rest is usable; a capture replaces them
flip() { # flip FILE OFFSET: a bit, so many bytes before the end
  "$PYTHON" - "$1" "$2" <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(-int(sys.argv[2]), 2)
    byte = f.read(1)[0]
    f.seek(-1, 1)
    f.write(bytes([byte ^ 1]))
PY
}
cp -r all whole
expect 0 1 logits select all few capture.rows=5
flip all/shard-000002.h5 3 # only the SHA-256 of the file sees it, or a row's hash
flip all/shard-000003.h5.seal 40
rm all/shard-000001.h5
for n in 1 3; do
  expect 65 $n logits verify all
  for i in 1 2 3; do
    says err.txt "shard-00000$i.h5"
  done
  says err.txt "3 files are missing or damaged"
  says err.txt "run the same capture again"
done
expect 65 1 train deck.yaml "${stored[@]}" teacher.dataset=all
says err.txt "all/shard-00000"
expect 0 1 logits select all sound capture.rows=16
expect 0 1 logits export all sound.npy capture.first_row=64 capture.rows=24
expect 65 1 logits export all unsound.npy
says err.txt "row 16 is not available: its shard is missing or damaged"
rm all/shard-00000[23].h5
expect 0 2 capture "${from[@]}" capture.dir=all capture.rows=88 \
  capture.top_p=0.99 capture.top_k=40 capture.encoding=exact
says err.txt "3 of its 6 shards are missing and will be written again"
expect 0 1 logits verify all
expect 0 1 logits diff all whole
says out.txt "bit for bit"
rm few/shard-000000.h5
expect 0 1 logits select all few capture.rows=5
expect 0 1 logits verify few
finish
