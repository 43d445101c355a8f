/**
 * Every command, with what it may touch.
 *
 * A command that is added must be listed here: the type of COMMANDS demands it. Each takes arguments by `pick` from the
 * document as it is, does its work, and gives the paths (see `flat`) that it was free to change.
 */
import * as commands from "../src/commands";
import { definitionNamed, definitionOf } from "../src/document/definitions";
import { inside, isInside, refsOf, wiresOf, type Doc, type Id } from "../src/document/document";
import { enter } from "../src/document/inside";
import { portsOf, type Side } from "../src/document/ports";
import { sourceOf, type Source } from "../src/document/references";
import { objection } from "../src/document/rules";
import { inputSlots } from "../src/document/slots";
import { swapsFor } from "../src/document/swapping";
import { wrappable } from "../src/document/zones";
import { select, useEditor } from "../src/state/editor";
import { absolute } from "../src/drawing/geometry";
import { layOut } from "../src/drawing/layout";
import { CATALOG } from "./catalog";
import type { Change } from "./changes";
import { BLUEPRINT } from "./documents";
import type { Picker } from "./picker";

type MayTouch = (change: Change) => boolean;

/** No change of the document, of another kind than an edit, or one that comes later (arrange, by putInOrder). */
type NoEdit =
  | "arrange"
  | "copiedText"
  | "copySelection"
  | "enterDefinition"
  | "enterUse"
  | "leaveTo"
  | "runToUse"
  | "selectAll"
  | "within";
type Command = Exclude<keyof typeof commands, NoEdit>;

/** Does it, and says what it may touch; null where the document has nothing to do it with. */
type Try = (pick: Picker, doc: Doc) => MayTouch | null;

/** Copies are not copied for ever. */
const MANY = 40;

const ids = (doc: Doc) => Object.keys(doc.nodes);
const drawings = (doc: Doc) => Object.keys(doc.places).filter((id) => !(id in doc.nodes));
const zones = (doc: Doc) => [null, ...ids(doc).filter((id) => doc.nodes[id]?.results !== null)];
const under = (...prefixes: string[]): MayTouch => {
  return ({ path }) => prefixes.some((prefix) => path === prefix || path.startsWith(`${prefix}.`));
};
const either =
  (...all: MayTouch[]): MayTouch =>
  (change) =>
    all.some((may) => may(change));
/** What was not there before may come; places also come for nodes that had none in the file. */
const added: MayTouch = ({ was }) => was === undefined;
/** Whether a value is a reference to a node, or a list that holds one. */
const names = (id: Id, value: unknown): boolean =>
  typeof value === "string" && new RegExp(`(^|")${id}([."]|$)`).test(value);
const inputsOf = (id: Id) => under(`nodes.${id}.wires`, `nodes.${id}.params`, `nodes.${id}.results`);

/** Every input of every node. */
const slots = () =>
  Object.values(useEditor.getState().cards).flatMap((card) =>
    [...card.inputs, ...card.results].map((slot) => ({ node: card.id, handle: slot.handle, slot })),
  );
const sources = (): Source[] =>
  Object.values(useEditor.getState().cards).flatMap((card) =>
    [...card.outputs, ...card.inner].map((slot) => sourceOf(card.id, slot.handle)),
  );

/** A move grows zones whose nodes lie over their rim: these get new numbers, and stay where they are on the sheet. */
const moves = (doc: Doc, moved: readonly Id[]): MayTouch => {
  const { auto } = useEditor.getState();
  const carried = (id: Id) => moved.some((own) => own === id || isInside(doc, id, own));
  return either(added, ({ path }) => {
    const [section, id = "", field = ""] = path.split(".");
    if (section !== "places" || (field !== "at" && field !== "size")) return false;
    if (carried(id) || zones(doc).includes(id)) return true;
    const after = absolute({ doc: useEditor.getState().doc, auto }, id);
    return String(absolute({ doc, auto }, id)) === String(after);
  });
};

const onSelection =
  (of: (doc: Doc) => string[], run: () => void, may: (chosen: string[], doc: Doc) => MayTouch): Try =>
  (pick, doc) => {
    const chosen = pick.some(of(doc));
    select(chosen);
    run();
    return may(chosen, doc);
  };
const everything = (doc: Doc) => [...ids(doc), ...drawings(doc)];

