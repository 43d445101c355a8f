/** Names: as people type them, and what a port of a definition is called after, the ports that its wire joins. */
import type { Doc } from "./document";
import { sourcePorts, type Source } from "./references";
import type { Kinds } from "./types";

export const NO_NAME = "A name is a letter, then letters, digits or spaces";

/** A name that was typed, as files write it; null where it is none (NO_NAME says why). */
export function nameTyped(text: string): string | null {
  const name = text
    .trim()
    .toLowerCase()
    .replace(/[\s-]+/g, "_");
  return /^[a-z][a-z0-9_]*$/.test(name) ? name : null;
}

/** A source by its port where that says something, or by the type of its one value; else by its node. */
export function nameOfSource(doc: Doc, kinds: Kinds, source: Source): string {
  if (source.name) return source.name;
  const spec = kinds.specs(doc)(doc.nodes[source.node]?.type ?? "");
  const ports = spec ? sourcePorts(spec, source.inner) : [];
  if (source.port !== "" && source.port !== "value") return source.port;
  const kind = kinds.of(doc, source)?.name ?? "";
  return ports.length === 1 && kind !== "" && kind !== "any" ? kind : source.node;
}
