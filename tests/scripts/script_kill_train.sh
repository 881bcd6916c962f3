#!/bin/bash
# SIGKILL to one rank or to all ranks of a training run, at random times: no checkpoint
# is lost or changed, and the run ends with the bits of one that was never killed.
#   KILLS=12 SEED=1 tests/scripts/script_kill_train.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
make_teacher
PYTHONDONTWRITEBYTECODE=1 RETORT=$RETORT MPIRUN=$MPIRUN \
  "$PYTHON" "$here/kill_train.py" "${KILLS:-12}" "${SEED:-1}" ||
  fail "training does not survive being killed"
finish
