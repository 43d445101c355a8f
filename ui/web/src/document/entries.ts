/**
 * What a zone's body reads from outside: each such source is an entry on the rim of every zone that its wires go into, once,
 * however many nodes in there read it. Entries are drawn; the file knows nothing of them.
 */
import { enclosing, joined, type Doc, type Id } from "./document";
import { sourceKey, type Source } from "./references";
import type { InSlot } from "./slots";
import type { WireKind } from "./types";

export interface Entry {
  /** The rim's handle, `entry:NODE HANDLE`. */
  readonly handle: string;
  readonly source: Source;
  readonly kind: WireKind;
}

export const entryHandle = (source: Source): string => `entry:${sourceKey(source)}`;

/** The zones that a wire goes into on its way from `source` to what is read in `scope`, outermost first. */
export function zonesEntered(doc: Doc, source: Source, scope: Id | null): Id[] {
  const from = source.inner ? source.node : (doc.nodes[source.node]?.zone ?? null);
  const around = enclosing(doc, scope);
  return around
    .slice(0, Math.max(0, around.indexOf(from)))
    .flatMap((zone) => (zone === null ? [] : [zone]))
    .reverse();
}

export interface Reader {
  /** Where its slots are read: the zone around it, or itself for the results of its body. */
  readonly scope: Id | null;
  readonly slots: readonly InSlot[];
}

/** The entries of every zone that has some, in the order in which they are read. */
export function entriesOf(doc: Doc, readers: readonly Reader[]): Map<Id, Entry[]> {
  const found = new Map<Id, Map<string, Entry>>();
  for (const { scope, slots } of readers) {
    for (const { source, kind } of slots) {
      if (!source) continue;
      for (const zone of zonesEntered(doc, source, scope)) {
        const entries = found.get(zone) ?? new Map<string, Entry>();
        const handle = entryHandle(source);
        if (!entries.has(handle)) entries.set(handle, { handle, source, kind });
        found.set(zone, entries);
      }
    }
  }
  return new Map([...found].map(([zone, entries]) => [zone, [...entries.values()]]));
}

/** What an entry is called: its node, and the port where that has several. */
export function entryName({ source }: Entry, outputs: number): string {
  if (source.inner) return joined(source.port, source.name).replaceAll("_", " ");
  const port = outputs > 1 ? ` ${joined(source.port, source.name)}` : "";
  return `${source.node}${port}`.replaceAll("_", " ");
}
