/** The parameters that a workflow shows in its app view, with their values. */
import { halves, type Doc } from "../document/document";
import { print } from "../document/json";
import type { Settings } from "./flatten";

export function resolveExposed(doc: Doc): Settings {
  const settings: Settings = {};
  for (const [name, ref] of Object.entries(doc.exposed.params)) {
    const [node, param] = halves(ref);
    const value = doc.nodes[node]?.params[param];
    if (value !== undefined)
      settings[name.replaceAll("_", " ")] = typeof value === "string" ? value : print(value);
  }
  return settings;
}
