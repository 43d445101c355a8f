/** What becomes of wires when nodes go, are put between others, get another type, or a zone around them. */
import { describe, expect, it } from "vitest";
import type { Doc, Id } from "../src/document/document";
import { insertInto, removeRelinked } from "../src/document/relinking";
import { swap, swapsFor } from "../src/document/swapping";
import { dissolve, wrap } from "../src/document/zones";
import { cardsOf } from "../src/document/cards";
import { read, write } from "../src/document/codec";
import { removeNodes, rename } from "../src/document/edits";
import { disconnect } from "../src/document/wires";
import { edgesOf } from "../src/drawing/view";
import { CATALOG } from "./catalog";
import { docOf, KINDS, SAMPLING, TRAINING } from "./documents";

const spec = (type: string) => {
  const found = CATALOG.nodes[type];
  if (!found) throw new Error(type);
  return found;
};
const wires = (doc: Doc, id: Id) => doc.nodes[id]?.wires;
const misfits = (doc: Doc) => KINDS.misfits(doc);

describe("deleting with re-link", () => {
  it("wires readers to what was read, along a row of nodes", () => {
    const doc = docOf({
      a: { type: "image" },
      b: { type: "side_by_side", wires: { images: ["a"] } },
      c: { type: "side_by_side", wires: { images: ["b"] } },
      d: { type: "encode", wires: { images: "c" } },
    });
    const next = removeRelinked(doc, KINDS, ["b", "c"]);
    expect(wires(next, "d")).toEqual({ images: "a" });
    expect(Object.keys(next.nodes)).toEqual(["a", "d"]);
  });

  it("bridges by type alone, over a zone too, and leaves nothing that does not fit", () => {
    const next = removeRelinked(docOf(SAMPLING), KINDS, ["sample"]);
    expect(wires(next, "decoded")).toEqual({ z: "noise" });
    const last = removeRelinked(next, KINDS, ["decoded", "noise"]);
    expect(Object.keys(last.nodes)).toEqual(["schedule", "unet"]);
    const gone = removeRelinked(docOf(SAMPLING), KINDS, ["guide"]);
    expect(gone.nodes.sample?.results).toEqual({ prediction: "cond" });
    const none = removeRelinked(docOf(SAMPLING), KINDS, ["cond"]);
    expect(wires(none, "guide")).toEqual({ uncond: "uncond" });
  });

  it("keeps the order of lists, and what the app view shows", () => {
    const doc = docOf(
      {
        a: { type: "image" },
        b: { type: "image" },
        s: { type: "side_by_side", wires: { images: ["b"] } },
        n: { type: "noise" },
        d: { type: "decode", wires: { z: "n" } },
        all: { type: "side_by_side", wires: { images: ["a", "d", "s", "b"] } },
      },
      { exposed: { outputs: { one: "s", two: "d" } } },
    );
    const next = removeRelinked(doc, KINDS, ["s", "d"]);
    expect(wires(next, "all")).toEqual({ images: ["a", "b", "b"] });
    expect(next.exposed.outputs).toEqual({ one: "b" });
  });
});

describe("putting a node into a wire", () => {
  it("takes the first ports that fit, and no others", () => {
    const doc = docOf({
      a: { type: "image" },
      s: { type: "side_by_side" },
      e: { type: "encode", wires: { images: "a" } },
      n: { type: "noise" },
    });
    const next = insertInto(doc, KINDS, "s", "e.images");
    expect(next && wires(next, "s")).toEqual({ images: ["a"] });
    expect(next && wires(next, "e")).toEqual({ images: "s" });
    expect(insertInto(doc, KINDS, "n", "e.images")).toBeNull();
    expect(insertInto(doc, KINDS, "a", "e.images")).toBeNull();
    expect(insertInto(doc, KINDS, "e", "e.images")).toBeNull();
    expect(insertInto(doc, KINDS, "s", "e.nothing")).toBeNull();
  });
});

describe("another type", () => {
  it("offers what keeps most wires first, and never a zone for a node", () => {
    const doc = docOf({ a: { type: "image" }, e: { type: "encode", wires: { images: "a" } } });
    const found = swapsFor(doc, KINDS, "a").map((own) => own.spec.type);
    expect(found.slice(0, 4).sort()).toEqual(["decode", "hide", "load_image", "picture"]);
    expect(found).not.toContain("noise");
    expect(swapsFor(docOf(SAMPLING), KINDS, "sample").every((own) => own.spec.body !== null)).toBe(true);
  });

  it("keeps wires and equal parameters; a name of the type alone follows", () => {
    const doc = docOf(
      {
        picture: { type: "picture", params: { width: 8, fit: "pad" } },
        e: { type: "encode", wires: { images: "picture" } },
        mine: { type: "image" },
      },
      { exposed: { params: { w: "picture.width" }, outputs: { p: "picture" } } },
    );
    const swapped = swap(doc, KINDS, "picture", "image");
    expect(swapped.id).toBe("image");
    expect(swapped.lost).toEqual([]);
    expect(wires(swapped.doc, "e")).toEqual({ images: "image" });
    expect(swapped.doc.exposed).toEqual({ params: {}, outputs: { p: "image" } });
    expect(swap(doc, KINDS, "mine", "picture").id).toBe("mine");
    const lost = swap(doc, KINDS, "picture", "noise");
    expect(lost.lost).toEqual(["picture → e.images"]);
    expect(wires(lost.doc, "e")).toEqual({});
  });

  it("keeps the names of what zones carry", () => {
    const doc = docOf({
      n: { type: "noise" },
      loop: {
        type: "repeat",
        wires: { state: { z: "n" } },
        body: { nodes: { d: { type: "encode", wires: {} } }, results: { z: "loop.state.z" } },
      },
      d: { type: "decode", wires: { z: "loop.z" } },
    });
    const { doc: next, lost } = swap(doc, KINDS, "loop", "group");
    expect(lost).toContain("n → loop.state.z");
    expect(next.nodes.loop?.type).toBe("group");
    expect(misfits(next)).toEqual([]);
  });
});

