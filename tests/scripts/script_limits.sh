#!/bin/bash
# The limits of the job count, not those of the machine: a plan that cannot fit exits
# with 71 and names the limit, threads respect cores and quotas, and the banner shows
# the right numbers.
#   tests/scripts/script_limits.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

wide=(deck.yaml student.width=512 student.blocks=4 data.seq=128
  train.batch_rows=16) # some 0.2 GiB

expect 0 1 plan "${wide[@]}"
says out.txt "RAM of the node"

# --- Slurm
SLURM_MEM_PER_NODE=150 expect 71 1 plan "${wide[@]}"
says err.txt "SLURM_MEM_PER_NODE (--mem) allows 0.15 GiB"
says out.txt "limits     0.15 GiB for 1 rank, SLURM_MEM_PER_NODE"
SLURM_MEM_PER_NODE=150 expect 71 1 train "${wide[@]}"
SLURM_MEM_PER_NODE=150 expect 0 1 plan "${wide[@]}" run.memory_gib=1
says out.txt "of 1.00 GiB (run.memory_gib of a node)"
SLURM_MEM_PER_CPU=75 SLURM_CPUS_ON_NODE=2 expect 71 1 plan "${wide[@]}"
says err.txt "SLURM_MEM_PER_CPU (--mem-per-cpu) x SLURM_CPUS_ON_NODE"
# enough for one rank, but not for two
export SLURM_MEM_PER_NODE=300
expect 0 1 plan "${wide[@]}"
expect 71 2 plan "${wide[@]}" train.batch_rows=32
says err.txt "SLURM_MEM_PER_NODE"
unset SLURM_MEM_PER_NODE

# --- limits of the process (ulimit)
(
  ulimit -v 500000
  expect 71 1 plan "${wide[@]}"
  exit "$failed"
) || failed=$((failed + 1))
says err.txt "RLIMIT_AS (ulimit -v)"

# --- a memory cgroup, where one can be created
v1=/sys/fs/cgroup/memory/retort_$$ v2=/sys/fs/cgroup/retort_$$
if mkdir "$v1" 2>/dev/null; then
  echo 150M >"$v1/memory.limit_in_bytes"
  (
    echo "$BASHPID" >"$v1/tasks"
    expect 71 1 plan "${wide[@]}"
    exit "$failed"
  ) || failed=$((failed + 1))
  says err.txt "memory.limit_in_bytes of $v1 allows 0.15 GiB"
  sleep 0.2
  rmdir "$v1"
elif mkdir "$v2" 2>/dev/null; then
  if echo 150M 2>/dev/null >"$v2/memory.max"; then
    (
      echo "$BASHPID" >"$v2/cgroup.procs"
      expect 71 1 plan "${wide[@]}"
      exit "$failed"
    ) || failed=$((failed + 1))
    says err.txt "memory.max of $v2 allows 0.15 GiB"
    sleep 0.2
  fi
  rmdir "$v2"
fi

# --- threads
MPIRUN="$MPIRUN --bind-to none" expect 0 3 plan deck.yaml train.batch_rows=6 \
  run.threads=100
says err.txt "more threads than cores: 300 threads of 3 ranks on the "
(
  unset OMP_NUM_THREADS
  taskset -c "$(taskset -cp $$ | sed 's/.*[:,-] *//')" "$RETORT" plan \
    deck.yaml run.threads=0 >out.txt 2>err.txt
)
says out.txt "threads    1 per rank (its cores)"
# ranks that share cores only through a third rank are counted together
mapfile -t cores < <(taskset -cp $$ | sed 's/.*: //' | tr , '\n' |
  while IFS=- read -r a b; do seq "$a" "${b:-$a}"; done)
if [ "${#cores[@]}" -gt 1 ]; then
  plan=("$RETORT" plan deck.yaml train.batch_rows=6 run.threads=2)
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN --bind-to none \
    -np 1 taskset -c "${cores[0]}" "${plan[@]}" : \
    -np 1 taskset -c "${cores[0]},${cores[1]}" "${plan[@]}" : \
    -np 1 taskset -c "${cores[1]}" "${plan[@]}" >out.txt 2>err.txt ||
    fail "a plan of three ranks on two cores"
  says err.txt "6 threads of 3 ranks on the 2 cores that they share"
fi
expect 0 1 plan deck.yaml run.threads=100
says err.txt "more threads than cores: 100 threads of a rank on its "
cpu=/sys/fs/cgroup/cpu/retort_$$
if [ "$(nproc)" -gt 1 ] && mkdir "$cpu" 2>/dev/null; then
  echo 100000 >"$cpu/cpu.cfs_quota_us"
  (
    unset OMP_NUM_THREADS
    echo "$BASHPID" >"$cpu/tasks"
    expect 0 1 plan deck.yaml run.threads=0
    exit "$failed"
  ) || failed=$((failed + 1))
  says out.txt "threads    1 per rank (its CPU quota)"
  says out.txt "1.0 cores' worth of time a rank, cpu.cfs_quota_us of $cpu"
  sleep 0.2
  rmdir "$cpu"
fi
finish
