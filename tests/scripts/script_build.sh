#!/usr/bin/env bash
# The build finds its libraries: the user's pkg-config files come first, a CBLAS may be
# given by hand, and libraries that do not fit together are reported before linking.
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

# without oneDNN, products of bf16 use AMX all the same
cat >"$tmp/bf16.c" <<'C'
#include "kernels/cpu/gemm.h"
#include <stdio.h>
int main(void) { return puts(k_gemm_bf16_library()) < 0; }
C
mapfile -t files < <(ls kernels/cpu/{amx,copy_fill,gemm,gemm_amx,gemm_avx512,gemm_blas,gemm_panels,gemm_pieces}.c \
  kernels/cpu/gemm_no_onednn.c src/base/*.c)
# shellcheck disable=SC2046
${CC:-cc} -std=c17 -D_GNU_SOURCE -O0 -w -I. -Isrc -DRT_COMMIT='""' -DRT_CFLAGS='""' \
  -o "$tmp/bf16" "$tmp/bf16.c" "${files[@]}" $(env -u MAKEFLAGS make -s ONEDNN= flags) ||
  fail "no build without oneDNN"
want="built without oneDNN"
grep -q " amx_bf16" /proc/cpuinfo && grep -q " avx512_bf16" /proc/cpuinfo && want="(amx)"
got=$(env -u ONEDNN_MAX_CPU_ISA "$tmp/bf16")
[[ $got == *"$want"* ]] || fail "bf16 without oneDNN: $got, expected $want"
got=$(ONEDNN_MAX_CPU_ISA=AVX2 "$tmp/bf16")
[[ $got == *"built without oneDNN"* ]] || fail "bf16 with AVX2: $got"

# an HDF5 that does not exist: pkg-config finds all packages, but nothing links
pc hdf5-of-nowhere -lno_such_hdf5
env -u MAKEFLAGS PKG_CONFIG_PATH="$tmp" make -s HDF5=hdf5-of-nowhere deps \
  BUILD="$tmp/build" >"$tmp/out" 2>&1 && fail "deps passes what cannot be linked"
grep -q "do they belong together" "$tmp/out" || fail "deps says: $(cat "$tmp/out")"
HDF5=hdf5-unknown .ci/deps.sh --only-tell build >"$tmp/out" 2>&1 &&
  fail "deps passes HDF5 that is not there"
grep -q "HDF5 .*apt:" "$tmp/out" || fail "deps says: $(cat "$tmp/out")"

# a build folder that belongs to root: one message for an ordinary user, nothing built
mkdir -p "$tmp/of_root/obj"
chmod 755 "$tmp"
chmod 555 "$tmp/of_root/obj"
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
if "${as[@]}" test -r Makefile 2>/dev/null; then
  env -u MAKEFLAGS "${as[@]}" make BUILD="$tmp/of_root" all >"$tmp/out" 2>&1 &&
    fail "builds in a folder that it may not write"
  grep -q "of_root.* may not write there .*chown -R .*make BUILD=FOLDER" \
    "$tmp/out" || fail "of another's build folder: $(cat "$tmp/out")"
fi
chmod 755 "$tmp/of_root/obj"
