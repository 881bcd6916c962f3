#!/bin/bash
# On all grids of 1, 2 and 4 ranks the losses of each step agree to 1e-5 relative:
# language modelling, and a live teacher, truncated or with its full vocabulary.
# A missing wait would change the result of the check device, which defers kernels.
#   SEED=1: one of the three losses on each grid, 20 steps; GRIDS=all: all, 50 steps
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
make_teacher
steps=("train.length=$([ "${GRIDS:-}" = all ] && echo 50 || echo 20)" eval.rows=0)
# top-k, because a near-tie at rank k only swaps equals
live=(teacher.source=live teacher.weights=teacher.hf teacher.top_p=1
  teacher.top_k=12)

# grids NUMBER NAME ARGS...: grids (dp, tp) against one rank, for loss NUMBER of three
grids() {
  local i=$1 name=$2 dp tp
  shift 2
  expect 0 1 train deck.yaml output.dir="$name-1-1" "${steps[@]}" "$@"
  for grid in "2 1" "1 2" "2 2" "4 1" "1 4"; do
    i=$((i + 1))
    [ "${GRIDS:-}" = all ] || [ $(((i + ${SEED:-1}) % 3)) = 0 ] || continue
    read -r dp tp <<<"$grid"
    expect 0 "$((dp * tp))" train deck.yaml output.dir="$name-$dp-$tp" \
      "${steps[@]}" "$@" student.tp="$tp" teacher.tp="$tp"
    close_to "$name-1-1" "$name-$dp-$tp"
  done
}
grids 0 lm
grids 1 sparse "${live[@]}"
grids 2 full "${live[@]}" teacher.target=full

expect 78 2 train deck.yaml student.tp=2 student.heads=3 student.kv_heads=3 \
  student.width=48
says err.txt "valid values: 1"

# the check device gives the same bits as the cpu
expect 0 2 train deck.yaml output.dir=cpu "${steps[@]}" "${live[@]}" \
  student.tp=2 teacher.tp=2
expect 0 2 train deck.yaml output.dir=check "${steps[@]}" "${live[@]}" \
  student.tp=2 teacher.tp=2 run.device=check
same_bits cpu check

# truncation that keeps all entries has the full vocabulary as target
expect 0 1 train deck.yaml output.dir=all "${steps[@]}" "${live[@]}" \
  teacher.top_p=1 teacher.top_k=64
close_to full-1-1 all
finish
