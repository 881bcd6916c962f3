#!/bin/bash
# The wall limit: runs, captures and counts stop before it, as given by the deck or by
# Slurm, with a checkpoint or with all finished shards.  Checkpoints by time.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
unset SLURM_JOB_ID SLURM_JOB_END_TIME

# a squeue that does not answer: one warning after 15 s; the run continues
slow_squeue() {
  mkdir bin
  printf '#!/bin/bash\nsleep 300\n' >bin/squeue
  chmod +x bin/squeue
  SLURM_JOB_ID=99 PATH="$PWD/bin:$PATH" expect 0 1 train deck.yaml
  says err.txt "squeue gave no answer in 15 s"
}

endless=(train deck.yaml train.length=100000000 eval.rows=0
  output.log_every=100000)

# the wall limit: from the deck, in the formats of Slurm, and from Slurm
walls() {
  expect 85 1 "${endless[@]}" output.dir=wall run.wall_s=00:00:02 run.wall_margin_s=1
  says err.txt "before the wall limit"
  fake squeue 'echo "$*" >>asked; echo 0:03'
  export PATH="$work/bin:$PATH" SLURM_JOB_ID=99
  expect 85 2 "${endless[@]}" output.dir=wall
  says err.txt "before the wall limit"
  says out.txt "wall limit 3 s from now, by Slurm"
  [ "$(wc -l <asked)" = 1 ] || fail "asked $(wc -l <asked) times"
  says asked "-j 99"
  SLURM_JOB_END_TIME=$(($(date +%s) + 3)) expect 85 1 "${endless[@]}" output.dir=wall
  fake squeue 'echo UNLIMITED'
  expect 0 1 train deck.yaml
  [ -s err.txt ] && fail "no limit: $(cat err.txt)"
  fake squeue 'exit 1'
  expect 0 2 train deck.yaml
  [ "$(grep -c "wall limit of Slurm job 99 is not known: squeue failed" \
    err.txt)" = 1 ] || fail "not said once: $(cat err.txt)"
  unset SLURM_JOB_ID
}

# a capture stops before the limit and keeps finished shards
captures() {
  made=(capture deck.yaml teacher.weights="$work/teacher.hf"
    capture.rows=3000 capture.shard_rows=2 capture.micro_rows=1
    "data.files=[many.u16]")
  for _ in $(seq 20); do cat corpus.u16; done >many.u16
  # set-up takes longer on some machines: the time left after it grows by less
  # than the whole capture takes
  for wall in 1.5 2 2.5 3 3.5 4 5 6 8 10 14 20; do
    expect 85 2 "${made[@]}" capture.dir=made run.wall_s=$wall run.wall_margin_s=1
    says err.txt "before the wall limit: finished shards are kept"
    kept=$(last made saved)
    [ "$kept" -gt 0 ] && break
  done
  [ "$kept" -gt 0 ] || fail "nothing was kept: $(cat made/last_run)"
  expect 0 2 "${made[@]}" capture.dir=made
  says out.txt "$((3000 - kept)) rows to do"
  [ -e made/last_run ] && fail "a finished dataset has a last_run"
}

# captures also stop within a shard that takes minutes, and while counting entries
long_shards() {
  local since=$SECONDS
  local long=(capture deck.yaml teacher.weights="$work/large.hf" data.seq=64
    capture.micro_rows=1 capture.rows=11000 capture.shard_rows=11000
    "data.files=[long.u16]")
  for _ in $(seq 20); do cat corpus.u16; done >long.u16
  # shellcheck disable=SC2086
  timeout 100 $MPIRUN -np 2 "$RETORT" "${long[@]}" capture.dir=long >out.txt \
    2>err.txt &
  job=$!
  until [ -e long/last_run ] || ! kill -0 "$job" 2>/dev/null; do
    sleep 0.1
  done
  sleep 2
  # shellcheck disable=SC2046
  kill -TERM $(pgrep -P "$(pgrep -P "$job" || echo 0)")
  wait "$job"
  code=$?
  [ "$code" = 85 ] || fail "TERM in a long shard: exit $code, expected 85"
  says err.txt "stopped by a signal: finished shards are kept"
  says err.txt "no shard was finished this time: a smaller capture.shard_rows"
  [ $((SECONDS - since)) -le 30 ] || fail "it took $((SECONDS - since)) s"
  since=$SECONDS
  expect 85 2 "${long[@]}" capture.dir=long run.wall_s=5 run.wall_margin_s=1
  says err.txt "before the wall limit: finished shards are kept"
  expect 85 2 "${long[@]}" capture.dir=counts capture.count_only=true \
    run.wall_s=5 run.wall_margin_s=1
  says err.txt "counting was stopped before the wall limit: nothing is written"
  [ -e counts/counts.json ] && fail "there are counts"
  [ $((SECONDS - since)) -le 30 ] || fail "limits: $((SECONDS - since)) s"
}

# checkpoints by time: the same bits, also after a restart from one of them
by_time() {
  timed=(train deck.yaml train.length=1000 eval.rows=0 output.log_every=1000
    checkpoint.keep_last=100)
  expect 0 2 "${timed[@]}" output.dir=never checkpoint.every=0
  expect 0 2 "${timed[@]}" output.dir=timed "checkpoint.every=0.1 s"
  same_bits never timed
  mapfile -t steps < <(ls timed/checkpoints)
  [ "${#steps[@]}" -ge 3 ] || fail "checkpoints by time: ${steps[*]}"
  rm -r "timed/checkpoints/${steps[-1]}"
  expect 0 2 "${timed[@]}" output.dir=timed checkpoint.every=1h
  says out.txt "resumed at step $((10#${steps[-2]#step-}))"
  same_bits never timed
}

# most of these wait more than they compute
aside slow-squeue slow_squeue
make_teacher
expect 0 1 train deck.yaml output.dir=large train.length=1 eval.rows=0 \
  student.width=384 student.blocks=4 student.ffn=1024 student.max_positions=64
expect 0 1 export large large.hf
aside walls walls
aside long-shards long_shards
captures
by_time
rejoin
finish
