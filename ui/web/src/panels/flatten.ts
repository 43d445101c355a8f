/** A workflow's parameters as one flat table, for reading a run's settings and comparing two. */
import { read } from "../document/codec";
import { nodeOf, refsOf, type Doc } from "../document/document";
import { print } from "../document/json";

export type Settings = Record<string, string>;

export function settingsOf(doc: Doc): Settings {
  const settings: Settings = {};
  for (const node of Object.values(doc.nodes)) {
    for (const [name, value] of Object.entries(node.params))
      settings[`${node.id}.${name}`] = typeof value === "string" ? value : print(value);
  }
  return settings;
}

export interface Difference {
  readonly what: string;
  readonly before: string;
  readonly after: string;
}

/** What differs between two workflows: parameters, nodes, wires. */
export function differences(before: string, after: string): Difference[] {
  const [a, b] = [read(before).doc, read(after).doc];
  const found: Difference[] = [];
  for (const id of new Set([...Object.keys(a.nodes), ...Object.keys(b.nodes)])) {
    const [old, now] = [a.nodes[id], b.nodes[id]];
    if (!old || !now) found.push({ what: id, before: old ? old.type : "–", after: now ? now.type : "–" });
    else if (old.type !== now.type) found.push({ what: id, before: old.type, after: now.type });
    else if (old.mode !== now.mode) found.push({ what: id, before: old.mode, after: now.mode });
  }
  const [settingsA, settingsB] = [settingsOf(a), settingsOf(b)];
  for (const key of new Set([...Object.keys(settingsA), ...Object.keys(settingsB)])) {
    const node = nodeOf(key);
    if (settingsA[key] === settingsB[key] || !(node in a.nodes) || !(node in b.nodes)) continue;
    found.push({ what: key, before: settingsA[key] ?? "default", after: settingsB[key] ?? "default" });
  }
  for (const id of Object.keys(a.nodes)) {
    const [old, now] = [a.nodes[id], b.nodes[id]];
    if (!old || !now) continue;
    for (const port of new Set([...Object.keys(old.wires), ...Object.keys(now.wires)])) {
      const [from, to] = [old.wires[port], now.wires[port]].map((wired) =>
        wired === undefined ? "–" : refsOf(wired).join(", "),
      );
      if (from !== to) found.push({ what: `${id}.${port} wire`, before: from ?? "–", after: to ?? "–" });
    }
  }
  return found;
}
