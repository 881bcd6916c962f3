#!/bin/bash
# One call of retort's own fails on one of two ranks (an allocation, an open, a
# read, a write, an fsync, a rename): the job ends within 10 s with a code of its
# kind and one message, which names that rank; or the call did not matter, and
# the result is right.  A place is a call with its callers; PLACES of them of each
# verb, spread evenly, SEED the first; PLACES=all.  And a rank short of memory
# (ulimit -v), and a node with next to no /dev/shm.
#   PLACES=all tests/scripts/script_fail_call.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
seed=${SEED:-1}

${CC:-cc} -std=c17 -D_GNU_SOURCE -O1 -fPIC -shared -o fail.so \
  "$here/fail_call.c" -ldl || exit 1
make_teacher
small=(capture deck.yaml teacher.weights=teacher.hf capture.rows=24
  capture.shard_rows=8)
expect 0 2 "${small[@]}" capture.dir=ds

# preloaded RANK VARIABLE=VALUE ARGS...: on 2 ranks; sets code
preloaded() {
  # shellcheck disable=SC2086
  timeout $((3 * limit_s)) $MPIRUN -np 2 -x LD_PRELOAD="$work/fail.so" -x FAIL_RANK="$1" \
    -x FAIL_DEPTH=3 -x "$2" "$RETORT" "${@:3}" >out.txt 2>err.txt </dev/null
  code=$?
}

# one_message RANK PLACE: what it must look like
one_message() {
  case $code in
  65 | 66 | 71 | 73 | 74 | 77) ;;
  *) fail "$2: exit $code: $(head -n 5 err.txt)" ;;
  esac
  [ "$(grep -c '^retort: error: ' err.txt)" = 1 ] ||
    fail "$2: not one message: $(head -n 5 err.txt)"
  if [ "$1" = 0 ]; then
    grep -q '^retort: error: rank 1' err.txt && fail "$2: names rank 1"
  else
    grep -q "^retort: error: rank $1" err.txt ||
      fail "$2: does not name rank $1: $(head -n 5 err.txt)"
  fi
}

# sweep RANK N FRESH RIGHT ARGS...: N places of the verb; FRESH makes the folder
# it begins with, RIGHT judges what comes out
sweep() {
  local rank=$1 n=$2 fresh=$3 right=$4 key name offset i=0 began=$SECONDS
  shift 4
  $fresh
  limit_s=20
  preloaded "$rank" FAIL_LIST="$work/list.txt" "$@"
  [ "$code" = 0 ] || fail "$*: exit $code: $(head -n 5 err.txt)"
  limit_s=$((10 + 8 * (SECONDS - began))) # a busy machine is slow at all of it
  local all
  all=$(wc -l <list.txt)
  [ "$all" -ge 4 ] || fail "$*: only $all places"
  [ "${PLACES:-}" = all ] && n=$all
  while read -r key name offset; do
    i=$((i + 1))
    # one of each n-th part of the list, and each call named ALSO
    [ "$name" = "${ALSO:-}" ] || [ $(((i + seed) * n / all)) -gt $(((i + seed - 1) * n / all)) ] || continue
    $fresh
    began=$SECONDS
    preloaded "$rank" FAIL_KEY="$key" "$@"
    [ $((SECONDS - began)) -le "$limit_s" ] ||
      fail "$name $key, $1: over $limit_s s"
    n_runs=$((n_runs + 1))
    if [ "$code" = 0 ]; then
      $right || fail "$name $key of rank $rank at $offset, $1: a wrong result"
    else
      one_message "$rank" "$name $key of rank $rank at $offset, $1"
    fi
  done < <(cp list.txt places.txt && cat places.txt)
}
n_runs=0
limit_s=20

nothing() { rm -rf o o.tmp; }
half() { rm -rf o && cp -r half o; }
same_steps() { cmp -s <(metrics o) <(metrics whole); }
sound() { "$RETORT" logits diff ds o >/dev/null 2>&1; }
exported() { cmp -s o/model.safetensors whole.hf/model.safetensors; }
written() { cmp -s o whole.f32; }
verified() { grep -q "all 24 rows are as they were written" out.txt; }

