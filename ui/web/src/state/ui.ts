/** What is open on the page: panels, dialogs, menus, messages; and the wire being drawn. */
import { create } from "zustand";
import type { Id } from "../document/document";
import type { Point } from "../drawing/geometry";
import type { Source } from "../document/references";
import { useDocuments } from "./documents";

export type Panel =
  "node" | "definitions" | "problems" | "cost" | "profile" | "runs" | "gallery" | "models" | "plugins";
export type Dialog = "start" | "save" | "export" | "shortcuts" | "compare" | "chart" | "sweep" | "settings";
export type Theme = "dark" | "light";

export interface Toast {
  readonly id: number;
  readonly tone: "plain" | "good" | "bad";
  readonly text: string;
  readonly action?: { label: string; run: () => void };
}

/** The palette is open: where on the screen and the sheet, in which zone, and for which loose end of a wire. */
export interface PaletteAt {
  readonly screen: Point;
  readonly sheet: Point;
  readonly zone: Id | null;
  readonly loose: LooseEnd | null;
  /** The slot that the wire went to, which a node put into it then feeds. */
  readonly into?: { readonly node: Id; readonly handle: string };
}

/** One end of a wire, in want of the other. */
export type LooseEnd =
  | { readonly side: "source"; readonly source: Source }
  | { readonly side: "target"; readonly node: Id; readonly handle: string };

/** What gets a type that is chosen from a list: a node another one, or some nodes a zone around them. */
export type Choosing =
  { readonly kind: "swap"; readonly id: Id } | { readonly kind: "wrap"; readonly ids: readonly Id[] };

export interface MenuItem {
  readonly label: string;
  /** A colour shown before the label. */
  readonly swatch?: string;
  /** The label of the shortcut that does the same; its keys are shown, as they are now. */
  readonly shortcut?: string;
  /** What does the same and is no shortcut. */
  readonly keys?: string;
  readonly run?: () => void;
  readonly disabled?: boolean;
  readonly danger?: boolean;
}

/** The wire being drawn: its loose end, and the handles it may go to. */
export interface Wiring {
  readonly end: LooseEnd;
  readonly fits: ReadonlyMap<Id, ReadonlySet<string>>;
}

interface UiState {
  readonly theme: Theme;
  /** Whether a person chose it; otherwise it is the system's. */
  readonly themeChosen: boolean;
  readonly panel: Panel | null;
  readonly dialog: Dialog | null;
  readonly palette: PaletteAt | null;
  readonly connector: Id | null;
  readonly finder: boolean;
  readonly choosing: Choosing | null;
  /** The node whose wires are listed. */
  readonly wiresOf: Id | null;
  readonly menu: { readonly at: Point; readonly items: readonly (MenuItem | null)[] } | null;
  readonly toasts: readonly Toast[];
  readonly wiring: Wiring | null;
  /** Whether it was begun by a tap, and waits for another. */
  readonly tapped: boolean;
  readonly dropZone: Id | null;
  /** The wire that what is dragged would be put into. */
  readonly dropWire: string | null;
  /** Whether dragging the ground draws a box around nodes, rather than moving the sheet. */
  readonly boxing: boolean;
  readonly minimap: boolean;
  /** The node whose chart is open, the picture that is looked at, the runs that are compared. */
  readonly chart: Id | null;
  readonly picture: string | null;
  readonly compared: readonly number[];
  /** The parameter that a sweep is drawn over. */
  readonly sweep: { readonly node: Id; readonly handle: string } | null;
}

/** Where the panel would lie over the sheet (style/narrow.css), it waits to be asked for. */
export const NARROW = 760;
/** Where the bar has no room for its panels. */
export const TABLET = 1080;

const stored = (key: string): string | null => localStorage.getItem(`loom.${key}`);

export const useUi = create<UiState>()(() => ({
  theme: document.documentElement.dataset.theme === "light" ? "light" : "dark", // index.html chose
  themeChosen: stored("theme") !== null,
  panel: innerWidth <= NARROW ? null : ((stored("panel") ?? "node") as Panel),
  dialog: null,
  palette: null,
  connector: null,
  finder: false,
  choosing: null,
  wiresOf: null,
  menu: null,
  toasts: [],
  wiring: null,
  tapped: false,
  dropZone: null,
  dropWire: null,
  boxing: stored("boxing") === "on",
  minimap: stored("minimap") !== "off",
  chart: null,
  picture: null,
  compared: [],
  sweep: null,
}));

const { setState, getState } = useUi;

// What is open over one document says nothing of another.
useDocuments.subscribe((state, before) => {
  if (state.active === before.active) return;
  setState({
    dialog: null,
    palette: null,
    connector: null,
    finder: false,
    choosing: null,
    wiresOf: null,
    menu: null,
    wiring: null,
    tapped: false,
    dropZone: null,
    dropWire: null,
  });
});

let count = 0;

export function say(text: string, tone: Toast["tone"] = "plain", action?: Toast["action"]): void {
  const id = ++count;
  const toast: Toast = { id, tone, text, ...(action ? { action } : {}) };
  setState((state) => ({
    toasts: [...state.toasts.filter((other) => other.text !== text), toast].slice(-4),
  }));
  setTimeout(() => dismiss(id), tone === "bad" || action ? 9000 : 4000);
}

export const sayError = (error: unknown) =>
  say(error instanceof Error ? error.message : String(error), "bad");

export const dismiss = (id: number) =>
  setState((state) => ({ toasts: state.toasts.filter((toast) => toast.id !== id) }));

export function setTheme(theme: Theme): void {
  localStorage.setItem("loom.theme", theme);
  document.documentElement.dataset.theme = theme;
  setState({ theme, themeChosen: true });
}

/** Take the system's theme again, as it is now. */
export function followSystem(): void {
  localStorage.removeItem("loom.theme");
  const theme = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  setState({ theme, themeChosen: false });
}

export function showPanel(panel: Panel | null): void {
  if (panel) localStorage.setItem("loom.panel", panel);
  setState({ panel });
}

export const togglePanel = (panel: Panel) => showPanel(getState().panel === panel ? null : panel);

export const openDialog = (dialog: Dialog | null) => setState({ dialog, menu: null, palette: null });

export function toggleBoxing(): void {
  const boxing = !getState().boxing;
  localStorage.setItem("loom.boxing", boxing ? "on" : "off");
  setState({ boxing });
}

export function toggleMinimap(): void {
  const minimap = !getState().minimap;
  localStorage.setItem("loom.minimap", minimap ? "on" : "off");
  setState({ minimap });
}
