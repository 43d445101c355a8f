/** What is drawn: the active document with its cards, places and selection, following state/documents.ts. */
import { create } from "zustand";
import type { Catalog } from "../server/types";
import { cardsAfter, cardsOf, sameShapes } from "../document/cards";
import { write } from "../document/codec";
import { EMPTY, type Doc, type Edit, type Id, type Place } from "../document/document";
import { enter, leave, shownAt, still, type Path } from "../document/inside";
import { Kinds } from "../document/types";
import { place } from "../document/edits";
import { edgesOf, nodesOf, type LoomEdge, type LoomNode } from "../drawing/view";
import { pushedOf, type Point, type Sheet, type Size } from "../drawing/geometry";
import { isFar, useLevel } from "./level";
import { placesFor } from "./placing";
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
  /** The definitions that one went into, from the sheet on; `doc` is the inside of the last. */
  readonly path: Path;
}

/** A sheet: that of a document, or the inside of a definition of it. */
export interface SheetAt {
  readonly document: DocumentId;
  readonly within: string;
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
  path: [],
}));

const { getState, setState } = useEditor;

/** The drawings of sheets that are not shown, and where one was in each document that is open. */
const parked = new Map<string, Drawing>();
const paths = new Map<DocumentId, Path>();

export const shownSheet = (
  { document, path }: Pick<EditorState, "document" | "path"> = getState(),
): SheetAt => ({
  document,
  within: path.at(-1)?.definition ?? "",
});
/** Names a sheet among all. */
export const sheetKey = ({ document, within }: SheetAt): string => `${document} ${within}`;

/** The state that follows from a document: cards, places, and what React Flow draws. */
function drawing(state: EditorState, doc: Doc): Partial<EditorState> {
  const cards = cardsOf(doc, state.kinds, state.cards, state.asPorts);
  const missing = Object.keys(doc.nodes).some((id) => !(id in doc.places) && !(id in state.auto));
  const auto = missing ? { ...placesFor(doc, cards, state.measured), ...state.auto } : state.auto;
  return { doc, cards, auto, ...drawn({ ...state, doc, cards, auto }) };
}

/** The same after an edit of the sheet that is shown: where no more than values changed, everything stays where it stands. */
function redrawing(state: EditorState, doc: Doc): Partial<EditorState> {
  const cards = cardsAfter(doc, state.kinds, state, state.asPorts);
  const stays = doc.places === state.doc.places && sameShapes(state.cards, cards);
  return stays ? { doc, cards } : drawing(state, doc);
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
  const { id } = activeDocument();
  const state = getState();
  show(id === state.document ? state.path : (paths.get(id) ?? []));
  if (id === state.document) return;
  const left = (key: string) => !open.some((document) => key.startsWith(`${document.id} `));
  for (const key of parked.keys()) if (left(key)) parked.delete(key);
  for (const key of paths.keys()) if (left(`${key} `)) paths.delete(key);
});

/** Show the active document, or the inside of a definition, as far as the way there still leads. */
export function show(wanted: Path): void {
  const { id, history } = activeDocument();
  const state = getState();
  const path = still(history.present, wanted);
  const doc = shownAt(history.present, path);
  const [was, is] = [shownSheet(state), shownSheet({ document: id, path })].map(sheetKey);
  if (was === is) {
    if (doc !== state.doc || path !== state.path) setState({ ...redrawing(state, doc), path });
    return;
  }
  const { auto, measured, pushed, nodes, edges, cards, asPorts } = state;
  parked.set(was ?? "", { doc: state.doc, auto, measured, pushed, nodes, edges, cards, asPorts });
  paths.set(state.document, state.path);
  const next = { ...state, ...(parked.get(is ?? "") ?? BLANK), document: id, path };
  parked.delete(is ?? "");
  setState({ ...next, ...drawing(next, doc) });
}

/** Change a sheet, shown or not: one step to undo, or part of the one before when `key` is the same. */
export function editAt(
  { document, within }: SheetAt,
  label: string,
  change: Edit,
  key: string | null = null,
): void {
  const inside: Edit = (doc) => leave(doc, within, change(enter(doc, within)));
  editDocument(document, label, within === "" ? change : inside, key);
}

/** Change what is shown. */
export function edit(label: string, change: Edit, key: string | null = null): void {
  editAt(shownSheet(), label, change, key);
}

/** Change the whole document, wherever in it one is. */
export function editWhole(label: string, change: Edit, key: string | null = null): void {
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

export const undoEdit = () => step(undoIn);
export const redoEdit = () => step(redoIn);

/** A step that changes nothing of what is shown goes to where it changes something. */
function step(go: (document: DocumentId) => void): void {
  const before = activeDocument().history.present;
  const { doc } = getState();
  go(getState().document);
  const { present } = activeDocument().history;
  const now = getState().doc;
  if (present === before || now.nodes !== doc.nodes || now.places !== doc.places) return;
  if (present.nodes !== before.nodes || present.places !== before.places) {
    show([]);
    return;
  }
  const changed = Object.keys(present.definitions).filter(
    (name) =>
      before.definitions[name] !== undefined && present.definitions[name] !== before.definitions[name],
  );
  const [definition] = changed;
  if (definition !== undefined && !changed.includes(shownSheet().within)) show([{ definition }]);
}

export function setCatalog(catalog: Catalog): void {
  setState({ catalog, kinds: new Kinds(catalog) });
  setState({ ...drawing(getState(), getState().doc) });
}

/** The text of the document that is shown, all of it. */
export const textOf = (doc: Doc = activeDocument().history.present): string => write(doc);

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

/** Select one wire, and nothing else. */
export function selectWire(id: string): void {
  select([]);
  setEdges((edges) => edges.map((edge) => (edge.id === id ? { ...edge, selected: true } : edge)));
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
