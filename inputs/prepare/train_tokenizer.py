#!/usr/bin/env python3
"""Train a small byte-level BPE tokenizer and write it as a Hugging Face folder.

Every byte is a token, so any text can be encoded.  Token 0 is <|endoftext|>.
Needs the `tokenizers` package (inputs/prepare/venv.sh FOLDER tokenizers).

  python inputs/prepare/train_tokenizer.py --vocab 2048 --out FOLDER a.txt b.txt
"""
import sys

# this folder last, because tokenize.py would hide the standard module
sys.path.append(sys.path.pop(0))

import argparse
import json
import os

try:
    from tokenizers import (Tokenizer, decoders, models, pre_tokenizers,
                            trainers)
except ImportError:
    sys.exit("the Python package tokenizers is missing: make an environment "
             "with inputs/prepare/venv.sh build/tok tokenizers, and run this "
             "with build/tok/bin/python")

from text_files import json_texts, lines_of

EOT = "<|endoftext|>"
LEAST = 257  # all bytes and EOT


def arguments():
    p = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--vocab", type=int, required=True, metavar="N",
                   help=f"number of tokens, at least {LEAST}")
    p.add_argument("--out", required=True, metavar="FOLDER",
                   help="gets tokenizer.json, tokenizer_config.json and "
                        "special_tokens_map.json")
    p.add_argument("--split-digits", action="store_true",
                   help="make every digit a separate token")
    p.add_argument("--json-key", "--json-keys", metavar="KEY",
                   help="the files are JSON lines; KEY contains the text")
    p.add_argument("--plain", action="store_true",
                   help="accept files that look like JSON as plain text")
    p.add_argument("text", nargs="+", help="UTF-8 text or JSON lines")
    args = p.parse_args()
    if args.vocab < LEAST:
        p.error(f"--vocab is {args.vocab}, expected at least {LEAST}")
    return args


def all_lines(args):
    for path in args.text:
        if args.json_key is None:
            yield from lines_of(path, plain=args.plain)
        else:
            yield from json_texts(path, args.json_key)


def train(args):
    tokenizer = Tokenizer(models.BPE())
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), bytes_]
    ) if args.split_digits else bytes_
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=args.vocab, special_tokens=[EOT], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    # read first, because errors inside the trainer's thread would be lost
    tokenizer.train_from_iterator(list(all_lines(args)), trainer)
    got = tokenizer.get_vocab_size()
    if got != args.vocab:
        sys.exit(f"the text gives only {got} of {args.vocab} tokens: add text "
                 f"or ask for --vocab {got}")
    return tokenizer


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


def main():
    args = arguments()
    tokenizer = train(args)
    special = {"bos_token": EOT, "eos_token": EOT}
    try:
        os.makedirs(args.out, exist_ok=True)
        write_json(args.out, "tokenizer_config.json",
                   {"tokenizer_class": "PreTrainedTokenizerFast",
                    "clean_up_tokenization_spaces": False, **special})
        write_json(args.out, "special_tokens_map.json", special)
        tokenizer.save(os.path.join(args.out, "tokenizer.json"))
    except OSError as e:
        sys.exit(f"{e.filename}: {e.strerror}")
    print(f"{args.out}: {args.vocab} tokens, {EOT} is "
          f"{tokenizer.token_to_id(EOT)}")


if __name__ == "__main__":
    main()
