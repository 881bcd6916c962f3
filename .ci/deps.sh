#!/usr/bin/env bash
# Checks that everything needed to build, test and lint is there; installs it or
# prints what is missing.
#   .ci/deps.sh [--only-tell] [build|check|lint]...
# As root on Debian or Ubuntu it installs what is missing.  Elsewhere, and with
# --only-tell, it prints the names of the packages in apt, Spack and module systems
# and exits with 1.  If nothing is missing it prints nothing.
# CC, BLAS, BLAS_CFLAGS, MPI, HDF5 and PKG_CONFIG_PATH have the Makefile's meaning.
# Last, a small program is compiled and linked as make would do it, so that
# modules that do not fit together are reported here and not by the linker.
# shellcheck disable=SC2086,SC2317 # lists are split; checks are called by eval
set -uo pipefail
CC=${CC:-gcc}
BLAS=${BLAS-openblas}
for folder in /usr/lib/*/openblas-openmp/pkgconfig; do
  [ -d "$folder" ] && PKG_CONFIG_PATH="${PKG_CONFIG_PATH:-}:$folder"
done
export PKG_CONFIG_PATH

has_program() { command -v "$1" >/dev/null; }
has_pc() { # any of these pkg-config modules
  local module
  for module in "$@"; do
    pkg-config --exists "$module" 2>/dev/null && return
  done
  return 1
}
has_header() {
  has_program "$CC" || return 0 # told already
  echo "#include <$1>" | "$CC" -fopenmp -E -x c - >/dev/null 2>&1
}
has_python() { # modules, in the system's Python or in the first of the PATH
  local python
  for python in /usr/bin/python3 python3; do
    "$python" -c 'import importlib.util as u, sys
sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))' "$@" \
      2>/dev/null && return
  done
  return 1
}
# an empty MPI= or HDF5= in the Makefile: the compiler wrapper provides it
has_mpi() { [ -n "${MPI-x}" ] || return 0; has_pc ${MPI:-ompi-c mpich}; }
has_hdf5() {
  [ -n "${HDF5-x}" ] || return 0
  has_pc ${HDF5:-hdf5-openmpi hdf5-mpich hdf5 hdf5-serial}
}
has_blas() { # BLAS= in the Makefile: flags by hand
  [ -n "$BLAS" ] && { has_pc "$BLAS"; return; }
  echo '#include <cblas.h>' | "$CC" ${BLAS_CFLAGS:-} -E -x c - >/dev/null 2>&1
}
builds() {
  local try
  try=$(mktemp -d) || return
  cat >"$try/x.c" <<'C'
#include <cblas.h>
#include <hdf5.h>
#include <mpi.h>
int main(int argc, char **argv)
{
  MPI_Init(&argc, &argv);
  H5open();
  return cblas_snrm2(1, (float[1]){0}, 1) != 0.0F;
}
C
  # shellcheck disable=SC2046
  "$CC" -o "$try/x" "$try/x.c" $(make -s --no-print-directory -j1 flags 2>/dev/null) >"$try/log" 2>&1
  local ok=$?
  [ "$ok" -eq 0 ] || tail -n 5 "$try/log" >&2
  rm -r "$try"
  return "$ok"
}

# group | what it is for | check | apt | Spack | modules
needs() {
  local omp=libgomp1 blas=libopenblas-openmp-dev
  case $CC in
  *clang-[0-9]*) omp=libomp-${CC##*-}-dev ;;
  *clang*) omp=libomp-dev ;;
  esac
  case $BLAS in
  blis*) blas=libblis-openmp-dev ;;
  mkl*) blas=intel-mkl ;;
  esac
  cat <<TABLE
build|C compiler|has_program $CC|${CC##*/}|gcc|gcc
build|make|has_program make|make|gmake|
build|pkg-config|has_program pkg-config|pkg-config|pkgconf|pkgconf
build|OpenMP of $CC|has_header omp.h|$omp|llvm+openmp|
build|MPI (headers)|has_mpi|libopenmpi-dev|openmpi|openmpi, cray-mpich
build|HDF5|has_hdf5|libhdf5-openmpi-dev|hdf5|hdf5, cray-hdf5-parallel
build|CBLAS ($BLAS)|has_blas|$blas|openblas threads=openmp|openblas, mkl
build|libyaml|has_pc yaml-0.1|libyaml-dev|libyaml|libyaml
build|jansson|has_pc jansson|libjansson-dev|jansson|jansson
build|xxHash|has_pc libxxhash|libxxhash-dev|xxhash|xxhash
build|OpenSSL|has_pc libcrypto|libssl-dev|openssl|openssl
build|Random123|has_header Random123/philox.h|librandom123-dev|random123|random123
wish|oneDNN|has_header dnnl.h|libdnnl-dev|onednn|
check|MPI (mpirun)|has_program mpirun|openmpi-bin|openmpi|openmpi
check|CUnit|has_header CUnit/CUnit.h|libcunit1-dev|cunit|cunit
check|gnuplot|has_program gnuplot|gnuplot-nox|gnuplot|gnuplot
check|python3|has_program python3|python3|python|python
check|h5py and numpy|has_python h5py numpy|python3-h5py python3-numpy|py-h5py py-numpy|h5py
lint|clang-format|has_program clang-format|clang-format|llvm|llvm
lint|clang-tidy|has_program clang-tidy|clang-tidy|llvm|llvm
lint|OpenMP of clang|CC=clang has_header omp.h|libomp-dev|llvm+openmp|llvm
lint|shellcheck|has_program shellcheck|shellcheck||
TABLE
}

