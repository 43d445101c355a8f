// @vitest-environment happy-dom
/** Definitions on the canvas: made, gone into, changed there, and what becomes of their uses. */
import { beforeEach, describe, expect, it, vi } from "vitest";
import {
  chooseSeeding,
  connectWire,
  copiedText,
  enterDefinition,
  enterUse,
  leaveTo,
  makeOfSelection,
  pasteText,
  promoteParameter,
  removeDefinitionPort,
  remove,
  renameDefinitionPort,
  renameDefinitionTo,
  setParameter,
  unpackDefinition,
} from "../src/commands";
import { adopt, blueprintOf } from "../src/document/blueprints";
import { toWorkflow } from "../src/document/codec";
import type { Doc } from "../src/document/document";
import { objectionToDefinition } from "../src/document/extract";
import { enter, leave, locate, shownIn } from "../src/document/inside";
import { afterRun } from "../src/document/seeds";
import { usesOf } from "../src/document/uses";
import { activeDocument, restore } from "../src/state/documents";
import { select, setCatalog, undoEdit, useEditor } from "../src/state/editor";
import { tellsOf } from "../src/state/estimate";
import { toClipboard } from "../src/state/export";
import { CATALOG } from "./catalog";
import { BLUEPRINT, docOf, GUIDED, KINDS, SAMPLING, TRAINING } from "./documents";

const whole = () => activeDocument().history.present;
const shown = () => useEditor.getState().doc;
const open = (doc: Doc) => restore([{ doc }], 0);
const nodesOf = (doc: Doc) => toWorkflow(doc).nodes;

beforeEach(() => setCatalog(CATALOG));

describe("a definition of a selection", () => {
  it("has ports for the wires over the rim, named after what they join, and one use in its place", () => {
    open(docOf(SAMPLING, { exposed: { params: { scale: "guide.scale" } } }));
    select(["cond", "uncond", "guide"]);
    makeOfSelection("guided");
    const { definitions, exposed } = whole();
    expect(definitions.guided).toMatchObject({
      inputs: ["model", "z", "t", "scale"],
      nodes: {
        cond: { type: "denoise", wires: { model: "inputs.model", z: "inputs.z", t: "inputs.t" } },
        uncond: { type: "denoise", wires: { model: "inputs.model", z: "inputs.z", t: "inputs.t" } },
        guide: { type: "combine", wires: { cond: "cond", uncond: "uncond", scale: "inputs.scale" } },
      },
      results: { prediction: "guide" },
    });
    expect(exposed.params).toEqual({ scale: "guided.scale" });
    expect((nodesOf(whole()) as { sample: { body: object } }).sample.body).toEqual({
      nodes: {
        guided: {
          type: "guided",
          params: { scale: 3 },
          wires: { model: "unet", z: "sample.z", t: "sample.t" },
        },
      },
      results: { prediction: "guided.prediction" },
    });
    undoEdit();
    expect(whole().definitions).toEqual({});
    expect(nodesOf(whole())).toEqual(SAMPLING);
  });

  it("unpacked again is what it was made of", () => {
    open(docOf(SAMPLING));
    select(["cond", "uncond", "guide"]);
    makeOfSelection();
    unpackDefinition("definition");
    expect(nodesOf(whole())).toEqual(SAMPLING);
  });

  it("is refused with a reason", () => {
    const doc = docOf({ ...SAMPLING, last: { type: "noise" } });
    const why = (...ids: string[]) => objectionToDefinition(doc, KINDS, ids);
    expect(why()).toContain("Select the nodes");
    expect(why("cond", "noise")).toContain("different zones");
    expect(why("noise", "decoded")).toBe(
      '"sample" reads some of these nodes, and others read it: select it as well, or fewer nodes',
    );
    expect(why("noise", "sample", "decoded")).toBeNull();
    const inner = enter(GUIDED, "guided");
    expect(objectionToDefinition(inner, KINDS, ["inputs"])).toContain("ports of this definition");
    expect(objectionToDefinition(inner, KINDS, ["cond"])).toContain("calls the body");
  });

  it("takes zones with what is in them, and what a user named", () => {
    open(docOf(TRAINING));
    select(["fit"]);
    makeOfSelection("training");
    expect(whole().definitions.training).toMatchObject({
      inputs: ["data", "unet"],
      results: { unet: "fit.ema.unet" },
    });
    unpackDefinition("training");
    expect(nodesOf(whole())).toEqual(TRAINING);
  });
});

