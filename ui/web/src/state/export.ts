/** The graph as a file or on the clipboard: its workflow as JSON, a Python script, its picture as SVG or PNG. */
import { write } from "../document/codec";
import { svgOf } from "../drawing/svg";
import { api } from "../server/api";
import { activeDocument, nameOf } from "./documents";
import { selectedIds, useEditor } from "./editor";
import { say, sayError } from "./ui";

export type Kind = "json" | "py" | "svg" | "png";

const MEDIA: Record<Kind, string> = {
  json: "application/json",
  py: "text/x-python",
  svg: "image/svg+xml",
  png: "image/png",
};
const SHARP = 2; // pixels of the picture for one of the sheet
const LARGEST = 8192; // pixels of a side: what browsers draw on

/** The document, or (pictures) the selection of it, as a file. */
async function made(kind: Kind, selection: boolean): Promise<Blob> {
  if (kind === "json" || kind === "py") {
    const whole = activeDocument().history.present; // also where the inside of a definition is shown
    if (kind === "json") return new Blob([`${write(whole, 1)}\n`], { type: MEDIA.json });
    return new Blob([(await api.export(write(whole))).text], { type: MEDIA.py });
  }
  const svg = svgOf(useEditor.getState(), look(), selection ? selectedIds() : null);
  return kind === "svg" ? new Blob([svg], { type: MEDIA.svg }) : pngOf(svg);
}

/** Hand the file to the browser, to be kept. */
export async function download(kind: Kind, selection: boolean): Promise<void> {
  try {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await made(kind, selection));
    link.download = `${fileName(nameOf(activeDocument()))}.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // once the browser has it
  } catch (error) {
    sayError(error);
  }
}

/** Put it on the clipboard: a PNG as a picture, everything else as text, which all programs take. */
export const toClipboard = (kind: Kind, selection: boolean): Promise<void> =>
  kind === "png"
    ? told(() => navigator.clipboard.write([new ClipboardItem({ [MEDIA.png]: made(kind, selection) })]))
    : told(async () => navigator.clipboard.writeText(await (await made(kind, selection)).text()));

/** Put a text on the clipboard. */
export const copyText = (text: string): Promise<void> => told(() => navigator.clipboard.writeText(text));

/** Copy, and say whether it was done. */
async function told(copy: () => Promise<void>): Promise<void> {
  try {
    await copy();
    say("Copied", "good");
  } catch (error) {
    if (error instanceof DOMException || error instanceof TypeError)
      say("The browser does not give this page its clipboard: save the file instead", "bad");
    else sayError(error);
  }
}

const fileName = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 60) || "workflow";

/** Colours as the page's theme has them, in digits. */
function look() {
  const { catalog } = useEditor.getState();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const probe = document.createElement("i");
  const known = new Map<string, string>();
  const colour = (css: string): string => {
    const before = known.get(css);
    if (before !== undefined || !pen) return before ?? "#808080";
    document.body.append(probe);
    probe.style.color = css;
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = getComputedStyle(probe).color;
    probe.remove();
    pen.fillRect(0, 0, 1, 1);
    const [red = 0, green = 0, blue = 0] = pen.getImageData(0, 0, 1, 1).data;
    const found = `#${[red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
    known.set(css, found);
    return found;
  };
  return { catalog, colour };
}

async function pngOf(svg: string): Promise<Blob> {
  const url = URL.createObjectURL(new Blob([svg], { type: MEDIA.svg }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const scale = Math.min(SHARP, LARGEST / image.naturalWidth, LARGEST / image.naturalHeight);
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
    canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) =>
      canvas.toBlob(
        (blob) => (blob ? resolve(blob) : reject(new Error("The picture cannot be drawn"))),
        MEDIA.png,
      ),
    );
  } finally {
    URL.revokeObjectURL(url);
  }
}
