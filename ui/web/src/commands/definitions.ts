/** What a person can do to definitions, and to the ports of one. */
import { definitionNamed, definitionOf } from "../document/definitions";
import { makeDefinition, objectionToDefinition } from "../document/extract";
import { outermost, type Doc, type Id } from "../document/document";
import { changeNode } from "../document/edits";
import { addPort, movePort, promote, removePort, renamePortOf, type Side } from "../document/ports";
import { deleteDefinition, duplicateDefinition, renameDefinition, usesOf } from "../document/uses";
import { activeDocument } from "../state/documents";
import { run } from "../state/sending";
import type { Step } from "../document/inside";
import {
  edit,
  editPlaces,
  editWhole,
  select,
  selectedIds,
  show,
  shownSheet,
  useEditor,
} from "../state/editor";
import { say } from "../state/ui";
import { absolute, placeOf } from "../drawing/geometry";

const isType = (name: string): boolean => name in useEditor.getState().catalog.nodes;

/** Make a definition of the selected nodes; a sentence where none can be made. */
export function makeOfSelection(wanted = "definition"): void {
  const sheet = useEditor.getState();
  const { doc: shown, kinds } = sheet;
  const ids = selectedIds();
  const objection = objectionToDefinition(shown, kinds, ids);
  if (objection !== null) {
    say(objection, "bad");
    return;
  }
  const zone = ids.map((id) => shown.nodes[id]).find((node) => node !== undefined)?.zone ?? null;
  const origin = zone === null ? ([0, 0] as const) : absolute(sheet, zone);
  let made = { id: "", name: "" };
  editPlaces("Make a definition", (doc) => {
    const { doc: next, ...names } = makeDefinition(
      doc,
      kinds,
      ids,
      wanted,
      (id) => placeOf(sheet, id),
      origin,
    );
    made = names;
    return next;
  });
  select([made.id]);
  say(`Made the definition "${made.name.replaceAll("_", " ")}"`, "plain", {
    label: "Open it",
    run: () => enterUse(made.id),
  });
}

/** Show the inside of what a node is a use of. False where it is none. */
export function enterUse(id: Id): boolean {
  const { doc, path } = useEditor.getState();
  if (!definitionOf(doc, id)) return false;
  show([...path, { use: id, definition: doc.nodes[id]?.type ?? "" }]);
  return true;
}

/** Show the inside of a definition as such, whichever uses it has. */
export const enterDefinition = (definition: string) => show([{ definition }]);

/** Go out to a step of the way, counted from the sheet (0); by one where none is named. */
export function leaveTo(depth = useEditor.getState().path.length - 1): void {
  const { path } = useEditor.getState();
  if (path.length === 0) return;
  const left = path[Math.max(0, depth)];
  show(path.slice(0, Math.max(0, depth)));
  if (left?.use !== undefined) select([left.use]);
}

/** Show a parameter of a node inside on the definition: each use then has a value of its own for it. */
export function promoteParameter(id: Id, param: string): void {
  const { within } = shownSheet();
  editWhole("Show on the definition", (doc) => promote(doc, within, id, param));
}

/** The use through which one came in: what is taken back has its value. */
const cameBy = (): Id | undefined => useEditor.getState().path.at(-1)?.use;

export const addDefinitionPort = (name: string, side: Exclude<Side, "results">, wanted: string) =>
  editWhole("Add a port", (doc) => addPort(doc, name, side, wanted));

export const moveDefinitionPort = (name: string, side: Side, port: string, by: -1 | 1) =>
  editWhole("Move a port", (doc) => movePort(doc, name, side, port, by));

export const renameDefinitionPort = (name: string, side: Side, port: string, wanted: string) =>
  editWhole("Rename a port", (doc) => renamePortOf(doc, name, side, port, wanted));

/** Take a port away, of the definition and of every use. */
export function removeDefinitionPort(name: string, side: Side, port: string): void {
  const kept = cameBy();
  const values = new Set(usesIn(name).map(({ node }) => JSON.stringify(node.params[port])));
  editWhole("Remove a port", (doc) => removePort(doc, name, side, port, kept));
  if (side === "inputs" && values.size > 1)
    say(`The uses had different values for "${port}"; inside there is one now`);
}

const usesIn = (name: string) => usesOf(activeDocument().history.present, name);

export function renameDefinitionTo(name: string, wanted: string): void {
  const { path } = useEditor.getState();
  let called = name;
  editWhole("Rename a definition", (doc) => {
    const renamed = renameDefinition(doc, name, wanted, isType);
    called = renamed.name;
    return renamed.doc;
  });
  show(path.map((step) => (step.definition === name ? { ...step, definition: called } : step)));
}

/** Describe a definition; the letters typed in one go are one step to undo. */
export const describeDefinition = (name: string, about: string) =>
  editWhole("Describe a definition", (doc) => described(doc, name, about), `about ${name}`);

function described<D extends Doc>(doc: D, name: string, about: string): D {
  const definition = definitionNamed(doc, name);
  if (!definition) return doc;
  const { about: _before, ...rest } = definition;
  const next = { ...(about ? { about } : {}), ...rest };
  return { ...doc, definitions: { ...doc.definitions, [name]: next as never } };
}

export const copyDefinition = (name: string) =>
  editWhole("Duplicate a definition", (doc) => duplicateDefinition(doc, name).doc);

/** Give one use a definition of its own: a copy, so that the others stay as they are. */
export function makeIndependent(id: Id): void {
  edit("Make a use independent", (doc) => {
    const copied = duplicateDefinition(doc, doc.nodes[id]?.type ?? "");
    return changeNode(copied.doc, id, { type: copied.name });
  });
}

export function removeDefinition(name: string): void {
  const count = usesIn(name).length;
  if (count > 0)
    say(
      `"${name}" is used ${count === 1 ? "once" : `${count} times`}: unpack or delete its uses first`,
      "bad",
    );
  else editWhole("Delete a definition", (doc) => deleteDefinition(doc, name));
}

/** Run what one is inside of: the outermost zone around the use by which one came in. */
export function runToUse({ use, definition }: Step): void {
  const first = use ?? usesIn(definition).find(({ within }) => within === "")?.node.id;
  if (first === undefined) say(`No use of "${definition}" is on the sheet: there is nothing to run`);
  else void run({ targets: [outermost(activeDocument().history.present, first)], only: true });
}
