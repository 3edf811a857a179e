"""Programs that try to cheat, to break out or to use up the machine.

Each comes with a hidden test that passes exactly if the attack works, so a contained attack never gets the verdict
"ok". `$name` is filled in by `sandbox_target.Target`.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

from r1hf.sandbox import Limits

FAST = Limits(wall=0.5, cpu=1, total=20)  # for those that only a limit on time ends
PATIENT = Limits(wall=20, cpu=20, total=60)
FORKING = Limits(wall=0.5, cpu=1, total=20, fork=True, processes=24)
ANY = frozenset({"wrong", "runtime_error", "timeout", "out_of_memory"})


@dataclass(frozen=True)
class Attack:
    """`verdicts` are those that a contained attack may get. `harmless`: may run without a sandbox, and works there."""

    name: str
    code: str
    tests: tuple[dict[str, Any], ...]
    verdicts: frozenset[str] = ANY
    limits: Limits = PATIENT
    harmless: bool = False


def _reach(name: str, code: str, *, harmless: bool = False) -> Attack:
    """The body raises where it is stopped."""
    body = textwrap.indent(textwrap.dedent(code).strip(), "    ")
    program = (
        f"try:\n{body}\nexcept BaseException as error:\n    print(type(error), error)\nelse:\n    print('ESCAPED')\n"
    )
    return Attack(name, program, ({"stdin": "", "stdout": "ESCAPED"},), ANY, PATIENT, harmless)


def _use_up(name: str, code: str, *verdicts: str, limits: Limits | None = None) -> Attack:
    limits = limits or (FAST if "timeout" in verdicts or not verdicts else PATIENT)
    program = textwrap.dedent(code) + "\nprint('ESCAPED')\n"
    return Attack(name, program, ({"stdin": "", "stdout": "ESCAPED"},), frozenset(verdicts) or ANY, limits)


def _fool(name: str, code: str, expected: Any, *verdicts: str) -> Attack:
    test = {"function": "solve", "args": [3], "expected": expected}
    return Attack(name, textwrap.dedent(code), (test,), frozenset(verdicts) or ANY)


def _print(name: str, code: str, stdout: str, *verdicts: str) -> Attack:
    return Attack(name, textwrap.dedent(code), ({"stdin": "3\n", "stdout": stdout},), frozenset(verdicts) or ANY)


def _cross(name: str, leave: str, look: str) -> Attack:
    """The second case prints a number that only the first one was given."""
    leave, look = (textwrap.indent(textwrap.dedent(part).strip(), "    ") for part in (leave, look))
    program = (
        "import ctypes, os, sys, threading\nword, *rest = input().split()\nnumber = int(rest[0]) if rest else 0\n"
        f"def leave():\n{leave}\ndef look():\n{look}\n"
        "try:\n    found = leave() if word == 'first' else look()\nexcept BaseException as error:\n    found = error\n"
        "print('left' if word == 'first' else found)\n"
    )
    tests = ({"stdin": "first 7319\n", "stdout": "left\n"}, {"stdin": "second\n", "stdout": "7319\n"})
    return Attack(name, program, tests, frozenset({"wrong", "runtime_error"}))


_CALL = "import ctypes; libc = ctypes.CDLL(None, use_errno=True); libc.syscall.restype = ctypes.c_long\n"
_TAKE = "if {call} < 0: raise OSError(ctypes.get_errno())"


def _syscall(name: str, call: str, *, harmless: bool = False) -> Attack:
    return _reach(name, _CALL + _TAKE.format(call=call), harmless=harmless)


# What an allow-list of system calls has to keep out, above all where Landlock is the only wall.
_CALLS = [
    _reach(
        "signal by a pipe",
        "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, $pid)\nfcntl.fcntl(r, 10, 23)",
        harmless=True,
    ),
    _reach(
        "signal by a pipe, another way",
        "import fcntl, os, struct\nr, w = os.pipe()\nfcntl.fcntl(r, 15, struct.pack('ii', 1, $pid))",
        harmless=True,
    ),
    _reach(
        "signal by a pair of sockets",
        "import fcntl, socket, struct\na, b = socket.socketpair()\nfcntl.ioctl(a, 0x8901, struct.pack('i', $pid))",
        harmless=True,
    ),
    _reach(
        "datagram out of a pair",
        "import socket\na, b = socket.socketpair(1, socket.SOCK_DGRAM)\na.sendto(b'x', '$home/letters')",
        harmless=True,
    ),
    _reach(
        "datagram out of a pair to an abstract socket",
        "import socket\na, b = socket.socketpair(1, socket.SOCK_DGRAM)\na.sendto(b'x', '\\0$hidden')",
        harmless=True,
    ),
    _reach(
        "message out of a pair",
        "import socket\na, b = socket.socketpair(1, socket.SOCK_DGRAM)\na.sendmsg([b'x'], [], 0, '$home/letters')",
        harmless=True,
    ),
    _reach(
        "connect a pair anew",
        "import socket\na, b = socket.socketpair(1, socket.SOCK_DGRAM)\na.connect('$home/letters')",
        harmless=True,
    ),
    _reach(
        "a stream pair sends elsewhere",
        "import socket\na, b = socket.socketpair()\nb.close()\na.sendto(b'x', '$home/letters')",
    ),
    _reach(
        "descriptors under way",
        "import os, socket\na, b = socket.socketpair()\nsocket.send_fds(a, [b'x'], [0])",
        harmless=True,
    ),
    _reach("a larger pipe", "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(w, 1031, 1 << 20)", harmless=True),
    _reach(
        "larger buffers of a pair",
        "import socket\na, b = socket.socketpair()\na.setsockopt(1, socket.SO_SNDBUF, 1 << 24)",
        harmless=True,
    ),
    _syscall("descriptors of its own", "libc.syscall(ctypes.c_long(436), 900, 901, 2)", harmless=True),
    _reach("session of the parent", "import os\nos.getsid($pid)", harmless=True),
    _reach("group of the parent", "import os\nos.getpgid($pid)", harmless=True),
    _reach("cores of the parent", "import os\nos.sched_getaffinity($pid)", harmless=True),
    _reach("scheduler of the parent", "import os\nos.sched_getscheduler($pid)", harmless=True),
    _reach("priority of the parent, read", "import os\nos.getpriority(0, $pid)", harmless=True),
    _syscall(
        "clock of the parent",
        "libc.clock_gettime(ctypes.c_int(~$pid << 3 | 2), ctypes.create_string_buffer(16))",
        harmless=True,
    ),
    _reach("a handle on the parent", "import os\nos.pidfd_open($pid)", harmless=True),
    _syscall("memory of the machine", "libc.sysinfo(ctypes.create_string_buffer(256))", harmless=True),
    _reach(
        "another program", "import os, sys\nos.execv(sys.executable, ['x', '-c', 'print(\"ESCAPED\")'])", harmless=True
    ),
    _reach("watch a directory", "import ctypes\nassert ctypes.CDLL(None).inotify_init() >= 0", harmless=True),
    _reach("an attribute of a file", "import os\nos.setxattr('$home/.ssh/id_ed25519', 'user.x', b'x')"),
    _reach("times of a file", "import os\nos.utime('$home/.ssh/id_ed25519', (1, 1))", harmless=True),
    _reach("owner of a file", "import os\nos.chown('$home/.ssh/id_ed25519', os.getuid(), os.getgid())", harmless=True),
    _reach("empty a file", "import os\nos.truncate('$home/.ssh/id_ed25519', 0)"),
    _reach("empty a file while opening it", "import os\nos.open('$home/.ssh/id_ed25519', os.O_RDONLY | os.O_TRUNC)"),
    _reach("link a file", "import os\nos.link('$home/.ssh/id_ed25519', '$home/link')"),
    _reach("rename a file", "import os\nos.rename('$home/.ssh/id_ed25519', '$home/stolen')"),
    _syscall("semaphores", "libc.semget(0, 1, 0o1600)", harmless=True),
    _syscall("user faults", "libc.syscall(ctypes.c_long($userfaultfd), 1)"),
    _syscall("programs in the kernel", "libc.syscall(ctypes.c_long($bpf), 0, ctypes.create_string_buffer(128), 128)"),
    _syscall(
        "a thread with descriptors of its own",
        "libc.clone(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda _: 0), "
        "ctypes.addressof(stack := ctypes.create_string_buffer(1 << 16)) + (1 << 15), 0x10900, None)",
    ),
]

# numpy opens, maps and loads files by itself, and starts compilers.
_NUMPY = [
    _reach("numpy reads text", "import numpy as np\nnp.genfromtxt('/etc/passwd', dtype=str, delimiter='\\n')"),
    _reach("numpy reads bytes", "import numpy as np\nnp.fromfile('$home/.ssh/id_ed25519', 'u1')[0]", harmless=True),
    _reach("numpy maps a file", "import numpy as np\nnp.memmap('$home/.ssh/id_ed25519')[0]", harmless=True),
    _reach("numpy loads a file", "import numpy as np\nnp.load('$home/.ssh/id_ed25519')"),
    _reach("numpy opens a URL", "import numpy as np\nnp.lib.npyio.DataSource().open('http://127.0.0.1:$port/x')"),
    _reach("numpy writes bytes", "import numpy as np\nnp.arange(3).tofile('$home/owned')"),
    _reach("numpy writes text", "import numpy as np\nnp.savetxt('$home/owned', [1])"),
    _reach("numpy maps a new file", "import numpy as np\nnp.lib.format.open_memmap('$home/owned', 'w+', 'u1', (9,))"),
    _reach("numpy changes a file", "import numpy as np\nnp.memmap('$home/.ssh/id_ed25519', mode='r+')[0] = 1"),
    _reach("numpy writes into itself", "import numpy as np\nopen(np.__file__, 'a').write('x')"),
    _reach("read beside numpy", "import numpy as np\nopen(np.__path__[0] + '/../yaml/__init__.py')", harmless=True),
    _reach(
        "numpy loads a library",
        "import numpy as np\nlibc = np.ctypeslib.load_library('libc.so.6', '/lib')\n"
        "raise SystemExit('denied') if libc.open(b'$home/.ssh/id_ed25519', 0) < 0 else 0",
    ),
    _reach(
        "a pickle in an array",
        """
        import io, os, pickle, numpy as np
        class Payload:
            def __reduce__(self):
                return open, ('$home/.ssh/id_ed25519',)
        file = io.BytesIO()
        np.save(file, np.array([Payload()], dtype=object), allow_pickle=True)
        file.seek(0)
        np.load(file, allow_pickle=True)
        """,
        harmless=True,
    ),
    _reach(
        "numpy starts a compiler",
        "import subprocess, sys, numpy.f2py as f2py\nf2py.compile('end', verbose=0)\nsubprocess.run([sys.executable])",
    ),
    _use_up("numpy, memory at once", "import numpy as np\nx = np.ones(1 << 34, 'u1')", "out_of_memory"),
    _use_up(
        "numpy, memory bit by bit",
        "import numpy as np\nx = []\nwhile True: x.append(np.ones(1 << 20, 'u1'))",
        "out_of_memory",
    ),
    _use_up("numpy, no end", "import numpy as np\nwhile True: np.linalg.svd(np.ones((200, 200)))", "timeout"),
    _fool(
        "an array equal to everything",
        """
        import numpy as np
        class Any(np.ndarray):
            def __eq__(self, other): return True
            def tolist(self): return self
        def solve(n): return np.zeros(1).view(Any)
        """,
        [3],
        "wrong",
    ),
]

_REACH = [
    _reach("read the environment", "import os\nos.environ['R1HF_CANARY']"),
    _reach("read /etc/shadow", "open('/etc/shadow').read()"),
    _reach("read /etc/passwd", "open('/etc/passwd').read()", harmless=True),
    _reach("read an SSH key", "open('$home/.ssh/id_ed25519').read()", harmless=True),
    _reach("read the Hub token", "open('$home/.cache/huggingface/token').read()", harmless=True),
    _reach("list a home directory", "import os\nos.listdir('$home')", harmless=True),
    _reach("stat a file of the host through a link", "import os\nos.symlink('$home', 'x')\nopen('x/.ssh/id_ed25519')"),
    _reach("environment of process 1", "assert open('/proc/1/environ').read()"),
    _reach("environment of the parent", "assert open('/proc/$pid/environ').read()", harmless=True),
    _reach("memory of the parent", "open('/proc/$pid/mem', 'rb')", harmless=True),
    _reach("own memory map", "open('/proc/self/maps').read()", harmless=True),
    _reach("read the test file", "open('$tests').read()", harmless=True),
    _reach("write outside", "open('$home/owned', 'w').write('x')", harmless=True),
    _reach("write beside the program", "import os\nopen(os.path.dirname(os.__file__) + '/owned.py', 'w')"),
    _reach("open a library for writing", "import os\nopen(os.__file__, 'r+')"),
    _reach("write to the root", "open('/owned', 'w')"),
    _reach("change a file's mode", "import os\nos.chmod('$home/.ssh/id_ed25519', 0o777)", harmless=True),
    _reach("connect to loopback", "import socket\nsocket.create_connection(('127.0.0.1', $port), 1)", harmless=True),
    _reach(
        "send a datagram to loopback",
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', $port))",
        harmless=True,
    ),
    _reach("ask a name server", "import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.53', 53))"),
    _reach("listen on a port", "import socket\nsocket.create_server(('127.0.0.1', 0))", harmless=True),
    _reach(
        "abstract unix socket",
        "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0$abstract')",
        harmless=True,
    ),
    _reach(
        "unix socket in the file system",
        "import socket\nsocket.socket(socket.AF_UNIX).connect('$home/socket')",
        harmless=True,
    ),
    _reach("netlink", "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)", harmless=True),
    _reach("signal the parent", "import os\nos.kill($pid, 0)", harmless=True),
    _reach("kill the parent", "import os\nos.kill($pid, 9)"),
    _reach("kill everything", "import os\nos.kill(-1, 9)"),
    _reach("kill the supervisor", "import os\nos.kill(os.getppid(), 9)"),
    _syscall("trace the parent", "libc.ptrace(0x4206, $pid, None, None)", harmless=True),
    _syscall("trace the supervisor", "libc.ptrace(0x4206, libc.getppid(), None, None)"),
    _reach("limits of the parent", "import resource\nresource.prlimit($pid, resource.RLIMIT_NOFILE)", harmless=True),
    _syscall("priority of the parent", "libc.setpriority(0, $pid, 19)"),
    _syscall("mount", "libc.mount(b'tmpfs', b'/sandbox', b'tmpfs', 0, None)"),
    _syscall("unmount", "libc.umount2(b'/sandbox', 2)"),
    _syscall("new user namespace", "libc.unshare(0x10000000)"),
    _reach("change the root", "import os\nos.chroot('/')"),
    _reach("become root", "import os\nos.setuid(0)\nopen('/etc/shadow')"),
    _reach("make a device", "import os\nos.mknod('disk', 0o60600, os.makedev(254, 0))\nopen('disk')"),
    _reach("kernel log", "open('/dev/kmsg')"),
    _reach("controlling terminal", "open('/dev/tty')"),
    _reach("shared memory directory", "open('/dev/shm/r1hf-owned', 'w')"),
    *_NUMPY,
    *_CALLS,
    _reach("POSIX shared memory", "from multiprocessing import shared_memory as m\nm.SharedMemory('x', True, 9)"),
    _syscall("System V shared memory", "libc.shmget(0, 4096, 0o1600)", harmless=True),
    _syscall("message queue", "libc.msgget(0, 0o1600)", harmless=True),
    _syscall("kernel keyring", "libc.syscall(ctypes.c_long($add_key), b'user', b'r1hf', b'x', ctypes.c_long(1), -2)"),
    _syscall("io_uring", "libc.syscall(ctypes.c_long(425), ctypes.c_long(4), ctypes.create_string_buffer(256))"),
    _reach("anonymous file", "import os\nos.memfd_create('x')", harmless=True),
    _reach("start a shell", "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'true'], check=True)", harmless=True),
    _reach("raise a limit", "import resource as r\nr.setrlimit(r.RLIMIT_AS, (r.RLIM_INFINITY, r.RLIM_INFINITY))"),
    _reach(
        "read other descriptors",
        """
        import os
        found = []
        for fd in range(3, 256):
            try:
                found.append(os.read(fd, 10))
            except OSError:
                pass
        assert found
        """,
    ),
]

_FOOL = [
    _print("exit at once", "exit(0)", "9\n"),
    _print("first line only", "print(1)", "1\n2\n3\n", "wrong"),
    _print("more than asked", "print(1)\nprint(2)\nprint(3)\nprint(4)", "1\n2\n3\n", "wrong"),
    _print("the score", "print('1.0')\nprint('PASSED')\nprint({'verdict': 'ok'})", "9\n", "wrong"),
    _print("nothing", "", "9\n", "wrong"),
    _print("right, then an error", "print(9)\nraise ValueError", "9\n", "runtime_error"),
    _print("a patched print", "import builtins\nbuiltins.print = lambda *a: None\nprint(9)", "9\n", "wrong"),
    _print("text about the text", "print('the answer is 9')", "9\n", "wrong"),
    _fool("leave in the function", "def solve(n): exit(0)", 9, "runtime_error"),
    _fool("leave on import", "import sys\nsys.exit(0)", 9, "runtime_error"),
    _fool("leave without cleaning up", "import os\ndef solve(n): os._exit(0)", 9, "runtime_error"),
    _fool("no way to leave", "import os\nos._exit = lambda status: None\ndef solve(n): return 8", 9),
    _fool(
        "equal to everything", "class E:\n    def __eq__(self, o): return True\ndef solve(n): return E()", 9, "wrong"
    ),
    _fool(
        "a number equal to everything",
        "class E(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\ndef solve(n): return E(8)",
        9,
        "wrong",
    ),
    _fool(
        "a text equal to everything",
        "class E(str):\n    def __eq__(self, o): return True\n    def encode(s, *a): return b'nine'\n"
        "def solve(n): return E('eight')",
        "nine",
        "wrong",
    ),
    _fool(
        "a list that lies",
        "class E(list):\n    def __iter__(s): return iter([1, 2])\n    def __len__(s): return 2\n"
        "    def __eq__(s, o): return True\ndef solve(n): return E([7])",
        [1, 2],
        "wrong",
    ),
    _fool("a lie about its class", "class E:\n    __class__ = int\ndef solve(n): return E()", 9),
    _fool("not a number", "def solve(n): return float('nan')", 9.0, "wrong"),
    _fool("true for one", "def solve(n): return True", 1, "wrong"),
    _fool("text for a number", "def solve(n): return '9'", 9, "wrong"),
    _fool("a list that holds itself", "def solve(n):\n    x = [1]\n    x.append(x)\n    return x", [1, [1]], "wrong"),
    _fool("deep nesting", "def solve(n):\n    x = []\n    for _ in range(9999): x = [x]\n    return x", [[]], "wrong"),
    _fool("a huge number", "def solve(n): return 10 ** 100000", 9, "wrong"),
    _fool("a generator", "def solve(n): yield 9", [9], "wrong"),
    _fool("a function", "def solve(n): return solve", 9, "wrong"),
    _fool("patched builtins", "import builtins\nbuiltins.isinstance = lambda *a: True\ndef solve(n): return {}", 9),
    _fool(
        "a patched harness",
        """
        import sys
        for name, module in list(sys.modules.items()):
            if name.startswith("inside."):
                for key in list(vars(module)):
                    if callable(vars(module)[key]):
                        setattr(module, key, lambda *a, **k: b"VT")
        def solve(n): return 8
        """,
        9,
    ),
    _fool(
        "forged answers on every pipe",
        """
        import os, struct
        head = struct.pack("<iBBddQIII", 0, 0, 0, 0.0, 0.0, 0, 0, 0, 3)
        frame = b"R" + head + b"SVT"
        def solve(n):
            for fd in range(0, 256):
                for data in (b"VT", b"T", len(frame).to_bytes(4, "little") + frame, b"ok", b"1.0"):
                    try:
                        os.write(fd, data)
                    except OSError:
                        pass
            os._exit(0)
        """,
        9,
    ),
    _fool(
        "keys of one hash",
        """
        import os
        prime = 2 ** 61 - 1
        keys = b"".join(b"i%x;n" % (prime * i) for i in range(1, 40001))
        def solve(n):
            for fd in range(3, 256):
                try:
                    os.write(fd, b"Vd%x;" % 40000 + keys)
                    os._exit(0)
                except OSError:
                    pass
        """,
        9,
    ),
    _fool(
        "search memory for the expected value",
        """
        import gc, sys
        def solve(n):
            frames, frame = [], sys._getframe()
            while frame:
                frames.append(frame.f_locals)
                frame = frame.f_back
            seen, todo = set(), [*gc.get_objects(), *frames, *sys.modules.values()]
            while todo:
                item = todo.pop()
                if id(item) in seen or len(seen) > 10**5:
                    continue
                seen.add(id(item))
                if type(item) is str and item.startswith("needle-") and len(item) > 20:
                    return item
                todo += gc.get_referents(item)
        """,
        "needle-in-a-haystack-needle",
        "wrong",
    ),
]

_GUESS = """
    import sys
    size, frame = 0, sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            for item in (value, *value.values()) if type(value) is dict else (value,):
                if type(item) is int and 1 << 20 < item < (1 << 20) + 64:
                    size = item - (1 << 20)
        frame = frame.f_back
    """
_CROSS = [
    _cross(
        "leave it in the directory's time",
        "os.utime('.', (number, number))",
        "return int(os.stat('.').st_mtime)",
    ),
    _cross("leave it in a file", "open('x', 'w').write(str(number))", "return open('x').read()"),
    _cross("leave it in /tmp", "open('/tmp/r1hf-x', 'w').write(str(number))", "return open('/tmp/r1hf-x').read()"),
    _cross("leave it in the directory's mode", "os.chmod('.', number & 0o777)", "return os.stat('.').st_mode & 0o777"),
    _cross(
        "leave it in numbers of files",
        "for _ in range(number):\n    open('x', 'w').close()\n    os.unlink('x')",
        "open('x', 'w').close()\nreturn os.stat('x').st_ino - 2",
    ),
    _cross(
        "leave it on stderr",
        "sys.stderr.write(f'needle={number};\\n')",
        """
        frame = sys._getframe()
        while frame:
            for value in frame.f_locals.values():
                if isinstance(value, (bytes, bytearray)) and b"needle=" in value:
                    return int(value.split(b"needle=")[1].split(b";")[0])
            frame = frame.f_back
        """,
    ),
    _cross(
        "leave it in the memory of the supervisor",
        "sys.stderr.write(f'needle={number};\\n' * 40)",
        """
        libc = ctypes.CDLL(None)
        libc.sbrk.restype = ctypes.c_void_p
        end = libc.sbrk(0)
        sign = b"needle="
        for back in range(1, 120):
            text = ctypes.string_at(end - back * 4096, 4096)
            at = text.find(sign + b"7")
            if at >= 0:
                return int(text[at + 7 : at + 11])
        """,
    ),
    _cross(
        "leave it in numbers of processes",
        "for _ in range(number):\n    thread = threading.Thread(target=int)\n    thread.start()\n    thread.join()",
        "return os.getpid() - 3",
    ),
    _cross(
        "leave it in a limit",
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))",
        "import resource\nreturn 7319 if resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 100 else 0",
    ),
    Attack(
        "guess by the limit on output",
        textwrap.dedent(_GUESS) + "print('YES' if size == 2 * len('YES\\n') + 1 else 'NO')",
        tuple({"stdin": "", "stdout": f"{word}\n"} for word in ("NO", "YES", "YES", "NO", "YES")),
        frozenset({"wrong"}),
    ),
    _fool(
        "a table of half distinct hashes",
        """
        import os
        prime = 2 ** 61 - 1
        keys = [prime * i for i in range(1, 20001)] + list(range(1, 20003))
        def solve(n):
            data = b"Vd%x;" % len(keys) + b"".join(b"i%x;n" % key for key in keys)
            for fd in range(3, 256):
                try:
                    os.write(fd, data)
                    os._exit(0)
                except OSError:
                    pass
        """,
        {1: 2},
        "wrong",
        "runtime_error",
    ),
    _fool("millions of small values", "def solve(n): return [None] * 3_000_000", [None], "wrong", "runtime_error"),
    _print("millions of lines", "import sys\nsys.stdout.write('\\n' * 900_000 + '9')", "9\n", "wrong"),
    _print("a number of a million digits", "print('9' + '.' + '0' * 1_000_000)", "8.5\n", "wrong"),
]

_BOMB = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
_USE_UP = [
    _use_up("infinite loop", "while True: pass", "timeout"),
    _use_up("sleep", "import time\ntime.sleep(1000)", "timeout"),
    _use_up("stop itself", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "timeout"),
    _use_up(
        "ignore every signal",
        "import signal\nfor s in range(1, 64):\n    try: signal.signal(s, signal.SIG_IGN)\n    except OSError: pass\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\nwhile True: pass",
        "timeout",
    ),
    _use_up("close everything", "import os, time\nos.closerange(0, 256)\ntime.sleep(1000)", "timeout"),
    _use_up("backtracking", "import re\nre.match(r'(a+)+$$', 'a' * 40 + 'b')", "timeout"),
    _use_up("huge number to text", "import sys\nsys.set_int_max_str_digits(0)\nstr(7 ** (10**7))", "timeout"),
    _use_up("huge power", "9 ** 9 ** 9", "timeout", "out_of_memory"),
    _use_up("endless recursion", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()"),
    _use_up("endless recursion in C", "import sys\nsys.setrecursionlimit(10**9)\nx = []\nx = eval('('*10**5)"),
    _use_up("memory at once", "x = bytearray(8 << 30)", "out_of_memory"),
    _use_up("memory bit by bit", "x = []\nwhile True: x.append(bytearray(1 << 20))", "out_of_memory"),
    _use_up("a long text", "x = 'x' * (1 << 40)", "out_of_memory"),
    _use_up(
        "decompression",
        "import zlib\nx = zlib.compress(bytes(10**7))\ny = [zlib.decompress(x) for _ in range(1000)]",
        "out_of_memory",
    ),
    _use_up("shared memory map", "import mmap\nx = mmap.mmap(-1, 8 << 30)\nx.write(bytes(1 << 20))"),
    _use_up("stdout flood", "import os\nwhile True: os.write(1, b'x' * 65536)", "runtime_error"),
    _use_up("stderr flood", "import os\nwhile True: os.write(2, b'x' * 65536)", "runtime_error"),
    _use_up("flood of lines", "while True: print('x' * 1000)", "runtime_error"),
    _fool("flood of a value", "def solve(n): return 'x' * (100 << 20)", 9, "runtime_error", "out_of_memory"),
    _use_up("one big file", "with open('f', 'wb') as f:\n    for _ in range(1000): f.write(bytes(1 << 20))"),
    _use_up(
        "many files that fill the disk",
        "for i in range(100):\n    with open(f'f{i}', 'wb') as f:\n        for _ in range(4): f.write(bytes(1 << 20))",
    ),
    _use_up("many small files", "for i in range(100000): open(f'f{i}', 'w').close()"),
    _use_up("nested directories", "import os\nwhile True:\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)"),
    _use_up("a sparse file", "with open('f', 'wb') as f: f.truncate(1 << 40)"),
    _use_up("descriptors", "import os\nx = [os.open('/dev/null', 0) for _ in range(100000)]"),
    _use_up("pipes", "import os\nx = [os.pipe() for _ in range(100000)]"),
    _use_up(
        "thread bomb",
        "import threading, time\nthreading.stack_size(1 << 15)\n"
        "x = [threading.Thread(target=time.sleep, args=(1000,)).start() for _ in range(100000)]",
    ),
    _use_up("fork bomb, forks denied", "import os\nwhile True: os.fork()", "runtime_error"),
    _use_up(
        "fork bomb", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "timeout", limits=FORKING
    ),
    _use_up(
        "orphan",
        """
        import ctypes, os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                ctypes.CDLL(None).prctl(15, b"$orphan", 0, 0, 0)
                for fd in range(256):
                    try: os.close(fd)
                    except OSError: pass
                while True: time.sleep(1)
            os._exit(0)
        os.wait()
        print("left behind")
        os._exit(0)
        """,
        limits=FORKING,
    ),
    _use_up(
        "orphan that keeps stdout", "import os, time\nif os.fork() == 0: time.sleep(99)\nos._exit(0)", limits=FORKING
    ),
    _use_up(
        "buffers of sockets",
        "import socket\nx = []\nwhile True:\n    x.append(socket.socketpair())\n    for s in x[-1]:\n"
        "        s.setblocking(False)\n        while s.send(bytes(1 << 16)): pass",
    ),
    _use_up(
        "locks",
        "import fcntl\nf = open('f', 'w')\nfor i in range(10**7): fcntl.lockf(f, fcntl.LOCK_EX, 1, 2 * i)",
    ),
    _use_up("large pages", "import mmap\nmmap.mmap(-1, 1 << 30, flags=0x40022)"),
    _use_up("crash", "import ctypes\nctypes.string_at(0)", "runtime_error"),
    _use_up("abort", "import os\nos.abort()", "runtime_error"),
    _use_up("kill itself", "import os\nos.kill(os.getpid(), 9)", "out_of_memory"),
]

WALLS = [*_REACH, *_CROSS]  # what a sandbox's own walls keep out; the rest is left to the harness and to limits
ATTACKS = [*WALLS, *_FOOL, *_USE_UP]
