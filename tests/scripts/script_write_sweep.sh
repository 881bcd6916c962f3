#!/bin/bash
# One write fails, anywhere: never a wrong result that ends 0, never a hang.
# Without TRIALS, those that tests/sweep_writes.py has chosen.
#   TRIALS=13 SEED=1 tests/scripts/script_write_sweep.sh [RETORT]    TRIALS=all
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

${CC:-cc} -std=c17 -D_GNU_SOURCE -fPIC -shared -o fail.so "$here/fail_write.c" \
  -ldl || exit 1
make_teacher
export RETORT MPIRUN
"$PYTHON" "$here/sweep_writes.py" "${TRIALS:-chosen}" "${SEED:-1}" ||
  fail "a failing write was not borne"
finish
