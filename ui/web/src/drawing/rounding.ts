/** Numbers that a hand reaches, and numbers as they are shown: no more digits than somebody meant. */

/** The largest of 1, 2, 5, 10, 20, … (or 0.1, 0.2, 0.5, …) that is at most this. */
export function niceStep(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most));
  const first = most / power;
  return (first >= 5 ? 5 : first >= 2 ? 2 : 1) * power;
}

/** The multiple of a step that is nearest, without the noise of binary fractions: 0.1 + 0.2 is 0.3. */
export function toStep(value: number, step: number): number {
  const digits = Math.min(100, Math.max(0, 1 - Math.floor(Math.log10(step))));
  return Number((Math.round(value / step) * step).toFixed(digits));
}

/** A number that was worked out, to as many digits as a double holds for certain. */
export const tidy = (value: number): number => Number(value.toPrecision(15));

const MOST = 6; // digits that are shown

/** A number in few letters: 0.333333; 1e-7 stays 1e-7. Whole ones are told whole. */
export const brief = (value: number): string =>
  Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(MOST)));
