#!/bin/bash
# A frozen rank: the watchdog names it and ends the whole job with 75.
#   tests/scripts/script_watchdog.sh [RETORT]
RETORT=${1:-${RETORT:-build/bin/retort}}
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

endless=(train deck.yaml train.length=100000000 eval.rows=0
  output.log_every=100000 checkpoint.every=0)

# wait_for SECONDS COMMAND...: until it succeeds
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

# pid_of RANK FOLDER: its process, once it has made steps
pid_of() {
  sed -n "s/.* rank $1 .* pid \([0-9]*\) .* doing step.*/\1/p" "$2/heartbeat"
}
has_pid() { [ -n "$(pid_of "$1" "$2")" ]; }

# --- a rank is stopped in mid-run
for rank in 1 0; do
  # shellcheck disable=SC2086
  timeout 100 $MPIRUN -np 2 "$RETORT" "${endless[@]}" run.watchdog_s=4 \
    output.dir="hang-$rank" >out.txt 2>err.txt &
  job=$!
  wait_for 30 has_pid "$rank" "hang-$rank" || fail "no heartbeat of rank $rank"
  pid=$(pid_of "$rank" "hang-$rank")
  kill -STOP "$pid"
  stopped=$SECONDS
  wait "$job"
  code=$?
  [ "$code" = 75 ] || fail "rank $rank stopped: exit $code, expected 75"
  [ $((SECONDS - stopped)) -le 30 ] || fail "it took $((SECONDS - stopped)) s"
  says err.txt "frozen"
  says err.txt "rank $rank on host $(hostname), pid $pid"
  [ "$(grep -c 'no progress for' err.txt)" = 1 ] || fail "not one message"
  wait_for 10 eval "! kill -0 $pid" || fail "the stopped process still lives"
done

# --- a healthy run that lasts longer than the limit is left alone
expect 85 2 "${endless[@]}" run.watchdog_s=1 run.wall_s=4 run.wall_margin_s=0 \
  output.dir=healthy
[ -e healthy/heartbeat ] && fail "the heartbeat file is still there"
# --- nor is a checkpoint, or a shard, on a disk that is slower than the limit
${CC:-cc} -std=c17 -D_GNU_SOURCE -fPIC -shared -o slow.so "$here/fail_write.c" \
  -ldl || exit 1
make_teacher
slow() { # PART ARGS...
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np 2 env LD_PRELOAD="$work/slow.so" FAIL_IN="$1" \
    FAIL_AT=1 FAIL_SLOW_S=4 "$RETORT" "${@:2}" run.watchdog_s=1 >out.txt \
    2>err.txt || fail "a slow disk: exit $? $(head -n 20 err.txt)"
}
slow slow/checkpoints train deck.yaml output.dir=slow
slow slow-logits/shard-000001 capture deck.yaml teacher.weights=teacher.hf \
  teacher.tp=2 capture.dir=slow-logits capture.rows=32 capture.shard_rows=16

# --- groups of a capture may be far apart: the second has one row and waits for
# the first, which goes on for many limits
expect 0 1 train deck.yaml output.dir=large train.length=1 eval.rows=0 \
  student.width=384 student.blocks=4 student.ffn=1024 student.max_positions=64
expect 0 1 export large large.hf
apart=(capture deck.yaml teacher.weights=large.hf data.seq=64
  capture.micro_rows=1 run.watchdog_s=1)
begin=$SECONDS
expect 0 2 "${apart[@]}" capture.rows=500 capture.shard_rows=499 \
  capture.dir=apart
[ $((SECONDS - begin)) -ge 2 ] || fail "the groups were too near: larger"
expect 0 1 logits verify apart
waits() { grep -q "rank 1 .* doing done, waiting for other groups" "$1/heartbeat"; }
# shellcheck disable=SC2086
timeout 100 $MPIRUN -np 2 "$RETORT" "${apart[@]}" capture.rows=500 \
  capture.shard_rows=499 capture.dir=frozen >out.txt 2>err.txt &
job=$!
wait_for 30 waits frozen || fail "rank 1 does not wait"
pid=$(sed -n 's/.* rank 0 .* pid \([0-9]*\) .*/\1/p' frozen/heartbeat)
kill -STOP "$pid"
wait "$job"
code=$?
[ "$code" = 75 ] || fail "a group is frozen: exit $code, expected 75"
says err.txt "where others are waited for: frozen"
says err.txt "rank 0 on host $(hostname), pid $pid"

# --- and the folder of the hung one is free again
expect 0 2 train deck.yaml output.dir=hang-1 train.length=3
says err.txt "taken over"
finish
