// @vitest-environment happy-dom
/** What shows pictures, plots and files of runs, and the fields that fingers meet. */
import { act, createElement, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, expect, it, vi } from "vitest";
import { AppResults } from "../src/panels/app/AppResults";
import { usePlots } from "../src/panels/usePlots";
import { Viewer } from "../src/panels/viewer/Viewer";
import { api } from "../src/server/api";
import type { Plot } from "../src/server/types";
import type { NodeRun } from "../src/state/runView";
import { useRuns } from "../src/state/runs";
import { NumberField } from "../src/widgets/NumberField";

const coming = vi.hoisted(() => {
  (globalThis as Record<string, unknown>).IS_REACT_ACT_ENVIRONMENT = true;
  let come = (_plots: object): void => undefined;
  const promise = new Promise<object>((resolve) => (come = resolve));
  return { promise, resolve: come };
});
vi.mock("../src/panels/plot/Plots", () => coming.promise);

let done = (): void => undefined;
afterEach(() => {
  done();
  vi.restoreAllMocks();
});

async function draw(what: ReactNode): Promise<HTMLElement> {
  const host = document.body.appendChild(document.createElement("div"));
  const root = createRoot(host);
  await act(async () => {
    root.render(what);
    await Promise.resolve();
  });
  done = () => {
    act(() => {
      root.unmount();
    });
    host.remove();
  };
  return host;
}

it("shows the picture until what draws its plots has come", async () => {
  const asked = vi.spyOn(api, "plots").mockResolvedValue([{} as Plot]);
  const Shown = () => usePlots("a.png") ?? "the picture";
  const host = await draw(createElement(Shown));
  await act(() => Promise.resolve());
  expect(asked).toHaveBeenCalled();
  expect(host.textContent).toBe("the picture");
  await act(async () => {
    coming.resolve({ default: () => "the plots" });
    await vi.dynamicImportSettled();
  });
  expect(host.textContent).toBe("the plots");
});

it("turns to the next picture by key while a plot is shown, and keeps the keyboard", async () => {
  const viewed = { url: "a", thumbnail: "a", label: "a" };
  const go = vi.fn();
  const closer = createElement("i", { tabIndex: 0 });
  const rest = { go, mode: "one", setMode: vi.fn(), against: null, closer } as const;
  const host = await draw(createElement(Viewer, { pictures: [viewed, viewed, viewed], at: 1, ...rest }));
  const inner = host.querySelector("i");
  inner?.focus();
  for (const key of ["PageDown", "PageUp", "Home"])
    inner?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  expect(go.mock.calls).toEqual([[2], [0]]);
  expect(document.activeElement?.className).toBe("viewer");
});

it("shows the last table of a node as one, whatever it wrote after it", async () => {
  vi.stubGlobal("fetch", () => Promise.resolve(new Response("solver,fid\nheun,4")));
  const files = ["csv", "csv", "json"].map((kind, turn) => ({
    path: `${turn}.${kind}`,
    media: kind === "csv" ? "text/csv" : "application/json",
    turn,
    time: turn,
  }));
  const { view } = useRuns.getState();
  useRuns.setState({
    view: { ...view, nodes: { kept: { files, state: "done", text: "" } as unknown as NodeRun } },
  });
  const host = await draw(createElement(AppResults));
  const tables = [...host.querySelectorAll("li")].map((line) => line.querySelector("table") !== null);
  expect(tables).toEqual([false, true, false]);
});

it("leaves a number as it is under a finger that scrolls, and changes it by one that goes aside", async () => {
  const change = vi.fn();
  const host = await draw(
    createElement(NumberField, {
      ...{ label: "scale", name: "scale", tip: "", value: 3, isSet: true, nullable: false, change },
      ...{ integer: false, min: 0, max: 10, slider: true },
    }),
  );
  const field = host.querySelector<HTMLElement>("[role=slider]");
  if (!field) throw new Error("no slider");
  field.setPointerCapture = () => undefined;
  field.getBoundingClientRect = () => new DOMRect(0, 0, 100, 20);
  const finger = (kind: string, clientX: number, clientY: number) =>
    act(() => {
      field.dispatchEvent(
        new PointerEvent(kind, { clientX, clientY, button: 0, pointerType: "touch", bubbles: true }),
      );
    });
  finger("pointerdown", 50, 10);
  finger("pointermove", 60, 20);
  finger("pointercancel", 60, 20);
  finger("pointerdown", 50, 10);
  finger("pointermove", 58, 90);
  finger("pointerup", 58, 90);
  expect(change).not.toHaveBeenCalled();
  expect(host.querySelector("input")).toBeNull();
  finger("pointerdown", 50, 10);
  finger("pointermove", 80, 10);
  expect(change).toHaveBeenCalledExactlyOnceWith(6, expect.anything());
});
