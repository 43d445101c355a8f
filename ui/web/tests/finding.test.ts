// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import { handleKey } from "../src/canvas/shortcuts";
import { pans } from "../src/canvas/wheel";
import { cardsOf } from "../src/document/cards";
import { homesOf, wiredWithin } from "../src/document/homes";
import { NOTHING } from "../src/drawing/brush";
import { between } from "../src/drawing/wirePath";
import { barItems, PANELS } from "../src/panels/BarMenu";
import { find } from "../src/panels/finding";
import { keyOf, offers, type Wish } from "../src/panels/offers";
import { search } from "../src/panels/search";
import type { About, Catalog, NodeSpec, Template, Usage } from "../src/server/types";
import { combination, keysOf, rebound } from "../src/state/keymap";
import { usePainting } from "../src/state/painting";
import { ORIGINAL, settingsFrom } from "../src/state/settings";
import { useRuns } from "../src/state/runs";
import { NARROW, TABLET, useUi } from "../src/state/ui";
import { preferred } from "../src/strings";
import { CATALOG } from "./catalog";
import { docOf, KINDS, SAMPLING } from "./documents";

const spec = (type: string, more: Partial<NodeSpec> = {}): NodeSpec => {
  const found = CATALOG.nodes[type];
  if (!found) throw new Error(type);
  return { ...found, ...more };
};
const port = spec("picture").inputs.find(({ name }) => name === "fit");
const widget = { kind: "choice", choices: ["crop", "pad"] } as const;
const WORDS: Catalog = {
  ...CATALOG,
  nodes: {
    ...CATALOG.nodes,
    sample: spec("sample", { words: ["ksampler", "img2img"] }),
    decode: spec("decode", { words: ["vae decode"], formerly: ["to_image"] }),
    encode: spec("encode", { words: ["vae-encode", "img2img"] }),
    picture: spec("picture", {
      inputs: port ? [{ ...port, widget: { ...widget, choices: [...widget.choices] } }] : [],
    }),
  },
};
const SPECS = Object.values(WORDS.nodes);
const types = (query: string) => search(SPECS, query).map((found) => found.spec.type);

describe("finding nodes by words", () => {
  it.each([
    ["ksampler", ["sample"]],
    ["sampler", ["sample"]],
    ["VAE", ["decode", "encode"]],
    ["vae_encode", ["encode"]],
    ["img2img", ["encode", "sample"]],
    ["to image", ["decode"]],
  ])("%s", (query, wanted) => {
    expect(types(query).slice(0, wanted.length).sort()).toEqual(wanted);
  });

  it("a choice is found, told, and taken along", () => {
    const [first] = search(SPECS, "pad");
    expect(first).toMatchObject({ by: "fit: pad", params: { fit: "pad" } });
    expect(first?.spec.type).toBe("picture");
  });

  it("what says nothing of it is not found", () => expect(types("controlnet")).toEqual([]));
});

const EMPTY: Usage = { used: {}, after: {}, before: {} };
const HEADS = { next: "next", used: "used", templates: "templates" };
const wish = (more: Partial<Wish> = {}): Wish => ({
  doc: docOf(SAMPLING),
  zone: null,
  loose: null,
  kind: null,
  slot: undefined,
  selected: null,
  ...more,
});
const listed = (usage: Usage, asked: Wish, query: string, templates: readonly Template[] = []) =>
  offers(WORDS, SPECS, usage, templates, asked, query, HEADS);

