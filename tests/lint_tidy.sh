#!/usr/bin/env bash
# clang-tidy on one file:  tests/lint_tidy.sh FLAG... FILE
# Prints one line per finding; with WHY=1 also the analyzer's path to it.
set -uo pipefail
file=${!#}
flags=("${@:1:$#-1}")
found=$(clang-tidy --quiet "$file" -- "${flags[@]}" 2>/dev/null) && exit 0
if [ -n "${WHY:-}" ]; then
  echo "$found"
else
  grep -E "(error|warning): " <<<"$found" || echo "$file: clang-tidy failed"
fi
exit 1
