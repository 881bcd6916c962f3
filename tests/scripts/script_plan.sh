#!/bin/bash
# The memory plan against the peak of a few runs, with room for noise: never below
# by more than 3 %, nor above by more than 20 % (make bench ONLY=plan.memory has all
# kinds of runs and the bar of 10 %).
#   tests/scripts/script_plan.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

"$PYTHON" "$here/plan_memory.py" "$RETORT" \
  --only "lm tp 2;live K 6554, short;circle, short;capture, short" >out.txt 2>&1 ||
  fail "$(cat out.txt)"
cat out.txt
tail -n 1 out.txt | "$PYTHON" -c 'import json, sys
r = json.load(sys.stdin)
sys.exit(not (r["least"] >= 0.97 and r["most"] <= 1.20))' ||
  fail "the plan is not what runs take"

# --- what evaluation takes is in the plan, too
expect 0 1 plan deck.yaml eval.rows=9
says out.txt "evaluation on the host"
finish
