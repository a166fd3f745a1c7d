"""What the probe reports about a node, with types; recorded facts are read the same way."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.foreign import Count
from experiments.fleet.cluster import Backend

LONGEST_WORDS = 4000
"""Characters of any text of a node."""


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=LONGEST_WORDS)


class Base(BaseModel):
    """Of `node-facts`, which every run records, what the doctor judges by.

    Attributes:
        memory_mib: RAM that programs may use; `available_mib` of it are free.
        wireless: None where that cannot be seen: what a hypervisor or a container is given.
        link_mbit: None where the interface does not report it.
        address_leased: whether the interface's addresses come by DHCP.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", str_max_length=LONGEST_WORDS)

    board: str | None = None
    cpu_model: str | None = None
    cores: Count = 1
    architecture: str
    kernel: str
    os: str | None = None
    emulated: bool = False
    memory_mib: Count | None = None
    available_mib: Count | None = None
    swap_mib: Count = 0
    nic: str = "lo"
    wireless: bool | None = None
    link_mbit: Count | None = None
    address_leased: bool | None = None
    machine_id: str | None = None
    boot_id: str | None = None
    clock_service: str | None = None
    clock_synchronised: bool = True


class MachineFacts(_Told):
    """What kind of machine it is.

    Attributes:
        container: what runs the container; None elsewhere.
        userland_bits: width of its programs, independent of its kernel.
        systemd: whether systemd is its process 1.
        clock_units: units that are installed and could keep the clock.
        root_without_password: whether the user may do anything as root without one; None if sudo
            does not say.
    """

    kind: Literal["native", "pi", "container", "wsl1", "wsl2"]
    container: str | None = None
    os_id: str | None = None
    userland_bits: Count | None = None
    dpkg_architecture: str | None = None
    systemd: bool = True
    clock_units: tuple[str, ...] = ()
    python: str = "3.11.0"
    root_without_password: bool | None = None


class Condition(_Told):
    """In which state it is.

    Attributes:
        root_type: the file system at `/`.
        starts_nothing: folders of engines or their builds where no program may start.
        has_modules: whether the running kernel's modules are still there.
        dpkg_stopped: whether installing a package was interrupted.
        throttled: hexadecimal bits of a Raspberry Pi's firmware, since boot or of now alone.
    """

    read_only: bool = False
    root_type: str | None = None
    starts_nothing: tuple[str, ...] = ()
    has_modules: bool = True
    dpkg_stopped: bool = False
    throttled: str | None = None
    throttled_since_boot: bool = False


class Root(_Told):
    """Who logs in, and whether that user can become root.

    Attributes:
        shell: the one that a login starts.
        program: path of sudo or its replacement; None where it is missing.
        asks: what it wants before it makes root of the user; `silent` if it does not end.
        says: its last words, in English.
        own_name_known: whether the machine finds its own name's address; asked where sudo is slow.
        is_rs: whether it is sudo-rs; `sudo_ws` whether the other sudo is also installed.
        setuid: whether the program gets root's rights by its mode and its file system.
        new_privileges: whether processes of this login may get rights at all.
    """

    user: str = "?"
    shell: str = "/bin/bash"
    is_root: bool = False
    groups: tuple[str, ...] = ()
    program: str | None = None
    doas: bool = False
    sudo_ws: bool = False
    asks: Literal["nothing", "password", "terminal", "refused", "silent"] | None = None
    says: str | None = None
    seconds: float = 0.0
    own_name_known: bool | None = None
    is_rs: bool = False
    setuid: bool = True
    new_privileges: bool = True


class Forward(_Told):
    """A port of Windows that is passed on to an address inside WSL."""

    port: Count
    to_address: str
    to_port: Count


class Wsl(_Told):
    """WSL as the guest sees it; None for what it does not report.

    Attributes:
        networking: `nat`, `mirrored`, `virtioproxy` or `none`.
        engine_rule: whether Windows' firewall has llama-herd's rule for engines.
        windows_libcuda: whether the driver's library from Windows is there.
        linux_libcuda: libraries of a Linux driver, which hide that one.
    """

    version: str | None = None
    networking: str | None = None
    forwards: tuple[Forward, ...] | None = None
    engine_rule: bool | None = None
    windows_libcuda: bool = False
    linux_libcuda: tuple[str, ...] = ()


class NvidiaGpu(_Told):
    """A GPU that the driver lists; old drivers do not report the compute capability."""

    name: str
    driver: str
    compute_capability: str | None = None
    memory_mib: Count | None = None


class RenderGpu(_Told):
    """A GPU by AMD or Intel, which the kernel drives.

    Attributes:
        node: where programs open it.
    """

    name: str
    driver: str
    node: str


class Module(_Told):
    """The driver's kernel module: the version that is loaded, and whether one is installed.

    Attributes:
        name: what the distribution calls it, such as `nvidia-current`.
        keys: files of the keys that this system signs modules with.
    """

    name: str | None = None
    loaded: str | None = None
    installed: bool = False
    signer: str | None = None
    keys: tuple[str, ...] = ()


