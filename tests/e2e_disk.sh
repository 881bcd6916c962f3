# shellcheck shell=bash disable=SC2154
# Shared by the scripts about disks that fail, after e2e.sh.
preload fail_write
make_teacher

# identity FILE...: name, inode, time and size of those that exist
identity() { stat -c '%n %i %Y %s' "$@" 2>/dev/null; }

# all_kept AT BEFORE FILE...: the files of BEFORE (from identity) are still the same
all_kept() {
  [ "$(identity "${@:3}" | grep -cxF "$2")" -ge "$(grep -c . <<<"$2")" ] ||
    fail "call $1: a published file was lost or changed"
}

# disk_fails PART AT ARGS...: run retort; its AT-th call on a path that contains PART
# fails, and so do all later ones, with EIO or ENOSPC, on 1 to 3 ranks depending on AT.
# Returns 1 if the command makes fewer calls and succeeds.
n_failed=0
disk_fails() {
  local began=$SECONDS part=$1 at=$2
  shift 2
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np $((at % 3 + 1)) env LD_PRELOAD="$work/fail_write.so" \
    FAIL_IN="$part" FAIL_AT="$at" FAIL_HOW=$((at % 2 ? 5 : 28)) \
    "$RETORT" "$@" >out.txt 2>err.txt </dev/null
  code=$?
  [ "$code" = 0 ] && return 1
  [ "$code" = 74 ] || fail "call $at: exit $code, not 74: $(cat err.txt)"
  [ $((SECONDS - began)) -le 10 ] || fail "call $at: over 10 s to the end"
  says err.txt "$part"
  n_failed=$((n_failed + 1))
}
