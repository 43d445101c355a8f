/** A button that is a picture: what it does is said to who cannot see it, and to all others by a hint. */
import type { ReactNode } from "react";
import { tr } from "../strings";

interface Props {
  label: string;
  /** The hint, where it says it otherwise. */
  tip?: string;
  /** The label of the shortcut that does the same: the hint tells its keys. */
  shortcut?: string;
  run: () => void;
  /** Of what is on or off: which. */
  on?: boolean;
  disabled?: boolean;
  small?: boolean;
  children: ReactNode;
}

export function IconButton({
  label,
  tip = label,
  shortcut,
  run,
  on,
  disabled,
  small = false,
  children,
}: Props) {
  return (
    <button
      className={`${small ? "field-button" : "icon-button"}${on ? " on" : ""}`}
      aria-label={tr(label)}
      aria-pressed={on}
      data-tip={`text|${tr(tip)}`}
      data-shortcut={shortcut}
      disabled={disabled}
      onClick={run}
    >
      {children}
    </button>
  );
}
