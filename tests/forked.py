"""`python -m scaling.train` without the seconds of its imports, for tests of what it does later.

A server, which is this file as a script, imports what the command needs, and forks a command for
each request. It starts with the first request of a test process and ends with that process. What a
test says about the start of a command needs a real one, see `processes.typed`.
"""

import atexit
import contextlib
import ctypes
import fcntl
import functools
import gc
import importlib
import inspect
import json
import multiprocessing.util
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # see prctl(2)
MOST = 1 << 17  # bytes of a request
IMPORTED = ("command", "sweep", "executors.pool")
BY_DEFAULT = {signal.SIGINT: signal.SIG_DFL, signal.SIGTERM: signal.SIG_DFL}


class Command(subprocess.Popen):
    """A command, as a child of this process in a session of its own; see `subprocess.Popen`."""

    def _execute_child(self, *given) -> None:
        asked = inspect.signature(super()._execute_child).bind(*given).arguments
        streams = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        request = {"arguments": asked["args"], "folder": os.getcwd(), "variables": dict(os.environ)}
        with _adopting():
            _send(_server(), request, [n if fd == -1 else fd for n, fd in enumerate(streams)])
            self.pid = int(_server().recv(MOST))
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in pipes))


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Become the parent of a process below this one whose parent ends."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0)


@functools.cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    variables = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}
    process = subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())],
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        cwd=Path(__file__).parent, env=variables, start_new_session=True,
    )  # fmt: skip
    theirs.close()
    atexit.register(process.wait)
    atexit.register(ours.close)  # before it waits
    return ours


def _send(to: socket.socket, request: dict, descriptors: Sequence[int]) -> None:
    socket.send_fds(to, [json.dumps(request).encode()], descriptors)


def _receive(link: socket.socket) -> tuple[dict, list[int]]:
    """A request and its descriptors, numbered far above those that a process opens."""
    said, descriptors, _, _ = socket.recv_fds(link, MOST, 9)
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 200) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    return json.loads(said or "{}"), moved


def _serve(link: socket.socket) -> None:
    """Fork commands until the test process ends; returns in each command when it has ended."""
    for name in IMPORTED:
        importlib.import_module(f"scaling.sweeps.{name}")
    gc.freeze()
    while (received := _receive(link))[0]:
        if os.fork() == 0:
            between = os.getpid()
            if os.fork():
                os._exit(0)
            while os.getppid() == between:
                time.sleep(0.001)
            link.send(str(os.getpid()).encode())
            link.close()
            _command(*received)
            return
        os.wait()
        for descriptor in received[1]:
            os.close(descriptor)


def _take(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    for descriptor, number in zip(descriptors, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def _command(request: dict, streams: Sequence[int]) -> None:
    """Do what `python -m scaling.train` does after its imports."""
    os.setsid()
    _take(streams, range(3))
    os.chdir(request["folder"])
    _environment(request["variables"])
    searched = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [request["folder"], *filter(None, searched)]
    sys.argv[1:] = request["arguments"]
    multiprocessing.util.spawnv_passfds = _workers(multiprocessing.util.spawnv_passfds)
    runpy.run_module("scaling.train", run_name="__main__", alter_sys=True)


def _workers(start: Callable) -> Callable:
    """Fork the server of a command's workers before the command begins; return its start."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        usual = {number: signal.signal(number, to) for number, to in BY_DEFAULT.items()}
        request, descriptors = _receive(theirs)
        theirs.close()
        if not request:
            os._exit(0)  # the command has ended without workers
        for number, to in usual.items():
            signal.signal(number, to)
        _environment(request["variables"])
        _take(descriptors, request["numbers"])
        exec(request["code"])
        os._exit(0)
    theirs.close()

    def start_forked(path: str, arguments: Sequence[str], descriptors: Sequence[int]) -> int:
        code = arguments[-1]
        if "forkserver" not in code:
            return start(path, arguments, descriptors)
        request = {"code": code, "numbers": descriptors, "variables": dict(os.environ)}
        _send(ours, request, descriptors)
        return pid

    return start_forked


if __name__ == "__main__":
    from scaling.runs import threads

    threads.sleep_while_waiting()
    _serve(socket.socket(fileno=int(sys.argv[1])))
