/** A small catalog of nodes for tests: what the rules need, one of each kind. */
import type { Catalog, NodeSpec, Port, WireType } from "../src/server/types";

export function port(name: string, type: string, more: Partial<Port> = {}): Port {
  return {
    name,
    type,
    list: 0,
    either: false,
    variable: false,
    bound: "",
    named: false,
    required: true,
    shape: "",
    help: "",
    formerly: [],
    ...more,
  };
}

const param = (name: string, type: string, schema: object, value?: unknown): Port =>
  port(name, type, {
    required: false,
    schema: schema as Record<string, unknown>,
    ...(value === undefined ? {} : { default: value }),
  });

export function node(type: string, inputs: Port[], outputs: Port[], more: Partial<NodeSpec> = {}): NodeSpec {
  return {
    type,
    category: "test",
    version: 1,
    summary: type,
    documentation: type,
    inputs,
    outputs,
    body: null,
    effect: false,
    loops: false,
    aside: false,
    draws: false,
    keep: false,
    trains: false,
    mutates: [],
    grad: [],
    formerly: [],
    words: [],
    ...more,
  };
}

export const wire = (more: Partial<WireType>): WireType => ({
  shape: "",
  accepts: [],
  about: "",
  nominal: true,
  plain: null,
  within: [],
  storable: true,
  ...more,
});

const named = (name: string, type: string, more: Partial<Port> = {}) =>
  port(name, type, { variable: true, named: true, ...more });

const file = (path: "file" | "folder"): Port =>
  port("path", "str", { schema: { type: "string" }, path, widget: { kind: "path", path } });
const SIZE = [
  param("height", "int", { type: "integer", minimum: 0 }, 0),
  param("width", "int", { type: "integer", minimum: 0 }, 0),
];

const NODES = [
  node(
    "noise",
    [
      param("shape", "list", { type: "array", items: { type: "integer" } }),
      param("seed", "int", { type: "integer" }, 0),
    ],
    [port("latent", "latent")],
    { draws: true },
  ),
  node(
    "picture",
    [
      param("height", "int", { type: "integer", minimum: 0 }, 0),
      param("width", "int", { type: "integer", minimum: 0 }, 0),
      param("fit", "str", { type: "string", enum: ["crop", "pad"] }, "crop"),
    ],
    [port("image", "image")],
  ),
  node("schedule", [], [port("schedule", "schedule")]),
  node("unet", [], [port("unet", "unet")]),
  node("data", [], [port("latent_dataset", "latent_dataset")]),
  node(
    "denoise",
    [port("model", "unet"), port("z", "latent"), port("t", "timestep")],
    [port("prediction", "prediction")],
  ),
  node(
    "combine",
    [
      port("cond", "prediction"),
      port("uncond", "prediction"),
      param("scale", "float", { type: "number", minimum: 0, maximum: 30 }, 7.5),
    ],
    [port("prediction", "prediction")],
  ),
  node("encode", [port("images", "image")], [port("latent", "latent"), port("posterior", "posterior")]),
  node("decode", [port("z", "latent")], [port("image", "image")]),
  node("image", [], [port("image", "image")]),
  node("total", [port("losses", "loss", { list: 1 })], [port("loss", "loss")]),
  node("loss", [port("prediction", "prediction")], [port("loss", "loss")]),
  node("pictures", [], [port("images", "image", { list: 1 })]),
  node("side_by_side", [port("images", "image", { list: 1 })], [port("image", "image")]),
  node("count", [], [port("value", "int")]),
  node(
    "objective",
    [port("loss", "loss"), port("models", "M", { variable: true, list: 1 })],
    [port("objective", "objective")],
  ),
  node("sample", [port("noise", "latent"), port("schedule", "schedule")], [port("latent", "latent")], {
    loops: true,
    body: {
      ports: [port("z", "latent"), port("t", "timestep")],
      results: [port("prediction", "prediction")],
    },
  }),
  node("train", [port("data", "dataset"), named("models", "M")], [named("models", "M"), named("ema", "M")], {
    loops: true,
    mutates: ["models"],
    body: {
      ports: [port("batch", "batch"), port("step", "int"), named("models", "M"), named("ema", "M")],
      results: [port("objectives", "objective", { list: 1 })],
    },
  }),
  node("repeat", [named("state", "S")], [named("", "S")], {
    loops: true,
    body: {
      ports: [named("state", "S"), port("iteration", "int", { formerly: ["turn"] })],
      results: [named("", "S")],
    },
  }),
  node("for_each", [named("over", "T", { list: 1 })], [named("", "R", { list: 1 })], {
    loops: true,
    body: { ports: [named("item", "T"), port("index", "int")], results: [named("", "R")] },
  }),
  node("load_image", [file("file"), ...SIZE], [port("image", "image")]),
  node("load_mask", [file("file"), ...SIZE], [port("mask", "mask")]),
  node("image_folder", [file("folder")], [port("dataset", "dataset")]),
  node("random_mask", [port("images", "image")], [port("mask", "mask")]),
  node("hide", [port("images", "image"), port("mask", "mask")], [port("image", "image")]),
  node("group", [], [named("", "R")], { body: { ports: [], results: [named("", "R")] } }),
];

export const CATALOG: Catalog = {
  nodes: Object.fromEntries(NODES.map((spec) => [spec.type, spec])),
  types: {
    dataset: wire({ accepts: ["latent_dataset"] }),
    latent: wire({ shape: "b c h w" }),
    image: wire({ shape: "b 3 h w" }),
    mask: wire({ shape: "b 1 h w" }),
    float: wire({ accepts: ["int"], nominal: false }),
  },
};