find_missing() { # prints the rows of the groups asked for that fail
  local group what check rest
  needs | while IFS='|' read -r group what check rest; do
    case " $groups " in *" $group "*) ;; *) continue ;; esac
    eval "$check" || echo "$group|$what|$check|$rest"
  done
}

tell() {
  echo "retort: these are missing:" >&2
  local group what check apt spack modules
  while IFS='|' read -r group what check apt spack modules; do
    printf '  %-22s apt: %s%s%s\n' "$what" "$apt" \
      "${spack:+; Spack: $spack}" "${modules:+; modules: $modules}" >&2
  done <<<"$missing"
}

only_tell=no
[ "${1:-}" = --only-tell ] && only_tell=yes && shift
groups=${*:-build check}
missing=$(find_missing)
export DEBIAN_FRONTEND=noninteractive
# what a build can do without is installed if that is possible
if [ "$only_tell" = no ] && [ "$(id -u)" -eq 0 ] && has_program apt-get; then
  wishes=$(groups=wish find_missing | cut -d'|' -f4)
  [ -z "$wishes" ] || {
    apt-get update -q >/dev/null 2>&1 &&
      apt-get install -y -q --no-install-recommends $wishes >/dev/null 2>&1
  } || echo "without" $wishes "(optional)"
fi
finish() {
  case " $groups " in *" build "*) ;; *) exit 0 ;; esac
  builds && exit 0
  echo "retort: MPI, HDF5 and CBLAS are there, but a program with all three does" \
    "not build: do they belong together (CC=$CC)?" >&2
  exit 1
}
[ -z "$missing" ] && finish
if [ "$only_tell" = yes ] || [ "$(id -u)" -ne 0 ] ||
  ! command -v apt-get >/dev/null; then
  tell
  echo "as root on Debian or Ubuntu, \`make deps\` installs them" >&2
  exit 1
fi
packages=$(cut -d'|' -f4 <<<"$missing")
echo "installing" $packages
apt-get update -q >/dev/null
apt-get install -y -q --no-install-recommends $packages >/dev/null || exit 1
missing=$(find_missing)
[ -z "$missing" ] && finish
tell
exit 1
