/** The one React Flow on the page: where the pointer is on its sheet, and what it looks at. */
import { getViewportForBounds, type ReactFlowInstance, type Rect, type Viewport } from "@xyflow/react";
import type { Id } from "../document/document";
import { select, sheetKey, shownSheet, useEditor } from "./editor";
import { setLevel } from "./level";
import { hiddenIn, sizesOf, zoneAt, type Point } from "../drawing/geometry";
import { MIN_ZOOM, uncut } from "../drawing/framing";
import { boundsOf, notesAbove, type LoomEdge, type LoomNode } from "../drawing/view";
import { firstStage } from "../document/stages";

let flow: ReactFlowInstance<LoomNode, LoomEdge> | null = null;
let pointer: Point | null = null;

/** Where each sheet was looked at last. */
const views = new Map<string, Viewport>();
export const viewOf = (sheet: string): Viewport | undefined => views.get(sheet);

export const setFlow = (instance: ReactFlowInstance<LoomNode, LoomEdge>) => {
  flow = instance;
  lookFrom(instance.getViewport());
};

export const setPointer = (at: Point | null) => {
  pointer = at;
};

export const toSheet = (screen: Point): Point => {
  const at = flow?.screenToFlowPosition({ x: screen[0], y: screen[1] });
  return at ? [at.x, at.y] : screen;
};

export interface Spot {
  readonly screen: Point;
  readonly sheet: Point;
  readonly zone: Id | null;
}

/** A point of the screen: where that is on the sheet, and in which zone. */
export function spotAt(screen: Point): Spot {
  const sheet = toSheet(screen);
  const state = useEditor.getState();
  return { screen, sheet, zone: zoneAt(state, sizesOf(state), sheet, []) };
}

/** Where something new goes: under the pointer, or in the middle of the view. */
export function here(): Spot {
  const pane = document.querySelector(".react-flow")?.getBoundingClientRect();
  const middle: Point = pane ? [pane.x + pane.width / 2, pane.y + pane.height / 2] : [400, 300];
  return spotAt(pointer ?? middle);
}

export function lookFrom(view: Viewport): void {
  views.set(sheetKey(shownSheet()), view);
  drawFor(view);
}

/** What is drawn larger the smaller the view is grows with it in steps: `--away` is 1 near by. */
function drawFor(view: Viewport): void {
  setLevel(view.zoom);
  const away = String(view.zoom > 1 ? 1 : 2 ** (Math.round(-Math.log2(view.zoom) * 3) / 3));
  const { style } = document.documentElement;
  if (style.getPropertyValue("--away") !== away) style.setProperty("--away", away);
}

/** Of the sheet that was shown last for the first time: from where. */
let begun: { readonly sheet: string; readonly view: Viewport } | null = null;

/** A sheet is drawn as it will be looked at from the start: not whole, nor in another level, only to be drawn again at once. */
useEditor.subscribe((state, before) => {
  const sheet = sheetKey(shownSheet(state));
  if (sheet === sheetKey(shownSheet(before))) return;
  const view = viewOf(sheet) ?? firstView();
  if (!view) return;
  begun = { sheet, view };
  drawFor(view);
});

/** From where a sheet is looked at first; not asked of the page again once it was, which would have to be laid out for it. */
export const beginning = (sheet: string): Viewport | undefined =>
  begun?.sheet === sheet ? begun.view : firstView();

/** How long a movement of the view takes, in ms: none at all for who asked their system for less motion. */
function gliding(duration: number): number {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : duration;
}

export function frameAll(duration = 250): void {
  void flow?.fitView({ padding: 0.08, duration: gliding(duration), maxZoom: 1 });
}

/** Look at the first stage of a graph with the notes above it, or at its beginning where it is too large to be read as a whole. */
export function frameFirst(duration: number): void {
  const view = firstView();
  if (view) void flow?.setViewport(view, { duration: gliding(duration) });
}

/** From where the first stage is looked at, by the sizes that are known; undefined where there is none, or no sheet. */
export function firstView(): Viewport | undefined {
  const state = useEditor.getState();
  const ids = firstStage(state.doc);
  if (ids.length === 0) return undefined;
  const first = boundsOf(state, [...ids, ...notesAbove(state, boundsOf(state, ids))]);
  const others = state.nodes.filter((node) => node.parentId === undefined && !node.hidden);
  return viewOn(
    first,
    others.map((node) => boundsOf(state, [node.id])),
  );
}

/** Look at what a zone holds, near enough to use it. */
export function lookInside(zone: Id): void {
  const view = viewOn(boundsOf(useEditor.getState(), [zone]));
  if (view) void flow?.setViewport(view, { duration: gliding(250) });
}

function viewOn(bounds: Rect, others: readonly Rect[] = []): Viewport | undefined {
  const pane = document.querySelector(".react-flow")?.getBoundingClientRect();
  return pane && uncut(bounds, others, pane);
}

export function frameNodes(ids: readonly Id[]): void {
  if (ids.length === 0) frameAll();
  else if (flow) {
    // Nodes of a zone that is a card now are drawn when they are near.
    const pane = document.querySelector(".react-flow")?.getBoundingClientRect();
    const bounds = boundsOf(useEditor.getState(), ids);
    if (!pane) return;
    const view = getViewportForBounds(bounds, pane.width, pane.height, MIN_ZOOM, 1.2, 0.3);
    void flow.setViewport(view, { duration: gliding(250) });
  }
}

/** Show a node: select it and bring it into view, or the collapsed zone it is in. */
export function goTo(id: Id): void {
  const state = useEditor.getState();
  const shown = hiddenIn(state, id) ?? id;
  select([shown]);
  frameNodes([shown]);
}

const TRIES = 60; // frames until a field is drawn: the view may have to come nearer first

/** Put the keyboard into the field of a parameter, once it is drawn. */
export function focusField(id: Id, handle: string, tries = TRIES): void {
  const line = `.react-flow__node[data-id="${CSS.escape(id)}"] [data-handle="${CSS.escape(handle)}"]`;
  const field = document.querySelector<HTMLElement>(
    `${line} :is(input, select, textarea, [role=spinbutton], [role=slider], [role=combobox], button)`,
  );
  if (field) field.focus({ preventScroll: true });
  else if (tries > 0) requestAnimationFrame(() => focusField(id, handle, tries - 1));
}

/** Move the view by so many pixels of the screen. */
export function panBy(dx: number, dy: number): void {
  if (!flow) return;
  const { x, y, zoom: scale } = flow.getViewport();
  void flow.setViewport({ x: x + dx, y: y + dy, zoom: scale });
}

export function zoom(factor: number): void {
  if (flow) void flow.zoomTo(flow.getZoom() * factor, { duration: gliding(150) });
}
