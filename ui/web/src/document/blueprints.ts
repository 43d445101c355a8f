/** Blueprints: a definition, with those that it uses, on its way from one workflow to another. */
import { definitionNamed } from "./definitions";
import { EMPTY, freshId, type Doc } from "./document";
import { enter, everywhere } from "./inside";
import { equal, type Json } from "./json";

/** The workflow that a definition is saved as: it and what it uses, and no nodes. */
export function blueprintOf(doc: Doc, name: string): Doc {
  const names = closure(doc, name);
  const definitions = Object.fromEntries(names.map((own) => [own, doc.definitions[own] as Json]));
  return {
    ...EMPTY,
    title: name.replaceAll("_", " "),
    about: definitionNamed(doc, name)?.about ?? "",
    definitions,
  };
}

/** The definitions that one needs, itself first. */
export function closure(doc: Doc, name: string): string[] {
  const found = new Set<string>();
  const visit = (own: string) => {
    if (found.has(own) || !definitionNamed(doc, own)) return;
    found.add(own);
    for (const node of Object.values(enter(doc, own).nodes)) visit(node.type);
  };
  visit(name);
  return [...found];
}

/**
 * A document with the definitions of another: one that is there already, word for word as all that it uses, is taken
 * for it; where another one has the name, the newcomer gets one of its own. `names`: what each is called here.
 */
export function adopt<D extends Doc>(
  doc: D,
  from: Doc["definitions"],
  taken: (name: string) => boolean = () => false,
): { doc: D; names: Map<string, string> } {
  const names = new Map<string, string>();
  const used = new Set<string>(Object.keys(doc.definitions));
  const there = (name: string) => {
    const own = doc.definitions[name];
    return own !== undefined && equal(own, from[name]);
  };
  for (const name of Object.keys(from)) {
    const same = closure({ ...EMPTY, definitions: from }, name).every(there);
    const called = same ? name : freshId((wanted) => used.has(wanted) || taken(wanted), name);
    used.add(called);
    names.set(name, called);
  }
  const brought = everywhere<Doc>({ ...EMPTY, definitions: from }, (node) => {
    const type = names.get(node.type);
    return type === undefined || type === node.type ? node : { ...node, type };
  });
  const fresh = Object.entries(brought.definitions).flatMap(([name, definition]) => {
    const called = names.get(name) ?? name;
    return called in doc.definitions ? [] : [[called, definition] as const];
  });
  if (fresh.length === 0) return { doc, names };
  return { doc: { ...doc, definitions: { ...doc.definitions, ...Object.fromEntries(fresh) } }, names };
}
