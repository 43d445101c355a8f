// @vitest-environment happy-dom
/** Random sequences of every command: nothing but an undo takes an edit back. */
import fc from "fast-check";
import { beforeEach, expect, it, vi } from "vitest";
import { read, write } from "../src/document/codec";
import { EMPTY, type Doc } from "../src/document/document";
import { redoEdit, setCatalog, undoEdit, useEditor } from "../src/state/editor";
import { enterDefinition, enterUse, leaveTo } from "../src/commands";
import { definitionOf } from "../src/document/definitions";
import { enter } from "../src/document/inside";
import { activeDocument, restore } from "../src/state/documents";
import { CATALOG } from "./catalog";
import { changes, type Change } from "./changes";
import { COMMANDS } from "./commands";
import { Picker } from "./picker";
import { docOf, GUIDED, SAMPLING, TRAINING } from "./documents";
import { cases, THOROUGH } from "./effort";

const STARTS: Doc[] = [
  EMPTY,
  docOf(SAMPLING),
  docOf(TRAINING, { title: "T" }),
  docOf({ ...SAMPLING, ...TRAINING, n2: { type: "noise" } }),
  GUIDED,
];

type Step = keyof typeof COMMANDS | "undo" | "redo" | "in" | "out";
// What needs a definition first is tried more often.
const OFTEN = ["in", "in", "out", "addBlueprint", "promoteParameter", "promoteParameter", "removeDefinition"];
const names = [...Object.keys(COMMANDS), "undo", "redo", ...OFTEN] as Step[];
const step = fc.record({
  name: fc.constantFrom(...names),
  numbers: fc.array(fc.nat(9999), { minLength: 12, maxLength: 12 }),
});
const sequences = fc.tuple(fc.nat(STARTS.length - 1), fc.array(step, { maxLength: 30 }));

/** All of it, whichever part is shown. */
const whole = () => activeDocument().history.present;

/** Go into a definition, through a use or as such; or out. */
function walk(name: "in" | "out", pick: Picker): void {
  const { doc } = useEditor.getState();
  const use = pick.of(Object.keys(doc.nodes).filter((id) => definitionOf(doc, id)));
  const definition = pick.of(Object.keys(doc.definitions));
  if (name === "out") leaveTo();
  else if (use !== undefined) enterUse(use);
  else if (definition !== undefined) enterDefinition(definition);
}

/** What is done to a definition as such, and so to its uses wherever they are. */
const OF_DEFINITIONS: ReadonlySet<string> = new Set([
  ...Object.keys(COMMANDS).filter((name) => /(DefinitionPort|DefinitionTo)$/.test(name)),
  ...["copyDefinition", "describeDefinition", "promoteParameter", "removeDefinition"],
]);

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
          const before = whole();
          if (name === "in" || name === "out") {
            walk(name, new Picker(numbers));
            expect(whole()).toBe(before);
            continue;
          }
          if (name === "undo" || name === "redo") {
            (name === "undo" ? undoEdit : redoEdit)();
            at = Math.min(states.length - 1, Math.max(0, at + (name === "undo" ? -1 : 1)));
            expect(whole()).toBe(states[at]);
            continue;
          }
          const { doc: seen } = useEditor.getState();
          const may = COMMANDS[name](new Picker(numbers), seen);
          const after = whole();
          if (may === null) continue;
          // Inside of a definition it is that one's nodes which change, and nothing else but definitions.
          const within = OF_DEFINITIONS.has(name) ? undefined : seen.within;
          const strayed = changes(
            within === undefined ? before : seen,
            within === undefined ? after : enter(after, within),
          ).filter((change) => !change.path.startsWith(`definitions.${within ?? ""}.`) && !may(change));
          if (within !== undefined) {
            const outside = changes({ ...before, definitions: {} }, { ...after, definitions: {} });
            // Where there are two results now, who read the only one says which.
            const qualified = ({ was, is }: Change) => String(is).includes(`${String(was)}.`);
            expect(outside.filter((change) => !qualified(change) && !may(change))).toEqual([]);
          }
          expect(strayed, `${name} changed what it is not about`).toEqual([]);
          expect(write(read(write(after)).doc)).toBe(write(after));
          if (after === before) continue;
          tried.add(name);
          states = [...states.slice(0, at + 1), after];
          at = states.length - 1;
        }
        for (const _ of states) undoEdit();
        expect(whole()).toBe(first);
        for (const _ of states) redoEdit();
        expect(whole()).toBe(states.at(-1));
      }),
      { numRuns: cases(400, 5000), ...(THOROUGH ? {} : { seed: 3 }) },
    );
    // Every kind was tried, and did something.
    expect([...tried].sort()).toEqual(Object.keys(COMMANDS).sort());
  },
  cases(120_000, 3_600_000),
);
