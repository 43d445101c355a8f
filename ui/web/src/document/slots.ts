/**
 * The slots of a node: one for each wire that goes in or may go in, and each that may come out.
 *
 * A slot's handle is its address on the node: `cond`, `models.unet` (a user's name), `losses.0` (a list's item),
 * `losses.+` (room for one more), `results.prediction` (what a zone's body gives).
 */
import type { Port } from "../server/types";
import {
  enclosing,
  halves,
  isList,
  isNamed,
  refsOf,
  type Doc,
  type DocNode,
  type Id,
  type Ref,
  type Wired,
} from "./document";
import type { Json } from "./json";
import { NEW } from "./inside";
import { ANY, resolve, sourceHandle, type Source } from "./references";
import { element, kindOf, namesIn, namingText, type Kinds, type WireKind } from "./types";

export interface InSlot {
  readonly handle: string;
  readonly label: string;
  readonly port: Port;
  /** The user's name of it, of a port that has names. */
  readonly name: string;
  readonly kind: WireKind;
  readonly ref: Ref | null;
  readonly source: Source | null;
  /** Room for one more wire of a list, or under a new name. */
  readonly adds: boolean;
  /** The value typed in, where it may be typed in. */
  readonly value?: Json;
  /** Whether a parameter is shown as a port although nothing is wired to it. */
  readonly asPort?: boolean;
}

export interface OutSlot {
  readonly handle: string;
  readonly label: string;
  readonly port: Port;
  readonly name: string;
  readonly kind: WireKind;
}

export function slotAt(doc: Doc, kinds: Kinds, id: Id, handle: string): InSlot | undefined {
  const node = doc.nodes[id];
  if (!node) return undefined;
  return (handle.startsWith("results.") ? resultSlots : inputSlots)(doc, kinds, node).find(
    (slot) => slot.handle === handle,
  );
}

export function inputSlots(doc: Doc, kinds: Kinds, node: DocNode): InSlot[] {
  const ports = kinds.specs(doc)(node.type)?.inputs ?? [];
  const known = new Set(ports.map((port) => port.name));
  const strangers = [...Object.keys(node.wires), ...Object.keys(node.params)].filter(
    (name) => !known.has(name),
  );
  const extra = [...new Set(strangers)].map((name) => ({
    ...ANY,
    name,
    ...(name in node.params ? { schema: {} } : {}),
  }));
  return [...ports, ...extra].flatMap((port) =>
    portSlots(doc, kinds, node, port, node.wires[port.name], node.zone, port.name),
  );
}

export function resultSlots(doc: Doc, kinds: Kinds, node: DocNode): InSlot[] {
  if (node.results === null) return [];
  const type = kinds.specs(doc)(node.type);
  if (!type)
    return Object.entries(node.results).flatMap(([name, wired]) =>
      portSlots(doc, kinds, node, { ...ANY, name }, wired, node.id, `results.${name}`),
    );
  return (type.body?.results ?? []).flatMap((port) => {
    if (!port.named)
      return portSlots(doc, kinds, node, port, node.results?.[port.name], node.id, `results.${port.name}`);
    const prefix = port.name === "" ? "" : `${port.name}.`;
    const given = Object.entries(node.results ?? {})
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, ref]) => [key.slice(prefix.length), refsOf(ref)[0] ?? ""] as const);
    const promised = kinds
      .names(doc, node, port, true)
      .filter((name) => !given.some(([own]) => own === name));
    const entersToo = type.inputs.some((input) => input.variable && input.type === port.type);
    const slots = [...given, ...promised.map((name) => [name, null] as const)].map(([name, ref]) =>
      slot(doc, kinds, node, port, `results.${prefix}${name}`, name, ref, node.id, name),
    );
    if (!entersToo)
      slots.push({
        ...slot(doc, kinds, node, port, `results.${prefix}+`, "new result", null, node.id, ""),
        adds: true,
      });
    return slots;
  });
}

export function outputSlots(doc: Doc, kinds: Kinds, node: DocNode, inner: boolean): OutSlot[] {
  const spec = kinds.specs(doc)(node.type);
  if (!spec) return guessedOutputs(doc, node.id, inner);
  return (inner ? (spec.body?.ports ?? []) : spec.outputs).flatMap((port) => {
    const names = port.named ? kinds.names(doc, node, port, inner) : [""];
    return names.map((name) => {
      const source = { node: node.id, inner, port: port.name, name };
      const label =
        port.name === NEW
          ? "input +"
          : name
            ? port.name
              ? `${port.name}.${name}`
              : name
            : port.name === "value"
              ? port.type
              : port.name;
      return { handle: sourceHandle(source), label, port, name, kind: kinds.of(doc, source) ?? kindOf(port) };
    });
  });
}

