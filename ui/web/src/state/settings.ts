/** What a person chose for this browser: how wires look, what the wheel does, which keys do what, the language. */
import { create } from "zustand";
import type { WireStyle } from "../drawing/wirePath";
import { LANGUAGES, preferred, speak, type Language } from "../strings";

export const WIRES = ["curved", "straight", "stepped"] as const satisfies readonly WireStyle[];
export const POINTERS = ["auto", "mouse", "trackpad"] as const;
export type Pointer = (typeof POINTERS)[number];

export interface Settings {
  readonly wires: WireStyle;
  readonly pointer: Pointer;
  readonly language: "auto" | Language;
  /** By the label of a shortcut: the keys that were given to it. */
  readonly keys: Readonly<Record<string, readonly string[]>>;
}

export const ORIGINAL: Settings = { wires: "curved", pointer: "auto", language: "auto", keys: {} };
const PLACE = "loom.settings";

/** Settings from the text that was kept of them; what cannot be understood is as it was originally. */
export function settingsFrom(text: string | null): Settings {
  let kept: unknown;
  try {
    kept = JSON.parse(text ?? "{}");
  } catch {
    return ORIGINAL;
  }
  if (typeof kept !== "object" || kept === null) return ORIGINAL;
  const { wires, pointer, language, keys } = kept as Partial<Record<keyof Settings, unknown>>;
  const one = <T extends string>(value: unknown, all: readonly T[], otherwise: T): T =>
    all.find((own) => own === value) ?? otherwise;
  const given = typeof keys === "object" && keys !== null ? Object.entries(keys) : [];
  return {
    wires: one(wires, WIRES, ORIGINAL.wires),
    pointer: one(pointer, POINTERS, ORIGINAL.pointer),
    language: one(language, ["auto", ...(Object.keys(LANGUAGES) as Language[])], ORIGINAL.language),
    keys: Object.fromEntries(
      given.filter(([, value]) => Array.isArray(value) && value.every((each) => typeof each === "string")),
    ),
  };
}

export const useSettings = create<Settings>()(() => settingsFrom(localStorage.getItem(PLACE)));

export const languageOf = ({ language }: Settings): Language =>
  language === "auto" ? preferred() : language;

/** Change some, and keep them. */
export function set(change: Partial<Settings>): void {
  useSettings.setState(change);
  const { wires, pointer, language, keys } = useSettings.getState();
  localStorage.setItem(PLACE, JSON.stringify({ wires, pointer, language, keys }));
  speak(languageOf(useSettings.getState()));
}

speak(languageOf(useSettings.getState()));
