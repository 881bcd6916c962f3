#!/bin/bash
# Training end to end: the loss falls and is the same on every layout; held-out
# measures, export, bad steps.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# --- the loss falls
expect 0 1 train deck.yaml output.dir=one train.length=60 eval.every=30
metrics one >losses.txt
[ "$(wc -l <losses.txt)" = 60 ] || fail "metrics do not have 60 steps"
"$PYTHON" - <<'PY' || fail "the loss does not fall by 1 nat"
import sys
loss = [float(line.split()[1]) for line in open("losses.txt")]
print(f"loss {loss[0]:.3f} -> {loss[-1]:.3f}")
sys.exit(not loss[-1] < loss[0] - 1.0)
PY
says out.txt "step 60/60 100.0% loss "
says out.txt "tok/s"
says out.txt "ETA"
grep -qE '^total .* 100\.0 %$' out.txt || fail "the end table has no 100.0 %"
[ "$(grep -c '"kind": *"eval"' one/metrics.jsonl)" = 2 ] ||
  fail "not two evaluations in the metrics"
says one/deck.yaml "length"

# --- each start logs ranks and first step, each end where time went; time and log
# continue over restarts
LOG="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2} "
mv out.txt first.txt
SLURM_JOB_ID=17 expect 0 2 train deck.yaml output.dir=one train.length=62 \
  checkpoint.allow_change='[train.length]'
"$PYTHON" - <<'PY' || fail "records of starts and ends"
import json
lines = [json.loads(x) for x in open("one/metrics.jsonl")]
a, b = [x for x in lines if x["kind"] == "start"]
assert lines[0] is a and a["step"] == 0 and a["ranks"] == 1, a
assert b["step"] == 60 and b["ranks"] == b["dp"] == 2, b
assert b["tp"] == b["hosts"] == b["threads"] == 1 and b["job_id"] == "17", b
assert b["version"] and b["commit"] and b["date"].endswith("Z"), b
one, two = [x for x in lines if x["kind"] == "end"]
assert lines[-1] is two and two["step"] == 62, two
least, average, most = two["student forward"]
assert 0 < least <= average <= most, two
times = [x["time_s"] for x in lines if "time_s" in x]
assert times == sorted(times) and a["time_s"] == 0, times
assert b["time_s"] == one["time_s"] > 0, (one, b)
PY
"$PYTHON" - <<'PY' || fail "the log is not what was printed"
import re
stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d "
strip = lambda x: re.sub("^" + stamp, "", x)
log = [strip(x) for x in open("one/retort.log")]
said = [strip(x) for f in ("first.txt", "out.txt") for x in open(f)]
assert [x for x in log if not x.startswith("retort: ")] == said
PY
grep -qE "$LOG""step 62/62 100.0% loss " out.txt || fail "no time in a line"
expect 78 1 train deck.yaml output.dir=one train.lr=1
says err.txt "train.lr"
says one/retort.log "retort: error: "
says one/retort.log "train.lr"
[ "$(wc -l <err.txt)" -gt 1 ] || fail "the error has one line only"
grep -vqE "$LOG" one/retort.log && fail "lines without a time in the log"
cp first.txt out.txt

# --- speed: tokens/s in total and per rank, FLOP/s, and their share of a peak that is
# given or measured once per machine and layout
says out.txt "per rank by GEMM, measured now, cached in $XDG_CACHE_HOME/retort/number-"
expect 0 1 train deck.yaml train.length=1 eval.rows=0
says out.txt "per rank by GEMM, measured before, cached in $XDG_CACHE_HOME/retort/number-"
for number in "$XDG_CACHE_HOME"/retort/number-*; do
  printf 'damaged' >"$number"
done
expect 0 1 train deck.yaml train.length=1 eval.rows=0
says out.txt "per rank by GEMM, measured now"

