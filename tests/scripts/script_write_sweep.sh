#!/bin/bash
# One failing write, at any place: never exit code 0 with wrong contents, never a hang.
# Without TRIALS: the writes chosen in tests/sweep_writes.py.
#   TRIALS=13 SEED=1 tests/scripts/script_write_sweep.sh [RETORT]    or TRIALS=all
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

preload fail_write
make_teacher
export RETORT MPIRUN
"$PYTHON" "$here/sweep_writes.py" "${TRIALS:-chosen}" "${SEED:-1}" ||
  fail "a failing write was not borne"
finish
