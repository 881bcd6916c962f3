#!/bin/bash
# Two user groups share one read-only dataset, captured on 4 ranks: one trains on 1
# rank, the other on 3, each with its own seed, batch size and truncation.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

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

# --- group A: 1 rank, all stored entries, and the corpus itself at hand
expect 0 1 train deck.yaml output.dir=a "${stored[@]}" run.seed=7 \
  train.batch_rows=6 train.micro_rows=3
# --- group B: 3 ranks, narrower truncation, a temperature, only the dataset
expect 0 3 train deck.yaml output.dir=b "${stored[@]}" run.seed=8 \
  train.batch_rows=12 train.micro_rows=2 teacher.top_p=0.8 teacher.top_k=10 \
  loss.tau=2
cmp -s <(metrics a) <(metrics b) && fail "two groups have the same losses"
# --- the layout does not matter: A's run on 3 ranks has the same losses
expect 0 3 train deck.yaml output.dir=a3 "${stored[@]}" run.seed=7 \
  train.batch_rows=6 train.micro_rows=1
close_to a a3
# --- nor does tp: its ranks take turns reading, so that each row is read once
preload count_reads
plain=$MPIRUN launch_one=yes
reads() { # STEPS TP: preads of shards in all
  rm -f reads.txt
  MPIRUN="$plain -x LD_PRELOAD=$work/count_reads.so -x COUNT_IN=/shared/shard \
    -x COUNT_TO=$work/reads.txt"
  expect 0 "$2" train deck.yaml output.dir="tp$2.$1" "${stored[@]}" run.seed=7 \
    train.batch_rows=6 train.micro_rows=3 train.length="$1" student.tp="$2" >&2
  MPIRUN=$plain
  wc -l <reads.txt
}
for tp in 1 2; do
  more=$(($(reads 40 $tp) - $(reads 10 $tp)))
  echo "tp $tp: $more reads for $((30 * 6)) rows"
  [ $more = 180 ] || fail "tp $tp: $more reads"
done
launch_one=
close_to a tp2.10
# --- tp x dp = 2 x 2, also with rows cut into pieces
rows=("${stored[@]}" run.seed=7 train.batch_rows=6)
expect 0 4 train deck.yaml output.dir=grid "${rows[@]}" train.micro_rows=3 \
  student.tp=2
close_to a grid
pieces=("${rows[@]}" data.seq=8 teacher.row_cut=pieces)
expect 0 1 train deck.yaml output.dir=pieces "${pieces[@]}"
expect 0 4 train deck.yaml output.dir=pieces.grid "${pieces[@]}" \
  train.micro_rows=1 student.tp=2
close_to pieces pieces.grid
# --- the card of a run names the dataset, its license and how rows were cut; exports
# include it
says a/dataset.md '| license | "CC0, of the test" |'
says a/dataset.md "rows are taken whole"
says pieces/dataset.md "the teacher saw preceding tokens that the student does not see"
expect 0 1 export pieces pieces.hf
cmp pieces/dataset.md pieces.hf/dataset.md || fail "the card stayed behind"

find shared -type f -exec sha256sum {} + | sort -k 2 >after.txt
cmp before.txt after.txt || fail "reading changed the dataset"
expect 0 2 logits verify shared
says shared/README.md "CC0, of the test"
# --- without the corpus, students take the text from the dataset; another corpus is
# rejected
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
says err.txt "data.files and data.weights hash to"
says err.txt "differs from token"
says err.txt "$(cat ids.txt)"
# --- another tokenizer is rejected, too, with the same or other ids
expect 78 2 "${other[@]}" data.tokenizer=other-words
says err.txt "$(cat ids.txt)"
expect 78 2 "${other[@]}" data.tokenizer=other-words data.files="[corpus.u16]"
says err.txt "was captured with tokenizer $(sha256sum <words/tokenizer.json |
  cut -d ' ' -f 1), data.tokenizer is"
says err.txt "the ids of its first 120 rows are equal"
chmod -R u+w shared
# --- a damaged record ends a tp group that shares its reads in the step that needs the
# row, whichever rank read it; if no step needs it, the run succeeds
expect 0 2 capture deck.yaml teacher.weights=teacher.hf \
  capture.dir=large/shared capture.rows=600 capture.shard_rows=600 capture.encoding=exact \
  capture.top_p=1 capture.top_k=64
stored=(teacher.source=dataset teacher.dataset=large/shared)
rm -rf tp2.10
reads 10 2 >count.txt
# each rank reads 30 of the 60 rows; the first also reads some for the checkpoint
process=$(cut -d ' ' -f 1 reads.txt | sort | uniq -c | sort -n |
  awk 'NR == 1 {print $2}')
n=$(grep -c "^$process [0-9]* 8460 " reads.txt)
if [ "$n" -lt 25 ] || [ "$n" -gt 30 ]; then
  fail "the ranks did not take turns: one read $n rows of 60"
fi
flip() { # OFFSET PATH
  "$PYTHON" -c 'import sys
with open(sys.argv[2], "r+b") as f:
    f.seek(int(sys.argv[1]))
    byte = f.read(1)[0]
    f.seek(-1, 1)
    f.write(bytes([byte ^ 1]))' "$@"
}
read -r _ offset n path < <(grep "^$process " reads.txt | tail -n 1)
flip $((offset + n / 2)) "$path"
short=(train deck.yaml "${stored[@]}" run.seed=7 train.batch_rows=6
  train.micro_rows=3)
for tp in 1 2; do
  expect 65 $tp "${short[@]}" student.tp=$tp output.dir="damaged$tp"
  grep -q "row [0-9]* has XXH3" err.txt || fail "not the row's hash"
  [ "$(metrics "damaged$tp" | wc -l)" = 9 ] ||
    fail "$(metrics "damaged$tp" | wc -l) steps before the bad one, not 9"
  expect 0 $tp "${short[@]}" student.tp=$tp output.dir="short$tp" train.length=9
done
finish