# no run is faster than the peak: one that was measured on a busy machine is
# measured again, once, and one that is given is not taken for true
no_more() { # than 100 % MFU
  grep -oE '[0-9.]+% MFU' "$1" | awk '$1 + 0 > 100 { exit 1 }' ||
    fail "$(grep -m 1 MFU "$1")"
}
faster=(train deck.yaml train.length=12 eval.rows=0)
sed -i '2s/.*/1e-06/' "$XDG_CACHE_HOME"/retort/number-*
expect 0 1 "${faster[@]}"
no_more out.txt
[ "$(grep -c "measured again, because this run reached" out.txt)" = 1 ] ||
  fail "$(grep peak out.txt)"
expect 0 1 "${faster[@]}"
grep -q "measured again" out.txt && fail "what was measured again was not kept"
expect 0 2 "${faster[@]}" run.peak_gflops=1e-6
no_more out.txt
[ "$(grep -c "run.peak_gflops is 1e-06, but a rank of this run" err.txt)" = 1 ] ||
  fail "$(grep peak_gflops err.txt)"
expect 0 2 plan deck.yaml
grep "^work" out.txt >work.txt
expect 0 2 train deck.yaml train.length=4 eval.rows=0 run.peak_gflops=10
says out.txt "peak       10.0 GFLOP/s per rank (run.peak_gflops)"
"$PYTHON" - <<'PY' || fail "the numbers of a line do not fit together"
import re
flop = float(re.search(r"work +([\d.e+]+) FLOP a step", open("work.txt").read())[1])
line = [x for x in open("out.txt") if " step 4/4 " in x][0]
tokens, each, tflops, mfu = (float(x.replace(",", "")) for x in re.search(
    r" ([\d,]+) tok/s \(([\d,]+) a rank\) (\S+) TFLOP/s ([\d.]+)% MFU", line).groups())
print(line, flop)
assert abs(each - tokens / 2) < 1, line
assert abs(tokens / (8 * 16) * flop * 1e-12 / tflops - 1) < 0.02, line
assert abs(tflops * 1e3 / (2 * 10) * 100 - mfu) < 0.1 + 0.01 * mfu, line
PY
mv first.txt out.txt
grep -q $'\r' out.txt && fail "carriage returns in the output"

# --- other layouts give the same; live and stored teachers
expect 0 1 train deck.yaml output.dir=base
expect 0 2 train deck.yaml output.dir=dp
close_to base dp
expect 0 2 train deck.yaml output.dir=tp student.tp=2
close_to base tp
make_teacher
live=(teacher.source=live teacher.weights=teacher.hf)
expect 0 1 train deck.yaml output.dir=live "${live[@]}"
says out.txt " kd "
expect 0 2 train deck.yaml output.dir=live2 student.tp=2 "${live[@]}"
close_to live live2

# --- the full vocabulary equals sparse entries with top_p 1, for both kinds of loss;
# cross-entropy is not reported as KL; keys without effect are reported
for kind in kld nll; do
  all=("${live[@]}" "loss.kind=$kind" train.length=4 eval.rows=0)
  expect 0 2 train deck.yaml "output.dir=full-$kind" "${all[@]}" \
    teacher.target=full teacher.top_k=7
  says err.txt "teacher.top_k is given, but not used: teacher.target is full"
  expect 0 2 train deck.yaml "output.dir=all-$kind" "${all[@]}" \
    teacher.top_p=1 teacher.top_k=64
  close_to "full-$kind" "all-$kind"
done
"$PYTHON" - <<'PY' || fail "nll is not the kld plus the teacher's entropy"
import json, sys
def kd(run):
    return [x["kd"] for x in map(json.loads, open(f"{run}/metrics.jsonl"))
            if x["kind"] == "train"][0]
print(f"kd: nll {kd('full-nll'):.3f}, kld {kd('full-kld'):.3f}")
sys.exit(not (0.5 < kd("full-nll") - kd("full-kld") < 4.2))
PY
expect 0 1 train deck.yaml train.length=1 teacher.dataset=nowhere loss.tau=2
says err.txt "teacher.dataset is given, but not used: teacher.source is not"
says err.txt "loss.tau is given, but not used: teacher.source is none"

