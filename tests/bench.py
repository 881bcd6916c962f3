#!/usr/bin/env python3
"""Speed, as ratios measured in one run: both sides alternate, medians count.

  tests/bench.py BUILD [--rounds 5] [--real VENV TEACHER] [--only KEY,...]

Prints each figure with its bar and writes BUILD/bench.json, a list of {key,
value, unit, bar, holds}; rows of keys that were not measured are kept.  The step: a
student of 48.8 M parameters (D 512, L 8, F 1408, 8/4 heads, V 49152, tied), 4 rows
of 512 tokens, fp32, 2 threads.  --real adds PyTorch with torch.compile and uses
SmolLM2-135M, a Hugging Face folder, as live teacher; otherwise the teacher has the
same shape and random weights.  Variables such as OPENBLAS_CORETYPE are removed from
the environment.
"""
import argparse
import array
import glob
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading

from bench_store import capture_s, store
from plan_memory import extremes

DEMO = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "inputs",
                                    "demo"))
N, D, L, FFN, KV, V = 2048, 512, 8, 1408, 256, 49152
DECK = f"""data: {{seq: 512, valid_fraction: 0, files: [rows.u32]}}
student: {{vocab: {V}, width: {D}, blocks: {L}, heads: 8, kv_heads: 4, ffn: {FFN}}}
train: {{length: 4 steps, batch_rows: 4, lr: 1e-4}}
eval: {{rows: 0}}
output: {{log_every: 1}}
"""
SMOLLM2 = ["student.width=576", "student.blocks=30", "student.heads=9",
           "student.kv_heads=3", "student.ffn=1536"]
TINY = ["student.width=64", "student.blocks=1", "student.heads=1",
        "student.kv_heads=1", "student.ffn=64"]
ONLINE = ["teacher.source=live", "teacher.weights=teacher",
          "teacher.target=full"]
BF16 = ["run.dtype=bf16"]
OFFLINE = ["teacher.source=dataset", "teacher.dataset=dataset"]


