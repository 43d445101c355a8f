/** What the viewer beside the sheet shows; whether it is open, and how wide, is remembered. */
import { create } from "zustand";
import { NARROW, showPanel, TABLET } from "./ui";

export type Scope = "run" | "recent";

interface ViewerState {
  readonly open: boolean;
  readonly width: number;
  readonly scope: Scope;
  readonly mode: "one" | "compare" | "grid";
  /** The picture that is looked at; null is the newest, whichever that is. */
  readonly current: string | null;
  /** The picture that others are compared with. */
  readonly pinned: string | null;
}

export const NARROWEST = 240;
const WIDEST = 1200;

const bounded = (width: number): number => Math.min(WIDEST, Math.max(NARROWEST, Math.round(width)));

export const useViewer = create<ViewerState>()(() => ({
  open: localStorage.getItem("loom.viewer") === "open" && innerWidth > NARROW,
  width: bounded(Number(localStorage.getItem("loom.viewer-width")) || 400),
  scope: "run",
  mode: "one",
  current: null,
  pinned: null,
}));

const { setState, getState } = useViewer;

export function openViewer(open: boolean): void {
  localStorage.setItem("loom.viewer", open ? "open" : "closed");
  setState({ open });
  if (open && innerWidth <= TABLET) showPanel(null); // with both, hardly any of the sheet would be seen
}

export const toggleViewer = () => openViewer(!getState().open);

export function widen(width: number): void {
  localStorage.setItem("loom.viewer-width", String(bounded(width)));
  setState({ width: bounded(width) });
}

/** Look at a picture in the viewer. */
export function view(path: string): void {
  setState({ current: path, mode: "one" });
  openViewer(true);
}

/** The first picture that is handed in is pinned; the next is compared with it. True where both are there. */
export function compareWith(path: string): boolean {
  const { pinned } = getState();
  openViewer(true);
  if (pinned === null || pinned === path) {
    setState({ pinned: path, current: path, mode: "one" });
    return false;
  }
  setState({ current: path, mode: "compare" });
  return true;
}