function portSlots(
  doc: Doc,
  kinds: Kinds,
  node: DocNode,
  port: Port,
  wired: Wired | undefined,
  scope: Id | null,
  address: string,
): InSlot[] {
  const name = port.name;
  if (name === NEW) return [{ ...slot(doc, kinds, node, port, NEW, "result", null, scope, ""), adds: true }];
  if (port.named) {
    const given = isNamed(wired) ? Object.entries(wired) : [];
    const row = (own: string, ref: Ref | null): InSlot =>
      slot(doc, kinds, node, port, `${address}.${own}`, own, ref, scope, own);
    const rows = given.map(([own, ref]) => row(own, ref));
    const typed = node.params[name];
    const text = namingText(kinds.specs(doc)(node.type), node, port);
    if (text !== null) {
      // One for each name in the text, in its order; what is wired under another one stays, to be taken out.
      const names = namesIn(port, text);
      const numbers = (typed ?? {}) as object;
      const open = names.filter((own) => !(own in numbers) && !given.some(([other]) => other === own));
      const place = (own: string) => (names.includes(own) ? names.indexOf(own) : names.length);
      const all = [...rows, ...open.map((own) => row(own, null))].toSorted(
        (a, b) => place(a.name) - place(b.name),
      );
      return typed === undefined
        ? all
        : [...all, { ...row("", null), handle: address, label: name, value: typed }];
    }
    const adding = { ...slot(doc, kinds, node, port, `${address}.+`, name, null, scope, ""), adds: true };
    return [
      ...rows,
      typed === undefined ? adding : { ...adding, adds: false, handle: address, value: typed },
    ];
  }
  if (isList(wired)) {
    const item = { ...port, list: Math.max(port.list - 1, 0), either: false };
    const rows = wired.map((ref, i) =>
      slot(doc, kinds, node, item, `${address}.${i}`, `${name} ${i + 1}`, ref, scope, ""),
    );
    return [
      ...rows,
      {
        ...slot(doc, kinds, node, port, `${address}.+`, name, null, scope, ""),
        kind: element(kindOf(port)),
        adds: true,
      },
    ];
  }
  const single = slot(
    doc,
    kinds,
    node,
    port,
    address,
    name,
    typeof wired === "string" ? wired : null,
    scope,
    "",
  );
  const typed = node.params[name];
  return [typed === undefined ? single : { ...single, value: typed }];
}

function slot(
  doc: Doc,
  kinds: Kinds,
  node: DocNode,
  port: Port,
  handle: string,
  label: string,
  ref: Ref | null,
  scope: Id | null,
  name: string,
): InSlot {
  const source = ref === null ? null : resolve(doc, kinds.specs(doc), ref, scope);
  const known = port.variable ? kinds.standsFor(doc, node, port, name) : null;
  const flowing = port.variable ? ((source && kinds.of(doc, source)) ?? known) : null;
  const kind = flowing ?? kindOf(port);
  return { handle, label, port, name, kind, ref, source, adds: false };
}

/** A node of an unknown type still has the outputs that others read, and the inner ports that its body reads. */
function guessedOutputs(doc: Doc, id: Id, inner: boolean): OutSlot[] {
  const handles = new Map<string, OutSlot>();
  const read = (wires: Readonly<Record<string, Wired>>, scope: Id | null): void => {
    if (enclosing(doc, scope).includes(id) !== inner) return;
    for (const ref of Object.values(wires).flatMap(refsOf)) {
      const [node, rest] = halves(ref);
      if (node !== id) continue;
      const [port, name] = halves(rest);
      const handle = sourceHandle({ node: id, inner, port, name });
      handles.set(handle, {
        handle,
        label: port || "output",
        port: { ...ANY, name: port },
        name,
        kind: kindOf(ANY),
      });
    }
  };
  for (const reader of Object.values(doc.nodes)) {
    read(reader.wires, reader.zone);
    read(reader.results ?? {}, reader.id);
  }
  return [...handles.values()];
}
