"""Ansible module: have this machine run arm64 programs."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_emulation import register
from ansible.module_utils.lab_podman import LabError

DOCUMENTATION = """
module: lab_emulation
short_description: Register qemu-user for arm64 programs with the kernel
description:
  - Does nothing where such programs run already, with the rights that C(sudo) needs.
  - The module M(lab_nodes) with state absent takes it back when no node needs it any more.
author: llama-herd
"""


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec={})
    try:
        module.exit_json(changed=register())
    except LabError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
