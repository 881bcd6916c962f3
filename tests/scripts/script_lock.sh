#!/bin/bash
# One run per folder; a signal stops a run with a checkpoint.
#   tests/scripts/script_lock.sh [RETORT]
RETORT=${1:-${RETORT:-build/bin/retort}}
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

endless=(train deck.yaml train.length=100000000 eval.rows=0
  output.log_every=100000 checkpoint.every=0)

# start FOLDER: start an endless run in the background; wait for its first steps
start() {
  # shellcheck disable=SC2086
  timeout 100 $MPIRUN -np 2 "$RETORT" "${endless[@]}" output.dir="$1" \
    >first.txt 2>&1 &
  job=$!
  for _ in $(seq 150); do
    [ -s "$1/metrics.jsonl" ] && return
    sleep 0.2
  done
  fail "the first run does not start"
}

# --- two runs in one folder
start shared
expect 73 2 "${endless[@]}" output.dir=shared
says err.txt "shared/lock: another run works here"
says err.txt "$(hostname)"

# --- SIGUSR1: a checkpoint and exit code 85; the same command resumes
kill -USR1 "$(pgrep -P "$job")" # mpirun passes it on to all ranks
wait "$job"
code=$?
[ "$code" = 85 ] || fail "SIGUSR1: exit $code, expected 85"
says first.txt "stopped by a signal"
[ -e shared/lock ] && fail "the lock is still there"
[ -d shared/checkpoints ] || fail "no checkpoint"
expect 85 2 "${endless[@]}" output.dir=shared run.wall_s=3 run.wall_margin_s=0
says out.txt "resumed at step"

# --- a capture locks its folder and saves its deck there
make_teacher
expect 0 1 capture deck.yaml teacher.weights=teacher.hf capture.rows=32 \
  capture.dir=logits
[ -e logits/lock ] && fail "the lock of a finished capture is still there"
says logits/deck.yaml "command line"
mkdir held
printf 'host=%s\npid=%d\n' "$(hostname)" $$ >held/lock
expect 73 1 capture deck.yaml teacher.weights=teacher.hf capture.rows=32 \
  capture.dir=held
says err.txt "held/lock: another run works here"

# --- a file system without locks or links, also for HDF5: a requeued job resumes, and
# a capture finishes
preload lack_locks
lacking() { # CODE ERRNO ARGS...
  local want=$1 reason=$2
  shift 2
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np 1 env LD_PRELOAD="$work/lack_locks.so" \
    LACK_ERRNO="$reason" HDF5_USE_FILE_LOCKING=TRUE "$RETORT" "$@" \
    >out.txt 2>err.txt </dev/null
  code=$?
  [ "$code" = "$want" ] || fail "errno $reason: exit $code: $(cat err.txt)"
  [ "$(grep -c "no flock" err.txt)" = 1 ] || fail "flock is not said once"
  [ "$(grep -c "no hard links" err.txt)" = 1 ] || fail "links are not said once"
}
for reason in 38 95; do
  rm -rf odd odd.logits
  lacking 85 "$reason" "${endless[@]}" output.dir=odd run.wall_s=1 \
    run.wall_margin_s=0
  SLURM_JOB_ID=7 SLURM_RESTART_COUNT=1 lacking 85 "$reason" "${endless[@]}" \
    output.dir=odd run.wall_s=1 run.wall_margin_s=0
  says out.txt "resumed at step"
  lacking 0 "$reason" capture deck.yaml teacher.weights=teacher.hf \
    capture.rows=32 capture.dir=odd.logits
  [ "$(ls odd/lock* odd.logits/lock* 2>/dev/null)" = "" ] ||
    fail "a lock is left"
done

# --- another container on this host, with its own process numbers
if unshare -pf --mount-proc true 2>/dev/null; then
  start contained # a new folder: what an older run left must not end the wait
  # shellcheck disable=SC2086
  timeout 60 unshare -pf --mount-proc $MPIRUN -np 2 "$RETORT" "${endless[@]}" \
    output.dir=contained >out.txt 2>err.txt </dev/null
  code=$?
  [ "$code" = 73 ] || fail "another container: exit $code, expected 73"
  says err.txt "in another container"
  kill -USR1 "$(pgrep -P "$job")"
  wait "$job"
fi

# --- rejected commands leave no folder behind
expect 78 2 capture deck.yaml teacher.weights=teacher.hf capture.rows=1000000 \
  capture.dir=too-many
[ -e too-many ] && fail "a refused capture left its folder"
expect 78 2 train deck.yaml teacher.source=live teacher.weights=teacher.hf \
  teacher.target=sampled loss.tau=2 output.dir=refused
[ -e refused ] && fail "a refused run left its folder"

# --- a folder with other files is rejected and stays unchanged
mkdir mine
cp deck.yaml mine/
echo "my notes" >notes
cp notes mine/README.md
expect 73 2 train deck.yaml output.dir=mine
says err.txt "mine holds a deck.yaml"
expect 73 2 capture deck.yaml teacher.weights=teacher.hf capture.rows=32 \
  capture.dir=mine
says err.txt "a dataset would overwrite it"
rm mine/deck.yaml
expect 73 1 capture deck.yaml teacher.weights=teacher.hf capture.rows=32 \
  capture.dir=mine
says err.txt "mine holds README.md"
expect 0 2 train deck.yaml output.dir=mine
cmp notes mine/README.md || fail "a README.md was overwritten"
[ "$(ls mine/lock* 2>/dev/null)" = "" ] || fail "a lock is left"
expect 73 1 capture deck.yaml teacher.weights=teacher.hf capture.rows=32 \
  capture.dir=mine
expect 73 1 train deck.yaml output.dir=logits

# --- comparing datasets
expect 0 2 logits diff logits logits
says out.txt "the same, bit for bit"
expect 0 1 capture deck.yaml teacher.weights=teacher.hf capture.rows=32 \
  capture.dir=fewer capture.top_k=3
expect 65 2 logits diff logits fewer
says err.txt "logits and fewer differ"
expect 0 1 logits info fewer
says out.txt "top-k 3"
expect 0 2 logits verify fewer
says out.txt "all 32 rows"
finish
