/** Boxes that would cover each other, put beside each other: what grew stays, and what is in its way makes room. */

export type Size = readonly [number, number];
export type Point = readonly [number, number];

export interface Box {
  readonly id: string;
  readonly at: Point;
  readonly size: Size;
}

/** The room that is kept between what was pushed and what pushed it. */
export const PUSH_GAP = 20;

/**
 * The boxes so that none covers another, in the same order. The upper left ones stay; each of the others stays too, as
 * the same object, unless it would cover one of them, and then goes right or down, whichever is the shorter way.
 */
export function push(boxes: readonly Box[]): readonly Box[] {
  if (!anyCovered(boxes)) return boxes;
  const ordered = [...boxes].sort(
    (a, b) => a.at[0] + a.at[1] - b.at[0] - b.at[1] || a.at[0] - b.at[0] || (a.id < b.id ? -1 : 1),
  );
  const settled: Box[] = [];
  const found = new Map<string, Box>();
  for (const box of ordered) {
    let own = box;
    // Each step brings it past one box for good, since it only ever goes right and down.
    for (let other = coveredBy(own, settled); other; other = coveredBy(own, settled)) {
      const right = other.at[0] + other.size[0] + PUSH_GAP;
      const down = other.at[1] + other.size[1] + PUSH_GAP;
      const at: Point = right - own.at[0] < down - own.at[1] ? [right, own.at[1]] : [own.at[0], down];
      own = { ...own, at };
    }
    settled.push(own);
    found.set(box.id, own);
  }
  return boxes.map((box) => found.get(box.id) ?? box);
}

/** Whether any two cover each other: each is held against those alone that begin before it ends. */
function anyCovered(boxes: readonly Box[]): boolean {
  const ordered = [...boxes].sort((a, b) => a.at[0] - b.at[0]);
  return ordered.some((box, i) => {
    const end = box.at[0] + box.size[0];
    for (let j = i + 1; j < ordered.length; j++) {
      const other = ordered[j];
      if (!other || other.at[0] >= end) return false;
      if (covers(box, other)) return true;
    }
    return false;
  });
}

const coveredBy = (box: Box, others: readonly Box[]): Box | undefined =>
  others.find((other) => covers(box, other));

export const covers = (a: Box, b: Box): boolean =>
  a.at[0] < b.at[0] + b.size[0] &&
  b.at[0] < a.at[0] + a.size[0] &&
  a.at[1] < b.at[1] + b.size[1] &&
  b.at[1] < a.at[1] + a.size[1];
