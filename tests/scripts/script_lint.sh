#!/usr/bin/env bash
# tests/lint_layers.py reports each kind of breach, and reports it once.
set -euo pipefail
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{doc,src/base,src/par,io,kernels}
printf 'base:\nkernels: base\npar: base\nio: base\n' >"$root/doc/layers.txt"
python3 tests/lint_layers.py "$root" >"$root/out" && exit 1 # no file at all
echo '#include "base/b.h"' >"$root/src/par/a.c"
python3 tests/lint_layers.py "$root" >"$root/out"

expect() { # text that one line must hold
  if python3 tests/lint_layers.py "$root" >"$root/out" ||
    [ "$(wc -l <"$root/out")" -ne 2 ] || ! grep -qF "$1" "$root/out"; then
    echo "expected one breach with \"$1\", got:"
    cat "$root/out"
    exit 1
  fi
}
file=$root/src/base/x.c
echo '#include "par/a.h"' >"$file"
expect 'src/base/x.c:1: base may not include par'
echo '#include "nowhere/a.h"' >"$file"
expect '"nowhere/a.h" is of no room'
echo '#include "b.h"' >"$file"
expect 'write "room/b.h"'
echo '#include <yaml.h>' >"$file"
expect '<yaml.h> belongs to src/deck/deck_yaml.c alone'
printf '\n// MPI_COMM_WORLD\nint x = MPI_COMM_WORLD;\n' >"$file"
expect 'src/base/x.c:3: MPI_COMM_WORLD below app'
printf 'void f(void)\n{\n  _exit(1);\n  exit(1);\n}\n' >"$file"
expect 'src/base/x.c:4: only app ends the process'
{ printf 'void f(void)\n{\n'; printf '  x++;\n%.0s' {1..61}; echo '}'; } >"$file"
expect 'src/base/x.c:2: function of 61 lines'
printf 'int f(int a, int b, int c, int d,\n      int (*e)(int, int), int f, int g)\n{\n}\n' >"$file"
expect 'src/base/x.c:1: f has 7 parameters'
printf 'int x;\n%.0s' {1..601} >"$file"
expect '601 lines, at most 600'
rm "$file"
printf 'int x;\n%.0s' {1..201} >"$root/src/base/x.h"
expect '201 lines, at most 200'
printf 'int f(\n    int a, bool sure);\n' >"$root/src/base/x.h"
expect 'src/base/x.h:1: f takes a bool'
printf '// f(bool x)\nint f(const bool *a);\nbool g(int a);\n' >"$root/src/base/x.h"
python3 tests/lint_layers.py "$root" >"$root/out"
printf 'int f(const rt_job *a);\n' >"$root/src/base/x.h"
expect 'src/base/x.h:1: f takes the job'
mv "$root/src/base/x.h" "$root/src/base/job_x.h"
python3 tests/lint_layers.py "$root" >"$root/out"
rm "$root/src/base/job_x.h"
mkdir -p "$root/tests/base"
file=$root/tests/base/test_x.c
printf 'int x;\n%.0s' {1..601} >"$file"
expect 'tests/base/test_x.c:601: 601 lines, at most 600'
{ printf 'void f(void)\n{\n'; printf '  x++;\n%.0s' {1..61}; echo '}'; } >"$file"
expect 'tests/base/test_x.c:2: function of 61 lines'
rm "$file"
printf 'int f(void)\n{\n}\n' >"${file%.c}.h"
expect 'tests/base/test_x.h:1: f is a function in a header'
rm "${file%.c}.h"
file=$root/src/base/x.c
echo 'base: par' >>"$root/doc/layers.txt"
expect 'loop base -> par -> base'
sed -i '$d' "$root/doc/layers.txt"
printf 'int rt_f(void)\n{\n  return rt_g();\n}\n' >"$file"
printf 'static int rt_f(void)\n{\n}\nint rt_g(void)\n{\n}\n' >"$root/src/base/y.c"
python3 tests/lint_layers.py "$root" >"$root/out"
printf 'int rt_g(void)\n{\n  return rt_f();\n}\n' >"$root/src/base/y.c"
expect 'src/base/x.c:1: files call each other: src/base/x.c -> rt_g'
