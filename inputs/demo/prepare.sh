#!/usr/bin/env bash
# How the demo's corpus and tokenizer were made (both are committed).
#   inputs/demo/prepare.sh VENV      needs Debian's bible-kjv and a venv of
#                                    inputs/prepare/venv.sh
# Text: the King James Bible, public domain outside the United Kingdom (there
# the Crown's patent of 1769 holds), as packaged in Debian's bible-kjv.  A
# document is a chapter; the order of chapters is shuffled by a fixed seed.
set -euo pipefail
venv=${1:?usage: prepare.sh VENV}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bible -f gen1:1-rev22:21 |
  awk '{ split($1, at, ":"); text = substr($0, index($0, " ") + 1)
         if (NR > 1 && at[1] != chapter) print ""
         chapter = at[1]; print text }' >"$work/kjv.txt"
"$venv/bin/python" "$here/../prepare/train_tokenizer.py" --vocab 2048 \
  --out "$here/tokenizer" "$work/kjv.txt"
"$venv/bin/python" "$here/../prepare/tokenize.py" \
  --tokenizer "$here/tokenizer" --out "$here/kjv" --shuffle 1 "$work/kjv.txt"
