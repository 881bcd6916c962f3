#!/usr/bin/env bash
# make install installs a program that runs, documents whose links resolve, inputs and
# jobs; make uninstall removes exactly these.
set -euo pipefail
to=$(mktemp -d)
trap 'rm -rf "$to"' EXIT
build=$(dirname "$(dirname "$1")")
run_make() {
  make --no-print-directory "$1" BUILD="$build" DESTDIR="$to" PREFIX=/usr >"$to/log"
}
share=$to/usr/share/retort
run_make install
"$to/usr/bin/retort" --version
cmp doc/parameters.md "$share/doc/parameters.md"
cmp inputs/all_parameters.yaml "$share/inputs/all_parameters.yaml"
[ -x "$share/inputs/demo/run.sh" ] && [ -f "$share/jobs/train.sbatch" ]
find "$share" -name '*.md' | while read -r page; do
  { grep -oE '\]\([^)#]+\)' "$page" || true; } | sed 's/^](//; s/)$//' | while read -r link; do
    case $link in *://*) continue ;; esac
    [ -e "$(dirname "$page")/$link" ] || { echo "$page: $link leads nowhere"; exit 1; }
  done || exit 1
done
# an installed deck runs from any folder, and so does the deck that a run saves
installed=$to/usr/bin/retort
sed 's/^  width: .*/  width: 16/; s/^  length: .*/  length: 2 steps/' \
  "$share/inputs/demo/student.yaml" >"$share/inputs/demo/small.yaml"
job=(output.dir=run eval.rows=0 train.batch_rows=2)
start() { OMP_NUM_THREADS=1 timeout 100 "$installed" "$@"; }
(cd "$to" && start train "$share/inputs/demo/small.yaml" "${job[@]}") >"$to/log"
(cd / && start train "$to/run/deck.yaml" train.length=3 \
  checkpoint.allow_change=train.length) >>"$to/log"
[ -d "$to/run/checkpoints/step-00000003" ] || { cat "$to/log"; exit 1; }
(cd / && start export "$to/run" "$to/hf") >>"$to/log"
[ -f "$to/hf/tokenizer.json" ] || { echo "exported without tokenizer"; exit 1; }
rm -r "$to/run" "$to/hf" "$share/inputs/demo/small.yaml"
touch "$share/mine"
run_make uninstall
left=$(find "$to" -type f ! -name log)
[ "$left" = "$share/mine" ] || { echo "left: $left"; exit 1; }
