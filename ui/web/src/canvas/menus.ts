/** The menus under the right mouse button. */
import { titleOf } from "../document/cards";
import { definitionItems, faceItems, promoteItem } from "./definitionMenus";
import { halves, outermost, type Id } from "../document/document";
import { refTo, sourceOf } from "../document/references";
import { scopeOf } from "../document/rules";
import type { InSlot, OutSlot } from "../document/slots";
import { select, selectedIds, toggleAsPort, useEditor } from "../state/editor";
import { pictureOf, startPainting } from "../state/painting";
import { run } from "../state/sending";
import { saveTemplate } from "../state/templates";
import { openDialog, say, showPanel, useUi, type MenuItem } from "../state/ui";
import * as commands from "../commands";
import { editItems } from "./editMenu";
import type { Point } from "../drawing/geometry";
import type { LoomEdge } from "../drawing/view";
import { choose } from "./bringing";

export function parameterItems(node: Id, slot: InSlot): (MenuItem | null)[] {
  const { doc } = useEditor.getState();
  const isWithin = doc.within !== undefined;
  const exposed = Object.values(doc.exposed.params).includes(`${node}.${slot.handle}`);
  const sweep = {
    label: "Sweep over it…",
    run: () => {
      useUi.setState({ sweep: { node, handle: slot.handle } });
      openDialog("sweep");
    },
  };
  const expose = {
    label: exposed ? "Hide in the app view" : "Show in the app view",
    run: () => commands.toggleExposed("params", `${node}.${slot.handle}`, slot.handle),
  };
  return [
    ...(isWithin ? [promoteItem(node, slot)] : []),
    { label: "Turn into a port", run: () => toggleAsPort(node, slot.handle) },
    ...(isWithin ? [] : [sweep]),
    {
      label: "Back to the default",
      disabled: slot.value === undefined,
      run: () => commands.setParameter(node, slot.handle, undefined),
    },
    ...(isWithin ? [] : [expose]),
  ];
}

export function portItems(node: Id, slot: InSlot): (MenuItem | null)[] {
  const typed = slot.port.schema !== undefined && slot.ref === null;
  return [
    {
      label: "Disconnect",
      disabled: slot.ref === null,
      run: () => commands.disconnectWire({ node, handle: slot.handle }),
    },
    ...faceItems(slot),
    ...(slot.adds && slot.port.named && slot.port.list
      ? [{ label: "Type values in", run: () => typeIn(node, slot.port.name) }]
      : []),
    ...(typed ? [{ label: "Turn back into a parameter", run: () => toggleAsPort(node, slot.handle) }] : []),
  ];
}

const typeIn = (node: Id, port: string) => commands.setParameter(node, port, { value: [1, 2, 3] });

export function nodeItems(id: Id): (MenuItem | null)[] {
  if (!selectedIds().includes(id)) select([id]);
  const { cards, doc } = useEditor.getState();
  const card = cards[id];
  const many = selectedIds().length > 1;
  if (!card) {
    return [
      ...editItems(id),
      { label: "Duplicate", shortcut: "Duplicate", run: commands.duplicateSelection },
      { label: "Delete", shortcut: "Delete", danger: true, run: () => commands.remove() },
    ];
  }
  return [
    { label: "Run to here", shortcut: "Run to the selected nodes", run: () => runTo([id]) },
    { label: "Documentation", shortcut: "Documentation of the node", run: () => showPanel("node") },
    ...(pictureOf(id) === null
      ? []
      : [
          {
            label: "Paint a mask…",
            shortcut: "Paint a mask on the selected node's picture",
            run: () => startPainting(id),
          },
        ]),
    {
      label: "Connect…",
      shortcut: "Connect the selected node",
      run: () => useUi.setState({ connector: id }),
    },
    null,
    {
      label: card.mode === "mute" ? "Unmute" : "Mute",
      shortcut: "Mute",
      run: () => commands.toggleMode("mute"),
    },
    {
      label: card.mode === "bypass" ? "Do not bypass" : "Bypass",
      shortcut: "Bypass",
      run: () => commands.toggleMode("bypass"),
    },
    {
      label: doc.places[id]?.collapsed ? "Expand" : "Collapse",
      shortcut: "Collapse or expand",
      run: () => commands.toggleCollapsed(),
    },
    ...definitionItems(doc, id),
    ...editItems(id),
    ...(card.spec?.body && !card.isZone ? [{ label: "Add a body", run: () => commands.giveBody(id) }] : []),
    null,
    { label: "Copy", keys: "Ctrl C", run: () => void commands.copySelection() },
    { label: "Duplicate", shortcut: "Duplicate", run: commands.duplicateSelection },
    { label: "Save as a template", run: () => void saveTemplate(commands.copiedText() ?? "", titleOf(id)) },
    { label: "Frame", shortcut: "Frame around the selection", run: commands.addFrame },
    ...(many
      ? [
          null,
          { label: "Align left", run: () => commands.align("left") },
          { label: "Align top", run: () => commands.align("top") },
          { label: "Align right", run: () => commands.align("right") },
          { label: "Align bottom", run: () => commands.align("bottom") },
          { label: "Arrange in a row", run: () => commands.align("row") },
          { label: "Arrange in a column", run: () => commands.align("column") },
        ]
      : []),
    ...(card.isZone ? [null, { label: "Lay out the inside", run: () => void commands.arrange() }] : []),
    null,
    {
      label: "Delete and join the wires",
      shortcut: "Delete, and join the wires",
      run: () => commands.removeAndJoin(),
    },
    { label: "Delete", shortcut: "Delete", danger: true, run: () => commands.remove() },
  ];
}

