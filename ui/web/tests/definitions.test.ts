// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import { toWorkflow } from "../src/document/codec";
import { unpack } from "../src/document/definitions";
import { addNode } from "../src/document/edits";
import { objection, slotAt } from "../src/document/rules";
import { sourceOf } from "../src/document/references";
import { outputSlots, resultSlots } from "../src/document/slots";
import { restore } from "../src/state/documents";
import { setCatalog, useEditor } from "../src/state/editor";
import { unpackDefinition } from "../src/commands";
import { CATALOG } from "./catalog";
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

  it("has the types of the ports that it leads to", () => {
    const spec = KINDS.specs(doc)("guided");
    expect(spec?.inputs.map((port) => [port.name, port.type, port.schema !== undefined])).toEqual([
      ["z", "any", false],
      ["t", "any", false],
      ["scale", "float", true],
    ]);
    expect(spec?.outputs.map((port) => port.type)).toEqual(["prediction"]);
    expect(spec?.body?.results.map((port) => port.type)).toEqual(["prediction"]);
    expect(objection(doc, KINDS, sourceOf("sample", "inner:z"), "g", "results.prediction")).toBe(
      "prediction takes prediction, and this is latent",
    );
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
    expect(open.places).toEqual({});
    expect(open.definitions).toBe(doc.definitions);
  });

  it("is unpacked where it was, what may run side by side below each other", () => {
    setCatalog(CATALOG);
    restore([{ doc }], 0);
    unpackDefinition("g");
    const { eps, eps2, mix } = useEditor.getState().doc.places;
    expect(eps?.at[0]).toBe(40);
    expect(eps2?.at[0]).toBe(40);
    expect(Math.min(...[eps, eps2, mix].map((spot) => spot?.at[1] ?? NaN))).toBe(60);
    expect(eps2?.at[1]).not.toBe(eps?.at[1]);
    expect(mix?.at[0]).toBeGreaterThan(40);
  });
});

describe("a definition without a body", () => {
  it("takes what the port takes that a definition inside of it leads to; one that uses itself takes anything", () => {
    const definitions = {
      eps: {
        inputs: ["model", "z"],
        nodes: { d: { type: "denoise", wires: { model: "inputs.model", z: "inputs.z" } } },
        results: { out: "d" },
      },
      outer: {
        inputs: ["z", "no"],
        nodes: {
          muted: { type: "decode", mode: "mute", wires: { z: "inputs.no" } },
          e: { type: "eps", wires: { z: "inputs.z" } },
          o: { type: "outer", wires: { z: "inputs.no" } },
        },
        results: { out: "e", both: ["e", "o"] },
      },
    };
    const graph = docOf(
      { noise: { type: "noise" }, image: { type: "image" }, o: { type: "outer" } },
      { definitions },
    );
    const spec = KINDS.specs(graph)("outer");
    expect([...(spec?.inputs ?? []), ...(spec?.outputs ?? [])].map((port) => port.type)).toEqual([
      "latent",
      "any",
      "prediction",
      "any",
    ]);
    expect(objection(graph, KINDS, sourceOf("noise", "out:latent"), "o", "z")).toBeNull();
    expect(objection(graph, KINDS, sourceOf("image", "out:image"), "o", "z")).toBe(
      "z takes latent, and this is image",
    );
  });

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

describe("a zone of a type that is not installed", () => {
  it("has the ports that are read of it inside and outside, and its results", () => {
    const stranger = docOf({
      zone: {
        type: "gone",
        body: {
          nodes: { eps: { type: "denoise", wires: { z: "zone.z", t: "zone.state.t" } } },
          results: { out: "eps", all: ["eps", "zone.z"] },
        },
      },
      reader: { type: "loss", wires: { prediction: "zone.out" } },
    });
    const zone = stranger.nodes.zone;
    if (!zone) throw new Error();
    const handles = (inner: boolean) => outputSlots(stranger, KINDS, zone, inner).map((slot) => slot.handle);
    expect(handles(true)).toEqual(["inner:z", "inner:state.t"]);
    expect(handles(false)).toEqual(["out:out"]);
    const results = resultSlots(stranger, KINDS, zone).map((slot) => [slot.handle, slot.source?.node]);
    expect(results).toEqual([
      ["results.out", "eps"],
      ["results.all.0", "eps"],
      ["results.all.1", "zone"],
      ["results.all.+", undefined],
    ]);
  });
});
