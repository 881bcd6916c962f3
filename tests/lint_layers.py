#!/usr/bin/env python3
"""Check the rules of this project that a compiler does not check.

  python3 tests/lint_layers.py [ROOT]

Which room may include which (doc/layers.txt), one owner per library, no cycles of
calls between files, no MPI_COMM_WORLD and no exit below app, interfaces without
bool parameters and without the job, sizes of files and functions (also of tests).  Prints one line per breach, "file:line: what", and
exits with 1 if there is any.
"""
import fnmatch
import glob
import os
import re
import sys

# header (fnmatch) -> files that may include it
OWNERS = {
    "hdf5*.h": ["io/common/h5_parts.h", "io/common/h5.c",
                "io/common/h5_memory.h",
                "io/common/h5_look.c", "io/common/h5_describe.c"],
    "cblas.h": ["kernels/cpu/gemm_blas.c"],
    "mkl*.h": ["kernels/cpu/gemm_blas.c"],
    "dnnl*": ["kernels/cpu/gemm_onednn.c"],
    "cublas*": ["kernels/cuda/gemm_cublas.c"],
    "nccl.h": ["src/par/comm_nccl.c"],
    "cuda_runtime*": ["src/dev/device_cuda.c", "src/par/comm_nccl.c",
                      "kernels/cuda/*.cu"],
    "yaml.h": ["src/deck/deck_yaml.c"],
    "jansson.h": ["io/common/json.c"],
    "xxhash.h": ["src/base/hash.c"],
    "openssl/*": ["src/base/hash.c"],
    "Random123/*": ["src/base/rng.c"],
}
# file -> why it may be longer
LONGER = {
    "kernels/kernels.h": "the one table of kernels, each row with its formula",
}
MAX_FILE, MAX_HEADER, MAX_FUNCTION = 600, 200, 60
MAX_P90 = 25  # nine functions in ten are at most this long
MAX_PARAMETERS = 6
KNOW_JOB = ("distill/job", "distill/run", "app")  # rooms
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
FORBIDDEN = [
    (re.compile(r"\bMPI_COMM_WORLD\b"),
     "MPI_COMM_WORLD below app; take the caller's communicator"),
    (re.compile(r"(?<![\w.>])(exit|abort|quick_exit)\s*\("),
     "only app ends the process; return an error"),
]


def read_layers(path, breaches):
    """{layer: layers it may include}; there must be no cycle."""
    layers = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.split("#")[0].strip()
            if line:
                name, below = line.split(":")
                layers[name] = below.split()
    done = []

    def visit(name, above):
        if name in above:
            breaches.append(f"{path}: loop {' -> '.join(above + [name])}")
        elif name not in layers:
            breaches.append(f"{path}: {above[-1]} includes {name}, which has "
                            "no line of its own")
        elif name not in done:
            for below in layers[name]:
                visit(below, above + [name])
            done.append(name)

    for name in list(layers):
        visit(name, [])
    return layers


def room_of(path):
    """The room of a file, or of a header as an include names it."""
    folder = os.path.dirname(path)
    return folder[len("src/"):] if folder.startswith("src/") else folder


def check_include(root, path, kind, header, layers):
    """What is wrong with this include, or None."""
    if kind == "<":
        for pattern, owners in OWNERS.items():
            if fnmatch.fnmatch(header, pattern) and not any(
                    fnmatch.fnmatch(path, owner) for owner in owners):
                return f"<{header}> belongs to {' '.join(owners)} alone"
        return None
    room, target = room_of(path), room_of(header)
    if target == "":
        return f'"{header}" names no room; write "room/{header}"'
    if target not in layers:
        return f'"{header}" is of no room in doc/layers.txt'
    if target != room and target not in layers[room]:
        return f"{room} may not include {target} (doc/layers.txt)"
    return None


