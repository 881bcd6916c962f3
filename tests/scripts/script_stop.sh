#!/bin/bash
# What ends a run from outside: signals as Slurm, a shell or a terminal send
# them, the wall limit, a log that nobody reads, files that may not grow.  A
# checkpoint is left, and the same command goes on to the undisturbed end.
#   SIGNALS=40 SEED=1: so many ends at random times (make soak)
#   tests/scripts/script_stop.sh [RETORT]
RETORT=${1:-${RETORT:-build/bin/retort}}
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
RANDOM=${SEED:-1}
unset SLURM_JOB_ID SLURM_JOB_END_TIME

# alone CODE ARGS...: without mpirun
alone() {
  local want=$1
  shift
  timeout 60 "$RETORT" "$@" >out.txt 2>err.txt </dev/null
  code=$?
  [ "$code" = "$want" ] || fail "exit $code, expected $want: retort $*" \
    "$(tail -n 3 err.txt)"
}

# a Slurm that does not answer: said once, after a while; the run goes on
slow_squeue() {
  mkdir bin
  printf '#!/bin/bash\nsleep 300\n' >bin/squeue
  chmod +x bin/squeue
  SLURM_JOB_ID=99 PATH="$PWD/bin:$PATH" alone 0 train deck.yaml
  says err.txt "squeue gave no answer in 15 s"
}

endless=(train deck.yaml train.length=100000000 eval.rows=0
  output.log_every=100000)