# --- `retort eval` gives the same held-out measures as the run
expect 0 2 eval deck.yaml output.dir=base student.tp=2 eval.logits_out=z.f32
[ "$(stat -c %s z.f32)" = $((9 * 16 * 64 * 4)) ] || fail "size of z.f32"
expect 73 2 eval deck.yaml output.dir=base eval.logits_out=z.f32
says err.txt "z.f32 exists: choose another name, or remove it"
expect 0 2 eval deck.yaml output.dir=live eval.teacher=true \
  teacher.weights=teacher.hf
says out.txt "KL(teacher, student)"
"$PYTHON" - <<'PY' || fail "retort eval and the run's last evaluation differ"
import json, sys
def last(run):
    return [x for x in map(json.loads, open(f"{run}/metrics.jsonl"))
            if x["kind"] == "eval"][-1]
def again(run):
    return json.load(open(f"{run}/eval.json"))
worst = max(abs(last(r)["loss"] - again(r)["loss"]) for r in ("base", "live"))
print(f"largest difference {worst:.1e}; KL {again('live')['kl']:.3f}")
sys.exit(not (worst < 1e-5 and again("live")["kl"] > 0.0))
PY

# --- plot and table of runs show the same numbers, also for the teacher
for run in base live; do
  expect 0 2 eval deck.yaml output.dir=$run eval.rows=0
done
expect 0 2 eval deck.yaml output.dir=taught student.weights=teacher.hf \
  eval.rows=0
compare=$here/../jobs/compare.py
"$PYTHON" "$compare" plotted --teacher taught --title "it's 'a' title" \
  "no teacher=base" live=live >table.txt || fail "no comparison"
"$PYTHON" - <<'PY' || fail "the plot has other numbers than the table"
import json
loss = {r: json.load(open(r + "/eval.json"))["loss"]
        for r in ("base", "live", "taught")}
blocks = open("plotted.dat").read().split("\n\n\n")
for name, run, i in (("no teacher", "base", 0), ("live", "live", 2),
                     ("teacher", "taught", 4)):
    assert blocks[i].startswith(f'"{name}: {loss[run]:.4f}"\n'), blocks[i]
    end = blocks[i + 1 if i < 4 else i].split("\n")[1 if i < 4 else -2]
    assert float(end.split()[1]) == loss[run], (name, end)
    row = [x for x in open("table.txt") if x.startswith(name)][-1]
    assert f" {loss[run]:.4f} " in row, row
PY
if command -v gnuplot >/dev/null && ! [ -s plotted.png ]; then
  fail "no plot"
fi
expect 0 1 eval deck.yaml output.dir=taught student.weights=teacher.hf \
  eval.rows=3
"$PYTHON" "$compare" plotted --teacher taught live=live 2>err.txt >&2 &&
  fail "a teacher of other rows is compared"
says err.txt "same eval.rows"

# --- the saved deck of a finished run is not rewritten
cp base/deck.yaml of_base.yaml
expect 0 2 train deck.yaml output.dir=base train.lr=0.5 \
  checkpoint.allow_change='[train.lr]'
cmp base/deck.yaml of_base.yaml || fail "a finished run's deck is another one"
rm base/deck.yaml
expect 0 2 train deck.yaml output.dir=base
[ -f base/deck.yaml ] || fail "a deck that is missing is not made"

# --- a bad step: no update, and the rows are named
expect 76 2 train deck.yaml output.dir=bad train.lr=100 train.weight_decay=10 \
  train.lr_warmup=0 train.length=40 checkpoint.every=1
says err.txt "rows of the training stream"
says err.txt "nothing was updated"
bad_step=$(grep -o 'step [0-9]*: loss' err.txt | head -n 1 | grep -o '[0-9]*')
newest=$(cd bad/checkpoints && echo step-* | awk '{print $NF}')
[ "$((10#${newest#step-}))" = "$((bad_step - 1))" ] ||
  fail "bad step $bad_step, newest checkpoint $newest"
