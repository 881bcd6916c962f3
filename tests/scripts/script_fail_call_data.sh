#!/bin/bash
# As script_fail_call, for capture, eval, export, select and verify.
#   SEED=1 PLACES=all tests/scripts/script_fail_call_data.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
# shellcheck source=tests/e2e_call.sh
. "$here/e2e_call.sh"
make_teacher

nothing() { rm -rf o o.tmp; }
sound() { "$RETORT" logits diff ds o >/dev/null 2>&1; }
exported() { cmp -s o/model.safetensors whole.hf/model.safetensors; }
written() { cmp -s o whole.f32; }
verified() { grep -q "all 24 rows are as they were written" out.txt; }

small=(capture deck.yaml teacher.weights=teacher.hf capture.rows=24
  capture.shard_rows=8)
expect 0 2 "${small[@]}" capture.dir=ds
sweep 1 2 nothing sound "${small[@]}" capture.dir=o teacher.tp=2
sweep 1 2 nothing sound "${small[@]}" capture.dir=o
sweep 0 1 nothing sound "${small[@]}" capture.dir=o
seen=(eval deck.yaml output.dir=teacher student.width=48 run.seed=7
  train.length=30 student.tp=2)
expect 0 2 "${seen[@]}" eval.logits_out=whole.f32
sweep 1 2 nothing written "${seen[@]}" eval.logits_out=o
expect 0 2 export teacher whole.hf
# also without /proc/self/fd, the process of HDF5 must close what it inherited
ALSO=opendir sweep 0 2 nothing exported export teacher o
sweep 1 2 nothing sound logits select ds o
sweep 1 1 nothing verified logits verify ds
echo "$n_runs places"
finish
