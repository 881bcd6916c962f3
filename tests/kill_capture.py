#!/usr/bin/env python3
"""Kill `retort capture` at random times; run by tests/scripts/script_kill_capture.sh.

  kill_capture.py KILLS SEED

The current folder has deck.yaml and teacher.hf.  Each run has 1 to 3 ranks, of which
one or all are killed.  After each kill, the sealed shards of before must still be the
same files, and new ones must have the contents of an undisturbed capture.  When a
capture finishes, it is verified and the next one begins.
"""
import glob
import json
import os
import random
import shutil
import subprocess
import sys
import time

import h5py
from kills import RETORT, finish, start, strike

KILLS, SEED = int(sys.argv[1]), int(sys.argv[2])
FIELDS = ("record_ptr", "row_xxh3", "tables", "records")


def capture(folder, ranks):
    return start(ranks, "capture", "deck.yaml", "teacher.weights=teacher.hf",
                 "capture.shard_rows=8", "capture.rows=400",
                 "capture.dir=" + folder)


def sealed(folder):
    """{name: identity of the file} of the sealed shards."""
    out = {}
    for path in glob.glob(folder + "/shard-*.h5"):
        s = os.stat(path)
        assert os.path.exists(path + ".seal"), path + " has no seal"
        out[os.path.basename(path)] = (s.st_ino, s.st_mtime_ns, s.st_size)
    return out


def contents(path):
    with h5py.File(path, "r") as f:
        return {name: f[name][()].tobytes() for name in FIELDS}


def is_complete(folder):
    """A kill after the last manifest was written leaves a finished capture."""
    try:
        with open(folder + "/manifest.json") as f:
            return json.load(f)["complete"]
    except FileNotFoundError:
        return False


def verify(folder):
    """retort accepts all sealed shards, and reports an unfinished capture."""
    job = subprocess.run([RETORT, "logits", "verify", folder],
                         capture_output=True, text=True)
    assert job.returncode == 0, job.stderr
    unfinished = "the capture is unfinished" in job.stdout
    assert unfinished != is_complete(folder), job.stdout


def complete(folder, want):
    """retort accepts the finished dataset, and no shard is missing."""
    verify(folder)
    assert len(sealed(folder)) == len(want), "shards are missing"


def main():
    rng = random.Random(SEED)
    began = time.monotonic()
    status, err = finish(capture("whole", 2))
    length = time.monotonic() - began
    assert status == 0, err
    want = {s: contents("whole/" + s) for s in sealed("whole")}
    complete("whole", want)
    known, kept, finished, early = {}, 0, 0, 0
    for i in range(KILLS):
        job = capture("killed", rng.randint(1, 3))
        time.sleep(rng.uniform(0.2, 0.9) * length)
        strike(job, rng)
        status, err = finish(job)
        assert status != 73, f"kill {i}: locked: {err[:600]}"
        now = sealed("killed")
        for name, file in known.items():
            assert now.get(name) == file, f"kill {i}: {name} was not kept"
        for name in now.keys() - known.keys():
            assert contents("killed/" + name) == want[name], \
                f"kill {i}: {name} has other contents"
        early += not now
        kept += len(known)
        known = now
        if os.path.exists("killed/manifest.json"):
            verify("killed")
        if is_complete("killed"):
            complete("killed", want)
            shutil.rmtree("killed")
            known, finished = {}, finished + 1
    status, err = finish(capture("killed", 3))
    assert status == 0, err
    complete("killed", want)
    for name, was in want.items():
        assert contents("killed/" + name) == was, name + " differs at the end"
    print(f"{KILLS} kills: {kept} sealed shards met again, all kept; "
          f"{finished + 1} captures finished, {early} kills before any shard; "
          f"{time.monotonic() - began:.0f} s")
    assert kept > 0, "no kill came after a shard: nothing was tested"


if __name__ == "__main__":
    main()
