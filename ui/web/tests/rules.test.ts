import { describe, expect, it } from "vitest";
import { objection, slotAt } from "../src/document/rules";
import { sourceOf } from "../src/document/references";
import { inputSlots, outputSlots, resultSlots } from "../src/document/slots";
import type { DocNode } from "../src/document/document";
import { docOf, kindsOf, SAMPLING, TRAINING } from "./documents";

const sampling = kindsOf(docOf({ ...SAMPLING, image: { type: "image" } }));
const training = kindsOf(docOf(TRAINING));
const node = (kinds: typeof sampling, id: string): DocNode => {
  const found = kinds.doc.nodes[id];
  if (!found) throw new Error(id);
  return found;
};
const handles = (slots: { handle: string }[]) => slots.map((slot) => slot.handle);

describe("what may be wired", () => {
  it("equal types, and those a type accepts", () => {
    expect(objection(sampling, sourceOf("noise", "out:latent"), "decoded", "z")).toBeNull();
    expect(objection(training, sourceOf("data", "out:latent_dataset"), "fit", "data")).toBeNull();
    expect(objection(sampling, sourceOf("image", "out:image"), "decoded", "z")).toBe(
      "z takes latent, and this is image",
    );
  });

  it("an int where a float is typed in, and not the reverse", () => {
    const doc = docOf({ count: { type: "count" }, mix: { type: "combine" } });
    expect(objection(kindsOf(doc), sourceOf("count", "out:value"), "mix", "scale")).toBeNull();
  });

  it("one of a kind into a list, and a whole list", () => {
    const doc = docOf({
      one: { type: "image" },
      many: { type: "pictures" },
      side: { type: "side_by_side" },
      d: { type: "encode" },
    });
    const kinds = kindsOf(doc);
    expect(objection(kinds, sourceOf("one", "out:image"), "side", "images")).toBeNull();
    expect(objection(kinds, sourceOf("many", "out:images"), "side", "images")).toBeNull();
    expect(objection(kinds, sourceOf("many", "out:images"), "d", "images")).toContain("list of image");
  });

  it("wires enter a zone and never leave it", () => {
    expect(objection(sampling, sourceOf("noise", "out:latent"), "cond", "z")).toBeNull();
    expect(objection(sampling, sourceOf("guide", "out:prediction"), "decoded", "z")).toContain("prediction");
    const doc = docOf({ ...TRAINING, other: { type: "decode" } });
    expect(objection(kindsOf(doc), sourceOf("noise", "out:latent"), "other", "z")).toContain(
      'leave the zone "fit"',
    );
  });

  it("inner ports are read inside only, outputs outside only", () => {
    expect(objection(sampling, sourceOf("sample", "inner:z"), "cond", "z")).toBeNull();
    expect(objection(sampling, sourceOf("sample", "inner:z"), "decoded", "z")).toContain("only inside");
    expect(objection(sampling, sourceOf("sample", "out:latent"), "cond", "z")).toContain("do not exist yet");
  });

  it("a body's result comes from its inside", () => {
    expect(
      objection(sampling, sourceOf("cond", "out:prediction"), "sample", "results.prediction"),
    ).toBeNull();
    expect(objection(sampling, sourceOf("noise", "out:latent"), "sample", "results.prediction")).toContain(
      "takes prediction",
    );
  });

  it("no circles, seen through zones", () => {
    const doc = docOf({
      a: { type: "decode", wires: { z: "s" } },
      e: { type: "encode", wires: { images: "a" } },
      s: { type: "sample", body: { nodes: { inside: { type: "denoise" } }, results: {} } },
    });
    expect(objection(kindsOf(doc), sourceOf("e", "out:latent"), "inside", "z")).toContain(
      "wait for each other",
    );
    expect(objection(kindsOf(doc), sourceOf("e", "out:latent"), "s", "noise")).toContain(
      "wait for each other",
    );
  });

  it("a model that a zone changes is read through the zone", () => {
    expect(objection(training, sourceOf("unet0", "out:unet"), "eps", "model")).toContain(
      "models.unet of the zone",
    );
    expect(objection(training, sourceOf("fit", "inner:models.unet"), "eps", "model")).toBeNull();
  });
});

describe("slots", () => {
  it("ports with names exist under the user's names, inside and outside, with their types", () => {
    const fit = node(training, "fit");
    expect(handles(inputSlots(training, fit))).toEqual(["data", "models.unet", "models.+"]);
    expect(handles(outputSlots(training, fit, true))).toEqual([
      "inner:batch",
      "inner:step",
      "inner:models.unet",
      "inner:ema.unet",
    ]);
    expect(handles(outputSlots(training, fit, false))).toEqual(["out:models.unet", "out:ema.unet"]);
    expect(training.of(sourceOf("fit", "out:ema.unet"))).toEqual({ name: "unet", many: false });
  });

  it("a list has a slot an item and one more", () => {
    expect(handles(inputSlots(training, node(training, "sum")))).toEqual([
      "losses.0",
      "losses.1",
      "losses.+",
    ]);
    expect(handles(resultSlots(training, node(training, "fit")))).toEqual([
      "results.objectives.0",
      "results.objectives.+",
    ]);
    expect(slotAt(training, "sum", "losses.1")?.ref).toBe("simple");
  });

  it("the state of a loop promises results of the same names", () => {
    const doc = docOf({
      noise: { type: "noise" },
      loop: { type: "repeat", wires: { state: { z: "noise" } }, body: { nodes: {}, results: {} } },
    });
    const kinds = kindsOf(doc);
    expect(handles(resultSlots(kinds, node(kinds, "loop")))).toEqual(["results.z"]);
    expect(kinds.of(sourceOf("loop", "out:.z"))).toEqual({ name: "latent", many: false });
  });

  it("literal lists give the items of for_each their type, and its results lists", () => {
    const doc = docOf({
      sweep: {
        type: "for_each",
        params: { over: { scale: [1, 3.5] } },
        body: { nodes: { picture: { type: "image" } }, results: { shown: "picture" } },
      },
    });
    const kinds = kindsOf(doc);
    expect(kinds.of(sourceOf("sweep", "out:.shown"))).toEqual({ name: "image", many: true });
    expect(handles(outputSlots(kinds, node(kinds, "sweep"), true))).toEqual([
      "inner:item.scale",
      "inner:turn",
    ]);
  });

  it("a node of an unknown type keeps its wires and the outputs that are read", () => {
    const doc = docOf({
      a: { type: "mystery", wires: { x: "b" } },
      b: { type: "image" },
      c: { type: "decode", wires: { z: "a.y" } },
    });
    const kinds = kindsOf(doc);
    expect(handles(inputSlots(kinds, node(kinds, "a")))).toEqual(["x"]);
    expect(handles(outputSlots(kinds, node(kinds, "a"), false))).toEqual(["out:y"]);
  });
});
