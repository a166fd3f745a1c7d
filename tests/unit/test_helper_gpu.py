"""Which units see a GPU, which of its devices, and what a request may say of it."""

from __future__ import annotations

import grp
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from herd_node import cards, confinement, conversation, places, privileges
from herd_node.allowed import Wish
from herd_node.cards import shown
from herd_node.ground import RefusalError
from herd_node.messages import Request
from herd_node.privileges import check_program, gpu_for

PROGRAM = "/opt/llama-herd/engines/llama.cpp/bin/llama-bench-vulkan"
CLIENT = "/usr/local/libexec/llama-herd/herd-ask"
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root makes devices")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A node with llama.cpp built for Vulkan; the folder of its engines."""
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    monkeypatch.setattr(privileges, "ROOT", os.getuid())
    monkeypatch.setattr(privileges, "MAKE_DEVICES", ("/bin/true",))
    monkeypatch.setattr(privileges, "asked", lambda *_: None)
    monkeypatch.setattr(places, "ENGINES", str(tmp_path / "engines"))
    write_record(tmp_path / "engines", "llama.cpp", {"gpu": "vulkan", "build": "b"})
    return tmp_path / "engines"


def write_record(engines: Path, engine: str, told: Mapping[str, object] | str) -> None:
    (engines / engine).mkdir(parents=True, exist_ok=True)
    lists: dict[str, list[str]] = {"options": [], "flags": [], "texts": []}
    text = told if isinstance(told, str) else json.dumps({"arguments": lists, **told})
    (engines / engine / "install.json").write_text(text)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in the place of a machine's; it has no GPU."""
    for name, place in (("DEVICES", "dev"), ("DRM", "drm"), ("NVIDIA", "nvidia")):
        (tmp_path / place).mkdir()
        monkeypatch.setattr(cards, name, str(tmp_path / place))
    return tmp_path


def make_device(path: Path, mode: int = 0o666, group: int = 0) -> str:
    path.parent.mkdir(exist_ok=True)
    os.mknod(path, stat.S_IFCHR, os.makedev(1, 3))
    path.chmod(mode)
    os.chown(path, 0, group)
    return str(path)


def add_nvidia(machine: Path, address: str, minor: int, *, tells: bool = True) -> None:
    """One of NVIDIA's GPUs, as its driver describes it."""
    make_device(machine / "dev" / f"nvidia{minor}")
    if tells:
        (folder := machine / "nvidia" / "gpus" / address).mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t X\nDevice Minor: \t {minor}\n")


def add_render(machine: Path, address: str, number: int, driver: str = "amdgpu") -> None:
    """A GPU with a device for computing and drawing."""
    make_device(machine / "dev" / "dri" / f"renderD{number}")
    make_device(machine / "dev" / "dri" / f"card{number - 128}")
    (device := machine / "devices" / address).mkdir(parents=True)
    (machine / "drivers" / driver).mkdir(parents=True, exist_ok=True)
    (device / "driver").symlink_to(machine / "drivers" / driver)
    (node := machine / "drm" / f"renderD{number}").mkdir()
    (node / "device").symlink_to(device)


def add_common(machine: Path) -> None:
    for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"):
        make_device(machine / "dev" / name)


def names_of(machine: Path, backend: str, index: int) -> list[str]:
    """Devices that a unit sees."""
    return [os.path.relpath(path, machine / "dev") for path in shown(backend, index).paths]


# -- which devices ------------------------------------------------------------------------


@as_root
def test_a_unit_sees_the_gpu_that_it_uses_and_no_other(machine: Path) -> None:
    """NVIDIA's numbers need not follow the order of the bus."""
    add_common(machine)
    add_nvidia(machine, "0000:01:00.0", 1)
    add_nvidia(machine, "0000:41:00.0", 0)
    add_render(machine, "0000:01:00.0", 129, "nvidia")
    add_render(machine, "0000:41:00.0", 130, "nvidia")
    add_render(machine, "0000:00:02.0", 128, "i915")
    add_render(machine, "0000:0b:00.0", 131)

    assert names_of(machine, "cuda", 0) == ["nvidia1", "nvidiactl", "nvidia-uvm"]
    assert names_of(machine, "cuda", 1) == ["nvidia0", "nvidiactl", "nvidia-uvm"]
    first = ["nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-modeset", "dri/renderD129"]
    assert names_of(machine, "vulkan", 0) == first
    assert names_of(machine, "vulkan", 1) == ["dri/renderD131"]
    assert names_of(machine, "vulkan", 2)[-1] == "dri/renderD130"
    assert names_of(machine, "vulkan", 3) == ["dri/renderD128"]
    with pytest.raises(RefusalError, match=r"no GPU 2 for cuda here \(0 is 0000:01:00\.0, 1 is "):
        shown("cuda", 2)
    with pytest.raises(RefusalError, match="no GPU 4 for vulkan here"):
        shown("vulkan", 4)


