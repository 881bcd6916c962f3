"""What stored logits cost, for tests/bench.py --real: SmolLM2-135M over English.

Captures 204,800 tokens top-0.95-100 and 16,384 of the likeliest 5 % of V, once
(4 minutes; kept in BUILD/bench_store), then measures with bench_store.c.
"""
import json
import os

KEYS = ("store.packed100.bytes_per_entry", "store.packed50.bytes_per_entry",
        "store.packed.kl", "store.packed.kl_max", "store.sampled50.bytes_per_id",
        "store.wide.bytes_per_entry", "store.wide.kl",
        "store.decode50.tokens_per_s", "store.encode50.tokens_per_s")


def capture(b, to, *keys):
    manifest = os.path.join(to, "manifest.json")
    if os.path.exists(manifest):
        with open(manifest) as f:
            if json.load(f)["complete"]:
                return
    corpus = os.path.join(os.path.dirname(b.teacher), "docs")
    b.retort(1, 2, "capture", os.path.abspath("inputs/smollm2/student.yaml"),
             f"data.files=[{corpus}]", f"data.tokenizer={b.teacher}",
             f"teacher.weights={b.teacher}", f"capture.dir={to}",
             "capture.encoding=exact", *keys)


def measure(b, dataset, kind, *numbers):
    return json.loads(b.program("bench_store", dataset, kind, *numbers))


def store(b):
    exact = os.path.join(b.build, "bench_store", "exact")
    wide = os.path.join(b.build, "bench_store", "wide")
    os.makedirs(os.path.dirname(exact), exist_ok=True)
    capture(b, exact)
    capture(b, wide, "capture.rows=32", "capture.shard_rows=32",
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