describe("a zone around nodes", () => {
  it("makes results of what leaves a group", () => {
    const doc = docOf(SAMPLING);
    const { doc: next, id, lost } = wrap(doc, KINDS, ["noise", "unet"], spec("group"), [0, 0]);
    expect(lost).toEqual([]);
    expect(next.nodes.noise?.zone).toBe(id);
    expect(wires(next, "sample")).toEqual({ noise: "group.noise", schedule: "schedule" });
    expect(wires(next, "cond")).toMatchObject({ model: "group.unet" });
    expect(misfits(next)).toEqual([]);
  });

  it("hands its ports to what wants them, and takes in what enters", () => {
    const doc = docOf({
      noise: { type: "noise" },
      unet: { type: "unet" },
      eps: { type: "denoise", wires: { model: "unet", z: "noise" } },
      out: { type: "loss", wires: { prediction: "eps" } },
    });
    const { doc: next, id, lost } = wrap(doc, KINDS, ["eps"], spec("sample"), [0, 0]);
    expect(wires(next, id)).toEqual({ noise: "noise" });
    expect(wires(next, "eps")).toEqual({ model: "unet", z: "sample.z", t: "sample.t" });
    expect(next.nodes[id]?.results).toEqual({ prediction: "eps" });
    expect(lost).toEqual(["eps → out.prediction"]);
  });

  it("carries what leaves as a state where something of its kind enters", () => {
    const doc = docOf({
      image: { type: "image" },
      s: { type: "side_by_side", wires: { images: ["image"] } },
      e: { type: "encode", wires: { images: "s" } },
    });
    const { doc: next, lost } = wrap(doc, KINDS, ["s"], spec("repeat"), [0, 0]);
    expect(lost).toEqual([]);
    expect(wires(next, "repeat")).toEqual({ state: { image: "image" } });
    expect(wires(next, "s")).toEqual({ images: ["repeat.state.image"] });
    expect(next.nodes.repeat?.results).toEqual({ image: "s" });
    expect(wires(next, "e")).toEqual({ images: "repeat.image" });
  });

  it("comes off again: nodes stay and read what the zone read", () => {
    const doc = docOf(SAMPLING);
    const { doc: next, ids, lost } = dissolve(doc, KINDS, "sample");
    expect(ids).toEqual(["cond", "uncond", "guide"]);
    expect(wires(next, "cond")).toEqual({ model: "unet", z: "noise" });
    expect(wires(next, "decoded")).toEqual({ z: "noise" });
    expect(lost.sort()).toEqual(["sample → cond.t", "sample → uncond.t"]);
    expect(next.nodes.sample).toBeUndefined();
  });

  it("wrapped and dissolved is as it was", () => {
    for (const [nodes, ids] of [
      [SAMPLING, ["noise", "unet"]],
      [SAMPLING, ["sample"]],
      [SAMPLING, ["cond", "guide"]],
      [TRAINING, ["unet0"]],
      [TRAINING, ["eps", "simple"]],
    ] as const) {
      const doc = docOf(nodes);
      const wrapped = wrap(doc, KINDS, ids, spec("group"), [0, 0]);
      expect(wrapped.lost).toEqual([]);
      const back = dissolve(wrapped.doc, KINDS, wrapped.id);
      expect(back.lost).toEqual([]);
      expect(back.doc.nodes).toEqual(doc.nodes);
    }
  });

  it("dissolves a training, whose models are those that it was given", () => {
    const { doc: next } = dissolve(docOf(TRAINING), KINDS, "fit");
    expect(wires(next, "eps")).toMatchObject({ model: "unet0", z: "noise" });
    expect(wires(next, "after")).toMatchObject({ model: "unet0" });
    expect(wires(next, "aim")).toMatchObject({ models: ["unet0"] });
  });
});

describe("a reroute that branches", () => {
  const doc = docOf(
    {
      a: { type: "image" },
      b: { type: "encode", wires: { images: "a" } },
      c: { type: "encode", wires: { images: "a" } },
    },
    { layout: { r: { at: [0, 0], kind: "reroute", wire: ["b.images", "c.images"] } } },
  );

  it("bends all its wires, and is written as it was read", () => {
    const cards = cardsOf(doc, KINDS, {});
    const edges = edgesOf({ doc, cards, auto: {}, measured: {} }, []);
    expect(edges.map((edge) => edge.data?.through)).toEqual([["r"], ["r"]]);
    expect(write(read(write(doc)).doc)).toBe(write(doc));
  });

  it("goes on with those that are left, follows names, and goes with the last", () => {
    const one = removeNodes(doc, ["b"]);
    expect(one.places.r?.wire).toBe("c.images");
    expect(rename(doc, "c", "d").places.r?.wire).toEqual(["b.images", "d.images"]);
    expect(disconnect(one, "c", "images").places.r).toBeUndefined();
  });
});
