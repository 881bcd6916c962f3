#!/bin/bash
# Vocabularies padded to different widths: padding has zero probability, whatever its
# weights are.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# pad FROM TO V: copy a Hugging Face folder, padding its vocabulary to V; the new rows
# would win by far if they counted
pad() {
  cp -r "$1" "$2"
  "$PYTHON" - "$2" "$3" <<'PY'
import json, struct, sys
import numpy as np

folder, vocab = sys.argv[1], int(sys.argv[2])
config = json.load(open(folder + "/config.json"))
old, config["vocab_size"] = config["vocab_size"], vocab
json.dump(config, open(folder + "/config.json", "w"))
path = folder + "/model.safetensors"
data = open(path, "rb").read()
n, = struct.unpack_from("<Q", data)
head, body, out, at = json.loads(data[8:8 + n]), data[8 + n:], b"", 0
for name, t in sorted((k, v) for k, v in head.items() if k != "__metadata__"):
    x = np.frombuffer(body[slice(*t["data_offsets"])], "<f4")
    x = x.reshape(t["shape"])
    if x.shape[0] == old:
        x = np.vstack([x, 9 * np.abs(x[:vocab - old])])
    t["shape"], t["data_offsets"] = list(x.shape), [at, at + x.nbytes]
    out, at = out + x.tobytes(), at + x.nbytes
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
open(path, "wb").write(struct.pack("<Q", len(text)) + text + out)
PY
}

make_teacher
pad teacher.hf wide.hf 88
true_v=(data.vocab=64)
stored=(teacher.source=dataset)
live=(teacher.source=live)

# --- capture: the entries of the teacher without padding, up to rounding
keep=(capture.rows=64 capture.shard_rows=16 capture.statistics=true)
expect 0 1 capture deck.yaml teacher.weights=teacher.hf capture.dir=plain \
  "${keep[@]}"
expect 0 2 capture deck.yaml teacher.weights=wide.hf capture.dir=padded \
  "${keep[@]}" "${true_v[@]}" teacher.tp=2
says padded/manifest.json '"vocab": 64'
says padded/manifest.json '"vocab_padded": 88'
for d in plain padded; do
  expect 0 1 train deck.yaml output.dir="stored-$d" "${stored[@]}" \
    teacher.dataset="$d"
done
close_to stored-plain stored-padded

# --- captured without knowing the true size: padding is removed once it is known, in
# training or by select.  All entries are stored, so that none is missing.
all=("${keep[@]}" capture.top_p=1 capture.top_k=88 capture.encoding=exact)
use_all=(teacher.top_p=1 teacher.top_k=64)
expect 0 1 capture deck.yaml teacher.weights=teacher.hf capture.dir=all-plain \
  "${all[@]}"
expect 0 1 capture deck.yaml teacher.weights=wide.hf capture.dir=all-padded \
  "${all[@]}"
says all-padded/manifest.json '"vocab": 88'
expect 0 2 logits select all-padded all-cut "${true_v[@]}"
says err.txt "includes padding and is omitted"
says all-cut/manifest.json '"vocab": 64'
says all-cut/manifest.json '"vocab_padded": 88'
expect 0 1 logits verify all-cut
expect 0 1 train deck.yaml output.dir=all-1 "${stored[@]}" "${use_all[@]}" \
  teacher.dataset=all-plain
expect 0 2 train deck.yaml output.dir=all-2 "${stored[@]}" "${use_all[@]}" \
  teacher.dataset=all-padded "${true_v[@]}"
says out.txt "those from data.vocab=64 on are dropped"
expect 0 1 train deck.yaml output.dir=all-3 "${stored[@]}" "${use_all[@]}" \
  teacher.dataset=all-cut
close_to all-1 all-2
close_to all-1 all-3
expect 0 1 logits select all-plain all-top capture.top_k=5
expect 0 1 logits select all-padded all-cut-top capture.top_k=5 "${true_v[@]}"
for d in all-top all-cut-top; do
  expect 0 1 train deck.yaml output.dir=run-$d "${stored[@]}" teacher.top_p=1 \
    teacher.top_k=5 teacher.dataset=$d
