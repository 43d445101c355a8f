/** Menus of edits: colours, other types, zones around nodes and off them. */
import { titleOf } from "../document/cards";
import type { Id } from "../document/document";
import { wrappable } from "../document/zones";
import * as commands from "../commands";
import { PAINTS, paintOf } from "../drawing/paint";
import type { Point } from "../drawing/geometry";
import { selectedIds, useEditor } from "../state/editor";
import { say, useUi, type MenuItem } from "../state/ui";

/** What a node's menu offers for how the graph is built; of what only the drawing knows, its colour. */
export function editItems(id: Id): MenuItem[] {
  const { cards } = useEditor.getState();
  const card = cards[id];
  const isReroute = useEditor.getState().doc.places[id]?.kind === "reroute";
  return [
    ...(card
      ? [
          { label: "Change the type…", shortcut: "Change the type", run: () => changeType(id) },
          { label: "Wrap in a zone…", shortcut: "Wrap the selection in a zone", run: chooseZone },
        ]
      : []),
    ...(card && (card.width > 0 || card.height > 0)
      ? [{ label: "Back to its usual size", run: () => commands.resize(id, undefined) }]
      : []),
    ...(card?.isZone
      ? [{ label: "Dissolve the zone", shortcut: "Dissolve the zone", run: () => dissolve() }]
      : []),
    ...(isReroute
      ? [
          {
            label: "Branch…",
            shortcut: "Connect the selected node",
            run: () => useUi.setState({ connector: id }),
          },
        ]
      : [{ label: "Colour…", shortcut: "Colour", run: () => chooseColour() }]),
  ];
}

/** Choose another type for a node; by its key, for the one that is selected. */
export function changeType(id: Id | undefined = selectedNodes()[0]): void {
  if (id !== undefined) useUi.setState({ choosing: { kind: "swap", id } });
  else say("Select a node whose type is to change");
}

export function chooseZone(): void {
  const ids = wrappable(useEditor.getState().doc, selectedIds());
  if (ids.length > 0) useUi.setState({ choosing: { kind: "wrap", ids } });
  else say("Select the nodes that a zone is to hold");
}

export function dissolve(): void {
  const { cards } = useEditor.getState();
  const zones = selectedIds().filter((id) => cards[id]?.isZone);
  if (zones.length > 0) commands.dissolveZones(zones);
  else say("Select a zone to dissolve");
}

/** Choose a colour for the selection from a menu, beside what is selected. */
export function chooseColour(at: Point = besideSelection()): void {
  const ids = selectedIds().filter((id) => useEditor.getState().doc.places[id]?.kind !== "reroute");
  if (ids.length === 0) {
    say("Select what is to have a colour");
    return;
  }
  const items = PAINTS.map(({ name }): MenuItem => {
    const swatch = paintOf(name);
    return {
      label: titleOf(name.replace(/^./, (first) => first.toUpperCase())),
      ...(swatch ? { swatch } : {}),
      run: () => commands.setColour(ids, name),
    };
  });
  useUi.setState({
    menu: { at, items: [...items, null, { label: "No colour", run: () => commands.setColour(ids, "") }] },
  });
}

const selectedNodes = (): Id[] => selectedIds().filter((id) => id in useEditor.getState().cards);

function besideSelection(): Point {
  const box = document.querySelector(".react-flow__node.selected")?.getBoundingClientRect();
  return box ? [box.left + 40, box.top + 34] : [200, 200];
}