# with this factor each step after the first counts as a spike
expect 76 1 train deck.yaml output.dir=spikes train.spike_factor=1e-3 \
  train.on_bad_step=skip train.max_skips=2
says err.txt "train.max_skips"
[ "$(grep -c 'skipped: loss' err.txt)" = 2 ] || fail "not two skipped steps"

# --- export: no other folder is touched, an existing one is not overwritten
mkdir given.tmp
touch given.tmp/mine
expect 0 1 export base given/
[ -f given/config.json ] || fail "no export in given/"
[ -f given.tmp/mine ] || fail "export removed a folder that is not its own"
[ -z "$(ls -d given.retort* given/.[a-z]* 2>/dev/null)" ] ||
  fail "export left a temporary folder"
expect 73 1 export base given

# --- student.config replaces the shape in the deck, and the output says so
expect 0 2 train deck.yaml student.config=base/config.json student.width=64 \
  train.length=1
says err.txt "not student.width 64 (it has 32)"
[ "$(grep -c "it has" err.txt)" = 1 ] || fail "told more than once"

# --- weights that do not fit config.json, or are not finite, are rejected
"$PYTHON" - <<'PY' || fail "cannot make odd teachers"
import json, shutil, struct
def odd(name, change_config=None, tensor=None, value=None):
    shutil.copytree("teacher.hf", name)
    if change_config:
        config = json.load(open(name + "/config.json"))
        config.update(change_config)
        json.dump(config, open(name + "/config.json", "w"))
    if tensor:
        data = bytearray(open(name + "/model.safetensors", "rb").read())
        n = 8 + struct.unpack("<Q", data[:8])[0]
        at = n + json.loads(data[8:n])[tensor]["data_offsets"][0]
        data[at:at + 4] = struct.pack("<f", value)
        open(name + "/model.safetensors", "wb").write(data)
odd("chopped", {"num_hidden_layers": 1})
odd("nan", tensor="model.norm.weight", value=float("nan"))
odd("large", tensor="model.norm.weight", value=3e38)
PY
expect 65 2 train deck.yaml "${live[@]}" teacher.weights=chopped
says err.txt "has a tensor model.layers.1."
expect 65 2 train deck.yaml "${live[@]}" teacher.weights=nan
says err.txt "model.norm.weight holds NaN"
expect 65 2 train deck.yaml "${live[@]}" teacher.weights=large
says err.txt "the teacher's logits of row"
expect 65 2 capture deck.yaml teacher.weights=large capture.dir=large.logits
says err.txt "the teacher's logits of row"
expect 76 2 eval deck.yaml output.dir= student.weights=large
says err.txt "the loss is NaN: the model's logits"
expect 76 2 eval deck.yaml output.dir= student.weights=teacher.hf eval.teacher=true \
  teacher.weights=large
says err.txt "the KL is NaN: the teacher's logits"

# --- paths of over 256 bytes
long=$(printf 'w%.0s' {1..200})
expect 0 2 train deck.yaml "output.dir=$long/$long" train.length=2
expect 0 2 train deck.yaml "output.dir=$long/$long" train.length=2
says out.txt "resumed at step 2 of 2"

# --- a teacher with another tokenizer
mkdir words
echo '{"words": 1}' >words/tokenizer.json
cp -r teacher.hf other-words
echo '{"words": 2}' >other-words/tokenizer.json
expect 78 2 train deck.yaml "${live[@]}" data.tokenizer=words \
  teacher.weights=other-words
says err.txt "holds another tokenizer"
cp words/tokenizer.json other-words
expect 0 2 train deck.yaml "${live[@]}" data.tokenizer=words \
  teacher.weights=other-words train.length=1

# --- without output.dir no file is written
before=$(ls)
expect 0 1 train deck.yaml train.length=2
says out.txt "output.dir is not set"
[ "$before" = "$(ls)" ] || fail "a run without output.dir left files"
finish
