#!/bin/bash
# The watchdog does not end a job that is only slow: a long run, a slow disk, dp groups
# of a capture that are far apart.
#   tests/scripts/script_watchdog_slow.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

preload fail_write
endless=(train deck.yaml train.length=100000000 eval.rows=0
  output.log_every=100000 checkpoint.every=0)
small=(capture deck.yaml teacher.weights="$work/teacher.hf" capture.rows=24
  capture.shard_rows=8)

# a healthy run that lasts longer than the limit is not ended
healthy() {
  expect 85 2 "${endless[@]}" run.watchdog_s=2 run.wall_s=6 \
    run.wall_margin_s=0 output.dir=run
  [ -e run/heartbeat ] && fail "the heartbeat file is still there"
}

# nor is one that writes a checkpoint or a shard to a disk slower than the limit
slow() { # PART ARGS...
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np 2 env LD_PRELOAD="$work/fail_write.so" FAIL_IN="$1" \
    FAIL_AT=1 FAIL_SLOW_S=5 "$RETORT" "${@:2}" run.watchdog_s=2 >out.txt \
    2>err.txt || fail "a slow disk: exit $? $(head -n 20 err.txt)"
}

# dp groups of a capture may be far apart: the second has one row and then waits for the
# first, which works for many times the limit
waits() { grep -q "rank 1 .* doing done, waiting for other groups" "$1/heartbeat"; }
far_apart() {
  local begin=$SECONDS job pid
  local apart=(capture deck.yaml teacher.weights="$work/large.hf" data.seq=64
    capture.micro_rows=1 capture.rows=300 capture.shard_rows=299
    run.watchdog_s=1)
  expect 0 2 "${apart[@]}" capture.dir=apart
  [ $((SECONDS - begin)) -ge 2 ] || fail "the groups finished too close together"
  expect 0 1 logits verify apart
  # shellcheck disable=SC2086
  timeout 100 $MPIRUN -np 2 "$RETORT" "${apart[@]}" capture.dir=frozen \
    >out.txt 2>err.txt &
  job=$!
  wait_for 60 waits frozen || fail "rank 1 does not wait"
  pid=$(sed -n 's/.* rank 0 .* pid \([0-9]*\) .*/\1/p' frozen/heartbeat)
  kill -STOP "$pid"
  wait "$job"
  code=$?
  [ "$code" = 75 ] || fail "a group is frozen: exit $code, expected 75"
  says err.txt "while waiting for other ranks: frozen"
  says err.txt "rank 0 on host $(hostname), pid $pid"
}

make_teacher
expect 0 1 train deck.yaml output.dir=large train.length=1 eval.rows=0 \
  student.width=384 student.blocks=4 student.ffn=1024 student.max_positions=64
expect 0 1 export large large.hf
aside far-apart far_apart
aside slow-train slow run/checkpoints train deck.yaml output.dir=run
aside slow-capture slow logits/shard-000001 "${small[@]}" teacher.tp=2 \
  capture.dir=logits
aside healthy healthy
rejoin
finish
