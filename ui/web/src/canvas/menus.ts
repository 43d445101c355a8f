/** The menus under the right mouse button. */
import { setParam } from "../document/edits";
import { disconnect } from "../document/wires";
import type { Id } from "../document/document";
import type { InSlot } from "../document/slots";
import { edit, select, selectedIds, toggleAsPort, useEditor } from "../state/editor";
import { submit } from "../state/runs";
import { showPanel, useUi, type MenuItem } from "../state/ui";
import * as commands from "./commands";
import type { Point } from "./geometry";

export function parameterItems(node: Id, slot: InSlot): (MenuItem | null)[] {
  const { doc } = useEditor.getState();
  const exposed = Object.values(doc.exposed.params).includes(`${node}.${slot.handle}`);
  return [
    { label: "Turn into a port", run: () => toggleAsPort(node, slot.handle) },
    {
      label: "Back to the default",
      disabled: slot.value === undefined,
      run: () => edit(`Reset ${slot.label}`, (next) => setParam(next, node, slot.handle, undefined)),
    },
    {
      label: exposed ? "Hide in the app view" : "Show in the app view",
      run: () => commands.toggleExposed(node, slot.handle),
    },
  ];
}

export function portItems(node: Id, slot: InSlot): (MenuItem | null)[] {
  const typed = slot.port.schema !== undefined && slot.ref === null;
  return [
    {
      label: "Disconnect",
      disabled: slot.ref === null,
      run: () => edit("Disconnect", (doc) => disconnect(doc, node, slot.handle)),
    },
    ...(slot.adds && slot.port.named && slot.port.list
      ? [{ label: "Type values in", run: () => typeIn(node, slot.port.name) }]
      : []),
    ...(typed ? [{ label: "Turn back into a parameter", run: () => toggleAsPort(node, slot.handle) }] : []),
  ];
}

const typeIn = (node: Id, port: string) =>
  edit("Type values in", (doc) => setParam(doc, node, port, { value: [1, 2, 3] }));

export function nodeItems(id: Id): (MenuItem | null)[] {
  if (!selectedIds().includes(id)) select([id]);
  const { cards, doc } = useEditor.getState();
  const card = cards[id];
  const many = selectedIds().length > 1;
  if (!card) {
    return [
      { label: "Duplicate", keys: "Ctrl D", run: commands.duplicateSelection },
      { label: "Delete", keys: "Del", danger: true, run: () => commands.remove() },
    ];
  }
  const outputs = card.outputs.length > 0;
  return [
    {
      label: "Run to here",
      keys: "Ctrl ⇧ ⏎",
      disabled: !outputs,
      run: () => void submit({ targets: runTargets([id]) }),
    },
    { label: "Documentation", keys: "F1", run: () => showPanel("node") },
    { label: "Connect…", keys: "W", run: () => useUi.setState({ connector: id }) },
    null,
    { label: card.mode === "mute" ? "Unmute" : "Mute", keys: "M", run: () => commands.toggleMode("mute") },
    {
      label: card.mode === "bypass" ? "Do not bypass" : "Bypass",
      keys: "B",
      run: () => commands.toggleMode("bypass"),
    },
    {
      label: doc.places[id]?.collapsed ? "Expand" : "Collapse",
      keys: "H",
      run: () => commands.toggleCollapsed(),
    },
    ...(card.spec?.body && !card.isZone ? [{ label: "Add a body", run: () => commands.giveBody(id) }] : []),
    null,
    { label: "Copy", keys: "Ctrl C", run: () => void commands.copySelection() },
    { label: "Duplicate", keys: "Ctrl D", run: commands.duplicateSelection },
    { label: "Frame", keys: "Ctrl G", run: commands.addFrame },
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
    ...(card.isZone ? [null, { label: "Lay out the inside", run: commands.arrange }] : []),
    null,
    { label: "Delete", keys: "Del", danger: true, run: () => commands.remove() },
  ];
}

/** The outputs that "run to here" asks for. */
export function runTargets(ids: readonly Id[]): string[] {
  const { cards } = useEditor.getState();
  return ids.flatMap((id) => {
    const outputs = cards[id]?.outputs ?? [];
    if (outputs.length === 1 && !outputs[0]?.port.named) return [id];
    return outputs.map((slot) => `${id}.${slot.handle.slice("out:".length)}`);
  });
}

export function sheetItems(at: Point, screen: Point, zone: Id | null): (MenuItem | null)[] {
  return [
    {
      label: "Add a node…",
      keys: "Space",
      run: () => useUi.setState({ palette: { screen, sheet: at, zone, loose: null } }),
    },
    { label: "Add a note", keys: "N", run: () => commands.addNote(at) },
    null,
    { label: "Select all", keys: "Ctrl A", run: commands.selectAll },
    { label: "Lay out", keys: "Ctrl L", run: commands.arrange },
  ];
}
