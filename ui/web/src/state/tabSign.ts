/** What the browser's tab says of the run that is shown: its share in the title and the icon, and its end to who looks elsewhere. */
import { nameOf, activeDocument, useDocuments } from "./documents";
import { useEstimate } from "./estimate";
import { isLive } from "./runAge";
import { useAsking } from "./runOptions";
import { useRuns } from "./runs";
import { shareOf, weightsOf, type Share } from "./share";
import type { Run } from "../server/types";

/** The share of the run that is shown, at a moment in seconds since 1970. */
export function shareNow(now: number): Share | null {
  const { view } = useRuns.getState();
  if (view.status !== "running") return null;
  const { present } = activeDocument().history;
  return shareOf(view, weightsOf(present, useEstimate.getState().estimate), now);
}

const icon = (): HTMLLinkElement | null => document.querySelector('link[rel="icon"]');
let plain = "";

const COLOURS = { done: "#63cf94", failed: "#ff7b7b", running: "#7ba4ff" };
const AROUND = 2 * Math.PI * 9;

/** An icon: a ring that closes with the share, or a full one in the colour of the end. */
function ring(share: number, colour: string): string {
  const arc = `<circle cx="12" cy="12" r="9" fill="none" stroke="${colour}" stroke-width="5" stroke-dasharray="${AROUND * share} ${AROUND}" transform="rotate(-90 12 12)"/>`;
  const base = '<circle cx="12" cy="12" r="9" fill="#1a1d22" stroke="#454d59" stroke-width="5"/>';
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">${base}${arc}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

/** The end of a run, kept in the icon until the page is looked at. */
let over: "done" | "failed" | null = null;

function show(): void {
  const name = nameOf(activeDocument());
  const { view } = useRuns.getState();
  const share = shareNow(Date.now() / 1000);
  const percent = share ? `${Math.floor(100 * share.done)} % · ` : view.status === "running" ? "… · " : "";
  const sign = over === "done" ? "✓ " : over === "failed" ? "✗ " : "";
  const title = `${percent || sign}${name} – Latent Loom`;
  if (document.title !== title) document.title = title;
  const wanted = share ? ring(share.done, COLOURS.running) : over ? ring(1, COLOURS[over]) : plain;
  const link = icon();
  if (link && link.getAttribute("href") !== wanted) link.setAttribute("href", wanted);
}

/** Tell a run's end to who does not look at the page. */
function tell(run: Run): void {
  if (!document.hidden || run.status === "stopped") return;
  over = run.status === "done" ? "done" : "failed";
  if (!useAsking.getState().notify || !("Notification" in window) || Notification.permission !== "granted")
    return;
  const told = run.error ? `${run.status}: ${run.error}` : run.status;
  new Notification(run.title || "Latent Loom", { body: `Run ${run.run} ${told}`, tag: `run ${run.run}` });
}

const EVERY = 500; // milliseconds

export function startTabSign(): void {
  plain = icon()?.getAttribute("href") ?? "";
  useDocuments.subscribe(show);
  useRuns.subscribe((state, before) => {
    for (const run of state.runs === before.runs ? [] : Object.values(state.runs))
      if (isLive(before.runs[run.run]) && !isLive(run)) tell(run);
    if (state.view.status !== before.view.status) show();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) over = null;
    show();
  });
  setInterval(() => {
    if (useRuns.getState().view.status === "running") show();
  }, EVERY);
  show();
}
