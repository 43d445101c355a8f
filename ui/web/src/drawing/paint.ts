/** The colours that a person gives to nodes, zones, frames and notes: named in the file, mixed by the theme. */

export interface Paint {
  readonly name: string;
  /** The hue in degrees; null is grey. */
  readonly hue: number | null;
}

export const PAINTS: readonly Paint[] = [
  { name: "red", hue: 25 },
  { name: "orange", hue: 60 },
  { name: "yellow", hue: 95 },
  { name: "green", hue: 150 },
  { name: "teal", hue: 195 },
  { name: "blue", hue: 255 },
  { name: "violet", hue: 300 },
  { name: "grey", hue: null },
];

/**
 * The colour in CSS of what a file says: a name, or a colour in hexadecimal digits as older files have it. Undefined
 * where it is neither, for a file is not to bring styles of its own.
 */
export function paintOf(colour: string | undefined): string | undefined {
  const named = PAINTS.find(({ name }) => name === colour);
  if (named) return `oklch(var(--zone-l) ${named.hue === null ? 0 : 0.13} ${named.hue ?? 0})`;
  return colour !== undefined && /^#[0-9a-f]{3,8}$/i.test(colour) ? colour : undefined;
}
