// @vitest-environment happy-dom
/** Opening, saving, and what others do to the files meanwhile; what answers late; the address; the session. */
import "fake-indexeddb/auto";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { setTitle, toggleExposed } from "../src/commands";
import { EMPTY } from "../src/document/document";
import { api, Refused } from "../src/server/api";
import type { Document, WorkflowEntry } from "../src/server/types";
import { addressShown, startAddress } from "../src/state/address";
import {
  activate,
  activeDocument,
  isDirty,
  nameOf,
  restore,
  step,
  useDocuments,
} from "../src/state/documents";
import { allDrafts, dropDraft } from "../src/state/drafts";
import { openOther, startLooking, takeOther } from "../src/state/elsewhere";
import { ask, startEstimating, useEstimate } from "../src/state/estimate";
import {
  closeDocument,
  newWorkflow,
  openAddress,
  openFile,
  openFirst,
  saveAs,
  saveFile,
} from "../src/state/files";
import { keepNow, startKeeping } from "../src/state/keeping";
import { readSession, startSession } from "../src/state/session";
import { undoEdit, useEditor } from "../src/state/editor";
import { useRuns } from "../src/state/runs";
import { startValidation, useProblems } from "../src/state/validation";
import { useUi } from "../src/state/ui";

vi.mock("../src/server/api", async (original) => {
  const real = await original<typeof import("../src/server/api")>();
  const calls = Object.fromEntries(Object.keys(real.api).map((name) => [name, vi.fn()]));
  return { ...real, api: calls };
});

function deferred<T>() {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}

/** What the server holds. */
const files = new Map<string, string>();
const documentAt = (path: string): Document => {
  const text = files.get(path);
  if (text === undefined) throw new Refused(404, `there is no ${path}`);
  return {
    path,
    text,
    workflow: {},
    etag: `of ${text}`,
    shipped: path.startsWith("shipped/"),
    remarks: [],
  };
};
const titled = (title: string) => `{"loom":1,"title":"${title}","nodes":{}}`;
const names = () => useDocuments.getState().open.map(nameOf);
const title = () => useEditor.getState().doc.title;

const server = vi.mocked(api);
server.open.mockImplementation((path) => Promise.resolve().then(() => documentAt(path)));
server.stamps.mockImplementation((paths) =>
  Promise.resolve(
    Object.fromEntries(paths.map((path) => [path, files.has(path) ? documentAt(path).etag : ""])),
  ),
);
server.save.mockImplementation((path, workflow, etag, overwrite) =>
  Promise.resolve().then(() => {
    if (files.has(path) && !overwrite && documentAt(path).etag !== etag) throw new Refused(409, "changed");
    files.set(path, workflow);
    return documentAt(path);
  }),
);
server.workflows.mockResolvedValue([]);
server.validate.mockResolvedValue({ problems: [], types: {}, mark: "" });

restore([{ doc: EMPTY }], 0);
startAddress(openAddress);
startSession();
startKeeping();
startValidation();
startEstimating();
startLooking();

beforeEach(async () => {
  files.clear();
  files.set("shipped/example.json", titled("Example"));
  files.set("workflows/mine.json", titled("Mine"));
  restore([{ doc: EMPTY }], 0);
  await keepNow();
  for (const { id, revision } of await allDrafts()) await dropDraft(id, revision);
  await openFile("workflows/mine.json");
});

const changedElsewhere = async (path: string, text: string | null) => {
  if (text === null) files.delete(path);
  else files.set(path, text);
  useRuns.setState((state) => ({ workflowsChanged: state.workflowsChanged + 1 }));
  await vi.waitFor(() => expect(activeDocument().file.elsewhere).not.toBeNull());
};

