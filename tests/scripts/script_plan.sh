#!/bin/bash
# The memory plan against the measured peak of a few runs, with room for noise: at most
# 1 % below and 20 % above.  `make bench ONLY=plan.memory` has all kinds of runs and a
# bar of 10 %.
#   tests/scripts/script_plan.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

"$PYTHON" "$here/plan_memory.py" "$RETORT" \
  --only "lm tp 2;lm, 4 threads;live K 6554, short;circle, short;capture, short" >out.txt 2>&1 ||
  fail "$(cat out.txt)"
cat out.txt
tail -n 1 out.txt | "$PYTHON" -c 'import json, sys
r = json.load(sys.stdin)
sys.exit(not (r["least"] >= 0.99 and r["most"] <= 1.20))' ||
  fail "the plan is not what runs need"

# --- recomputation: the same losses, and as much less memory as planned
"$PYTHON" "$here/plan_memory.py" "$RETORT" \
  --only "lm deep;lm deep, recompute" >deep.txt 2>&1 || fail "$(cat deep.txt)"
cat deep.txt
"$PYTHON" - <<'END' || fail "recomputation does not save what the plan says"
import re
text = open("deep.txt").read()
(plan, peak), (plan_less, peak_less) = [
    map(float, x) for x in re.findall(r"planned +(\S+) MiB, measured +(\S+)", text)]
print(f"planned {plan - plan_less:.1f} MiB less, measured {peak - peak_less:.1f}")
assert plan - plan_less > 20
assert abs((peak - peak_less) / (plan - plan_less) - 1) < 0.1
END
for recompute in none block; do
  rm -rf run
  expect 0 1 train deck.yaml output.dir=run output.log_every=1 \
    train.recompute=$recompute
  grep '"train"' run/metrics.jsonl | grep -o '"loss":[^,]*' >losses.$recompute
done
[ -s losses.none ] || fail "no losses"
cmp losses.none losses.block || fail "recomputation changes the losses"
expect 0 1 plan deck.yaml
says out.txt "train.recompute=block would save"

# --- the plan includes evaluation
expect 0 1 plan deck.yaml eval.rows=9
says out.txt "evaluation on the host"
finish
