#!/bin/bash
# Random kills, failing disks, restarts and damaged bytes: the tests that CI only
# samples, ROUNDS times, each with another seed.  Fuzzers run FUZZ_SECONDS each (600).
#   tests/soak.sh BUILD ROUNDS     (make soak N=ROUNDS)
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: tests/soak.sh BUILD ROUNDS}
for seed in $(seq "${2:?usage: tests/soak.sh BUILD ROUNDS}"); do
  echo "round $seed"
  export SEED=$seed KILLS=60 SIGNALS=40 RESTARTS=20 HOSTILE=20000 GRIDS=all FUZZ_SECONDS="${FUZZ_SECONDS:-600}"
  ATS=$(shuf -i 1-100 -n 12 --random-source=<(yes "$seed") | xargs)
  export ATS
  TRIALS=$([ "$seed" = 1 ] && echo all || echo 260)
  export TRIALS
  # in the first round every write fails once, which takes hours
  TIMEOUT=43200 tests/run.sh "$build" script_write_sweep
  TIMEOUT=$((4 * FUZZ_SECONDS + 900)) tests/run.sh "$build" \
    script_kill_capture script_kill_train script_full_disk \
    script_full_disk_train script_resume script_stop \
    script_fuzz script_grids script_grids_pairs hostile
done
if [ "$(id -u)" = 0 ]; then
  tests/slurm/real_slurm.sh "$build/bin/retort" || [ $? = 77 ]
fi
# every call that can fail, fails once
PLACES=all TIMEOUT=7200 tests/run.sh "$build" script_fail_call \
  script_fail_call_data
