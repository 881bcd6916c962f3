#!/bin/bash
# A frozen rank, and ranks that wait for each other: the watchdog names them and
# ends the whole job with 75.
#   tests/scripts/script_watchdog.sh [RETORT]
RETORT=${1:-${RETORT:-build/bin/retort}}
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# shellcheck disable=SC2086,SC2046
${CC:-cc} -std=c17 -D_GNU_SOURCE -fPIC -shared -o skip.so \
  "$here/skip_call.c" $(pkg-config --cflags "${MPI:-ompi-c}") || exit 1
${CC:-cc} -std=c17 -D_GNU_SOURCE -fPIC -shared -o slow.so "$here/fail_write.c" \
  -ldl || exit 1
endless=(train deck.yaml train.length=100000000 eval.rows=0
  output.log_every=100000 checkpoint.every=0)
small=(capture deck.yaml teacher.weights="$work/teacher.hf" capture.rows=24
  capture.shard_rows=8)

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

# ended_by_watchdog WHAT SINCE MOST: one message, after fewer than MOST seconds
# without progress: several limits, as a machine may be busy, but not the ten of
# a long set-up
ended_by_watchdog() {
  local waited
  [ "$code" = 75 ] || fail "$1: exit $code, expected 75"
  [ $((SECONDS - $2)) -le 30 ] || fail "$1: it took $((SECONDS - $2)) s"
  [ "$(grep -c 'no progress for' err.txt)" = 1 ] || fail "$1: not one message"
  waited=$(sed -n 's/.*no progress for \([0-9]*\) s.*/\1/p' err.txt | head -n 1)
  [ "${waited:-99}" -lt "$3" ] ||
    fail "$1: said after $waited s, expected below $3"
}

# a rank is stopped in mid-run
stopped() { # RANK
  local rank=$1 pid job since
  # shellcheck disable=SC2086
  timeout 100 $MPIRUN -np 2 "$RETORT" "${endless[@]}" run.watchdog_s=2 \
    output.dir=run >out.txt 2>err.txt &
  job=$!
  wait_for 30 has_pid "$rank" run || fail "no heartbeat of rank $rank"
  pid=$(pid_of "$rank" run)
  kill -STOP "$pid"
  since=$SECONDS
  wait "$job"
  code=$?
  ended_by_watchdog "rank $rank stopped" "$since" 10
  says err.txt "frozen"
  says err.txt "rank $rank on host $(hostname), pid $pid"
  wait_for 10 eval "! kill -0 $pid" || fail "the stopped process still lives"
  # and the folder of the hung one is free again
  expect 0 2 train deck.yaml output.dir=run train.length=3
  says err.txt "taken over"
}

# skip RANK CALL N WORDS ARGS...: in set-up, or where no step is made, a rank
# forgets the n-th collective of a kind, or stops in it; no files stay behind
skip() {
  local rank=$1 call=$2 n=$3 words=$4 since=$SECONDS
  # shellcheck disable=SC2086
  TMPDIR=$PWD timeout 60 $MPIRUN -np 2 -x LD_PRELOAD="$work/skip.so" \
    -x SKIP_RANK="$rank" -x SKIP_CALL="$call" -x SKIP_AT="$n" \
    ${stops:+-x SKIP_STOP=1} "$RETORT" "${@:5}" run.watchdog_s="${limit:-1}" >out.txt \
    2>err.txt </dev/null
  code=$?
  ended_by_watchdog "$call $n of rank $rank in $5 skipped" "$since" 8
  says err.txt "$words"
  [ -z "${stops:-}" ] && compgen -G "retort-heartbeat-*" >/dev/null &&
    fail "a heartbeat stayed here"
}
forgetful() {
  local words="the ranks wait in different collectives:"
  skip 1 MPI_Allgather 1 "$words" train deck.yaml output.dir=run
  skip 0 MPI_Allreduce 2 "$words" "${small[@]}" capture.dir=o
  skip 1 MPI_Bcast 4 "$words" train deck.yaml output.dir=run
  skip 1 MPI_Allgather 1 "$words" logits select ../ds o
  grep -q "rank 0 on host .* now in all-gather" err.txt || fail "not where"
  # the launcher continues the stopped rank and kills it a second or two later:
  # by then that rank must not find that the others are gone
  local stops=1 limit=4 words="frozen (stopped, or its node is gone):"
  skip 1 MPI_Allgather 1 "$words" train deck.yaml output.dir=run
  skip 0 MPI_Allgather 1 "$words" logits verify ../ds
  says err.txt "rank 0 gave no sign of life"
}

# a healthy run that lasts longer than the limit is left alone
healthy() {
  expect 85 2 "${endless[@]}" run.watchdog_s=1 run.wall_s=4 \
    run.wall_margin_s=0 output.dir=run
  [ -e run/heartbeat ] && fail "the heartbeat file is still there"
}

# so is a checkpoint, or a shard, on a disk that is slower than the limit
slow() { # PART ARGS...
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np 2 env LD_PRELOAD="$work/slow.so" FAIL_IN="$1" \
    FAIL_AT=1 FAIL_SLOW_S=3 "$RETORT" "${@:2}" run.watchdog_s=1 >out.txt \
    2>err.txt || fail "a slow disk: exit $? $(head -n 20 err.txt)"
}

# groups of a capture may be far apart: the second has one row and waits for the
# first, which goes on for many limits
waits() { grep -q "rank 1 .* doing done, waiting for other groups" "$1/heartbeat"; }
far_apart() {
  local begin=$SECONDS job pid
  local apart=(capture deck.yaml teacher.weights="$work/large.hf" data.seq=64
    capture.micro_rows=1 capture.rows=300 capture.shard_rows=299
    run.watchdog_s=1)
  expect 0 2 "${apart[@]}" capture.dir=apart
  [ $((SECONDS - begin)) -ge 2 ] || fail "the groups were too near: larger"
  expect 0 1 logits verify apart
  # shellcheck disable=SC2086
  timeout 100 $MPIRUN -np 2 "$RETORT" "${apart[@]}" capture.dir=frozen \
    >out.txt 2>err.txt &
  job=$!
  wait_for 30 waits frozen || fail "rank 1 does not wait"
  pid=$(sed -n 's/.* rank 0 .* pid \([0-9]*\) .*/\1/p' frozen/heartbeat)
  kill -STOP "$pid"
  wait "$job"
  code=$?
  [ "$code" = 75 ] || fail "a group is frozen: exit $code, expected 75"
  says err.txt "while waiting for other ranks: frozen"
  says err.txt "rank 0 on host $(hostname), pid $pid"
}

aside stopped-1 stopped 1
aside stopped-0 stopped 0
make_teacher
expect 0 2 "${small[@]}" capture.dir=ds
aside forgetful forgetful
expect 0 1 train deck.yaml output.dir=large train.length=1 eval.rows=0 \
  student.width=384 student.blocks=4 student.ffn=1024 student.max_positions=64
expect 0 1 export large large.hf
rejoin
aside far-apart far_apart
aside slow-train slow run/checkpoints train deck.yaml output.dir=run
aside slow-capture slow logits/shard-000001 "${small[@]}" teacher.tp=2 \
  capture.dir=logits
rejoin
healthy
finish
