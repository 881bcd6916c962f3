#!/usr/bin/env bash
# What make takes of the machine: the user's pkg-config files first, a CBLAS said by
# hand, and libraries that do not fit together are told before the linker does.
set -uo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
fail() { echo "FAIL: $1"; exit 1; }
pc() { # name, its libraries
  printf 'Name: %s\nDescription: x\nVersion: 1\nLibs: %s\n' "$1" "$2" >"$tmp/$1.pc"
}
flags() { env -u MAKEFLAGS PKG_CONFIG_PATH="$tmp" make -s "$@" flags 2>&1; }

pc openblas -lmine_of_spack
[[ $(flags) == *-lmine_of_spack* ]] || fail "PKG_CONFIG_PATH is not searched first"
rm "$tmp/openblas.pc"
got=$(flags BLAS= BLAS_CFLAGS=-I/by/hand BLAS_LIBS=-lby_hand)
[[ $got == *"-isystem /by/hand"*-lby_hand* ]] || fail "BLAS by hand: $got"
[[ $got != *openblas* ]] || fail "BLAS by hand, and OpenBLAS: $got"

# HDF5 of nowhere: all packages are found, nothing links
pc hdf5-of-nowhere -lno_such_hdf5
env -u MAKEFLAGS PKG_CONFIG_PATH="$tmp" make -s HDF5=hdf5-of-nowhere deps \
  BUILD="$tmp/build" >"$tmp/out" 2>&1 && fail "deps passes what cannot be linked"
grep -q "do they belong together" "$tmp/out" || fail "deps says: $(cat "$tmp/out")"
HDF5=hdf5-unknown .ci/deps.sh --only-tell build >"$tmp/out" 2>&1 &&
  fail "deps passes HDF5 that is not there"
grep -q "HDF5 .*apt:" "$tmp/out" || fail "deps says: $(cat "$tmp/out")"
