/** What is open on the page: panels, dialogs, menus, messages; and the wire being drawn. */
import { create } from "zustand";
import type { Id } from "../document/document";
import type { Point } from "../drawing/geometry";
import type { Source } from "../document/references";
import { useDocuments } from "./documents";

export type Panel = "node" | "problems" | "cost" | "profile" | "runs" | "gallery";
export type Dialog = "start" | "save" | "shortcuts" | "compare" | "chart";
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

export interface MenuItem {
  readonly label: string;
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
  readonly panel: Panel | null;
  readonly dialog: Dialog | null;
  readonly palette: PaletteAt | null;
  readonly connector: Id | null;
  readonly finder: boolean;
  readonly menu: { readonly at: Point; readonly items: readonly (MenuItem | null)[] } | null;
  readonly toasts: readonly Toast[];
  readonly wiring: Wiring | null;
  readonly dropZone: Id | null;
  readonly minimap: boolean;
  /** The node whose chart is open, the picture that is looked at, the runs that are compared. */
  readonly chart: Id | null;
  readonly picture: string | null;
  readonly compared: readonly number[];
}

/** Where the panel would lie over the sheet (style/narrow.css), it waits to be asked for. */
const NARROW = 760;

const stored = (key: string): string | null => localStorage.getItem(`loom.${key}`);

export const useUi = create<UiState>()(() => ({
  theme: document.documentElement.dataset.theme === "light" ? "light" : "dark", // index.html chose
  panel: innerWidth <= NARROW ? null : ((stored("panel") ?? "node") as Panel),
  dialog: null,
  palette: null,
  connector: null,
  finder: false,
  menu: null,
  toasts: [],
  wiring: null,
  dropZone: null,
  minimap: stored("minimap") !== "off",
  chart: null,
  picture: null,
  compared: [],
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
    menu: null,
    wiring: null,
    dropZone: null,
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
  setState({ theme });
}

export function showPanel(panel: Panel | null): void {
  if (panel) localStorage.setItem("loom.panel", panel);
  setState({ panel });
}

export const togglePanel = (panel: Panel) => showPanel(getState().panel === panel ? null : panel);

export const openDialog = (dialog: Dialog | null) => setState({ dialog, menu: null, palette: null });

export function toggleMinimap(): void {
  const minimap = !getState().minimap;
  localStorage.setItem("loom.minimap", minimap ? "on" : "off");
  setState({ minimap });
}
