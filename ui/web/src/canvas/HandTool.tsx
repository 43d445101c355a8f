/** While the space bar is held, a drag moves the sheet, over nodes and zones too; a press without a drag is a shortcut. */
import { useEffect, useRef } from "react";
import { create } from "zustand";
import { panBy } from "../state/flow";

/** What the space bar does when it is let go; null while it is not held. */
const useHeld = create<{ readonly tap: (() => void) | null; readonly dragged: boolean }>()(() => ({
  tap: null,
  dragged: false,
}));

/** The space bar went down: `tap` is done when it comes up, unless something was dragged. */
export function holdSpace(tap: () => void): void {
  if (useHeld.getState().tap === null) useHeld.setState({ tap, dragged: false });
}

export function HandTool() {
  const held = useHeld((state) => state.tap !== null);
  const at = useRef<readonly [number, number] | null>(null);
  useEffect(() => {
    if (!held) return undefined;
    const letGo = (event: KeyboardEvent) => {
      if (event.key !== " ") return;
      const { tap, dragged } = useHeld.getState();
      useHeld.setState({ tap: null });
      if (!dragged) tap?.();
    };
    const forget = () => useHeld.setState({ tap: null });
    addEventListener("keyup", letGo);
    addEventListener("blur", forget); // the key comes up in another window
    return () => {
      removeEventListener("keyup", letGo);
      removeEventListener("blur", forget);
    };
  }, [held]);
  if (!held) return null;
  return (
    <div
      className="hand-tool"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        at.current = [event.clientX, event.clientY];
        useHeld.setState({ dragged: true });
      }}
      onPointerMove={(event) => {
        if (!at.current) return;
        panBy(event.clientX - at.current[0], event.clientY - at.current[1]);
        at.current = [event.clientX, event.clientY];
      }}
      onPointerUp={() => {
        at.current = null;
      }}
    />
  );
}
