"""What both sides of a guidance are told in the end: ComfyUI completes one by the other, and adds sizes, when a sampling begins."""

from __future__ import annotations

from nodes.comfyui.builder import Builder
from nodes.comfyui.values import Entry, Guider, NoCounterpart, Size

UNKNOWN = (1024, 1024)
"""The size that Stable Diffusion XL is told of a picture whose own is not known here."""
SCORES = {True: 6.0, False: 2.5}
"""How beautiful the refiner is told that a picture is: under the condition, and under the negative one."""


def both_sides(b: Builder, guider: Guider, size: Size | None) -> tuple[list[Entry], list[Entry] | None]:
    """The conditions of both sides; None for the negative one where there is no guidance.

    Raises NoCounterpart for an area and a mask at once, and for an area with a ControlNet.
    """
    positive = list(guider.positive.entries)
    negative = None if guider.negative is None else list(guider.negative.entries)
    for entry in (*positive, *(negative or ())):
        if entry.area is not None and (entry.mask is not None or entry.controls):
            raise NoCounterpart(
                "has a condition with an area, and a mask or a ControlNet besides, which is not drawn here"
            )
    if negative is not None:
        _share_areas(positive, negative)
        _share_areas(negative, positive)
        _share_controls(positive, negative)
        negative = [_sized(b, guider, entry, size, False) for entry in negative]
    return [_sized(b, guider, entry, size, True) for entry in positive], negative


def _share_areas(some: list[Entry], others: list[Entry]) -> None:
    """Each area of one side is an area of the other, too, told what the smallest there says that holds it."""
    for entry in some:
        if entry.area is None:
            continue
        around = [other for other in others if other.area is None or other.area.holds(entry.area)]
        inner = [other for other in around if other.area is not None]
        best = min(inner, key=lambda other: other.area.height * other.area.width if other.area else 0, default=None)
        best = best or next(iter(around), None)
        if best is not None and best.area != entry.area:
            others.append(entry._replace(ref=best.ref, pooled=best.pooled, sizes=best.sizes))


def _share_controls(positive: list[Entry], negative: list[Entry]) -> None:
    """ControlNetApply's networks work for the negative conditions too, where these have none."""
    given = [
        entry.controls for entry in positive if entry.area is None and any(control.both for control in entry.controls)
    ]
    places = [n for n, entry in enumerate(negative) if entry.area is None and not entry.controls]
    if any(entry.controls and entry.area is None for entry in negative) or not places:
        return
    for n, controls in enumerate(given):
        place = places[n % len(places)]
        negative[place] = negative[place]._replace(controls=controls)


def _sized(b: Builder, guider: Guider, entry: Entry, size: Size | None, positive: bool) -> Entry:
    """A condition with the sizes that Stable Diffusion XL is told: its own, or those of what is drawn."""
    sizes, family = entry.sizes, guider.model.family
    if sizes is None:
        if not family:
            return entry
        if size is None:
            b.tell(
                "Stable Diffusion XL is told 1024 × 1024 pixels of a picture whose size the file does not say; see size_condition"
            )
        whole = list(size or UNKNOWN)
        params = {"original": whole, "aesthetic_score": SCORES[positive]} if family == "refiner" else {"original": whole, "target": whole}  # fmt: skip
        sizes = b.once("size_condition", "sizes", params, {})
    ref = b.once("combine_conditions", "told", {}, {"a": entry.ref, "b": sizes})
    return entry._replace(ref=ref)