describe("opening", () => {
  it("leaves what is open as it is, and shows a file again that is open", async () => {
    setTitle("Mine, changed");
    await openFile("shipped/example.json");
    expect(names()).toEqual(["Mine, changed", "Example"]);
    await openFile("workflows/mine.json");
    expect(title()).toBe("Mine, changed");
    expect(names()).toHaveLength(2);
  });

  it("shows what was asked for last, whichever answer comes last", async () => {
    const slow = deferred<Document>();
    server.open.mockReturnValueOnce(slow.promise);
    const first = openFile("workflows/slow.json");
    await openFile("shipped/example.json");
    slow.resolve({ ...documentAt("workflows/mine.json"), path: "workflows/slow.json" });
    await first;
    expect(title()).toBe("Example");
  });

  it("says what cannot be opened, and leaves the page as it is", async () => {
    expect(await openFile("workflows/none.json")).toBe(false);
    expect(title()).toBe("Mine");
  });

  it("leads to unsaved changes of a file that is opened as it was saved", async () => {
    setTitle("Mine, changed");
    closeDocument();
    await keepNow();
    await openFile("workflows/mine.json");
    expect(title()).toBe("Mine");
    const told = await vi.waitFor(() => {
      const toast = useUi.getState().toasts.find(({ text }) => text.includes("unsaved changes to this file"));
      if (!toast?.action) throw new Error("not told");
      return toast.action;
    });
    told.run();
    await vi.waitFor(() => expect(title()).toBe("Mine, changed"));
  });
});

describe("saving", () => {
  it("writes the document that was meant, though another is shown when the answer comes", async () => {
    setTitle("Saved");
    const saving = saveFile();
    await openFile("shipped/example.json");
    await saving;
    const [mine, example] = useDocuments.getState().open;
    expect(mine && isDirty(mine)).toBe(false);
    expect(mine?.file.path).toBe("workflows/mine.json");
    expect(example?.file.path).toBe("shipped/example.json");
    expect(files.get("workflows/mine.json")).toContain("Saved");
  });

  it("keeps as unsaved what was changed while the file was written", async () => {
    setTitle("a");
    const saving = saveFile();
    setTitle("b");
    await saving;
    expect(isDirty(activeDocument())).toBe(true);
  });

  it("does not write over another's version unasked, and offers it beside", async () => {
    setTitle("Ours");
    files.set("workflows/mine.json", titled("Theirs"));
    await saveFile();
    expect(activeDocument().file.elsewhere).not.toBeNull();
    expect(files.get("workflows/mine.json")).toBe(titled("Theirs"));
    await openOther("workflows/mine.json");
    expect(names()).toEqual(["Ours", "Theirs (the other version)"]);
    expect(activeDocument().file.path).toBe("");
    step(-1);
    await saveAs("workflows/mine.json", { overwrite: true });
    expect(activeDocument().file.elsewhere).toBeNull();
    expect(isDirty(activeDocument())).toBe(false);
  });

  it("tells when another file is there under the name", async () => {
    files.set("workflows/taken.json", titled("Taken"));
    expect(await saveAs("workflows/taken.json")).toBe("taken");
    expect(activeDocument().file.path).toBe("workflows/mine.json");
  });
});

describe("a file that others change", () => {
  it("is told, and its version comes as a step that can be undone", async () => {
    await changedElsewhere("workflows/mine.json", titled("Theirs"));
    expect(title()).toBe("Mine");
    await takeOther(activeDocument().id);
    expect(title()).toBe("Theirs");
    expect(isDirty(activeDocument())).toBe(false);
    undoEdit();
    expect(title()).toBe("Mine");
    expect(isDirty(activeDocument())).toBe(true);
  });

  it("is told when it is gone", async () => {
    await changedElsewhere("workflows/mine.json", null);
    expect(activeDocument().file.elsewhere).toBe("gone");
  });

  it("is not told of one's own saving", async () => {
    setTitle("x");
    const saving = saveFile();
    useRuns.setState((state) => ({ workflowsChanged: state.workflowsChanged + 1 }));
    await saving;
    await Promise.resolve();
    expect(activeDocument().file.elsewhere).toBeNull();
  });
});