@as_root
def test_where_nvidias_driver_does_not_tell_its_gpus_their_numbers_count(machine: Path) -> None:
    for minor in (2, 0):
        add_nvidia(machine, "", minor, tells=False)
    assert names_of(machine, "cuda", 0) == ["nvidia0"]
    assert names_of(machine, "cuda", 1) == ["nvidia2"]


@as_root
def test_a_container_uses_the_gpu_that_it_was_given(machine: Path) -> None:
    """The kernel tells it of all."""
    add_nvidia(machine, "0000:01:00.0", 0)
    add_nvidia(machine, "0000:41:00.0", 1)
    add_render(machine, "0000:0b:00.0", 128)
    (machine / "dev" / "nvidia0").unlink()
    (machine / "dev" / "dri" / "renderD128").unlink()
    assert names_of(machine, "cuda", 0) == ["nvidia1"]
    assert names_of(machine, "vulkan", 0) == ["nvidia1"]


@as_root
def test_what_only_has_the_name_of_a_device_is_not_shown(machine: Path) -> None:
    add_nvidia(machine, "0000:01:00.0", 0)
    disk = make_device(machine / "dev" / "sda")
    (machine / "dev" / "nvidiactl").symlink_to(disk)
    (machine / "dev" / "nvidia-uvm").write_text("no device")
    os.mknod(machine / "dev" / "nvidia-modeset", stat.S_IFBLK, os.makedev(254, 0))
    assert names_of(machine, "vulkan", 0) == ["nvidia0"]


@as_root
def test_a_divided_gpu_is_shown_with_its_own_parts_alone(machine: Path) -> None:
    add_nvidia(machine, "0000:01:00.0", 0)
    for minor, part in ((0, 30), (1, 40)):
        folder = machine / "nvidia" / "capabilities" / f"gpu{minor}" / "mig" / "gi1" / "ci0"
        folder.mkdir(parents=True)
        (folder / "access").write_text(f"DeviceFileMinor: {part}\nDeviceFileMode: 256\n")
        make_device(machine / "dev" / "nvidia-caps" / f"nvidia-cap{part}")
    assert names_of(machine, "cuda", 0) == ["nvidia0", "nvidia-caps/nvidia-cap30"]


@as_root
def test_the_gpu_of_a_raspberry_pi_has_no_address_on_a_bus(machine: Path) -> None:
    add_render(machine, "fec00000.v3d", 128, "v3d")
    assert names_of(machine, "vulkan", 0) == ["dri/renderD128"]
    with pytest.raises(RefusalError, match=r"no GPU 1 for vulkan here \(0 is fec00000\.v3d"):
        shown("vulkan", 1)


@as_root
def test_without_a_gpu_vulkan_computes_in_software_and_sees_no_device(machine: Path) -> None:
    """The screen of a virtual machine is no GPU."""
    add_render(machine, "virtio0", 128, "virtio_gpu")
    given = shown("vulkan", 0)
    assert given.paths == []
    assert confinement.showing(given.paths) == []
    assert "VK_LOADER_DRIVERS_DISABLE=*lvp*" not in given.environment
    assert confined("vulkan", given)["PrivateDevices"] is True
    with pytest.raises(
        RefusalError, match=r"no GPU 1 for vulkan here \(0 is a software .*\): correct"
    ):
        shown("vulkan", 1)


@as_root
def test_in_wsl_there_is_one_device_for_all_gpus_and_windows_libraries(machine: Path) -> None:
    add_nvidia(machine, "0000:01:00.0", 0)
    make_device(machine / "dev" / "dxg")
    for backend in cards.BACKENDS:
        assert names_of(machine, backend, 0) == ["dxg"]
        assert "LD_LIBRARY_PATH=/usr/lib/wsl/lib" in shown(backend, 0).environment
    assert "CUDA_VISIBLE_DEVICES=1" in shown("cuda", 1).environment
    with pytest.raises(RefusalError, match="in WSL, GPU 1 cannot be chosen for vulkan"):
        shown("vulkan", 1)


