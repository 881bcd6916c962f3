#!/bin/bash
# Two exports to the same name: the first to finish gets it, the other exits with 73
# and leaves nothing behind.  The next export removes what a killed one left.  What a run
# that is killed leaves of its last checkpoint is exported.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

preload fail_write
make_teacher
expect 0 1 capture deck.yaml teacher.weights=teacher.hf capture.dir=data \
  capture.rows=12

# slow SECONDS NAME ARGS...: export in the background, pausing in the middle
slow() {
  LD_PRELOAD="$work/fail_write.so" FAIL_IN="$2" FAIL_AT=6 FAIL_SLOW_S="$1" \
    "$RETORT" "${@:3}" </dev/null >slow.out 2>slow.err &
  slow=$!
  for _ in $(seq 200); do
    compgen -G "$2.tmp.*.$slow" >/dev/null && break
    sleep 0.05
  done
}

# two NAME ARGS...: two exports to NAME by the command ARGS
two() {
  local name=$1
  shift
  expect 0 1 "$@"
  mv "$name" want
  # the one that started first is overtaken
  slow 4 "$name" "$@"
  expect 0 1 "$@"
  diff -r want "$name" || fail "$name: the second's is not right"
  wait "$slow"
  code=$?
  [ "$code" = 73 ] || fail "$name: exit $code of the first, not 73"
  says slow.err "another run has made it meanwhile"
  diff -r want "$name" || fail "$name: the first has changed the second's"
  compgen -G "$name.tmp.*" && fail "$name: a draft is left"
  rm -rf "$name"
  # the first is killed: its draft is removed, but not the draft of a live process
  slow 60 "$name" "$@"
  kill -9 "$slow"
  wait "$slow" 2>/dev/null
  local dead
  dead=$(compgen -G "$name.tmp.*")
  slow 60 "$name" "$@"
  expect 0 1 "$@"
  diff -r want "$name" || fail "$name: not right after a kill"
  if [ -z "$dead" ] || [ -e "$dead" ]; then
    fail "$name: a dead draft is left"
  fi
  compgen -G "$name.tmp.*.$slow" >/dev/null || fail "$name: a live draft is gone"
  kill -9 "$slow"
  wait "$slow" 2>/dev/null
  rm -rf want "$name" "$name".tmp.*
}

two arrays logits export data arrays
two rows.jsonl logits export data rows.jsonl
two model export teacher model

# a run was killed while it replaced its checkpoint: export and eval read the old one, and
# leave the folder as it is
expect 0 1 export teacher want
expect 0 1 eval deck.yaml output.dir=teacher student.width=48
mv teacher/eval.json want.json
mv teacher/checkpoints/{,.tmp-old-}step-00000030
rm -rf teacher/checkpoints/step-*
expect 0 1 export teacher model
diff -r want model || fail "not the checkpoint that was being replaced"
expect 0 1 eval deck.yaml output.dir=teacher student.width=48
cmp want.json teacher/eval.json || fail "eval reads another one"
[ "$(ls -A teacher/checkpoints)" = .tmp-old-step-00000030 ] ||
  fail "they write to the folder: $(ls -A teacher/checkpoints)"
finish
