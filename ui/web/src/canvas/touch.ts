/** Fingers: a wire is two taps, from a port to a port; a long press is the right mouse button. */
import type { Id } from "../document/document";
import { connectWire } from "../commands/wires";
import { sourceOf } from "../document/references";
import { spotAt } from "../state/flow";
import { say, useUi, type LooseEnd } from "../state/ui";
import { takeWheel } from "./wheel";
import { beginWire, objectionTo } from "./wiring";

const LONG = 500; // milliseconds
const STILL = 10; // pixels that a finger may tremble

interface Port {
  readonly node: Id;
  readonly handle: string;
  readonly side: "source" | "target";
}

/** The port under a finger: its dot, or its name beside it. */
function portAt(target: EventTarget | null): Port | null {
  if (!(target instanceof Element)) return null;
  const dot =
    target.closest<HTMLElement>(".socket") ??
    target.closest(".port")?.querySelector<HTMLElement>(".socket") ??
    null;
  const { nodeid, handleid } = dot?.dataset ?? {};
  if (!dot || !nodeid || !handleid) return null;
  return { node: nodeid, handle: handleid, side: dot.classList.contains("source") ? "source" : "target" };
}

/** React Flow draws the nodes inside of its pane: the ground is the pane itself. */
export const isGround = (target: Element): boolean => target.classList.contains("react-flow__pane");

const endOf = ({ node, handle, side }: Port): LooseEnd =>
  side === "source" ? { side, source: sourceOf(node, handle) } : { side, node, handle };

/** The wire that was begun by a tap goes nowhere. */
export const dropWire = () => useUi.setState({ wiring: null, tapped: false });

/** A tap: begins a wire at a port, and ends it at another, or on the ground with a new node. */
function tap(event: MouseEvent): void {
  if ((event as PointerEvent).pointerType !== "touch") return;
  const { tapped, wiring } = useUi.getState();
  const port = portAt(event.target);
  if (!tapped || !wiring) {
    if (!port) return;
    event.stopPropagation();
    beginWire(port.node, port.handle, port.side);
    useUi.setState({ tapped: true });
    return;
  }
  event.stopPropagation();
  dropWire();
  if (port) finish(wiring.end, port);
  else if (event.target instanceof Element && (isGround(event.target) || event.target.closest(".zone")))
    useUi.setState({ palette: { ...spotAt([event.clientX, event.clientY]), loose: wiring.end } });
}

function finish(begun: LooseEnd, port: Port): void {
  if (begun.side === port.side) {
    const same = JSON.stringify(begun) === JSON.stringify(endOf(port));
    if (!same) say("A wire goes from an output to an input", "bad"); // a second tap on the port only lets go of the wire
    return;
  }
  const { node, handle } = port;
  const reason = objectionTo(begun, node, handle);
  if (reason !== null) say(reason, "bad");
  else if (begun.side === "source") connectWire(begun.source, { node, handle });
  else connectWire(sourceOf(node, handle), begun);
}

let press: { readonly timer: ReturnType<typeof setTimeout>; readonly at: readonly [number, number] } | null =
  null;

/** A long press ends in a click on whatever lies under the finger by then, the palette's first lines say: it means nothing. */
function swallowClick(): void {
  const swallow = (event: Event) => {
    event.preventDefault();
    event.stopPropagation();
    if (event.type === "click") end();
  };
  const end = () => {
    for (const kind of ["mousedown", "click"]) removeEventListener(kind, swallow, true);
    removeEventListener("pointerdown", end, true);
  };
  for (const kind of ["mousedown", "click"]) addEventListener(kind, swallow, true);
  addEventListener("pointerdown", end, true); // the next finger
}

function lift(): void {
  if (press) clearTimeout(press.timer);
  press = null;
}

/** A finger came down: held still it opens the palette on the ground, and elsewhere the menu of what it is on. */
function touchDown(event: PointerEvent): void {
  lift();
  if (event.pointerType !== "touch" || !event.isPrimary) return;
  const { target, clientX, clientY } = event;
  const timer = setTimeout(() => {
    press = null;
    swallowClick();
    if (!(target instanceof Element)) return;
    if (isGround(target))
      useUi.setState({ menu: null, palette: { ...spotAt([clientX, clientY]), loose: null } });
    else
      target.dispatchEvent(
        new MouseEvent("contextmenu", { bubbles: true, cancelable: true, clientX, clientY }),
      );
  }, LONG);
  press = { timer, at: [clientX, clientY] };
}

function touchMove(event: PointerEvent): void {
  if (press && Math.hypot(event.clientX - press.at[0], event.clientY - press.at[1]) > STILL) lift();
}

/** Some browsers have a menu of their own for a long press; ours is the one that comes. */
function ownMenu(event: MouseEvent): void {
  if ((event as PointerEvent).pointerType === "touch" && event.isTrusted) {
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Hear what fingers and wheels do on the sheet, before React Flow does. Returns what ends it. */
export function listenTo(sheet: HTMLElement): () => void {
  const heard = [
    ["click", tap],
    ["pointerdown", touchDown],
    ["pointermove", touchMove],
    ["pointerup", lift],
    ["pointercancel", lift],
    ["contextmenu", ownMenu],
    ["wheel", takeWheel],
  ] as const;
  for (const [kind, hear] of heard)
    sheet.addEventListener(kind, hear as EventListener, { capture: true, passive: false });
  return () => {
    for (const [kind, hear] of heard)
      sheet.removeEventListener(kind, hear as EventListener, { capture: true });
  };
}
