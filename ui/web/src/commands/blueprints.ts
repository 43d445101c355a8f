/** Blueprints: definitions that lie in the workspace, to save one and to put one into the workflow. */
import { create } from "zustand";
import { adopt, blueprintOf } from "../document/blueprints";
import { read, write } from "../document/codec";
import type { Doc, Edit, Id } from "../document/document";
import { specsOf } from "../document/specs";
import type { NodeSpec } from "../server/types";
import { api } from "../server/api";
import { activeDocument } from "../state/documents";
import { useEditor } from "../state/editor";
import { say, sayError, type LooseEnd } from "../state/ui";
import type { Point } from "../drawing/geometry";
import { add } from "./nodes";

export interface Blueprint {
  readonly name: string;
  readonly about: string;
  readonly doc: Doc;
}

export const useBlueprints = create<{ readonly all: readonly Blueprint[] }>()(() => ({ all: [] }));

/** Ask for what lies in the workspace now. */
export async function loadBlueprints(): Promise<void> {
  try {
    const found = await api.blueprints();
    useBlueprints.setState({
      all: found.map(({ name, about, text }) => ({ name, about, doc: read(text).doc })),
    });
  } catch (error) {
    sayError(error);
  }
}

export async function saveBlueprint(name: string, overwrite = false): Promise<void> {
  const text = write(blueprintOf(activeDocument().history.present, name));
  try {
    if (!overwrite && useBlueprints.getState().all.some((own) => own.name === name)) {
      say(`There is a blueprint "${name}"`, "plain", {
        label: "Replace it",
        run: () => void saveBlueprint(name, true),
      });
      return;
    }
    await api.saveBlueprint(name, text, overwrite);
    await loadBlueprints();
    say(`Saved the blueprint "${name}". The palette of every workflow lists it.`, "good");
  } catch (error) {
    sayError(error);
  }
}

export async function deleteBlueprint(name: string): Promise<void> {
  try {
    await api.discardBlueprint(name);
    await loadBlueprints();
  } catch (error) {
    sayError(error);
  }
}

/** A blueprint as the palette shows it. */
export function specOf({ name, doc }: Blueprint): NodeSpec | undefined {
  const spec = specsOf(useEditor.getState().catalog, doc)(name);
  return spec && { ...spec, category: "blueprints" };
}

/** Put a use of a blueprint on the sheet, its definitions with it: one step to undo. */
export function addBlueprint(
  blueprint: Blueprint,
  at: Point,
  zone: Id | null,
  loose: LooseEnd | null = null,
  into?: { node: Id; handle: string },
): void {
  const { catalog, doc } = useEditor.getState();
  const taken = (own: string) => own in catalog.nodes;
  const { names } = adopt(doc, blueprint.doc.definitions, taken);
  const brought: Edit = (shown) => adopt(shown, blueprint.doc.definitions, taken).doc;
  add(names.get(blueprint.name) ?? blueprint.name, at, zone, loose, into, {}, brought);
}
