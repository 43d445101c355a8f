/** Workflow files to documents and back, losing nothing: what is written is what was read. */
import {
  EMPTY,
  freshId,
  inOrder,
  type Doc,
  type DocNode,
  type Id,
  type Mode,
  type Place,
  type Ref,
  type Wired,
} from "./document";
import { parse, print, type Json } from "./json";

type Fields = { readonly [key: string]: Json };

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const fields = (value: Json | undefined): Fields => (isFields(value) ? value : {});
const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");

export interface Opened {
  doc: Doc;
  /** Sentences about what could not be kept: two nodes of one id. */
  notices: string[];
}

/** Read the text of a workflow. Throws SyntaxError where it is no JSON object. */
export function read(source: string): Opened {
  const file = parse(source);
  if (!isFields(file)) throw new SyntaxError("This is no workflow: a workflow is a JSON object");
  const notices: string[] = [];
  const nodes: Record<Id, DocNode> = {};
  readNodes(fields(file.nodes), null, nodes, notices);
  const exposed = fields(file.exposed);
  const doc: Doc = {
    ...EMPTY,
    title: text(file.title),
    about: text(file.about),
    exposed: {
      params: fields(exposed.params) as Record<string, Ref>,
      outputs: fields(exposed.outputs) as Record<string, Ref>,
    },
    definitions: fields(file.definitions),
    nodes,
    places: fields(file.layout) as unknown as Record<Id, Place>,
  };
  return { doc, notices };
}

function readNodes(source: Fields, zone: Id | null, nodes: Record<Id, DocNode>, notices: string[]): void {
  for (const [name, value] of Object.entries(source)) {
    const node = fields(value);
    const id = name in nodes ? freshId((wanted) => wanted in nodes, name) : name;
    if (id !== name) notices.push(`Two nodes are called "${name}"; the second is now "${id}".`);
    const body = isFields(node.body) ? node.body : null;
    nodes[id] = {
      id,
      type: text(node.type),
      mode: (text(node.mode) || "run") as Mode,
      zone,
      params: fields(node.params),
      wires: fields(node.wires) as Record<string, Wired>,
      results: body ? (fields(body.results) as Record<string, Ref>) : null,
    };
    if (body) readNodes(fields(body.nodes), id, nodes, notices);
  }
}

/** The workflow of a document, as an object in the file's order of fields. */
export function toWorkflow(doc: Doc): Record<string, unknown> {
  const byZone = new Map<Id | null, DocNode[]>();
  for (const node of inOrder(doc)) {
    const siblings = byZone.get(node.zone);
    if (siblings) siblings.push(node);
    else byZone.set(node.zone, [node]);
  }
  const writeNodes = (zone: Id | null): Record<string, unknown> =>
    Object.fromEntries((byZone.get(zone) ?? []).map((node) => [node.id, writeNode(node)]));
  const writeNode = (node: DocNode): Record<string, unknown> => ({
    type: node.type,
    ...(node.mode === "run" ? {} : { mode: node.mode }),
    ...filled({ params: node.params, wires: node.wires }),
    ...(node.results === null ? {} : { body: filled({ nodes: writeNodes(node.id), results: node.results }) }),
  });
  return {
    loom: 1,
    ...(doc.title ? { title: doc.title } : {}),
    ...(doc.about ? { about: doc.about } : {}),
    ...filled({ exposed: filled(doc.exposed) }),
    ...(isEmpty(doc.definitions) ? {} : { definitions: doc.definitions }),
    nodes: writeNodes(null),
    ...(isEmpty(doc.places) ? {} : { layout: doc.places }),
  };
}

/** The text of a document, to send, keep or copy; the server writes the canonical one. */
export function write(doc: Doc, indent?: number): string {
  return print(toWorkflow(doc), indent);
}

/** What a record holds that is not empty: the canonical file leaves defaults out. */
const filled = (record: Record<string, object>): Record<string, object> =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => !isEmpty(value)));

const isEmpty = (value: object): boolean => Object.keys(value).length === 0;
