"""Training losses of metrics.jsonl.

  e2e_losses.py A             print step, loss and gradient norm, one line per step
  e2e_losses.py A B BAR       exit with 1 unless losses agree to BAR relative
"""
import json
import sys


def train_lines(path):
    with open(path) as f:
        lines = [json.loads(line, parse_float=str) for line in f]
    steps = [x for x in lines if x["kind"] == "train"]
    numbers = [x["step"] for x in steps]
    if numbers != list(range(1, len(numbers) + 1)):
        sys.exit(f"{path}: steps are {numbers}")
    return steps


a = train_lines(sys.argv[1])
if len(sys.argv) == 2:
    for x in a:
        print(x["step"], *(x[k] for k in ("loss", "lm", "kd", "alpha", "lr",
                                          "grad_norm", "entries")))
else:
    b, bar = train_lines(sys.argv[2]), float(sys.argv[3])
    worst = max(abs(float(x["loss"]) / float(y["loss"]) - 1.0)
                for x, y in zip(a, b))
    print(f"{len(a)} and {len(b)} steps, largest relative difference {worst:.1e}")
    sys.exit(not (len(a) == len(b) > 0 and worst <= bar))
