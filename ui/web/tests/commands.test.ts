// @vitest-environment happy-dom
/** Random sequences of every command: nothing but an undo takes an edit back. */
import fc from "fast-check";
import { beforeEach, expect, it, vi } from "vitest";
import { read, write } from "../src/document/codec";
import { EMPTY, type Doc } from "../src/document/document";
import { redoEdit, setCatalog, undoEdit, useEditor } from "../src/state/editor";
import { restore } from "../src/state/documents";
import { CATALOG } from "./catalog";
import { changes, COMMANDS, Picker } from "./commands";
import { docOf, GUIDED, SAMPLING, TRAINING } from "./documents";
import { cases, THOROUGH } from "./effort";

const STARTS: Doc[] = [
  EMPTY,
  docOf(SAMPLING),
  docOf(TRAINING, { title: "T" }),
  docOf({ ...SAMPLING, ...TRAINING, n2: { type: "noise" } }),
  GUIDED,
];

const names = [...Object.keys(COMMANDS), "undo", "redo"] as (keyof typeof COMMANDS | "undo" | "redo")[];
const step = fc.record({
  name: fc.constantFrom(...names),
  numbers: fc.array(fc.nat(9999), { minLength: 12, maxLength: 12 }),
});
const sequences = fc.tuple(fc.nat(STARTS.length - 1), fc.array(step, { maxLength: 30 }));

const shown = () => useEditor.getState().doc;

beforeEach(() => {
  // Each step in a second of its own, so that none joins the one before.
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => (now += 10_000));
  setCatalog(CATALOG);
});

it(
  "an edit touches what it is about and nothing else; undo and redo go over every step",
  () => {
    const tried = new Set<string>();
    fc.assert(
      fc.property(sequences, ([start, steps]) => {
        const first = STARTS[start] ?? EMPTY;
        restore([{ doc: first }], 0);
        // What is expected of undo: every document there was.
        let states = [first];
        let at = 0;
        for (const { name, numbers } of steps) {
          const before = shown();
          if (name === "undo" || name === "redo") {
            (name === "undo" ? undoEdit : redoEdit)();
            at = Math.min(states.length - 1, Math.max(0, at + (name === "undo" ? -1 : 1)));
            expect(shown()).toBe(states[at]);
            continue;
          }
          const may = COMMANDS[name](new Picker(numbers), before);
          const after = shown();
          if (may === null) continue;
          const strayed = changes(before, after).filter((change) => !may(change));
          expect(strayed, `${name} changed what it is not about`).toEqual([]);
          expect(write(read(write(after)).doc)).toBe(write(after));
          if (after === before) continue;
          tried.add(name);
          states = [...states.slice(0, at + 1), after];
          at = states.length - 1;
        }
        for (const _ of states) undoEdit();
        expect(shown()).toBe(first);
        for (const _ of states) redoEdit();
        expect(shown()).toBe(states.at(-1));
      }),
      { numRuns: cases(150, 5000), ...(THOROUGH ? {} : { seed: 1 }) },
    );
    // Every kind was tried, and did something.
    expect([...tried].sort()).toEqual(Object.keys(COMMANDS).sort());
  },
  cases(60_000, 3_600_000),
);