/** Run some nodes and what they need, and nothing else. A node inside a zone runs with its outermost zone. */
export function runTo(ids: readonly Id[]): void {
  const { doc, path } = useEditor.getState();
  if (path[0]) {
    commands.runToUse(path[0]);
    return;
  }
  const targets = [...new Set(ids.filter((id) => id in doc.nodes).map((id) => outermost(doc, id)))];
  if (targets.length > 0) void run({ targets, only: true });
  else say("Select a node to run to");
}

function outputRef(id: Id, slot: OutSlot): string {
  const { cards } = useEditor.getState();
  return refTo(cards[id]?.spec ?? undefined, sourceOf(id, slot.handle));
}

/** What can be done with an output, or an inner port of a zone. */
export function outputItems(node: Id, slot: OutSlot): (MenuItem | null)[] {
  const { doc } = useEditor.getState();
  const ref = outputRef(node, slot);
  const shown = Object.values(doc.exposed.outputs).includes(ref);
  const inner = slot.handle.startsWith("inner:") || doc.within !== undefined;
  return [
    { label: "Run to here", disabled: inner, run: () => void run({ targets: [ref], only: true }) },
    {
      label: shown ? "Hide in the app view" : "Show in the app view",
      disabled: inner,
      run: () => commands.toggleExposed("outputs", ref, slot.label),
    },
  ];
}

export function wireItems(edge: LoomEdge, at: Point, screen: Point): (MenuItem | null)[] {
  const [target, handle] = halves(edge.id);
  const loose = { side: "source", source: sourceOf(edge.source, edge.sourceHandle ?? "") } as const;
  const zone = scopeOf(useEditor.getState().doc, target, handle);
  const palette = { screen, sheet: at, zone, loose, into: { node: target, handle } };
  return [
    { label: "Put a node in…", run: () => useUi.setState({ palette }) },
    { label: "Bend", keys: "double-click", run: () => commands.addReroute(edge.id, at) },
    null,
    {
      label: "Delete",
      shortcut: "Delete",
      danger: true,
      run: () => commands.disconnectWire({ node: target, handle }),
    },
  ];
}

export function sheetItems(at: Point, screen: Point, zone: Id | null): (MenuItem | null)[] {
  return [
    {
      label: "Add a node…",
      shortcut: "Add a node",
      run: () => useUi.setState({ palette: { screen, sheet: at, zone, loose: null } }),
    },
    { label: "Add a note", shortcut: "Note", run: () => commands.addNote(at) },
    { label: "Add pictures…", run: () => choose(false, { sheet: at, screen, zone }, null) },
    { label: "Add a folder of pictures…", run: () => choose(true, { sheet: at, screen, zone }, null) },
    null,
    { label: "Select all", shortcut: "Select all", run: commands.selectAll },
    { label: "Lay out", shortcut: "Lay out", run: () => void commands.arrange() },
    null,
    { label: "Export…", shortcut: "Export as JSON, SVG or PNG", run: () => openDialog("export") },
  ];
}
