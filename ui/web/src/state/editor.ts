/** The editor's state: one document with its history, and what is drawn of it. */
import { create } from "zustand";
import type { Catalog } from "../server/types";
import { cardsOf } from "../document/cards";
import { read, write } from "../document/codec";
import { EMPTY, type Doc, type Edit, type Id, type Place } from "../document/document";
import { Kinds } from "../document/types";
import { place } from "../document/edits";
import { fillIn } from "../canvas/layout";
import { edgesOf, nodesOf, type LoomEdge, type LoomNode } from "../canvas/view";
import type { Sheet, Size } from "../canvas/geometry";
import { begin, record, redo, undo, type History } from "./history";

export interface File {
  /** Where it lies on the server; empty when it was never saved. */
  readonly path: string;
  readonly etag: string;
  readonly shipped: boolean;
  /** The document as the file holds it; null when no file does. */
  readonly saved: Doc | null;
}

export interface EditorState extends Sheet {
  readonly catalog: Catalog;
  readonly history: History<Doc>;
  readonly file: File;
  readonly kinds: Kinds;
  readonly nodes: LoomNode[];
  readonly edges: LoomEdge[];
  /** Parameters shown as ports although nothing is wired to them, as NODE.PARAM. */
  readonly asPorts: ReadonlySet<string>;
}

const NO_CATALOG: Catalog = { nodes: {}, types: {} };
const NO_FILE: File = { path: "", etag: "", shipped: false, saved: null };

export const useEditor = create<EditorState>()(() => ({
  catalog: NO_CATALOG,
  history: begin(EMPTY),
  doc: EMPTY,
  file: NO_FILE,
  kinds: new Kinds(NO_CATALOG),
  cards: {},
  auto: {},
  measured: {},
  nodes: [],
  edges: [],
  asPorts: new Set(),
}));

const { getState, setState } = useEditor;

/** The state that follows from a document: types, cards, places, and what React Flow draws. */
function drawing(state: EditorState, doc: Doc): Partial<EditorState> {
  const cards = cardsOf(doc, state.kinds, state.cards, state.asPorts);
  const missing = Object.keys(doc.nodes).some((id) => !(id in doc.places) && !(id in state.auto));
  const auto = missing ? { ...fillIn(doc, cards, state.measured), ...state.auto } : state.auto;
  const sheet = { doc, cards, auto, measured: state.measured };
  return { doc, cards, auto, nodes: nodesOf(sheet, state.nodes), edges: edgesOf(sheet, state.edges) };
}

function present(history: History<Doc>): void {
  const state = getState();
  setState({ history, ...drawing(state, history.present) });
}

/** Change the document: one step to undo, or part of the one before when `key` is the same. */
export function edit(label: string, change: Edit, key: string | null = null): void {
  const { history, doc } = getState();
  const next = record(history, change(doc), label, key, performance.now());
  if (next !== history) present(next);
}

/** Change where things are: the file then holds a place for every node, so that nothing jumps later. */
export function editPlaces(label: string, change: Edit, key: string | null = null): void {
  edit(label, (doc) => change(withPlaces(doc)), key);
}

export function withPlaces<D extends Doc>(doc: D): D {
  const { auto } = getState();
  const missing = Object.keys(doc.nodes).filter((id) => !(id in doc.places) && id in auto);
  return missing.length === 0
    ? doc
    : place(doc, Object.fromEntries(missing.map((id) => [id, auto[id] as Place])));
}

export const undoEdit = () => present(undo(getState().history));
export const redoEdit = () => present(redo(getState().history));

export function setCatalog(catalog: Catalog): void {
  setState({ catalog, kinds: new Kinds(catalog) });
  setState({ ...drawing(getState(), getState().doc) });
}

/** Show another document. */
export function show(doc: Doc, file: Partial<File> = {}): void {
  const state = { ...getState(), auto: {}, measured: {}, nodes: [], edges: [], cards: {} };
  setState({
    ...state,
    history: begin(doc),
    file: { ...NO_FILE, ...file },
    asPorts: new Set<string>(),
    ...drawing(state, doc),
  });
}

/** Show a workflow from its text; the notices say what could not be kept. Throws SyntaxError. */
export function showText(
  text: string,
  file: Partial<Omit<File, "saved">> & { isSaved?: boolean } = {},
): string[] {
  const { doc, notices } = read(text);
  const { isSaved, ...rest } = file;
  show(doc, { ...rest, saved: isSaved ? doc : null });
  return notices;
}

export const setFile = (file: Partial<File>) => setState((state) => ({ file: { ...state.file, ...file } }));

export const isDirty = (state: EditorState): boolean =>
  state.file.saved === null
    ? state.doc !== EMPTY && Object.keys(state.doc.nodes).length > 0
    : state.doc !== state.file.saved;

export const textOf = (): string => write(getState().doc);

/** Take in sizes that the browser measured; zones grow around them. */
export function measure(sizes: Readonly<Record<Id, Size>>): void {
  const state = getState();
  const measured = { ...state.measured, ...sizes };
  const sheet = { ...state, measured };
  setState({ measured, nodes: nodesOf(sheet, state.nodes) });
}

export const setNodes = (change: (nodes: LoomNode[]) => LoomNode[]) =>
  setState((state) => ({ nodes: change(state.nodes) }));
export const setEdges = (change: (edges: LoomEdge[]) => LoomEdge[]) =>
  setState((state) => ({ edges: change(state.edges) }));

export function select(ids: readonly Id[]): void {
  const chosen = new Set(ids);
  setState((state) => ({
    nodes: state.nodes.map((node) =>
      (node.selected ?? false) === chosen.has(node.id) ? node : { ...node, selected: chosen.has(node.id) },
    ),
    edges: state.edges.map((edge) => (edge.selected ? { ...edge, selected: false } : edge)),
  }));
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
