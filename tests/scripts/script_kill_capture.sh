#!/bin/bash
# SIGKILL to one rank or to all ranks of a capture, at random times: no sealed shard is
# lost or changed, and the dataset has the bits of a capture that was never killed.
#   KILLS=12 SEED=1 tests/scripts/script_kill_capture.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
make_teacher
PYTHONDONTWRITEBYTECODE=1 RETORT=$RETORT MPIRUN=$MPIRUN \
  "$PYTHON" "$here/kill_capture.py" "${KILLS:-12}" "${SEED:-1}" ||
  fail "a capture does not survive being killed"
finish
