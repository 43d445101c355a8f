/** The one React Flow on the page: where the pointer is on its sheet, and what it looks at. */
import type { ReactFlowInstance, Viewport } from "@xyflow/react";
import type { Id } from "../document/document";
import { select, sheetKey, shownSheet, useEditor } from "./editor";
import { useUi } from "./ui";
import { hiddenIn, sizesOf, zoneAt, type Point } from "../drawing/geometry";
import type { LoomEdge, LoomNode } from "../drawing/view";

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

const FAR = 0.48;

/** From afar only names are drawn, in letters that grow (in steps) as the view shrinks; those of zones grow before. */
export function lookFrom(view: Viewport): void {
  views.set(sheetKey(shownSheet()), view);
  const { zoom } = view;
  const far = zoom < FAR;
  if (far !== useUi.getState().far) useUi.setState({ far });
  const size = String(2 ** (Math.round(-Math.log2(zoom) * 3) / 3));
  const { style } = document.documentElement;
  const near = far || zoom > 1 ? "1" : size;
  if (style.getPropertyValue("--near") !== near) style.setProperty("--near", near);
  if (far && style.getPropertyValue("--far") !== size) style.setProperty("--far", size);
}

/** How long a movement of the view takes, in ms: none at all for who asked their system for less motion. */
function gliding(duration: number): number {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : duration;
}

export function frameAll(duration = 250): void {
  void flow?.fitView({ padding: 0.08, duration: gliding(duration), maxZoom: 1 });
}

export function frameNodes(ids: readonly Id[]): void {
  if (ids.length === 0) frameAll();
  else
    void flow?.fitView({
      nodes: ids.map((id) => ({ id })),
      padding: 0.3,
      duration: gliding(250),
      maxZoom: 1.2,
    });
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
