import { describe, expect, it } from "vitest";
import { copy, duplicate, paste } from "../src/document/clipboard";
import { read, toWorkflow, write } from "../src/document/codec";
import type { Doc, Place } from "../src/document/document";
import { addNode, moveToZone, nextSeed, place, removeNodes, rename, setParam } from "../src/document/edits";
import { digitsOf, readNumber } from "../src/document/json";
import { sourceOf } from "../src/document/references";
import { connect, disconnect, renameWire } from "../src/document/wires";
import { CATALOG } from "./catalog";
import { docOf, KINDS, SAMPLING, TRAINING } from "./documents";

const placeOf =
  (doc: Doc) =>
  (id: string): Place =>
    doc.places[id] ?? { at: [0, 0] };
const specs = (doc: Doc) => KINDS.specs(doc);

describe("seeds", () => {
  it("count to 2^64 - 1, in all their digits, and go on from 0", () => {
    const after = (digits: string) => digitsOf(nextSeed(digits));
    expect(after("")).toBe("1");
    expect(after("9007199254740991")).toBe("9007199254740992");
    expect(after("18446744073709551614")).toBe("18446744073709551615");
    expect(after("18446744073709551615")).toBe("0");
  });

  it("typed in, read and written stay the same to the last digit", () => {
    for (const seed of ["9007199254740993", "9223372036854775808", "18446744073709551615"]) {
      const doc = setParam(docOf({ a: { type: "noise" } }), "a", "seed", readNumber(seed));
      const text = write(doc);
      expect(text).toContain(`"seed":${seed}`);
      expect(write(read(text).doc)).toBe(text);
    }
  });
});

describe("wires", () => {
  it("are written the shortest way, and take the place of a literal", () => {
    const doc = docOf({ count: { type: "count" }, mix: { type: "combine", params: { scale: 2 } } });
    const next = connect(doc, KINDS, sourceOf("count", "out:value"), "mix", "scale");
    expect(next.nodes.mix?.wires).toEqual({ scale: "count" });
    expect(next.nodes.mix?.params).toEqual({});
    expect(disconnect(next, "mix", "scale").nodes.mix?.wires).toEqual({});
  });

  it("name the port where a node has several", () => {
    const doc = docOf({ e: { type: "encode" }, d: { type: "decode" } });
    expect(connect(doc, KINDS, sourceOf("e", "out:latent"), "d", "z").nodes.d?.wires).toEqual({
      z: "e.latent",
    });
  });

  it("fill lists in order, replace an item, and close the gap of one taken out", () => {
    let doc = docOf({ a: { type: "loss" }, b: { type: "loss" }, sum: { type: "total" } });
    doc = connect(doc, KINDS, sourceOf("a", "out:loss"), "sum", "losses");
    doc = connect(doc, KINDS, sourceOf("b", "out:loss"), "sum", "losses.+");
    expect(doc.nodes.sum?.wires).toEqual({ losses: ["a", "b"] });
    expect(connect(doc, KINDS, sourceOf("b", "out:loss"), "sum", "losses.0").nodes.sum?.wires).toEqual({
      losses: ["b", "b"],
    });
    expect(disconnect(doc, "sum", "losses.0").nodes.sum?.wires).toEqual({ losses: ["b"] });
  });

  it("of ports with names get a name from their source", () => {
    const doc = docOf({ ...TRAINING, unet1: { type: "unet" } });
    const next = connect(doc, KINDS, sourceOf("unet1", "out:unet"), "fit", "models.+");
    expect(next.nodes.fit?.wires.models).toEqual({ unet: "unet0", unet2: "unet1" });
  });

  it("one of a list of results is replaced, and the others stay", () => {
    const doc = docOf(TRAINING);
    const two = connect(doc, KINDS, sourceOf("aim", "out:objective"), "fit", "results.objectives.+");
    const next = connect(two, KINDS, sourceOf("aim", "out:objective"), "fit", "results.objectives.0");
    expect(next.nodes.fit?.results).toEqual({ objectives: ["aim", "aim"] });
  });

  it("a list goes in between the wires of a list, and named wires beside named literals", () => {
    const doc = docOf({
      one: { type: "image" },
      many: { type: "pictures" },
      side: { type: "side_by_side", wires: { images: ["one"] } },
      sweep: { type: "for_each", params: { over: { a: [1], many: [2] } }, body: { nodes: {}, results: {} } },
    });
    const listed = connect(doc, KINDS, sourceOf("many", "out:images"), "side", "images.+");
    expect(listed.nodes.side?.wires).toEqual({ images: ["one", "many"] });
    const named = connect(doc, KINDS, sourceOf("many", "out:images"), "sweep", "over");
    expect(named.nodes.sweep?.wires).toEqual({ over: { many2: "many" } });
    expect(write(named)).toContain('"over":{"a":[1],"many":[2]}');
  });

  it("become results of a body, one or several", () => {
    const doc = docOf({ ...TRAINING });
    const next = connect(doc, KINDS, sourceOf("aim", "out:objective"), "fit", "results.objectives.+");
    expect(next.nodes.fit?.results).toEqual({ objectives: ["aim", "aim"] });
    const group = docOf({ g: { type: "group", body: { nodes: { i: { type: "image" } }, results: {} } } });
    expect(connect(group, KINDS, sourceOf("i", "out:image"), "g", "results.+").nodes.g?.results).toEqual({
      i: "i",
    });
  });

  it("are renamed where they are read, inside and outside", () => {
    const doc = docOf(TRAINING);
    const next = renameWire(doc, specs(doc), "fit", "models.unet", "denoiser");
    expect(next.nodes.fit?.wires.models).toEqual({ denoiser: "unet0" });
    expect(next.nodes.eps?.wires.model).toBe("fit.models.denoiser");
    expect(next.nodes.aim?.wires.models).toEqual(["fit.models.denoiser"]);
    expect(next.nodes.after?.wires.model).toBe("fit.ema.denoiser");
  });
});

