#!/bin/bash
# Two groups, one dataset: captured on 4 ranks, then read-only; one group trains
# on 1 rank, the other on 3, with their own seeds, batches and rules.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/e2e.sh"

make_teacher
mkdir words other-words
echo '{"words": 1}' >words/tokenizer.json
echo '{"words": 2}' >other-words/tokenizer.json
cp words/tokenizer.json teacher.hf
expect 0 4 capture deck.yaml data.tokenizer=words \
  teacher.weights=teacher.hf capture.dir=shared capture.rows=120 \
  capture.shard_rows=16 capture.license="CC0, of the test"
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
# --- nor tp's: its ranks take turns, and storage is asked once for a row
${CC:-cc} -std=c17 -D_GNU_SOURCE -fPIC -shared -o count.so \
  "$here/count_reads.c" -ldl || exit 1
plain=$MPIRUN
reads() { # STEPS TP: preads of shards in all
  rm -f reads.txt
  MPIRUN="$plain -x LD_PRELOAD=$work/count.so -x COUNT_IN=/shared/shard \
    -x COUNT_TO=$work/reads.txt"
  expect 0 "$2" train deck.yaml output.dir="tp$2.$1" "${stored[@]}" run.seed=7 \
    train.batch_rows=6 train.micro_rows=3 train.length="$1" student.tp="$2" >&2
  MPIRUN=$plain
  wc -l <reads.txt
}
for tp in 1 2; do
  more=$(($(reads 40 $tp) - $(reads 10 $tp)))
  echo "tp $tp: $more reads for $((30 * 6)) rows"
  # what is read ahead of the end varies
  if [ $more -lt 160 ] || [ $more -gt 200 ]; then
    fail "tp $tp: $more reads"
  fi
done
close_to a tp2.10

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
print(f"id {data[2000] ^ 1} there, {data[2000]} here", file=open("ids.txt", "w"))
PY
expect 0 3 logits verify shared data.files="[corpus.u16]"
says out.txt "with the ids of data.files"
expect 65 3 logits verify shared data.files="[other.u16]"
says err.txt "$(cat ids.txt)"
other=(train deck.yaml output.dir=c "${stored[@]}" data.files="[other.u16]")
expect 78 1 "${other[@]}"
says err.txt "data.files hash to"
says err.txt "differs from token"
says err.txt "$(cat ids.txt)"
# --- so is another tokenizer, over the same ids or others
expect 78 2 "${other[@]}" data.tokenizer=other-words
says err.txt "$(cat ids.txt)"
expect 78 2 "${other[@]}" data.tokenizer=other-words data.files="[corpus.u16]"
says err.txt "was captured with tokenizer $(sha256sum <words/tokenizer.json |
  cut -d ' ' -f 1), data.tokenizer is"
says err.txt "the ids of its first 120 rows are equal"
chmod -R u+w shared
# --- a damaged record ends a group that shares its reads, whoever met it
tail -n 30 reads.txt | while read -r path offset n; do # of ten steps' 60
  printf '\377' | dd of="$path" bs=1 seek=$((offset + n / 2)) conv=notrunc \
    status=none
done
expect 65 2 train deck.yaml output.dir=d "${stored[@]}" run.seed=7 \
  train.batch_rows=6 train.micro_rows=3 student.tp=2
says err.txt "it was damaged after it was written"
finish
