"""Turns Python files into a C header with their bytecode: embed.py SOURCE... HEADER. Must run under the Python that
wick-python embeds; the magic number is written too, so that a mismatch is noticed at the start, not as a crash."""

import importlib.util
import marshal
import os
import sys

*sources, header = sys.argv[1:]
codes = []
for source in sources:
    with open(source, encoding="utf-8") as f:
        codes.append(compile(f.read(), "<wick>/" + os.path.basename(source), "exec", optimize=2))
data = marshal.dumps(tuple(codes))
with open(header, "w", encoding="ascii") as f:
    f.write("static const long bootstrap_magic = %d;\n" % int.from_bytes(importlib.util.MAGIC_NUMBER, "little"))
    f.write("static const unsigned char bootstrap_code[%d] = {\n" % len(data))
    for i in range(0, len(data), 16):
        f.write("\t" + ", ".join("0x%02x" % b for b in data[i : i + 16]) + ",\n")
    f.write("};\n")
