#!/usr/bin/env python3
"""A table and a plot of several training runs, side by side.

  jobs/compare.py OUT NAME=RUN[,DATASET] ...

RUN is an output.dir with metrics.jsonl and eval.json (retort eval); DATASET the
logit dataset it read.  Prints the table, writes OUT.json, OUT.dat and, with
gnuplot, OUT.png (held-out loss against tokens).
"""
import json
import os
import shutil
import statistics
import subprocess
import sys

COLUMNS = [("valid loss", "loss", "{:.4f}"), ("perplexity", "ppl", "{:.2f}"),
           ("KL to teacher", "kl", "{:.4f}"), ("top-1", "top1", "{:.4f}"),
           ("ECE", "ece", "{:.4f}"), ("tokens/s", "tokens_per_s", "{:.0f}"),
           ("logit B/token", "bytes_per_token", "{:.1f}")]


def folder_bytes(folder):
    return sum(os.path.getsize(os.path.join(d, f))
               for d, _, files in os.walk(folder) for f in files)


def bytes_per_token(dataset):
    with open(os.path.join(dataset, "manifest.json")) as f:
        manifest = json.load(f)
    info = manifest.get("info", manifest)
    return folder_bytes(dataset) / (info["n_rows"] * info["seq"])


def read_run(name, run, dataset):
    with open(os.path.join(run, "metrics.jsonl")) as f:
        lines = [json.loads(line) for line in f]
    train = [x for x in lines if x["kind"] == "train"]
    curve = [(train[x["step"] - 1]["tokens"], x["loss"])
             for x in lines if x["kind"] == "eval" and x["step"] > 0]
    times = [b["time_s"] - a["time_s"] for a, b in zip(train, train[1:])]
    with open(os.path.join(run, "eval.json")) as f:
        result = json.load(f)
    result.update(name=name, run=run, curve=curve, tokens=train[-1]["tokens"],
                  tokens_per_s=train[0]["tokens"] / statistics.median(times))
    if dataset:
        result["bytes_per_token"] = bytes_per_token(dataset)
    return result


def print_table(runs):
    width = max(len(r["name"]) for r in runs)
    print(" " * width, *(head.rjust(13) for head, _, _ in COLUMNS))
    for r in runs:
        cells = (form.format(r[key]) if r.get(key) is not None else "-"
                 for _, key, form in COLUMNS)
        print(r["name"].ljust(width), *(c.rjust(13) for c in cells))


def plot(runs, out):
    with open(out + ".dat", "w") as f:
        for r in runs:
            f.write(f'"{r["name"]}"\n')
            f.writelines(f"{tokens} {loss}\n" for tokens, loss in r["curve"])
            f.write("\n\n")
    if shutil.which("gnuplot") is None:
        print("gnuplot is not installed: no plot")
        return
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                          "loss.gp")
    subprocess.run(["gnuplot", "-e", f"out='{out}'; n={len(runs)}", script],
                   check=True)


def main():
    if len(sys.argv) < 3 or any("=" not in a for a in sys.argv[2:]):
        sys.exit(__doc__)
    out, runs = sys.argv[1], []
    for arg in sys.argv[2:]:
        name, _, folders = arg.partition("=")
        run, _, dataset = folders.partition(",")
        runs.append(read_run(name, run, dataset))
    print_table(runs)
    with open(out + ".json", "w") as f:
        json.dump(runs, f, indent=1)
    plot(runs, out)


if __name__ == "__main__":
    main()
