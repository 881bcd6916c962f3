# shellcheck shell=bash disable=SC2154
# Shared by the scripts about checkpoints that are written while training goes on, after
# e2e.sh.
preload fail_write
n_steps=12
train=(train deck.yaml "train.length=$n_steps" checkpoint.every=4
  checkpoint.keep_last=100 eval.rows=0)

# slowly RUN SECONDS ARGS...: two ranks; a write of rank 1's thread to the
# checkpoint of step 4 takes so long
slowly() {
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np 2 env LD_PRELOAD="$work/fail_write.so" FAIL_AT=5 \
    FAIL_IN="$1/checkpoints/.tmp-step-00000004" FAIL_RANK=1 FAIL_SLOW_S="$2" \
    "$RETORT" "${train[@]}" output.dir="$1" "${@:3}" >"$1.out" 2>"$1.err" \
    </dev/null
}