describe("bends and what the app view shows", () => {
  it("follow a wire that is renamed, and one whose list is shortened", () => {
    const layout = {
      first: { at: [0, 0], kind: "reroute", wire: "fit.models.unet" },
      second: { at: [0, 0], kind: "reroute", wire: "sum.losses.0" },
      third: { at: [0, 0], kind: "reroute", wire: "sum.losses.1" },
    };
    const doc = docOf(TRAINING, { layout, exposed: { params: {}, outputs: { trained: "fit.models.unet" } } });
    const renamed = renameWire(doc, specs(doc), "fit", "models.unet", "denoiser");
    expect(renamed.exposed.outputs).toEqual({ trained: "fit.models.denoiser" });
    expect(renamed.places.first?.wire).toBe("fit.models.denoiser");
    const shorter = disconnect(doc, "sum", "losses.0");
    expect(Object.keys(shorter.places)).toEqual(["first", "third"]);
    expect(shorter.places.third?.wire).toBe("sum.losses.0");
  });
});

describe("nodes", () => {
  it("that draw get a seed of their own, and ids that are free", () => {
    const spec = CATALOG.nodes.noise;
    if (!spec) throw new Error();
    const first = addNode(docOf(SAMPLING), spec, { zone: null, at: [1.4, 2.6] });
    expect(first.id).toBe("noise2");
    expect(typeof first.doc.nodes.noise2?.params.seed).toBe("number");
    expect(first.doc.places.noise2?.at).toEqual([1, 3]);
  });

  it("begin with what is chosen today where files that leave it out mean something else", () => {
    const sample = CATALOG.nodes.sample;
    const first = sample?.inputs[0];
    if (!sample || !first) throw new Error();
    const spec = { ...sample, inputs: [{ ...first, name: "solver", begins: "as stored" }] };
    const made = addNode(docOf(SAMPLING), spec, { zone: null, at: [0, 0] });
    expect(made.doc.nodes[made.id]?.params).toEqual({ solver: "as stored" });
    const told = addNode(docOf(SAMPLING), spec, { zone: null, at: [0, 0], params: { solver: "heun" } });
    expect(told.doc.nodes[told.id]?.params).toEqual({ solver: "heun" });
  });

  it("take everything that names them along when they go", () => {
    const doc = place(docOf(SAMPLING, { exposed: { params: { scale: "guide.scale" }, outputs: {} } }), {
      bend: { at: [0, 0], kind: "reroute", wire: "decoded.z" },
    });
    const next = removeNodes(doc, ["sample"]);
    expect(Object.keys(next.nodes)).toEqual(["noise", "schedule", "unet", "decoded"]);
    expect(next.nodes.decoded?.wires).toEqual({});
    expect(next.exposed.params).toEqual({});
  });

  it("are renamed wherever they are named", () => {
    const next = rename(docOf(SAMPLING), "sample", "reverse");
    expect(next.nodes.cond?.zone).toBe("reverse");
    expect(next.nodes.cond?.wires.z).toBe("reverse.z");
    expect(next.nodes.decoded?.wires.z).toBe("reverse");
    expect(Object.keys(next.nodes)[3]).toBe("reverse");
  });

  it("go back to their defaults", () => {
    const doc = setParam(docOf(SAMPLING), "guide", "scale", undefined);
    expect(doc.nodes.guide?.params).toEqual({});
  });
});