export const COMMANDS: Record<Command, Try> = {
  setTitle: (pick) => (commands.setTitle(pick.text()), under("title")),
  setAbout: (pick) => (commands.setAbout(pick.text()), under("about")),
  toggleExposed(pick, doc) {
    const id = pick.of(ids(doc));
    if (!id) return null;
    const what = pick.of(["params", "outputs"] as const) ?? "params";
    const ref = what === "params" ? `${id}.seed` : id;
    commands.toggleExposed(what, ref, pick.text());
    return ({ path, was, is }) => path.startsWith(`exposed.${what}`) && (was === ref || is === ref);
  },
  add(pick, doc) {
    const type = pick.of(Object.keys(CATALOG.nodes)) ?? "";
    const zone = pick.of(zones(doc)) ?? null;
    const source = pick.of(sources());
    const slot = pick.of(slots());
    const into = slot && { node: slot.node, handle: slot.handle };
    switch (pick.upTo(4)) {
      case 0:
        if (!source) return null;
        commands.add(type, pick.point(), zone, { side: "source", source }, into);
        return either(added, into ? inputsOf(into.node) : added);
      case 1:
        if (!into) return null;
        commands.add(type, pick.point(), zone, { side: "target", ...into });
        return either(added, inputsOf(into.node));
      default:
        commands.add(type, pick.point(), zone);
        return added;
    }
  },
  addInside(pick, doc) {
    const [around, type] = [pick.of(Object.keys(CATALOG.nodes)), pick.of(Object.keys(CATALOG.nodes))];
    if (!around || !type || ids(doc).length > MANY) return null;
    commands.addInside(around, type, pick.point(), pick.of(zones(doc)) ?? null);
    return added;
  },
  remove(pick, doc) {
    const chosen = pick.some(everything(doc)).slice(0, 3);
    select(chosen);
    const gone = new Set(
      chosen.flatMap((id) => [id, ...(id in doc.nodes ? inside(doc, id) : []).map((node) => node.id)]),
    );
    commands.remove();
    return ({ path, was }) => {
      const [section, id = ""] = path.split(".");
      const named = [...gone].some((own) => names(own, was));
      const bend =
        section === "places" &&
        [...gone].some((own) => wiresOf(doc.places[id] ?? {}).some((wire) => names(own, wire)));
      const list = section === "nodes" && /\.(wires|results)(\.|$)/.test(path);
      return gone.has(id) || named || bend || list || section === "exposed" || added({ path, was, is: null });
    };
  },
  pasteText(pick, doc) {
    if (ids(doc).length > MANY) return null;
    select(pick.some(everything(doc)).slice(0, 4));
    const text = commands.copiedText();
    if (text === null) return null;
    commands.pasteText(text, pick.point(), pick.of(zones(doc)) ?? null, pick.upTo(2) === 0);
    return added;
  },
  duplicateSelection(pick, doc) {
    if (ids(doc).length > MANY) return null;
    select(pick.some(everything(doc)).slice(0, 4));
    commands.duplicateSelection();
    return added;
  },
  renameNode(pick, doc) {
    const id = pick.of(ids(doc));
    const wanted = `node${pick.upTo(9)}`;
    if (!id) return null;
    commands.renameNode(id, wanted);
    const after = useEditor.getState().doc.nodes;
    return ({ path, was, is }) => {
      const [, own = ""] = path.split(".");
      return (
        own === id ||
        !(own in doc.nodes && own in after) ||
        names(id, was) ||
        (was === undefined && is !== id)
      );
    };
  },
  setParameter(pick, doc) {
    const slot = pick.of(slots().filter(({ slot }) => slot.port.schema !== undefined));
    if (!slot || !(slot.node in doc.nodes)) return null;
    const value = [1, 0.5, "text", [1, 2], { a: [1, 2] }, null, undefined, true][pick.upTo(8)];
    commands.setParameter(slot.node, slot.handle, value, pick.of(["typing", "drag 1", undefined]));
    return under(`nodes.${slot.node}.params`, `nodes.${slot.node}.wires`);
  },
  addLoader(pick, doc) {
    const what = pick.of(["image", "mask", "dataset"] as const) ?? "image";
    commands.addLoader(what, "uploads/a.png", pick.point(), pick.of(zones(doc)) ?? null);
    return added;
  },
  setMask(pick, doc) {
    const id = pick.of(ids(doc));
    if (!id || ids(doc).length > MANY) return null;
    const { readers, loader } = commands.setMask(id, `uploads/mask-${pick.upTo(9)}.png`);
    return either(
      added,
      ...(loader ? [under(`nodes.${loader}.params.path`, `nodes.${loader}.wires.path`)] : []),
      ...readers.map((reader) => under(`nodes.${reader}.wires`, `nodes.${reader}.params`)),
    );
  },
  toggleMode: (pick, doc) => {
    const chosen = pick.some(ids(doc));
    commands.toggleMode(pick.of(["mute", "bypass"] as const) ?? "mute", chosen);
    return under(...chosen.map((id) => `nodes.${id}.mode`));
  },
  unpackDefinition(pick, doc) {
    const id = pick.of(ids(doc).filter((own) => definitionOf(doc, own) !== undefined));
    if (!id) return null;
    const gone = [id, ...inside(doc, id).map((member) => member.id)];
    const bends = drawings(doc).filter((own) =>
      wiresOf(doc.places[own] ?? {}).some((wire) => gone.includes(wire.split(".")[0] ?? "")),
    );
    commands.unpackDefinition(id);
    return ({ path, was }) =>
      was === undefined ||
      bends.some((own) => path.startsWith(`places.${own}.`) || path === `places.${own}`) ||
      gone.some((own) => under(`nodes.${own}`, `places.${own}`)({ path, was, is: null }) || names(own, was));
  },
  makeOfSelection(pick, doc) {
    const zone = pick.of(zones(doc)) ?? null;
    const chosen = pick.some(ids(doc).filter((id) => doc.nodes[id]?.zone === zone));
    select(chosen);
    const gone = chosen.flatMap((id) => [id, ...inside(doc, id).map((node) => node.id)]);
    const bends = drawings(doc).filter((own) =>
      wiresOf(doc.places[own] ?? {}).some((wire) => gone.includes(wire.split(".")[0] ?? "")),
    );
    commands.makeOfSelection(`made${pick.upTo(3)}`);
    return either(added, ({ path, was }) => {
      const [section, id = "", field = ""] = path.split(".");
      if (section === "exposed") return true;
      const reads = (field === "wires" || field === "results") && gone.some((own) => names(own, was));
      return gone.includes(id) || bends.includes(id) || reads;
    });
  },
  makeIndependent(pick, doc) {
    const id = pick.of(uses(doc));
    if (!id) return null;
    commands.makeIndependent(id);
    return either(added, under(`nodes.${id}.type`));
  },
  promoteParameter(pick, doc) {
    const { kinds } = useEditor.getState();
    const found = Object.keys(doc.definitions).flatMap((name) => {
      const inner = enter(doc, name);
      return Object.values(inner.nodes).flatMap((node) =>
        inputSlots(inner, kinds, node).flatMap(({ port, ref }) =>
          port.schema === undefined || ref !== null ? [] : [{ name, id: node.id, param: port.name }],
        ),
      );
    });
    const chosen = pick.of(found);
    if (!chosen) return null;
    commands.enterDefinition(chosen.name);
    commands.promoteParameter(chosen.id, chosen.param);
    return ofDefinitions;
  },
  addDefinitionPort: onDefinition((name, pick) =>
    commands.addDefinitionPort(name, pick.of(["inputs", "ports", "given"] as const) ?? "inputs", "port"),
  ),
  moveDefinitionPort: onPort((name, side, port, pick) =>
    commands.moveDefinitionPort(name, side, port, pick.of([-1, 1] as const) ?? 1),
  ),
  renameDefinitionPort: onPort((name, side, port, pick) =>
    commands.renameDefinitionPort(name, side, port, `port${pick.upTo(4)}`),
  ),
  removeDefinitionPort: onPort((name, side, port) => commands.removeDefinitionPort(name, side, port)),
  renameDefinitionTo: onDefinition((name, pick) =>
    commands.renameDefinitionTo(name, `definition${pick.upTo(4)}`),
  ),
  describeDefinition: onDefinition((name, pick) => commands.describeDefinition(name, pick.text())),
  copyDefinition(pick, doc) {
    if (Object.keys(doc.definitions).length > 6) return null;
    return onDefinition((name) => commands.copyDefinition(name))(pick, doc);
  },
  removeDefinition: onDefinition((name) => commands.removeDefinition(name)),
  addBlueprint(pick) {
    const name = pick.of(Object.keys(BLUEPRINT.definitions)) ?? "";
    commands.addBlueprint({ name, about: "", doc: BLUEPRINT }, pick.point(), null);
    return added;
  },
  giveBody(pick, doc) {
    const id = pick.of(ids(doc).filter((own) => doc.nodes[own]?.results === null));
    if (!id) return null;
    commands.giveBody(id);
    return under(`nodes.${id}.results`);
  },
  connectWire(pick, doc) {
    const { kinds } = useEditor.getState();
    const target = pick.of(slots());
    if (!target) return null;
    const fits = sources().filter((from) => objection(doc, kinds, from, target.node, target.handle) === null);
    const source = pick.of(fits);
    if (!source) return null;
    const lifted = pick.upTo(3) === 0 ? pick.of(slots().filter(({ slot }) => slot.ref !== null)) : undefined;
    const bend = pick.of([null, ...drawings(doc).filter((id) => doc.places[id]?.kind === "reroute")]) ?? null;
    commands.connectWire(source, target, lifted ?? null, bend);
    const drawn = either(inputsOf(target.node), under(`places.${bend}.wire`));
    return lifted ? either(drawn, inputsOf(lifted.node), bendOf(doc, lifted)) : drawn;
  },
  disconnectWire(pick, doc) {
    const wired = pick.of(slots().filter(({ slot }) => slot.ref !== null));
    if (!wired) return null;
    commands.disconnectWire(wired);
    return either(inputsOf(wired.node), bendOf(doc, wired));
  },
  renamePort(pick) {
    const given = pick.of(slots().filter(({ slot }) => slot.name !== "" && !slot.adds));
    if (!given) return null;
    commands.renamePort(given, `port${pick.upTo(5)}`);
    return either(inputsOf(given.node), ({ path, was }) => !path.endsWith(".type") && names(given.node, was));
  },
  move(pick, doc) {
    const chosen = pick.some(everything(doc)).slice(0, 3);
    commands.move(Object.fromEntries(chosen.map((id) => [id, { at: pick.point() }])));
    return moves(doc, chosen);
  },
  drop(pick, doc) {
    const zone = pick.of(zones(doc)) ?? null;
    const chosen = pick
      .some(ids(doc))
      .slice(0, 2)
      .filter((id) => id !== zone && (zone === null || !isInside(doc, zone, id)));
    commands.drop(Object.fromEntries(chosen.map((id) => [id, { at: pick.point() }])), chosen, zone);
    const carried = new Set(chosen.flatMap((id) => [id, ...inside(doc, id).map((node) => node.id)]));
    return either(moves(doc, chosen), ({ path, was }) => {
      const [section, id = "", field = ""] = path.split(".");
      if (section !== "nodes") return false;
      if (field === "zone") return chosen.includes(id);
      const cuts = field === "wires" || field === "results";
      return (
        cuts &&
        (carried.has(id) ||
          refsOf(doc.nodes[id]?.wires[path.split(".")[3] ?? ""] ?? []).some((ref) =>
            [...carried].some((own) => names(own, ref)),
          ) ||
          [...carried].some((own) => names(own, was)))
      );
    });
  },
  toggleCollapsed: (pick, doc) => {
    const chosen = pick.some(ids(doc));
    commands.toggleCollapsed(chosen);
    return either(added, under(...chosen.map((id) => `places.${id}.collapsed`)));
  },
  putInOrder: onSelection(
    ids,
    () => {
      const { doc, cards, measured } = useEditor.getState();
      commands.putInOrder(layOut(doc, cards, measured));
    },
    (_chosen, doc) =>
      either(added, ({ path }) => {
        const [section, id = "", field = ""] = path.split(".");
        return section === "places" && id in doc.nodes && (field === "at" || field === "size");
      }),
  ),
  align(pick, doc) {
    const chosen = pick.some(everything(doc));
    select(chosen);
    commands.align(pick.of(["left", "right", "top", "bottom", "row", "column"] as const) ?? "left");
    return either(added, under(...chosen.map((id) => `places.${id}.at`)));
  },
  addFrame: onSelection(
    ids,
    () => commands.addFrame(),
    () => added,
  ),
  addNote: (pick) => (commands.addNote(pick.point()), added),
  addReroute(pick) {
    const wired = pick.of(slots().filter(({ slot }) => slot.ref !== null));
    if (!wired) return null;
    commands.addReroute(`${wired.node}.${wired.handle}`, pick.point());
    return added;
  },
  chooseSeeding(pick, doc) {
    const id = pick.of(ids(doc));
    if (!id) return null;
    commands.chooseSeeding(id, "seed", pick.of(["next", "random", undefined] as const));
    return either(added, under(`places.${id}.after`));
  },
  sweepOver(pick, doc) {
    if (ids(doc).length > MANY) return null;
    const slot = pick.of(slots().filter(({ slot }) => slot.port.schema !== undefined));
    if (!slot || !(slot.node in doc.nodes)) return null;
    if (commands.sweepOver(slot.node, slot.handle, [1, 2]) === null) return null;
    const moved = /^(nodes\.[^.]+\.zone|places\.[^.]+\.at|exposed\.outputs(\..*)?)$/;
    return either(added, inputsOf(slot.node), ({ path }) => moved.test(path));
  },
  setText: onDrawing("text", (id, pick) => commands.setText(id, pick.text(), pick.of(["typing", null]))),
  setColour(pick, doc) {
    const chosen = pick.some(everything(doc));
    commands.setColour(chosen, pick.of(["", "green"]) ?? "");
    return either(added, under(...chosen.map((id) => `places.${id}.colour`)));
  },
  removeAndJoin(pick, doc) {
    const chosen = pick.some(everything(doc)).slice(0, 3);
    if (chosen.length === 0) return null;
    const gone = new Set(
      chosen.flatMap((id) => [id, ...(id in doc.nodes ? inside(doc, id) : []).map((node) => node.id)]),
    );
    commands.removeAndJoin(chosen);
    return either(added, rewires(doc), ({ path }) => gone.has(path.split(".")[1] ?? ""));
  },
  swapType(pick, doc) {
    const id = pick.of(ids(doc));
    const to = id && pick.of(swapsFor(doc, useEditor.getState().kinds, id));
    if (!to) return null;
    commands.swapType(id, to.spec.type);
    return either(added, rewires(doc), under(`nodes.${id}`, `places.${id}`), ({ path, was }) =>
      path.endsWith(".zone") ? was === id : false,
    );
  },
  wrapInZone(pick, doc) {
    if (ids(doc).length > MANY) return null;
    const chosen = wrappable(doc, pick.some(ids(doc)));
    const type = pick.of(["group", "sample", "repeat", "train", "for_each"]) ?? "group";
    commands.wrapInZone(type, chosen);
    const own = chosen.flatMap((id) => [`nodes.${id}.zone`, `places.${id}.at`]);
    return either(added, rewires(doc), under(...own));
  },
  dissolveZones(pick, doc) {
    const zone = pick.of(zones(doc).filter((id) => id !== null));
    if (!zone) return null;
    const own = inside(doc, zone).flatMap(({ id }) => [`nodes.${id}.zone`, `places.${id}.at`]);
    commands.dissolveZones([zone]);
    return either(added, rewires(doc), under(`nodes.${zone}`, `places.${zone}`, ...own));
  },
  resizeBy(pick, doc) {
    const chosen = pick.some(everything(doc));
    commands.resizeBy([pick.upTo(80) - 40, pick.upTo(80) - 40], chosen);
    return either(added, under(...chosen.map((id) => `places.${id}.size`)));
  },
  resize: onDrawing("size", (id, pick) => commands.resize(id, [100 + pick.upTo(400), 60 + pick.upTo(300)])),
};