describe("what the palette offers", () => {
  it("a node that wants a zone is offered inside of a new one, and not where there is one", () => {
    const outside = listed(EMPTY, wish(), "denoise");
    expect(outside.map((offer) => offer.what).slice(0, 2)).toEqual(["node", "inside"]);
    expect(outside[1]).toMatchObject({ what: "inside", zone: { type: "sample" } });
    expect(listed(EMPTY, wish({ zone: "sample" }), "denoise")[1]?.what).not.toBe("inside");
  });

  it("what usually follows comes first, and no line twice", () => {
    const usage = { used: { data: 9, decode: 2 }, after: { "sample.latent": { decode: 3 } }, before: {} };
    const heads = listed(usage, wish({ selected: "sample" }), "");
    expect(heads[0]).toMatchObject({ head: "next", spec: { type: "decode" } });
    const used = listed(usage, wish(), "");
    expect(used[0]).toMatchObject({ head: "used", spec: { type: "data" } });
    for (const lines of [heads, used]) expect(new Set(lines.map(keyOf)).size).toBe(lines.length);

    const loose = {
      side: "source",
      source: { node: "noise", inner: false, port: "latent", name: "" },
    } as const;
    const hanging = wish({ loose, kind: { name: "latent", many: 0 } });
    const known = { ...EMPTY, after: { "noise.latent": { sample: 5 } } };
    expect(listed(known, hanging, "")[0]).toMatchObject({ spec: { type: "sample" } });
    const before = { ...EMPTY, before: { "decode.z": { sample: 2, encode: 1 } } };
    const into = wish({
      loose: { side: "target", node: "decoded", handle: "z" },
      kind: { name: "latent", many: 0 },
    });
    expect(listed(before, into, "").slice(0, 2)).toMatchObject([
      { spec: { type: "sample" } },
      { spec: { type: "encode" } },
    ]);
  });

  it("templates are found by what they say", () => {
    const template = { name: "t", title: "Guided sampling", about: "Noise and a zone.", text: "" };
    expect(listed(EMPTY, wish(), "guided zone", [template])).toEqual([{ what: "template", template }]);
    expect(listed(EMPTY, wish(), "", [template])[0]).toMatchObject({ head: "templates" });
  });

  it("a new zone and its node are wired to each other", () => {
    expect(homesOf(CATALOG, spec("denoise"))[0]?.type).toBe("sample");
    expect(homesOf(CATALOG, spec("objective"))[0]?.type).toBe("train");
    expect(homesOf(CATALOG, spec("unet"))).toEqual([]);
    const doc = docOf({ s: { type: "sample", body: { nodes: { d: { type: "denoise" } } } } });
    const { nodes } = wiredWithin(doc, KINDS, "s", "d");
    expect(nodes.d?.wires).toEqual({ z: "s.z", t: "s.t" });
    expect(nodes.s?.results).toEqual({ prediction: "d" });
  });
});

describe("finding in a graph", () => {
  const cards = Object.values(cardsOf(docOf(SAMPLING), KINDS, {}));
  const ids = (query: string) => find(cards, query).map(({ card }) => card.id);

  it("by name, by a parameter and its value, by documentation", () => {
    expect(ids("guide")[0]).toBe("guide");
    expect(find(cards, "scale 3")[0]).toMatchObject({
      card: { id: "guide" },
      by: "scale: 3",
      handle: "scale",
    });
    expect(find(cards, "seed")[0]).toMatchObject({ card: { id: "noise" }, handle: "seed" });
    expect(ids("guide scale")).toEqual(["guide"]);
    expect(ids("nothing like it")).toEqual([]);
  });
});

