/**
 * The way of each wire: in pieces, one for each scope that it runs through, from its source over the entries of the zones
 * that it goes into. Each piece has the nodes of its scope to run round.
 */
import { entryHandle, zonesEntered } from "../document/entries";
import type { Id } from "../document/document";
import { sourceHandle, type Source } from "../document/references";
import { absolute, entryHeights, HANDLE, handleSpots, RAIL_LEFT, sizesOf, type Sheet } from "./geometry";
import type { Box, Point } from "./pushing";
import { route } from "./routing";

/** Where a wire goes into a zone: so far below its top. */
export interface Pass {
  readonly zone: Id;
  readonly y: number;
}

/** A wire as it is drawn: what it is read by, and in which scope. */
export interface Run {
  readonly source: Source;
  readonly target: Id;
  readonly handle: string;
  readonly scope: Id | null;
}

export interface Way {
  readonly passes: readonly Pass[];
  /** Of each piece, where it is to run as x, y, x, y, …; null for a plain curve. */
  readonly routes: readonly (readonly number[] | null)[];
  /** What the routes were found from: equal keys, equal routes. */
  readonly key: string;
}

/** The entries that a wire passes, outermost first. */
export function passesOf(sheet: Sheet, { source, scope }: Pick<Run, "source" | "scope">): Pass[] {
  const handle = entryHandle(source);
  return zonesEntered(sheet.doc, source, scope).flatMap((zone) => {
    const card = sheet.cards[zone];
    const at = card?.entries.findIndex((entry) => entry.handle === handle) ?? -1;
    return card && at >= 0 ? [{ zone, y: entryHeights(card)[at] ?? 0 }] : [];
  });
}

interface Scope {
  readonly boxes: readonly Box[];
  readonly version: number;
}

/** What each scope's boxes were when they were looked at last; a change makes a new version. */
const looks = new Map<Id | null, { text: string; version: number }>();
let versions = 0;

/** A function that finds ways on a sheet; `before` is the wire's way as it was drawn. */
export function finder(sheet: Sheet): (run: Run, before: Way | undefined) => Way {
  const sizes = sizesOf(sheet);
  const corners = new Map<Id, Point>();
  const cornerOf = (id: Id): Point => {
    const known = corners.get(id) ?? absolute(sheet, id);
    corners.set(id, known);
    return known;
  };
  const held = new Map<Id | null, Box[]>();
  for (const { id, zone } of Object.values(sheet.cards)) {
    const box = { id, at: cornerOf(id), size: sizes.get(id) ?? ([0, 0] as const) };
    const boxes = held.get(zone);
    if (boxes) boxes.push(box);
    else held.set(zone, [box]);
  }
  const scopes = new Map<Id | null, Scope>();
  const scopeOf = (zone: Id | null): Scope => {
    const known = scopes.get(zone);
    if (known) return known;
    const boxes = held.get(zone) ?? [];
    const text = boxes.map(({ id, at, size }) => `${id} ${at.join()} ${size.join()}`).join(";");
    const look = looks.get(zone);
    const version = look?.text === text ? look.version : ++versions;
    looks.set(zone, { text, version });
    const scope = { boxes, version };
    scopes.set(zone, scope);
    return scope;
  };
  const spotOf = (id: Id, handle: string): Point => {
    const card = sheet.cards[id];
    const spot = card && handleSpots(card, sizes.get(id)?.[0] ?? 0).find((own) => own.handle === handle);
    const [x, y] = cornerOf(id);
    const outer = spot?.type === "target" ? -HANDLE / 2 : HANDLE / 2;
    return [x + (spot?.x ?? 0) + outer, y + (spot?.y ?? 0)];
  };
  return (run, before) => {
    const { source, target, handle } = run;
    const passes = passesOf(sheet, run);
    const first = source.inner ? source.node : (sheet.doc.nodes[source.node]?.zone ?? null);
    const inside = [first, ...passes.map(({ zone }) => zone)];
    const rims = passes.map(({ zone, y }): Point => [cornerOf(zone)[0], cornerOf(zone)[1] + y]);
    const starts = [
      spotOf(source.node, sourceHandle(source)),
      ...rims.map(([x, y]): Point => [x + RAIL_LEFT, y]),
    ];
    const ends = [...rims, spotOf(target, handle)];
    const versionsOf = inside.map((zone) => scopeOf(zone).version);
    const key = [...versionsOf, ...starts.flat(), ...ends.flat()].join(" ");
    if (before?.key === key) return before;
    const routes = inside.map((zone, i) => {
      const own = [source.node, target, passes[i]?.zone ?? ""];
      return route(starts[i] ?? [0, 0], ends[i] ?? [0, 0], scopeOf(zone).boxes, own);
    });
    return { passes, routes, key };
  };
}
