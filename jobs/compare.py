#!/usr/bin/env python3
"""A table and a plot of several training runs, side by side.

  jobs/compare.py OUT [--title TEXT] [--teacher FOLDER] NAME=RUN[,DATASET] ...

RUN is an output.dir with metrics.jsonl and eval.json (retort eval); DATASET the
logit dataset it read; the teacher's FOLDER has an eval.json on the same rows.
Prints the table, writes OUT.json, OUT.dat and, with gnuplot, OUT.png: held-out
loss against tokens.  Lines are the evaluations of the runs while they trained,
dots at their ends and the numbers beside the names are those of the table.
"""
import argparse
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


def read_eval(run):
    with open(os.path.join(run, "eval.json")) as f:
        return json.load(f)


def read_run(name, run, dataset):
    with open(os.path.join(run, "metrics.jsonl")) as f:
        lines = [json.loads(line) for line in f]
    train = [x for x in lines if x["kind"] == "train"]
    curve = [(train[x["step"] - 1]["tokens"], x["loss"])
             for x in lines if x["kind"] == "eval" and x["step"] > 0]
    times = [b["time_s"] - a["time_s"] for a, b in zip(train, train[1:])]
    result = read_eval(run)
    result.update(name=name, run=run, curve=curve,
                  tokens_evaluated=result["tokens"], tokens=train[-1]["tokens"],
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


def quoted(text):
    return '"' + text.replace("\\", "").replace('"', "'") + '"'


def write_curves(runs, teacher, out):
    """Blocks of two: what a run measured, and what the table says."""
    last = max(r["tokens"] for r in runs)
    with open(out + ".dat", "w") as f:
        for r in runs:
            f.write(quoted(f"{r['name']}: {r['loss']:.4f}") + "\n")
            f.writelines(f"{tokens} {loss}\n" for tokens, loss in r["curve"])
            f.write(f"\n\nend\n{r['tokens']} {r['loss']}\n\n\n")
        if teacher:
            f.write(quoted(f"teacher: {teacher['loss']:.4f}") + "\n")
            f.write(f"0 {teacher['loss']}\n{last} {teacher['loss']}\n")


def plot(runs, teacher, title, out):
    write_curves(runs, teacher, out)
    if shutil.which("gnuplot") is None:
        print("gnuplot is not installed: no plot")
        return
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                          "loss.gp")
    subprocess.run(["gnuplot", "-e", f"out={quoted(out)}; n={len(runs)}; "
                    f"heading={quoted(title)}; taught={int(bool(teacher))}",
                    script], check=True)


def main():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("out", metavar="OUT")
    ap.add_argument("--title", default="Held-out loss of students")
    ap.add_argument("--teacher", metavar="FOLDER")
    ap.add_argument("runs", metavar="NAME=RUN[,DATASET]", nargs="+")
    args = ap.parse_args()
    runs = []
    for arg in args.runs:
        name, equals, folders = arg.partition("=")
        if not equals:
            ap.error(f"{arg}: expected NAME=RUN or NAME=RUN,DATASET")
        run, _, dataset = folders.partition(",")
        runs.append(read_run(name, run, dataset))
    teacher = read_eval(args.teacher) if args.teacher else None
    if teacher and any(r["tokens_evaluated"] != teacher["tokens"] for r in runs):
        sys.exit(f"{args.teacher}/eval.json: {teacher['tokens']} tokens, "
                 f"students were evaluated on {[r['tokens_evaluated'] for r in runs]}: "
                 "give each `retort eval` the same eval.rows")
    print_table(runs + ([dict(teacher, name="teacher")] if teacher else []))
    with open(args.out + ".json", "w") as f:
        json.dump(runs, f, indent=1)
    plot(runs, teacher, args.title, args.out)


if __name__ == "__main__":
    main()
