# shellcheck shell=bash disable=SC2154
# Shared by the scripts about calls that fail on one rank, after e2e.sh.
preload fail_call
seed=${SEED:-1} # the first place that is sampled
n_runs=0
limit_s=20

# preloaded RANK VARIABLE=VALUE ARGS...: run retort on 2 ranks with fail_call.so, which
# acts on RANK; sets code
preloaded() {
  # shellcheck disable=SC2086
  timeout $((3 * limit_s)) $MPIRUN -np 2 -x LD_PRELOAD="$work/fail_call.so" -x FAIL_RANK="$1" \
    -x FAIL_DEPTH=3 -x "$2" "$RETORT" "${@:3}" >out.txt 2>err.txt </dev/null
  code=$?
}

# one_message RANK PLACE: the exit code is that of an error, with one message that names
# RANK, itself or in the finding that it sums up
one_message() {
  case $code in
  65 | 66 | 71 | 73 | 74 | 77) ;;
  *) fail "$2: exit $code: $(head -n 5 err.txt)" ;;
  esac
  [ "$(grep -c '^retort: error: ' err.txt)" = 1 ] ||
    fail "$2: not one message: $(head -n 5 err.txt)"
  if [ "$1" = 0 ]; then
    grep -q -E '^retort: (error|found): rank 1' err.txt && fail "$2: names rank 1"
  else
    grep -q -E "^retort: (error|found): rank $1" err.txt ||
      fail "$2: does not name rank $1: $(head -n 5 err.txt)"
  fi
}

# try_place RANK FRESH RIGHT KEY NAME OFFSET ARGS...: let the call NAME at the place KEY fail
# on RANK; FRESH prepares the folder, RIGHT checks the result if the command exits with 0
try_place() {
  local rank=$1 fresh=$2 right=$3 key=$4 name=$5 offset=$6 began
  shift 6
  $fresh
  began=$SECONDS
  preloaded "$rank" FAIL_KEY="$key" "$@"
  [ $((SECONDS - began)) -le "$limit_s" ] || fail "$name $key, $1: over $limit_s s"
  n_runs=$((n_runs + 1))
  if [ "$code" = 0 ]; then
    $right || fail "$name $key of rank $rank at $offset, $1: a wrong result"
  else
    one_message "$rank" "$name $key of rank $rank at $offset, $1"
  fi
}

# try_in FUNCTION NAME RANK FRESH RIGHT ARGS...: the same for the calls of NAME in FUNCTION,
# of those that the last sweep of this command on RANK has listed
try_in() {
  local function=$1 wanted=$2 from size key name offset before=$n_runs
  read -r from size < <(nm -S "$RETORT" |
    awk -v f="$function" '$4 == f { print "0x" $1, "0x" $2 }')
  while read -r key name offset; do
    [ "$name" = "$wanted" ] || continue
    ((0x$offset > from && 0x$offset <= from + size)) || continue
    try_place "$3" "$4" "$5" "$key" "$name" "$offset" "${@:6}"
  done < <(cp list.txt places.txt && cat places.txt)
  [ "$n_runs" -gt "$before" ] || fail "$function calls no $wanted"
}

# sweep RANK N FRESH RIGHT ARGS...: do so at N places of the command ARGS, one per run
sweep() {
  local rank=$1 n=$2 fresh=$3 right=$4 key name offset i=0 began=$SECONDS
  shift 4
  $fresh
  limit_s=20
  preloaded "$rank" FAIL_LIST="$work/list.txt" "$@"
  [ "$code" = 0 ] || fail "$*: exit $code: $(head -n 5 err.txt)"
  limit_s=$((10 + 8 * (SECONDS - began))) # also on a busy machine
  local all
  all=$(wc -l <list.txt)
  [ "$all" -ge 4 ] || fail "$*: only $all places"
  [ "${PLACES:-}" = all ] && n=$all
  while read -r key name offset; do
    i=$((i + 1))
    # one place in each n-th part of the list, and each call with the name ALSO
    [ "$name" = "${ALSO:-}" ] || [ $(((i + seed) * n / all)) -gt $(((i + seed - 1) * n / all)) ] || continue
    try_place "$rank" "$fresh" "$right" "$key" "$name" "$offset" "$@"
  done < <(cp list.txt places.txt && cat places.txt)
}
