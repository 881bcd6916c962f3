#!/bin/bash
# One rank has too little memory (ulimit -v): one message, which names it, and exit code
# 71.  A node with almost no /dev/shm: the run succeeds.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
# shellcheck source=tests/e2e_call.sh
. "$here/e2e_call.sh"
make_teacher

cat >short.sh <<'SH'
#!/bin/bash
[ "$OMPI_COMM_WORLD_RANK" != "$SHORT" ] || ulimit -v "$KIB"
exec "$@"
SH
chmod +x short.sh
# else a thread may or may not reserve 64 MiB of address space for itself
export MALLOC_ARENA_MAX=1
# short RANK MIB ARGS...: RANK may use MIB less address space than it needs
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
  [ "$code" = 71 ] || fail "$less MiB too little: exit $code, expected 71"
  one_message "$rank" "$less MiB too little"
}
wide=(train deck.yaml student.width=512 student.ffn=2048 student.blocks=4
  train.length=1 train.batch_rows=2 eval.rows=0 output.dir=o)
short 1 200 "${wide[@]}"
expect 0 1 "${wide[@]}" output.dir=wide
expect 0 1 export wide wide.hf
short 1 50 capture deck.yaml teacher.weights=wide.hf capture.dir=o \
  capture.rows=2

# --- almost no /dev/shm: sums go through MPI
if unshare -m true 2>/dev/null; then
  timeout 60 unshare -m sh -c 'mount -t tmpfs -o size=1m none /dev/shm && "$@"' \
    - mpirun --oversubscribe -np 2 "$RETORT" train deck.yaml train.length=2 \
    >out.txt 2>err.txt </dev/null || fail "small /dev/shm: exit $? $(tail -n 5 err.txt)"
  says err.txt "/dev/shm has no room"
else
  echo "/dev/shm cannot be replaced here"
fi
finish
