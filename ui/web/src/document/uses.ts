/** Definitions as a whole: their uses, their names, copies of them. */
import { definitionNamed } from "./definitions";
import { freshId, type Doc, type DocNode } from "./document";
import { without } from "./edits";
import { enter, everywhere } from "./inside";

export interface FoundUse {
  readonly node: DocNode;
  /** The definition that the use is in; empty on the sheet. */
  readonly within: string;
}

/** Every use of a definition, on the sheet and in other definitions. */
export function usesOf(whole: Doc, name: string): FoundUse[] {
  const among = (graph: Doc, within: string) =>
    Object.values(graph.nodes).flatMap((node) => (node.type === name ? [{ node, within }] : []));
  return [
    ...among(whole, ""),
    ...Object.keys(whole.definitions).flatMap((own) => among(enter(whole, own), own)),
  ];
}

export const renamedKey = <T>(
  record: Readonly<Record<string, T>>,
  from: string,
  to: string,
): Record<string, T> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key === from ? to : key, value]));

/** Whether one definition uses another, at any depth, or is that one. */
export function reaches(whole: Doc, from: string, to: string, seen: Set<string> = new Set()): boolean {
  if (from === to) return true;
  if (seen.has(from) || !definitionNamed(whole, from)) return false;
  seen.add(from);
  return Object.values(enter(whole, from).nodes).some((node) => reaches(whole, node.type, to, seen));
}

/** A definition under another name, in every use. */
export function renameDefinition<D extends Doc>(
  whole: D,
  name: string,
  wanted: string,
  taken: (name: string) => boolean,
): { doc: D; name: string } {
  if (wanted === name || !definitionNamed(whole, name)) return { doc: whole, name };
  const to = freshId((own) => own !== name && (own in whole.definitions || taken(own)), wanted);
  const typed = everywhere(whole, (node) => (node.type === name ? { ...node, type: to } : node));
  return { doc: { ...typed, definitions: renamedKey(typed.definitions, name, to) }, name: to };
}

/** A copy of a definition under a name of its own. */
export function duplicateDefinition<D extends Doc>(whole: D, name: string): { doc: D; name: string } {
  const definition = whole.definitions[name];
  if (definition === undefined) return { doc: whole, name };
  const copy = freshId((own) => own in whole.definitions, name);
  return {
    doc: { ...whole, definitions: { ...whole.definitions, [copy]: { ...(definition as object) } } },
    name: copy,
  };
}

/** Take a definition away that nothing uses. */
export const deleteDefinition = <D extends Doc>(whole: D, name: string): D =>
  usesOf(whole, name).length > 0 ? whole : { ...whole, definitions: without(whole.definitions, name) };
