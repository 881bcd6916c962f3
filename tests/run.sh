#!/usr/bin/env bash
# Runs the compiled suites, lowest layer first, then the scripts.
#   tests/run.sh BUILD [NAME]...     NAME: only these, e.g. base script_docs
# A suite runs once for each number of ranks in the line "ranks: 1 2 4" of its first
# comment (default: 1).  The last line printed counts the runs; exit code 1 if any
# failed.  JOBS tests run at the same time (default: 2), because most of them mostly
# wait.  A test with "runs alone" in its first lines has the machine to itself.
# MPIRUN and TIMEOUT (seconds per test; default: 300 for suites, 900 for scripts) may
# be set.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
build=${1:?usage: tests/run.sh BUILD [NAME]...}
shift
only=" $* "

# top folders of rooms, in the order of doc/layers.txt; tests/ has the same folders
mapfile -t rooms < <(sed -n 's|^\([a-z]*\)[a-z/]*:.*|\1|p' doc/layers.txt |
  awk '!seen[$0]++')

export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
MPIRUN=${MPIRUN:-mpirun}
if "$MPIRUN" --version 2>/dev/null | grep -q "Open MPI"; then
  # More ranks than cores: ranks that wait must yield.  Shared memory only: probing
  # for networks takes longer than most suites.
  export OMPI_MCA_pml=ob1
  MPIRUN+=" --oversubscribe --mca btl self,vader --mca mpi_yield_when_idle 1"
fi
if [ -z "${PYTHON:-}" ]; then # of the scripts: one that has h5py
  PYTHON=python3
  for python in /usr/bin/python3 python3; do
    "$python" -c "import h5py, numpy" 2>/dev/null && PYTHON=$python && break
  done
fi
export PYTHON MPIRUN
jobs=${JOBS:-2}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
n_passed=0 n_failed=0 n_skipped=0 n_begun=0
declare -A titles=() # of what goes on, by number

wanted() { [ "$only" = "  " ] || [[ $only == *" $1 "* ]]; }

finish() { # title, status, seconds, log
  case $2 in
  0) n_passed=$((n_passed + 1)) && echo "pass: $1 ($3 s)" ;;
  77) n_skipped=$((n_skipped + 1)) && echo "skip: $1" ;;
  *)
    n_failed=$((n_failed + 1))
    cat "$4"
    [ "$2" = 124 ] || [ "$2" = 137 ] && echo "over its time limit" >&2
    echo "FAIL: $1 (status $2, $3 s)"
    ;;
  esac
}

# leave N: wait until at most N tests are running; report those that finished
leave() {
  local i status seconds some
  while [ ${#titles[@]} -gt "$1" ]; do
    wait -n
    some=$?
    for i in "${!titles[@]}"; do
      # 127: no child is left, so this one was killed
      [ "$some" != 127 ] || [ -e "$place/$i.status" ] ||
        echo "137 0" >"$place/$i.status"
      [ -e "$place/$i.status" ] || continue
      read -r status seconds <"$place/$i.status"
      # numbers of tests and asserts of a suite that passed
      [ "$status" -ne 0 ] || grep -A3 "^Run Summary:" "$place/$i.log"
      finish "${titles[$i]}" "$status" "$seconds" "$place/$i.log"
      unset "titles[$i]"
    done
  done
}

# begin SOURCE TITLE COMMAND...: start a test as soon as a job slot is free
begin() {
  local source=$1 title=$2 alone=0
  head -n 12 "$source" | grep -q "runs alone" && alone=1
  leave $((alone ? 0 : jobs - 1))
  n_begun=$((n_begun + 1))
  titles[$n_begun]=$title
  (
    export XDG_CACHE_HOME=$place/$n_begun.cache # the user's own is left alone
    "${@:3}" >"$place/$n_begun.log" 2>&1 </dev/null
    echo "$? $SECONDS" >"$place/$n_begun.new"
    mv "$place/$n_begun.new" "$place/$n_begun.status"
  ) &
  [ "$alone" = 0 ] || leave 0
}

run_suite() { # name, ranks
  SECONDS=0
  # shellcheck disable=SC2086 # MPIRUN has options
  timeout -k 10 "${TIMEOUT:-300}" $MPIRUN -np "$2" "$build/tests/test_$1"
  local status=$?
  # a suite without a single assert has not passed
  [ "$status" -ne 0 ] ||
    grep -q "^ *asserts *[1-9]" "$place/$n_begun.log" || status=70
  return "$status"
}

run_script() { # file
  SECONDS=0
  timeout -k 10 "${TIMEOUT:-900}" bash "$1" "$build/bin/retort"
}

for folder in tests/*/; do
  room=$(basename "$folder")
  compgen -G "${folder}test_*.c" >/dev/null || continue
  if [[ " ${rooms[*]} " != *" $room "* ]]; then
    echo "tests/$room has suites, doc/layers.txt has no such room"
    finish "$room" 64 0 /dev/null
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
      begin "$source" "$name on $n ranks" run_suite "$name" "$n"
    done
  done
done
for script in tests/scripts/script_*.sh; do
  name=$(basename "$script" .sh)
  if ! [ -f "$script" ] || ! wanted "$name"; then continue; fi
  begin "$script" "$name" run_script "$script"
done
leave 0
echo "$n_passed passed, $n_failed failed, $n_skipped skipped"
[ "$n_failed" -eq 0 ] && [ "$n_passed" -gt 0 ]