def environment(threads, **more):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("OPENBLAS_")}
    env.update(OMP_NUM_THREADS=str(threads), OMPI_ALLOW_RUN_AS_ROOT="1",
               OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", **more)
    return env


def pss_mib(pid):
    """Proportional set size in MiB: shared memory counts once."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            return next(int(x.split()[1]) for x in f if x[:4] == "Pss:") / 1024
    except (OSError, StopIteration):
        return 0.0  # it has just ended


def children(pid, name):
    """Descendants of a process that run the given program."""
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(path) as f:
                below = f.read().split()
            for child in below:
                with open(f"/proc/{child}/comm") as f:
                    if f.read().strip() == name:
                        found.append(child)
                found += children(child, name)
        except OSError:
            continue
    return found


class Peak:
    """Largest sum of PSS while it is open, looked at 20 times a second."""

    def __init__(self, pids):
        self.pids, self.mib, self.over = pids, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.over.wait(0.05):
            self.mib = max(self.mib, sum(map(pss_mib, self.pids())))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class Bench:
    def __init__(self, build, rounds, only, real):
        self.build, self.rounds, self.only = build, rounds, only
        self.venv, self.teacher = real or (None, None)
        self.work = tempfile.mkdtemp(prefix="retort_bench_")
        self.file = os.path.join(build, "bench.json")
        self.made, self.measured = set(), set()
        with open(os.path.join(self.work, "deck.yaml"), "w") as f:
            f.write(DECK)
        rng = random.Random(1)
        with open(os.path.join(self.work, "rows.u32"), "wb") as f:
            array.array("I", (rng.randrange(V) for _ in range(40 * 512 + 1))
                        ).tofile(f)

    def wants(self, *keys):
        return not self.only or any(k in self.only for k in keys)

    def put(self, key, value, unit, bar, at_least, holds=None):
        if not self.wants(key):
            return
        self.measured.add(key)
        if holds is None:
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

    # --- retort

    def start(self, ranks, threads, *args, program="bin/retort", cwd=None,
              **env):
        return subprocess.Popen(
            ["mpirun", "--bind-to", "none", "--oversubscribe", "--mca", "btl",
             "self,vader", "-n", str(ranks), os.path.join(self.build, program),
             *args],
            cwd=cwd or self.work, env=environment(threads, **env), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def retort(self, ranks, threads, *args, **more):
        run = self.start(ranks, threads, *args, **more)
        said = run.communicate()[0]
        if run.returncode != 0:
            sys.exit(said)
        return said

    def program(self, name, *args, ranks=1):
        """Output of a program tests/bench_*.c, one thread per rank."""
        said = self.retort(ranks, 1, *args, program="tests/" + name)
        return json.loads(next(x for x in said.splitlines() if x[:1] == "{"))

    def train(self, ranks, threads, *keys, deck="deck.yaml", **env):
        """The metrics lines of a run, one per step."""
        shutil.rmtree(os.path.join(self.work, "run"), ignore_errors=True)
        self.retort(ranks, threads, "train", deck, "output.dir=run", *keys,
                    **env)
        with open(os.path.join(self.work, "run", "metrics.jsonl")) as f:
            return [json.loads(x) for x in f if '"train"' in x]

    def exchanged(self):
        """Bytes of gradients and weights that the busiest rank sends a step,
        over the least: each rank sums its part, and gives it to all."""
        d, blocks = 256, 2
        params = V * d + d + blocks * (2 * d * d + 2 * d * KV // 2 + 2 * d +
                                       3 * d * FFN)
        ratio = 0
        for dp in 2, 4:
            self.train(dp, 1, f"student.width={d}", f"student.blocks={blocks}",
                       "student.heads=4", "student.kv_heads=2", "data.seq=64",
                       "train.length=2 steps")
            with open(os.path.join(self.work, "run", "metrics.jsonl")) as f:
                sent = json.loads(f.readlines()[-1])["sent_bytes_per_step"]
            ratio = max(ratio, sent / (2 * (dp - 1) / dp * params * 4))
        self.put("comm.bytes_over_minimum", ratio, "of the least", 1.02, False)

    def device(self):
        """What a step asks of the device: the host should not wait for it, and
        the optimizer is a handful of launches.  A wait is one that leaves the
        device without work (rt_dev_host_waits in src/dev/device.h): to take the
        result of a step while the next one is in the queue is none.  Neither
        depends on the width of the models, so these are small."""
        self.make("tiny")
        self.make("dataset")
        launches = 0
        live = ["teacher.source=live", "teacher.weights=tiny"]
        for case, keys in (("lm", []), ("full", [*live, "teacher.target=full"]),
                           ("sparse", [*live, "teacher.top_k=50"]),
                           ("sampled", [*live, "teacher.target=sampled"]),
                           ("dataset", OFFLINE)):
            self.train(1, 2, "train.length=2 steps", "run.device=check", *TINY,
                       *keys)
            with open(os.path.join(self.work, "run", "metrics.jsonl")) as f:
                end = json.loads(f.readlines()[-1])
            launches = max(launches, end["optimizer_launches_per_step"])
            self.put(f"dev.host_waits_per_step.{case}",
                     end["host_waits_per_step"], "waits", 0, False)
        for case, ranks, tp in (("dp2", 2, 1), ("tp2", 2, 2), ("dp2tp2", 4, 2)):
            self.train(ranks, 1, "train.length=2 steps", "run.device=check",
                       *TINY, "student.heads=2", "student.kv_heads=2",
                       f"student.tp={tp}")
            with open(os.path.join(self.work, "run", "metrics.jsonl")) as f:
                end = json.loads(f.readlines()[-1])
            self.put(f"dev.host_waits_per_step.{case}",
                     end["host_waits_per_step"], "waits", 0, False)
        self.put("dev.launches.optimizer", launches, "launches", 8, False)

    def step(self, ranks, threads, *keys, **how):
        """Median seconds of a step; the first is not counted."""
        times = [x["time_s"] for x in self.train(ranks, threads, *keys, **how)]
        return statistics.median(b - a for a, b in zip(times, times[1:]))

    def plan(self):
        """Planned over measured memory, worst of many runs: at least 1, at most
        1.1."""
        least, most = extremes(os.path.join(self.build, "bin/retort"))
        self.put("plan.memory", least if least < 1 else most, "ratio", 1.1,
                 False, least >= 1 and most <= 1.1)

    def bench(self, part, *keys, deck="deck.yaml"):
        """Numbers of one line of `retort bench`, and the whole line."""
        said = self.retort(1, 2, "bench", part, deck, *keys)
        line = next(x for x in said.splitlines() if x.startswith("bench "))
        return [float(x) for x in re.findall(r" (\d+\.\d+) ", line)], line

    def alternate(self, *sides):
        """Medians of all sides; each round runs each side once."""
        seconds = [[] for _ in sides]
        for _ in range(self.rounds):
            for side, taken in zip(sides, seconds):
                taken.append(side())
        return [statistics.median(s) for s in seconds]

    def make(self, what):
        """A folder that deck keys above refer to, made when first needed."""
        if what in self.made:
            return
        self.made.add(what)
        to = os.path.join(self.work, what)
        if what == "teacher" and self.teacher:
            os.symlink(self.teacher, to)
        elif what == "dataset":  # 50 random entries per token
            self.make("tiny")
            self.retort(1, 2, "capture", "deck.yaml", "teacher.weights=tiny",
                        "capture.dir=dataset", "capture.top_k=50")
        else:
            self.train(1, 2, "train.length=1 steps", "train.batch_rows=1",
                       *(TINY if what == "tiny" else SMOLLM2))
            self.retort(1, 2, "export", "run", what)

    # --- figures

    def core_types(self):
        """The kernels that OpenBLAS chooses; others must give the same loss."""
        line = self.bench("gemm")[1]
        print(f"  {line.split(', ', 2)[2]}; load {os.getloadavg()[0]:.2f} on "
              f"{os.cpu_count()} cores", flush=True)
        if "DYNAMIC_ARCH" not in line:
            return
        own, plain = (self.train(1, 2, "train.length=1 steps", **env)[0]["loss"]
                      for env in ({}, {"OPENBLAS_CORETYPE": "Haswell"}))
        print(f"  first loss {own:.7f}, by OpenBLAS for Haswell {plain:.7f}")
        if abs(own / plain - 1) > 1e-5:
            sys.exit("the loss depends on the kernels of OpenBLAS")

    def efficiency(self):
        """FLOP/s of a step, attention as computed, over those of its products alone."""
        gemm_flop = 6 * N * (L * (2 * D * D + 2 * D * KV + 3 * D * FFN) + D * V)
        # causal attention computes half of each product: 2 forward, 5 backward (one is
        # recomputed)
        attention = 7 * 2 * 4 * L * 512 * 512 * 512 / 2
        step, alone = self.alternate(lambda: self.step(1, 2),
                                     lambda: self.bench("gemm")[0][0])
        print(f"  step {step:.3f} s = {N / step:.0f} tokens/s; products alone "
              f"{alone:.3f} s = {gemm_flop / alone * 1e-9:.0f} GFLOP/s")
        self.put("train.gemm_efficiency",
                 (gemm_flop + attention) / step / (gemm_flop / alone), "ratio",
                 0.80, True)

    def two_ranks(self):
        one, dp, tp = self.alternate(
            lambda: self.step(1, 2), lambda: self.step(2, 1),
            lambda: self.step(2, 1, "student.tp=2"))
        print(f"  1 rank {one:.3f} s, 2 ranks dp {dp:.3f} s, tp {tp:.3f} s")
        self.put("train.two_ranks.dp", one / dp, "ratio", 0.9, True)
        self.put("train.two_ranks.tp", one / tp, "ratio", 0.8, True)

    def online(self):
        self.make("teacher")
        student, teacher, both = self.alternate(
            lambda: self.step(1, 2),
            lambda: self.bench("teacher", *ONLINE)[0][0],
            lambda: self.step(1, 2, *ONLINE))
        print(f"  student {student:.3f} s, teacher {teacher:.3f} s, online "
              f"{both:.3f} s")
        self.put("train.online_overhead", both / (student + teacher), "ratio",
                 1.05, False)

    def offline(self):
        self.make("dataset")
        lm, kd = self.alternate(lambda: self.step(1, 2),
                                lambda: self.step(1, 2, *OFFLINE))
        print(f"  LM only {lm:.3f} s, offline top-50 {kd:.3f} s")
        self.put("train.offline_overhead", kd / lm, "ratio", 1.02, False)

    def offline_demo(self):
        """The same for the demo's small student and 100 entries a token of its
        teacher: the smaller the step, the more its decoding weighs."""
        keys = [f"data.files=[{DEMO}/kjv]", f"data.tokenizer={DEMO}/tokenizer",
                "teacher.top_k=100", "teacher.top_p=1"]
        with open(os.path.join(DEMO, "student.yaml")) as deck, open(
                os.path.join(self.work, "demo.yaml"), "w") as f:
            f.write(deck.read())
        self.retort(1, 2, "capture", "demo.yaml", *keys, "capture.top_k=100",
                    "capture.top_p=1", "capture.rows=496", "capture.dir=of_demo",
                    f"teacher.weights={DEMO}/teacher")

        def step(source):
            return self.step(
                1, 2, *keys, f"teacher.source={source}",
                "teacher.dataset=of_demo", "train.length=31 steps",
                "eval.rows=0", "eval.every=0", "output.log_every=1",
                deck="demo.yaml")

        lm, kd = self.alternate(lambda: step("none"), lambda: step("dataset"))
        print(f"  the demo's student: LM only {lm:.4f} s, offline top-100 "
              f"{kd:.4f} s")
        self.put("train.offline_overhead.demo", kd / lm, "ratio", 1.03, False)

    def stall(self):
        """A step with a checkpoint every 10 steps over one with none.  The mean
        of 10 steps after a checkpoint is begun: a wait must not be lost."""
        def period(every):
            at = {x["step"]: x["time_s"] for x in self.train(
                1, 2, "train.length=21 steps", f"checkpoint.every={every}")}
            return (at[20] - at[10]) / 10

        none, some = self.alternate(lambda: period("0"),
                                    lambda: period("10 steps"))
        print(f"  without checkpoints {none:.3f} s, with {some:.3f} s")
        self.put("checkpoint.stall", some / none, "ratio", 1.05, False)

    def loss(self):
        self.make("dataset")
        numbers, line = self.bench(
            "loss", "student.width=576", "student.heads=9",
            "student.kv_heads=3", "train.batch_rows=8", "loss.chunk_mib=64",
            *OFFLINE)
        print("  " + line)
        self.put("loss.extra_mib", max(numbers[:2]), "MiB", 64, False)

    def loss_ns(self, vocab):
        """Nanoseconds of head and loss per token and id."""
        keys = ["data.files=[low.u32]", f"student.vocab={vocab}",
                "train.batch_rows=2"]
        if f"low{vocab}" not in self.made:
            self.made.add(f"low{vocab}")
            self.train(1, 2, "train.length=1 steps", *keys, *TINY)
            self.retort(1, 2, "export", "run", f"tiny{vocab}")
            self.retort(1, 2, "capture", "deck.yaml",
                        f"teacher.weights=tiny{vocab}", "capture.top_k=50",
                        "capture.rows=2", f"capture.dir=low{vocab}", *keys)
        return self.bench("loss", "teacher.source=dataset",
                          f"teacher.dataset=low{vocab}", *keys)[0][2]

    def growth(self):
        """The ids of a large vocabulary cost as much as those of a small one."""
        with open(os.path.join(self.work, "low.u32"), "wb") as f:
            rng = random.Random(2)
            array.array("I", (rng.randrange(32768) for _ in range(4 * 512 + 1))
                        ).tofile(f)
        small, large = self.alternate(lambda: self.loss_ns(32768),
                                      lambda: self.loss_ns(262144))
        print(f"  {small:.3f} ns a token and id with V 32768, {large:.3f} with "
              "262144")
        self.put("loss.growth", large / small, "ratio", 1.05, False)

    def peak(self, *keys):
        """Largest memory of a run in MiB."""
        run = self.start(1, 2, "train", "deck.yaml", *keys)
        with Peak(lambda: children(run.pid, "retort")) as used:
            run.communicate()
        if used.mib < 4 * 48.8:  # the parameters alone
            raise SystemExit(f"saw {used.mib:.0f} MiB of retort: no process?")
        return used.mib

    def has_fast_bf16(self):
        """A bar for bf16 holds where the processor multiplies it faster."""
        line = next(x for x in self.retort(1, 2, "plan", "deck.yaml").splitlines()
                    if x.startswith("libraries"))
        fast = "bf16 by CBLAS" not in line
        print("  " + line.rpartition("; ")[2] +
              ("" if fast else ": no bars of speed"))
        return "amx" if line.endswith("(amx)") else "avx512_bf16" if fast else ""

    def low(self):
        """Speed and memory of bf16 over those of fp32.  Master weights, moments
        and gradients are fp32 in both, 18 bytes a parameter against 16, so that
        memory shrinks with the activations only: 32 rows at once."""
        if self.wants("train.lm.bf16.vs_fp32") and self.has_fast_bf16():
            low, wide = self.alternate(lambda: self.step(1, 2, *BF16),
                                       lambda: self.step(1, 2))
            print(f"  bf16 {N / low:.0f} tokens/s, fp32 {N / wide:.0f}")
            self.put("train.lm.bf16.vs_fp32", wide / low, "ratio", 1.6, True)
        if self.wants("train.lm.bf16.memory_vs_fp32"):
            for rows in 4, 32:
                keys = [f"train.batch_rows={rows}", "train.length=2 steps"]
                low, wide = self.peak(*keys, *BF16), self.peak(*keys)
                print(f"  {rows} rows of 512: bf16 {low:.0f} MiB, fp32 {wide:.0f}"
                      f", ratio {low / wide:.3f}", flush=True)
            self.put("train.lm.bf16.memory_vs_fp32", low / wide, "ratio", 0.65,
                     False)

    def rivals_low(self):
        """bf16 against the faster of PyTorch's two ways."""
        kind = self.has_fast_bf16()
        if not kind:
            return
        for mode, keys, bar in (("lm", [], 1.25), ("online", ONLINE,
                                                   1.5 if kind == "amx" else 1.35)):
            key = f"train.{mode}.bf16.vs_torch_compile"
            if not self.wants(key):
                continue
            if keys:
                self.make("teacher")
            self.put(key, min(self.rival_step(mode, keys + BF16, how)[0]
                              for how in ("autocast", "bf16")), "ratio", bar, True)

    def rival(self, mode, how, ours):
        """Medians of ours() and of PyTorch's seconds; its peak in MiB."""
        rival = subprocess.Popen(
            [self.venv + "/bin/python",
             os.path.join(os.path.dirname(__file__), "rival_torch.py"), mode,
             os.path.join(self.work, "teacher"), how], env=environment(2), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)

        def theirs():
            print("3", file=rival.stdin, flush=True)
            return statistics.median(json.loads(rival.stdout.readline()))

        theirs()  # when it answers, it has compiled
        ours_s, theirs_s = self.alternate(ours, theirs)
        with Peak(lambda: [rival.pid]) as torch:
            theirs()
        rival.stdin.close()
        rival.wait()
        return ours_s, theirs_s, torch.mib

    def rival_step(self, mode, keys, how="fp32"):
        """PyTorch's seconds of a step over ours; our peak of memory over its."""
        ours_s, theirs_s, theirs = self.rival(
            mode, how, lambda: self.step(1, 2, *keys))
        ours = self.peak(*keys)
        print(f"  {mode}, {how}: ours {N / ours_s:.0f} tokens/s, {ours:.0f} MiB; "
              f"torch.compile {N / theirs_s:.0f}, {theirs:.0f}")
        return theirs_s / ours_s, ours / theirs

    def capture_low(self):
        """Capture of a teacher in bf16, encoded and written, against PyTorch's
        forward pass, log-softmax and top-k."""
        if not self.has_fast_bf16():
            return
        self.make("teacher")
        ours_s, theirs_s, _ = self.rival("capture", "bf16", lambda: N * capture_s(
            self, "teacher.dtype=bf16", "capture.top_k=100", "capture.top_p=1"))
        print(f"  capture, bf16: ours {N / ours_s:.0f} tokens/s; torch.compile "
              f"{N / theirs_s:.0f}")
        self.put("capture.bf16", theirs_s / ours_s, "ratio", 1.5, True)


def main():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("build")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--real", nargs=2, metavar=("VENV", "TEACHER"),
                    type=os.path.abspath)
    ap.add_argument("--only", type=lambda x: x.split(","))
    a = ap.parse_args()
    b = Bench(os.path.abspath(a.build), a.rounds, a.only, a.real)
    try:
        b.core_types()
        if b.wants("plan.memory"):
            b.plan()
        if b.wants("loss.extra_mib"):
            b.loss()
        if b.wants("loss.growth"):
            b.growth()
        if b.wants("train.gemm_efficiency"):
            b.efficiency()
        if b.wants("train.two_ranks.dp", "train.two_ranks.tp"):
            b.two_ranks()
        if b.wants("comm.bytes_over_minimum"):
            b.exchanged()
        if b.wants("dev.launches.optimizer", "dev.host_waits_per_step.lm",
                   "dev.host_waits_per_step.full",
                   "dev.host_waits_per_step.sparse",
                   "dev.host_waits_per_step.sampled",
                   "dev.host_waits_per_step.dataset",
                   "dev.host_waits_per_step.dp2",
                   "dev.host_waits_per_step.tp2",
                   "dev.host_waits_per_step.dp2tp2"):
            b.device()
        if b.wants("train.offline_overhead"):
            b.offline()
        if b.wants("train.offline_overhead.demo"):
            b.offline_demo()
        if b.wants("checkpoint.stall"):
            b.stall()
        if b.wants("train.online_overhead"):
            b.online()
        if b.wants("train.lm.bf16.vs_fp32", "train.lm.bf16.memory_vs_fp32"):
            b.low()
        if a.real and b.wants("train.lm.fp32.vs_torch_compile",
                              "train.lm.memory_vs_torch"):
            speed, memory = b.rival_step("lm", [])
            b.put("train.lm.fp32.vs_torch_compile", speed, "ratio", 1.1, True)
            b.put("train.lm.memory_vs_torch", memory, "ratio", 0.6, False)
        if a.real and b.wants("train.online.fp32.vs_torch_compile"):
            b.make("teacher")
            speed, _ = b.rival_step("online", ONLINE)
            b.put("train.online.fp32.vs_torch_compile", speed, "ratio", 1.25,
                  True)
        if a.real and b.wants("train.lm.bf16.vs_torch_compile",
                              "train.online.bf16.vs_torch_compile"):
            b.rivals_low()
        if a.real and b.wants("capture.bf16"):
            b.capture_low()
        if a.real:
            store(b)
    finally:
        shutil.rmtree(b.work)
    missing = [key for key in a.only or () if key not in b.measured]
    if missing:
        sys.exit(f"not measured: {', '.join(missing)}: no such key"
                 + ("" if a.real else ", or one that needs REAL=1"))


if __name__ == "__main__":
    main()
