#!/bin/bash
# jobs/train.sbatch requeues a job as long as its starts save new steps, whatever code
# srun returns.  With stand-ins for srun, scontrol and squeue.
#   tests/scripts/script_requeue.sh [RETORT]
RETORT=${1:-${RETORT:-build/bin/retort}}
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
sbatch=$here/../jobs/train.sbatch
# srun with one task: $INSTEAD replaces the program; $CODE replaces its exit code, as
# srun does when a task was killed
# shellcheck disable=SC2016
fake srun 'while [[ $1 = --* ]]; do shift; done
[ -n "${INSTEAD:-}" ] && { eval "$INSTEAD"; exit; }
"$@" & pid=$!
trap "kill -USR1 $pid" USR1
trap : TERM
wait $pid; code=$?
while kill -0 $pid 2>/dev/null; do wait $pid; code=$?; done
exit "${CODE:-$code}"'
# shellcheck disable=SC2016
fake scontrol 'echo "$*" >>requeued'
# shellcheck disable=SC2016
fake squeue 'echo "${LEFT:-UNLIMITED}"'
export PATH="$work/bin:$PATH" SLURM_JOB_ID=7 RETORT
unset SLURM_RESTART_COUNT VERB

# start N WANT_CODE WANT: the N-th start of the job; WANT is "again" if it requeues
start() {
  local n=$1 want=$2 again=$3
  shift 3
  rm -f requeued
  if [ "$n" -gt 0 ]; then export SLURM_RESTART_COUNT=$n; fi
  timeout 60 bash "$sbatch" deck.yaml "$@" >job.txt 2>&1
  code=$?
  [ "$code" = "$want" ] || fail "start $n: exit $code, expected $want:" \
    "$(tail -n 4 job.txt)"
  [ "$(cat requeued 2>/dev/null)" = "${again:+requeue 7}" ] ||
    fail "start $n: $(cat requeued 2>/dev/null || echo not queued again):" \
      "$(tail -n 4 job.txt)"
}
run=(train.length=100000000 eval.rows=0 output.log_every=100000)

# --- wall limits: requeued while there are new steps, until the run is finished
export LEFT=0:01
for n in 0 1 2 3 4; do
  start "$n" 85 again "${run[@]}" output.dir=wall
done
# srun returns another code
CODE=13 start 5 85 again "${run[@]}" output.dir=wall
saved=$(last wall saved)
unset LEFT
# a run that has reached train.length
touch wall/stop
start 6 86 "" "${run[@]}" output.dir=wall
[ -e retort-7.tries ] && fail "the count is left"
[ "$(last wall saved)" -gt "$saved" ] || fail "no new step"
unset SLURM_RESTART_COUNT
start 0 0 "" output.dir=done

# --- killed without a message, as by a frozen rank or a lost node: requeued until
# three starts in a row have saved no step
unset SLURM_RESTART_COUNT
for code in 9 13; do
  export INSTEAD="exit $code"
  start 0 "$code" again "${run[@]}" output.dir=frozen
  start 1 "$code" again "${run[@]}" output.dir=frozen
  start 2 "$code" "" "${run[@]}" output.dir=frozen
  says job.txt "3 starts in a row kept nothing new"
  [ -e retort-7.tries ] && fail "the count is left"
done
# a new step resets the count
start 0 "$code" again "${run[@]}" output.dir=wall
start 1 "$code" again "${run[@]}" output.dir=wall
unset INSTEAD
LEFT=0:01 start 2 85 again "${run[@]}" output.dir=wall
export INSTEAD="exit 137"
start 3 137 again "${run[@]}" output.dir=wall
start 4 137 again "${run[@]}" output.dir=wall
start 5 137 "" "${run[@]}" output.dir=wall
unset INSTEAD
rm -f retort-7.tries

# --- stopped by a signal before the first step: exit code 85, but no progress
# shellcheck disable=SC2016
INSTEAD='exit 85' start 0 85 again output.dir=idle
INSTEAD='exit 85' start 1 85 again output.dir=idle
INSTEAD='exit 85' start 2 85 "" output.dir=idle

# --- errors that a person must fix
unset SLURM_RESTART_COUNT
start 0 78 "" output.dir=bad train.lr=-1
mkdir locked
printf 'host=%s\npid=%d\n' "$(hostname)" $$ >locked/lock
start 0 73 "" output.dir=locked
start 0 66 "" output.dir=none data.files=none.u16

# --- a capture
make_teacher
export VERB=capture
made=(teacher.weights=teacher.hf capture.rows=1900 capture.shard_rows=2
  capture.dir=made)
LEFT=0:01 start 0 85 again "${made[@]}"
LEFT=0:01 CODE=9 start 1 85 again "${made[@]}"
start 2 0 "" "${made[@]}"
unset VERB

# --- SIGUSR1 to the script (--signal=B:USR1), and SIGTERM, as at the time limit
export SLURM_RESTART_COUNT=0
for signal in USR1 TERM; do
  rm -f requeued
  bash "$sbatch" deck.yaml "${run[@]}" output.dir=signal >job.txt 2>&1 &
  job=$!
  for _ in $(seq 100); do
    [ -s signal/metrics.jsonl ] && break
    sleep 0.1
  done
  kill -"$signal" "$job"
  if [ "$signal" = TERM ]; then # the task gets it as well
    pkill -TERM -P "$(pgrep -P "$job" srun)" retort
  fi
  wait "$job"
  code=$?
  [ "$code" = 85 ] || fail "SIG$signal to the script: exit $code"
  says requeued "requeue 7"
  rm -rf signal
done
finish