def strip_comments(text):
    """The text without comments and strings; line numbers stay the same."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
    return pattern.sub(lambda m: "\n" * m.group().count("\n"), text)


SIGNATURE = re.compile(r"^\w[\w \*]*?\b(\w+)\(((?:[^;{}()]|\([^()]*\))*)\)\n\{",
                       re.M)


def check_sizes(path, text, lengths, breaches):
    """Lengths of a file and its functions; the latter are added to lengths."""
    n = text.count("\n")
    limit = MAX_HEADER if path.endswith(".h") else MAX_FILE
    if n > limit and path not in LONGER:
        breaches.append(f"{path}:{n}: {n} lines, at most {limit}")
    begin = None
    for i, line in enumerate(text.split("\n"), 1):
        if line == "{":  # only functions start with "{" in column 1
            begin = i
        elif line == "}" and begin is not None:
            lengths.append(i - begin - 1)
            if i - begin - 1 > MAX_FUNCTION:
                breaches.append(f"{path}:{begin}: function of {i - begin - 1} "
                                f"lines, at most {MAX_FUNCTION}")
            begin = None


def check_code(path, text, breaches):
    for found in SIGNATURE.finditer(text):
        n = re.sub(r"\([^()]*\)", "", found[2]).count(",") + 1
        if n > MAX_PARAMETERS:
            line = text.count("\n", 0, found.start()) + 1
            breaches.append(f"{path}:{line}: {found[1]} has {n} parameters, at "
                            f"most {MAX_PARAMETERS}; then a struct")
    if room_of(path) == "app":
        return
    for i, line in enumerate(strip_comments(text).split("\n"), 1):
        for pattern, why in FORBIDDEN:
            if pattern.search(line):
                breaches.append(f"{path}:{i}: {why}")


PROTOTYPE = re.compile(r"\b(\w+)\)?\(((?:[^;{}()]|\([^()]*\))*)\)\s*(?:;|\n\{|RT_)")
TRAP = re.compile(r"\bbool\s+\w+\s*(?:,|$)")


def check_interface(path, text, breaches):
    """In headers, a call must tell what it asks for: no bool parameters.  And what
    computes takes a spec: only distill/job, distill/run and app know the job, and
    the job_*.h, which make specs from it."""
    code = strip_comments(text)
    for found in PROTOTYPE.finditer(code):
        line = code.count("\n", 0, found.start()) + 1
        if TRAP.search(found[2]):
            breaches.append(f"{path}:{line}: {found[1]} takes a bool, which its "
                            "callers cannot read; take an enum")
        if re.search(r"\brt_job\b", found[2]) and room_of(path) not in KNOW_JOB \
                and not os.path.basename(path).startswith("job_"):
            breaches.append(f"{path}:{line}: {found[1]} takes the job; take a "
                            "struct of what it needs")


DEFINITION = re.compile(r"^(static )?\w[\w \*]*?\b(\w+)\([^;{}]*\)\n\{", re.M)
WORD = re.compile(r"\b(?:rt|k)_\w+\b")


def find_circles(calls):
    """Sets of files that call each other, directly or not (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(file):
        index[file] = low[file] = len(index)
        stack.append(file)
        for other in sorted(calls[file]):
            if other not in index:
                visit(other)
            if other in stack:
                low[file] = min(low[file], low[other])
        if low[file] == index[file]:
            at = stack.index(file)
            if len(stack) > at + 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for file in sorted(calls):
        if file not in index:
            visit(file)
    return found


def check_circles(texts, breaches):
    """texts: {path of a .c file: its text}.  A file calls another when it
    names a function (rt_, k_) that the other defines and does not keep to itself."""
    code = {path: strip_comments(text) for path, text in texts.items()}
    defined = {path: DEFINITION.findall(text) for path, text in code.items()}
    owner = {name: path for path, names in defined.items()
             for static, name in names if not static}
    own = {path: {name for _, name in names}
           for path, names in defined.items()}
    uses = {path: {word: owner[word] for word in set(WORD.findall(text)) - own[path]
                   if owner.get(word, path) != path}
            for path, text in code.items()}
    calls = {path: set(names.values()) for path, names in uses.items()}
    for circle in find_circles(calls):
        ties = [f"{path} -> {name}" for path in circle
                for name, other in sorted(uses[path].items())
                if other in circle]
        breaches.append(f"{circle[0]}:1: files call each other: "
                        + ", ".join(ties))


def check_header(path, text, breaches):
    """For tests: their headers hold no code."""
    for found in DEFINITION.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        breaches.append(f"{path}:{line}: {found[2]} is a function in a header")


def check_file(root, path, text, layers, lengths, breaches):
    check_sizes(path, text, lengths, breaches)
    if room_of(path) not in layers:
        breaches.append(f"{path}:1: {room_of(path)} is not in doc/layers.txt")
        return
    for i, line in enumerate(text.split("\n"), 1):
        found = INCLUDE.match(line)
        wrong = found and check_include(root, path, *found.groups(), layers)
        if wrong:
            breaches.append(f"{path}:{i}: {wrong}")
    check_code(path, text, breaches)
    if path.endswith(".h"):
        check_interface(path, text, breaches)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    breaches = []
    layers = read_layers(os.path.join(root, "doc/layers.txt"), breaches)
    texts, lengths = {}, []
    for top in ("src", "kernels", "io"):
        for folder, _, names in sorted(os.walk(os.path.join(root, top))):
            for name in sorted(names):
                if name.endswith((".c", ".h", ".cu", ".cuh")):
                    path = os.path.relpath(os.path.join(folder, name), root)
                    with open(os.path.join(root, path),
                              encoding="utf-8") as file:
                        texts[path] = file.read()
                    check_file(root, path, texts[path], layers, lengths,
                               breaches)
    for path in sorted(glob.glob(f"{root}/tests/**/*.[ch]", recursive=True)):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        path = os.path.relpath(path, root)
        check_sizes(path, text, [], breaches)
        if path.endswith(".h"):
            check_header(path, text, breaches)
    lengths.sort()
    p90 = lengths[len(lengths) * 9 // 10] if lengths else 0
    if p90 > MAX_P90 and len(lengths) >= 100:
        breaches.append(f"one function in ten has {p90} lines or more, at most "
                        f"{MAX_P90}")
    check_circles({path: text for path, text in texts.items()
                   if path.endswith(".c")}, breaches)
    print("\n".join(breaches + [f"layers: {len(texts)} files, "
                                f"{len(breaches)} breaches"]))
    return 1 if breaches or not texts else 0


sys.exit(main())
