# Turns each line into a C string.
s/\\/\\\\/g
s/"/\\"/g
s/.*/"&\\n"/