# Slurm's end of a job: TERM, CONT, TERM within milliseconds, to every task,
# then KILL after KillWait
kill_wait=10
slurm_ends() { # ARGS...: a run that is ended so, some time after its banner
  : >out.txt
  # shellcheck disable=SC2086
  timeout 100 $MPIRUN -np 2 "$RETORT" "$@" >out.txt 2>err.txt &
  job=$!
  until grep -q '^ranks ' out.txt || ! kill -0 "$job" 2>/dev/null; do
    sleep 0.02
  done
  sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
  local ranks
  ranks=$(pgrep -P "$(pgrep -P "$job" || echo 0)") || return 1
  # shellcheck disable=SC2086
  {
    kill -TERM $ranks
    kill -CONT $ranks
    kill -TERM $ranks
  } 2>/dev/null
  for _ in $(seq $((kill_wait * 10))); do
    kill -0 "$job" 2>/dev/null || break
    sleep 0.1
  done
  if kill -0 "$job" 2>/dev/null; then
    fail "it lived for $kill_wait s"
    # shellcheck disable=SC2086
    kill -KILL $ranks 2>/dev/null
  fi
  wait "$job"
  code=$?
  [ "$code" = 0 ] && return 1
  n_ends=$((n_ends + 1))
  [ "$code" = 85 ] || fail "ended by Slurm: exit $code, expected 85:" \
    "$(tail -n 3 err.txt)"
}
ends() {
  local n_ends=0
  run=(train deck.yaml train.length=2000 eval.rows=0 output.log_every=1000)
  expect 0 2 "${run[@]}" output.dir=whole
  for _ in $(seq "${SIGNALS:-5}"); do
    [ "$(last ended state 2>/dev/null)" = finished ] && rm -rf ended
    slurm_ends "${run[@]}" output.dir=ended || continue
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

# other signals that ask: a terminal that goes, LSF, Grid Engine, ulimit -t
signals() {
  for signal in HUP USR1 USR2 XCPU INT; do
    # python: a shell starts jobs in the background with SIGINT ignored
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

# nobody reads the log, or its disk is full: the run comes to its end
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

# files that may not grow: 74 with the limit (MPI itself needs 4 MiB)
growth() {
  wide=(student.width=320 student.ffn=1024 eval.rows=0 train.length=1)
  large=(capture deck.yaml teacher.weights="$work/teacher.hf" capture.encoding=exact
    capture.top_p=1 capture.top_k=64 capture.rows=1900 capture.shard_rows=1900)
  (
    ulimit -f 8192
    alone 74 train deck.yaml "${wide[@]}" output.dir=limited
    alone 74 "${large[@]}" capture.dir=limited-logits
    exit "$failed"
  ) || failed=$((failed + 1))
  says err.txt "at most 8.000 MiB (ulimit -f)"
  [ "$(last limited state)" = failed ] || fail "$(cat limited/last_run)"
  [ "$(last limited code)" = 74 ] || fail "$(cat limited/last_run)"
  alone 0 train deck.yaml "${wide[@]}" output.dir=limited
}

# the wall limit: from the deck, in Slurm's forms, and from Slurm
walls() {
  alone 85 "${endless[@]}" output.dir=wall run.wall_s=00:00:02 run.wall_margin_s=1
  says err.txt "before the wall limit"
  fake squeue 'echo "$*" >>asked; echo 0:03'
  export PATH="$work/bin:$PATH" SLURM_JOB_ID=99
  expect 85 2 "${endless[@]}" output.dir=wall
  says err.txt "before the wall limit"
  says out.txt "wall limit 3 s from now, by Slurm"
  [ "$(wc -l <asked)" = 1 ] || fail "asked $(wc -l <asked) times"
  says asked "-j 99"
  SLURM_JOB_END_TIME=$(($(date +%s) + 3)) alone 85 "${endless[@]}" output.dir=wall
  fake squeue 'echo UNLIMITED'
  alone 0 train deck.yaml
  [ -s err.txt ] && fail "no limit: $(cat err.txt)"
  fake squeue 'exit 1'
  expect 0 2 train deck.yaml
  [ "$(grep -c "wall limit of Slurm job 99 is not known: squeue failed" \
    err.txt)" = 1 ] || fail "not said once: $(cat err.txt)"
  unset SLURM_JOB_ID
}

# a capture stops before the limit, too, with what is sealed
captures() {
  made=(capture deck.yaml teacher.weights="$work/teacher.hf" capture.rows=1900
    capture.shard_rows=2 capture.micro_rows=1)
  expect 85 2 "${made[@]}" capture.dir=made run.wall_s=1.5 run.wall_margin_s=1
  says err.txt "before the wall limit: finished shards are kept"
  kept=$(last made saved)
  [ "$kept" -gt 0 ] || fail "nothing was kept: $(cat made/last_run)"
  expect 0 2 "${made[@]}" capture.dir=made
  says out.txt "$((1900 - kept)) rows to do"
  [ -e made/last_run ] && fail "a finished dataset has a last_run"
}

# also in a shard that takes minutes, and so does a count
long_shards() {
  local since=$SECONDS
  local long=(capture deck.yaml teacher.weights="$work/large.hf" data.seq=64
    capture.micro_rows=1 capture.rows=11000 capture.shard_rows=11000
    "data.files=[long.u16]")
  for _ in $(seq 20); do cat corpus.u16; done >long.u16
  # shellcheck disable=SC2086
  timeout 100 $MPIRUN -np 2 "$RETORT" "${long[@]}" capture.dir=long >out.txt \
    2>err.txt &
  job=$!
  until [ -e long/last_run ] || ! kill -0 "$job" 2>/dev/null; do
    sleep 0.1
  done
  sleep 2
  # shellcheck disable=SC2046
  kill -TERM $(pgrep -P "$(pgrep -P "$job" || echo 0)")
  wait "$job"
  code=$?
  [ "$code" = 85 ] || fail "TERM in a long shard: exit $code, expected 85"
  says err.txt "stopped by a signal: finished shards are kept"
  says err.txt "no shard was finished this time: a smaller capture.shard_rows"
  [ $((SECONDS - since)) -le 30 ] || fail "it took $((SECONDS - since)) s"
  since=$SECONDS
  expect 85 2 "${long[@]}" capture.dir=long run.wall_s=5 run.wall_margin_s=1
  says err.txt "before the wall limit: finished shards are kept"
  expect 85 2 "${long[@]}" capture.dir=counts capture.count_only=true \
    run.wall_s=5 run.wall_margin_s=1
  says err.txt "counting was stopped before the wall limit: nothing is written"
  [ -e counts/counts.json ] && fail "there are counts"
  [ $((SECONDS - since)) -le 30 ] || fail "limits: $((SECONDS - since)) s"
}

# checkpoints by time: the same bits, also from one of them
by_time() {
  timed=(train deck.yaml train.length=1000 eval.rows=0 output.log_every=1000
    checkpoint.keep_last=100)
  expect 0 2 "${timed[@]}" output.dir=never checkpoint.every=0
  expect 0 2 "${timed[@]}" output.dir=timed "checkpoint.every=0.1 s"
  same_bits never timed
  mapfile -t steps < <(ls timed/checkpoints)
  [ "${#steps[@]}" -ge 3 ] || fail "checkpoints by time: ${steps[*]}"
  rm -r "timed/checkpoints/${steps[-1]}"
  expect 0 2 "${timed[@]}" output.dir=timed checkpoint.every=1h
  says out.txt "resumed at step $((10#${steps[-2]#step-}))"
  same_bits never timed
}

# What waits more than it works, side by side.
aside slow-squeue slow_squeue
aside signals signals
make_teacher
expect 0 1 train deck.yaml output.dir=large train.length=1 eval.rows=0 \
  student.width=384 student.blocks=4 student.ffn=1024 student.max_positions=64
expect 0 1 export large large.hf
aside walls walls
ends
aside long-shards long_shards
logs
growth
captures
by_time
rejoin
finish
