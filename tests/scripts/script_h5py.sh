#!/usr/bin/env bash
# Independent readers and writers: the Python readers in doc/formats.md against
# datasets, and rt_h5_* against unusual files written by h5py.
#   tests/scripts/script_h5py.sh BUILD/bin/retort
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$(dirname "$(dirname "${1:?usage: $0 BUILD/bin/retort}")")
PYTHON=${PYTHON:-/usr/bin/python3}
if ! "$PYTHON" -c "import h5py, numpy" 2>/dev/null; then
  echo "h5py is not installed"
  exit 77
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# the first Python block of the page reads datasets, the second packed records
awk -v to="$tmp/reader" '/^```python$/ { n++; on = 1; next } /^```$/ { on = 0 }
  on { print >(to (n > 1 ? n : "") ".py") }' doc/formats.md
for reader in reader reader2; do
  n_lines=$(wc -l <"$tmp/$reader.py")
  if [ "$n_lines" -lt 20 ] || [ "$n_lines" -gt 120 ]; then
    echo "$reader in doc/formats.md has $n_lines lines, expected 20 to 120"
    exit 1
  fi
done
mkdir "$tmp/odd"
cat >"$tmp/odd.py" <<'PY'
import sys
import h5py
import numpy as np

folder = sys.argv[1]
x = np.arange(12, dtype="<f4").reshape(3, 4)


def new(name):
    return h5py.File("%s/%s.h5" % (folder, name), "w", libver=("v110", "v110"))


with new("good") as f:
    f["x"] = x
with new("soft") as f:
    f["y"] = x
    f["x"] = h5py.SoftLink("/y")
with new("external") as f:
    f["x"] = h5py.ExternalLink("good.h5", "/x")
with new("in_external") as f:
    f["g"] = h5py.ExternalLink("good.h5", "/")
with new("filter") as f:
    f.create_dataset("x", data=x, chunks=(1, 4), compression="gzip")
with new("checksum") as f:
    f.create_dataset("x", data=x, chunks=(1, 4), fletcher32=True)
with new("other_file") as f:
    f.create_dataset("x", (3, 4), "<f4", external=[("/etc/passwd", 0, 48)])
with new("virtual") as f:
    layout = h5py.VirtualLayout((3, 4), "<f4")
    layout[:] = h5py.VirtualSource("good.h5", "x", (3, 4))
    f.create_virtual_dataset("x", layout)
with new("compact") as f:
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_layout(h5py.h5d.COMPACT)
    h5py.h5d.create(f.id, b"x", h5py.h5t.IEEE_F32LE,
                    h5py.h5s.create_simple((3, 4)), dcpl)
with new("grows") as f:
    f.create_dataset("x", data=x, maxshape=(None, 4))
with new("columns") as f:
    f.create_dataset("x", data=x, chunks=(3, 2))
with new("three") as f:
    f["x"] = x.reshape(3, 2, 2)
with new("scalar") as f:
    f["x"] = 1.0
with new("null") as f:
    f["x"] = h5py.Empty("<f4")
with new("i64") as f:
    f["x"] = x.astype("<i8")
with new("big_endian") as f:
    f["x"] = x.astype(">f4")
with new("text") as f:
    f["x"] = "hello"
with new("compound") as f:
    f["x"] = np.zeros(3, dtype=[("a", "<f4"), ("b", "<f4")])
with new("group") as f:
    f.create_group("x")
with new("type") as f:
    f["x"] = np.dtype("<f4")
with new("sparse") as f:
    f.create_dataset("x", (3, 4), "<f4", chunks=(1, 4))
with new("huge") as f:
    f.create_dataset("x", (1 << 40,), "u1", chunks=(1 << 20,))
with new("chunks") as f:
    f["y"] = np.zeros(20000, "u1")
    f.create_dataset("x", (20000,), "u1", chunks=(1,))
PY
"$PYTHON" "$tmp/odd.py" "$tmp/odd"
RT_TEST_DATASET=$tmp/dataset RT_TEST_ODD=$tmp/odd "$build/tests/test_h5" |
  tee "$tmp/log"
grep -q "odd files read: 23" "$tmp/log"

cat >"$tmp/compare.py" <<'PY'
import sys
import numpy as np
from reader import FIELDS, entries, rows

want = open(sys.argv[1] + "/rows.bin", "rb").read()
got, n_rows, n_tokens = b"", 0, 0
for row in rows(sys.argv[1]):
    got += b"".join(row[k].tobytes() for k in FIELDS)
    assert (row["step"], row["stream_row"]) == (100 + n_rows // 4,
                                                7 * n_rows % 23)
    n_rows += 1
    for ids, logp in entries(row):
        n_tokens += 1
        assert len(ids) == len(logp) and np.all(np.diff(logp) <= 0)
assert n_rows == 23 and n_tokens == 23 * 5, (n_rows, n_tokens)
assert got == want, "rows differ"
print("the reader of doc/formats.md reads", n_rows, "rows,", len(got), "bytes")
PY
"$PYTHON" "$tmp/compare.py" "$tmp/dataset"

# packed: the second block decodes to the entries that retort exports
"$build/bin/retort" logits select "$tmp/dataset" "$tmp/packed" \
  capture.encoding=packed
"$build/bin/retort" logits export "$tmp/packed" "$tmp/arrays"
cat >"$tmp/compare_packed.py" <<'PY'
import sys
import numpy as np
from reader import rows
from reader2 import packed

got = list(rows(sys.argv[1], {"packed": packed}))
for k in ("tok", "count", "lse", "label_logp", "ids", "logp", "step",
          "stream_row"):
    want = np.load("%s/%s.npy" % (sys.argv[2], k))
    have = np.concatenate([np.atleast_1d(row[k]) for row in got])
    assert have.dtype == want.dtype and np.array_equal(have, want), k
assert want.max() == 22, "rows of the stream"
print("the decoder of doc/formats.md decodes", len(got), "packed rows")
PY
"$PYTHON" "$tmp/compare_packed.py" "$tmp/packed" "$tmp/arrays"

# every encoding, with the extreme values that a dataset may hold
mkdir "$tmp/edges"
RT_TEST_READERS=$tmp/edges "$build/tests/test_readers" >"$tmp/log" ||
  { cat "$tmp/log" && exit 1; }
cat >"$tmp/compare_edges.py" <<'PY'
import os
import resource
import sys
import time
from reader import FIELDS, entries, exact, rows
from reader2 import packed

DECODERS = {"exact": exact, "packed": packed, "sampled": packed}
# the reader must not allocate a list of all ids up to 2^32
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
wrong, folders = [], sorted(os.scandir(sys.argv[1]), key=lambda e: e.name)
for folder in folders:
    begin, got = time.time(), b""
    try:
        for row in rows(folder.path, DECODERS):
            fields = FIELDS + [k for k in ("entropy", "deviation") if k in row]
            assert set(row) - {"step", "stream_row"} == set(fields), set(row)
            assert sum(len(i) for i, _ in entries(row)) == row["count"].sum()
            got += b"".join(row[k].tobytes() for k in fields)
        with open(folder.path + "/rows.bin", "rb") as want:
            assert got == want.read(), "rows differ"
    except Exception as e:
        wrong.append("%s: %s: %s" % (folder.name, type(e).__name__, e))
    if "-v" in sys.argv:
        print("%s %.2f s" % (folder.name, time.time() - begin))
print("\n".join(wrong) or "the readers of doc/formats.md read all %d datasets"
      % len(folders))
sys.exit(len(wrong) > 0 or len(folders) < 30)
PY
"$PYTHON" "$tmp/compare_edges.py" "$tmp/edges"
