#!/bin/bash
# What users name in a deck: paths with ~ and variables, corpora by pattern, files
# that are no corpora.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# --- ~ and ${NAME}: filled in from rank 0's environment, never made as folders
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
says home/run1/deck.yaml "dir: $work/home/run1"
[ -e '~' ] && fail "a folder named ~ was made"
# a launcher that gives the other rank another environment
# shellcheck disable=SC2086
timeout 100 $MPIRUN -np 1 "$RETORT" train paths.yaml 'output.dir=${HOME}/run2' : \
  -np 1 env -u RT_TEST_DATA HOME=/nowhere "$RETORT" train paths.yaml \
  'output.dir=${HOME}/run2' >out.txt 2>err.txt || fail "an environment of its own"
[ -e home/run2/deck.yaml ] || fail "output.dir is not where rank 0 says"
unset RT_TEST_DATA
expect 78 2 train paths.yaml output.dir=~nobody/run
says err.txt "RT_TEST_DATA is not"
says err.txt "~nobody/run"
finish
