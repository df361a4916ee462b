"""Become another program that does not outlive its supervisor.

`python launch.py --parent PID --signal N [--user NAME] [--reach] -- PROGRAM ARGS...`

Runs in a process of its own instead of in a `preexec_fn`, which is not safe
in a program with threads. It is a script, not a module: only the standard
library, nothing of ours imported, so that it costs 20 ms.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *values: int) -> None:
    arguments = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *arguments) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def drop_to(user: str, reach: bool) -> None:
    """Give up root for `user`; with `reach`, still pass folders closed to it.

    A checkout may lie below a folder that only root may enter, such as /root
    or a `mktemp -d`. One capability, CAP_DAC_OVERRIDE, then lets the server
    come to its own files; nothing else of root's power stays.
    """
    entry = pwd.getpwnam(user)
    if reach:
        # The change of user must not take the capability away, and access(2),
        # which initdb asks, must count it too.
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    kept = 1 << CAP_DAC_OVERRIDE if reach else 0
    header = (ctypes.c_uint32 * 2)(CAP_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)  # effective, permitted, inheritable
    if libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    if reach:
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)
    os.environ.update(HOME=entry.pw_dir, USER=user, LOGNAME=user)


def main(arguments: list[str]) -> None:
    """Drop, tie the life to the parent's, and become the program."""
    cut = arguments.index("--")
    flags, program = arguments[:cut], arguments[cut + 1 :]
    if "--user" in flags:
        drop_to(flags[flags.index("--user") + 1], "--reach" in flags)
    # After the drop: a change of user clears it.
    _prctl(PR_SET_PDEATHSIG, int(flags[flags.index("--signal") + 1]))
    if os.getppid() != int(flags[flags.index("--parent") + 1]):
        sys.exit("the supervisor is gone")  # it died before we tied ourselves to it
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
