// @vitest-environment happy-dom
/** What an edit draws again, and asks the server: what changed, and nothing else. */
import { ReactFlowProvider } from "@xyflow/react";
import fc from "fast-check";
import { act, createElement, Profiler, type ComponentType } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { NodeCard } from "../src/canvas/NodeCard";
import { Zone } from "../src/canvas/Zone";
import { add, setParameter } from "../src/commands";
import { cardsOf } from "../src/document/cards";
import { write } from "../src/document/codec";
import { EMPTY, heldIn, inside, isInside, mapValues, type Doc } from "../src/document/document";
import { changedLiterals } from "../src/document/literals";
import type { Sheet } from "../src/drawing/geometry";
import { edgesOf, nodesOf, type LoomEdge, type LoomNode } from "../src/drawing/view";
import { api } from "../src/server/api";
import { restore } from "../src/state/documents";
import { redoEdit, setCatalog, undoEdit, useEditor } from "../src/state/editor";
import { isFar, setLevel } from "../src/state/level";
import { startValidation } from "../src/state/validation";
import { CATALOG } from "./catalog";
import { COMMANDS } from "./commands";
import { docOf, GUIDED, SAMPLING, TRAINING } from "./documents";
import { cases, THOROUGH } from "./effort";
import { Picker } from "./picker";

vi.hoisted(() => ((globalThis as Record<string, unknown>).IS_REACT_ACT_ENVIRONMENT = true));

const EXPOSED = { exposed: { params: { guidance: "guide.scale", seed: "noise.seed" } } };

const names = [...Object.keys(COMMANDS), "undo", "redo"] as (keyof typeof COMMANDS | "undo" | "redo")[];
const step = fc.record({
  // Values are changed more often than anything else.
  name: fc.oneof(fc.constantFrom(...names), fc.constantFrom("setParameter" as const, "undo" as const)),
  numbers: fc.array(fc.nat(9999), { minLength: 12, maxLength: 12 }),
});
const STARTS = [docOf(SAMPLING), docOf(TRAINING), docOf({ ...SAMPLING, fit: TRAINING.fit }), GUIDED];

beforeEach(() => {
  setCatalog(CATALOG);
  restore([{ doc: docOf({ ...SAMPLING, fit: TRAINING.fit }, EXPOSED) }], 0);
});

/** Draw every node of the sheet, and tell which are drawn again by what is done then. */
function drawnAgain(change: () => void): string[] {
  const again: string[] = [];
  const { nodes } = useEditor.getState();
  const root = createRoot(document.createElement("div"));
  const drawn = nodes.map(({ id, type, width, height }) => {
    const Shown = (type === "zone" ? Zone : NodeCard) as unknown as ComponentType<object>;
    const onRender = () => void again.push(id);
    const props: object = { id, width, height };
    return createElement(Profiler, { key: id, id, onRender }, createElement(Shown, props));
  });
  act(() => root.render(createElement(ReactFlowProvider, null, drawn)));
  again.length = 0;
  act(change);
  act(() => root.unmount());
  return [...new Set(again)];
}

describe("an edit of one field", () => {
  for (const [level, zoom] of [
    ["near", 1],
    ["far", 0.2],
  ] as const) {
    it(`draws its node and nothing else, ${level}`, () => {
      act(() => setLevel(zoom));
      expect(drawnAgain(() => setParameter("noise", "seed", 11))).toEqual(["noise"]);
    });
  }

  it("draws a card's field from afar, where it is one of the stage's", () => {
    act(() => setLevel(0.2));
    expect(drawnAgain(() => setParameter("guide", "scale", 5)).sort()).toEqual(["guide", "sample"]);
  });

  it("leaves React Flow nothing to look through", () => {
    const { nodes, edges, cards } = useEditor.getState();
    setParameter("guide", "scale", 5);
    const now = useEditor.getState();
    expect(now.cards.guide).not.toBe(cards.guide);
    expect(now.nodes).toBe(nodes);
    expect(now.edges).toBe(edges);
  });
});

it("an edit of a value asks for the types of its own node alone", () => {
  const { kinds, doc } = useEditor.getState();
  const asked = new Set<string>();
  const of = vi.spyOn(kinds, "of").mockImplementation((_, source) => (asked.add(source.node), null));
  setParameter("guide", "scale", 5);
  of.mockRestore();
  expect(useEditor.getState().doc).not.toBe(doc);
  expect([...asked]).toEqual(["guide"]);
});