describe("moving into and out of zones", () => {
  it("keeps wires that may enter", () => {
    const doc = docOf(SAMPLING);
    const { doc: next, cut } = moveToZone(doc, specs(doc), ["unet"], "sample");
    expect(next.nodes.unet?.zone).toBe("sample");
    expect(next.nodes.cond?.wires.model).toBe("unet");
    expect(cut).toEqual([]);
  });

  it("cuts those that would leave, and says which", () => {
    const doc = docOf(SAMPLING);
    const { doc: next, cut } = moveToZone(doc, specs(doc), ["noise"], "sample");
    expect(next.nodes.sample?.wires).toEqual({ schedule: "schedule" });
    expect(cut).toEqual(["noise → sample"]);
    const out = moveToZone(doc, specs(doc), ["guide"], null);
    expect(out.doc.nodes.sample?.results).toEqual({ prediction: "guide" });
    expect(out.cut).toEqual(["cond → guide", "uncond → guide"]);
  });
});

describe("copies", () => {
  it("carry the inside of zones under new names, with their own wires only", () => {
    const doc = docOf(SAMPLING);
    const pasted = paste(doc, specs(doc), copy(doc, ["sample", "cond"], placeOf(doc)), null, [10, 20], false);
    expect(pasted.ids).toEqual(["sample2"]);
    expect(pasted.doc.nodes.sample2?.wires).toEqual({});
    expect(pasted.doc.nodes.cond2?.zone).toBe("sample2");
    expect(pasted.doc.nodes.cond2?.wires).toEqual({ z: "sample2.z", t: "sample2.t" });
    expect(pasted.doc.places.sample2?.at).toEqual([10, 20]);
  });

  it("keep the wires that come in where they are wanted and can be read", () => {
    const doc = docOf(SAMPLING);
    const inside = paste(doc, specs(doc), copy(doc, ["cond"], placeOf(doc)), "sample", [0, 0], true);
    expect(inside.doc.nodes.cond2?.wires).toEqual({ model: "unet", z: "sample.z", t: "sample.t" });
    const outside = paste(doc, specs(doc), copy(doc, ["cond"], placeOf(doc)), null, [0, 0], true);
    expect(outside.doc.nodes.cond2?.wires).toEqual({ model: "unet" });
  });

  it("beside the original stay in its zone", () => {
    const doc = docOf(SAMPLING);
    const { doc: next, ids } = duplicate(doc, specs(doc), ["guide"], placeOf(doc));
    expect(ids).toEqual(["guide2"]);
    expect(next.nodes.guide2).toMatchObject({
      zone: "sample",
      params: { scale: 3 },
      wires: { cond: "cond", uncond: "uncond" },
    });
    expect(toWorkflow(next)).toHaveProperty("nodes.sample.body.nodes.guide2");
  });
});
