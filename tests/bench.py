#!/usr/bin/env python3
"""Speed, as ratios measured in one run: both sides alternate, medians count.

  tests/bench.py BUILD [--rounds 5] [--real VENV TEACHER] [--only KEY,...]

Prints each figure with its bar and writes BUILD/bench.json.  The step: a student
of 48.8 M parameters (D 512, L 8, F 1408, 8/4 heads, V 49152, tied), 4 rows of 512
tokens, fp32, 2 threads.  --real adds PyTorch with torch.compile and SmolLM2-135M
as live teacher.  OpenBLAS chooses its own kernels (OPENBLAS_CORETYPE is unset).
"""
import argparse
import array
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

N, D, L, FFN, V = 2048, 512, 8, 1408, 49152
DECK = f"""data: {{seq: 512, valid_fraction: 0, files: [rows.u32]}}
student: {{vocab: {V}, width: {D}, blocks: {L}, heads: 8, kv_heads: 4, ffn: {FFN}}}
train: {{length: 5 steps, batch_rows: 4, lr: 1e-4}}
eval: {{rows: 0}}
output: {{log_every: 1}}
"""


def environment(threads):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("OPENBLAS_")}
    env.update(OMP_NUM_THREADS=str(threads), OMPI_ALLOW_RUN_AS_ROOT="1",
               OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    return env


class Bench:
    def __init__(self, build, rounds, only):
        self.build, self.rounds, self.only = build, rounds, only
        self.work = tempfile.mkdtemp(prefix="retort_bench_")
        self.file = os.path.join(build, "bench.json")
        with open(os.path.join(self.work, "deck.yaml"), "w") as f:
            f.write(DECK)
        rng = random.Random(1)
        with open(os.path.join(self.work, "rows.u32"), "wb") as f:
            array.array("I", (rng.randrange(V) for _ in range(40 * 512 + 1))
                        ).tofile(f)

    def wants(self, *keys):
        return not self.only or any(k in self.only for k in keys)

    def put(self, key, value, unit, bar, at_least):
        holds = value >= bar if at_least else value <= bar
        if unit == "ratio":  # within 3 % counts as equal
            holds = holds or abs(value / bar - 1) <= 0.03
        print(f"{'holds' if holds else 'FAILS':6} {key:34} {value:10.4g} {unit}"
              f"  (bar {'>=' if at_least else '<='} {bar:g})", flush=True)
        rows = []
        if os.path.exists(self.file):
            with open(self.file) as f:
                rows = [r for r in json.load(f) if r["key"] != key]
        rows.append(dict(key=key, value=value, unit=unit, bar=bar,
                         holds=bool(holds)))
        with open(self.file, "w") as f:
            json.dump(rows, f, indent=1)

    def train(self, ranks, threads, *keys):
        """Median step in seconds and memory in MiB of a short run."""
        out = os.path.join(self.work, "run")
        shutil.rmtree(out, ignore_errors=True)
        done = subprocess.run(
            ["mpirun", "--bind-to", "none", "--oversubscribe", "--mca", "btl",
             "self,vader", "-n", str(ranks), self.build + "/bin/retort",
             "train", "deck.yaml", "output.dir=run", *keys], cwd=self.work,
            env=environment(threads), capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        with open(os.path.join(out, "metrics.jsonl")) as f:
            times = [json.loads(x)["time_s"] for x in f if '"train"' in x]
        line = [x for x in done.stdout.splitlines() if x.startswith("step")][-1]
        gib = float(line.split(" GiB")[0].split()[-1])
        return (statistics.median(b - a for a, b in zip(times, times[1:])),
                gib * 1024 * ranks)

    def gemm(self, threads):
        done = subprocess.run(
            [self.build + "/tests/bench_gemm", *map(str, (
                N, D, L, FFN, 512, 256, V, threads))], check=True,
            env=environment(threads), capture_output=True, text=True)
        return float(done.stdout)

    def efficiency(self):
        """Step FLOP/s, attention as computed, over CBLAS alone."""
        gemm_flop = 6 * N * (L * (2 * D * 512 + 2 * D * 256 + 3 * D * FFN)
                             + D * V)
        # causal halves: 2 products forward, 5 backward (one is made again)
        attention = 7 * 2 * 4 * L * 512 * 512 * 512 / 2
        step, alone = [], []
        for _ in range(self.rounds):
            step.append(self.train(1, 2)[0])
            alone.append(self.gemm(2))
        s, a = statistics.median(step), statistics.median(alone)
        print(f"  step {s:.3f} s = {N / s:.0f} tokens/s; CBLAS alone "
              f"{gemm_flop / a * 1e-9:.0f} GFLOP/s")
        self.put("train.gemm_efficiency",
                 (gemm_flop + attention) / s / (gemm_flop / a), "ratio", 0.80,
                 True)

    def two_ranks(self):
        one, dp, tp = [], [], []
        for _ in range(self.rounds):
            one.append(self.train(1, 2)[0])
            dp.append(self.train(2, 1)[0])
            tp.append(self.train(2, 1, "student.tp=2")[0])
        one = statistics.median(one)
        self.put("train.two_ranks.dp", one / statistics.median(dp), "ratio",
                 0.9, True)
        self.put("train.two_ranks.tp", one / statistics.median(tp), "ratio",
                 0.8, True)

    def rival(self, key, venv, bar, mode, keys, teacher=None):
        rival = subprocess.Popen(
            [venv + "/bin/python", os.path.join(os.path.dirname(__file__),
                                                "rival_torch.py"), mode,
             *([teacher] if teacher else [])], env=environment(2), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        ours, theirs = [], []
        for _ in range(self.rounds):
            print("3", file=rival.stdin, flush=True)
            theirs.append(json.loads(rival.stdout.readline()))
            ours.append(self.train(1, 2, *keys))
        rival.stdin.close()
        rival.wait()
        step = statistics.median(t for t, _ in ours)
        torch = statistics.median(r["step_s"] for r in theirs)
        print(f"  {mode}: ours {N / step:.0f}, torch.compile {N / torch:.0f} "
              "tokens/s")
        self.put(key, torch / step, "ratio", bar, True)
        return max(m for _, m in ours) / max(r["peak_mib"] for r in theirs)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("build")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--real", nargs=2, metavar=("VENV", "TEACHER"))
    ap.add_argument("--only", type=lambda x: x.split(","))
    a = ap.parse_args()
    b = Bench(os.path.abspath(a.build), a.rounds, a.only)
    if b.wants("train.gemm_efficiency"):
        b.efficiency()
    if b.wants("train.two_ranks.dp", "train.two_ranks.tp"):
        b.two_ranks()
    if a.real and b.wants("train.lm.fp32.vs_torch_compile"):
        memory = b.rival("train.lm.fp32.vs_torch_compile", a.real[0], 1.1, "lm",
                         [])
        b.put("train.lm.memory_vs_torch", memory, "ratio", 0.6, False)
    if a.real and b.wants("train.online.fp32.vs_torch_compile"):
        teacher = os.path.abspath(a.real[1])
        b.rival("train.online.fp32.vs_torch_compile", a.real[0], 1.25, "online",
                ["teacher.source=live", f"teacher.weights={teacher}",
                 "teacher.target=full"], teacher)
    shutil.rmtree(b.work)


if __name__ == "__main__":
    main()
