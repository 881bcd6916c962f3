#!/usr/bin/env bash
# Runs the built suites, lowest layer first, then the script tests.
#   tests/run.sh BUILD [NAME]...     NAME: only these (base, script_docs)
# A suite runs once for each rank count of the line "ranks: 1 2 4" in its first
# comment (default 1).  The last line counts all runs; ends 1 on any failure.
# MPIRUN and TIMEOUT (seconds of one run, 300) may be set.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
build=${1:?usage: tests/run.sh BUILD [NAME]...}
shift
only=" $* "

# rooms in the order of doc/layers.txt; tests has a folder for each first part
mapfile -t rooms < <(sed -n 's|^\([a-z]*\)[a-z/]*:.*|\1|p' doc/layers.txt |
  awk '!seen[$0]++')

export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
MPIRUN=${MPIRUN:-mpirun}
if "$MPIRUN" --version 2>/dev/null | grep -q "Open MPI"; then
  # more ranks than cores: waiting ranks must yield, and only shared memory
  MPIRUN+=" --oversubscribe --mca btl self,vader --mca mpi_yield_when_idle 1"
fi
if [ -z "${PYTHON:-}" ]; then # of the scripts: one that has h5py
  PYTHON=python3
  for python in /usr/bin/python3 python3; do
    "$python" -c "import h5py, numpy" 2>/dev/null && PYTHON=$python && break
  done
fi
export PYTHON MPIRUN
log=$(mktemp)
XDG_CACHE_HOME=$(mktemp -d) # tests leave the user's own alone
export XDG_CACHE_HOME
trap 'rm -rf "$log" "$XDG_CACHE_HOME"' EXIT
n_passed=0 n_failed=0 n_skipped=0

wanted() { [ "$only" = "  " ] || [[ $only == *" $1 "* ]]; }

finish() { # title, status, seconds
  case $2 in
  0) n_passed=$((n_passed + 1)) && echo "pass: $1 ($3 s)" ;;
  77) n_skipped=$((n_skipped + 1)) && echo "skip: $1" ;;
  *)
    n_failed=$((n_failed + 1))
    cat "$log"
    [ "$2" = 124 ] || [ "$2" = 137 ] && echo "over its time limit" >&2
    echo "FAIL: $1 (status $2, $3 s)"
    ;;
  esac
}

run_suite() { # name, ranks
  local begin=$SECONDS status
  # shellcheck disable=SC2086 # MPIRUN has options
  timeout -k 10 "${TIMEOUT:-300}" $MPIRUN -np "$2" "$build/tests/test_$1" \
    >"$log" 2>&1 </dev/null
  status=$?
  # a suite that ran nothing has not passed
  [ "$status" -ne 0 ] || grep -q "^ *asserts *[1-9]" "$log" || status=70
  [ "$status" -ne 0 ] || grep -A3 "^Run Summary:" "$log"
  finish "$1 on $2 ranks" "$status" "$((SECONDS - begin))"
}

for folder in tests/*/; do
  room=$(basename "$folder")
  compgen -G "${folder}test_*.c" >/dev/null || continue
  if [[ " ${rooms[*]} " != *" $room "* ]]; then
    : >"$log"
    echo "tests/$room has suites, doc/layers.txt has no such room"
    finish "$room" 64 0
  fi
done
for room in "${rooms[@]}"; do
  for source in "tests/$room"/test_*.c; do
    name=$(basename "$source" .c)
    name=${name#test_}
    if ! [ -f "$source" ] || ! wanted "$name"; then continue; fi
    ranks=$(sed '/\*\//q' "$source" |
      sed -n 's|^.*ranks: *\([0-9 ]*\).*$|\1|p' | head -n 1)
    for n in ${ranks:-1}; do
      run_suite "$name" "$n"
    done
  done
done
for script in tests/scripts/script_*.sh; do
  name=$(basename "$script" .sh)
  if ! [ -f "$script" ] || ! wanted "$name"; then continue; fi
  begin=$SECONDS
  timeout -k 10 "${TIMEOUT:-900}" bash "$script" "$build/bin/retort" \
    >"$log" 2>&1 </dev/null
  finish "$name" "$?" "$((SECONDS - begin))"
done
echo "$n_passed passed, $n_failed failed, $n_skipped skipped"
[ "$n_failed" -eq 0 ] && [ "$n_passed" -gt 0 ]
