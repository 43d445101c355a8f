/** What is drawn: the active document with its cards, places and selection, following state/documents.ts. */
import { create } from "zustand";
import type { Catalog } from "../server/types";
import { cardsOf } from "../document/cards";
import { write } from "../document/codec";
import { EMPTY, type Doc, type Edit, type Id, type Place } from "../document/document";
import { Kinds } from "../document/types";
import { place } from "../document/edits";
import { fillIn } from "../drawing/layout";
import { edgesOf, nodesOf, type LoomEdge, type LoomNode } from "../drawing/view";
import { pushedOf, type Point, type Sheet, type Size } from "../drawing/geometry";
import { isFar, useLevel } from "./level";
import { activeDocument, editDocument, redoIn, undoIn, useDocuments, type DocumentId } from "./documents";

/** What is known of one document's drawing; it stays while the document is open. */
interface Drawing extends Sheet {
  readonly pushed: Readonly<Record<Id, Point>>;
  readonly nodes: LoomNode[];
  readonly edges: LoomEdge[];
  /** Parameters shown as ports although nothing is wired to them, as NODE.PARAM. */
  readonly asPorts: ReadonlySet<string>;
}

export interface EditorState extends Drawing {
  readonly catalog: Catalog;
  readonly kinds: Kinds;
  /** The document that is drawn. */
  readonly document: DocumentId;
}

const NO_CATALOG: Catalog = { nodes: {}, types: {} };
const BLANK: Drawing = {
  doc: EMPTY,
  cards: {},
  auto: {},
  measured: {},
  pushed: {},
  nodes: [],
  edges: [],
  asPorts: new Set(),
};

export const useEditor = create<EditorState>()(() => ({
  ...BLANK,
  catalog: NO_CATALOG,
  kinds: new Kinds(NO_CATALOG),
  document: activeDocument().id,
}));

const { getState, setState } = useEditor;

/** The drawings of documents that are open and not shown. */
const parked = new Map<DocumentId, Drawing>();

/** The state that follows from a document: cards, places, and what React Flow draws. */
function drawing(state: EditorState, doc: Doc): Partial<EditorState> {
  const cards = cardsOf(doc, state.kinds, state.cards, state.asPorts);
  const missing = Object.keys(doc.nodes).some((id) => !(id in doc.places) && !(id in state.auto));
  const auto = missing ? { ...fillIn(doc, cards, state.measured), ...state.auto } : state.auto;
  return { doc, cards, auto, ...drawn({ ...state, doc, cards, auto }) };
}

/** What React Flow draws of a sheet: each thing where it stands, and what was in the way of others beside them. */
function drawn(state: Drawing): Pick<Drawing, "pushed" | "nodes" | "edges"> {
  const far = isFar();
  const pushed = pushedOf(state);
  const sheet = { ...state, pushed };
  return { pushed, nodes: nodesOf(sheet, state.nodes, far), edges: edgesOf(sheet, state.edges, far) };
}

useLevel.subscribe((state, before) => {
  if ((state.level === "far") !== (before.level === "far")) setState(drawn(getState()));
});

useDocuments.subscribe(({ open }) => {
  const shown = activeDocument();
  const state = getState();
  const doc = shown.history.present;
  if (shown.id === state.document) {
    if (doc !== state.doc) setState(drawing(state, doc));
    return;
  }
  const { auto, measured, pushed, nodes, edges, cards, asPorts } = state;
  parked.set(state.document, { doc: state.doc, auto, measured, pushed, nodes, edges, cards, asPorts });
  const next = { ...state, ...(parked.get(shown.id) ?? BLANK), document: shown.id };
  parked.delete(shown.id);
  for (const id of parked.keys()) if (!open.some((document) => document.id === id)) parked.delete(id);
  setState({ ...next, ...drawing(next, doc) });
});

/** Change the document that is shown: one step to undo, or part of the one before when `key` is the same. */
export function edit(label: string, change: Edit, key: string | null = null): void {
  editDocument(getState().document, label, change, key);
}

/** Change where things are: the file then holds a place for every node, so that nothing jumps later. */
export function editPlaces(label: string, change: Edit, key: string | null = null): void {
  edit(label, (doc) => change(withPlaces(doc)), key);
}

function withPlaces<D extends Doc>(doc: D): D {
  const { auto } = getState();
  const missing = Object.keys(doc.nodes).filter((id) => !(id in doc.places) && id in auto);
  return missing.length === 0
    ? doc
    : place(doc, Object.fromEntries(missing.map((id) => [id, auto[id] as Place])));
}

export const undoEdit = () => undoIn(getState().document);
export const redoEdit = () => redoIn(getState().document);

export function setCatalog(catalog: Catalog): void {
  setState({ catalog, kinds: new Kinds(catalog) });
  setState({ ...drawing(getState(), getState().doc) });
}

/** The text of the document that is shown. */
export const textOf = (): string => write(getState().doc);

/** Take in sizes that the browser measured; zones grow around them. */
export function measure(sizes: Readonly<Record<Id, Size>>): void {
  const state = getState();
  const measured = { ...state.measured, ...sizes };
  setState({ measured, ...drawn({ ...state, measured }) });
}

export const setNodes = (change: (nodes: LoomNode[]) => LoomNode[]) =>
  setState((state) => ({ nodes: change(state.nodes) }));
export const setEdges = (change: (edges: LoomEdge[]) => LoomEdge[]) =>
  setState((state) => ({ edges: change(state.edges) }));

export function select(ids: readonly Id[]): void {
  const wanted = new Set(ids);
  setState((state) => ({
    nodes: state.nodes.map((node) =>
      (node.selected ?? false) === wanted.has(node.id) ? node : { ...node, selected: wanted.has(node.id) },
    ),
    edges: state.edges.map((edge) => (edge.selected ? { ...edge, selected: false } : edge)),
  }));
}

const chosen = new WeakMap<readonly LoomNode[], ReadonlySet<Id>>();

/** Whether a node is selected; worked out once for each change of the nodes, however many ask. */
export function isSelected({ nodes }: Pick<EditorState, "nodes">, id: Id): boolean {
  let known = chosen.get(nodes);
  if (!known) {
    known = new Set(nodes.filter((node) => node.selected).map((node) => node.id));
    chosen.set(nodes, known);
  }
  return known.has(id);
}

export const selectedIds = (): Id[] =>
  getState()
    .nodes.filter((node) => node.selected)
    .map((node) => node.id);

export function toggleAsPort(id: Id, param: string): void {
  const asPorts = new Set(getState().asPorts);
  const key = `${id}.${param}`;
  if (!asPorts.delete(key)) asPorts.add(key);
  setState({ asPorts });
  setState(drawing(getState(), getState().doc));
}
