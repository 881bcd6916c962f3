#!/usr/bin/env bash
# make install puts a program that runs, the documents and the inputs.
set -euo pipefail
to=$(mktemp -d)
trap 'rm -rf "$to"' EXIT
make --no-print-directory install BUILD="$(dirname "$(dirname "$1")")" \
  DESTDIR="$to" PREFIX=/usr >"$to/log"
"$to/usr/bin/retort" --version
cmp doc/parameters.md "$to/usr/share/doc/retort/parameters.md"
cmp inputs/all_parameters.yaml "$to/usr/share/retort/inputs/all_parameters.yaml"