describe("keys", () => {
  const press = (key: string, more: Partial<KeyboardEvent> = {}) =>
    combination({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });
  const ALL = [
    { label: "Mute", keys: ["M"] },
    { label: "Note", keys: ["N"] },
  ];

  it("are said as they are pressed", () => {
    expect(press("z", { ctrlKey: true, shiftKey: true })).toBe("Ctrl Shift Z");
    expect(press(" ")).toBe("Space");
    expect(press("?", { shiftKey: true })).toBe("?");
    expect(press("ArrowLeft", { altKey: true })).toBe("Alt ArrowLeft");
    expect(press("Shift", { shiftKey: true })).toBeNull();
  });

  it("go to one shortcut only, and the clipboard keeps its own", () => {
    const next = rebound(ALL, ORIGINAL, "Note", "M");
    expect(next?.from).toBe("Mute");
    const settings = { ...ORIGINAL, keys: next?.keys ?? {} };
    expect(ALL.map((own) => keysOf(own, settings))).toEqual([[], ["M"]]);
    expect(rebound(ALL, ORIGINAL, "Note", "Ctrl C")).toBeNull();
  });

  it("do nothing on the sheet while a picture or a mask lies over it", () => {
    const taken = () => {
      const event = new KeyboardEvent("keydown", { key: "M", shiftKey: true, cancelable: true });
      handleKey(event);
      return event.defaultPrevented;
    };
    const painting = { node: "a", picture: "a.png", mask: null, strokes: NOTHING };
    expect(taken()).toBe(true);
    useUi.setState({ picture: "a.png" });
    expect(taken()).toBe(false);
    useUi.setState({ picture: null });
    usePainting.setState({ now: painting });
    expect(taken()).toBe(false);
    usePainting.setState({ now: null });
    expect(taken()).toBe(true);
  });
});

describe("the narrow bar", () => {
  const labels = (width: number) => barItems(width).flatMap((item) => (item ? [item.label] : []));

  it("has all panels in its menu, and the way out where there is a login", () => {
    expect(labels(TABLET)).toEqual(expect.arrayContaining(Object.values(PANELS)));
    expect(labels(TABLET)).not.toContain("Log out");
    useRuns.setState({ about: { login: true } as About });
    expect(labels(TABLET)).toContain("Log out");
    expect(labels(TABLET + 1)).not.toContain("Log out"); // the bar has a button for it
    useRuns.setState({ about: null });
  });
  it("saves and exports on a telephone; a tablet's bar has both", () => {
    expect(labels(NARROW)).toEqual(expect.arrayContaining(["Save", "Export"]));
    expect(labels(TABLET)).not.toEqual(expect.arrayContaining(["Save"]));
    expect(labels(TABLET)).not.toEqual(expect.arrayContaining(["Export"]));
  });
});

describe("settings", () => {
  it("what is broken in what was kept is as it was originally", () => {
    expect(settingsFrom("{")).toEqual(ORIGINAL);
    expect(settingsFrom("7")).toEqual(ORIGINAL);
    const kept = { wires: "straight", pointer: "paw", language: "de", keys: { Mute: ["X"], Note: 3 } };
    expect(settingsFrom(JSON.stringify(kept))).toEqual({
      wires: "straight",
      pointer: "auto",
      language: "de",
      keys: { Mute: ["X"] },
    });
  });

  it("a language that is not whole is not taken unasked", () => {
    expect(preferred(["de-DE", "en"])).toBe("en");
    expect(preferred(["fr"])).toBe("en");
  });

  it("wires have the style that was chosen", () => {
    expect(between("straight", [0, 0], [10, 20])).not.toContain("C");
    expect(between("curved", [0, 0], [10, 20])).toContain("C");
    expect(between("stepped", [0, 0], [200, 40])).toContain("Q");
  });

  it("two fingers move, a wheel zooms, and pinching zooms always", () => {
    const turn = (deltaX: number, deltaY: number, timeStamp: number, more: Partial<WheelEvent> = {}) => ({
      ...{ deltaX, deltaY, timeStamp, deltaMode: 0, ctrlKey: false, metaKey: false, shiftKey: false },
      ...more,
    });
    expect(pans(turn(0, 120, 1000), "auto")).toBe(false);
    expect(pans(turn(4, 120, 2000), "auto")).toBe(true);
    expect(pans(turn(0, 120, 2100), "auto")).toBe(true); // of the same gesture
    expect(pans(turn(0, 120, 9000), "auto")).toBe(false);
    expect(pans(turn(0, 2, 9900, { ctrlKey: true }), "trackpad")).toBe(false);
    expect(pans(turn(0, 120, 9950), "trackpad")).toBe(true);
    expect(pans(turn(3, 3, 9990), "mouse")).toBe(false);
    expect(pans(turn(0, 120, 9999, { shiftKey: true }), "mouse")).toBe(true);
  });
});
