import { describe, expect, it } from "vitest";
import { toWorkflow } from "../src/document/codec";
import { unpack } from "../src/document/definitions";
import { addNode } from "../src/document/edits";
import { objection, slotAt } from "../src/document/rules";
import { sourceOf } from "../src/document/references";
import { outputSlots, resultSlots } from "../src/document/slots";
import { docOf, GUIDED as doc, KINDS } from "./documents";

describe("a definition with a body", () => {
  it("is a zone: its inner ports are read inside, and its results are given", () => {
    const use = doc.nodes.g;
    if (!use) throw new Error();
    expect(outputSlots(doc, KINDS, use, true).map((slot) => slot.handle)).toEqual(["inner:z", "inner:t"]);
    expect(resultSlots(doc, KINDS, use).map((slot) => slot.handle)).toEqual(["results.prediction"]);
    expect(objection(doc, KINDS, sourceOf("g", "inner:z"), "eps", "z")).toBeNull();
    expect(slotAt(doc, KINDS, "eps", "z")?.source).toEqual({ node: "g", inner: true, port: "z", name: "" });
  });

  it("is added as a zone", () => {
    const spec = KINDS.specs(doc)("guided");
    if (!spec) throw new Error();
    const added = addNode(doc, spec, { zone: null, at: [0, 0] });
    expect(added.doc.nodes[added.id]?.results).toEqual({});
  });

  it("is unpacked into its nodes, and its body's for each call", () => {
    const { doc: open, ids } = unpack(doc, "g");
    expect(ids).toEqual(["eps", "eps2", "mix"]);
    const body = (toWorkflow(open).nodes as { sample: { body: unknown } }).sample.body;
    const denoise = { type: "denoise", wires: { model: "unet", z: "sample.z", t: "sample.t" } };
    expect(body).toEqual({
      nodes: {
        eps: denoise,
        eps2: denoise,
        mix: { type: "combine", params: { scale: 4.5 }, wires: { cond: "eps", uncond: "eps2" } },
      },
      results: { prediction: "mix" },
    });
    expect(open.exposed.params).toEqual({ scale: "mix.scale" });
    expect(open.places).toEqual({ eps: { at: [40, 60] }, eps2: { at: [300, 60] }, mix: { at: [560, 60] } });
    expect(open.definitions).toBe(doc.definitions);
  });
});

describe("a definition without a body", () => {
  it("is unpacked under free ids, lists spliced and what is left out left out", () => {
    const sums = {
      inputs: ["all", "one"],
      nodes: {
        sum: { type: "total", wires: { losses: ["inputs.all", "inputs.one"] } },
        l: { type: "loss", wires: { prediction: "inputs.no" } },
      },
      results: { loss: "sum", both: ["sum", "l"] },
    };
    const before = docOf(
      {
        l: { type: "loss" },
        use: { type: "sums", wires: { all: ["l", "l"] } },
        reader: { type: "total", wires: { losses: ["use.both", "use.loss"] } },
      },
      { definitions: { sums }, exposed: { outputs: { o: "use.loss" } } },
    );
    const { doc: open } = unpack(before, "use");
    expect(toWorkflow(open).nodes).toEqual({
      l: { type: "loss" },
      sum: { type: "total", wires: { losses: ["l", "l"] } },
      l2: { type: "loss" },
      reader: { type: "total", wires: { losses: ["sum", "l2", "sum"] } },
    });
    expect(open.exposed.outputs).toEqual({ o: "sum" });
    expect(unpack(before, "l").doc).toBe(before);
  });
});
