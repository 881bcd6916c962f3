#!/bin/bash
# Logits, loss and five AdamW steps against transformers in fp64, and logits in bf16,
# which are to be as near to these as those of transformers in bf16: committed
# references (made by tests/parity.py --golden), so torch is not needed.  One rank,
# and tp 2.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

cat >golden.yaml <<'YAML'
run: {threads: 1}
data: {seq: 40, valid_fraction: 0}
train:
  length: 5 steps
  batch_rows: 6
  lr: 3e-3
  lr_schedule: constant
  lr_warmup: 0
  weight_decay: 0.1
  clip: 1
eval: {rows: 0, part: train}
YAML

# compare MODEL: z.f32 and eval.json against the reference
compare() {
  "${PYTHON:-python3}" - "$here/golden/$1" "$2" <<'PY' || fail "$1: $2"
import array, json, sys
folder, what = sys.argv[1:]
want = json.load(open(f"{folder}/answers.json"))
loss = json.load(open("out/eval.json"))["loss"]
if what == "steps":
    error = abs(loss - want["loss_after_5_steps"])
    print(f"{folder[-12:]}: loss after 5 steps differs by {error:.1e}")
    sys.exit(not error < 1e-4)
z, exact = array.array("f"), array.array("d")
z.frombytes(open("z.f32", "rb").read())
exact.frombytes(open(f"{folder}/logits.f64", "rb").read())
vocab = len(exact) // 4
# the references hold the last four tokens of the first row
begin = (want["seq"] - 4) * vocab
apart = [abs(a - b) for a, b in zip(z[begin:begin + 4 * vocab], exact)]
if what == "bf16":
    rms, most = (sum(x * x for x in apart) / len(apart)) ** 0.5, want["bf16_logits_apart"]
    print(f"{folder[-12:]}: logits in bf16 {rms:.1e}, transformers {most:.1e}")
    sys.exit(not rms <= 1.1 * most)  # of only four tokens
worst = max(apart)
worst /= want["logits_std"]
error = abs(loss - want["loss"])
print(f"{folder[-12:]}: logits {worst:.1e} of their deviation, loss {error:.1e}")
sys.exit(not (worst < 2e-5 and error < 1e-5))
PY
}

for model in gqa mqa_one_kv all; do
  rows=(data.files="[$here/golden/$model/rows.u32]")
  weights=(student.weights="$here/golden/$model")
  for tp in 1 2; do
    expect 0 "$tp" eval golden.yaml "${rows[@]}" "${weights[@]}" \
      student.tp="$tp" output.dir=out eval.logits_out=z.f32
    compare "$model" logits
    rm -rf out z.f32
    expect 0 "$tp" eval golden.yaml "${rows[@]}" "${weights[@]}" \
      student.tp="$tp" output.dir=out eval.logits_out=z.f32 run.dtype=bf16
    compare "$model" bf16
    rm -rf out z.f32
    expect 0 "$tp" train golden.yaml "${rows[@]}" "${weights[@]}" \
      student.tp="$tp" output.dir=out
    expect 0 "$tp" eval golden.yaml "${rows[@]}" "${weights[@]}" \
      student.tp="$tp" output.dir=out
    compare "$model" steps
    rm -rf out
  done
done
finish
