/**
 * Colours of wire types and categories: a hue from the name, moved on where a type that more ports have took it.
 *
 * There are more types than colours that an eye tells apart: those that most ports have get one each, the others share.
 * Lightness and chroma come from the theme (style/tokens.css), so that one hue reads well on dark and light.
 */
import type { Catalog } from "../server/types";

const SLOTS = 22;
const PLAIN: Record<string, number> = {
  int: 250,
  float: 250,
  bool: 20,
  str: 130,
  list: 290,
  value: 290,
  any: 290,
};

function hash(text: string): number {
  let value = 2166136261;
  for (const char of text) value = Math.imul(value ^ (char.codePointAt(0) ?? 0), 16777619) >>> 0;
  return value;
}

const assigned = new WeakMap<Catalog, ReadonlyMap<string, string>>();

export function wireColour(catalog: Catalog, type: string): string {
  const plain = PLAIN[type];
  if (plain !== undefined) return `oklch(var(--wire-l) 0.035 ${plain})`;
  const colours = assigned.get(catalog) ?? assign(catalog);
  assigned.set(catalog, colours);
  return colours.get(type) ?? colourOf(hash(type) % SLOTS, 0);
}

/** Each hue once, then each once more in the other lightness, and so on. */
function assign(catalog: Catalog): ReadonlyMap<string, string> {
  const ports = portsOf(catalog);
  const rank = (name: string) => ports.get(name) ?? 0;
  const names = Object.keys(catalog.types).filter((name) => !(name in PLAIN));
  const colours = new Map<string, string>();
  const taken = new Set<number>();
  for (const name of names.sort().sort((a, b) => rank(b) - rank(a))) {
    const round = Math.floor(colours.size / SLOTS);
    if (taken.size === SLOTS) taken.clear();
    let slot = hash(name) % SLOTS;
    while (taken.has(slot)) slot = (slot + 7) % SLOTS;
    taken.add(slot);
    colours.set(name, colourOf(slot, round));
  }
  return colours;
}

/** How many ports have each type. */
function portsOf(catalog: Catalog): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { inputs, outputs, body } of Object.values(catalog.nodes))
    for (const { type } of [...inputs, ...outputs, ...(body?.ports ?? []), ...(body?.results ?? [])])
      counts.set(type, (counts.get(type) ?? 0) + 1);
  return counts;
}

const colourOf = (slot: number, round: number): string => {
  const lighter = (slot + round) % 2 === 0 ? "+ 0.04" : "- 0.04";
  return `oklch(calc(var(--wire-l) ${lighter}) var(--wire-c) ${Math.round((slot * 360) / SLOTS)})`;
};

/** The hue of a category. */
export const categoryHue = (category: string): number => Math.round(((hash(category) % 15) * 360) / 15);

/** What a category is drawn in, on the sheet (`--tint` in style/node.css) and on the minimap alike. */
export const categoryColour = (category: string): string =>
  `oklch(var(--zone-l) var(--zone-c) ${categoryHue(category)})`;