@as_root
def test_to_the_programs_in_a_unit_its_gpu_is_number_0(machine: Path) -> None:
    """They see no other, and where software would be another, its driver is not loaded."""
    add_nvidia(machine, "0000:01:00.0", 0)
    add_nvidia(machine, "0000:41:00.0", 1)
    assert shown("cuda", 1).environment[:2] == [
        "CUDA_DEVICE_ORDER=PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES=0",
    ]
    vulkan = shown("vulkan", 1).environment
    assert vulkan[0] == "GGML_VK_VISIBLE_DEVICES=0"
    assert "VK_LOADER_DRIVERS_DISABLE=*lvp*" in vulkan


@as_root
def test_a_unit_is_fenced_against_every_other_device(machine: Path) -> None:
    paths = [make_device(machine / "dev" / name) for name in ("nvidia0", "nvidiactl")]
    policy, allowed, groups = confinement.showing(paths)
    assert policy == ["DevicePolicy", "s", "closed"]
    assert allowed[3:] == [word for path in paths for word in (path, "rw")]
    assert groups[2].value == 0
    assert confinement.showing([]) == []


@as_root
@pytest.mark.parametrize(
    ("mode", "group", "expected"),
    [
        *((0o666, "video", False), (0o660, "video", True), (0o640, "video", False)),
        *((0o600, "video", False), (0o660, "root", False), (0o660, "disk", False)),
        *((0o660, "kmem", False), (0o660, "adm", False), (0o660, 64_111, False)),
    ],
)
def test_a_unit_joins_a_group_only_where_a_device_is_for_it_alone(
    machine: Path,
    mode: int,
    group: str | int,
    expected: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    number = group if isinstance(group, int) else grp.getgrnam(group).gr_gid
    joined = str(number) if expected else ""
    path = make_device(machine / "dev" / "nvidia0", mode, number)
    assert confinement.group_needed(path) == joined


@as_root
@pytest.mark.usefixtures("engines")
def test_a_device_that_is_made_when_first_asked_for_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, machine: Path
) -> None:
    asked: list[tuple[str, ...]] = []

    def make(*argv: str) -> None:
        asked.append(argv)
        make_device(machine / "dev" / "nvidia-uvm")

    add_nvidia(machine, "0000:01:00.0", 0)
    monkeypatch.setattr(privileges, "asked", make)
    for _ in range(2):  # and no second time
        paths = gpu_for("llama.cpp", Wish("vulkan", 0)).paths
        assert paths[1:] == [f"{machine}/dev/nvidia-uvm"]
    assert asked == [("/bin/true",)]


# -- which fences -------------------------------------------------------------------------


def confined(backend: str | None, gpu: cards.Shown | None, engine: str = "x") -> dict[str, object]:
    """The switches and texts of a unit."""
    request = Request(["run", "deadline=9", f"arg={PROGRAM}", "env=GGML_NO_BACKTRACE=1"])
    given = confinement.properties("herd-x", request, engine, gpu)
    assert backend is None or (gpu is not None and gpu.backend == backend)
    return {str(name): value[-1] for name, _, *value in given}


def fences(given: Mapping[str, object]) -> set[str]:
    return {name for name in confinement.CONFINEMENT if given[name] is False}


@as_root
def test_a_unit_without_a_gpu_has_every_fence_and_one_with_it_all_but_two(machine: Path) -> None:
    add_nvidia(machine, "0000:01:00.0", 0)
    assert fences(confined(None, None)) == set()
    assert fences(confined("cuda", shown("cuda", 0))) == {"PrivateDevices"}
    assert fences(confined("vulkan", shown("vulkan", 0))) == {
        "PrivateDevices",
        "MemoryDenyWriteExecute",
    }
    assert fences(confined(None, None, "petals")) == {"MemoryDenyWriteExecute"}
    (machine / "dev" / "nvidia0").unlink()
    assert fences(confined("vulkan", shown("vulkan", 0))) == {"MemoryDenyWriteExecute"}


@as_root
def test_what_is_compiled_for_a_gpu_outlives_the_unit_in_a_folder_that_no_other_unit_may_write(
    machine: Path,
) -> None:
    add_nvidia(machine, "0000:01:00.0", 0)
    assert "CacheDirectory" not in confined(None, None)
    for backend in ("cuda", "vulkan"):
        given = confined(backend, gpu := shown(backend, 0))
        assert given["CacheDirectory"] == "llama-herd"
        assert str(given["CacheDirectoryMode"]) == "c_uint(448)"  # 0700
        named = [one.partition("=")[2] for one in gpu.environment if "CACHE" in one]
        assert named
        assert set(named) == {"/var/cache/llama-herd"}


