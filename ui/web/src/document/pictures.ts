/**
 * Which nodes take and give pictures, told from the catalog alone: by the shapes on wires, as the server draws them
 * (ui/pictures.py), and by ports that take a path.
 */
import type { Catalog, NodeSpec, Port } from "../server/types";
import type { Doc, Id } from "./document";
import { addNode, setParam } from "./edits";
import { sourceKey, type Source } from "./references";
import { objection } from "./rules";
import { inputSlots, outputSlots } from "./slots";
import type { Kinds, WireKind } from "./types";
import { connect } from "./wires";

const SHAPES = { image: "b 3 h w", mask: "b 1 h w" } as const;

/** What a file or folder of pictures is brought in as. */
export type Brought = "image" | "mask" | "dataset";

function gives(catalog: Catalog, port: Port, what: Brought): boolean {
  if (port.list > 0 || port.variable) return false;
  return what === "dataset" ? port.type === what : catalog.types[port.type]?.shape === SHAPES[what];
}

const isOf = (catalog: Catalog, kind: WireKind | null, what: "image" | "mask") =>
  kind !== null && kind.many === 0 && catalog.types[kind.name]?.shape === SHAPES[what];

/** The port of a node that names the picture, or the folder of pictures, that it gives; null where it has none. */
export function pathPort(catalog: Catalog, spec: NodeSpec, what: Brought): Port | null {
  if (!spec.outputs.some((port) => gives(catalog, port, what))) return null;
  const ports = spec.inputs.filter((port) => port.path === (what === "dataset" ? "folder" : "file"));
  return ports.length === 1 ? (ports[0] ?? null) : null;
}

/** The node that brings a picture in by its path and wants nothing else. */
export function loaderOf(catalog: Catalog, what: Brought): { spec: NodeSpec; port: Port } | null {
  for (const spec of Object.values(catalog.nodes)) {
    const port = pathPort(catalog, spec, what);
    const wanted = spec.inputs.filter((input) => input.required);
    if (port && spec.outputs.length === 1 && wanted.every((input) => input === port)) return { spec, port };
  }
  return null;
}

/** The port of a node in a document that takes a picture's path. */
export function picturePortOf(doc: Doc, kinds: Kinds, id: Id): Port | null {
  const spec = kinds.specs(doc)(doc.nodes[id]?.type ?? "");
  if (!spec) return null;
  return pathPort(kinds.catalog, spec, "image") ?? pathPort(kinds.catalog, spec, "mask");
}

export interface MaskPort {
  readonly node: Id;
  readonly handle: string;
  readonly source: Source | null;
}

/**
 * The mask ports that a mask of this node's picture belongs into: those of the node itself and of nodes that read an
 * image of it. Where one of these reads a mask already, also every other port that reads the same.
 */
export function maskPorts(doc: Doc, kinds: Kinds, id: Id): MaskPort[] {
  const all = Object.values(doc.nodes).flatMap((node) =>
    inputSlots(doc, kinds, node).map((slot) => ({ node: node.id, slot })),
  );
  const masks = all.filter(({ slot }) => isOf(kinds.catalog, slot.kind, "mask") && !slot.adds);
  const reads = (node: Id) =>
    all.some(
      ({ node: own, slot }) =>
        own === node && slot.source?.node === id && isOf(kinds.catalog, kinds.of(doc, slot.source), "image"),
    );
  const direct = masks.filter(({ node }) => node === id || reads(node));
  const replaced = new Set(direct.flatMap(({ slot }) => (slot.source ? [sourceKey(slot.source)] : [])));
  return masks
    .filter(
      (port) => direct.includes(port) || (port.slot.source && replaced.has(sourceKey(port.slot.source))),
    )
    .map(({ node, slot }) => ({ node, handle: slot.handle, source: slot.source }));
}

/** The node whose file is the mask of this node's picture: the only thing that its mask ports read; null where there is none. */
export function maskLoader(doc: Doc, kinds: Kinds, id: Id): { node: Id; port: Port } | null {
  const sources = new Set(maskPorts(doc, kinds, id).map(({ source }) => source?.node ?? ""));
  const [only] = sources;
  const node = sources.size === 1 && only ? doc.nodes[only] : undefined;
  const spec = node && kinds.specs(doc)(node.type);
  const port = spec ? pathPort(kinds.catalog, spec, "mask") : null;
  return node && port ? { node: node.id, port } : null;
}

/** The node whose picture a mask loader's mask lies over: what the ports that read the mask take beside it. */
export function maskedPicture(doc: Doc, kinds: Kinds, loader: Id): Id | null {
  for (const node of Object.values(doc.nodes)) {
    const slots = inputSlots(doc, kinds, node);
    if (!slots.some((slot) => slot.source?.node === loader)) continue;
    const image = slots.find(
      (slot) => slot.source && isOf(kinds.catalog, kinds.of(doc, slot.source), "image"),
    );
    if (image?.source) return image.source.node;
  }
  return null;
}

export interface Masked<D extends Doc> {
  readonly doc: D;
  /** The node that gives the mask; null where the catalog has none that could. */
  readonly loader: Id | null;
  /** The nodes that read it. */
  readonly readers: readonly Id[];
}

/**
 * Let a file be the mask of a node's picture: in the loader that its mask ports read, or in a new one beside the node,
 * wired to these ports. The loader is sized as the node's picture is.
 */
export function giveMask<D extends Doc>(
  doc: D,
  kinds: Kinds,
  id: Id,
  path: string,
  at: readonly [number, number],
): Masked<D> {
  const ports = maskPorts(doc, kinds, id);
  const readers = [...new Set(ports.map(({ node }) => node))];
  const known = maskLoader(doc, kinds, id);
  if (known) return { doc: setParam(doc, known.node, known.port.name, path), loader: known.node, readers };
  const loader = loaderOf(kinds.catalog, "mask");
  const node = doc.nodes[id];
  if (!loader || !node) return { doc, loader: null, readers: [] };
  const sizes = Object.entries(node.params).filter(
    ([name]) => name !== loader.port.name && loader.spec.inputs.some((port) => port.name === name),
  );
  const loads = pathPort(kinds.catalog, kinds.specs(doc)(node.type) ?? loader.spec, "image") !== null;
  const params = { ...(loads ? Object.fromEntries(sizes) : {}), [loader.port.name]: path };
  const added = addNode(doc, loader.spec, { zone: node.zone, at, params });
  const output = outputSlots(added.doc, kinds, added.doc.nodes[added.id] ?? node, false)[0];
  const source: Source = { node: added.id, inner: false, port: output?.port.name ?? "", name: "" };
  const fits = ports.filter((port) => objection(added.doc, kinds, source, port.node, port.handle) === null);
  return {
    doc: fits.reduce((next, port) => connect(next, kinds, source, port.node, port.handle), added.doc),
    loader: added.id,
    readers: [...new Set(fits.map((port) => port.node))],
  };
}
