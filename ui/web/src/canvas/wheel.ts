/** What the wheel means: a mouse's zooms, two fingers on a trackpad move the sheet both ways, and pinching zooms. */
import { panBy } from "../state/flow";
import { useSettings, type Pointer } from "../state/settings";

type Wheel = Pick<
  WheelEvent,
  "deltaX" | "deltaY" | "deltaMode" | "ctrlKey" | "metaKey" | "shiftKey" | "timeStamp"
>;

/** A gesture is of one device: what it was found to be holds until it rests so long. */
const GESTURE = 300; // milliseconds
/** A notch of a mouse's wheel is coarse. */
const NOTCH = 40; // pixels

let last: { readonly at: number; readonly trackpad: boolean } | null = null;

/** Whether this is two fingers on a trackpad: they move sideways too, and by few or broken pixels. */
export function fromTrackpad(event: Wheel, before = last): boolean {
  if (event.deltaMode !== 0) return false;
  if (before && event.timeStamp - before.at < GESTURE && before.trackpad) return true;
  return event.deltaX !== 0 || !Number.isInteger(event.deltaY) || Math.abs(event.deltaY) < NOTCH;
}

/** Whether the sheet moves, rather than zooms. */
export function pans(event: Wheel, pointer: Pointer): boolean {
  if (event.ctrlKey || event.metaKey) return false; // as browsers say of pinching
  if (event.shiftKey) return true;
  if (pointer !== "auto") return pointer === "trackpad";
  const trackpad = fromTrackpad(event);
  last = { at: event.timeStamp, trackpad };
  return trackpad;
}

/** Before React Flow hears of it, which only zooms. */
export function takeWheel(event: WheelEvent): void {
  if (event.target instanceof Element && event.target.closest(".nowheel")) return;
  if (!pans(event, useSettings.getState().pointer)) return;
  event.preventDefault();
  event.stopPropagation();
  // A mouse that is turned with Shift held moves sideways, whether the browser says so or not.
  const sideways = event.shiftKey && event.deltaX === 0;
  panBy(-(sideways ? event.deltaY : event.deltaX), sideways ? 0 : -event.deltaY);
}
