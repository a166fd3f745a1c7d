"""One connection: what is asked in it, and in which order it is done."""

from __future__ import annotations

import contextlib
import json
import os
import select

from herd_node import places
from herd_node.cards import number_of_nvidia
from herd_node.firewall import Firewall
from herd_node.gpus import GpuMeter, gpu_facts
from herd_node.ground import DAY_S, PIECE_BYTES, RefusalError
from herd_node.messages import Reply, Request
from herd_node.meters import Energy, Throttling
from herd_node.node import facts, holder, listening_inodes, network_interface, reading
from herd_node.privileges import (
    ANSWER_S,
    NodeLock,
    check_program,
    file_stamp,
    log_bytes,
    read_log,
    require_ours,
    sha256_of,
    start_gpu_proof,
    start_unit,
)
from herd_node.systemd import Systemd
from herd_node.units import Launch, Unit, stop_all

REQUEST_BYTES = 4 << 20
"""Of a whole request. The kernel takes 2 MiB of arguments."""
TAIL_BYTES = 1024
MOST_BYTES = 1 << 40
LOCK_S = 5.0
"""How long another may still hold the node to try its GPU, or is letting go of it."""
GPU_UNIT = "herd-gpu"
GPU_ANSWER_BYTES = 64 << 10


class Conversation:
    """One connection."""

    def __init__(self) -> None:
        self._systemd = Systemd()
        self._interface = network_interface()
        self._throttling = Throttling()
        self._energy = Energy()
        self._lock: NodeLock | None = None
        self._firewall = Firewall()
        self._units: dict[str, Unit] = {}
        self._gpus: dict[str, GpuMeter] = {}
        self._weights: dict[str, tuple[str, str]] = {}
        self._run: tuple[Unit, Reply] | None = None
        self._launch: Launch | None = None

    def serve(self) -> None:
        """Answer until the other side is gone; then nothing of it stays."""
        try:
            self._converse()
        except BrokenPipeError:
            pass
        finally:
            if self._lock is not None:
                stop_all(self._systemd)

    def _converse(self) -> None:
        received = b""
        while True:
            ready = self._wait()
            if self._launch is not None and self._launch.settled():
                self._launch = None
            if self._run is not None and self._run[0].ended():
                self._finish_run(*self._run)
            if 0 not in ready:
                continue
            piece = os.read(0, PIECE_BYTES)
            if not piece:
                break
            received += piece
            while b"\n\n" in received:
                whole, _, received = received.partition(b"\n\n")
                self.answer(whole.decode("utf-8", "replace").split("\n"))
            if len(received) > REQUEST_BYTES:
                Reply("unknown").refuse(f"a request has at most {REQUEST_BYTES} bytes")
                break

    def _wait(self) -> list[int]:
        watched = [0]
        if self._run is not None and self._run[0].pidfd is not None:
            watched.append(self._run[0].pidfd)
        looks = [self._throttling.look(), self._energy.look()] if self._units else []
        looks += [gpu.look() for gpu in self._gpus.values() if self._units]
        wait_s = min((look for look in looks if look is not None), default=None)
        if self._launch is not None:
            wait_s = self._launch.pause_s()
        elif self._run is not None and len(watched) == 1:
            wait_s = 0.004
        return select.select(watched, [], [], wait_s)[0]

    def _reading(self) -> dict[str, object]:
        gpu = next(iter(self._gpus.values()), None)
        return {**reading(self._interface, self._throttling), **(gpu.reading() if gpu else {})}

    def _joules(self) -> dict[str, object]:
        """The node's energy counters; of a node without, that of the GPU that a unit has."""
        gpu = next(iter(self._gpus.values()), None)
        return self._energy.reading() or (gpu.energy() if gpu else {})

    def _watch_gpu(self, request: Request) -> None:
        """Look at the GPU that a unit is to have, from before it starts until it is forgotten."""
        # Those whose unit was refused a start are gone, too.
        self._gpus = {name: gpu for name, gpu in self._gpus.items() if name in self._units}
        wish = request.gpu()
        number = number_of_nvidia(wish.backend, wish.number) if wish else None
        if number is not None:
            self._gpus[request.unit()] = GpuMeter(number)

    def answer(self, lines: list[str]) -> bool:
        """Do what is asked; whether it was done, or has begun."""
        reply = Reply("unknown")
        try:
            request = Request(lines)
            reply = Reply(request.verb)
            verb = getattr(self, f"verb_{request.verb}", None)
            if verb is None:
                words = f"this helper has no verb {lines[0][:60]!r}: provision the node again"
                raise RefusalError(words)  # noqa: TRY301 - answered as every other refusal
            verb(request, reply)
        except RefusalError as refusal:
            reply.refuse(refusal)
        except BrokenPipeError:
            raise
        except OSError as error:
            reply.refuse(f"{error.strerror}: {error.filename}")
        else:
            return True
        return False

    def verb_run(self, request: Request, reply: Reply) -> None:
        """A root: start it; the reply comes when it has ended."""
        if self._run is not None:
            raise RefusalError(f"{self._run[0].name} is running, and one root runs at a time")
        self._watch_gpu(request)
        reply.pairs("before", self._reading())
        reply.pairs("energy_before", self._joules())
        self._run = self._begin(request), reply

    def _finish_run(self, unit: Unit, reply: Reply) -> None:
        self._run = None
        reply.pairs("energy_after", self._joules())
        reply.pairs("props", unit.shown())
        reply.pairs("after", self._reading())
        self._tell_weights(unit, reply)
        unit.logs(reply)
        reply.send()
        # After the reply: nobody waits for it.
        self._forget(unit)

    def verb_start(self, request: Request, reply: Reply) -> None:
        """A worker or a server: start it; the reply comes when it is ready."""
        if self._launch is not None:
            raise RefusalError("another unit is being started")
        port = request.port()
        request.number("ready", DAY_S, default="30")  # before anything begins
        if port is None and not request.text("line"):
            raise RefusalError("nothing was named that would show that it is ready")
        self._watch_gpu(request)
        reply.pairs("before", self._reading())
        taken = listening_inodes(port) if port is not None else []
        if taken:
            raise RefusalError(f"port {port} is taken by {holder(taken)}; stop that program")
        self._launch = Launch(self._begin(request), reply, request)

    def verb_stop(self, request: Request, reply: Reply) -> None:
        """A unit: stop it and hand over what it wrote."""
        unit = self._unit(request)
        props = unit.shown()
        props.update((key, value) for key, value in unit.used().items() if props.get(key) is None)
        unit.stop()
        reply.pairs("props", props)
        reply.pairs("after", self._reading())
        self._tell_weights(unit, reply)
        unit.logs(reply)
        reply.send()
        self._forget(unit)

    def verb_fetch(self, request: Request, reply: Reply) -> None:
        """A worker that lives on: what it wrote since; how it ended if it does not."""
        unit = self._unit(request)
        places = request.number("out_from", MOST_BYTES), request.number("err_from", MOST_BYTES)
        ended = unit.ended()
        reply.part("alive", "no" if ended else "yes")
        reply.pairs("props", unit.shown() if ended else unit.used())
        reply.pairs("after", self._reading())
        self._tell_weights(unit, reply)
        unit.logs(reply, *places)
        reply.send()

    def verb_halt(self, request: Request, reply: Reply) -> None:
        """A root, at once; the reply to its `run` comes in addition."""
        self._unit(request).stop()
        reply.send()

    def verb_watch(self, request: Request, reply: Reply) -> None:
        """The end of a root's output while it works."""
        unit = request.unit()
        end = log_bytes(unit, "out")
        if end is not None:
            reply.part("tail", read_log(unit, "out", max(0, end - TAIL_BYTES), TAIL_BYTES))
        self._tell_unwell(reply)
        reply.send()

    def verb_own(self, request: Request, reply: Reply) -> None:
        """This connection owns the node until it ends."""
        if self._lock is not None:
            raise RefusalError("this connection owns the node already")
        self._interface = network_interface(request.text("address"))
        lock = NodeLock()
        if not lock.taken(LOCK_S):
            reply.part("owner", lock.signed())
            if request.text("force") == "yes":
                lock.end_holder()
            if request.text("force") != "yes" or not lock.taken(10.0):
                lock.close()
                raise RefusalError("another runner owns it")
        try:
            lock.sign(request.text("who"))
        except OSError:  # such as a full disk
            lock.close()
            raise
        self._lock = lock
        self.verb_clean(request, reply)
        # After the reply: what is found right now need not be looked at when an engine starts.
        with contextlib.suppress(RefusalError):
            self._firewall.require()

    def verb_clean(self, _request: Request, reply: Reply) -> None:
        """Stop what a killed runner left."""
        self._units.clear()
        self._gpus.clear()
        self._weights.clear()
        left = stop_all(self._systemd)
        if left:
            raise RefusalError(f"these units do not stop: {', '.join(left)}")
        reply.send()

    def verb_energy(self, _request: Request, reply: Reply) -> None:
        """What the energy counters say at this moment."""
        reply.pairs("energy", self._joules())
        reply.send()

    def verb_facts(self, request: Request, reply: Reply) -> None:
        """What the node is."""
        facts(reply, network_interface(request.text("address")))
        counted = self._energy
        told = {"obstacle": counted.obstacle} if counted.obstacle else {"counters": counted.names()}
        reply.pairs("energy", told)
        reply.part("gpus", json.dumps(gpu_facts()))
        reply.send()

    def verb_gpu(self, request: Request, reply: Reply) -> None:
        """What the GPU of an engine is like, and whether it computes in a unit as that engine's.

        Nothing else may run meanwhile, here or for another runner: it uses the GPU.
        """
        if self._units:
            raise RefusalError(f"{', '.join(self._units)} would be disturbed")
        lock = NodeLock() if self._lock is None else None
        try:
            if lock is not None:
                if not lock.taken(LOCK_S):
                    reply.part("owner", lock.signed())
                    raise RefusalError("another runner owns the node, whom it would disturb")
                lock.sign("a look at its GPU")
                # What a killed runner left, or a killed look: it would disturb this one.
                stop_all(self._systemd)
            self._prove_gpu(request, reply)
        finally:
            if lock is not None:
                lock.close()

    def _prove_gpu(self, request: Request, reply: Reply) -> None:
        start_gpu_proof(self._systemd, GPU_UNIT, request.text("engine"), request.gpu_index())
        unit = Unit(self._systemd, GPU_UNIT, begun=True)
        try:
            if unit.pidfd is not None:
                select.select([unit.pidfd], [], [], ANSWER_S)
            answer = read_log(unit.name, "out", 0, GPU_ANSWER_BYTES)
            if not answer.endswith(b"}\n"):
                ended = unit.shown()["Result"] if unit.ended() else "still running"
                raise RefusalError(f"the program that tries the GPU gave no answer ({ended})")
            reply.part("gpu", answer)
            reply.send()
        finally:
            self._forget(unit)

    def verb_hash(self, request: Request, reply: Reply) -> None:
        """Of a model file."""
        path = request.text("file")
        stamp = file_stamp(path)
        reply.part("sha256", sha256_of(path))
        if file_stamp(path) != stamp:
            raise RefusalError(f"{path[:200]!r} was changed while it was read")
        reply.part("stamp", stamp)
        reply.send()

    def verb_firewall(self, _request: Request, reply: Reply) -> None:
        """Whether the ports of engines are guarded, as the kernel says."""
        self._firewall.require()
        reply.part("firewall", "guards" if self._firewall.wanted() else "off")
        reply.send()

    def verb_space(self, _request: Request, reply: Reply) -> None:
        """Room for logs."""
        status = os.statvfs(places.ATTEMPTS)
        reply.part("available_kib", str(status.f_bavail * status.f_frsize // 1024))
        reply.send()

    def verb_ping(self, _request: Request, reply: Reply) -> None:
        """A sign of life."""
        self._tell_unwell(reply)
        reply.send()

    def _tell_unwell(self, reply: Reply) -> None:
        """Add the units whose process has ended or is frozen."""
        states = {name: unit.unwell() for name, unit in self._units.items()}
        reply.pairs("unwell", states)

    def _begin(self, request: Request) -> Unit:
        if self._lock is None:
            raise RefusalError("this connection does not own the node")
        words = check_program(request)
        name = request.unit()
        for port in request.ports(words):
            self._firewall.require_for(port)
        weights = request.text("weights")
        if weights:
            self._weights[name] = weights, file_stamp(weights)
        start_unit(self._systemd, name, request)
        unit = Unit(self._systemd, name, begun=True)
        self._units[name] = unit
        return unit

    def _tell_weights(self, unit: Unit, reply: Reply) -> None:
        """Add the stamp of the weights that a unit read, if they are what they were before it."""
        path, stamp = self._weights.get(unit.name, ("", ""))
        if path:
            reply.part("weights", stamp if file_stamp(path) == stamp else "changed")

    def _unit(self, request: Request) -> Unit:
        name = request.unit()
        if name not in self._units:
            require_ours(self._systemd, name)
            return Unit(self._systemd, name)
        return self._units[name]

    def _forget(self, unit: Unit) -> None:
        self._units.pop(unit.name, None)
        self._gpus.pop(unit.name, None)
        self._weights.pop(unit.name, None)
        unit.stop()
        unit.forget()
