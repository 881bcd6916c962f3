#!/bin/bash
# `retort bench` measures time and memory of parts of a step, on any layout, and the
# loss stays within its memory limit.  This test runs alone.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# bench_says PATTERN: the benchmark prints exactly one line, which matches
bench_says() {
  [ "$(grep -c '^bench ' out.txt)" = 1 ] || fail "not one line of bench"
  grep -qE -- "^bench $1" out.txt || {
    fail "no line 'bench $1'"
    tail -n 3 out.txt err.txt
  }
}

# --- matrix products, also with a split and with an untied output matrix
number='[0-9]+\.[0-9]+'
for keys in student.tied=true student.tp=2 student.tied=false; do
  expect 0 2 bench gemm deck.yaml "$keys"
  bench_says "gemm: $number s a step, $number GFLOP/s a rank, "
done

# --- a teacher: full vocabulary, and truncated with another tp
make_teacher
live=(teacher.source=live teacher.weights=teacher.hf)
expect 0 1 bench teacher deck.yaml "${live[@]}" teacher.target=full
bench_says "teacher: $number s a step, $number tokens/s"
expect 0 2 bench teacher deck.yaml "${live[@]}" student.tp=2
bench_says "teacher: "

# --- the loss uses most of the memory that loss.chunk_mib allows, and no more
for chunk in 0.02 0.04; do
  expect 0 2 bench loss deck.yaml "${live[@]}" loss.chunk_mib="$chunk"
  bench_says "loss: $number MiB planned, $number MiB resident"
  says out.txt "ns a token and id"
  awk -v most="$chunk" '/^bench loss/ && $3 <= most && $3 > most / 2 {ok = 1}
    END {exit !ok}' out.txt || fail "the plan of $chunk MiB is not kept"
done

# --- the default is enough for 256 tokens with any vocabulary; rows of a tile are 64
# longer than multiples of a page
for size in "8192 512" "65536 256" "262144 256"; do
  v=${size% *}
  expect 0 1 plan deck.yaml student.vocab="$v" data.seq=512 train.batch_rows=1
  grep -q "logit tile .*\[ *${size#* }, *$((v + 64))\]" out.txt ||
    fail "not ${size#* } tokens a chunk with V $v"
done

# --- encodings of datasets, as measured by `make bench`
expect 0 1 capture deck.yaml teacher.weights=teacher.hf capture.dir=exact \
  capture.encoding=exact capture.top_p=1 capture.top_k=40 capture.rows=40
for kind in "packed 40" "packed 20" "sampled 40 50"; do
  # shellcheck disable=SC2086
  timeout 60 $MPIRUN -np 1 "$(dirname "$RETORT")/../tests/bench_store" exact \
    $kind >out.txt 2>err.txt || fail "bench_store $kind: $(head -n 3 err.txt)"
  says out.txt '"tokens": 640'
done

# --- invalid arguments
expect 64 1 bench
says err.txt "needs gemm, teacher or loss"
expect 64 1 bench gem deck.yaml
says err.txt "did you mean gemm?"
expect 64 1 bench gemm
says err.txt "takes one deck"
expect 78 2 bench teacher deck.yaml
says err.txt "teacher.source=live"
expect 78 1 bench loss deck.yaml
says err.txt "teacher.source is none"
expect 78 1 bench loss deck.yaml "${live[@]}" teacher.target=full
says err.txt "teacher.target=sparse"
finish
