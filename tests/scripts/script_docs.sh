#!/usr/bin/env bash
# The committed list of keys is the one that the program has.
set -euo pipefail
gen_docs=$(dirname "$(dirname "$1")")/tests/gen_docs
if ! diff -u doc/parameters.md <("$gen_docs" markdown) ||
  ! diff -u inputs/all_parameters.yaml <("$gen_docs" yaml); then
  echo "run \`make docs\` and commit what changed"
  exit 1
fi
