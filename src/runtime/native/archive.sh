#!/bin/sh
# libwick.a: one object in which only the names of wick.h are global, so that a program's own names never meet ours.
# Arguments: static library in, archive out.
set -eu
object="$2.o"
ld -r -o "$object" --whole-archive "$1"
objcopy --wildcard --keep-global-symbol='wick_*' "$object"
rm -f "$2"
ar rcsD "$2" "$object"
rm -f "$object"
