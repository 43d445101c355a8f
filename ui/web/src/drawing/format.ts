/** Numbers for people. */

/** Six figures, as tables tell numbers. */
export const figures = (value: number): string => String(Number(value.toPrecision(6)));

/** 0.4 s, 12 s, 3:05, 1:02:03. */
export function clock(seconds: number): string {
  if (seconds < 0.01) return "0 s";
  if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown.map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}

/** 41 µs, 3.2 ms; from a tenth of a second on as a clock. */
export function spent(seconds: number): string {
  if (seconds >= 0.1 || seconds <= 0) return clock(seconds);
  return seconds < 0.001
    ? `${Number((seconds * 1e6).toPrecision(2))} µs`
    : `${Number((seconds * 1e3).toPrecision(2))} ms`;
}

/** 12.3/s, or 4.5 s each. */
export const pace = (rate: number): string =>
  rate >= 1 ? `${Number(rate.toPrecision(3))}/s` : `${Number((1 / rate).toPrecision(2))} s each`;

export function ago(time: number, now = Date.now() / 1000): string {
  const seconds = Math.max(0, now - time);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(time * 1000).toLocaleDateString();
}

export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = count === 0 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3));
  return `${Number((count / 1000 ** power).toPrecision(3))} ${units[power] ?? "B"}`;
}

/** 4.74 T, 820 G, 3.1 k: for numbers of operations. */
export function large(count: number): string {
  const letters = ["", "k", "M", "G", "T", "P", "E"];
  const power = count < 1 ? 0 : Math.min(letters.length - 1, Math.floor(Math.log10(count) / 3));
  return `${Number((count / 1000 ** power).toPrecision(3))} ${letters[power] ?? ""}`;
}

/** A loop's step as people count: the first is 1. */
export const stepName = (step: number): string => `step ${step + 1}`;
