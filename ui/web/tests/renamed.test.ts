import { expect, it } from "vitest";
import { read, toWorkflow } from "../src/document/codec";
import { underCurrentNames } from "../src/document/renamed";
import { specsOf } from "../src/document/specs";
import type { Catalog, Port } from "../src/server/types";
import { CATALOG } from "./catalog";

const renamed = (ports: readonly Port[], names: Record<string, string>): Port[] =>
  ports.map((port) => ({ ...port, formerly: port.name in names ? [names[port.name] ?? ""] : [] }));

const { denoise, sample } = CATALOG.nodes;
if (!denoise || !sample?.body) throw new Error("the catalogue lacks the nodes that are renamed here");
const RENAMED: Catalog = {
  ...CATALOG,
  nodes: {
    ...CATALOG.nodes,
    denoise: { ...denoise, formerly: ["unet_denoise"], inputs: renamed(denoise.inputs, { z: "x" }) },
    sample: {
      ...sample,
      inputs: renamed(sample.inputs, { noise: "start" }),
      outputs: renamed(sample.outputs, { latent: "result" }),
      body: {
        ports: renamed(sample.body.ports, { z: "state" }),
        results: renamed(sample.body.results, { prediction: "guess" }),
      },
    },
  },
};

const graph = (type: string, x: string, start: string, result: string, state: string, guess: string) => ({
  loom: 1,
  exposed: { params: { begin: `sample.${start}` }, outputs: { all: `sample.${result}` } },
  nodes: {
    noise: { type: "noise", params: { seed: 1 } },
    sample: {
      type: "sample",
      wires: { [start]: "noise" },
      body: {
        nodes: { guess: { type, wires: { [x]: `sample.${state}`, t: "sample.t" } } },
        results: { [guess]: "guess" },
      },
    },
    all: { type: "side_by_side", wires: { images: ["noise", `sample.${result}`] } },
    walk: {
      type: "repeat",
      wires: { state: { [state]: `sample.${result}` } },
      body: { results: { [state]: `walk.state.${state}` } },
    },
  },
  layout: {
    bend: { at: [0, 0], kind: "reroute", wire: `sample.${start}` },
    bow: { at: [0, 0], kind: "reroute", wire: `sample.results.${guess}` },
  },
});

it("a draft that names nodes and ports as they were is shown by the names of today", () => {
  const { doc } = read(JSON.stringify(graph("unet_denoise", "x", "start", "result", "z", "guess")));
  const now = graph("denoise", "z", "noise", "latent", "z", "prediction");
  expect(toWorkflow(underCurrentNames(doc, specsOf(RENAMED, doc)))).toEqual(now);
});

it("inside of a zone its inner ports are renamed, and names that a user gave are not", () => {
  const { doc } = read(JSON.stringify(graph("denoise", "z", "noise", "latent", "state", "prediction")));
  const { nodes } = underCurrentNames(doc, specsOf(RENAMED, doc));
  expect(nodes.guess?.wires.z).toBe("sample.z");
  expect(nodes.walk?.wires).toEqual({ state: { state: "sample.latent" } });
  expect(nodes.walk?.results).toEqual({ state: "walk.state.state" });
});
