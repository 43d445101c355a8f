/** Documents for tests, from what a file would hold. */
import { read } from "../src/document/codec";
import type { Doc } from "../src/document/document";
import { Kinds } from "../src/document/types";
import { CATALOG } from "./catalog";

export const docOf = (nodes: object, more: object = {}): Doc =>
  read(JSON.stringify({ loom: 1, ...more, nodes })).doc;

export const KINDS = new Kinds(CATALOG);

export const SAMPLING = {
  noise: { type: "noise", params: { seed: 7, shape: [1, 4, 8, 8] } },
  schedule: { type: "schedule" },
  unet: { type: "unet" },
  sample: {
    type: "sample",
    wires: { noise: "noise", schedule: "schedule" },
    body: {
      nodes: {
        cond: { type: "denoise", wires: { model: "unet", z: "sample.z", t: "sample.t" } },
        uncond: { type: "denoise", wires: { model: "unet", z: "sample.z", t: "sample.t" } },
        guide: { type: "combine", params: { scale: 3 }, wires: { cond: "cond", uncond: "uncond" } },
      },
      results: { prediction: "guide" },
    },
  },
  decoded: { type: "decode", wires: { z: "sample" } },
};

export const TRAINING = {
  data: { type: "data" },
  unet0: { type: "unet" },
  fit: {
    type: "train",
    wires: { data: "data", models: { unet: "unet0" } },
    body: {
      nodes: {
        noise: { type: "noise" },
        count: { type: "count" },
        eps: { type: "denoise", wires: { model: "fit.models.unet", z: "noise" } },
        simple: { type: "loss", wires: { prediction: "eps" } },
        sum: { type: "total", wires: { losses: ["simple", "simple"] } },
        aim: { type: "objective", wires: { loss: "sum", models: ["fit.models.unet"] } },
      },
      results: { objectives: ["aim"] },
    },
  },
  after: { type: "denoise", wires: { model: "fit.ema.unet" } },
};

/** A definition that calls the body of its use twice. */
const GUIDANCE = {
  inputs: ["z", "t", "scale"],
  body: { ports: ["z", "t"], results: ["prediction"] },
  nodes: {
    cond: { type: "body", wires: { z: "inputs.z", t: "inputs.t" } },
    uncond: { type: "body", wires: { z: "inputs.z", t: "inputs.t" } },
    mix: {
      type: "combine",
      wires: { cond: "cond.prediction", uncond: "uncond", scale: "inputs.scale" },
    },
  },
  results: { prediction: "mix" },
};
export const GUIDED = docOf(
  {
    ...SAMPLING,
    sample: {
      ...SAMPLING.sample,
      body: {
        nodes: {
          g: {
            type: "guided",
            params: { scale: 4.5 },
            wires: { z: "sample.z", t: "sample.t" },
            body: {
              nodes: { eps: { type: "denoise", wires: { model: "unet", z: "g.z", t: "g.t" } } },
              results: { prediction: "eps" },
            },
          },
        },
        results: { prediction: "g" },
      },
    },
  },
  {
    definitions: { guided: GUIDANCE },
    exposed: { params: { scale: "g.scale" } },
    layout: { g: { at: [40, 60] } },
  },
);

/** A definition that uses another: what a blueprint holds. */
export const BLUEPRINT = docOf(
  {},
  {
    definitions: {
      pair: {
        inputs: ["z"],
        nodes: { one: { type: "single", wires: { z: "inputs.z" } } },
        results: { image: "one.image" },
      },
      single: {
        inputs: ["z"],
        nodes: { d: { type: "decode", wires: { z: "inputs.z" } }, n: { type: "noise" } },
        results: { image: "d" },
      },
    },
  },
);
