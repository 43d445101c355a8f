/** What menus and keys offer about definitions. */
import { definitionOf } from "../document/definitions";
import type { Doc, Id } from "../document/document";
import { inputRead } from "../document/ports";
import type { InSlot } from "../document/slots";
import { useEditor, select, selectedIds, shownSheet } from "../state/editor";
import { togglePanel, type MenuItem } from "../state/ui";
import * as commands from "../commands";

type Items = (MenuItem | null)[];

/** Of a node on the sheet. */
export function definitionItems(doc: Doc, id: Id): Items {
  const make = {
    label: "Make a definition",
    shortcut: "Make a definition of the selection",
    run: () => commands.makeOfSelection(),
  };
  if (!definitionOf(doc, id)) return [make];
  return [
    {
      label: "Open the definition",
      shortcut: "Open the definition of the selected use",
      run: () => void commands.enterUse(id),
    },
    {
      label: "Unpack the definition",
      shortcut: "Unpack the selected use of a definition",
      run: () => commands.unpackDefinition(id),
    },
    { label: "Give it a definition of its own", run: () => commands.makeIndependent(id) },
    make,
  ];
}

/** Of a parameter inside of a definition. */
export const promoteItem = (node: Id, slot: InSlot): MenuItem => ({
  label: "Show on the definition",
  run: () => commands.promoteParameter(node, slot.handle),
});

/** Of a port inside that reads an input: a parameter that is shown on the definition can be taken back. */
export function faceItems(slot: InSlot): Items {
  const { within } = shownSheet();
  const input = within === "" ? null : inputRead(slot.ref ?? undefined);
  if (input === null) return [];
  return [
    {
      label: "Take off the definition",
      run: () => commands.removeDefinitionPort(within, "inputs", input),
    },
  ];
}

const group = "Nodes" as const;

export const DEFINITION_SHORTCUTS = [
  {
    group,
    label: "Make a definition of the selection",
    keys: ["Ctrl Alt G"],
    run: () => commands.makeOfSelection(),
  },
  {
    group,
    label: "Unpack the selected use of a definition",
    keys: ["Ctrl Alt U"],
    run: () => {
      const { doc } = useEditor.getState();
      for (const id of selectedIds()) if (definitionOf(doc, id)) commands.unpackDefinition(id);
    },
  },
  {
    group,
    label: "Open the definition of the selected use",
    keys: ["Enter"],
    run: () => void commands.enterUse(selectedIds()[0] ?? ""),
  },
  {
    group,
    label: "Select nothing, or leave the definition",
    keys: ["Escape"],
    run: () => (selectedIds().length > 0 ? select([]) : commands.leaveTo()),
  },
  {
    group: "View" as const,
    label: "Definitions and blueprints",
    keys: ["Shift D"],
    run: () => togglePanel("definitions"),
  },
];
