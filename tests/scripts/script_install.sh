#!/usr/bin/env bash
# make install puts a program that runs, documents whose links resolve, inputs and
# jobs; make uninstall takes away just that.
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
touch "$share/mine"
run_make uninstall
left=$(find "$to" -type f ! -name log)
[ "$left" = "$share/mine" ] || { echo "left: $left"; exit 1; }
