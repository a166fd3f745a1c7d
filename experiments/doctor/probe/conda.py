"""Conda environments of all users of the machine."""

from __future__ import annotations

from experiments.doctor.probe.place import Place

NAMES = (
    *("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba", "miniconda", "anaconda"),
    *("conda", "miniforge", "mamba", ".miniconda3", ".mamba", ".micromamba", ".conda"),
    *("micromamba/base", ".local/share/mamba", ".local/share/conda", ".local/share/miniconda3"),
)
ANY_NAME = ("*/conda-meta", "*/envs/*/conda-meta", "*/.pixi/envs/*/conda-meta")
"""Folder that every environment has, at the usual depths below a home."""


def homes(place: Place) -> list[str]:
    """Home folders, the own one first."""
    return list(dict.fromkeys((place.home, *place.found("/root", "/home/*"))))


def closed_homes(place: Place) -> list[str]:
    """Other people's homes that this user may not look into: their content is not reported."""
    return [home for home in place.found("/home/*") if not place.is_open(home)]


def conda_environments(place: Place) -> list[str]:
    """Folders of Conda's base environments and of those inside and next to them."""
    parents = [*homes(place), "/opt", "/usr/local", "/srv"]
    named = place.found(*(f"{parent}/{name}" for parent in parents for name in NAMES))
    marked = place.found(*(f"{parent}/{name}" for parent in parents for name in ANY_NAME))
    bases = [*named, *(folder.rpartition("/")[0] for folder in marked)]
    inside = place.found(*(f"{base}/envs/*" for base in bases))
    listed = [
        line.strip()
        for home in homes(place)
        for line in place.text(f"{home}/.conda/environments.txt").splitlines()
    ]
    every = dict.fromkeys([*bases, *inside, *listed])
    return [folder for folder in every if folder and place.is_folder(f"{folder}/bin")]
