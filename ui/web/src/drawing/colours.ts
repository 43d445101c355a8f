/**
 * Colours of wire types and categories: a hue from the name, moved on where a neighbour has it already.
 *
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

const assigned = new WeakMap<Catalog, Map<string, string>>();

export function wireColour(catalog: Catalog, type: string): string {
  const plain = PLAIN[type];
  if (plain !== undefined) return `oklch(var(--wire-l) 0.035 ${plain})`;
  let colours = assigned.get(catalog);
  if (!colours) {
    colours = new Map();
    const taken = new Set<number>();
    for (const name of Object.keys(catalog.types).sort()) {
      if (name in PLAIN) continue;
      let slot = hash(name) % SLOTS;
      while (taken.has(slot) && taken.size < SLOTS) slot = (slot + 7) % SLOTS;
      taken.add(slot);
      colours.set(name, colourOf(slot));
    }
    assigned.set(catalog, colours);
  }
  return colours.get(type) ?? colourOf(hash(type) % SLOTS);
}

const colourOf = (slot: number): string => {
  const lighter = slot % 2 === 0 ? "+ 0.04" : "- 0.04";
  return `oklch(calc(var(--wire-l) ${lighter}) var(--wire-c) ${Math.round((slot * 360) / SLOTS)})`;
};

/** The hue of a category. */
export const categoryHue = (category: string): number => Math.round(((hash(category) % 15) * 360) / 15);

/** What a category is drawn in, on the sheet (`--tint` in style/node.css) and on the minimap alike. */
export const categoryColour = (category: string): string =>
  `oklch(var(--zone-l) var(--zone-c) ${categoryHue(category)})`;
