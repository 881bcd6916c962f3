#!/usr/bin/env python3
"""Tokenise text files to a corpus for retort: Megatron's OUT.bin and OUT.idx.

Each document becomes its token ids and the id of end-of-text.  Needs the
`tokenizers` package (inputs/prepare/venv.sh FOLDER tokenizers).

  python inputs/prepare/tokenize.py --tokenizer FOLDER --out corpus a.txt b.txt
  python inputs/prepare/tokenize.py ... --json-key text a.jsonl
"""
import sys

# this folder last, because this file would hide the standard module tokenize
sys.path.append(sys.path.pop(0))

import argparse
import array
import json
import os
import random
import struct

try:
    from tokenizers import Tokenizer
except ImportError:
    sys.exit("the Python package tokenizers is missing: make an environment "
             "with inputs/prepare/venv.sh build/tok tokenizers, and run this "
             "with build/tok/bin/python")

from text_files import json_texts, lines_of

# Megatron type code, array type code, bytes, number of ids that fit
U16 = (8, "H", 2, 1 << 16)
I32 = (4, "i", 4, 1 << 31)
BATCH = 1000  # documents encoded at a time


def arguments():
    p = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tokenizer", required=True, metavar="FOLDER",
                   help="Hugging Face folder with tokenizer.json")
    p.add_argument("--out", required=True, metavar="PREFIX",
                   help="writes PREFIX.bin and PREFIX.idx")
    p.add_argument("--documents", choices=["blank-line", "line", "file"],
                   help="what separates documents (default: a blank line)")
    p.add_argument("--json-key", "--json-keys", metavar="KEY",
                   help="the files are JSON lines: each line is a document, "
                        "whose text is the value of KEY")
    p.add_argument("--plain", action="store_true",
                   help="accept files that look like JSON as plain text")
    p.add_argument("--bos", metavar="TOKEN", nargs="?", const="",
                   help="put the begin-of-text token before each document "
                        "(default: the bos_token of tokenizer_config.json)")
    p.add_argument("--append-eod", action=argparse.BooleanOptionalAction,
                   default=True,
                   help="put the end-of-text token after each document")
    p.add_argument("--eot", metavar="TOKEN",
                   help="text of the end-of-text token (default: the "
                        "eos_token of tokenizer_config.json)")
    p.add_argument("--shuffle", type=int, metavar="SEED",
                   help="shuffle the documents; holds all text in memory")
    p.add_argument("text", nargs="+", help="UTF-8 text or JSON lines")
    args = p.parse_args()
    if args.json_key is not None and (args.documents or args.plain):
        p.error("with --json-key each line is a document: leave --documents "
                "and --plain out")
    return args


def read_json(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {}
    except ValueError as e:
        sys.exit(f"{path}: {e}")


def load_tokenizer(folder):
    path = os.path.join(folder, "tokenizer.json")
    if not os.path.isfile(path):
        sys.exit(f"{path} is missing: --tokenizer wants a folder that a "
                 "transformers tokenizer was saved to")
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as e:  # the package raises nothing more precise
        sys.exit(f"{path}: {e}")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True  # text cannot end its document
    return tokenizer


def find_id(tokenizer, folder, wanted, option, key):
    """Id of the token put before or after each document."""
    where = option
    if not wanted:
        where = os.path.join(folder, "tokenizer_config.json")
        wanted = read_json(where).get(key)
    if isinstance(wanted, dict):  # an added token with its properties
        wanted = wanted.get("content")
    if wanted is None:
        sys.exit(f"{where} names no {key}: say which token it is with "
                 f"{option} TOKEN")
    found = tokenizer.token_to_id(wanted)
    if found is None:
        sys.exit(f"{where}: {wanted!r} is no token of this tokenizer")
    return found


def paragraphs(lines):
    """The blocks of lines between blank lines."""
    held = []
    for line in lines:
        if line.strip():
            held.append(line.rstrip("\n"))
        elif held:
            yield "\n".join(held)
            held = []
    yield "\n".join(held)


def documents_of(path, args):
    """The documents of one file, without empty ones."""
    if args.json_key is not None:
        yield from (t for t in json_texts(path, args.json_key) if t.strip())
        return
    lines = lines_of(path, plain=args.plain)
    if args.documents == "file":
        documents = ["".join(lines)]
    elif args.documents == "line":
        documents = (line.rstrip("\n") for line in lines)
    else:
        documents = paragraphs(lines)
    yield from (d for d in documents if d.strip())


def all_documents(args):
    documents = (d for path in args.text for d in documents_of(path, args))
    if args.shuffle is None:
        return documents
    documents = list(documents)
    random.Random(args.shuffle).shuffle(documents)
    return documents


def batches(things, n):
    batch = []
    for thing in things:
        batch.append(thing)
        if len(batch) == n:
            yield batch
            batch = []
    if batch:
        yield batch


def write_bin(f, tokenizer, documents, ends, typecode):
    """Write all ids; returns the length of each document and the bytes of text."""
    lengths, text_bytes = array.array("i"), 0
    for batch in batches(documents, BATCH):
        for text, encoded in zip(batch, tokenizer.encode_batch(
                batch, add_special_tokens=False)):
            ids = array.array(typecode, ends[0] + encoded.ids + ends[1])
            if sys.byteorder == "big":
                ids.byteswap()
            f.write(ids.tobytes())
            lengths.append(len(ids))
            text_bytes += len(text.encode("utf-8"))
    return lengths, text_bytes


def write_idx(f, lengths, code, size):
    """One sequence per document."""
    f.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, len(lengths),
                                         len(lengths) + 1))
    offsets, at = array.array("q"), 0
    for n in lengths:
        offsets.append(at)
        at += n * size
    marks = array.array("q", range(len(lengths) + 1))
    for a in (lengths, offsets, marks):
        if sys.byteorder == "big":
            a.byteswap()
        f.write(a.tobytes())


def main():
    args = arguments()
    tokenizer = load_tokenizer(args.tokenizer)
    eot = find_id(tokenizer, args.tokenizer, args.eot, "--eot", "eos_token")
    bos = None
    if args.bos is not None:
        bos = find_id(tokenizer, args.tokenizer, args.bos, "--bos",
                      "bos_token")
    ends = [] if bos is None else [bos], [eot] if args.append_eod else []
    n_vocab = 1 + max(tokenizer.get_vocab().values())  # ids may have gaps
    code, typecode, size, room = U16 if n_vocab <= U16[3] else I32
    tmp = [args.out + end + ".tmp" for end in (".bin", ".idx")]
    try:
        os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
        with open(tmp[0], "wb") as f:
            lengths, text_bytes = write_bin(
                f, tokenizer, all_documents(args), ends, typecode)
        if not lengths:
            sys.exit("no documents: the text files are empty")
        n_tokens = sum(lengths)
        with open(tmp[1], "wb") as f:
            write_idx(f, lengths, code, size)
        for path in tmp:  # only whole files get their names
            os.replace(path, path.removesuffix(".tmp"))
    except OSError as e:
        sys.exit(f"{e.filename}: {e.strerror}")
    finally:
        for path in tmp:
            if os.path.exists(path):
                os.remove(path)
    print(f"{args.out}.bin, {args.out}.idx: {len(lengths)} documents, "
          f"{n_tokens} tokens of {size} bytes, "
          f"{text_bytes / n_tokens:.2f} bytes of text per token\n"
          f"in the deck: data.files: [{args.out}], data.vocab: {n_vocab}, "
          f"data.eot: {eot}"
          + (f"; each document begins with id {bos}" if args.bos is not None
             else ""))


if __name__ == "__main__":
    main()