# -- what a request and a record may say --------------------------------------------------


def asked(*lines: str, program: str = PROGRAM) -> Request:
    return Request(["run", f"arg={program}", *lines])


def granted(request: Request) -> None:
    """As before a start: refuse what is not allowed."""
    check_program(request)
    wish = request.gpu()
    if wish:
        gpu_for(request.engine(), wish)


@pytest.mark.usefixtures("engines", "machine")
def test_an_engine_gets_the_gpu_that_it_was_built_for() -> None:
    granted(asked())
    granted(asked("gpu=vulkan"))
    granted(asked("gpu=vulkan", "gpu_index=0"))
    assert asked().gpu() is None
    assert asked("gpu=cuda", "gpu_index=15").gpu() == Wish("cuda", 15)


@pytest.mark.usefixtures("engines", "machine")
@pytest.mark.parametrize(
    "lines",
    [
        ["gpu=cuda"],
        *(["gpu="], ["gpu=Vulkan"], ["gpu=vulkan "], ["gpu=all"], ["gpu=../vulkan"], ["gpu=cpu"]),
        ["gpu=" + "x" * 100_000],
        *(["gpu=vulkan", "gpu=vulkan"], ["gpu=vulkan", "gpu=cuda"]),
        ["gpu_index=0"],
        *(
            ["gpu=vulkan", f"gpu_index={index}"]
            for index in ("-1", "1", "16", "1000000000", "../0", "0/../1", "0x0", "\u0660", "*")
        ),
        ["gpu=vulkan", "gpu_index=0", "gpu_index=1"],
        ["gpu=vulkan", "gpu_index=0", "gpu_index=0"],
    ],
    ids=lambda lines: " ".join(lines)[:40],
)
def test_no_other_word_for_a_gpu_shows_anything(lines: list[str]) -> None:
    with pytest.raises(RefusalError) as refused:
        granted(asked(*lines))
    assert len(str(refused.value)) < 300


@pytest.mark.usefixtures("engines", "machine")
def test_the_client_uses_no_gpu() -> None:
    with pytest.raises(RefusalError, match="only an engine uses a GPU"):
        granted(asked("gpu=vulkan", program=CLIENT))


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    "told",
    [
        *({"build": "b"}, {"gpu": None, "build": "b"}, {"gpu": "cuda", "build": "b"}),
        *({"gpu": "vulkan", "build": None}, {"gpu": "vulkan"}, {"gpu": True, "build": "b"}),
        {"gpu": ["vulkan"], "build": "b"},
        {"gpu": {"vulkan": 1}, "build": "b"},
        {"method": "cuda", "build": "b"},
        *('["vulkan"]', '{"gpu": "vulkan"', "", "null", '"vulkan"'),
    ],
    ids=str,
)
def test_a_record_that_names_no_such_build_shows_no_gpu(
    engines: Path, told: Mapping[str, object] | str
) -> None:
    """Of no engine: neither of the one that is asked for, nor of another beside it."""
    write_record(engines, "llama.cpp", told)
    write_record(engines, "petals", {"gpu": "vulkan", "build": "b"})
    with pytest.raises(RefusalError, match="does not say that llama"):
        gpu_for("llama.cpp", Wish("vulkan", 0))


@pytest.mark.usefixtures("machine")
def test_a_record_that_is_not_roots_alone_shows_no_gpu(engines: Path) -> None:
    (engines / "llama.cpp" / "install.json").chmod(0o666)
    with pytest.raises(RefusalError, match="is not root's alone"):
        gpu_for("llama.cpp", Wish("vulkan", 0))


