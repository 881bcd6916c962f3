#!/usr/bin/env bash
# Prepares the inputs of the SmolLM2 runs, once:
#   inputs/smollm2/prepare.sh VENV OUT teacher|corpus...
# teacher: OUT/teacher, a Hugging Face folder (20 s).  corpus: OUT/docs.bin/.idx,
# about 7 M tokens of English from Debian documentation packages (2 min).
set -euo pipefail
venv=${1:?usage: prepare.sh VENV OUT teacher|corpus...}
out=${2:?usage: prepare.sh VENV OUT teacher|corpus...}
shift 2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
venv=$(realpath "$venv") out=$(realpath "$out")
packages="postgresql-doc-15 python3.11-doc rust-doc gimp-help-en
  debian-reference-en linux-doc-6.1"

make_teacher() {
  [ -f "$out/teacher/complete" ] && return
  echo "SmolLM2-135M as a Hugging Face folder" >&2
  HF_HUB_OFFLINE=1 "$venv/bin/python" "$here/teacher.py" "$out/teacher"
  touch "$out/teacher/complete"
}

unpack_packages() {
  mkdir -p "$out/debs"
  # shellcheck disable=SC2086
  (cd "$out/debs" && apt-get -qq download $packages)
  for deb in "$out"/debs/*.deb; do
    name=$(basename "$deb")
    mkdir -p "$out/unpacked/${name%%_*}"
    dpkg-deb -x "$deb" "$out/unpacked/${name%%_*}"
  done
}

make_corpus() {
  [ -f "$out/docs.idx" ] && return
  echo "English text from: $packages" >&2
  unpack_packages
  "$venv/bin/python" "$here/text.py" "$out/unpacked" "$out/text"
  "$venv/bin/python" "$here/../prepare/tokenize.py" \
    --tokenizer "$out/teacher" --out "$out/docs" \
    --eot '<|endoftext|>' --shuffle 1 "$out"/text/*.txt
}

for what in "$@"; do
  case $what in
  teacher) make_teacher ;;
  corpus) make_teacher && make_corpus ;;
  *) echo "prepare.sh: '$what' is neither teacher nor corpus" >&2 && exit 64 ;;
  esac
done
