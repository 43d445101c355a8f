/** Which keys do what: as the shortcuts say, unless a person gave them others. */
import { set, useSettings, type Settings } from "./settings";

export interface Bound {
  readonly label: string;
  readonly keys: readonly string[];
}

/** What the browser does with its clipboard: these come as events of their own and cannot be given away. */
export const TAKEN = ["Ctrl C", "Ctrl X", "Ctrl V", "Ctrl Shift V"];
const NAMES: Readonly<Record<string, string>> = { " ": "Space" };
const MODIFIERS = new Set(["Control", "Shift", "Alt", "Meta", "AltGraph"]);

/** The keys of a shortcut, as they are shown. */
export const keysOf = (
  { label, keys }: Bound,
  settings: Settings = useSettings.getState(),
): readonly string[] => settings.keys[label] ?? keys;

type Pressed = Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">;

/** What is pressed, as shortcuts say it ("Ctrl Shift Z"); null while only Ctrl, Alt or Shift is held. */
export function combination(event: Pressed): string | null {
  if (MODIFIERS.has(event.key)) return null;
  const letter = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const key = NAMES[event.key] ?? letter;
  // Of a sign that is typed with Shift the sign itself is the key.
  const shift = event.shiftKey && (event.key.length > 1 || /^[a-z0-9 ]$/i.test(event.key));
  return [event.ctrlKey || event.metaKey ? "Ctrl" : "", event.altKey ? "Alt" : "", shift ? "Shift" : "", key]
    .filter(Boolean)
    .join(" ");
}

/** Keys with a new combination for one shortcut, taken from whichever had it; null where nobody may have it. */
export function rebound(
  all: readonly Bound[],
  settings: Settings,
  label: string,
  keys: string,
): { keys: Settings["keys"]; from: string | null } | null {
  if (TAKEN.includes(keys)) return null;
  const other = all.find((own) => own.label !== label && keysOf(own, settings).includes(keys));
  const left = other && keysOf(other, settings).filter((own) => own !== keys);
  return {
    keys: { ...settings.keys, ...(other && left ? { [other.label]: left } : {}), [label]: [keys] },
    from: other?.label ?? null,
  };
}

/** Give a shortcut its original keys back, and all of them where none is named. */
export function restore(label?: string): void {
  const kept = Object.entries(useSettings.getState().keys).filter(([own]) => label && own !== label);
  set({ keys: Object.fromEntries(kept) });
}
