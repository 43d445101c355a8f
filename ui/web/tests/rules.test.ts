import { describe, expect, it } from "vitest";
import { objection, slotAt } from "../src/document/rules";
import { sourceOf } from "../src/document/references";
import { inputSlots, outputSlots, resultSlots } from "../src/document/slots";
import type { Doc, DocNode } from "../src/document/document";
import { docOf, KINDS, SAMPLING, TRAINING } from "./documents";

const sampling = docOf({ ...SAMPLING, image: { type: "image" } });
const training = docOf(TRAINING);
const node = (doc: Doc, id: string): DocNode => {
  const found = doc.nodes[id];
  if (!found) throw new Error(id);
  return found;
};
const handles = (slots: { handle: string }[]) => slots.map((slot) => slot.handle);

describe("what may be wired", () => {
  it("equal types, and those a type accepts", () => {
    expect(objection(sampling, KINDS, sourceOf("noise", "out:latent"), "decoded", "z")).toBeNull();
    expect(objection(training, KINDS, sourceOf("data", "out:latent_dataset"), "fit", "data")).toBeNull();
    expect(objection(sampling, KINDS, sourceOf("image", "out:image"), "decoded", "z")).toBe(
      "z takes latent, and this is image",
    );
  });

  it("an int where a float is typed in, and not the reverse", () => {
    const doc = docOf({ count: { type: "count" }, mix: { type: "combine" } });
    expect(objection(doc, KINDS, sourceOf("count", "out:value"), "mix", "scale")).toBeNull();
  });

  it("one of a kind into a list, and a whole list", () => {
    const doc = docOf({
      one: { type: "image" },
      many: { type: "pictures" },
      side: { type: "side_by_side" },
      d: { type: "encode" },
    });
    expect(objection(doc, KINDS, sourceOf("one", "out:image"), "side", "images")).toBeNull();
    expect(objection(doc, KINDS, sourceOf("many", "out:images"), "side", "images")).toBeNull();
    expect(objection(doc, KINDS, sourceOf("many", "out:images"), "d", "images")).toContain("list of image");
  });

  it("wires enter a zone and never leave it", () => {
    expect(objection(sampling, KINDS, sourceOf("noise", "out:latent"), "cond", "z")).toBeNull();
    expect(objection(sampling, KINDS, sourceOf("guide", "out:prediction"), "decoded", "z")).toContain(
      "prediction",
    );
    const doc = docOf({ ...TRAINING, other: { type: "decode" } });
    expect(objection(doc, KINDS, sourceOf("noise", "out:latent"), "other", "z")).toContain(
      'leave the zone "fit"',
    );
  });

  it("inner ports are read inside only, outputs outside only", () => {
    expect(objection(sampling, KINDS, sourceOf("sample", "inner:z"), "cond", "z")).toBeNull();
    expect(objection(sampling, KINDS, sourceOf("sample", "inner:z"), "decoded", "z")).toContain(
      "only inside",
    );
    expect(objection(sampling, KINDS, sourceOf("sample", "out:latent"), "cond", "z")).toContain(
      "do not exist yet",
    );
  });

  it("a body's result comes from its inside", () => {
    expect(
      objection(sampling, KINDS, sourceOf("cond", "out:prediction"), "sample", "results.prediction"),
    ).toBeNull();
    expect(
      objection(sampling, KINDS, sourceOf("noise", "out:latent"), "sample", "results.prediction"),
    ).toContain("takes prediction");
  });

  it("no circles, seen through zones", () => {
    const doc = docOf({
      a: { type: "decode", wires: { z: "s" } },
      e: { type: "encode", wires: { images: "a" } },
      s: { type: "sample", body: { nodes: { inside: { type: "denoise" } }, results: {} } },
    });
    expect(objection(doc, KINDS, sourceOf("e", "out:latent"), "inside", "z")).toContain(
      "wait for each other",
    );
    expect(objection(doc, KINDS, sourceOf("e", "out:latent"), "s", "noise")).toContain("wait for each other");
  });

  it("a model that a zone changes is read through the zone", () => {
    expect(objection(training, KINDS, sourceOf("unet0", "out:unet"), "eps", "model")).toContain(
      "models.unet of the zone",
    );
    expect(objection(training, KINDS, sourceOf("fit", "inner:models.unet"), "eps", "model")).toBeNull();
  });
});

describe("slots", () => {
  it("ports with names exist under the user's names, inside and outside, with their types", () => {
    const fit = node(training, "fit");
    expect(handles(inputSlots(training, KINDS, fit))).toEqual(["data", "models.unet", "models.+"]);
    expect(handles(outputSlots(training, KINDS, fit, true))).toEqual([
      "inner:batch",
      "inner:step",
      "inner:models.unet",
      "inner:ema.unet",
    ]);
    expect(handles(outputSlots(training, KINDS, fit, false))).toEqual(["out:models.unet", "out:ema.unet"]);
    expect(KINDS.of(training, sourceOf("fit", "out:ema.unet"))).toEqual({ name: "unet", many: 0 });
  });

  it("a list has a slot an item and one more", () => {
    expect(handles(inputSlots(training, KINDS, node(training, "sum")))).toEqual([
      "losses.0",
      "losses.1",
      "losses.+",
    ]);
    expect(handles(resultSlots(training, KINDS, node(training, "fit")))).toEqual([
      "results.objectives.0",
      "results.objectives.+",
    ]);
    expect(slotAt(training, KINDS, "sum", "losses.1")?.ref).toBe("simple");
  });

  it("the state of a loop promises results of the same names", () => {
    const doc = docOf({
      noise: { type: "noise" },
      loop: { type: "repeat", wires: { state: { z: "noise" } }, body: { nodes: {}, results: {} } },
    });
    expect(handles(resultSlots(doc, KINDS, node(doc, "loop")))).toEqual(["results.z"]);
    expect(KINDS.of(doc, sourceOf("loop", "out:.z"))).toEqual({ name: "latent", many: 0 });
  });

  it("literal lists give the items of for_each their type, and its results lists", () => {
    const doc = docOf({
      sweep: {
        type: "for_each",
        params: { over: { scale: [1, 3.5] } },
        body: { nodes: { picture: { type: "image" } }, results: { shown: "picture" } },
      },
    });
    expect(KINDS.of(doc, sourceOf("sweep", "out:.shown"))).toEqual({ name: "image", many: 1 });
    expect(handles(outputSlots(doc, KINDS, node(doc, "sweep"), true))).toEqual([
      "inner:item.scale",
      "inner:index",
    ]);
  });

  it("a node of an unknown type keeps its wires and the outputs that are read", () => {
    const doc = docOf({
      a: { type: "mystery", wires: { x: "b" } },
      b: { type: "image" },
      c: { type: "decode", wires: { z: "a.y" } },
    });
    expect(handles(inputSlots(doc, KINDS, node(doc, "a")))).toEqual(["x"]);
    expect(handles(outputSlots(doc, KINDS, node(doc, "a"), false))).toEqual(["out:y"]);
  });
});
