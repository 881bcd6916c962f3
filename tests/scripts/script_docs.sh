#!/bin/bash
# The documentation is true: the list of keys is the program's, `make help` lists all
# targets, and the commands of the README run as written in a checkout.
#   tests/scripts/script_docs.sh [RETORT]      README=all: with all training steps
RETORT=${1:-${RETORT:-build/bin/retort}}
root=$PWD
gen_docs=$(realpath "$(dirname "$(dirname "$RETORT")")/tests/gen_docs")
# shellcheck source=tests/e2e.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e.sh"

# --- the committed list of deck keys
if ! diff -u "$root/doc/parameters.md" <("$gen_docs" markdown) ||
  ! diff -u "$root/inputs/all_parameters.yaml" <("$gen_docs" yaml); then
  fail "run \`make docs\` and commit what changed"
fi

# --- targets
make -s -C "$root" help >help.txt
while read -r target; do
  grep -q "^  make $target  *[^ ]" help.txt || fail "make help lacks $target"
done < <(sed -n 's/^\.PHONY: *//p' "$root/Makefile" | tr ' ' '\n' | grep -v '\$')
says help.txt "empty: the compiler wrapper CC"

# --- commands of the README: those of "A run" and "Distilling" run in a folder that
# looks like a built checkout, with few steps and rows
"$PYTHON" - "$root/README.md" <<'PY' || fail "commands that do not fit a checkout"
import os, re, sys
text = open(sys.argv[1]).read()
root = os.path.dirname(sys.argv[1])
commands, bad = [], []
for part in re.split(r"(?m)^## ", text):
    title = part.split("\n", 1)[0]
    block = "\n".join(x[4:] for x in part.split("\n") if x.startswith("    "))
    for line in block.replace("\\\n", " ").split("\n"):
        line = line.split(" # ")[0].strip()
        if not re.match(r"(mpirun|make|inputs/|build/|retort|srun)\b", line):
            continue
        bad += [line] if re.search(r"(^|\s)retort\b", line) else []
        bad += [line for x in re.findall(r"(?:^|[\s=])(inputs/[\w./]+|[\w/]+\.yaml)", line)
                if not os.path.exists(os.path.join(root, x))]
        if title in ("A run", "Distilling") and line != "make":
            commands.append(line)
print("\n".join(bad), file=sys.stderr)
assert len(commands) >= 8, commands
open("commands.sh", "w").write("\n".join(commands) + "\n")
sys.exit(bool(bad))
PY
mkdir -p checkout/build/bin
ln -s "$root/inputs" checkout/inputs
cat >checkout/build/bin/retort <<EOF
#!/bin/bash
few=()
[ "\$1" = train ] && few=("train.length=2 steps" eval.every=0 eval.rows=4)
[ "\$1" = capture ] && few=(capture.rows=64)
[ "\$1" = eval ] && few=(eval.rows=4)
[ "\${README:-}" = all ] && few=()
exec "$RETORT" "\$@" "\${few[@]}"
EOF
chmod +x checkout/build/bin/retort
mpirun() {
  # shellcheck disable=SC2086
  command $MPIRUN "$@"
}
cd checkout || exit 1
while read -r line; do
  eval "$line" </dev/null >../out.txt 2>../err.txt || {
    fail "README: $line"
    tail -n 5 ../out.txt ../err.txt
  }
done <../commands.sh
for made in out/metrics.jsonl out/retort.log out-hf/model.safetensors \
  logits/manifest.json kd/metrics.jsonl live/metrics.jsonl; do
  [ -s "$made" ] || fail "the README's commands did not make $made"
done
finish
