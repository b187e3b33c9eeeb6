"""Commands without the seconds of their imports, for tests of what they do later.

A server, which is this file as a script, imports what `python -m scaling.train` needs, and forks a
command for each request. It starts with the first request of a test process and ends with that
process. A command has a server of its own for the processes that it starts: workers, local jobs and
those of joblib.
What a test says about the start of a command needs a real one, see `processes.typed`.
"""

import atexit
import contextlib
import ctypes
import fcntl
import functools
import gc
import importlib
import inspect
import itertools
import json
import multiprocessing.util
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PR_SET_CHILD_SUBREAPER = 36  # see prctl(2)
MOST = 1 << 17  # bytes of a request
IMPORTED = ("command", "sweep", "executors.pool", "executors.slurm")
# how many processes a command forks; it starts others, with their imports; all by default
NUMBER = "FORKED_PROCESSES"
BY_DEFAULT = {signal.SIGINT: signal.SIG_DFL, signal.SIGTERM: signal.SIG_DFL}


class Command(subprocess.Popen):
    """`python -m MODULE ARGUMENTS` or `python -c CODE ARGUMENTS`; see `subprocess.Popen`."""

    def _execute_child(self, *given) -> None:
        asked = inspect.signature(super()._execute_child).bind(*given).arguments
        streams = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        self.pid = _fork(
            asked["args"],
            {number: number if fd == -1 else fd for number, fd in enumerate(streams)},
            os.environ if asked["env"] is None else asked["env"],
            folder=asked["cwd"],
            session=asked["start_new_session"],
        )
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in pipes))


def _fork(
    words: Sequence[str],
    descriptors: Mapping[int, int],
    variables: Mapping[str, str],
    *,
    folder: str | Path | None = None,
    session: bool = False,
) -> int:
    """Ask for a command: its words, and descriptors by their number there; return its process."""
    _, kind, what, *arguments = [word for word in words if word != "-u"]
    request = {
        "kind": kind, "what": what, "arguments": arguments, "numbers": list(descriptors),
        "session": session, "folder": str(folder or os.getcwd()), "variables": dict(variables),
    }  # fmt: skip
    with _adopting():
        _send(_server(), request, list(descriptors.values()))
        return int(_server().recv(MOST))


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Become the parent of a process below this one whose parent ends."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0)


_own: list[socket.socket] = []  # in a command: the link to its server


def _server() -> socket.socket:
    return _own[-1] if _own else _of_the_tests()


@functools.cache
def _of_the_tests() -> socket.socket:
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
    said, descriptors, _, _ = socket.recv_fds(link, MOST, 32)
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 200) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    return json.loads(said or "{}"), moved


def _serve(link: socket.socket, handlers: Mapping[int, Any]) -> None:
    """Fork a command for each request, with these signal handlers, until the link is closed."""
    while (received := _receive(link))[0]:
        if "forkserver" in received[0]:
            link.close()
            _become(*received, handlers)
        if os.fork() == 0:
            between = os.getpid()
            if os.fork():
                os._exit(0)
            while os.getppid() == between:
                time.sleep(0.001)
            link.send(str(os.getpid()).encode())
            link.close()
            _set(handlers)
            _command(*received)
            sys.exit()
        os.wait()
        for descriptor in received[1]:
            os.close(descriptor)


def _set(handlers: Mapping[int, Any]) -> dict[int, Any]:
    """Set signal handlers; return those that they replace."""
    return {number: signal.signal(number, to) for number, to in handlers.items()}


def _take(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    for descriptor, number in zip(descriptors, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def _command(request: dict, descriptors: Sequence[int]) -> None:
    """Do what Python does with its words after the imports."""
    if request["session"]:
        os.setsid()
    _take(descriptors, request["numbers"])
    os.chdir(request["folder"])
    _environment(request["variables"])
    searched = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [request["folder"], *filter(None, searched)]
    sys.argv[1:] = request["arguments"]
    pid = _begin_server()
    multiprocessing.util.spawnv_passfds = _workers(multiprocessing.util.spawnv_passfds, pid)
    sys.modules["submitit.local.local"].subprocess = SimpleNamespace(Popen=_jobs())
    with contextlib.suppress(ImportError):
        loky = importlib.import_module("joblib.externals.loky.backend.fork_exec")
        loky.fork_exec = _of_joblib(loky.fork_exec)
    if request["kind"] == "-c":
        exec(request["what"], {"__name__": "__main__"})
    else:
        runpy.run_module(request["what"], run_name="__main__", alter_sys=True)


def _begin_server() -> int:
    """Fork the server of a command before the command begins."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _serve(theirs, _set(BY_DEFAULT))
        os._exit(0)
    theirs.close()
    _own.append(ours)
    return pid


def _jobs() -> Callable[..., subprocess.Popen]:
    """Start the controllers of local jobs, and each controller its job."""
    kinds = itertools.chain(
        itertools.repeat(Command, _number()), itertools.repeat(subprocess.Popen)
    )
    return lambda *arguments, **more: next(kinds)(*arguments, **more)


def _number() -> int:
    return int(os.environ.get(NUMBER, MOST))


def _workers(start: Callable, server: int) -> Callable:
    """Let the server of a command become the server of its workers, which Python would start."""

    def start_forked(path: str, arguments: Sequence[str], descriptors: Sequence[int]) -> int:
        code = arguments[-1]
        if "forkserver" not in code or not _number():
            return start(path, arguments, descriptors)
        request = {"forkserver": code, "numbers": descriptors, "variables": dict(os.environ)}
        _send(_server(), request, descriptors)
        return server

    return start_forked


def _of_joblib(start: Callable) -> Callable:
    left = itertools.chain(itertools.repeat(True, _number()), itertools.repeat(False))

    def start_forked(words: Sequence[str], kept: Sequence[int], env: Mapping | None = None) -> int:
        if "--process-name" not in words or not next(left):
            return start(words, kept, env)
        return _fork(words, {fd: fd for fd in (0, 1, 2, *kept)}, os.environ | dict(env or {}))

    return start_forked


def _become(request: dict, descriptors: Sequence[int], handlers: Mapping[int, Any]) -> None:
    _set(handlers)
    _environment(request["variables"])
    _take(descriptors, request["numbers"])
    exec(request["forkserver"])
    os._exit(0)


if __name__ == "__main__":
    from scaling.runs import threads

    threads.sleep_while_waiting()
    for name in IMPORTED:
        importlib.import_module(f"scaling.sweeps.{name}")
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])), {})
