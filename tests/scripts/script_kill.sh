#!/bin/bash
# Capture and training killed with SIGKILL, one rank or all, at random times: no
# sealed shard and no checkpoint is lost or changed, and they end with the bits
# of runs that were never killed.
#   KILLS=12 SEED=1 tests/scripts/script_kill.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# mpirun would give the ranks that still live a second to end by themselves
export OMPI_MCA_odls_base_sigkill_timeout=0
export RETORT MPIRUN PYTHONDONTWRITEBYTECODE=1
make_teacher
for what in capture train; do
  "$PYTHON" "$here/kill_$what.py" "${KILLS:-12}" "${SEED:-1}" ||
    fail "$what does not survive being killed"
done
finish
