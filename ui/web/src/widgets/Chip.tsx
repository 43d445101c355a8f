/** A word that is on or off. */
import type { ReactNode } from "react";

interface Props {
  isOn: boolean;
  /** Of the dot before it: what it stands for is drawn so. */
  colour?: string;
  run: () => void;
  children: ReactNode;
}

export function Chip({ isOn, colour, run, children }: Props) {
  return (
    <button className={`chip${isOn ? "" : " off"}`} aria-pressed={isOn} onClick={run}>
      {colour ? <i className="dot" style={{ background: colour }} /> : null}
      {children}
    </button>
  );
}
