#!/bin/bash
# Hashes by which datasets identify a corpus: computed by all ranks, cached, computed
# again after any change; and the hashes of older datasets.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# --- a dataset of format version 3 is read, and its capture can be resumed
"$PYTHON" - <<'PY'
import array
ids = [(i * i * 7 + i * 3) % 126 + 2 if i % 50 else 1 for i in range(400)]
array.array("H", ids).tofile(open("old.u16", "wb"))
ids[-1] ^= 1
array.array("H", ids).tofile(open("other.u16", "wb"))
PY
cp -r "$here/golden/gqa" gqa
cp -r "$here/golden/logits_v3" old
old=(deck.yaml data.files=[old.u16] data.seq=8 data.eot=1 data.valid_fraction=0.1)
learn=(train "${old[@]}" teacher.source=dataset teacher.dataset=old
  teacher.top_k=4 student.vocab=128 train.length=2 eval.rows=0)
again=(capture "${old[@]}" teacher.weights=gqa capture.dir=old
  capture.rows=6 capture.shard_rows=6 capture.top_k=4 capture.license=CC0)
expect 0 1 logits verify old
expect 0 2 "${learn[@]}"
says out.txt "has format version 3: one rank hashes the whole corpus"
expect 78 2 "${learn[@]}" data.files=[other.u16]
says err.txt "was captured from corpus d7783d35"
expect 0 1 "${again[@]}"
says out.txt "nothing to do: this capture is finished"
rm old/shard-*
expect 0 2 "${again[@]}"
said() { grep -oE '"(version|corpus_hash|teacher_hash)": [^,]*' "$1"; }
cmp <(said old/manifest.json) <(said "$here/golden/logits_v3/manifest.json") ||
  fail "a capture of version 3 that went on has other hashes"
expect 0 2 "${learn[@]}"

# --- hashes are cached, the output says so, and changes are detected
expect 0 2 "${again[@]}" capture.dir=new
says new/manifest.json '"version": 4'
# hashes of different kinds do not make the teachers differ
expect 0 1 logits diff old new
says out.txt "versions 3 and 4, which hash the teacher's weights differently"
grep -q "teachers' weights differ" err.txt out.txt && fail "the same teacher differs"
sleep 2.2
expect 0 2 "${again[@]}" capture.dir=new2
expect 0 1 "${learn[@]}" teacher.dataset=new
says out.txt "corpus: using the cached hash of 1 file, 800 bytes; size"
says out.txt "(delete $XDG_CACHE_HOME/retort/digests to hash again)"
touch -r old.u16 when
cp other.u16 old.u16
touch -r when old.u16
expect 78 2 "${learn[@]}" teacher.dataset=new
grep -q "cached hash" out.txt && fail "a changed corpus was taken on trust"
says err.txt "was captured from corpus 4bd1592a"

# --- the beginning-of-text token is part of the identity of rows
cp other.u16 bos.u16
bos=(data.files=[bos.u16] data.bos=3 data.bos_at=rows)
expect 0 2 "${again[@]}" capture.dir=bos "${bos[@]}"
says bos/manifest.json '"bos_at": "rows"'
expect 0 2 "${learn[@]}" teacher.dataset=bos "${bos[@]}"
expect 78 2 "${learn[@]}" teacher.dataset=bos "${bos[@]}" data.bos_at=documents
says err.txt "was captured with data.eot=1 data.bos=3 data.bos_at=rows"
says err.txt "its row 0 (row 0 of the corpus) differs from token"
expect 78 1 "${learn[@]}" teacher.dataset=bos data.files=[bos.u16]
expect 0 1 logits verify bos data.files=[bos.u16]
expect 0 1 logits export bos bos.jsonl
[ "$(grep -c '"position":0,"token":3,' bos.jsonl)" = 6 ] || fail "rows lack bos"
expect 0 1 data info bos.u16 data.eot=1 data.seq=8
says out.txt "bos.u16: 1 of 9 documents begin with id 1, 8 end with id 1"

# --- eval.teacher compares with the teacher that was captured
seen=(teacher.dataset=bos "${bos[@]}" data.valid_fraction=0.1 eval.rows=1
  eval.teacher=true)
cp -r gqa gqa2
"$PYTHON" - <<'PY'
with open("gqa2/model.safetensors", "r+b") as f:
    f.seek(-4, 2)
    byte = f.read(1)
    f.seek(-4, 2)
    f.write(bytes([byte[0] ^ 1]))
PY
expect 78 2 "${learn[@]}" "${seen[@]}" teacher.weights=gqa2
says err.txt "eval.teacher: the weights in gqa2 have hash"
expect 0 2 "${learn[@]}" "${seen[@]}" teacher.weights=gqa

# --- a clone without Git LFS
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' >lfs
for file in shard-000000.h5 shard-000000.h5.seal manifest.json; do
  rm -rf clone
  cp -r bos clone
  cp lfs "clone/$file"
  expect 65 1 "${learn[@]}" "${seen[@]}" teacher.dataset=clone
  says err.txt "clone/$file is a Git LFS pointer, not the file itself"
done
# --- a cache that cannot be written is no error, and is told once
XDG_CACHE_HOME=/dev/null expect 0 2 train deck.yaml train.length=1 eval.rows=0
[ "$(grep -c "nothing is cached: " err.txt)" = 1 ] || fail "$(cat err.txt)"
says err.txt "set XDG_CACHE_HOME"
finish