describe("what is drawn after an edit", () => {
  const drawnAnew = (sheet: Sheet) => ({
    nodes: nodesOf(sheet, [], isFar()),
    edges: edgesOf(sheet, [], isFar()),
  });
  const look = ({ nodes, edges }: { nodes: LoomNode[]; edges: LoomEdge[] }) => ({
    nodes: nodes.map(({ selected: _, ...node }) => node),
    edges: edges.map(({ data, ...edge }) => ({ ...edge, selected: false, data: { ...data, way: null } })),
  });

  it(
    "is what would be drawn without what was drawn before",
    () => {
      fc.assert(
        fc.property(fc.nat(STARTS.length - 1), fc.array(step, { maxLength: 12 }), (start, steps) => {
          restore([{ doc: STARTS[start] ?? docOf({}) }], 0);
          for (const { name, numbers } of steps) {
            if (name === "undo" || name === "redo") (name === "undo" ? undoEdit : redoEdit)();
            else COMMANDS[name](new Picker(numbers), useEditor.getState().doc);
            const state = useEditor.getState();
            const cards = cardsOf(state.doc, state.kinds, {}, state.asPorts);
            expect(state.cards, name).toEqual(cards);
            const sheet = { ...state, cards };
            expect(look(state), name).toEqual(look(drawnAnew(sheet)));
          }
        }),
        { numRuns: cases(40, 5000), ...(THOROUGH ? {} : { seed: 3 }) },
      );
    },
    cases(120_000, 3_600_000),
  );
});

describe("what lies in a zone", () => {
  it("is what is inside of it, in the file's order, however deep zones are", () => {
    const zones = fc.array(fc.nat(12), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(zones, (parents) => {
        const doc = docOf({});
        const nodes = Object.fromEntries(
          parents.map((parent, i) => {
            const zone = parent < i ? `n${parent}` : null;
            const node = { type: "group", mode: "run", zone, params: {}, wires: {}, results: {} };
            return [`n${i}`, { id: `n${i}`, ...node }];
          }),
        );
        const made = { ...doc, nodes: nodes as typeof doc.nodes };
        for (const zone of Object.keys(nodes)) {
          const wanted = Object.keys(nodes).filter((id) => isInside(made, id, zone));
          expect(heldIn(made, zone)).toEqual(wanted);
          expect(inside(made, zone).map(({ id }) => id)).toEqual(wanted);
        }
      }),
      { numRuns: cases(100, 5000) },
    );
  });
});

describe("the server is asked what is wrong", () => {
  beforeAll(startValidation);
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it("at once after a single change, and once about many that follow each other", () => {
    const asked = vi.spyOn(api, "validate").mockResolvedValue({ problems: [], types: {}, mark: "" });
    setParameter("guide", "scale", 4);
    vi.advanceTimersByTime(1000);
    asked.mockClear();
    setParameter("guide", "scale", 5);
    expect(asked).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(1000);
    asked.mockClear();
    for (let i = 0; i < 20; i++) {
      setParameter("guide", "scale", 6 + i);
      vi.advanceTimersByTime(10);
    }
    expect(asked).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(1000);
    expect(asked).toHaveBeenCalledTimes(2);
    expect(asked.mock.lastCall?.[0]).toContain('"scale":25');
  });

  it("with changed literals alone, where the server knows the rest and nothing else has changed", async () => {
    const answer = { problems: [], types: {}, mark: "known" };
    const whole = vi.spyOn(api, "validate").mockResolvedValue(answer);
    const again = vi.spyOn(api, "revalidate").mockResolvedValue(answer);
    const edited = async (change: () => void) => {
      whole.mockClear();
      again.mockClear();
      change();
      await vi.advanceTimersByTimeAsync(1000);
      return [
        whole.mock.calls.length,
        again.mock.calls.map(([mark, text]) => [mark, JSON.parse(text) as unknown]),
      ];
    };
    await vi.advanceTimersByTimeAsync(1000);
    await edited(() => add("decode", [0, 0], null));
    const guide = { guide: { scale: 5 } };
    expect(await edited(() => setParameter("guide", "scale", 5))).toEqual([0, [["known", guide]]]);
    expect(await edited(() => setParameter("guide", "scale", 6))).toEqual([
      0,
      [["known", { guide: { scale: 6 } }]],
    ]);
    expect(await edited(() => add("decode", [0, 0], null))).toEqual([1, []]);
    again.mockResolvedValue(null); // a server that was started anew
    expect(await edited(() => setParameter("guide", "scale", 5))).toEqual([1, [["known", guide]]]);
  });
});

describe("the literals that changed", () => {
  const honest = () => {
    fc.assert(
      fc.property(fc.nat(STARTS.length - 1), fc.array(step, { maxLength: 4 }), (start, steps) => {
        restore([{ doc: STARTS[start] ?? docOf({}) }], 0);
        const before = useEditor.getState().doc;
        for (const { name, numbers } of steps)
          if (name === "undo" || name === "redo") (name === "undo" ? undoEdit : redoEdit)();
          else COMMANDS[name](new Picker(numbers), useEditor.getState().doc);
        const { doc } = useEditor.getState();
        const changed = changedLiterals(before, doc);
        if (changed === null) return;
        const nodes = mapValues(before.nodes, (node) => ({
          ...node,
          params: changed[node.id] ?? node.params,
        }));
        const read = ({ title: _, about: __, places: ___, ...rest }: Doc) => write({ ...EMPTY, ...rest });
        expect(read({ ...before, nodes })).toEqual(read(doc));
      }),
      { numRuns: cases(40, 5000), ...(THOROUGH ? {} : { seed: 3 }) },
    );
  };
  const about = "are all that changed of what a validation reads, or it is said that they are not";
  it(about, honest, cases(120_000, 3_600_000));
});
