/** What is asked for each run that this browser sends off, besides the workflow: options, seed, how often. */
import { create } from "zustand";
import type { SubmitOptions } from "../server/api";

export type OptionValue = string | number | boolean;

interface Asking {
  /** By the names that the server told (`About.options`); what is not here is as the server was started. */
  readonly options: Readonly<Record<string, OptionValue>>;
  /** A number that JavaScript holds whole. */
  readonly seed: number;
  readonly fresh: boolean;
  /** How many runs one press of the button sends off, each with the next seed. */
  readonly times: number;
  /** Tell by a notification of the browser when a run is over and the page is not looked at. */
  readonly notify: boolean;
}

export const MOST_TIMES = 100;
const KEY = "loom.run";
const PLAIN: Asking = { options: {}, seed: 0, fresh: false, times: 1, notify: false };

function stored(): Asking {
  try {
    return { ...PLAIN, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Asking>), times: 1 };
  } catch {
    return PLAIN;
  }
}

export const useAsking = create<Asking>()(stored);

useAsking.subscribe((state) => localStorage.setItem(KEY, JSON.stringify(state)));

/** Set an option; undefined leaves it to the server. */
export function setOption(name: string, value: OptionValue | undefined): void {
  useAsking.setState(({ options }) => {
    const rest = Object.entries(options).filter(([own]) => own !== name);
    return { options: Object.fromEntries(value === undefined ? rest : [...rest, [name, value]]) };
  });
}

/** Ask for nothing in particular again. */
export const askPlainly = () => useAsking.setState(({ notify }) => ({ ...PLAIN, notify }));

/** What is asked for that is not as it is otherwise, in words. */
export function askedInWords({ options, seed, fresh, times }: Asking): string[] {
  return [
    ...Object.entries(options).map(([name, value]) => `${name.replaceAll("_", " ")} ${String(value)}`),
    ...(seed === 0 ? [] : [`seed ${seed}`]),
    ...(fresh ? ["fresh"] : []),
    ...(times > 1 ? [`${times} times`] : []),
  ];
}

/** What the nth run of a press is asked, counted from 0. */
export function asked(nth = 0): SubmitOptions {
  const { options, seed, fresh } = useAsking.getState();
  return { options, fresh, seed: (seed + nth) % Number.MAX_SAFE_INTEGER };
}
