#!/bin/bash
# Capture killed with SIGKILL, one rank or all, at random times: no sealed shard
# is lost or changed, and the dataset ends with the bits of one never killed.
#   KILLS=30 SEED=1 tests/script_kill.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/e2e.sh"

# mpirun would give the ranks that still live a second to end by themselves
export OMPI_MCA_odls_base_sigkill_timeout=0
make_teacher
"$PYTHON" "$here/kill_capture.py" "$RETORT" "${KILLS:-30}" "${SEED:-1}" ||
  fail "capture does not survive being killed"
finish
