#!/usr/bin/env python3
"""Let one write fail, in every place; run by tests/scripts/script_write_sweep.sh.

  sweep_writes.py TRIALS SEED      TRIALS: a number of random trials, spread
                                   evenly over the cases; or "all"; or "chosen"

The current folder has deck.yaml, teacher.hf and fail_write.so.  In each trial the n-th call
that changes the output of a command fails, once or from then on, on one rank or on
all.  The command must exit with 0 and the contents of an undisturbed run, or within
10 s with an error that names a path.  The same command, when nothing fails any more,
must then exit with 0 and these contents.
"""
import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from glob import glob
from itertools import product

from kills import MPIRUN, RETORT, finish

HERE = os.getcwd()
REASONS = ("EIO", "ENOSPC", "EDQUOT", "ESTALE", "EINTR", "EROFS", "short", "lie")
FROM_THEN_ON = ("EIO", "ENOSPC")
MAX_CALLS = 60  # per rank; if it has more, evenly spread ones


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def files(folder, *left_out):
    """Contents of a file, or of all files in a folder."""
    if os.path.isfile(folder):
        return {"": digest(folder)}
    found = {}
    for path in glob(folder + "/**", recursive=True):
        name = os.path.relpath(path, folder)
        # except drafts and locks that could not be removed
        if os.path.isfile(path) and ".tmp." not in name and \
                not os.path.basename(name).startswith("lock") and \
                name not in left_out:
            found[name] = digest(path)
    return found


def metrics(folder):
    """Every line, without times."""
    with open(folder + "/metrics.jsonl") as f:
        lines = [json.loads(x, parse_float=str) for x in f]
    return [{k: v for k, v in x.items() if not k.endswith("_s")}
            for x in lines if x["kind"] in ("train", "eval")]


def run_of(folder):
    return (metrics(folder), files(folder, "metrics.jsonl", "last_run",
                                   "heartbeat", "retort.log"))


def dataset_of(folder):
    """Check that the dataset is valid and bit-identical to the undisturbed one;
    returns nothing."""
    if folder.startswith("kept."):
        return []
    for words in (("verify", folder), ("diff", folder, "kept." + folder)):
        job = subprocess.run([RETORT, "logits", *words], capture_output=True,
                             text=True)
        assert job.returncode == 0, job.stdout + job.stderr
    return []


def window_of(folder):
    return (metrics(folder), dataset_of(folder + "/logits"))


CAPTURE = ("capture", "deck.yaml", "teacher.weights=teacher.hf",
           "capture.rows=16", "capture.shard_rows=8", "capture.dir={}")
TRAIN = ("train", "deck.yaml", "train.length=2", "checkpoint.every=1",
         "eval.rows=0", "checkpoint.keep_last=1", "output.dir={}")
# name of the output, ranks, command, how to compare
CASES = (
    ("capture.1", 1, CAPTURE, dataset_of),
    ("capture.2", 2, CAPTURE, dataset_of),
    ("capture.tp", 2, (*CAPTURE, "teacher.tp=2"),
     dataset_of),
    ("select.1", 1, ("logits", "select", "kept.capture.1", "{}"), dataset_of),
    ("select.2", 2, ("logits", "select", "kept.capture.1", "{}"), dataset_of),
    ("train.1", 1, TRAIN, run_of),
    ("train.2", 2, TRAIN, run_of),
    ("train.tp", 2, (*TRAIN, "student.tp=2"), run_of),
    ("window.2", 2, (*TRAIN, "capture.window_start=1", "capture.dir={}/logits",
                     "capture.window_length=1", "capture.shard_rows=2"),
     window_of),
    ("hf", 1, ("export", "kept.train.1", "{}"), files),
    ("npy", 1, ("logits", "export", "kept.capture.1", "{}"), files),
    ("lines.jsonl", 1, ("logits", "export", "kept.capture.1", "{}"), files),
    ("z.f32", 2, ("eval", "deck.yaml", "output.dir=kept.train.2",
                  "eval.rows=4", "student.tp=2", "eval.logits_out={}"), files),
)

FIRST, MIDDLE = 0, 0.5
# writes whose failure once had a wrong result: case, file, rank, which of the rank's
# writes to that file, how it fails
CHOSEN = (
    ("capture.1", "shard-000000.h5", 0, FIRST, "EIO"),
    ("capture.1", "shard-000001.h5", 0, MIDDLE, "ENOSPC"),
    ("capture.2", "shard-000001.h5", 1, FIRST, "short"),
    ("capture.tp", "shard-000000.h5", 0, MIDDLE, "EINTR"),
    ("select.1", "shard-000000.h5", 0, FIRST, "EIO"),
    ("select.2", "shard-000001.h5", 1, MIDDLE, "ENOSPC"),
    ("train.1", "state.h5", 0, FIRST, "EIO"),
    ("train.1", "state.h5", 0, MIDDLE, "short"),
    ("train.2", "state.h5", 0, FIRST, "ENOSPC"),
    ("train.2", "state.h5", 1, MIDDLE, "EIO"),
    ("train.tp", "state.h5", 1, FIRST, "EIO"),
    ("train.tp", "state.h5", 0, MIDDLE, "ENOSPC"),
    ("hf", "model.safetensors", 0, FIRST, "EIO"),
    ("hf", "model.safetensors", 0, MIDDLE, "ENOSPC"),
    ("window.2", "shard-000000.h5", 0, FIRST, "EIO"),
    ("npy", "npy", 0, MIDDLE, "EIO"),
    ("lines.jsonl", "lines.jsonl", 0, FIRST, "ENOSPC"),
    ("z.f32", "z.f32", 1, MIDDLE, "EIO"),
)


