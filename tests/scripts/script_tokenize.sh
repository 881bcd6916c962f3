#!/bin/bash
# inputs/prepare/tokenize.py: documents, JSON lines, tokens at ends and beginnings,
# files that are not text.  A stand-in for the tokenizers package makes one id per byte.
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"
prepare=$here/../inputs/prepare

mkdir fake tok
cat >fake/tokenizers.py <<'PY'
class Tokenizer:
    @classmethod
    def from_file(cls, path):
        return cls()
    def no_padding(self): pass
    def no_truncation(self): pass
    def get_vocab(self):
        return {"<s>": 256, "</s>": 257}
    def token_to_id(self, token):
        return self.get_vocab().get(token)
    def encode_batch(self, texts, add_special_tokens):
        assert not add_special_tokens
        return [type("E", (), {"ids": list(t.encode())}) for t in texts]
PY
echo 'decoders = models = pre_tokenizers = trainers = None' >>fake/tokenizers.py
PYTHONPATH=fake "$PYTHON" "$prepare/train_tokenizer.py" --help >out.txt 2>err.txt ||
  fail "train_tokenizer.py: $(cat err.txt)"
touch tok/tokenizer.json
echo '{"bos_token": "<s>", "eos_token": {"content": "</s>"}}' \
  >tok/tokenizer_config.json

# tokenize CODE ARGS...: run it and check the exit code
tokenize() {
  local want=$1
  shift
  rm -f out.bin out.idx
  PYTHONPATH=fake "$PYTHON" "$prepare/tokenize.py" --tokenizer tok --out out "$@" \
    >out.txt 2>err.txt
  code=$?
  [ "$code" = "$want" ] || fail "exit $code, expected $want: $* $(cat err.txt)"
}

# holds TEXT: the corpus is TEXT, with ^ for <s> and | for </s>
holds() {
  local got
  got=$("$PYTHON" -c 'import array
ids = array.array("H", open("out.bin", "rb").read())
print(bytes(94 if i == 256 else 124 if i == 257 else i for i in ids).decode())')
  [ "$got" = "$1" ] || fail "the corpus holds '|got', expected '$1'"
}

printf 'one\ntwo\n\n\nthree\n' >a.txt
tokenize 0 a.txt
holds 'one
two|three|'
expect 0 1 data info out.bin data.seq=4
says out.txt megatron
tokenize 0 --documents line a.txt
holds 'one|two|three|'
tokenize 0 --documents file a.txt
holds 'one
two


three
|'
tokenize 0 --bos --no-append-eod --documents line a.txt
holds '^one^two^three'
says out.txt "begins with id 256"
tokenize 0 --bos '</s>' --append-eod a.txt
holds '|one
two||three|'
tokenize 1 --bos '<x>' a.txt
says err.txt "'<x>' is no token"

# --- a BOM is not part of the text; Windows line ends
printf '\xef\xbb\xbfone\r\ntwo\r\n' >bom.txt
tokenize 0 --documents line bom.txt
holds 'one|two|'

# --- JSON lines: the text of the key, without braces and escapes
printf '%s\n' '{"text": "In the\nend", "id": 1}' '{"text": ""}' '' \
  '{"id": 2, "text": "Caf\u00e9 \"x\" \ud800"}' >b.jsonl
tokenize 1 b.jsonl
says err.txt "b.jsonl: JSON lines: say which key has the text"
says err.txt "texts here: text"
tokenize 1 --documents line b.jsonl
tokenize 0 --json-key text b.jsonl
holds 'In the
end|Café "x" �|'
tokenize 1 --json-key body b.jsonl
says err.txt "b.jsonl:1: the key 'body' is absent; keys here: text, id"
printf '{"text": "a"}\nplain\n' >c.jsonl
tokenize 1 --json-key text c.jsonl
says err.txt "c.jsonl:2: no JSON object"
tokenize 1 c.jsonl
tokenize 0 --plain --documents line c.jsonl
holds '{"text": "a"}|plain|'
tokenize 2 --plain --json-key text c.jsonl
printf '[{"text": "a"}]\n' >list.json
tokenize 1 list.json
says err.txt "a JSON list"
[ -e out.bin ] && fail "a refused text left a corpus"

# --- without the package: the message says how to install it
mkdir lacking
echo 'raise ImportError("none")' >lacking/tokenizers.py
for program in tokenize train_tokenizer; do
  PYTHONPATH=lacking "$PYTHON" "$prepare/$program.py" >out.txt 2>err.txt &&
    fail "$program without tokenizers"
  says err.txt "inputs/prepare/venv.sh build/tok tokenizers"
done

# --- files that are not text
printf 'o\0n\0e\0' >utf16.txt
tokenize 1 utf16.txt
says err.txt "holds zero bytes"
printf '\xff\xfeo\0' >utf16.txt
tokenize 1 utf16.txt
says err.txt "UTF-16"
gzip -k a.txt
tokenize 1 a.txt.gz
says err.txt "gunzip"
printf 'PAR1' >x.parquet
tokenize 1 --json-key text x.parquet
says err.txt "Parquet"
printf 'na\xefve\n' >latin1.txt
tokenize 1 latin1.txt
says err.txt "convert it with iconv"
finish
