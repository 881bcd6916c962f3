#!/bin/bash
# Paths in a deck: from another folder, after an upgrade, and with changed contents.
#   tests/scripts/script_places.sh [RETORT]
RETORT=${1:-${RETORT:-build/bin/retort}}
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

small=(train.batch_rows=2 eval.rows=0 train.length=4 checkpoint.every=2)
both=(checkpoint.allow_change=train.length)

# --- a run that an older version put under the working directory is not started again
# in the deck's folder
mkdir decks
sed "s|corpus.u16|$work/corpus.u16|" deck.yaml >decks/run.yaml
sed -i 's|^output: {|output: {dir: runs/a, |' decks/run.yaml
printf 'capture: {dir: runs/logits}\n' >>decks/run.yaml
expect 0 1 train decks/run.yaml "${small[@]}" output.dir=runs/a
expect 78 1 train decks/run.yaml "${small[@]}"
says err.txt "runs/a/checkpoints exists in the working directory"
says err.txt "give output.dir=runs/a on the command line"
[ -e decks/runs ] && fail "a refused run made its folder"
expect 0 1 train decks/run.yaml "${small[@]}" train.length=6 "${both[@]}" \
  output.dir=runs/a
says out.txt "resumed at step 4"
expect 0 1 export runs/a teacher.hf
rows=(teacher.weights=teacher.hf capture.rows=4)
expect 0 1 capture decks/run.yaml "${rows[@]}" capture.dir=runs/logits
expect 78 1 capture decks/run.yaml "${rows[@]}"
says err.txt "runs/logits/manifest.json exists in the working directory"
mv runs elsewhere
expect 0 1 train decks/run.yaml "${small[@]}"
[ -d decks/runs/a/checkpoints ] || fail "output.dir is not in the deck's folder"

# --- a printed deck, and the paths in a checkpoint, work from any folder
mkdir words other other/words
echo '{"model": {"vocab": {"a": 0}}}' >words/tokenizer.json
echo '{"model": {"vocab": {"b": 0}}}' >other/words/tokenizer.json
expect 0 1 train --print-config deck.yaml "${small[@]}" data.tokenizer=words \
  output.dir=printed
cp out.txt other/printed.yaml
(cd other && launch 1 train printed.yaml && exit "$code") ||
  fail "a printed deck does not run from its folder: $(cat other/err.txt)"
[ -d printed/checkpoints ] || fail "a printed output.dir is another one"
(cd other && launch 1 export ../printed "$work/printed.hf" && exit "$code") ||
  fail "export from another folder: $(cat other/err.txt)"
cmp words/tokenizer.json printed.hf/tokenizer.json

# --- a tokenizer may be moved; another one under the same name is rejected
mv words moved
printed=(train deck.yaml "${small[@]}" train.length=6 "${both[@]}"
  output.dir=printed)
expect 78 1 "${printed[@]}" data.tokenizer=other/words
says err.txt "the tokenizer differs from that of the checkpoint (step 4 of printed)"
expect 0 1 "${printed[@]}" data.tokenizer=moved
says out.txt "resumed at step 4"

# --- a config.json with the same name and shape, but of another model
cp -r teacher.hf shape
model=(train deck.yaml "${small[@]}" student.config=shape output.dir=shaped)
expect 0 1 "${model[@]}"
sed -i 's/"rms_norm_eps": [^,]*/"rms_norm_eps": 0.5/' shape/config.json
expect 78 1 "${model[@]}" train.length=6 "${both[@]}"
says err.txt '"rms_norm_eps": 0.5'
says err.txt "Restore student.config"
cp teacher.hf/config.json shape/
sed -i 's/"eos_token_id": [^,]*/"eos_token_id": 5/' shape/config.json
expect 0 1 "${model[@]}" train.length=6 "${both[@]}"

# --- a teacher that is only used for evaluation may be added and removed
plain=(train deck.yaml "${small[@]}" eval.rows=4 output.dir=plain
  teacher.weights=teacher.hf)
expect 0 1 "${plain[@]}" eval.teacher=true
expect 0 1 "${plain[@]}" eval.teacher=false train.length=6 "${both[@]}"
says out.txt "resumed at step 4"

# --- brackets in the name of the deck's folder are not a pattern
mkdir 'exp[1]' exp1
head -c 20000 corpus.u16 >exp1/part_0.u16
cp corpus.u16 'exp[1]/part_0.u16'
sed 's/corpus.u16/"part_*.u16"/' deck.yaml >'exp[1]/deck.yaml'
expect 0 1 train 'exp[1]/deck.yaml' "${small[@]}" output.dir=bracket
n_rows=$(sed -n 's/^rows  *\([0-9]*\) .*/\1/p' out.txt)
[ "${n_rows:-0}" -gt 2000 ] || fail "$n_rows rows: the corpus of another folder"
expect 0 1 train bracket/deck.yaml train.length=6 "${both[@]}"

# --- nor do they turn the name of an absent file into one, here or later
sed 's/corpus.u16/part_0.u16/' deck.yaml >'exp[1]/one.yaml'
expect 0 1 train 'exp[1]/one.yaml' "${small[@]}" output.dir=one
mv 'exp[1]/part_0.u16' exp.u16
for deck in 'exp[1]/one.yaml' one/deck.yaml; do
  expect 66 1 train "$deck" "${small[@]}" output.dir=one
  says err.txt "exp[1]/part_0.u16"
done
mv exp.u16 'exp[1]/part_0.u16'
# a saved deck of earlier versions does not escape it
sed -i 's/\\\\\[1/[1/' one/deck.yaml
grep -qF '/exp[1]/part_0.u16' one/deck.yaml || fail "$(grep files: one/deck.yaml)"
expect 0 1 train one/deck.yaml "${small[@]}" train.length=6 "${both[@]}"
says out.txt "resumed at step 4"
finish
