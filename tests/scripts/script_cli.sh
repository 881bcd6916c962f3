#!/bin/bash
# The command line: help, version, invalid arguments, invalid decks, exit codes; each
# message appears once, on any number of ranks.
#   tests/scripts/script_cli.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# once FILE TEXT: exactly one line of FILE contains TEXT
once() {
  local n
  n=$(grep -cF -- "$2" "$1")
  [ "$n" = 1 ] || fail "$1 says '$2' $n times"
}

# --- help and version
expect 0 1 --help
for verb in train capture eval export plan bench data logits; do
  says out.txt "  $verb "
done
says out.txt "85  stopped early"
expect 0 1 train --help
says out.txt "Usage: retort train DECK"
expect 0 1 help
says out.txt "Usage: [mpirun"
expect 0 1 logits help
says out.txt "Usage: retort logits info"
expect 0 1 --help=keys
says out.txt "train.batch_rows"
expect 0 1 --version
for word in "retort " "compiler " "MPI " "HDF5 " "BLAS "; do
  says out.txt "$word"
done
expect 0 4 --help
once out.txt "Usage:"
expect 0 4 --version
once out.txt "compiler "

# --- invalid arguments: a suggestion on stderr, exit code 64
expect 64 1
says err.txt "no verb"
expect 64 1 trian deck.yaml
says err.txt 'unknown verb "trian", did you mean train?'
[ -s out.txt ] && fail "an error on stdout"
expect 64 1 train --hepl
says err.txt "did you mean --help?"
expect 64 1 train --debug=3 deck.yaml
says err.txt "--debug takes no value"
expect 64 1 --help=kyes
says err.txt "--help=keys"
expect 64 1 train ""
says err.txt "argument 2 is empty"
expect 64 1 logits verify ""
says err.txt "argument 3 is empty"
expect 64 1 train
says err.txt "needs a deck"
expect 64 1 train deck.yaml other.yaml
says err.txt "takes one deck"
expect 64 1 export one
says err.txt "takes two folders"
expect 64 1 data chek corpus.u16
says err.txt "did you mean check?"
expect 64 1 logits infos x
says err.txt "did you mean info?"
expect 64 1 logits --print-config info x
says err.txt "takes no deck"
expect 64 4 trian
once err.txt "unknown verb"

# --- invalid decks: all errors at once, with line and column
expect 66 2 train missing.yaml
once err.txt "missing.yaml"
cat >bad.yaml <<'YAML'
trian:
  lr: 3
train:
  lr: -3
  batch_rows: x
YAML
before=$(ls)
expect 78 2 train bad.yaml studnt.tp=2 output.dir=bad
once err.txt "bad.yaml:2:3: trian.lr: got an unknown key, did you mean train.lr"
once err.txt "bad.yaml:4:7: train.lr:"
once err.txt "bad.yaml:5:15: train.batch_rows:"
once err.txt "studnt.tp: got an unknown key, did you mean student.tp"
printf 'train:\n  lr: 3\0\n' >zero.yaml
expect 78 1 train zero.yaml
says err.txt "zero byte"
rm zero.yaml
[ "$before" = "$(ls)" ] || fail "a refused deck left files"

# --- the printed deck can be read back and prints the same
expect 0 2 train deck.yaml --print-config train.lr=0.5
once out.txt "command line"
cp out.txt again.yaml
expect 0 1 --print-config plan again.yaml
diff <(sed 's/ *#.*//' out.txt) <(sed 's/ *#.*//' again.yaml) ||
  fail "--print-config does not survive a second reading"

# --- keys that contradict each other: one message, no folder is created
expect 78 2 train deck.yaml student.tp=3 output.dir=bad
once err.txt "student.tp"
expect 66 2 train deck.yaml data.files=missing.u16 output.dir=bad
once err.txt "missing.u16"
[ -e bad ] && fail "a refused run made its folder"

for key in teacher.weights student.weights student.config; do
  source=none
  [ $key = teacher.weights ] && source=live
  expect 66 1 train deck.yaml teacher.source=$source $key=nothere output.dir=bad
  once err.txt "$key: "
  says err.txt "nothere"
done
[ -e bad ] && fail "a refused model made its folder"
expect 78 1 logits info "$(printf '%4200s' '' | tr ' ' x)"
says err.txt "path of 4200 bytes is too long"
# an output folder that cannot be written is reported before the first step
mkdir linked
ln -s nowhere linked/checkpoints
expect 73 2 train deck.yaml output.dir=linked
once err.txt "linked/checkpoints is not a folder"
[ -e linked/metrics.jsonl ] && fail "a run without a place went on"

# --- the banner, and none with --quiet
expect 0 2 train deck.yaml train.length=2 run.threads=0
once out.txt "ranks      2 on 1 host"
once out.txt "threads    1 per rank (OMP_NUM_THREADS)"
once out.txt "student    dp 2 x tp 1"
once out.txt "memory plan"
grep -q "ranges below" out.txt && fail "a run begins with its arenas"
expect 0 2 -v train deck.yaml train.length=2
says out.txt "ranges below"
once out.txt "program, MPI, HDF5, BLAS"
expect 0 2 plan deck.yaml
once out.txt "memory plan"
says out.txt "ranges below"
once out.txt "program, MPI, HDF5, BLAS"
expect 0 2 plan deck.yaml capture.window_length=4 capture.window_start=7 \
  capture.dir=window
says out.txt "of the model in training: $((3 * 8 * 16)) tokens of steps [7, 10)"
expect 0 1 --quiet data check corpus.u16 data.vocab=64
[ -s out.txt ] && fail "lines in spite of --quiet"
# the same for other verbs; warnings and errors are still printed
for verb in "train deck.yaml output.dir=silent" "plan deck.yaml" \
  "eval deck.yaml output.dir=silent" "export silent silent.hf" \
  "capture deck.yaml teacher.weights=silent.hf capture.dir=silent.logits" \
  "logits info silent.logits" "logits verify silent.logits" \
  "bench gemm deck.yaml"; do
  # shellcheck disable=SC2086
  expect 0 1 -q $verb
  [ -s out.txt ] && fail "lines in spite of -q: $verb"
  grep -v "^retort: warning: " err.txt && fail "no warnings, by -q: $verb"
done
expect 0 1 -q train deck.yaml train.length=1 loss.tau=2
says err.txt "loss.tau is given, but not used"
[ -s out.txt ] && fail "lines in spite of -q"
expect 71 2 -q train deck.yaml run.memory_gib=0.001
once err.txt "the plan needs"
[ -s out.txt ] && fail "the plan that cannot fit is on stdout"

# --- one rank fails in a step: the message names it, and the whole job ends
python3 - <<'PY'
import array
ids = array.array("H", (1 + i % 63 for i in range(6401)))
ids[3205] = 99  # in row 200 of 400
ids.tofile(open("damaged.u16", "wb"))
PY
expect 65 2 train deck.yaml data.files=damaged.u16 data.valid_fraction=0 \
  data.eot=-1 eval.rows=0 train.length=100
says err.txt "retort: error: rank "
says err.txt "id 99"
expect 65 1 data check damaged.u16 data.vocab=64
says err.txt "id 99"
expect 0 1 data check deck.yaml
says out.txt "is below 64"

# --- verbs without intermediate state end at once on a signal
mkfifo never.yaml
"$RETORT" plan never.yaml >out.txt 2>err.txt &
pid=$!
sleep 1
kill -TERM $pid
(sleep 10 && kill -KILL $pid) 2>/dev/null &
wait $pid
code=$?
[ $code = 143 ] || fail "SIGTERM to a plan: exit $code, not 143"
finish
