"""Writes crc_tables.h: what crc.c needs to know of its three polynomials.

Each is reflected (least significant bit first). A table is for slicing by 8; the fold constants are
x^(D+63) and x^(D-1) mod P for D of 512 and 128 bits, reflected in 64 bits, for carry-less multiplication.
"""
import sys

POLYNOMIALS = {"crc32": (32, 0x04C11DB7), "crc32c": (32, 0x1EDC6F41), "crc64nvme": (64, 0xAD93D23594C93659)}


def reflect(value, bits):
    return int(format(value, "0%db" % bits)[::-1], 2)


def slices(width, poly):
    low = reflect(poly, width)
    first = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (low if byte & 1 else 0)
        first.append(byte)
    table = [first]
    for _ in range(7):
        table.append([before >> 8 ^ first[before & 255] for before in table[-1]])
    return table


def power(width, poly, exponent):
    value = 1
    for _ in range(exponent):
        value <<= 1
        if value >> width:
            value ^= 1 << width | poly
    return reflect(value, 64)


with open(sys.argv[1], "w") as out:
    out.write("/* Made by crc_tables.py. */\n")
    for name, (width, poly) in POLYNOMIALS.items():
        out.write("static const uint%d_t %s_slices[8][256] = {\n" % (width, name))
        for row in slices(width, poly):
            out.write("{" + ",".join("0x%xu%s" % (v, "ll" if width == 64 else "") for v in row) + "},\n")
        out.write("};\n")
        fold = [power(width, poly, e) for e in (512 + 63, 512 - 1, 128 + 63, 128 - 1)]
        out.write("static const _unused_ uint64_t %s_fold[4] = {%s};\n" % (name, ",".join("0x%xull" % v for v in fold)))
