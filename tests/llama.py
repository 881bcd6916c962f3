#!/usr/bin/env python3
"""Tiny Llamas as Hugging Face folders, and their loss by numpy.

  llama.py FOLDER CORPUS.u16 T [KEY=JSON ...] [alias] [shards] [total=N]

Writes FOLDER with a config.json that includes KEY=JSON (null: without the key) and
random weights, always the same for the same shapes.  Prints the mean loss over rows
of T tokens of the corpus, by plain formulas in double precision, except for rotary
angles, which transformers computes in float32.
"""
import json
import os
import struct
import sys

import numpy as np

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama",
          "hidden_act": "silu", "vocab_size": 64, "hidden_size": 16,
          "intermediate_size": 24, "num_hidden_layers": 2,
          "num_attention_heads": 4, "num_key_value_heads": 2,
          "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
          "rope_theta": 100.0, "tie_word_embeddings": True,
          "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"}


def weights_of(c):
    rng = np.random.default_rng(5)
    d, f, h = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"]
    hd = c.get("head_dim") or d // h
    g = c.get("num_key_value_heads") or h
    make = lambda *shape: (rng.standard_normal(shape) * 0.3).astype("<f4")
    w = {"model.embed_tokens.weight": make(c["vocab_size"], d),
         "model.norm.weight": 1 + make(d)}
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        w[at + "input_layernorm.weight"] = 1 + make(d)
        w[at + "post_attention_layernorm.weight"] = 1 + make(d)
        for name, rows, cols in (("self_attn.q_proj", h * hd, d),
                                 ("self_attn.k_proj", g * hd, d),
                                 ("self_attn.v_proj", g * hd, d),
                                 ("self_attn.o_proj", d, h * hd),
                                 ("mlp.gate_proj", f, d),
                                 ("mlp.up_proj", f, d),
                                 ("mlp.down_proj", d, f)):
            w[at + name + ".weight"] = make(rows, cols)
    if not c.get("tie_word_embeddings"):
        w["lm_head.weight"] = make(c["vocab_size"], d)
    return w


def frequencies(c, hd, seq):
    """Rotary frequencies as in transformers' modeling_rope_utils.py."""
    p = c.get("rope_parameters") or c.get("rope_scaling") or {}
    kind = p.get("rope_type") or p.get("type") or "default"
    theta = p.get("rope_theta") or c.get("rope_theta") or 1e4
    factor, most = p.get("factor", 1.0), c["max_position_embeddings"]
    if kind == "dynamic":
        n = max(seq, most)
        theta *= (factor * n / most - (factor - 1)) ** (hd / (hd - 2))
    f = 1 / theta ** (np.arange(0, hd, 2) / hd)
    if kind == "linear":
        f /= factor
    if kind == "llama3":
        turns = p["original_max_position_embeddings"] * f / (2 * np.pi)
        low, high = p["low_freq_factor"], p["high_freq_factor"]
        smooth = np.clip((turns - low) / (high - low), 0, 1)
        f = (1 - smooth) * f / factor + smooth * f
    return f.astype(np.float32)


def norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def forward(c, w, ids):
    """Logits [rows, T, V]."""
    n, t = ids.shape
    h = c["num_attention_heads"]
    g = c.get("num_key_value_heads") or h
    hd = c.get("head_dim") or c["hidden_size"] // h
    angle = np.arange(t, dtype=np.float32)[:, None] * frequencies(c, hd, t)
    cos = np.cos(angle.astype(float))[:, None]
    sin = np.sin(angle.astype(float))[:, None]

    def turn(x):
        a, b = x[..., :hd // 2], x[..., hd // 2:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    hidden = np.triu(np.full((t, t), -np.inf), 1)
    x = w["model.embed_tokens.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        m = lambda x, name: x @ w[f"model.layers.{i}.{name}.weight"].T
        y = norm(x, w[f"model.layers.{i}.input_layernorm.weight"],
                 c["rms_norm_eps"])
        q = turn(m(y, "self_attn.q_proj").reshape(n, t, h, hd))
        k = turn(m(y, "self_attn.k_proj").reshape(n, t, g, hd))
        v = m(y, "self_attn.v_proj").reshape(n, t, g, hd)
        k, v = (np.repeat(z, h // g, 2) for z in (k, v))
        s = np.einsum("nthd,nuhd->nhtu", q, k) / np.sqrt(hd) + hidden
        s = np.exp(s - s.max(-1, keepdims=True))
        s /= s.sum(-1, keepdims=True)
        y = np.einsum("nhtu,nuhd->nthd", s, v).reshape(n, t, h * hd)
        x = x + m(y, "self_attn.o_proj")
        y = norm(x, w[f"model.layers.{i}.post_attention_layernorm.weight"],
                 c["rms_norm_eps"])
        gate = m(y, "mlp.gate_proj")
        x = x + m(gate / (1 + np.exp(-gate)) * m(y, "mlp.up_proj"),
                  "mlp.down_proj")
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    return norm(x, w["model.norm.weight"], c["rms_norm_eps"]) @ head.T


def loss_of(c, w, corpus, t):
    ids = np.fromfile(corpus, "<u2").astype(int)
    n = (len(ids) - 1) // t
    rows, labels = ids[:n * t].reshape(n, t), ids[1:n * t + 1].reshape(n, t)
    z = forward(c, {k: v.astype(float) for k, v in w.items()}, rows)
    z = z[..., :c.get("true_vocab", z.shape[-1])]
    z = z - z.max(-1, keepdims=True)
    label = np.take_along_axis(z, labels[..., None], -1)[..., 0]
    return float((np.log(np.exp(z).sum(-1)) - label).mean())


def write_file(path, w, metadata):
    head, at = {"__metadata__": metadata}, 0
    for name, x in w.items():
        head[name] = {"dtype": "F32", "shape": list(x.shape),
                      "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for x in w.values():
            f.write(x.tobytes())


def write_shards(folder, w, total):
    names, where = sorted(w), {}
    for i in range(2):
        name = f"model-{i + 1:05}-of-00002.safetensors"
        part = {k: w[k] for k in names[i::2]}
        write_file(os.path.join(folder, name), part, {"format": "pt"})
        where.update((k, name) for k in part)
    total = total or sum(x.nbytes for x in w.values())
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": where}, f)


def main():
    folder, corpus, t = sys.argv[1], sys.argv[2], int(sys.argv[3])
    c, words = dict(CONFIG), {}
    for word in sys.argv[4:]:
        key, _, value = word.partition("=")
        if value and key != "total":
            c[key] = json.loads(value)
        else:
            words[key] = value
    os.makedirs(folder, exist_ok=True)
    w = weights_of(c)
    loss = loss_of(c, w, corpus, t)
    c = {k: v for k, v in c.items() if v is not None and k != "true_vocab"}
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(c, f)
    metadata = {"format": "pt"}
    if "alias" in words:  # as safetensors.torch.save_model
        w["lm_head.weight"] = w.pop("model.embed_tokens.weight")
        metadata["model.embed_tokens.weight"] = "lm_head.weight"
    if "shards" in words:
        write_shards(folder, w, int(words.get("total", 0)))
    else:
        write_file(os.path.join(folder, "model.safetensors"), w, metadata)
    print(f"{loss:.6f}")


if __name__ == "__main__":
    main()
