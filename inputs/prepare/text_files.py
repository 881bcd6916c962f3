"""Reads text: plain UTF-8, with or without a BOM, or JSON lines.  Files that are not
text are rejected by name, because they would be learned as if they were."""
import json
import sys

# first bytes of files that are not text, and the remedy
FOREIGN = [
    (b"version https://git-lfs", "a Git LFS pointer: git lfs pull"),
    (b"\x1f\x8b", "compressed: unpack it first (gunzip)"),
    (b"BZh", "compressed: unpack it first (bunzip2)"),
    (b"\xfd7zXZ", "compressed: unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "compressed: unpack it first (zstd -d)"),
    (b"PAR1", "a Parquet file: write it as JSON lines first (pandas, duckdb)"),
    (b"ARROW1", "an Arrow file: write it as JSON lines first (to_json)"),
    (b"\xff\xfe", "UTF-16: convert it with iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16: convert it with iconv -f UTF-16 -t UTF-8"),
]


def json_object(line):
    """The line as an object, or None."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def check(path, json_key, plain):
    """Exit if the file is not of the expected kind."""
    with open(path, "rb") as f:
        head = f.read(1 << 16)
    for first, what in FOREIGN:
        if head.startswith(first):
            sys.exit(f"{path}: {what}")
    if b"\0" in head:
        sys.exit(f"{path}: holds zero bytes: no UTF-8 text")
    if json_key is not None or plain:
        return
    with open(path, encoding="utf-8-sig", newline="\n") as f:
        line = next((x for x in f if x.strip()), "")
    value = json_object(line)
    if value is not None:
        keys = ", ".join(k for k, v in value.items() if isinstance(v, str))
        sys.exit(f"{path}: JSON lines: say which key has the text, with "
                 f"--json-key (texts here: {keys or 'none'}); --plain takes "
                 "the JSON itself as text")
    if path.endswith(".json") and line.lstrip().startswith("["):
        sys.exit(f"{path}: a JSON list: make it JSON lines first "
                 f"(jq -c '.[]'); --plain takes the JSON itself as text")


def lines_of(path, json_key=None, plain=False):
    """The lines of the file, including line ends."""
    try:
        check(path, json_key, plain)
        newline = "\n" if json_key is not None else None
        with open(path, encoding="utf-8-sig", newline=newline) as f:
            yield from f
    except OSError as e:
        sys.exit(f"{path}: {e.strerror}")
    except UnicodeDecodeError as e:
        sys.exit(f"{path}: not UTF-8 text ({e}); convert it with iconv")


def json_texts(path, key):
    """The text of each line, including empty ones."""
    for n, line in enumerate(lines_of(path, key), 1):
        if not line.strip():
            continue
        value = json_object(line)
        if value is None:
            sys.exit(f"{path}:{n}: no JSON object: {line[:60]!r}")
        text = value.get(key)
        if not isinstance(text, str):
            sys.exit(f"{path}:{n}: the key {key!r} is "
                     f"{'absent' if text is None else 'no text'}; keys here: "
                     f"{', '.join(value)}")
        # a lone surrogate is not a character
        yield text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