taught=(train deck.yaml train.length=4 checkpoint.every=2 eval.every=2
  output.dir=o student.tp=2 teacher.tp=2 teacher.source=live
  teacher.weights=teacher.hf loss.alpha=0.5)
expect 0 2 "${taught[@]}" output.dir=whole
sweep 1 4 nothing same_steps "${taught[@]}"
plain=(train deck.yaml train.length=4 checkpoint.every=2 output.dir=o
  capture.window_start=1 capture.window_length=2 capture.dir=o/logits
  capture.shard_rows=4)
rm -rf whole
expect 0 2 "${plain[@]}" output.dir=whole capture.dir=whole/logits
sweep 0 2 nothing same_steps "${plain[@]}"
sweep 1 3 nothing same_steps "${plain[@]}"
plain=("${plain[@]:0:4}" output.dir=o)
rm -rf whole
expect 0 2 "${plain[@]}" output.dir=whole
cp -r whole half
rm -r half/checkpoints/step-00000004
sweep 1 2 half same_steps "${plain[@]}"
sweep 0 2 half same_steps "${plain[@]}"
sweep 1 2 nothing sound "${small[@]}" capture.dir=o teacher.tp=2
sweep 1 2 nothing sound "${small[@]}" capture.dir=o
sweep 0 1 nothing sound "${small[@]}" capture.dir=o
seen=(eval deck.yaml output.dir=teacher student.width=48 run.seed=7
  train.length=30 student.tp=2)
expect 0 2 "${seen[@]}" eval.logits_out=whole.f32
sweep 1 2 nothing written "${seen[@]}" eval.logits_out=o
expect 0 2 export teacher whole.hf
# without /proc/self/fd, HDF5's process closes what it inherited all the same
ALSO=opendir sweep 0 2 nothing exported export teacher o
sweep 1 2 nothing sound logits select ds o
sweep 1 1 nothing verified logits verify ds
echo "$n_runs places"

# --- a rank with too little memory for its part
cat >short.sh <<'SH'
#!/bin/bash
[ "$OMPI_COMM_WORLD_RANK" != "$SHORT" ] || ulimit -v "$KIB"
exec "$@"
SH
chmod +x short.sh
# short RANK MIB ARGS...: so much less than the job takes
short() {
  local rank=$1 less=$2
  shift 2
  rm -rf o
  limit_s=20
  preloaded "$rank" FAIL_PEAK="$work/peak.txt" "$@"
  [ "$code" = 0 ] || fail "$*: exit $code: $(head -n 5 err.txt)"
  rm -rf o
  # shellcheck disable=SC2086
  SHORT=$rank KIB=$(($(cat peak.txt) - 1024 * less)) timeout 60 $MPIRUN -np 2 \
    -x SHORT -x KIB ./short.sh "$RETORT" "$@" >out.txt 2>err.txt </dev/null
  code=$?
  [ "$code" = 71 ] || fail "$less MiB too few: exit $code, expected 71"
  one_message "$rank" "$less MiB too few"
}
wide=(train deck.yaml student.width=512 student.ffn=2048 student.blocks=4
  train.length=1 train.batch_rows=2 eval.rows=0 output.dir=o)
short 1 200 "${wide[@]}"
expect 0 1 "${wide[@]}" output.dir=wide
expect 0 1 export wide wide.hf
short 1 50 capture deck.yaml teacher.weights=wide.hf capture.dir=o \
  capture.rows=2

# --- a node with next to no /dev/shm: sums go through MPI
if unshare -m true 2>/dev/null; then
  timeout 60 unshare -m sh -c 'mount -t tmpfs -o size=1m none /dev/shm && "$@"' \
    - mpirun --oversubscribe -np 2 "$RETORT" train deck.yaml train.length=2 \
    >out.txt 2>err.txt </dev/null || fail "small /dev/shm: exit $? $(tail -n 5 err.txt)"
  says err.txt "/dev/shm has no room"
else
  echo "no /dev/shm can be mounted here"
fi
finish
