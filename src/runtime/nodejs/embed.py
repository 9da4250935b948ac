"""Joins the files of a script into a C header: embed.py HEADER NAME FILE..."""

import sys

header, name = sys.argv[1:3]
data = b""
for source in sys.argv[3:]:
    with open(source, "rb") as f:
        data += f.read() + b"\n"
with open(header, "w", encoding="ascii") as f:
    f.write("static const unsigned char %s[%d] = {\n" % (name, len(data)))
    for i in range(0, len(data), 16):
        f.write("\t" + ", ".join("0x%02x" % b for b in data[i : i + 16]) + ",\n")
    f.write("};\n")
