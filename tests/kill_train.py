#!/usr/bin/env python3
"""Kill `retort train` at random times; run by tests/scripts/script_kill_train.sh.

  kill_train.py KILLS SEED

The current folder has deck.yaml and teacher.hf.  Runs on 2 ranks, in turn data and
tensor parallel, with a live and a stored teacher, lose one rank or both and are
started again until they finish.  Their metrics and the logits that they capture must
then have the bits of an undisturbed run.
"""
import functools
import glob
import json
import os
import random
import shutil
import sys
import time

from kills import finish, start, strike

KILLS, SEED = int(sys.argv[1]), int(sys.argv[2])
STEPS = 60


TEACHERS = {"live": ["teacher.source=live", "teacher.weights=teacher.hf"],
            "stored": ["teacher.source=dataset", "teacher.dataset=stored"]}
WAYS = [(1, "live"), (2, "stored"), (2, "live"), (1, "stored")]


def train(folder, way):
    tp, teacher = way
    return start(2, "train", "deck.yaml", "output.dir=" + folder,
                 f"train.length={STEPS}", "checkpoint.every=3",
                 f"student.tp={tp}", "eval.every=20", *TEACHERS[teacher],
                 f"capture.dir={folder}/logits",
                 "capture.window_start=10", "capture.window_length=40",
                 "capture.shard_rows=64")


def same_logits(a, b):
    """The bits of a and b are the same, and all hashes of b match."""
    for words in (("diff", a, b), ("verify", b)):
        status, err = finish(start(1, "logits", *words))
        assert status == 0, err


def metrics(folder):
    """Lines of steps and evaluations, without times."""
    with open(folder + "/metrics.jsonl") as f:
        lines = [json.loads(x, parse_float=str) for x in f]
    kept = [{k: v for k, v in x.items() if not k.endswith("_s")}
            for x in lines if x["kind"] in ("train", "eval")]
    assert sum(x["kind"] == "train" for x in kept) == STEPS, folder
    return kept


def checkpoints(folder):
    """Identities of the files of published checkpoints, which must never change."""
    out = {}
    for path in glob.glob(folder + "/checkpoints/step-*/*"):
        s = os.stat(path)
        out[path] = (s.st_ino, s.st_mtime_ns, s.st_size)
    return out


@functools.cache
def undisturbed(way):
    """Metrics of a run that is not killed, and its seconds."""
    since = time.monotonic()
    status, err = finish(train("whole-%d-%s" % way, way))
    assert status == 0, err
    return metrics("whole-%d-%s" % way), time.monotonic() - since


def main():
    rng, began = random.Random(SEED), time.monotonic()
    status, err = finish(start(2, "capture", "deck.yaml",
                               "teacher.weights=teacher.hf",
                               "capture.dir=stored", "capture.rows=96"))
    assert status == 0, err
    n, n_runs, n_met, known = 0, 0, 0, {}
    while n < KILLS or known:
        way = WAYS[(SEED + n_runs) % len(WAYS)]
        want, length = undisturbed(way)
        job = train("struck", way)
        if n < KILLS:
            time.sleep(rng.uniform(0.2, 0.9) * length)
            strike(job, rng)
            n += 1
        status, err = finish(job)
        assert status != 73, f"kill {n}: locked: {err[:600]}"
        assert "checkpoints/step-" not in err, f"kill {n}: {err[:600]}"
        now = checkpoints("struck")
        for path in now.keys() & known.keys():
            assert now[path] == known[path], f"kill {n}: {path} changed"
        assert now or not known, f"kill {n}: no checkpoint is left"
        n_met += bool(known)
        known = now
        if status == 0:
            assert metrics("struck") == want, f"kill {n}: other metrics"
            same_logits("whole-%d-%s/logits" % way, "struck/logits")
            shutil.rmtree("struck")
            known, n_runs = {}, n_runs + 1
    print(f"{KILLS} kills of train: {n_met} starts from a checkpoint, {n_runs} "
          f"runs ended with the undisturbed metrics; "
          f"{time.monotonic() - began:.0f} s")
    assert n_met > 0 and n_runs > 0, "no kill came after a checkpoint"


if __name__ == "__main__":
    main()
