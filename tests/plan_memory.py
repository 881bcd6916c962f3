#!/usr/bin/env python3
"""The memory plan against the measured memory of many kinds of runs.

  tests/plan_memory.py RETORT [--only NAME;...]

For each run: the plan of the rank that needs most against the largest peak
resident size (VmHWM, by getrusage) of any rank, both less what every process of
retort has: the plan's own line "program, MPI, HDF5, BLAS".  Prints one line a
run, and last the worst ratios, predicted / measured, as JSON.
"""
import argparse
import array
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile

V = 8192
DECK = f"""run: {{threads: 1}}
data: {{seq: 256, valid_fraction: 0, files: [rows.u16]}}
student: {{vocab: {V}, width: 256, blocks: 2, heads: 8, kv_heads: 4, ffn: 768}}
train: {{length: 2 steps, batch_rows: 4, micro_rows: 2, lr: 1e-4}}
eval: {{rows: 0}}
output: {{log_every: 1}}
"""
TEACHER = ["teacher.weights=teacher"]
LIVE = ["train", "deck.yaml", "teacher.source=live"] + TEACHER
CAPTURE = ["capture", "deck.yaml", "capture.rows=8", "capture.dir=captured",
           "capture.shard_rows=4"] + TEACHER
EVAL = ["eval", "deck.yaml", "student.weights=teacher", "eval.teacher=true",
        "eval.rows=8", "eval.part=train"] + TEACHER
WIDE = ["teacher.top_k=6554", "teacher.top_p=1"]
WIDE_CAPTURE = ["capture.top_k=6554", "capture.top_p=1"]
DATASETS = {"dataset": ["capture.top_k=100"],
            "wide": ["capture.top_k=6554", "capture.encoding=exact"]}
TP2 = ["student.tp=2", "teacher.tp=2"]
DEEP = ["train", "deck.yaml", "student.blocks=8", "train.length=1 steps"]
BF16 = ["run.dtype=bf16"]
LARGE = ["train", "deck.yaml", "data.seq=512", "student.vocab=49152",
         "student.width=512", "student.blocks=8", "student.ffn=1408"]
SHORT = ["train.length=1 steps"]
RUNS = {  # name: ranks, arguments
    "lm": (1, ["train", "deck.yaml"]),
    "lm, 2 threads": (1, ["train", "deck.yaml", "run.threads=2"]),
    "lm, 4 threads": (1, ["train", "deck.yaml", "run.threads=4"]),
    "48.8 M, 2 threads": (1, LARGE + ["run.threads=2"]),
    "lm dp 2": (2, ["train", "deck.yaml"]),
    "lm tp 2": (2, ["train", "deck.yaml", "student.tp=2"]),
    "lm deep": (1, DEEP),
    "lm deep, recompute": (1, DEEP + ["train.recompute=block"]),
    "lm bf16": (1, ["train", "deck.yaml"] + BF16),
    "lm bf16, 4 threads": (1, ["train", "deck.yaml", "run.threads=4"] + BF16),
    "lm deep, bf16": (1, DEEP + BF16),
    "lm with checkpoint": (2, ["train", "deck.yaml", "output.dir=run",
                               "checkpoint.async=false"]),
    "lm, checkpoint meanwhile": (2, ["train", "deck.yaml", "output.dir=run",
                                     "checkpoint.every=1 steps"]),
    "live K 100": (1, LIVE + ["teacher.top_k=100", "teacher.top_p=1"]),
    "live K 6554": (1, LIVE + WIDE),
    "live K 6554, tp 2": (2, LIVE + WIDE + TP2),
    "circle, student tp 2": (2, LIVE + WIDE + ["student.tp=2"]),
    "circle, teacher tp 2": (2, LIVE + WIDE + ["teacher.tp=2"]),
    "sampled": (1, LIVE + ["teacher.target=sampled", "teacher.draws=500"]),
    "full": (1, LIVE + ["teacher.target=full"]),
    "full, tp 2": (2, LIVE + ["teacher.target=full"] + TP2),
    "full, circle": (2, LIVE + ["teacher.target=full", "teacher.tp=2"]),
    "eval, circle": (2, EVAL + ["teacher.tp=2"]),
    "capture K 6554": (1, CAPTURE + WIDE_CAPTURE),
    "capture K 6554, tp 2": (2, CAPTURE + WIDE_CAPTURE + ["teacher.tp=2"]),
    "capture draws": (1, CAPTURE + ["capture.draws=100"]),
    "window": (1, ["train", "deck.yaml", "output.dir=run",
                   "checkpoint.every=1 steps",
                   "capture.window_start=0 steps",
                   "capture.window_length=2 steps",
                   "capture.dir=captured"] + WIDE_CAPTURE),
    # for script_plan.sh
    "live K 6554, short": (1, LIVE + WIDE + SHORT),
    "circle, short": (2, LIVE + WIDE + SHORT + ["teacher.tp=2"]),
    "capture, short": (1, CAPTURE + WIDE_CAPTURE + ["capture.rows=4",
                                                    "capture.encoding=exact"]),
    "dataset": (1, ["train", "deck.yaml", "teacher.source=dataset",
                    "teacher.dataset=dataset", "teacher.top_k=100",
                    "teacher.top_p=1"]),
    "dataset K 6554": (2, ["train", "deck.yaml", "teacher.source=dataset",
                           "teacher.dataset=wide"] + WIDE),
}