def command(case):
    return [word.replace("{}", case[0]) for word in case[2]]


def remove(name):
    for path in [name, *glob(name + ".tmp.*")]:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)


def tried(case, **options):
    """Exit code, message and seconds of the command."""
    began = time.monotonic()
    options = {"LD_PRELOAD": HERE + "/fail_write.so", "FAIL_IN": case[0], **options}
    job = subprocess.Popen(  # mpirun itself must not fail
        [*MPIRUN, "-np", str(case[1]), "env",
         *(f"{k}={v}" for k, v in options.items()), RETORT, *command(case)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True)
    status, err = finish(job)
    return status, err, time.monotonic() - began


def undisturbed(case):
    """Run the case without failures and keep the result; returns the calls of each
    rank, and seconds."""
    name = case[0]
    status, err, seconds = tried(case, FAIL_COUNT=HERE + "/count")
    assert status == 0, err
    with open("count") as f:
        lines = [line.split() for line in f if line[0] != " "]
    os.remove("count")
    counted = {int(x[0]): int(x[1]) for x in lines if len(x) == 2}
    seen = [(int(x[0]), x[2], x[3]) for x in lines if len(x) > 2]
    if name[-4:] == ".f32":
        os.rename(name, "kept." + name)
    else:
        shutil.move(name, "kept." + name)
    return counted, seen, seconds


def trial(case, want, rank, n, how, once, part=""):
    """True if the command failed.  n counts calls on paths that contain part, or on
    any output."""
    name, contents = case[0], case[3]
    options = {"FAIL_AT": str(n), "FAIL_RANK": str(rank),
               "FAIL_HOW": str(getattr(errno, how, how))}
    if once:
        options["FAIL_ONCE"] = "1"
    if part:
        options["FAIL_IN"] = part
    what = f"{name} {part}: call {n} of rank {rank}: {how}" + ("" if once else " on")
    remove(name)
    try:
        status, err, seconds = tried(case, **options)
        # a checkpoint on the way is warned of
        assert status != 0 or not part or how not in FROM_THEN_ON or \
            "Training goes on" in err, "ended with 0"
        if status != 0:
            trial.most_s = max(trial.most_s, seconds - want["seconds"])
            assert seconds < 10 + want["seconds"], \
                f"{seconds:.0f} s to the end, undisturbed it takes " \
                f"{want['seconds']:.0f}"
            assert status in (74, 77 if how == "EROFS" else 74), \
                f"exit {status}: {err[:800]}"
            assert name in err, f"no path is named: {err[:800]}"
            if name.startswith("select") or not os.path.isdir(name):
                remove(name)
            code, err, _ = tried(case, FAIL_IN="")
            assert code == 0, f"again: exit {code}: {err[:800]}"
        got = contents(name)
        assert got == want["contents"], "other contents: " + \
            f"{got}, {want['contents']}, status {status}"[:3000]
    except AssertionError as e:
        print(f"FAIL: {what}: {e}", flush=True)
        trial.n_bad += 1
        return False
    return status != 0


trial.n_bad = 0
trial.most_s = 0.0  # largest delay of an error after the undisturbed end


def all_trials(wants):
    """(case, rank, call, how, once) for all calls of all ranks."""
    for case in CASES:
        for rank, n in wants[case[0]]["calls"].items():
            calls = sorted({n * i // MAX_CALLS for i in range(MAX_CALLS)}
                           if n > MAX_CALLS else range(n))
            for i, how in product(calls, REASONS):
                yield case, rank, i + 1, how, True
                if how in FROM_THEN_ON:
                    yield case, rank, i + 1, how, False


def chosen_trials(wants):
    """The same for the trials in CHOSEN, with the part of the path."""
    cases = {case[0]: case for case in CASES}
    for name, part, rank, where, how in CHOSEN:
        calls = [call for r, call, path in wants[name]["seen"]
                 if r == rank and part in path]
        writes = [i for i, call in enumerate(calls) if "write" in call]
        assert writes, f"{name}: rank {rank} does not write to {part}: {calls}"
        at = writes[int(where * len(writes))]
        yield cases[name], rank, at + 1, how, True, part


def main():
    rng, began = random.Random(int(sys.argv[2])), time.monotonic()
    wants = {}
    for case in CASES:
        calls, seen, seconds = undisturbed(case)
        kept = "kept." + case[0]
        wants[case[0]] = {"calls": calls, "seen": seen, "seconds": seconds,
                          "contents": case[3](kept)}
    trials = list(all_trials(wants))
    n_all = len(trials)
    if sys.argv[1] == "chosen":
        trials = list(chosen_trials(wants))
    elif sys.argv[1] != "all":
        # the same number for each case
        rng.shuffle(trials)
        of = {case[0]: [t for t in trials if t[0] is case] for case in CASES}
        each = -(-int(sys.argv[1]) // len(CASES))
        trials = [t for name in of for t in of[name][:each]]
    n_failed = sum(trial(case, wants[case[0]], *rest) for case, *rest in trials)
    print(f"{len(trials)} of {n_all} writes that fail: {n_failed} ended with an "
          f"error and came right, {trial.n_bad} bad, up to "
          f"{trial.most_s:.1f} s late; "
          f"{time.monotonic() - began:.0f} s")
    assert n_failed > len(trials) // 8, "hardly a write failed"
    sys.exit(trial.n_bad > 0)


if __name__ == "__main__":
    main()
