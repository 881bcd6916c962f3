#!/bin/bash
# Runs jobs/train.sbatch under a real Slurm on this machine: the wall limit as squeue
# reports it, SIGTERM at the limit, a frozen rank, scontrol requeue, srun without PMIx.
# Run it by hand, as root, on Debian or Ubuntu:
#   apt-get install slurmctld slurmd slurm-client munge
#   tests/slurm/real_slurm.sh [RETORT]
# Exit code 77: no Slurm here.  Takes four minutes: Slurm's shortest limit is a minute.
set -u
for program in slurmctld slurmd munged sbatch; do
  PATH=$PATH:/usr/sbin type "$program" >/dev/null 2>&1 || {
    echo "no $program here"
    exit 77
  }
done
RETORT=$(realpath "${1:-build/bin/retort}")
export RETORT PATH=$PATH:/usr/sbin
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1
work=$(mktemp -d "${TMPDIR:-/tmp}/retort_slurm_XXXXXX")
export SLURM_CONF=$work/slurm.conf
failed=0

stop_slurm() {
  scancel --user=root 2>/dev/null
  sleep 1
  for file in "$work"/run/*.pid; do
    kill "$(cat "$file")" 2>/dev/null
  done
  [ -n "${munge:-}" ] && kill "$(cat /run/munge/munged.pid)" 2>/dev/null
  sleep 1
  rm -rf "$work"
}
trap stop_slurm EXIT
fail() {
  echo "FAIL: $*"
  failed=$((failed + 1))
}

# --- one controller and one node, this host
mkdir -p "$work"/{state,log,run,tmp,spool,jobs} /run/munge
chown munge: /run/munge
cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
SlurmctldPort=16817
SlurmctldPidFile=$work/run/slurmctld.pid
SlurmctldLogFile=$work/log/slurmctld.log
SlurmdPidFile=$work/run/slurmd.pid
SlurmdLogFile=$work/log/slurmd.log
SlurmdSpoolDir=$work/spool
StateSaveLocation=$work/state
TmpFS=$work/tmp
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=20
JobRequeue=1
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
NodeName=n1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=17001 CPUs=4 RealMemory=1000
PartitionName=main Nodes=n1 Default=YES MaxTime=INFINITE State=UP
CONF
if ! pgrep -x munged >/dev/null; then
  runuser -u munge -- munged
  munge=ours
fi
slurmctld && slurmd -N n1 || exit 1
for _ in $(seq 30); do
  [ "$(sinfo -h -o %t)" = idle ] && break
  sleep 1
done
[ "$(sinfo -h -o %t)" = idle ] || fail "no node: $(tail -n 3 "$work"/log/*)"

cd "$work/jobs" || exit 1
head -c 80000 /dev/zero | tr '\0' '\1' >corpus.u16
cat >deck.yaml <<'YAML'
data: {files: [corpus.u16], seq: 16, valid_fraction: 0}
student: {vocab: 512, width: 32, blocks: 2}
output: {log_every: 1000}
train: {length: 100000000, batch_rows: 4}
YAML
grep -v '^#SBATCH --signal' "$here/../../jobs/train.sbatch" >no-signal.sbatch

# submit SCRIPT "SBATCH OPTIONS" ARGS...: submit, and set job to its id
submit() {
  local script=$1 options=$2
  shift 2
  # shellcheck disable=SC2086
  job=$(sbatch --parsable --account=x --partition=main --nodes=1 \
    --ntasks-per-node=2 --cpus-per-task=1 --hint=multithread $options \
    "$script" deck.yaml "$@") || fail "not submitted"
}
wait_for() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}
is_queued_again() { [ "$(squeue -h -j "$job" -o %r)" = BeginTime ]; }
last() { sed -n "s/^$2=//p" "$1/last_run"; }
# again FOLDER STATE: wait until the job is requeued; its run must have saved steps and
# be in that state
again() {
  wait_for 120 is_queued_again || fail "$1: not queued again"
  [ "$(last "$1" state)" = "$2" ] || fail "$1: $(cat "$1/last_run")"
  [ "$(last "$1" saved)" -gt 0 ] || fail "$1: nothing was saved"
  [ "${failed:-0}" = 0 ] || tail -n 20 "retort-$job.log"
  scancel "$job"
  echo "$1: $(last "$1" state) at step $(last "$1" saved), queued again"
}

# --- srun without PMIx: an error, and no output
srun --mpi=none -n 2 "$RETORT" train deck.yaml output.dir=singles >out.txt 2>&1 &&
  fail "srun without PMIx: exit 0"
[ -e singles ] && fail "srun without PMIx left a folder"
# --- a shell: one process, one rank
script -qec "srun -n 2 --pty bash -c '$RETORT data info corpus.u16'" /dev/null \
  </dev/null >out.txt 2>&1
grep -q corpus.u16 out.txt || fail "in a shell of srun: $(tail -n 3 out.txt)"

submit "$here/../../jobs/train.sbatch" "-t 1 --signal=B:USR1@5" output.dir=wall
again wall stopped
grep -q "by Slurm; the run stops" "retort-$job.log" || fail "no limit was seen"

submit no-signal.sbatch "-t 1" output.dir=term run.wall_s=1-0
again term stopped
grep -q "stopped by a signal" "retort-$job.log" || fail "no SIGTERM came"

submit no-signal.sbatch "-t 5" output.dir=frozen run.watchdog_s=4 \
  "checkpoint.every=1 s"
wait_for 60 grep -q '^saved=[1-9]' frozen/last_run || fail "frozen: no checkpoint"
rank=$(sed -n 's/.* rank 1 .* pid \([0-9]*\) .*/\1/p' frozen/heartbeat)
kill -STOP "$rank"
again frozen running
kill -KILL "$rank" 2>/dev/null

submit no-signal.sbatch "-t 5" output.dir=moved
wait_for 60 [ -s moved/metrics.jsonl ] || fail "moved: no step"
scontrol requeue "$job" # as a preemption or an administrator does
again moved stopped

[ "$failed" = 0 ] || exit 1
echo "all checks hold"