class Gpus(_Told):
    """GPUs by NVIDIA, their driver, and what keeps it from loading.

    Attributes:
        tegra: whether it is a Jetson, whose GPU is part of the processor.
        others: GPUs by other makers.
        vulkan_drivers: files that name Vulkan's drivers to its loader.
    """

    on_bus: Count = 0
    gpus: tuple[NvidiaGpu, ...] = ()
    nvidia_smi: str | None = None
    nvidia_smi_error: str | None = None
    module: Module = Module()
    nouveau: bool = False
    secure_boot: bool | None = None
    driver_packages: tuple[str, ...] = ()
    tegra: bool = False
    others: tuple[RenderGpu, ...] = ()
    vulkan_drivers: tuple[str, ...] = ()

    @property
    def is_there(self) -> bool:
        """Whether the machine has one, be it usable or not."""
        return bool(self.on_bus or self.gpus)


class Toolkit(_Told):
    """A folder with CUDA's compiler, or its runtime alone."""

    path: str
    conda: bool
    compiler: bool
    version: str | None = None


class Login(_Told):
    """What the user's shell finds after a login."""

    nvcc: str | None = None
    conda_prefix: str | None = None
    ld_library_path: str | None = None


class Cuda(_Told):
    """CUDA toolkits and what sees them: a plain environment, a login shell, the loader's cache."""

    toolkits: tuple[Toolkit, ...] = ()
    nvcc_plain: str | None = None
    login: Login | None = None
    loader_libcuda: tuple[str, ...] = ()
    loader_libcudart: tuple[str, ...] = ()


class PetalsImports(_Told):
    """What importing PyTorch, bitsandbytes and Petals led to.

    Attributes:
        modules: those that were imported.
        module: the one that was not; `error` says why.
    """

    torch_sees_gpu: bool | None = None
    modules: tuple[str, ...] = ()
    module: str | None = None
    error: str | None = None


class Python(_Told):
    """A Python environment with PyTorch, Petals or bitsandbytes.

    Attributes:
        torch_cuda: CUDA that PyTorch was built for; None for a build for the CPU.
        bitsandbytes_cuda: CUDA versions that it has a library for, such as `121`.
    """

    path: str
    kind: Literal["venv", "conda", "system"]
    torch: str | None = None
    torch_cuda: str | None = None
    bitsandbytes: str | None = None
    bitsandbytes_cuda: tuple[str, ...] = ()
    petals: str | None = None
    imported: PetalsImports | None = None


class Firewall(_Told):
    """A firewall that is on, other than llama-herd's own table.

    Attributes:
        kind: `ufw`, `firewalld`, `nftables` (its service), `iptables` (rules loaded at boot),
            `rules` (of unknown origin), `docker`, or the name of another one's service.
        lets_in: whether it lets engines in; None where an ordinary user cannot see it.
        chain: of nft's, with its table.
    """

    kind: str
    lets_in: bool | None = None
    chain: str | None = None


class Network(_Told):
    """Connections.

    Attributes:
        addresses: own IPv4 addresses to their interfaces.
        interface: the one that engines use.
        is_tunnel: whether that belongs to a virtual network (VPN).
        mtu: largest packet of it, in bytes.
        leaves_by: other nodes to the own interface by which packets to them leave.
        listening: TCP ports beyond loopback.
        ufw: as recorded before `firewalls` were.
        peers: other nodes to why their SSH server is not reached; None where one answers.
        peer_keys: other nodes to the host key of the machine that answers there.
        host_keys: the node's own.
    """

    addresses: dict[str, str] = {}
    interface: str = "lo"
    is_tunnel: bool = False
    mtu: Count | None = None
    leaves_by: dict[str, str | None] = {}
    listening: tuple[Count, ...] = ()
    ufw: bool = False
    firewalls: tuple[Firewall, ...] = ()
    peers: dict[str, str | None] = {}
    peer_keys: dict[str, str] = {}
    host_keys: tuple[str, ...] = ()


class Provisioned(_Told):
    """What provisioning left on a node.

    Attributes:
        helper: whether llama-herd's helper is there.
        gpu_engines: engine name to the interface by which it was installed for a GPU.
    """

    helper: bool = False
    gpu_engines: dict[str, Backend] = {}


class Disk(_Told):
    """Room on a file system that models or logs go to.

    Attributes:
        free_files: how many more files it can hold; None where it does not count them.
    """

    path: str
    total_mib: Count
    free_mib: Count
    free_files: Count | None = None


class Facts(_Told):
    """Everything that a node reported.

    Attributes:
        root: None where it was not looked at, as `condition`.
        pythons_left_out: whether there were more environments than are looked at.
        closed_homes: home folders that could not be looked into.
    """

    base: Base
    machine: MachineFacts
    root: Root | None = None
    condition: Condition | None = None
    wsl: Wsl | None = None
    gpu: Gpus = Gpus()
    cuda: Cuda = Cuda()
    provisioned: Provisioned = Provisioned()
    pythons: tuple[Python, ...] = ()
    pythons_left_out: bool = False
    closed_homes: tuple[str, ...] = ()
    network: Network = Network()
    disks: tuple[Disk, ...] = ()
