/** What workflows usually hold, and pieces of graphs to paste: what the palette ranks by and offers. */
import { create } from "zustand";
import { api } from "../server/api";
import type { Template, Usage } from "../server/types";

interface Known {
  readonly usage: Usage;
  readonly templates: readonly Template[];
}

export const useUsage = create<Known>()(() => ({
  usage: { used: {}, after: {}, before: {} },
  templates: [],
}));

/** Fetch both; without them the palette finds all the same, in another order. */
export function startUsage(): void {
  api.usage().then(
    (usage) => useUsage.setState({ usage }),
    () => undefined,
  );
  api.templates().then(
    (templates) => useUsage.setState({ templates }),
    () => undefined,
  );
}
