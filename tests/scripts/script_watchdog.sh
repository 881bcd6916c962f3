#!/bin/bash
# The watchdog ends the whole job with 75 if a rank is frozen or if ranks wait for each
# other in different collectives, and names them.
#   tests/scripts/script_watchdog.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# shellcheck disable=SC2046
preload skip_call $(pkg-config --cflags "${MPI:-ompi-c}")
endless=(train deck.yaml train.length=100000000 eval.rows=0
  output.log_every=100000 checkpoint.every=0)
small=(capture deck.yaml teacher.weights="$work/teacher.hf" capture.rows=24
  capture.shard_rows=8)

# pid_of RANK FOLDER: process of the rank, once it has made steps
pid_of() {
  sed -n "s/.* rank $1 .* pid \([0-9]*\) .* doing step.*/\1/p" "$2/heartbeat"
}
has_pid() { [ -n "$(pid_of "$1" "$2")" ]; }

# ended_by_watchdog WHAT SINCE MOST: exit code 75 and one message, after less than MOST
# seconds without progress: several times the limit, because the machine may be busy,
# but less than the ten times that are allowed for set-up
ended_by_watchdog() {
  local waited
  [ "$code" = 75 ] || fail "$1: exit $code, expected 75"
  [ $((SECONDS - $2)) -le 60 ] || fail "$1: it took $((SECONDS - $2)) s"
  [ "$(grep -c 'no progress for' err.txt)" = 1 ] || fail "$1: not one message"
  waited=$(sed -n 's/.*no progress for \([0-9]*\) s.*/\1/p' err.txt | head -n 1)
  [ "${waited:-99}" -lt "$3" ] ||
    fail "$1: said after $waited s, expected below $3"
}

# a rank is stopped during a run
stopped() { # RANK
  local rank=$1 pid job since
  # shellcheck disable=SC2086
  timeout 100 $MPIRUN -np 2 "$RETORT" "${endless[@]}" run.watchdog_s=2 \
    output.dir=run >out.txt 2>err.txt &
  job=$!
  wait_for 60 has_pid "$rank" run || fail "no heartbeat of rank $rank"
  pid=$(pid_of "$rank" run)
  kill -STOP "$pid"
  since=$SECONDS
  wait "$job"
  code=$?
  ended_by_watchdog "rank $rank stopped" "$since" 10
  says err.txt "frozen"
  says err.txt "rank $rank on host $(hostname), pid $pid"
  wait_for 30 eval "! kill -0 $pid" || fail "the stopped process still lives"
  # the folder is free again
  expect 0 2 train deck.yaml output.dir=run train.length=3
  says err.txt "taken over"
}

# skip RANK CALL N WORDS ARGS...: before the first step, or in a verb without steps, RANK
# skips its N-th collective of a kind, or stops in it; no file is left behind
skip() {
  local rank=$1 call=$2 n=$3 words=$4 since=$SECONDS
  # shellcheck disable=SC2086
  TMPDIR=$PWD timeout 60 $MPIRUN -np 2 -x LD_PRELOAD="$work/skip_call.so" \
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
  # mpirun continues the stopped rank and kills it a second or two later; until then
  # that rank must not report that the others are gone
  local stops=1 limit=4 words="frozen (stopped, or its node is gone):"
  skip 1 MPI_Allgather 1 "$words" train deck.yaml output.dir=run
  skip 0 MPI_Allgather 1 "$words" logits verify ../ds
  says err.txt "rank 0 gave no sign of life"
}

aside stopped-1 stopped 1
aside stopped-0 stopped 0
make_teacher
expect 0 2 "${small[@]}" capture.dir=ds
aside forgetful forgetful
rejoin
finish
