#!/bin/bash
# A launcher that this MPI does not support starts N programs of one rank each: all
# exit with 64 and one of them says why.  Environments that only look similar are
# accepted.
#   tests/scripts/script_launch.sh [RETORT]
RETORT=${1:-${RETORT:-build/bin/retort}}
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# as "VARIABLES" ARGS...: run retort without mpirun in that environment
as() {
  local variables=$1
  shift
  # shellcheck disable=SC2086
  timeout 60 env $variables "$RETORT" "$@" >out.txt 2>err.txt </dev/null
  code=$?
}

# side_by_side HINT "VARIABLES OF TASK 0" "VARIABLES OF TASK 1": both are rejected
side_by_side() {
  local hint=$1 n=0
  shift
  for task in "$@"; do
    for verb in plan train; do
      as "$task" "$verb" deck.yaml output.dir=side
      [ "$code" = 64 ] || fail "$task: $verb ends with $code, expected 64"
    done
    grep -q "MPI sees one rank in each" err.txt && n=$((n + 1))
    [ -s err.txt ] && says err.txt "$hint"
  done
  [ "$n" = 1 ] || fail "$1: $n of the tasks speak"
  [ -e side ] && fail "$1: a refused run left its folder"
}
step="SLURM_JOB_ID=99 SLURM_STEP_ID=0 SLURM_NTASKS=2 SLURM_STEP_NUM_TASKS=2"
side_by_side "srun --mpi=pmix" "$step SLURM_PROCID=0" "$step SLURM_PROCID=1"
pmi2="$step PMI_SIZE=2 PMI_JOBID=99.0"
side_by_side "srun --mpi=pmix" "$pmi2 SLURM_PROCID=0 PMI_RANK=0" \
  "$pmi2 SLURM_PROCID=1 PMI_RANK=1"
side_by_side "mpiexec of MPICH" "PMI_SIZE=2 PMI_RANK=0" "PMI_SIZE=2 PMI_RANK=1"
# mpiexec starts one daemon per node with srun
side_by_side "mpiexec of MPICH" \
  "SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0 PMI_SIZE=2 PMI_RANK=0" \
  "SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0 PMI_SIZE=2 PMI_RANK=1"
side_by_side "with the mpirun of Open MPI" \
  "OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0" \
  "OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=1"
side_by_side "PALS" "PALS_LOCAL_SIZE=2 PALS_RANKID=0" \
  "PALS_LOCAL_SIZE=2 PALS_RANKID=1"
# tasks that know only their own number: the second one prints the message
side_by_side "aprun started at least 2" "ALPS_APP_PE=1"

# --- accepted: a batch script, a shell of salloc, a single task, mpirun in a job
batch="SLURM_JOB_ID=99 SLURM_NTASKS=8 SLURM_NPROCS=8 SLURM_JOB_NUM_NODES=2"
for variables in "$batch SLURM_PROCID=0 SLURM_NODEID=0" "$batch" \
  "$batch SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0" \
  "$batch SLURM_JOBID=99 SLURM_STEP_ID=4294967290 SLURM_STEPID=4294967290
  SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0 SLURM_PTY_PORT=1 SLURM_NODELIST=n1" \
  "$step SLURM_STEPID=0 SLURM_PROCID=0 SLURM_PTY_PORT=1" \
  "PBS_NP=8 PBS_JOBID=1" "PMI_SIZE=1 PMI_RANK=0"; do
  as "$variables" train deck.yaml train.length=1 eval.rows=0
  [ "$code" = 0 ] || fail "$variables: exit $code: $(head -n 3 err.txt)"
done
as "$batch SLURM_PROCID=0" data info corpus.u16
[ "$code" = 0 ] || fail "data info in a batch script: exit $code"
export SLURM_JOB_ID=99 SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=3
expect 0 2 plan deck.yaml
launch_one=yes
expect 0 1 plan deck.yaml
unset SLURM_JOB_ID SLURM_STEP_NUM_TASKS SLURM_PROCID
# --- printing the resolved deck needs no MPI
as "OMPI_MCA_ess=none" train --print-config deck.yaml
[ "$code" = 0 ] || fail "--print-config ends with $code"
says out.txt "batch_rows: 8"
# --- retort chooses the kernels of an OpenBLAS that is older than the processor, unless
# the user has chosen
preload old_blas
if grep -qw avx2 /proc/cpuinfo && "$RETORT" --version | grep -q OpenBLAS; then
  core=Haswell
  grep -w avx512bw /proc/cpuinfo | grep -w avx512dq | grep -qw avx512vl &&
    core=SkylakeX
  name=$(basename "$(readlink -f "$RETORT")")
  as "LD_PRELOAD=$work/old_blas.so" plan deck.yaml
  [ "$(grep ": $name\$" err.txt)" = "core type unset: $name
core type $core: $name" ] || fail "kernels of the BLAS: $(cat err.txt)"
  [ "$code" = 0 ] || fail "plan ends with $code"
  as "LD_PRELOAD=$work/old_blas.so" --version
  says err.txt "core type $core: $name"
  as "LD_PRELOAD=$work/old_blas.so OPENBLAS_CORETYPE=Haswell" plan deck.yaml
  [ "$(grep ": $name\$" err.txt)" = "core type Haswell: $name" ] ||
    fail "the user's choice: $(cat err.txt)"
  # called through the loader, the program cannot be found again
  loader=$(ldd "$RETORT" | awk '$1 ~ /ld-linux/ {print $1}')
  LD_PRELOAD=$work/old.so "$loader" "$RETORT" data info corpus.u16 \
    >out.txt 2>err.txt || fail "through the loader: $(cat err.txt)"
fi
finish
