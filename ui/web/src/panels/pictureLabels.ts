/** What to write under pictures: where each comes from, and in what their settings differ. */
import { enclosing, type Doc, type Id } from "../document/document";
import { print, type Json } from "../document/json";
import { stepName } from "../drawing/format";
import type { Settings } from "./flatten";

/** Of a picture that a node showed: the node, and the step it was at, or in a sweep what the loop was at. */
export function labelOf(doc: Doc, node: Id, turn: number | null): string {
  const name = node.replaceAll("_", " ");
  if (turn === null) return name;
  const swept = sweptAt(doc, node, turn);
  return swept ? `${name} · ${swept}` : `${name} · ${stepName(turn)}`;
}

/** The items that a loop over named lists is at in an iteration: what was typed in as its lists. */
function sweptAt(doc: Doc, node: Id, turn: number): string {
  for (const zone of enclosing(doc, doc.nodes[node]?.zone ?? null)) {
    const params = zone === null ? undefined : doc.nodes[zone]?.params;
    for (const value of Object.values(params ?? {})) {
      if (typeof value !== "object" || value === null || Array.isArray(value)) continue;
      const lists = Object.entries(value).filter(([, list]) => Array.isArray(list));
      const items = lists.flatMap(([name, list]) => {
        const item = (list as Json[])[turn];
        return item === undefined ? [] : [`${name} ${typeof item === "string" ? item : print(item)}`];
      });
      if (items.length > 0) return items.join(", ");
    }
  }
  return "";
}

const MOST = 3;

/** For each of several settings what sets it apart from the others, as `name value`; "" where nothing does. */
export function apart(all: readonly Settings[]): string[] {
  const names = [...new Set(all.flatMap((settings) => Object.keys(settings)))];
  const differing = names.filter((name) => new Set(all.map((settings) => settings[name])).size > 1);
  const short = (name: string) => {
    const own = name.split(".").at(-1) ?? name;
    return differing.filter((other) => other.split(".").at(-1) === own).length > 1 ? name : own;
  };
  return all.map((settings) =>
    differing
      .filter((name) => settings[name] !== undefined)
      .slice(0, MOST)
      .map((name) => `${short(name).replaceAll("_", " ")} ${settings[name] ?? ""}`)
      .join(", "),
  );
}
