"""English prose out of Debian documentation packages, a .txt per package,
documents separated by an empty line.

  python inputs/smollm2/text.py FOLDER_WITH_UNPACKED_DEBS OUT

Licences differ by package (PostgreSQL, PSF, GFDL, MIT/Apache, GPL-2): the text
is made here when needed and never committed.
"""
import gzip
import os
import re
import sys
import warnings
from multiprocessing import Pool

from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning

warnings.filterwarnings("ignore", category=XMLParsedAsHTMLWarning)

# name: package, part of the path that its pages have
SOURCES = {"postgresql": ("postgresql-doc-15", "html"),
           "python": ("python3.11-doc", "html"),
           "debian": ("debian-reference-en", ""),
           "gimp": ("gimp-help-en", ""),
           "rust": ("rust-doc", "book"),
           "linux": ("linux-doc-6.1", "html")}
COMMON = set("the of and to a in is that for it as with on be this".split())
MOST_PAGES = 3000


def prose(path):
    """Paragraphs and headings of one page; "" unless it is English."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as f:
        page = BeautifulSoup(f.read(), "lxml")
    for tag in page(["script", "style", "nav", "header", "footer", "table",
                     "pre"]):
        tag.decompose()
    kept = []
    for tag in page.find_all(["p", "h1", "h2", "h3"]):
        text = " ".join(tag.get_text(" ").split())
        if len(text) > (60 if tag.name == "p" else 3):
            kept.append(text)
    words = re.findall(r"[a-z']+", " ".join(kept).lower())
    share = sum(w in COMMON for w in words) / max(1, len(words))
    return "\n".join(kept) if len(words) >= 50 and share > 0.2 else ""


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    unpacked, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    for name, (package, part) in SOURCES.items():
        folder = os.path.join(unpacked, package)
        paths = sorted(os.path.join(d, f) for d, _, fs in os.walk(folder)
                       for f in fs if re.search(r"\.html?(\.gz)?$", f))
        paths = [p for p in paths if part in p[len(folder):]
                 and not os.path.islink(p)][:MOST_PAGES]
        with Pool(2) as pool:
            docs = dict.fromkeys(t for t in pool.map(prose, paths, 8) if t)
        with open(os.path.join(out, name + ".txt"), "w") as f:
            f.write("\n\n".join(docs))
        print(f"{name}: {len(paths)} pages, {len(docs)} documents, "
              f"{sum(map(len, docs))} characters", flush=True)


if __name__ == "__main__":
    main()
