"""The rival of tests/bench.py: the same step in PyTorch with torch.compile, as a
user of transformers would write it.  Both sides alternate, so it runs on request:

  rival_torch.py lm|online|capture TEACHER [fp32|autocast|bf16]

The teacher is read in modes online and capture; the latter trains nothing, but takes
the teacher's TOP_K likeliest ids.  autocast: weights in fp32, products in bf16;
bf16: weights, gradients and moments in bf16, too.

Each line on stdin is a number of steps; the answer is one JSON line with the seconds
of each step.
"""
import json
import sys
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

V, ROWS, SEQ, ALPHA, TOP_K = 49152, 4, 512, 0.9, 100
mode = sys.argv[1]
how = sys.argv[3] if len(sys.argv) > 3 else "fp32"
TYPE = torch.bfloat16 if how == "bf16" else torch.float32
torch.set_num_threads(2)
torch.manual_seed(0)
teacher = None
if mode != "lm":
    teacher = AutoModelForCausalLM.from_pretrained(
        sys.argv[2], dtype=torch.float32 if how == "fp32" else torch.bfloat16,
        use_cache=False).eval()
if mode != "capture":
    student = LlamaForCausalLM(LlamaConfig(
        vocab_size=V, hidden_size=512, num_hidden_layers=8,
        intermediate_size=1408, num_attention_heads=8, num_key_value_heads=4,
        tie_word_embeddings=True, max_position_embeddings=SEQ, use_cache=False,
        attn_implementation="sdpa")).to(TYPE).train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4, fused=True)


def log_probs_of(x):
    with torch.no_grad():
        return F.log_softmax(
            teacher(input_ids=x).logits.view(-1, V).float(), -1)


def likeliest(x):
    return log_probs_of(x).topk(TOP_K)


def loss_of(x, y):
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        logits = student(input_ids=x).logits.view(-1, V).float()
    ce = F.cross_entropy(logits, y.view(-1))
    if teacher is None:
        return ce
    kl = F.kl_div(F.log_softmax(logits, -1), log_probs_of(x), log_target=True,
                  reduction="batchmean")
    return (1 - ALPHA) * ce + ALPHA * kl


compiled = torch.compile(likeliest if mode == "capture" else loss_of)


def step():
    x = torch.randint(0, V, (ROWS, SEQ))
    y = torch.randint(0, V, (ROWS, SEQ))
    begin = time.perf_counter()
    if mode == "capture":
        compiled(x)
        return time.perf_counter() - begin
    compiled(x, y).backward()
    torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - begin


step()  # compiles
step()
for line in sys.stdin:
    print(json.dumps([step() for _ in range(int(line))]), flush=True)
