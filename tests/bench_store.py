"""Costs of stored logits, for tests/bench.py --real.

SmolLM2-135M over English: captures 204,800 tokens top-0.95-100 and 16,384 of the
likeliest 5 % of V, once (4 minutes; kept in BUILD/bench_store), then measures
with bench_store.c, bench_read.c, and runs of retort.
"""
import json
import os
import re
import shutil

SIZE_KEYS = ("store.packed100.bytes_per_entry",
             "store.packed50.bytes_per_entry", "store.packed.kl",
             "store.packed.kl_max", "store.sampled50.bytes_per_id",
             "store.wide.bytes_per_entry", "store.wide.kl",
             "store.decode50.tokens_per_s", "store.encode50.tokens_per_s")
HERE = os.getcwd()  # paths in decks start at the root of the repository
DECK = os.path.join(HERE, "inputs/smollm2/student.yaml")
OUTSIDE = ("set-up", "evaluation", "dataset writing", "checkpoint", "logging",
           "total")  # phases that are not part of a step
N_COPIES = 8  # 22 MB each: together larger than the cache of a processor
CAPTURE_ROWS = 32  # of 512 tokens: about 13 s, the first forward counted


def smollm2(b):
    """Deck keys of every run with the teacher."""
    corpus = os.path.join(os.path.dirname(b.teacher), "docs")
    return [f"data.files=[{corpus}]", f"data.tokenizer={b.teacher}",
            f"teacher.weights={b.teacher}"]


def folder_of(b, name):
    """Path of a dataset, and whether it exists."""
    to = os.path.join(b.build, "bench_store", name)
    os.makedirs(os.path.dirname(to), exist_ok=True)
    try:
        with open(os.path.join(to, "manifest.json")) as f:
            return to, json.load(f)["complete"]
    except FileNotFoundError:
        return to, False


def capture(b, name, *keys):
    to, there = folder_of(b, name)
    if not there:
        b.retort(1, 2, "capture", DECK, *smollm2(b), f"capture.dir={to}",
                 "capture.encoding=exact", *keys)
    return to


def packed(b):
    """The dataset in the default encoding, as a capture would write it."""
    to, there = folder_of(b, "packed")
    if not there:
        b.retort(1, 2, "logits", "select", capture(b, "exact"), to,
                 "capture.encoding=packed")
    return to


def measure(b, dataset, kind, *numbers):
    return b.program("bench_store", dataset, kind, *numbers)


def sizes(b):
    exact = capture(b, "exact")
    wide = capture(b, "wide", "capture.rows=32", "capture.shard_rows=32",
                   "capture.top_p=1", "capture.top_k=2457")
    p100 = measure(b, exact, "packed", "100")
    p50 = measure(b, exact, "packed", "50")
    all_wide = measure(b, wide, "packed", "2457")
    draws = measure(b, wide, "sampled", "2457", "50")
    for name, m, bar in (("packed100", p100, 1.85), ("packed50", p50, 2.0),
                         ("wide", all_wide, 1.5)):
        b.put(f"store.{name}.bytes_per_entry", m["bytes_per_entry"], "bytes",
              bar, False)
    b.put("store.sampled50.bytes_per_id", draws["bytes_per_entry"], "bytes",
          1.9, False)
    for name, bar in (("kl", 1e-4), ("kl_max", 1e-3)):
        b.put(f"store.packed.{name}", max(p100[name], p50[name]), "nats", bar,
              False)
    b.put("store.wide.kl", all_wide["kl"], "nats", 1e-4, False)
    b.put("store.decode50.tokens_per_s", p50["decode_tokens_per_s"],
          "tokens/s", 1e6, True)
    b.put("store.encode50.tokens_per_s", p50["encode_tokens_per_s"],
          "tokens/s", 3e5, True)


def reading(b):
    """Time of random rows read by the library over that of pread; the worst of
    three counts."""
    copies = [os.path.join(b.work, f"copy{i}") for i in range(N_COPIES)]
    ratios = []
    for copy in copies:
        shutil.copytree(packed(b), copy)
    for ranks in 1, 2, 4:
        m = b.program("bench_read", *copies, ranks=ranks)
        print(f"  {ranks} ranks: library {m['library_gb_per_s']:.1f} GB/s, "
              f"pread {m['pread_gb_per_s']:.1f}: {m['read_over_pread']:.3f}; "
              f"rows of {m['bytes'] * 1e-6:.0f} MB")
        ratios.append(m["read_over_pread"])
    b.put("store.read_over_pread", min(ratios), "ratio", 0.8, True)


def bare_s(b):
    """Seconds per token of the teacher's forward pass and output head alone, row by
    row as in a capture."""
    seconds = b.bench("teacher", *smollm2(b), "teacher.source=live",
                      "teacher.target=full", "train.batch_rows=8",
                      "train.micro_rows=1", deck=DECK)[0][0]
    return seconds / (8 * 512)


def capture_s(b, *keys):
    """Seconds per token of a capture, from its first forward pass until the last
    shard is sealed on disk."""
    said = b.retort(1, 2, "capture", DECK, *smollm2(b), "capture.dir=overhead",
                    f"capture.rows={CAPTURE_ROWS}", "capture.shard_rows=16", *keys)
    shutil.rmtree(os.path.join(b.work, "overhead"))
    return 1 / float(re.findall(r"capture 100\.0%.* (\d+) tok/s", said)[-1])


def overhead(b):
    bare, captured = b.alternate(lambda: bare_s(b), lambda: capture_s(b))
    print(f"  teacher alone {1 / bare:.0f} tokens/s, capture "
          f"{1 / captured:.0f}")
    b.put("capture.overhead", captured / bare, "ratio", 1.05, False)


def wait_share(b, *keys):
    """Wait for input of the slowest rank over the mean time of steps, by the table at
    the end of a run on 2 ranks with 1 thread each."""
    run = os.path.join(b.work, "waits")
    said = b.retort(2, 1, "train", *keys, f"output.dir={run}", cwd=HERE)
    shutil.rmtree(run)
    table = re.findall(r"^(\S.*?) +[\d.]+ +([\d.]+) +([\d.]+) +[\d.]+ %$", said,
                       re.MULTILINE)
    step = sum(float(x[1]) for x in table if x[0] not in OUTSIDE)
    return max(float(x[2]) for x in table if x[0] == "wait for input") / step


def input_wait(b):
    demo = os.path.join(b.work, "demo_logits")
    b.retort(2, 1, "capture", "inputs/demo/student.yaml",
             "teacher.weights=inputs/demo/teacher", f"capture.dir={demo}",
             cwd=HERE)
    stored = ["teacher.source=dataset", "teacher.top_k=50", "loss.alpha=0.9"]
    shares = (
        wait_share(b, "inputs/demo/student.yaml", *stored,
                   f"teacher.dataset={demo}"),
        wait_share(b, DECK, *smollm2(b), *stored, "train.length=20 steps",
                   f"teacher.dataset={packed(b)}"))
    print("  waits for input: demo {:.5f}, SmolLM2 {:.5f}".format(*shares))
    b.put("store.input_wait", max(shares), "share", 0.01, False)


def store(b):
    if b.wants(*SIZE_KEYS):
        sizes(b)
    if b.wants("store.read_over_pread"):
        reading(b)
    if b.wants("capture.overhead"):
        overhead(b)
    if b.wants("store.input_wait"):
        input_wait(b)
