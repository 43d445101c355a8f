// @vitest-environment happy-dom
/** Drafts in the browser's storage: two writers, what a page leaves behind, a full storage. */
import "fake-indexeddb/auto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { setTitle } from "../src/commands";
import { EMPTY } from "../src/document/document";
import { activeDocument, close, open, restore, setFile, useDocuments } from "../src/state/documents";
import {
  allDrafts,
  draftOf,
  dropDraft,
  keepDraft,
  leaveDraft,
  takeOverDrafts,
  type Draft,
} from "../src/state/drafts";
import { keepNow, startKeeping, useKeeping } from "../src/state/keeping";
import { undoEdit } from "../src/state/editor";
import { useUi } from "../src/state/ui";
import { docOf } from "./documents";

const draft = (id: string, more: Partial<Draft> = {}): Omit<Draft, "revision"> => ({
  id,
  title: id,
  path: "",
  etag: "",
  shipped: false,
  time: 1,
  text: '{"loom":1,"nodes":{}}',
  ...more,
});

const titles = async () => (await allDrafts()).map(({ title }) => title).sort();

startKeeping();

beforeEach(async () => {
  restore([{ doc: EMPTY }], 0);
  await keepNow();
  for (const { id, revision } of await allDrafts()) await dropDraft(id, revision);
  localStorage.clear();
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe("a draft", () => {
  it("is written over by who knows it", async () => {
    const first = await keepDraft(draft("a"), null);
    const second = await keepDraft(draft("a", { title: "b" }), first.revision);
    expect(second.id).toBe("a");
    expect(await titles()).toEqual(["b"]);
  });

  it("is left alone by who knows an older one, and so are both kept", async () => {
    const first = await keepDraft(draft("a"), null);
    await keepDraft(draft("a", { title: "tab one" }), first.revision);
    const other = await keepDraft(draft("a", { title: "tab two" }), first.revision);
    expect(other.id).not.toBe("a");
    expect(await titles()).toEqual(["tab one", "tab two"]);
    await dropDraft("a", first.revision);
    expect(await titles()).toEqual(["tab one", "tab two"]);
  });

  it("that a page left when it went is taken over, that of version 0.1 as well", async () => {
    const kept = await keepDraft(draft("a", { time: 5 }), null);
    leaveDraft(draft("a", { title: "later", time: 9 }));
    localStorage.setItem(
      "loom.draft.1-2",
      JSON.stringify({ ...draft("x", { title: "0.1" }), id: undefined }),
    );
    localStorage.setItem("loom.draft.broken", "{");
    await takeOverDrafts();
    expect(await titles()).toEqual(["0.1", "later"]);
    expect((await draftOf("a"))?.revision).not.toBe(kept.revision);
    expect(localStorage.length).toBe(0);
  });

  it("that another page wrote later than what was left stays beside it", async () => {
    await keepDraft(draft("a", { title: "newer", time: 9 }), null);
    leaveDraft(draft("a", { title: "older", time: 5 }));
    await takeOverDrafts();
    expect(await titles()).toEqual(["newer", "older"]);
  });
});

describe("keeping", () => {
  it("writes what is not saved, and takes it out when it is", async () => {
    open({ doc: docOf({}, { title: "one" }) });
    await keepNow();
    expect(await titles()).toEqual(["one"]);
    const { id, history } = activeDocument();
    setFile(id, { path: "workflows/one.json", saved: history.present });
    await keepNow();
    expect(await titles()).toEqual([]);
    setTitle("two");
    await keepNow();
    expect(await draftOf(activeDocument().draft)).toMatchObject({ title: "two", path: "workflows/one.json" });
    undoEdit();
    await keepNow();
    expect(await titles()).toEqual([]);
  });

  it("keeps the draft of a document that is closed at once after a change", async () => {
    open({ doc: docOf({}, { title: "one" }) });
    setTitle("last word");
    close(activeDocument().id);
    await vi.waitFor(async () => expect(await titles()).toEqual(["last word"]));
  });

  it("goes on apart where another tab wrote the same draft, and says so", async () => {
    open({ doc: docOf({}, { title: "mine" }) });
    await keepNow();
    const { draft: id } = activeDocument();
    const there = await draftOf(id);
    await keepDraft({ ...draft(id), title: "the other tab's" }, there?.revision ?? null);
    setTitle("mine, changed");
    await keepNow();
    expect(await titles()).toEqual(["mine, changed", "the other tab's"]);
    expect(activeDocument().draft).not.toBe(id);
    expect(useUi.getState().toasts.at(-1)?.text).toContain("another tab");
    setTitle("mine, again");
    await keepNow();
    expect(await titles()).toEqual(["mine, again", "the other tab's"]);
  });

  it("tells that the storage is full until it is not, and leaves no page without asking", async () => {
    open({ doc: docOf({}, { title: "one" }) });
    await keepNow();
    const full = new DOMException("full", "QuotaExceededError");
    const put = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
      throw full;
    });
    setTitle("two");
    await keepNow();
    expect(useKeeping.getState().trouble).toContain("full");
    vi.stubGlobal("localStorage", {
      setItem: () => {
        throw full;
      },
    });
    const leaving = new Event("beforeunload", { cancelable: true });
    dispatchEvent(leaving);
    expect(leaving.defaultPrevented).toBe(true);
    vi.unstubAllGlobals();
    put.mockRestore();
    await keepNow();
    expect(useKeeping.getState().trouble).toBe("");
    expect(await titles()).toEqual(["two"]);
    expect(useDocuments.getState().open).toHaveLength(1);
  });

  it("leaves what is not written yet when the page goes", async () => {
    open({ doc: docOf({}, { title: "one" }) });
    dispatchEvent(new Event("pagehide"));
    expect(localStorage.length).toBe(1);
    await keepNow(); // the page stayed after all
    expect(localStorage.length).toBe(0);
  });
});