@pytest.mark.usefixtures("engines", "machine")
def test_a_variable_of_a_gpu_says_what_the_request_says() -> None:
    three = ("GGML_VK_VISIBLE_DEVICES=3", "CUDA_VISIBLE_DEVICES=3", "CUDA_DEVICE_ORDER=PCI_BUS_ID")
    for assignment in three:
        check_program(asked("gpu=vulkan", "gpu_index=3", f"env={assignment}"))
        with pytest.raises(RefusalError, match="no variable for an engine"):
            check_program(asked(f"env={assignment}"))
    for assignment in (
        *("GGML_VK_VISIBLE_DEVICES=0,1", "GGML_VK_VISIBLE_DEVICES=4", "GGML_VK_VISIBLE_DEVICES="),
        *("CUDA_VISIBLE_DEVICES=all", "CUDA_DEVICE_ORDER=FASTEST_FIRST", "LD_LIBRARY_PATH=/x"),
        *("VK_ICD_FILENAMES=/x.json", "VK_LAYER_PATH=/x", "CUDA_INJECTION64_PATH=/x.so"),
        *("MESA_SHADER_CACHE_DIR=/x", "LIBGL_DRIVERS_PATH=/x", "NVIDIA_TF32_OVERRIDE=0"),
    ):
        with pytest.raises(RefusalError, match="no variable for an engine"):
            check_program(asked("gpu=vulkan", "gpu_index=3", f"env={assignment}"))


# -- the verb that tries a GPU ------------------------------------------------------------


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "is not below"),
        (["engine=../llama.cpp"], "is not below"),
        (["engine=.."], "is not below"),
        (["engine=petals"], "No such file"),
        (["engine=distributed-llama"], "names no GPU for distributed-llama"),
        (["engine=llama.cpp", "gpu_index=1"], "there is no GPU 1 for vulkan here"),
        (["engine=llama.cpp", "gpu_index=-1"], "must be a number"),
        (["engine=llama.cpp", "gpu_index=16"], "between 0 and 15"),
        (["engine=llama.cpp", "gpu_index=0", "gpu_index=0"], "gpu_index is named twice"),
    ],
)
def test_only_an_engine_that_is_built_for_a_gpu_has_it_tried(
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    engines: Path,
    lines: list[str],
    told: str,
) -> None:
    write_record(engines, "distributed-llama", {"gpu": None, "build": "b"})
    monkeypatch.setattr(places, "ATTEMPTS", str(engines.parent / "attempts"))
    monkeypatch.setattr(places, "LOCK", str(engines.parent / "lock"))
    monkeypatch.setattr(conversation, "Systemd", lambda: None)
    assert not conversation.Conversation().answer(["gpu", *lines])
    assert told in capfdbinary.readouterr().out.decode()
    assert privileges.NodeLock().taken(0.0)


def test_what_a_killed_helper_left_is_stopped_before_a_gpu_is_tried_unless_it_is_the_owners_own(
    monkeypatch: pytest.MonkeyPatch, engines: Path
) -> None:
    """A unit that is still there keeps its name, and would use the GPU meanwhile."""
    monkeypatch.setattr(places, "ATTEMPTS", str(engines.parent / "attempts"))
    monkeypatch.setattr(places, "LOCK", str(engines.parent / "lock"))
    monkeypatch.setattr(conversation, "Systemd", lambda: None)
    done: list[str] = []
    monkeypatch.setattr(conversation, "stop_all", lambda _systemd: done.append("stopped"))

    def tried(*_given: object) -> None:
        done.append("tried")
        raise RefusalError("it is only looked at whether it comes to this")

    monkeypatch.setattr(conversation, "start_gpu_proof", tried)
    talk = conversation.Conversation()
    talk.answer(["gpu", "engine=llama.cpp"])
    assert done == ["stopped", "tried"]
    talk._lock = privileges.NodeLock()
    talk.answer(["gpu", "engine=llama.cpp"])
    assert done == ["stopped", "tried", "tried"]
    talk._lock.close()


def test_a_gpu_is_not_tried_while_another_runner_has_the_node(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    monkeypatch.setattr(places, "ATTEMPTS", str(tmp_path / "attempts"))
    monkeypatch.setattr(places, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(conversation, "Systemd", lambda: None)
    monkeypatch.setattr(conversation, "LOCK_S", 0.01)
    other = privileges.NodeLock()
    assert other.taken(0.0)
    other.sign("user=a host=b")
    assert not conversation.Conversation().answer(["gpu", "engine=llama.cpp"])
    answer = capfdbinary.readouterr().out.decode()
    assert "user=a host=b" in answer
    assert "another runner owns the node" in answer


def test_a_variable_is_assigned_once_and_the_helpers_own_value_counts() -> None:
    asked, ours = ["A=b=c", "GGML_VK_VISIBLE_DEVICES=1"], ["GGML_VK_VISIBLE_DEVICES=0"]
    assert confinement.assignments(asked, ours) == ["A=b=c", "GGML_VK_VISIBLE_DEVICES=0"]
