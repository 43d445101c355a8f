// @vitest-environment happy-dom
/** Going on from a run: the server sets a parameter of the trainings, which is one step to undo. */
import "fake-indexeddb/auto";
import { expect, it, vi } from "vitest";
import { api, Refused } from "../src/server/api";
import { activeDocument, restore } from "../src/state/documents";
import { undoEdit } from "../src/state/editor";
import { goOn } from "../src/state/runs";
import { useUi } from "../src/state/ui";
import { docOf } from "./documents";

vi.mock("../src/server/api", async (original) => {
  const real = await original<typeof import("../src/server/api")>();
  const calls = Object.fromEntries(Object.keys(real.api).map((name) => [name, vi.fn()]));
  return { ...real, api: calls };
});

const server = vi.mocked(api);
const parameters = () => activeDocument().history.present.nodes.fit?.params;

it("sets what the server says in the document that is shown, and can be undone", async () => {
  const fit = { type: "train", params: { steps: 9 } };
  server.goOn.mockImplementation((text) => {
    const workflow = JSON.parse(text) as { nodes: { fit: typeof fit } };
    expect(workflow.nodes.fit).toEqual(fit);
    const changed = { ...fit, params: { ...fit.params, continue_from: "checkpoints/a/step-3" } };
    const whole = JSON.stringify({ ...workflow, nodes: { fit: changed } });
    return Promise.resolve({ path: "", text: whole, workflow: {}, etag: "", shipped: false, remarks: [] });
  });
  restore([{ doc: docOf({ fit }) }], 0);
  await goOn(3);
  expect(parameters()).toEqual({ steps: 9, continue_from: "checkpoints/a/step-3" });
  undoEdit();
  expect(parameters()).toEqual({ steps: 9 });
});

it("says why where there is nothing to go on from", async () => {
  server.goOn.mockRejectedValue(new Refused(422, "run 3 has trained nothing"));
  const before = activeDocument().history.present;
  await goOn(3);
  expect(activeDocument().history.present).toBe(before);
  expect(useUi.getState().toasts.at(-1)?.text).toBe("run 3 has trained nothing");
});