describe("inside of a definition", () => {
  it("edits are steps of the one document, and change all uses", () => {
    open(GUIDED);
    expect(enterUse("g")).toBe(true);
    expect(Object.keys(shown().nodes)).toEqual(["inputs", "cond", "uncond", "mix", "results"]);
    setParameter("mix", "scale", 2);
    expect(shown().nodes.mix?.params).toEqual({ scale: 2 });
    expect((whole().definitions.guided as { nodes: { mix: object } }).nodes.mix).toMatchObject({
      params: { scale: 2 },
    });
    undoEdit();
    expect(whole()).toBe(GUIDED);
    expect(useEditor.getState().path).toHaveLength(1);
    leaveTo();
    expect(shown()).toBe(GUIDED);
  });

  it("keeps the rim, whatever is selected", () => {
    open(GUIDED);
    enterDefinition("guided");
    remove(["inputs", "results", "mix"]);
    expect(Object.keys(shown().nodes)).toEqual(["inputs", "cond", "uncond", "results"]);
  });

  it("a wire to the rim makes a port; who read the only result by the use's name then says which", () => {
    open(GUIDED);
    enterUse("g");
    connectWire(
      { node: "cond", inner: false, port: "prediction", name: "" },
      { node: "results", handle: "+" },
    );
    const definition = whole().definitions.guided as { results: object };
    expect(definition.results).toEqual({ prediction: "mix", prediction2: "cond" });
    expect(whole().nodes.sample?.results).toEqual({ prediction: "g.prediction" });
    connectWire({ node: "inputs", inner: false, port: "+", name: "" }, { node: "mix", handle: "cond" });
    expect((whole().definitions.guided as { inputs: object }).inputs).toEqual(["z", "t", "scale", "cond"]);
    expect(shown().nodes.mix?.wires.cond).toBe("inputs.cond");
  });

  it("an undo that changes nothing there leads to where it does", () => {
    open(GUIDED);
    setParameter("noise", "seed", 9);
    enterUse("g");
    undoEdit();
    expect(useEditor.getState().path).toEqual([]);
    enterUse("g");
    leaveTo();
  });

  it("is left where the definition is no more", () => {
    open(docOf(SAMPLING));
    select(["cond", "uncond", "guide"]);
    makeOfSelection();
    enterUse("definition");
    undoEdit();
    expect(useEditor.getState().path).toEqual([]);
    expect(nodesOf(shown())).toEqual(SAMPLING);
  });
});

describe("a parameter shown on the definition", () => {
  const plain = docOf(
    { a: { type: "own" }, b: { type: "own" } },
    { definitions: { own: { nodes: { n: { type: "noise", params: { seed: 4 } } }, results: { z: "n" } } } },
  );

  it("has each use's own value, and goes back with the one of the use that was opened", () => {
    open(plain);
    enterUse("b");
    promoteParameter("n", "seed");
    expect([whole().nodes.a?.params, whole().nodes.b?.params]).toEqual([{ seed: 4 }, { seed: 4 }]);
    expect(shown().nodes.n).toMatchObject({ params: {}, wires: { seed: "inputs.seed" } });
    leaveTo();
    setParameter("b", "seed", 8);
    enterUse("b");
    renameDefinitionPort("own", "inputs", "seed", "start");
    expect(whole().nodes.b?.params).toEqual({ start: 8 });
    removeDefinitionPort("own", "inputs", "start");
    expect(shown().nodes.n).toMatchObject({ params: { seed: 8 }, wires: {} });
    expect([whole().nodes.a?.params, whole().nodes.b?.params]).toEqual([{}, {}]);
  });
});

describe("ports and names", () => {
  it("are followed by uses, readers, bodies and the app view", () => {
    open(GUIDED);
    renameDefinitionPort("guided", "inputs", "scale", "strength");
    renameDefinitionPort("guided", "ports", "z", "latent");
    renameDefinitionPort("guided", "given", "prediction", "eps");
    renameDefinitionPort("guided", "results", "prediction", "out");
    renameDefinitionTo("guided", "guidance");
    const { nodes, exposed, definitions } = whole();
    expect(exposed.params).toEqual({ scale: "g.strength" });
    expect(nodes.g).toMatchObject({ type: "guidance", params: { strength: 4.5 }, results: { eps: "eps" } });
    expect(nodes.eps?.wires).toEqual({ model: "unet", z: "g.latent", t: "g.t" });
    expect(definitions.guidance).toMatchObject({
      nodes: { cond: { wires: { latent: "inputs.z" } }, mix: { wires: { cond: "cond.eps" } } },
      results: { out: "mix" },
    });
    expect(usesOf(whole(), "guidance").map(({ node }) => node.id)).toEqual(["g"]);
  });
});

