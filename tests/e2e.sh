# shellcheck shell=bash
# Shared by the end-to-end scripts: a tiny corpus, a deck, launching, checks.
# The first argument of a script is the binary; MPIRUN and PYTHON may be set.
set -u
RETORT=$(realpath "${1:-build/bin/retort}")
PYTHON=${PYTHON:-python3}
MPIRUN=${MPIRUN:-mpirun --oversubscribe --mca btl self,vader}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1
# do not probe for networks: that takes longer than most runs here
export OMPI_MCA_pml=ob1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/retort_script_XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
export XDG_CACHE_HOME=$work/cache # the user's own is left alone

fail() {
  echo "FAIL: $*"
  failed=$((failed + 1))
}

# A Markov chain over 64 ids.  Three in four transitions follow a fixed rule, so that
# there is something to learn.  Id 0 ends a document.
"$PYTHON" - <<'PY'
import array, random
rng = random.Random(1)
out = array.array("H")
while len(out) < 40000:
    x = rng.randrange(1, 64)
    for _ in range(rng.randrange(40, 160)):
        out.append(x)
        x = 1 + (x * 5 + 3) % 63 if rng.random() < 0.75 else rng.randrange(1, 64)
    out.append(0)
out.tofile(open("corpus.u16", "wb"))
PY

cat >deck.yaml <<'YAML'
run: {threads: 1}
output: {log_every: 4}
data: {files: [corpus.u16], seq: 16, eot: 0, valid_fraction: 0.05}
student: {vocab: 64, width: 32, blocks: 2, heads: 4, kv_heads: 2, ffn: 48}
train: {length: 10, batch_rows: 8, lr: 1e-2}
eval: {rows: 9}
YAML

# launch N ARGS...: run retort on N ranks, with output to out.txt and err.txt, and
# set code to its exit code.  One rank runs without mpirun unless launch_one is set.
launch_one=
launch() {
  local run=("$RETORT")
  # shellcheck disable=SC2206
  [ "$1$launch_one" = 1 ] || run=($MPIRUN -np "$1" "$RETORT")
  OMPI_MCA_ess_singleton_isolated=1 timeout 400 "${run[@]}" "${@:2}" \
    >out.txt 2>err.txt </dev/null
  code=$?
}

# expect CODE N ARGS...: launch, and check the exit code
expect() {
  local want=$1
  shift
  launch "$@"
  if [ "$code" != "$want" ]; then
    fail "exit $code, expected $want: retort on $*"
    tail -n 15 out.txt err.txt
    return 1
  fi
}

# says FILE TEXT: FILE must contain TEXT
says() {
  grep -qF -- "$2" "$1" || {
    fail "$1 does not say '$2'"
    head -n 5 "$1"
  }
}

# metrics RUN: step, loss and gradient norm, one line per training step
metrics() {
  "$PYTHON" "$here/e2e_losses.py" "$1/metrics.jsonl"
}

# same_bits A B: both runs have bit-identical metrics and final weights
same_bits() {
  [ -s "$1/metrics.jsonl" ] || fail "$1 has no metrics"
  cmp -s <(metrics "$1") <(metrics "$2") || {
    fail "metrics of $1 and $2 differ"
    diff <(metrics "$1") <(metrics "$2") | head -n 4
  }
  rm -rf "$2.hf"
  [ -d "$1.hf" ] || expect 0 1 export "$1" "$1.hf"
  expect 0 1 export "$2" "$2.hf"
  cmp "$1.hf/model.safetensors" "$2.hf/model.safetensors" ||
    fail "final weights of $1 and $2 differ"
}

# close_to A B: the losses of each step agree to 1e-5 relative
close_to() {
  "$PYTHON" "$here/e2e_losses.py" "$1/metrics.jsonl" "$2/metrics.jsonl" 1e-5 ||
    fail "losses of $1 and $2 are not within 1e-5"
}

# last FOLDER NAME: print a value of FOLDER/last_run (doc/formats.md)
last() { sed -n "s/^$2=//p" "$1/last_run"; }

# fake NAME "SCRIPT": create a stand-in for a program, in bin
fake() {
  mkdir -p "$work/bin"
  printf '#!/bin/bash\n%s\n' "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

# make_teacher: train a teacher for 30 steps and export it to teacher.hf
make_teacher() {
  expect 0 1 train deck.yaml output.dir=teacher train.length=30 run.seed=7 \
    student.width=48 eval.rows=0
  expect 0 1 export teacher teacher.hf
}

# wait_for SECONDS COMMAND...: wait until COMMAND succeeds, at most SECONDS
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

# preload NAME FLAG...: build tests/NAME.c as NAME.so, for LD_PRELOAD
preload() {
  ${CC:-cc} -std=c17 -D_GNU_SOURCE -O1 -fPIC -shared -o "$1.so" "$here/$1.c" \
    "${@:2}" -ldl || exit 1
}

# aside FOLDER COMMAND...: run COMMAND in the background, in a folder of its own with
# the same corpus and deck; for tests that mostly wait
declare -A asides=()
aside() {
  local before=$failed
  mkdir "$work/$1"
  ln -s "$work/corpus.u16" "$work/deck.yaml" "$work/$1"
  (
    cd "$work/$1" || exit 1
    "${@:2}"
    [ "$failed" = "$before" ]
  ) >"$work/$1.log" 2>&1 &
  asides[$!]=$1
}
# rejoin: wait for all commands started by aside
rejoin() {
  local pid
  for pid in "${!asides[@]}"; do
    wait "$pid" || {
      fail "${asides[$pid]}:"
      cat "$work/${asides[$pid]}.log"
    }
  done
  asides=()
}

finish() {
  [ "$failed" = 0 ] || {
    echo "$failed checks failed"
    exit 1
  }
  echo "all checks hold"
}
