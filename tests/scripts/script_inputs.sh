#!/bin/bash
# Inputs named in a deck: paths with ~ and variables, patterns, files that are not a
# corpus.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# --- ~ and ${NAME} are expanded from rank 0's environment; no folder "~" is created
mkdir -p home/data
cp corpus.u16 home/data/
cat >paths.yaml <<'YAML'
run: {threads: 1}
output: {dir: ~/run1}
data: {files: ["${RT_TEST_DATA}/corpus.u16"], seq: 16, eot: 0}
student: {vocab: 64, width: 8, blocks: 1, heads: 2}
train: {length: 2, batch_rows: 4}
eval: {rows: 0}
YAML
export HOME=$work/home RT_TEST_DATA=$work/home/data
expect 0 1 train paths.yaml
says home/run1/deck.yaml "$work/home/run1"
[ -e '~' ] && fail "a folder named ~ was made"
# a launcher that gives the other rank a different environment
# shellcheck disable=SC2086,SC2016
timeout 100 $MPIRUN -np 1 "$RETORT" train paths.yaml 'output.dir=${HOME}/run2' : \
  -np 1 env -u RT_TEST_DATA HOME=/nowhere "$RETORT" train paths.yaml \
  'output.dir=${HOME}/run2' >out.txt 2>err.txt || fail "an environment of its own"
[ -e home/run2/deck.yaml ] || fail "output.dir is not where rank 0 says"
unset RT_TEST_DATA
expect 78 2 train paths.yaml output.dir=~nobody/run
says err.txt "RT_TEST_DATA is not"
says err.txt "~nobody/run"

# --- files by pattern, in the order of their names
"$PYTHON" - <<'PY'
import array, struct
ids = array.array("H", open("corpus.u16", "rb").read())
cut = [0, 9000, 20000, len(ids)]
for i, name in enumerate(("part_b", "part_a", "part_c")):
    part = ids[cut[i]:cut[i + 1]]
    with open(name + ".bin", "wb") as f:
        f.write(struct.pack("<3i", 20240520, 1, len(part)).ljust(1024, b"\0"))
        part.tofile(f)
PY
mkdir part_folder.bin
expect 0 1 data info deck.yaml 'data.files=[part_a.bin,part_b.bin,part_c.bin]'
cp out.txt listed.txt
expect 0 1 data info deck.yaml 'data.files=[part_*.bin]'
cmp listed.txt out.txt || fail "a pattern is not its files in order"
expect 0 1 data check 'part_[ab].bin'
expect 66 2 train deck.yaml 'data.files=[prat_*.bin]'
says err.txt "no file matches prat_*.bin"
expect 78 1 train deck.yaml 'data.files=[part_*.bin]' 'data.weights=[1,2]'
says err.txt "2 numbers for 3 files"

# --- a file that is not a corpus: the message says what it is
printf 'In the beginning God created the heaven and the earth.\n' >text.txt
printf '{"text": "In the beginning"}\n' >text.jsonl
cp text.txt text.bin
expect 65 2 train deck.yaml data.files=text.txt
says err.txt "text.txt is text: tokenise it first, with inputs/prepare/tokenize.py"
expect 65 1 data check text.jsonl
says err.txt "--json-key KEY text.jsonl"
expect 65 1 data check text.bin
says err.txt "text.bin is text"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' >lfs.bin
expect 65 1 data check lfs.bin
says err.txt "a Git LFS pointer"
"$PYTHON" -c 'import numpy; numpy.save("ids.npy", numpy.arange(9))'
expect 65 1 data check ids.npy
says err.txt "a numpy array"
expect 66 1 data check home
says err.txt 'home is a folder: name the corpora in it'
ln -s nowhere.u16 gone.u16
expect 66 1 data check gone.u16
says err.txt "it is a link to nowhere.u16, which is not there"
finish