/** Wires are drawn anew and bends go with theirs; what is typed in stays. */
const rewires =
  (doc: Doc): MayTouch =>
  ({ path }) => {
    const [section, id = "", field = ""] = path.split(".");
    if (section === "exposed") return true;
    if (section === "places") return doc.places[id]?.wire !== undefined;
    return section === "nodes" && (field === "wires" || field === "results");
  };
const uses = (doc: Doc) => ids(doc).filter((id) => definitionOf(doc, id) !== undefined);

/** What belongs to definitions: they, and of their uses the type, what is wired and typed in, and who reads them. */
const ofDefinitions: MayTouch = ({ path }) => {
  const [section, , field = ""] = path.split(".");
  return (
    section === "definitions" ||
    section === "exposed" ||
    (section === "nodes" && ["type", "wires", "params", "results"].includes(field))
  );
};

function onDefinition(run: (name: string, pick: Picker) => void): Try {
  return (pick, doc) => {
    const name = pick.of(Object.keys(doc.definitions));
    if (name === undefined) return null;
    run(name, pick);
    return ofDefinitions;
  };
}

function onPort(run: (name: string, side: Side, port: string, pick: Picker) => void): Try {
  return (pick, doc) => {
    const name = pick.of(Object.keys(doc.definitions));
    const definition = definitionNamed(doc, name ?? "");
    const side = pick.of(["inputs", "results", "ports", "given"] as const) ?? "inputs";
    const port = definition && pick.of(portsOf(definition, side));
    if (name === undefined || port === undefined) return null;
    run(name, side, port, pick);
    return ofDefinitions;
  };
}

function onDrawing(field: string, run: (id: Id, pick: Picker) => void): Try {
  return (pick, doc) => {
    const id = pick.of(drawings(doc));
    if (!id) return null;
    run(id, pick);
    return either(added, under(`places.${id}.${field}`));
  };
}

const bendOf =
  (doc: Doc, { node, handle }: commands.Slot): MayTouch =>
  ({ path }) => {
    const [section, id = ""] = path.split(".");
    const list = `${node}.${handle}`.replace(/\d+$/, "");
    return section === "places" && wiresOf(doc.places[id] ?? {}).some((wire) => wire.startsWith(list));
  };
