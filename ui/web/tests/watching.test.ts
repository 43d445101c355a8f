// @vitest-environment happy-dom
/** The run that a document shows when it is opened, however late the server tells of those that are over. */
import { expect, it, vi } from "vitest";
import { api } from "../src/server/api";
import type { Listener } from "../src/server/live";
import type { About, Run } from "../src/server/types";
import { activeDocument, restore } from "../src/state/documents";
import { startWatching } from "../src/state/runs";
import { docOf } from "./documents";

const line = vi.hoisted((): { listener?: Listener } => ({}));

vi.mock("../src/server/live", () => ({
  Live: class {
    constructor(listener: Listener) {
      line.listener = listener;
    }
    follow() {}
    unfollow() {}
  },
}));

it("is the last that was done of its title", async () => {
  const done = { run: 4, title: "Mine", status: "done", updated: 1 } as unknown as Run;
  vi.spyOn(api, "history").mockResolvedValue([done]);
  restore([{ doc: docOf({}, { title: "Mine" }) }], 0);
  startWatching();
  line.listener?.opened({ boot: "a" } as About, { running: [], queued: [], workers: [] });
  expect(activeDocument().run).toBeNull();
  await vi.waitFor(() => expect(activeDocument().run).toBe(4));
});
