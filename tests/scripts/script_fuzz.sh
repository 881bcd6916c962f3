#!/usr/bin/env bash
# The fuzzers build, accept the committed cases and run on cases of their own.
#   FUZZ_SECONDS=8: seconds per fuzzer
set -euo pipefail
build=$(dirname "$(dirname "$1")")
fuzz_cc=/usr/bin/clang-14
[ -x "$fuzz_cc" ] || fuzz_cc=clang
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
echo 'int LLVMFuzzerTestOneInput(const char *x, long n);
int LLVMFuzzerTestOneInput(const char *x, long n) { return (void)x, n < 0; }' \
  >"$tmp/a.c"
if ! "$fuzz_cc" -fsanitize=fuzzer,address "$tmp/a.c" -o "$tmp/a" 2>/dev/null; then
  echo "no clang with libFuzzer"
  exit 77
fi
make --no-print-directory -j2 --output-sync fuzz SECONDS="${FUZZ_SECONDS:-8}" \
  BUILD="$build" >"$tmp/log" 2>&1 || {
  cat "$tmp/log"
  exit 1
}
[ "$(grep -c number_of_executed_units "$tmp/log")" = 3 ] || {
  cat "$tmp/log"
  exit 1
}
