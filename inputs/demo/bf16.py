#!/usr/bin/env python3
"""model.safetensors of f32 tensors, rounded to bf16 (half the bytes).

  inputs/demo/bf16.py IN OUT
"""
import array
import json
import struct
import sys


def rounded(data):
    """Nearest even of each f32, as its upper 16 bits."""
    words = array.array("I", data)
    return array.array("H", ((w + 0x7fff + (w >> 16 & 1)) >> 16
                             for w in words)).tobytes()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    out, parts, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, t in header.items():
        if name == "__metadata__":
            continue
        if t["dtype"] != "F32":
            sys.exit(f"{sys.argv[1]}: {name} is {t['dtype']}, not F32")
        part = rounded(data[slice(*t["data_offsets"])])
        out[name] = {"dtype": "BF16", "shape": t["shape"],
                     "data_offsets": [at, at + len(part)]}
        parts.append(part)
        at += len(part)
    text = json.dumps(out).encode()
    text += b" " * (-len(text) % 8)
    with open(sys.argv[2], "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


if __name__ == "__main__":
    main()