def run_child(out, command):
    """One rank: run the command and write its peak in KiB to a file."""
    code = subprocess.call(command)
    rank = os.environ.get("OMPI_COMM_WORLD_RANK", "0")
    with open(f"{out}.{rank}", "w") as f:
        f.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
    return code


class Runs:
    def __init__(self, retort):
        self.retort = os.path.abspath(retort)
        self.work = tempfile.mkdtemp(prefix="retort_plan_")
        with open(os.path.join(self.work, "deck.yaml"), "w") as f:
            f.write(DECK)
        rng = random.Random(1)
        with open(os.path.join(self.work, "rows.u16"), "wb") as f:
            array.array("H", (rng.randrange(V) for _ in range(40 * 256 + 1))
                        ).tofile(f)

    def launch(self, ranks, arguments, keep=False):
        """Output of the run, and the largest peak of any rank in MiB."""
        for name in () if keep else ("run", "captured"):
            shutil.rmtree(os.path.join(self.work, name), ignore_errors=True)
        said = subprocess.run(
            ["mpirun", "--bind-to", "none", "--oversubscribe", "--mca", "btl",
             "self,vader", "-n", str(ranks), sys.executable,
             os.path.abspath(__file__), "--child", "peak", self.retort,
             "-v", *arguments],
            cwd=self.work, text=True, timeout=600, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1",
                     OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1"))
        if said.returncode != 0:
            sys.exit(said.stdout)
        peaks = []
        for rank in range(ranks):
            with open(os.path.join(self.work, f"peak.{rank}")) as f:
                peaks.append(int(f.read()) / 1024)
        return said.stdout, max(peaks)

    def make(self, name):
        """An input of runs: the teacher, or a dataset."""
        if os.path.exists(os.path.join(self.work, name)):
            return
        if name == "teacher":
            self.launch(1, ["train", "deck.yaml", "output.dir=run",
                            "train.length=1 steps", "student.width=320"])
            self.launch(1, ["export", "run", "teacher"], keep=True)
        else:
            self.make("teacher")
            self.launch(1, [*CAPTURE, "capture.top_p=1",
                            f"capture.dir={name}", *DATASETS[name]])

    def ratio(self, name):
        ranks, arguments = RUNS[name]
        for argument in arguments:
            if argument.startswith(("teacher.weights=", "teacher.dataset=")):
                self.make(argument.partition("=")[2])
        said, peak = self.launch(ranks, arguments)
        base = max(map(float, re.findall(
            r"program, MPI, HDF5, BLAS +([\d.]+) MiB", said)))
        plan = float(re.findall(r"([\d.]+) MiB on the rank that needs most",
                                said)[-1])
        ratio = (plan - base) / (peak - base)
        print(f"{name:24} planned {plan:8.1f} MiB, measured {peak:8.1f} MiB, "
              f"base {base:5.1f} MiB: {ratio:.3f}", flush=True)
        return ratio


def extremes(retort, names=RUNS):
    """The smallest and the largest ratio."""
    runs = Runs(retort)
    try:
        ratios = [runs.ratio(name) for name in names]
    finally:
        shutil.rmtree(runs.work)
    return min(ratios), max(ratios)


def main():
    if sys.argv[1:2] == ["--child"]:
        sys.exit(run_child(sys.argv[2], sys.argv[3:]))
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("retort")
    ap.add_argument("--only", type=lambda x: x.split(";"))
    a = ap.parse_args()
    least, most = extremes(a.retort, a.only or RUNS)
    print(json.dumps({"least": least, "most": most}))


if __name__ == "__main__":
    main()
