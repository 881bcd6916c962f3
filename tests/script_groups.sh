#!/bin/bash
# Two groups, one dataset: captured on 4 ranks, then read-only; one group trains
# on 1 rank, the other on 3, with their own seeds, batches and rules.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/e2e.sh"

make_teacher
expect 0 4 capture deck.yaml teacher.weights=teacher.hf capture.dir=shared \
  capture.rows=120 capture.shard_rows=16 capture.license="CC0, of the test"
find shared -type f -exec sha256sum {} + | sort -k 2 >before.txt
chmod -R a-w shared
stored=(teacher.source=dataset teacher.dataset=shared)

# --- group A: 1 rank, every entry, live text of the same corpus beside it
expect 0 1 train deck.yaml output.dir=a "${stored[@]}" run.seed=7 \
  train.batch_rows=6 train.micro_rows=3
# --- group B: 3 ranks, a narrower rule, a temperature, the dataset alone
expect 0 3 train deck.yaml output.dir=b "${stored[@]}" run.seed=8 \
  train.batch_rows=12 train.micro_rows=2 teacher.top_p=0.8 teacher.top_k=10 \
  loss.tau=2
cmp -s <(metrics a) <(metrics b) && fail "two groups have the same losses"
# --- the layout is nobody's business: A's run on 3 ranks is A's run
expect 0 3 train deck.yaml output.dir=a3 "${stored[@]}" run.seed=7 \
  train.batch_rows=6 train.micro_rows=1
close_to a a3

find shared -type f -exec sha256sum {} + | sort -k 2 >after.txt
cmp before.txt after.txt || fail "reading changed the dataset"
expect 0 2 logits verify shared
says shared/README.md "CC0, of the test"
# --- without the corpus' files a student has the text, but another corpus is
# noticed
"$PYTHON" - <<'PY'
data = bytearray(open("corpus.u16", "rb").read())
data[2000] ^= 1
open("other.u16", "wb").write(data)
PY
expect 78 1 train deck.yaml output.dir=c "${stored[@]}" \
  data.files="[other.u16]"
says err.txt "data.files hash to"
chmod -R u+w shared
finish