done
close_to run-all-top run-all-cut-top
expect 78 1 logits select all-plain wider data.vocab=70
says err.txt "logits of 64 ids"
expect 78 1 train deck.yaml "${stored[@]}" teacher.dataset=all-plain \
  student.vocab=70 data.vocab=70
says err.txt "all-plain has the logits of 64 ids, data.vocab is 70"
expect 0 1 capture deck.yaml teacher.weights=wide.hf capture.dir=drawn \
  "${keep[@]}" capture.encoding=sampled capture.draws=400
expect 78 1 logits select drawn drawn-cut "${true_v[@]}"
says err.txt "set data.vocab=64 in training instead"
expect 0 1 train deck.yaml "${stored[@]}" teacher.dataset=drawn "${true_v[@]}"

# --- evaluation with a teacher of another width and tp
measure() {
  sed -n 's/^\(loss\|KL(teacher, student)\)  *\([0-9.]*\) nats.*/\2/p' out.txt
}
both=(student.weights=student.hf eval.teacher=true train.batch_rows=4
  train.micro_rows=1)
pad teacher.hf student.hf 70
expect 0 1 eval deck.yaml "${both[@]}" teacher.weights=teacher.hf \
  student.weights=teacher.hf
measure >plain.txt
[ "$(wc -l <plain.txt)" = 2 ] || fail "no KL: $(cat out.txt)"
for tp in "1 1" "2 2" "1 2" "2 1"; do
  expect 0 2 eval deck.yaml "${both[@]}" teacher.weights=wide.hf \
    "${true_v[@]}" student.tp="${tp% *}" teacher.tp="${tp#* }"
  paste <(measure) plain.txt | awk '{ d = $1 - $2; bad += d > 2e-6 || d < -2e-6 }
    END { exit NR != 2 || bad }' || fail "tp $tp: $(measure) $(cat plain.txt)"
done
expect 78 1 eval deck.yaml "${both[@]}" teacher.weights=wide.hf
says err.txt "set data.vocab"

# --- a live teacher, and a student padded to yet another width
expect 0 2 train deck.yaml output.dir=live-plain "${live[@]}" \
  teacher.weights=teacher.hf
expect 0 2 train deck.yaml output.dir=live-padded "${live[@]}" \
  teacher.weights=wide.hf "${true_v[@]}" student.vocab=64
close_to live-plain live-padded
begin=(train.length=4 student.weights=teacher.hf)
expect 0 1 train deck.yaml output.dir=from-plain "${live[@]}" "${begin[@]}" \
  teacher.weights=teacher.hf
expect 0 2 train deck.yaml output.dir=from-padded "${live[@]}" "${begin[@]}" \
  teacher.weights=wide.hf student.weights=student.hf "${true_v[@]}" \
  student.tp=2 train.weight_decay=0.1
close_to from-plain from-padded

# --- the true size is missing or impossible
expect 78 1 train deck.yaml "${live[@]}" teacher.weights=wide.hf
says err.txt "set data.vocab to the tokenizer's size"
expect 78 1 train deck.yaml "${stored[@]}" teacher.dataset=padded \
  student.vocab=70
says err.txt "set data.vocab"
expect 0 1 train deck.yaml "${stored[@]}" teacher.dataset=padded \
  student.vocab=70 "${true_v[@]}"
expect 78 1 train deck.yaml data.vocab=65
says err.txt "data.vocab is 65"

# --- the full vocabulary as target, for any padding and tp of both
full=("${live[@]}" teacher.target=full)
expect 0 1 train deck.yaml output.dir=full "${full[@]}" teacher.weights=teacher.hf
for pad in "1 1 64" "2 1 64" "1 2 65" "2 2 70"; do
  read -r tp_t tp_s vocab <<<"$pad"
  expect 0 2 train deck.yaml output.dir="full-$tp_t-$tp_s" "${full[@]}" \
    teacher.weights=wide.hf "${true_v[@]}" teacher.tp="$tp_t" \
    student.tp="$tp_s" student.vocab="$vocab"
  close_to full "full-$tp_t-$tp_s"
done
finish
