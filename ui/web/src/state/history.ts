/** Undo and redo: what was, what is, what was undone. */

export interface Step<T> {
  readonly value: T;
  readonly label: string;
}

export interface History<T> {
  readonly past: readonly Step<T>[];
  readonly present: T;
  readonly future: readonly Step<T>[];
  /** Changes of one key that follow each other closely are one step: the drag of a number, a word being typed. */
  readonly key: string | null;
  readonly time: number;
}

const LIMIT = 300;
const CLOSE = 1000; // milliseconds

export const begin = <T>(present: T): History<T> => ({ past: [], present, future: [], key: null, time: 0 });

/** The next state; `key` joins it with the step before. */
export function record<T>(
  history: History<T>,
  next: T,
  label: string,
  key: string | null,
  now: number,
): History<T> {
  if (next === history.present) return history;
  const joins = key !== null && key === history.key && now - history.time < CLOSE && history.past.length > 0;
  const past = joins ? history.past : [...history.past, { value: history.present, label }].slice(-LIMIT);
  return { past, present: next, future: [], key, time: now };
}

export function undo<T>(history: History<T>): History<T> {
  const last = history.past.at(-1);
  if (!last) return history;
  return {
    past: history.past.slice(0, -1),
    present: last.value,
    future: [{ value: history.present, label: last.label }, ...history.future],
    key: null,
    time: 0,
  };
}

export function redo<T>(history: History<T>): History<T> {
  const [next, ...rest] = history.future;
  if (!next) return history;
  return {
    past: [...history.past, { value: history.present, label: next.label }],
    present: next.value,
    future: rest,
    key: null,
    time: 0,
  };
}
