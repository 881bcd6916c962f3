#!/bin/bash
# 50 steps on every grid of 1, 2 and 4 ranks agree to 1e-5 relative at each step:
# language modelling, a live teacher truncated (any pair of tp) and whole (equal
# tp), and the lazy device, which a missing wait would break.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
make_teacher
steps=(train.length=50 eval.rows=0)
# top-k: a near-tie at k swaps equals; the token that crosses top-p may come or
# go with the last bit of its logit, so that rule is compared in f64
live=(teacher.source=live teacher.weights=teacher.hf teacher.top_p=1
  teacher.top_k=12)
topp=(run.real=f64 teacher.top_p=0.9 teacher.top_k=50)
# so may a draw at the border of two ids
drawn=(run.real=f64 teacher.source=live teacher.weights=teacher.hf
  teacher.target=sampled teacher.draws=20)

# grids NAME ARGS...: every (dp, tp) against one rank; TEACHER_TP follows tp
grids() {
  local name=$1 dp tp
  shift
  expect 0 1 train deck.yaml output.dir="$name-1-1" "${steps[@]}" "$@"
  for grid in "2 1" "1 2" "2 2" "4 1" "1 4"; do
    read -r dp tp <<<"$grid"
    expect 0 "$((dp * tp))" train deck.yaml output.dir="$name-$dp-$tp" \
      "${steps[@]}" "$@" student.tp="$tp" teacher.tp="$tp"
    close_to "$name-1-1" "$name-$dp-$tp"
  done
}
grids lm
grids sparse "${live[@]}"
grids full "${live[@]}" teacher.target=full

# teacher and student on grids of their own
expect 0 1 train deck.yaml output.dir=topp-1-1 "${steps[@]}" "${live[@]}" \
  "${topp[@]}"
expect 0 1 train deck.yaml output.dir=drawn-1-1 "${steps[@]}" "${drawn[@]}"
for pair in "2 1 2" "2 2 1" "4 1 4" "4 4 2" "4 2 1"; do
  read -r ranks tp_t tp_s <<<"$pair"
  expect 0 "$ranks" train deck.yaml output.dir="pair-$ranks-$tp_t-$tp_s" \
    "${steps[@]}" "${live[@]}" teacher.tp="$tp_t" student.tp="$tp_s"
  close_to sparse-1-1 "pair-$ranks-$tp_t-$tp_s"
  expect 0 "$ranks" train deck.yaml output.dir="topp-$ranks-$tp_t-$tp_s" \
    "${steps[@]}" "${live[@]}" "${topp[@]}" teacher.tp="$tp_t" \
    student.tp="$tp_s"
  close_to topp-1-1 "topp-$ranks-$tp_t-$tp_s"
  expect 0 "$ranks" train deck.yaml output.dir="drawn-$ranks-$tp_t-$tp_s" \
    "${steps[@]}" "${drawn[@]}" teacher.tp="$tp_t" student.tp="$tp_s"
  close_to drawn-1-1 "drawn-$ranks-$tp_t-$tp_s"
  expect 0 "$ranks" train deck.yaml output.dir="full-$ranks-$tp_t-$tp_s" \
    "${steps[@]}" "${live[@]}" teacher.target=full teacher.tp="$tp_t" \
    student.tp="$tp_s" train.micro_rows=2
  close_to full-1-1 "full-$ranks-$tp_t-$tp_s"
done
expect 78 2 train deck.yaml student.tp=2 student.heads=3 student.kv_heads=3 \
  student.width=48
says err.txt "1"

# the lazy device gives the same bits as the cpu
expect 0 2 train deck.yaml output.dir=cpu "${steps[@]}" "${live[@]}" \
  student.tp=2 teacher.tp=2
expect 0 2 train deck.yaml output.dir=check "${steps[@]}" "${live[@]}" \
  student.tp=2 teacher.tp=2 run.device=check
same_bits cpu check

# all entries, truncated or whole: one target
expect 0 1 train deck.yaml output.dir=all "${steps[@]}" "${live[@]}" \
  teacher.top_p=1 teacher.top_k=64
close_to full-1-1 all
finish
