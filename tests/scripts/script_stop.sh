#!/bin/bash
# A run ended from outside: signals as Slurm, a shell or a terminal send them, a log that
# nobody reads, a limit on the size of files.  A checkpoint is left, and the same command
# resumes and finishes with the undisturbed result.
#   SIGNALS=40 SEED=1 tests/scripts/script_stop.sh [RETORT]   so many random signals
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
RANDOM=${SEED:-1}
unset SLURM_JOB_ID SLURM_JOB_END_TIME

endless=(train deck.yaml train.length=100000000 eval.rows=0
  output.log_every=100000)

# The end of a Slurm job: TERM, CONT, TERM to all tasks within milliseconds, then KILL
# after KillWait
kill_wait=30
slurm_ends() { # ARGS...: end a run like this, at a random time after its banner
  : >out.txt
  # shellcheck disable=SC2086
  timeout 100 $MPIRUN -np 2 "$RETORT" "$@" >out.txt 2>err.txt &
  job=$!
  until grep -q '^ranks ' out.txt || ! kill -0 "$job" 2>/dev/null; do
    sleep 0.02
  done
  sleep "$(awk "BEGIN {print $whole_s * 0.9 * $RANDOM / 32768}")"
  local ranks
  ranks=$(pgrep -P "$(pgrep -P "$job" || echo 0)") || return 1
  # shellcheck disable=SC2086
  {
    kill -TERM $ranks
    kill -CONT $ranks
    kill -TERM $ranks
  } 2>/dev/null
  wait_for "$kill_wait" eval "! kill -0 $job" || {
    fail "it lived for $kill_wait s"
    # shellcheck disable=SC2086
    kill -KILL $ranks 2>/dev/null
  }
  wait "$job"
  code=$?
  [ "$code" = 0 ] && return 1
  n_ends=$((n_ends + 1))
  [ "$code" = 85 ] || fail "ended by Slurm: exit $code, expected 85:" \
    "$(tail -n 3 err.txt)"
}
ends() {
  local n_ends=0 since=$EPOCHREALTIME
  run=(train deck.yaml train.length=1000 eval.rows=0 output.log_every=1000)
  expect 0 2 "${run[@]}" output.dir=whole
  whole_s=$(awk "BEGIN {print $EPOCHREALTIME - $since}")
  for i in $(seq $((${SIGNALS:-5} + 20))); do
    [ "$i" -gt "${SIGNALS:-5}" ] && [ "$n_ends" -ge 2 ] && break
    [ "$(last ended state 2>/dev/null)" = finished ] && rm -rf ended
    slurm_ends "${run[@]}" output.dir=ended || {
      # it had finished: earlier next time, as the first run may have been slow
      whole_s=$(awk "BEGIN {print 0.8 * $whole_s}")
      continue
    }
    says err.txt "stopped by a signal"
    [ "$(last ended state)" = stopped ] || fail "last_run: $(cat ended/last_run)"
    step=$(last ended saved)
    [ "$step" = 0 ] || [ -d "ended/checkpoints/step-$(printf %08d "$step")" ] ||
      fail "no checkpoint of step $step"
    [ -e ended/lock ] && fail "the lock is still there"
  done
  [ "$n_ends" -ge 2 ] || fail "only $n_ends runs were ended"
  expect 0 2 "${run[@]}" output.dir=ended
  same_bits whole ended
}

# other signals that ask for a stop: a closed terminal, LSF, Grid Engine, ulimit -t
signals() {
  for signal in HUP USR1 USR2 XCPU INT; do
    # from Python, because a shell starts background jobs with SIGINT ignored
    "$PYTHON" - "$signal" "$RETORT" "${endless[@]}" output.dir=one <<'PY'
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
with open("out.txt", "w") as out, open("err.txt", "w") as err:
    run = subprocess.Popen(sys.argv[2:], stdout=out, stderr=err)
while not os.path.exists("one/last_run") and run.poll() is None:
    time.sleep(0.05)
time.sleep(0.3)
run.send_signal(getattr(signal, "SIG" + sys.argv[1]))
sys.exit(run.wait(30))
PY
    code=$?
    [ "$code" = 85 ] || fail "SIG$signal: exit $code, expected 85"
    [ -e one/lock ] && fail "SIG$signal: the lock is still there"
    [ "$(last one saved)" -gt 0 ] || fail "SIG$signal: nothing was saved"
    rm -rf one
  done
  (
    trap '' HUP
    "$RETORT" "${endless[@]}" output.dir=nohup run.wall_s=2 run.wall_margin_s=0 \
      >out.txt 2>err.txt &
    sleep 1
    kill -HUP $!
    wait $!
  )
  says err.txt "before the wall limit"
}

# stdout is a closed pipe, or on a full disk: the run finishes
logs() {
  "$RETORT" train deck.yaml output.dir=head output.log_every=1 2>err.txt |
    head -n 1 >/dev/null
  [ "${PIPESTATUS[0]}" = 0 ] || fail "| head: exit ${PIPESTATUS[0]}"
  [ "$(last head state)" = finished ] || fail "| head: $(cat head/last_run)"
  [ -s err.txt ] && fail "| head: $(cat err.txt)"
  if [ -w /dev/full ]; then
    "$RETORT" train deck.yaml output.dir=full >/dev/full 2>err.txt ||
      fail "a full disk under the log: exit $?"
    [ "$(grep -c "lines of the log are lost" err.txt)" = 1 ] ||
      fail "not said once: $(cat err.txt)"
  fi
}

# ulimit -f: exit code 74 and the limit in the message (MPI itself needs 4 MiB)
growth() {
  wide=(student.width=320 student.ffn=1024 eval.rows=0 train.length=1)
  large=(capture deck.yaml teacher.weights="$work/teacher.hf" capture.encoding=exact
    capture.top_p=1 capture.top_k=64 capture.rows=1900 capture.shard_rows=1900)
  (
    ulimit -f 8192
    expect 74 1 train deck.yaml "${wide[@]}" output.dir=limited
    expect 74 1 "${large[@]}" capture.dir=limited-logits
    exit "$failed"
  ) || failed=$?
  says err.txt "at most 8.000 MiB (ulimit -f)"
  [ "$(last limited state)" = failed ] || fail "$(cat limited/last_run)"
  [ "$(last limited code)" = 74 ] || fail "$(cat limited/last_run)"
  expect 0 1 train deck.yaml "${wide[@]}" output.dir=limited
}

aside signals signals
make_teacher
ends
logs
growth
rejoin
finish
