/** What differs between two documents. */
import type { Doc } from "../src/document/document";

export interface Change {
  readonly path: string;
  readonly was: unknown;
  readonly is: unknown;
}

/** A document as paths and plain values: `nodes.guide.params.scale` is 3. Lists are one value. */
function flat(doc: Doc): Map<string, unknown> {
  const found = new Map<string, unknown>();
  const visit = (path: string, value: unknown) => {
    const entries =
      typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : null;
    if (entries === null) found.set(path, typeof value === "string" ? value : JSON.stringify(value));
    else for (const [key, inner] of entries) visit(path === "" ? key : `${path}.${key}`, inner);
  };
  visit("", doc);
  return found;
}

export function changes(before: Doc, after: Doc): Change[] {
  const [a, b] = [flat(before), flat(after)];
  return [...new Set([...a.keys(), ...b.keys()])]
    .map((path) => ({ path, was: a.get(path), is: b.get(path) }))
    .filter(({ was, is }) => was !== is);
}
