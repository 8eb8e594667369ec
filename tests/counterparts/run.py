"""Any program that serves, until standard input ends. Arguments: the program and its own."""

import os
import sys

import group

group.end_with_stdin()
os.execv(sys.argv[1], sys.argv[1:])
