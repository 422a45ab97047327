"""The `longhaul` command: one file for each of its commands, and `client` for what they share.

Data goes to stdout, everything else to stderr. Exit codes: 0 done; 1 the answer is no (a submission was refused, a
check found something); 2 wrong usage; 69 something that is needed does not answer; 78 a setting is wrong.
"""
