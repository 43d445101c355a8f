"""The inside of a sampling: a denoiser for each condition, networks beside them, guidance, what keeps what is known."""

from __future__ import annotations

from typing import Any

from graph_runner.format.workflow import Node, Place
from nodes.comfyui.builder import Builder
from nodes.comfyui.told import both_sides
from nodes.comfyui.values import Control, Entry, Guider, Model, Ref, Size

LAST = 999
"""Stable Diffusion's noisiest timestep: their shares of the way are counted from it."""


class Inside:
    """The nodes of a zone's body, and what it gives. size: of what is drawn, in pixels, where it is known."""

    def __init__(
        self, b: Builder, zone: str, guider: Guider, size: Size | None, inpainting: dict[str, Any] | None
    ) -> None:
        self.b, self.zone, self.size = b, zone, size
        self.nodes, self.guide, self.result = dict[str, Node](), "", ""
        self.row, self.share = 0, dict[int, str]()
        self.z: Ref = f"{zone}.z"
        model = whole(b, guider.model)
        about = {"t": f"{zone}.t", "schedule": model.schedule}
        positive, negative = both_sides(b, guider, size)
        if inpainting is not None:
            self.z = self._add("inpaint_latent", "seen", {}, {"z": self.z, **inpainting, **about})
        if (
            negative is not None
            and len(positive) == len(negative) == 1
            and positive[0].controls == negative[0].controls
        ):
            told = self._controlled(positive[0], negative[0])
            positive, negative = ([entry] for entry in told)
        cond = self.result = self._predicted("cond", model, positive)
        if negative is not None:
            uncond = self._predicted("uncond", model, negative)
            wires = {"cond": cond, "uncond": uncond}
            self.result = self.guide = self._add("cfg_combine", "guide", {"scale": float(guider.scale)}, wires)
            if model.rescale:
                wires = {"guided": self.guide, "cond": cond}
                self.result = self._add("cfg_rescale", "rescaled", {"amount": model.rescale}, wires)
        if inpainting is not None:
            kept = {name: ref for name, ref in inpainting.items() if name != "noise"}
            wires = {"prediction": self.result, "z": f"{zone}.z", **kept, **about}
            self.result = self._add("inpaint_prediction", "kept", {}, wires)

    def _add(self, type: str, wanted: str, params: dict[str, Any], wires: dict[str, Any]) -> str:
        id = self.b.name(wanted)
        given = {name: value for name, value in params.items() if value is not None}
        wired = {name: ref for name, ref in wires.items() if ref is not None}
        self.nodes[id] = Node(type=type, params=given, wires=wired)
        column = 0 if type.startswith(("denoise", "apply_")) else 1
        self.b.layout[id] = Place(at=(248 + 280 * column, 54 + 164 * self.row))  # right of the zone's own settings
        self.row += 1
        return id

    def _predicted(self, wanted: str, model: Model, entries: list[Entry]) -> Ref:
        """The prediction under conditions: of one, or their mean by strength, of those that count at this place and timestep."""
        entries = [self._controlled(entry, None)[0] for entry in entries]
        if not all(entry.everywhere for entry in entries):
            return self._regional(wanted, model, entries)
        predicted = [self._denoised(wanted, model, entry) for entry in entries]
        if len(predicted) == 1 and entries[0].always:
            return predicted[0]
        if all(entry.always for entry in entries):
            total = sum(entry.strength for entry in entries) or 1.0
            weights = [entry.strength / total for entry in entries]
            return self._add("weighted_sum", f"{wanted}_mean", {"weights": weights}, {"values": predicted})
        counts = [_counts(entry) for entry in entries]
        above = " + ".join(f"{count} * p{n}" for n, count in enumerate(counts))
        formula = f"({above}) / max({' + '.join(counts)}, 0.000001)"
        values = {f"p{n}": ref for n, ref in enumerate(predicted)} | {"t": f"{self.zone}.t"}
        return self._add("expression", f"{wanted}_mean", {"formula": formula}, {"values": values})

    def _denoised(self, wanted: str, model: Model, entry: Entry) -> Ref:
        wires = {"model": model.denoiser, "z": self.z, "t": f"{self.zone}.t", "condition": entry.ref}
        if entry.area is None:
            return self._add("denoise", wanted, {}, wires)
        return self._add("denoise_area", wanted, entry.area._asdict(), wires)

    def _regional(self, wanted: str, model: Model, entries: list[Entry]) -> Ref:
        """The mean of predictions, each where its mask or area is."""
        predictions, masks = list[Ref](), list[Ref]()
        for entry in entries:
            made = self._denoised(wanted, model, entry)
            predictions.append(f"{made}.prediction" if entry.area is not None else made)
            if entry.area is not None:
                mask = f"{made}.weight"
            else:
                mask = entry.mask or self.b.once("plain_mask", "everywhere", {"height": 8, "width": 8}, {})
            if not entry.always:
                values = {"m": mask, "t": f"{self.zone}.t"}
                mask = self._add("expression", "now", {"formula": f"m * {_while(entry)}"}, {"values": values})
            masks.append(mask)
        params = {"strengths": [float(entry.strength * entry.mask_strength) for entry in entries]}
        return self._add("regional_prediction", f"{wanted}_regions", params, {"predictions": predictions, "masks": masks})  # fmt: skip

    def _controlled(self, entry: Entry, negative: Entry | None) -> tuple[Entry, Entry]:
        """A condition, and the other side of guidance where it has the same networks, with what these add."""
        told, other = entry.ref, None if negative is None else negative.ref
        for control in entry.controls:
            wires = {
                "picture": self._picture(control),
                "condition": told,
                "negative": other,
                "share": self._share(control),
            }
            params: dict[str, Any] = {"strength": float(control.strength)}
            if wires["share"]:
                params |= {
                    "start": round(0.999 * control.start, 6),
                    "end": min(round(0.999 * control.end + 5e-5, 6), 1.0),
                }
            if control.net.adapter:
                id = self._add("apply_t2i_adapter", "controlled", params, wires | {"adapter": control.net.ref})
            else:
                wires |= {"controlnet": control.net.ref, "z": self.z, "t": f"{self.zone}.t"}
                id = self._add("apply_controlnet", "controlled", params, wires)
            told, other = f"{id}.condition", None if negative is None else f"{id}.negative"
        done = entry._replace(ref=told, controls=())
        return done, done if negative is None else negative._replace(ref=str(other), controls=())

    def _picture(self, control: Control) -> Ref:
        """What a network is shown, as large as what is drawn."""
        if self.size is None or control.picture.size == self.size:
            return control.picture.ref
        height, width = self.size
        params = {"height": height, "width": width, "kind": "nearest", "crop": True}
        return self.b.once("resize", "shown", params, {"x": control.picture.ref})

    def _share(self, control: Control) -> Ref | None:
        """How much of the way is done by the timestep, a little below 1 at its end; None where that does not matter."""
        if control.start <= 0 and control.end >= 1:
            return None
        if 0 not in self.share:
            one = self._add("rows", "one", {}, {"x": f"{self.zone}.t"})
            done = self._add("expression", "done", {"formula": f"({LAST} - t) / {LAST + 1}"}, {"values": {"t": one}})
            self.share[0] = self._add("to_number", "share", {}, {"x": done})
        return self.share[0]


def whole(b: Builder, model: Model) -> Model:
    """A model with what changes it as a whole."""
    if not model.freeu:
        return model
    unet = model.denoiser.removesuffix(".denoiser") + ".unet" * model.denoiser.endswith(".denoiser")
    return Model(b.once("freeu", "freeu", dict(model.freeu), {"unet": unet}), model.schedule, model.rescale, (), model.family)  # fmt: skip


def _counts(entry: Entry) -> str:
    """A condition's strength where the timestep lies in its range, else 0, as a formula of t."""
    return f"{entry.strength:g}" if entry.always else f"{entry.strength:g} * {_while(entry)}"


def _while(entry: Entry) -> str:
    """1 where the timestep lies in a condition's range, else 0."""
    return f"(t <= {LAST * (1 - entry.start):g}) * (t >= {LAST * (1 - entry.end):g})"
