#!/bin/bash
# Scripts and make remove only what they have created.
#   tests/scripts/script_remove.sh [RETORT]
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
top=$(realpath "$here/..")

# keeps FILE CODE COMMAND...: the command exits with CODE and FILE still exists
keeps() {
  local file=$1 want=$2
  shift 2
  "$@" >out.txt 2>err.txt
  code=$?
  [ "$code" = "$want" ] || fail "$*: exit $code, expected $want"
  [ -e "$file" ] || fail "$*: $file is gone"
}

# --- the demo, with a program that fails immediately
mkdir home
echo mine >home/thesis
keeps home/thesis 73 "$top/inputs/demo/run.sh" /bin/false home
says err.txt "home holds files that the demo did not make"
keeps demo/.retort_demo 1 "$top/inputs/demo/run.sh" /bin/false demo # made here
mkdir demo/logits
echo mine >demo/notes
keeps demo/notes 1 "$top/inputs/demo/run.sh" /bin/false demo
[ -e demo/logits ] && fail "the demo did not begin anew"

# --- make clean
keeps home/thesis 2 make -sC "$top" clean BUILD="$work/home"
says err.txt "remove it yourself"
make -sC "$top" "$work/built/flags" BUILD="$work/built" >out.txt 2>err.txt ||
  fail "$(cat err.txt)"
make -sC "$top" clean BUILD="$work/built" >out.txt 2>err.txt
[ -e built ] && fail "make clean left what make had made"
make -sC "$top" "$work/home/flags" BUILD="$work/home" >out.txt 2>err.txt
keeps home/thesis 2 make -sC "$top" clean BUILD="$work/home"
finish