describe("what a run tells", () => {
  it("is of the node that is drawn: inside, in a use's body, or the use", () => {
    const way = [{ use: "g", definition: "guided" }];
    expect(locate(GUIDED, "g/mix")).toEqual({ path: way, node: "mix" });
    expect(locate(GUIDED, "g/cond/eps")).toEqual({ path: [], node: "eps" });
    expect(shownIn(GUIDED, [], "g/mix")).toBe("g");
    expect(shownIn(GUIDED, way, "g/mix")).toBe("mix");
    expect(shownIn(GUIDED, way, "decoded")).toBeNull();
    expect(shownIn(GUIDED, [{ definition: "guided" }], "g/mix")).toBe("mix");
  });
});

describe("a blueprint", () => {
  it("brings what it needs, under names of its own where these are taken, and once", () => {
    const doc = docOf({}, { definitions: { single: { nodes: {}, results: {} } } });
    const { doc: next, names } = adopt(doc, blueprintOf(BLUEPRINT, "pair").definitions);
    expect([...names]).toEqual([
      ["pair", "pair"],
      ["single", "single2"],
    ]);
    expect(next.definitions.pair).toMatchObject({ nodes: { one: { type: "single2" } } });
    expect(Object.keys(adopt(BLUEPRINT, BLUEPRINT.definitions).doc.definitions)).toEqual(["pair", "single"]);
  });

  it("is not what has its words, of another definition", () => {
    const own = { ...BLUEPRINT.definitions, single: { nodes: {}, results: {} } };
    const { doc: next, names } = adopt(docOf({}, { definitions: own }), BLUEPRINT.definitions);
    expect(Object.fromEntries(names)).toEqual({ pair: "pair2", single: "single2" });
    expect(next.definitions.pair2).toMatchObject({ nodes: { one: { type: "single2" } } });
  });
});

it("a use that is pasted into another workflow brings its definition, and takes the one that is there", () => {
  open(GUIDED);
  select(["g"]);
  const text = copiedText() ?? "";
  open(docOf({}));
  pasteText(text, [0, 0], null, false);
  expect(whole().definitions).toEqual(GUIDED.definitions);
  expect(Object.values(whole().nodes).map((node) => node.type)).toEqual(["guided", "denoise"]);
  const { definitions } = whole();
  pasteText(text, [0, 0], null, false);
  expect(whole().definitions).toBe(definitions);
});

describe("while the inside of a definition is shown", () => {
  beforeEach(() => {
    open(GUIDED);
    enterUse("g");
  });

  it("the whole workflow is exported", async () => {
    const written = vi.fn<(text: string) => Promise<void>>().mockResolvedValue();
    vi.stubGlobal("navigator", { clipboard: { writeText: written } });
    await toClipboard("json", false);
    vi.unstubAllGlobals();
    expect(JSON.parse(written.mock.calls[0]?.[0] ?? "")).toEqual(toWorkflow(whole()));
  });

  it("an estimate still tells of the whole, until something is changed there", () => {
    const of = whole();
    expect(tellsOf(of, whole())).toBe(true);
    setParameter("mix", "scale", 5);
    expect(whole().nodes).toBe(of.nodes);
    expect(tellsOf(of, whole())).toBe(false);
  });

  it("a seed there counts on after a run", () => {
    setParameter("mix", "seed", 7);
    chooseSeeding("mix", "seed", "next");
    expect(enter(afterRun(whole()), "guided").nodes.mix?.params.seed).toBe(8);
  });
});

it("a choice for a seed leaves a node where the drawing put it", () => {
  open(docOf(SAMPLING));
  const { auto } = useEditor.getState();
  chooseSeeding("sample", "seed", "next");
  expect(shown().places.sample).toMatchObject({ at: auto.sample?.at, after: { seed: "next" } });
  expect(auto.sample?.at).not.toEqual([0, 0]);
});

it("what is not changed inside stays the same object", () => {
  expect(leave(GUIDED, "guided", enter(GUIDED, "guided"))).toBe(GUIDED);
});
