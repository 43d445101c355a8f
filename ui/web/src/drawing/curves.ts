/** What is done to curves before they are drawn: colours, smoothing. */

const HUES = [220, 35, 150, 300, 85, 0, 185, 260];

export const curveColour = (index: number): string =>
  `oklch(var(--curve-l) 0.15 ${HUES[index % HUES.length] ?? 0})`;

/** An exponential average whose start is not drawn towards zero; holes stay holes. weight: 0 … below 1. */
export function smooth(values: readonly (number | null)[], weight: number): (number | null)[] {
  if (weight <= 0) return [...values];
  let mean = 0;
  let mass = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    mass = weight * mass + (1 - weight);
    return mean / mass;
  });
}
