#!/usr/bin/env bash
# clang-tidy on one file:  tests/lint_tidy.sh FLAG... FILE
# Prints a line for each finding; with WHY=1 also how the analyzer got there.
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