describe("the address", () => {
  it("names what is shown, a draft as well", async () => {
    expect(addressShown()).toBe("workflows/mine.json");
    closeDocument();
    expect(addressShown()).toBe(`draft/${activeDocument().draft}`);
    await openFile("shipped/example.json");
    expect(addressShown()).toBe("shipped/example.json");
  });

  it("that is pasted is opened, and one that leads nowhere goes back to what is shown", async () => {
    location.hash = "shipped/example.json";
    dispatchEvent(new Event("hashchange"));
    await vi.waitFor(() => expect(title()).toBe("Example"));
    location.hash = "draft/nowhere";
    dispatchEvent(new Event("hashchange"));
    await vi.waitFor(() => expect(addressShown()).toBe("shipped/example.json"));
    expect(title()).toBe("Example");
  });
});

describe("a reload", () => {
  it("finds all documents again, with unsaved changes and the one that was shown", async () => {
    setTitle("Mine, changed");
    await openFile("shipped/example.json");
    await keepNow();
    const session = readSession();
    expect(session.tabs).toHaveLength(2);
    // The next page begins empty.
    const kept = JSON.stringify(session);
    restore([{ doc: EMPTY }], 0);
    sessionStorage.setItem("loom.tabs", kept);
    await openFirst();
    expect(names()).toEqual(["Mine, changed", "Example"]);
    const [mine] = useDocuments.getState().open;
    if (mine) activate(mine.id);
    expect(isDirty(activeDocument())).toBe(true);
    await saveFile();
    await vi.waitFor(async () => expect(await allDrafts()).toEqual([]));
  });
});

describe("a page that is used before it has begun", () => {
  const example = { path: "shipped/example.json", shipped: true, problem: "" } as WorkflowEntry;

  beforeEach(() => {
    restore([{ doc: EMPTY }], 0);
    sessionStorage.clear();
    location.hash = "";
  });

  it("opens an example where nobody did anything", async () => {
    server.workflows.mockResolvedValueOnce([example]);
    await openFirst();
    expect(title()).toBe("Example");
  });

  it.each([
    ["asks for a new workflow", newWorkflow],
    ["writes a title", () => setTitle("Mine")],
  ])("opens no example over one that %s", async (_, use) => {
    const entries = deferred<WorkflowEntry[]>();
    server.workflows.mockReturnValueOnce(entries.promise);
    const beginning = openFirst();
    use();
    const mine = title();
    entries.resolve([example]);
    await beginning;
    expect(title()).toBe(mine);
  });

  it("keeps what was made meanwhile beside what is restored", async () => {
    await openFile("shipped/example.json");
    await keepNow();
    const kept = JSON.stringify(readSession());
    restore([{ doc: EMPTY }], 0);
    sessionStorage.setItem("loom.tabs", kept);
    location.hash = "";
    const beginning = openFirst();
    setTitle("Mine");
    await beginning;
    expect(names()).toEqual(["Example", "Mine"]);
    expect(title()).toBe("Mine");
  });
});

describe("what is asked of the server about one document", () => {
  it("is not said of another: problems and estimates", async () => {
    const late = deferred<{ problems: []; types: Record<string, never>; mark: string }>();
    const problem = { node: "x", port: "", message: "of mine", remedy: "", severity: "error" as const };
    server.validate.mockClear();
    server.validate.mockReturnValueOnce(late.promise);
    const estimate = deferred<never>();
    server.estimate.mockReturnValueOnce(estimate.promise);
    const asking = ask();
    toggleExposed("params", "x.seed", "seed");
    await vi.waitFor(() => expect(server.validate).toHaveBeenCalledTimes(1));
    await openFile("shipped/example.json");
    late.resolve({ problems: [problem] as unknown as [], types: {}, mark: "" });
    estimate.resolve({ problems: [problem], nodes: {}, flops: 0, memory: 0, memory_at: "" } as never);
    await asking;
    expect(useEstimate.getState().estimate).toBeNull();
    expect(useProblems.getState().problems).toEqual([]);
  });
});
